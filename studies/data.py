"""The data sets `digits` and `mnist`: where they lie, how they are read, checked and fetched.

A data set has a training file and a test file. Only `studies.splits.load_test` calls `read_test`
(`fetch` checks the checksum of the test file).
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import numpy as np
import platformdirs

from hpo.errors import DataError
from studies import idx
from studies.idx import Bytes, IdxError, IdxFile, Progress

T = TypeVar("T")


@dataclass(frozen=True)
class Digits:
    """The 8 × 8 digits that scikit-learn carries, cut into a training and a test file.

    They need no arguments; `pixel_max` is the value of full ink.
    """

    name: str = "digits"
    summary: str = "handwritten digits of scikit-learn, 8 × 8 pixels, 1,437 training + 360 test"
    classes: int = 10
    pixel_max: int = 16
    train_size: int = 1437
    test_size: int = 360
    held_out: range = range(958, 1437)

    def read_train(self, count: int) -> tuple[Bytes, Bytes]:
        """Read the first training images.

        Args:
            count: How many, at most `train_size`.

        Returns:
            Pixels 0..16, shape (count, 64), and labels, shape (count,).
        """
        pixels, labels = _shuffled_digits()
        part = slice(self.test_size, self.test_size + count)
        return pixels[part], labels[part]

    def read_test(self) -> tuple[Bytes, Bytes]:
        """Read the test images: pixels 0..16, shape (360, 64), and labels, shape (360,)."""
        pixels, labels = _shuffled_digits()
        return pixels[: self.test_size], labels[: self.test_size]

    def status(self) -> str:
        """Whether and where the data is, in one line."""
        return "built in"

    def fetch(self, source: str | None = None, progress: Progress | None = None) -> str:
        """Say that there is nothing to fetch; the arguments are the protocol's."""
        return "digits comes with scikit-learn: there is nothing to fetch"


@lru_cache(maxsize=1)
def _shuffled_digits() -> tuple[Bytes, Bytes]:
    """All 1,797 digits in the one order that says which of them are test images.

    scikit-learn lists them by writer, so the order has to be mixed. The seed belongs to the data
    set: were it a study's, two studies would disagree on what is test data.
    """
    pixels, labels = _sklearn_digits()
    order = np.random.default_rng(1797).permutation(len(labels))
    return pixels[order], labels[order]


def _sklearn_digits() -> tuple[Bytes, Bytes]:
    """What scikit-learn's `load_digits` returns, from the file that it reads.

    Importing scikit-learn takes a second, which is several trials, and every worker would pay it;
    its file takes milliseconds. Looking up where the package lies does not import it.

    Returns:
        Pixels 0..16, shape (1797, 64), and labels, shape (1797,).

    Raises:
        DataError: scikit-learn, or its file, is not there or not what it has to be.
    """
    package = importlib.util.find_spec("sklearn")
    folders = package.submodule_search_locations if package is not None else None
    if not folders:
        raise _no_digits("scikit-learn, which carries it, is not installed")
    path = Path(folders[0], "datasets", "data", "digits.csv.gz")
    try:
        with gzip.open(path) as lines:
            rows = np.loadtxt(lines, dtype=np.uint8, delimiter=",")
    except OSError as error:
        raise _no_digits(f"{_shown(path)} cannot be read ({error.strerror or error})") from None
    except (EOFError, ValueError, zlib.error) as error:
        raise _no_digits(f"{_shown(path)} is damaged ({error})") from None
    if rows.shape != (1797, 65):
        raise _no_digits(
            f"{_shown(path)} holds {' × '.join(map(str, rows.shape))} numbers; "
            "expected are 1797 × 65"
        )
    return rows[:, :64], rows[:, 64]


def _no_digits(problem: str) -> DataError:
    return DataError(
        f"the data set 'digits' is not here: {problem}. "
        "Install it again with: pip install --force-reinstall scikit-learn"
    )


