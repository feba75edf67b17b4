"""Gzip-compressed IDX files, the format of the MNIST database: reading, checking, fetching.

The content of an IDX file is a magic number (0x0800 + number of dimensions), one 32-bit size per
dimension, and the values as unsigned bytes, everything big-endian. An `IdxFile` says what such a
file must hold; nothing is believed that does not fit it.

The checksum is taken over the decompressed content, because mirrors pack the same content
differently. It is taken once per file and then remembered in the user's cache, so that a worker
that wants 500 of 60,000 images decompresses no more than those.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import math
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import platformdirs

Bytes = npt.NDArray[np.uint8]
Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes done so far and the bytes in all (None: not known)."""

TIMEOUT = 30.0
"""Seconds that a server may stay silent."""

_CHUNK = 1 << 18  # bytes: small enough for a progress bar, large enough to cost nothing


class IdxError(Exception):
    """What is wrong with one file, as the rest of a sentence that begins with where it lies."""


@dataclass(frozen=True)
class IdxFile:
    """What one gzip-compressed IDX file of unsigned bytes must hold.

    Args:
        name: The file's name, with its `.gz`.
        shape: The size of each dimension; the first one counts the examples.
        sha256: SHA-256 of the decompressed content, header included, in hexadecimal.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        """What the content must begin with."""
        return struct.pack(f">{1 + len(self.shape)}I", 0x0800 + len(self.shape), *self.shape)

    @property
    def size(self) -> int:
        """Length of the decompressed content in bytes, header included."""
        return len(self.header) + math.prod(self.shape)

    def read(self, path: Path, count: int) -> Bytes:
        """Read the first examples, and decompress no more than those.

        The header and the length are checked each time, the checksum if this file (path, size,
        time of change) has not passed it before.

        Args:
            path: Where the file lies.
            count: Number of examples, at most `shape[0]`.

        Returns:
            The values, read-only, shape `(count, *shape[1:])`.

        Raises:
            IdxError: The file is not what it has to be.
            OSError: The file cannot be read.
        """
        with path.open("rb") as raw:
            self._check_header(raw)
            self._check_length(raw)
            stat = os.fstat(raw.fileno())
            if not _is_remembered(path, stat, self.sha256):
                self._check_content(raw)
                _remember(path, stat, self.sha256)
            start, length = len(self.header), count * math.prod(self.shape[1:])
            with self._content(raw) as stream:
                content = stream.read(start + length)
        values = np.frombuffer(content, np.uint8, offset=start)
        return values.reshape(count, *self.shape[1:])

    def verify(self, path: Path) -> None:
        """Check everything, checksum included, whatever is remembered about the file.

        Args:
            path: Where the file lies.

        Raises:
            IdxError: The file is not what it has to be.
            OSError: The file cannot be read.
        """
        with path.open("rb") as raw:
            self._check_header(raw)
            self._check_content(raw)

    @property
    def _expected(self) -> str:
        return f"expected are {self.size:,} bytes of content"

    @contextlib.contextmanager
    def _content(self, raw: BinaryIO) -> Iterator[gzip.GzipFile]:
        """The decompressed content from its beginning; gzip's own complaints become `IdxError`."""
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                yield stream
        except EOFError:
            packed = os.fstat(raw.fileno()).st_size
            raise IdxError(
                f"is truncated: its gzip stream breaks off after {packed:,} bytes; {self._expected}"
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise IdxError(
                f"is damaged: it cannot be decompressed ({error}); {self._expected}"
            ) from None

    def _check_header(self, raw: BinaryIO) -> None:
        start = raw.read(2)
        if not start:
            raise IdxError(f"is empty; expected is a gzip file with {self.size:,} bytes of content")
        if start != b"\x1f\x8b":
            raise IdxError(
                f"is not a gzip file: it begins with the bytes {start.hex(' ')}; expected are 1f 8b"
            )
        with self._content(raw) as stream:
            found = stream.read(len(self.header))
        if len(found) < len(self.header):
            raise IdxError(f"holds {len(found):,} bytes of content; {self._expected}")
        if found[:4] != self.header[:4]:
            raise IdxError(
                f"has the magic number {int.from_bytes(found[:4], 'big')}; "
                f"expected is {int.from_bytes(self.header[:4], 'big')}"
            )
        if found != self.header:
            shape = struct.unpack(f">{len(self.shape)}I", found[4:])
            raise IdxError(f"holds {_by(shape)} values; expected are {_by(self.shape)}")

    def _check_length(self, raw: BinaryIO) -> None:
        """Compare the length of the content with the one expected, without decompressing it.

        A gzip file ends with the length of its content (modulo 2**32). A file of several gzip
        members gives only the last one's there, and a truncated file gives any four bytes: when
        the number does not fit, the whole file is decompressed to tell these apart.
        """
        raw.seek(-4, os.SEEK_END)
        if int.from_bytes(raw.read(4), "little") != self.size % 2**32:
            self._check_content(raw)

    def _check_content(self, raw: BinaryIO) -> None:
        """Decompress everything and check its length and checksum."""
        digest = hashlib.sha256()
        length = 0
        with self._content(raw) as stream:
            while chunk := stream.read(_CHUNK):
                length += len(chunk)
                if length > self.size:  # a small file can decompress to more than fits anywhere
                    raise IdxError(f"holds more than {self.size:,} bytes of content")
                digest.update(chunk)
        if length != self.size:
            raise IdxError(f"holds {length:,} bytes of content; {self._expected}")
        if digest.hexdigest() != self.sha256:
            raise IdxError(
                f"does not hold what it should: the SHA-256 of its content is "
                f"{digest.hexdigest()[:16]}…; expected is {self.sha256[:16]}…"
            )


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{size:,}" for size in shape)


# What has passed its checksum ----------------------------------------------------------------


def memory_path() -> Path:
    """Where the files that have passed their checksum are remembered."""
    return platformdirs.user_cache_path("hpo", appauthor=False) / "verified.json"


def _entry(stat: os.stat_result, sha256: str) -> dict[str, Any]:
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256}


