"""How a study splits a data set into what it trains on, what validates, and what tests.

A study uses the first `samples` images of the training file, in an order drawn once from
`split_seed`; the first share of that order validates, the rest trains. Or all of them train, and
the images at the end of the training file validate, which are held out from every such study. The
split never depends on a run's seed, so that all trials of a study are judged on the same images.
Only `load_test` reads test images.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hpo.errors import DataError
from hpo.objective import Description
from studies.data import DataSet, data_set
from studies.idx import Bytes

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

HELD_OUT = "held-out"
"""In place of a share: the data set's `held_out` validates."""


class Split(NamedTuple):
    """Training and validation data: pixels 0..1, shape (N, D), and labels, shape (N,).

    All four are read-only and C-contiguous: they are shared by every trial of a process.
    """

    x_train: Images
    t_train: Labels
    x_val: Images
    t_val: Labels


def load(
    data: str, *, samples: int | None = None, validation: float | str, split_seed: int = 0
) -> Split:
    """Load training and validation data; a process reads them once.

    Args:
        data: Name of a data set.
        samples: Use the first so many images of the training file; None uses all.
        validation: Share of these that validates, above 0 and below 1, rounded down to images;
            or "held-out".
        split_seed: Seed of the order in which they are split.

    Returns:
        The split: the validation images are the first ones of that order, or those held out.

    Raises:
        DataError: An argument is out of its range, or the data is missing or damaged.
    """
    source = data_set(data)
    if validation == HELD_OUT:
        count = _count(source, samples, source.held_out.start)
        return Split(*_shuffled(source, count, _seed(split_seed)), *_held_out(source))
    count = _count(source, samples)
    cut = _validation_count(count, validation)
    x, t = _shuffled(source, count, _seed(split_seed))
    return Split(x_train=x[cut:], t_train=t[cut:], x_val=x[:cut], t_val=t[:cut])


def load_train_and_validation(
    data: str, *, samples: int | None = None, split_seed: int = 0
) -> tuple[Images, Labels]:
    """Load what a study trains and validates on as one set, for the retraining before the test.

    Args:
        data: Name of a data set.
        samples: Use the first so many images of the training file; None uses all.
        split_seed: Seed of their order.

    Returns:
        Pixels 0..1, shape (samples, D), and labels, shape (samples,), both read-only: the
        validation part of `load`, then its training part, whatever the share. What is held out
        is not among them, unless all samples are used.

    Raises:
        DataError: An argument is out of its range, or the data is missing or damaged.
    """
    source = data_set(data)
    return _shuffled(source, _count(source, samples), _seed(split_seed))


def load_test(data: str) -> tuple[Images, Labels]:
    """Load the test data. Nothing else reads it.

    Args:
        data: Name of a data set.

    Returns:
        Pixels 0..1, shape (N, D), and labels, shape (N,), both read-only.

    Raises:
        DataError: There is no such data set, or the test file is missing or damaged.
    """
    return _test(data_set(data))


def describe(
    data: str, samples: int | None, validation: float | str, split_seed: int = 0
) -> Description:
    """Say how many images a study uses, and which ones.

    Args:
        data: Name of a data set.
        samples: Use the first so many images of the training file; None uses all.
        validation: Share of these that validates, or "held-out".
        split_seed: Seed of the order in which they are split.

    Returns:
        Sizes of the three parts, number of classes, and the fingerprint: 16 hexadecimal digits
        of a SHA-256 over the images and labels as stored, their order and the size of the
        validation part. It is the same on every machine.

    Raises:
        DataError: An argument is out of its range, or the data is missing or damaged.
    """
    source = data_set(data)
    if validation == HELD_OUT:
        count = _count(source, samples, source.held_out.start)
        train, cut, read = count, len(source.held_out), source.held_out.stop
    else:
        count = read = _count(source, samples)
        cut = _validation_count(count, validation)
        train = count - cut
    digest = hashlib.sha256()
    for part in source.read_train(read):
        digest.update(part.tobytes())
    digest.update(_order(count, _seed(split_seed)).astype("<i8").tobytes())
    digest.update(cut.to_bytes(8, "little"))
    return {
        "train": train,
        "validation": cut,
        "test": source.test_size,
        "classes": source.classes,
        "fingerprint": digest.hexdigest()[:16],
    }


def _count(source: DataSet, samples: int | None, most: int | None = None) -> int:
    most = source.train_size if most is None else most
    if samples is None:
        return most
    # Two, because one image is not enough for a training and a validation part.
    if not _is_whole(samples) or not 2 <= samples <= most:
        raise DataError(
            f"samples = {samples!r} is not possible: the data set '{source.name}' allows "
            f"2 to {most:,}; without it all are used."
        )
    return int(samples)


def _validation_count(count: int, validation: float | str) -> int:
    number = isinstance(validation, Real) and not isinstance(validation, bool)
    share = float(validation) if number else 0.0
    cut = int(count * share) if share < 1 else 0
    if not 0 < cut < count:
        raise DataError(
            f"validation = {validation!r} of {count:,} images is not possible: it must be a "
            f"share from {1 / count:.3g} (one image) to below 1, or {HELD_OUT!r}."
        )
    return cut


def _seed(split_seed: int) -> int:
    if not _is_whole(split_seed) or split_seed < 0:
        raise DataError(f"split_seed = {split_seed!r} is not possible: it must be 0 or above.")
    return int(split_seed)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _order(count: int, split_seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(split_seed).permutation(count)


@lru_cache(maxsize=2)
def _held_out(source: DataSet) -> tuple[Images, Labels]:
    """The images of the training file that no such study trains on, in the file's order."""
    part = slice(source.held_out.start, source.held_out.stop)
    pixels, labels = source.read_train(part.stop)
    return _ready(pixels[part], labels[part], source.pixel_max)


# Two of each at most: with all of MNIST one is 188 MB.
@lru_cache(maxsize=2)
def _shuffled(source: DataSet, count: int, split_seed: int) -> tuple[Images, Labels]:
    """The first images of the training file in the order in which they are split."""
    pixels, labels = source.read_train(count)
    order = _order(count, split_seed)
    return _ready(pixels[order], labels[order], source.pixel_max)


@lru_cache(maxsize=2)
def _test(source: DataSet) -> tuple[Images, Labels]:
    return _ready(*source.read_test(), source.pixel_max)


def _ready(pixels: Bytes, labels: Bytes, pixel_max: int) -> tuple[Images, Labels]:
    """Pixels as float32 in 0..1 and labels as int64, both safe to share."""
    x = pixels.astype(np.float32)
    x /= np.float32(pixel_max)
    t = labels.astype(np.int64)
    for array in (x, t):
        array.flags.writeable = False
    return x, t