@dataclass(frozen=True)
class IdxDataSet:
    """A data set of four IDX files, in `$HPO_DATA_DIR/<name>` or in the user's cache.

    Each file is looked for in both places, in this order.

    Args:
        name: The word by which definitions name it; also its folder.
        summary: What it is, in one line.
        classes: Number of classes.
        train_images: Images of the training file, shape (N, H, W).
        train_labels: Their labels, shape (N,).
        test_images: Images of the test file, shape (N, H, W).
        test_labels: Their labels, shape (N,).
        mirrors: Base URLs to fetch from, tried in turn.
        held_out: Which images of the training file validate where a study holds them out.
        pixel_max: Value of full ink.
    """

    name: str
    summary: str
    classes: int
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile
    mirrors: tuple[str, ...]
    held_out: range = range(0)
    pixel_max: int = 255

    @property
    def train_size(self) -> int:
        """Number of images in the training file."""
        return self.train_images.shape[0]

    @property
    def test_size(self) -> int:
        """Number of images in the test file, known without opening it."""
        return self.test_images.shape[0]

    def read_train(self, count: int) -> tuple[Bytes, Bytes]:
        """Read the first training images; the rest of the file is not decompressed.

        Args:
            count: How many, at most `train_size`.

        Returns:
            Pixels 0..255, shape (count, H * W), and labels, shape (count,).

        Raises:
            DataError: A file is missing or damaged.
        """
        images = self._read(self.train_images, count)
        return images.reshape(count, -1), self._read(self.train_labels, count)

    def read_test(self) -> tuple[Bytes, Bytes]:
        """Read the whole test file.

        Returns:
            Pixels 0..255, shape (N, H * W), and labels, shape (N,).

        Raises:
            DataError: A file is missing or damaged.
        """
        images = self._read(self.test_images, self.test_size)
        return images.reshape(self.test_size, -1), self._read(self.test_labels, self.test_size)

    def status(self) -> str:
        """Whether and where the data is, in one line; looks for the files and opens none."""
        found = [self._find(file) for file in self._files]
        folders = dict.fromkeys(_shown(path.parent) for path in found if path is not None)
        if not folders:
            return f"not here – fetch it with: {self._fetch_command}"
        missing = [file.name for file, path in zip(self._files, found, strict=True) if not path]
        if missing:
            return f"incomplete ({', '.join(missing)}) – fetch it with: {self._fetch_command}"
        return f"here: {' and '.join(folders)}"

    def fetch(self, source: str | None = None, progress: Progress | None = None) -> str:
        """Bring the files that are not here yet, or damaged, into the user's cache.

        Args:
            source: Base URL (http or https) or folder to copy from instead of the mirrors.
            progress: Called with file name, bytes done, bytes in all (None: not known).

        Returns:
            One line that says where the files lie.

        Raises:
            DataError: No source has the right file, the cache cannot be written to, or a damaged
                file in `$HPO_DATA_DIR` stands in the way.
        """
        places = self._sources(source)
        failures: list[str] = []
        fetched = 0
        for file in self._files:
            if not self._is_good(file):
                self._fetch(file, places, failures, progress)
                fetched += 1
        return f"{self.name} is {self.status()} ({fetched} of {len(self._files)} files fetched)"

    @property
    def _files(self) -> tuple[IdxFile, ...]:
        return self.train_images, self.train_labels, self.test_images, self.test_labels

    @property
    def _fetch_command(self) -> str:
        return f"hpo data fetch {self.name}"

    @property
    def _cache(self) -> Path:
        return platformdirs.user_cache_path("hpo", appauthor=False) / self.name

    def _find(self, file: IdxFile) -> Path | None:
        own = os.environ.get("HPO_DATA_DIR")
        for folder in ([_folder(own) / self.name] if own else []) + [self._cache]:
            path = folder / file.name
            if os.path.isfile(path):  # False, where Path.is_file raises: in a closed folder
                return path
        return None

    def _read(self, file: IdxFile, count: int) -> Bytes:
        path = self._find(file)
        if path is None:
            raise self._missing(file)
        return self._checked(path, lambda: file.read(path, count))

    def _is_good(self, file: IdxFile) -> bool:
        """Whether the file is here and passes all checks; one in the cache may be replaced."""
        path = self._find(file)
        if path is None:
            return False
        if path.parent != self._cache:
            self._checked(path, lambda: file.verify(path))
            return True
        try:
            file.verify(path)
        except (IdxError, OSError):
            return False
        return True

    def _checked(self, path: Path, read: Callable[[], T]) -> T:
        """Call `read`, and say of its complaints which file it is and what helps."""
        try:
            return read()
        except IdxError as error:
            problem = str(error)
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        if path.parent == self._cache:
            advice = f"Fetch it again with: {self._fetch_command}"
        else:  # the fetched file would not be looked at
            advice = f"Remove it from $HPO_DATA_DIR and run: {self._fetch_command}"
        raise DataError(f"{_shown(path)} {problem}. {advice}")

    def _missing(self, file: IdxFile) -> DataError:
        own = os.environ.get("HPO_DATA_DIR")
        some = any(self._find(other) for other in self._files)
        what = (
            f"{file.name} of the data set '{self.name}'" if some else f"the data set '{self.name}'"
        )
        return DataError(
            f"{what} is not here. "
            f"Looked in $HPO_DATA_DIR ({own or 'unset'}) and {_shown(self._cache)}.\n"
            f"Fetch it with: {self._fetch_command}      or point HPO_DATA_DIR at a folder "
            f"that holds {self.name}/{self.train_images.name} …"
        )

    def _sources(self, source: str | None) -> list[str | Path]:
        """The base URLs or the folder to fetch from, in the order of trying."""
        if source is None:
            return list(self.mirrors)
        folder = _folder(source)
        if os.path.isdir(folder):
            return [folder]
        try:
            url = urlsplit(source)
        except ValueError as error:
            raise DataError(f"{source} is not a URL ({error}).") from None
        if url.username is not None:  # it would be repeated in messages
            raise DataError("A URL to fetch from may not contain a user name or password.")
        if url.scheme not in ("http", "https"):
            raise DataError(
                f"{source} is neither a folder nor an http or https URL. "
                f"Give one of these: {self._fetch_command} --from URL_OR_FOLDER"
            )
        return [source]

    def _fetch(
        self,
        file: IdxFile,
        places: list[str | Path],
        failures: list[str],
        progress: Progress | None,
    ) -> None:
        """Fetch one file from the first place that has it; a place that fails is struck off."""
        cache = self._cache
        while places:
            base = places[0]
            if isinstance(base, Path):
                place: str | Path = base / file.name
            else:
                place = f"{base.rstrip('/')}/{file.name}"
            try:
                cache.mkdir(parents=True, exist_ok=True)
                return idx.fetch(file, place, cache, progress)
            except IdxError as error:
                failures.append(f"{place} {error}")
                del places[0]
            except OSError as error:
                raise DataError(
                    f"{_shown(cache)} cannot be written to ({error.strerror}). "
                    f"Free it, or choose another cache with XDG_CACHE_HOME."
                ) from None
        raise DataError(
            f"{file.name} could not be fetched: {'; '.join(failures)}. If you have the files, "
            f"copy them with: {self._fetch_command} --from FOLDER"
        )