def _recall() -> dict[str, Any]:
    """Everything remembered; nothing, when there is no memory or it cannot be understood."""
    try:
        entries = json.loads(memory_path().read_bytes())
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _is_remembered(path: Path, stat: os.stat_result, sha256: str) -> bool:
    return bool(_recall().get(str(path.absolute())) == _entry(stat, sha256))


def _remember(path: Path, stat: os.stat_result, sha256: str) -> None:
    """Remember that a file has passed its checksum, if the cache can be written to.

    Several workers may do this at once. Each replaces the whole memory in one step, so that it is
    never half written; the one that loses an entry to another's only costs a second check.
    """
    memory = memory_path()
    with contextlib.suppress(OSError):  # without a memory each process checks for itself
        memory.parent.mkdir(parents=True, exist_ok=True)
        entries = _recall() | {str(path.absolute()): _entry(stat, sha256)}
        with _replacing(memory) as (part, _):
            part.write(json.dumps(entries, indent=1).encode())


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file beside `path` that takes its place at the end, or vanishes after an error."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, Path(name)
            file.flush()
            os.fsync(descriptor)  # or a crash could leave the name on an empty file
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


# Fetching ------------------------------------------------------------------------------------


def fetch(file: IdxFile, place: str | Path, folder: Path, progress: Progress | None) -> None:
    """Copy one file into a folder; it appears there whole and verified, or not at all.

    Args:
        file: What it must hold.
        place: The http(s) URL or the path to copy from.
        folder: Where it goes, under its own name; the folder exists.
        progress: Told about every piece.

    Raises:
        IdxError: `place` cannot be read, or what is there is not the file.
        OSError: `folder` cannot be written to.
    """
    chunks = _read_path(place) if isinstance(place, Path) else _read_url(place)
    limit = file.size + file.size // 100 + 65536  # packing makes no file longer than this
    done = 0
    with contextlib.closing(chunks), _replacing(folder / file.name) as (part, part_path):
        for chunk, total in chunks:
            done += len(chunk)
            if done > limit:  # before it fills the disk
                raise IdxError(f"is longer than {limit:,} bytes, more than the file can have")
            part.write(chunk)
            if progress is not None:
                progress(file.name, done, total)
        part.flush()
        file.verify(part_path)
    path = folder / file.name
    _remember(path, path.stat(), file.sha256)


def _read_path(path: Path) -> Generator[tuple[bytes, int | None], None, None]:
    try:
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            while chunk := file.read(_CHUNK):
                yield chunk, total
    except OSError as error:
        raise IdxError(f"cannot be read ({error.strerror})") from None


def _read_url(url: str) -> Generator[tuple[bytes, int | None], None, None]:
    # Late: this import costs more than everything else here, and workers never fetch.
    import http.client
    import urllib.error
    import urllib.request as request

    # Not `urlopen`: that one also follows a redirect to ftp.
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPRedirectHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
        request.UnknownHandler,
    ):
        opener.add_handler(handler())
    try:
        with opener.open(request.Request(url), timeout=TIMEOUT) as response:
            total = response.length
            while chunk := response.read(_CHUNK):
                yield chunk, total
    except urllib.error.HTTPError as error:
        error.close()
        raise IdxError(f"answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise IdxError(f"cannot be reached ({error.reason})") from None
    except (ValueError, http.client.InvalidURL) as error:
        raise IdxError(f"is no URL that can be opened ({error})") from None
    except (OSError, http.client.HTTPException) as error:
        raise IdxError(f"broke off ({str(error) or type(error).__name__})") from None