def _folder(name: str) -> Path:
    """The folder a person names, with its `~`; Path.expanduser raises on a `~` it cannot expand."""
    return Path(os.path.expanduser(name))


def _shown(path: Path) -> str:
    """A path as a person writes it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):  # not below the home folder; there is none
        return str(path)


DIGITS = Digits()

MNIST = IdxDataSet(
    name="mnist",
    summary="handwritten digits of MNIST, 28 × 28 pixels, 60,000 training + 10,000 test",
    classes=10,
    train_images=IdxFile(
        "train-images-idx3-ubyte.gz",
        (60000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    train_labels=IdxFile(
        "train-labels-idx1-ubyte.gz",
        (60000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    test_images=IdxFile(
        "t10k-images-idx3-ubyte.gz",
        (10000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    test_labels=IdxFile(
        "t10k-labels-idx1-ubyte.gz",
        (10000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    held_out=range(50_000, 60_000),
)

DataSet = Digits | IdxDataSet

_BY_NAME: dict[str, DataSet] = {"digits": DIGITS, "mnist": MNIST}


def data_set(name: str) -> DataSet:
    """Return the data set of that name.

    Raises:
        DataError: There is none.
    """
    if name not in _BY_NAME:
        raise DataError(f"There is no data set '{name}'. There are: {', '.join(_BY_NAME)}.")
    return _BY_NAME[name]
