"""IDX files made here: whole ones, damaged ones, and fetching them over a loopback server."""

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import DataError
from studies import idx
from studies.data import IdxDataSet
from studies.idx import IdxFile

IMAGES = "train-images-idx3-ubyte.gz"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the set `small` in a cache below tmp_path; the real one is out of reach."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HPO_DATA_DIR", raising=False)
    folder = tmp_path / "cache" / "hpo" / "small"
    folder.mkdir(parents=True)
    return folder


def content_of(values: np.ndarray) -> bytes:
    """IDX content, written independently of the reader."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()


def values_of(kind: str, count: int) -> np.ndarray:
    rng = np.random.default_rng(len(kind) * count)
    return rng.integers(0, 256, (count, 4, 3)) if kind == "images" else np.arange(count) % 10


def make(folder: Path, mirrors: tuple[str, ...] = ()) -> IdxDataSet:
    """Write the four files of a set of 50 + 20 images of 4 × 3 pixels, and describe them."""
    files = []
    for name, kind, count in [
        (IMAGES, "images", 50),
        ("train-labels-idx1-ubyte.gz", "labels", 50),
        ("t10k-images-idx3-ubyte.gz", "images", 20),
        ("t10k-labels-idx1-ubyte.gz", "labels", 20),
    ]:
        values = values_of(kind, count)
        content = content_of(values)
        (folder / name).write_bytes(gzip.compress(content))
        files.append(IdxFile(name, values.shape, hashlib.sha256(content).hexdigest()))
    return IdxDataSet("small", "a small set", 10, *files, mirrors=mirrors)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder to fetch from."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


# Reading --------------------------------------------------------------------------------------


def test_reads_the_first_examples(cache: Path) -> None:
    small = make(cache)
    pixels, labels = small.read_train(7)

    np.testing.assert_array_equal(pixels, values_of("images", 50)[:7].reshape(7, 12))
    np.testing.assert_array_equal(labels, values_of("labels", 50)[:7])
    x_test, t_test = small.read_test()
    assert x_test.shape == (20, 12)
    assert t_test.shape == (20,)


def test_own_folder_comes_before_the_cache_file_by_file(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own" / "small"
    own.mkdir(parents=True)
    small = make(own)
    assert small.status() == "not here – fetch it with: hpo data fetch small"
    monkeypatch.setenv("HPO_DATA_DIR", str(own.parent))
    assert small.status() == f"here: {own}"
    (own / IMAGES).rename(cache / IMAGES)
    assert small.status() == f"here: {cache} and {own}"
    assert len(small.read_train(5)[0]) == 5
    (cache / IMAGES).unlink()
    assert small.status() == f"incomplete ({IMAGES}) – fetch it with: hpo data fetch small"
    with pytest.raises(DataError, match=f"{IMAGES} of the data set 'small' is not here. Looked in"):
        small.read_train(5)


def repacked(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Change the content of a gzip file and pack it again."""
    return lambda packed: gzip.compress(change(gzip.decompress(packed)))


def flip_last(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def break_block(packed: bytes) -> bytes:
    return packed[:10] + b"\xff" + packed[11:]


DAMAGE = {
    "empty": (lambda packed: b"", "is empty; expected is a gzip file with 616 bytes of content"),
    "a web page": (
        lambda packed: b"<html>Please log in</html>",
        "is not a gzip file: it begins with the bytes 3c 68; expected are 1f 8b",
    ),
    "one byte": (
        lambda packed: b"\x1f",
        "is not a gzip file: it begins with the bytes 1f; expected are 1f 8b",
    ),
    "cut in its gzip header": (
        lambda packed: packed[:3],
        "is truncated: its gzip stream breaks off after 3 bytes; expected are 616 bytes of content",
    ),
    "cut in the middle": (
        lambda packed: packed[:400],
        "is truncated: its gzip stream breaks off after 400 bytes; "
        "expected are 616 bytes of content",
    ),
    "cut in its trailer": (
        lambda packed: packed[:-1],
        "is truncated: its gzip stream breaks off after",
    ),
    "a broken block": (break_block, "is damaged: it cannot be decompressed (Error -3"),
    "a broken gzip checksum": (
        lambda packed: packed[:-8] + b"0000" + packed[-4:],
        "is damaged: it cannot be decompressed (CRC check failed",
    ),
    "labels for images": (
        lambda packed: gzip.compress(content_of(values_of("labels", 50))),
        "has the magic number 2049; expected is 2051",
    ),
    "fewer images": (
        lambda packed: gzip.compress(content_of(values_of("images", 20))),
        "holds 20 × 4 × 3 values; expected are 50 × 4 × 3",
    ),
    "less than a header": (
        repacked(lambda content: content[:9]),
        "holds 9 bytes of content; expected are 616 bytes of content",
    ),
    "too short": (
        repacked(lambda content: content[:-12]),
        "holds 604 bytes of content; expected are 616 bytes of content",
    ),
    "too long": (
        repacked(lambda content: content + bytes(12)),
        "holds more than 616 bytes of content",
    ),
    "one other bit": (
        repacked(flip_last),
        "does not hold what it should: the SHA-256 of its content is ",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_with_file_and_next_command(kind: str, cache: Path) -> None:
    damage, problem = DAMAGE[kind]
    small = make(cache)
    path = cache / IMAGES
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(DataError) as caught:
        small.read_train(5)

    assert str(caught.value).startswith(f"{path} {problem}")
    assert str(caught.value).endswith(". Fetch it again with: hpo data fetch small")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", DAMAGE)
def test_fetch_replaces_a_damaged_file(kind: str, cache: Path, source: Path) -> None:
    small = make(source)
    make(cache)
    path = cache / IMAGES
    path.write_bytes(DAMAGE[kind][0](path.read_bytes()))

    assert small.fetch(str(source)).endswith("(1 of 4 files fetched)")
    assert len(small.read_train(50)[0]) == 50


def test_damage_in_the_own_folder_has_to_be_removed_first(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own" / "small"
    own.mkdir(parents=True)
    small = make(own)
    make(source)
    monkeypatch.setenv("HPO_DATA_DIR", str(own.parent))
    (own / IMAGES).write_bytes(b"")

    for attempt in (lambda: small.read_train(5), lambda: small.fetch(str(source))):
        with pytest.raises(DataError) as caught:
            attempt()
        advice = " Remove it from $HPO_DATA_DIR and run: hpo data fetch small"
        assert str(caught.value).endswith(advice)
    (own / IMAGES).unlink()
    assert small.fetch(str(source)).endswith("(1 of 4 files fetched)")
    assert len(small.read_train(5)[0]) == 5


def test_several_gzip_members_are_one_content(cache: Path) -> None:
    small = make(cache)
    content = content_of(values_of("images", 50))
    (cache / IMAGES).write_bytes(gzip.compress(content[:300]) + gzip.compress(content[300:]))
    assert len(small.read_train(50)[0]) == 50


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_named(cache: Path) -> None:
    small = make(cache)
    (cache / IMAGES).chmod(0)
    with pytest.raises(DataError, match=f"{IMAGES} cannot be read \\(Permission denied\\)"):
        small.read_train(5)


def test_first_examples_do_not_need_the_rest_of_the_file(cache: Path) -> None:
    path = cache / "many.gz"
    values = np.random.default_rng(0).integers(0, 256, (50_000, 4, 3))  # packs to its own size
    content = content_of(values)
    path.write_bytes(gzip.compress(content))
    many = IdxFile(path.name, values.shape, hashlib.sha256(content).hexdigest())
    many.verify(path)
    many.read(path, 1)
    stat = path.stat()

    packed = bytearray(path.read_bytes())
    packed[400_000:500_000] = bytes(100_000)
    path.write_bytes(packed)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    np.testing.assert_array_equal(many.read(path, 500), values[:500])
    with pytest.raises(idx.IdxError, match="is damaged: it cannot be decompressed"):
        many.read(path, 50_000)


# The memory of checksums ----------------------------------------------------------------------


def test_checked_file_is_remembered_and_not_decompressed_again(cache: Path) -> None:
    small = make(cache)
    path = cache / IMAGES
    small.read_train(5)
    stat = path.stat()
    remembered = json.loads(idx.memory_path().read_text())
    assert remembered[str(path)] == {
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "sha256": small.train_images.sha256,
    }

    # Other bytes under the same size and time: only a second look at all of them would tell.
    packed = bytearray(path.read_bytes())
    packed[-6] ^= 1  # in gzip's own checksum, which reading five images does not reach
    path.write_bytes(packed)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    written = idx.memory_path().stat().st_mtime_ns
    assert len(small.read_train(5)[0]) == 5
    assert idx.memory_path().stat().st_mtime_ns == written

    # `fetch` is what a user types when something is wrong: it looks again.
    assert "1 of 4 files fetched" in small.fetch(str(make_source(cache.parent)))


def make_source(parent: Path) -> Path:
    folder = parent / "good"
    folder.mkdir()
    make(folder)
    return folder


def test_changed_file_is_checked_again_and_refused(cache: Path) -> None:
    small = make(cache)
    path = cache / IMAGES
    small.read_train(5)
    stat = path.stat()
    packed = path.read_bytes()

    for size, age in [(0, 1_000_000_000), (1, 0)]:
        name = b"x" * size  # gzip may carry a file name: other size, same content length
        out = io.BytesIO()
        with gzip.GzipFile(name.decode(), "wb", fileobj=out, mtime=0) as file:
            file.write(flip_last(gzip.decompress(packed)))
        path.write_bytes(out.getvalue())
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + age))
        with pytest.raises(DataError, match="SHA-256 of its content"):
            small.read_train(5)


def test_remembered_file_of_another_set_is_checked(cache: Path) -> None:
    small = make(cache)
    small.read_train(5)
    wrong = IdxFile(IMAGES, small.train_images.shape, "0" * 64)
    with pytest.raises(idx.IdxError, match=r"expected is 0000000000000000…"):
        wrong.read(cache / IMAGES, 5)


@pytest.mark.parametrize("memory", [b"", b"{", b"[]", b'{"a": 1}', b"\xff\xfe"])
def test_damaged_memory_is_only_forgotten(memory: bytes, cache: Path) -> None:
    small = make(cache)
    idx.memory_path().write_bytes(memory)
    assert len(small.read_train(5)[0]) == 5
    assert str(cache / IMAGES) in json.loads(idx.memory_path().read_text())


def test_reading_needs_no_memory(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "small").mkdir()
    small = make(source / "small")
    monkeypatch.setenv("HPO_DATA_DIR", str(source))
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made there
    for _ in range(2):
        assert len(small.read_train(5)[0]) == 5


def test_many_readers_at_once_leave_a_whole_memory(cache: Path) -> None:
    small = make(cache)
    barrier = threading.Barrier(8)
    read: list[int] = []

    def reader() -> None:
        barrier.wait()
        for _ in range(10):
            with contextlib.suppress(FileNotFoundError):
                idx.memory_path().unlink()
            read.append(len(small.read_train(5)[0]))

    threads = [threading.Thread(target=reader) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [5] * 80
    small.read_train(5)
    assert str(cache / IMAGES) in json.loads(idx.memory_path().read_text())
    assert [path.name for path in cache.parent.iterdir()].count("verified.json") == 1
    assert len(list(cache.parent.iterdir())) == 2  # and no temporary files


# Fetching -------------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; requests for `/short/…`, `/ftp/…` and `/endless/…` misbehave."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if self.path.startswith("/short/"):
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(gzip.compress(content_of(values_of("images", 50)))[:300])
        elif self.path.startswith("/ftp/"):
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/x.gz")
            self.end_headers()
        elif self.path.startswith("/endless/"):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(10_000):
                    self.wfile.write(bytes(10_000))
        else:
            super().do_GET()


class Server(http.server.ThreadingHTTPServer):
    """A loopback server that remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), lambda *args: Quiet(*args, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server(source: Path) -> Iterator[Server]:
    with Server(source) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def dead() -> str:
    """A URL at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def test_fetch_from_a_server(cache: Path, source: Path, server: Server) -> None:
    small = make(source)
    seen: list[tuple[str, int, int | None]] = []
    line = small.fetch(server.url, lambda *step: seen.append(step))

    assert line == f"small is here: {cache} (4 of 4 files fetched)"
    size = (source / IMAGES).stat().st_size
    assert seen[0] == (IMAGES, size, size)
    assert [step[0] for step in seen] == [file.name for file in small._files]
    assert len(small.read_train(50)[0]) == 50

    server.asked.clear()
    assert small.fetch(server.url).endswith("(0 of 4 files fetched)")
    assert server.asked == []


def test_fetch_from_a_folder(cache: Path, source: Path) -> None:
    small = make(source)
    seen: list[tuple[str, int, int | None]] = []
    assert small.status().startswith("not here")
    assert "4 of 4 files fetched" in small.fetch(str(source), lambda *step: seen.append(step))
    assert len(seen) == 4
    assert small.status() == f"here: {cache}"
    assert sorted(path.name for path in cache.iterdir()) == sorted(
        path.name for path in source.iterdir()
    )


def test_fetched_file_counts_as_checked(cache: Path, source: Path) -> None:
    small = make(source)
    small.fetch(str(source))
    remembered = json.loads(idx.memory_path().read_text())
    assert sorted(remembered) == sorted(str(path) for path in cache.iterdir())


def test_fetch_turns_to_the_next_mirror_for_good(source: Path, server: Server, dead: str) -> None:
    small = make(source, mirrors=(f"{dead}/", f"{server.url}/short/", f"{server.url}/"))
    assert "4 of 4 files fetched" in small.fetch()
    # A mirror that failed once is not asked for the other files: each might take a timeout.
    assert [path for path in server.asked if path.startswith("/short/")] == [f"/short/{IMAGES}"]
    assert len(small.read_train(50)[0]) == 50


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("short", "is truncated: its gzip stream breaks off after 300 bytes"),
        ("ftp", "cannot be reached (unknown url type: ftp)"),
        ("endless", "is longer than 66,158 bytes, more than the file can have"),
        ("missing", "answers 404 File not found"),
        ("wrong", "has the magic number 2049; expected is 2051"),
    ],
)
def test_bad_answers_of_a_server_leave_nothing_behind(
    path: str, reason: str, cache: Path, source: Path, server: Server
) -> None:
    small = make(source)
    (source / "wrong").mkdir()
    (source / "wrong" / IMAGES).write_bytes((source / small.train_labels.name).read_bytes())

    with pytest.raises(DataError) as caught:
        small.fetch(f"{server.url}/{path}/")

    assert str(caught.value).startswith(
        f"{IMAGES} could not be fetched: {server.url}/{path}/{IMAGES} {reason}"
    )
    assert str(caught.value).endswith(
        ". If you have the files, copy them with: hpo data fetch small --from FOLDER"
    )
    assert list(cache.iterdir()) == []


def test_dead_mirrors_are_all_named(cache: Path, source: Path, dead: str, server: Server) -> None:
    small = make(source, mirrors=(dead, f"{server.url}/missing"))
    with pytest.raises(DataError) as caught:
        small.fetch()
    message = str(caught.value)
    assert f"{dead}/{IMAGES} cannot be reached ([Errno 111] Connection refused); " in message
    assert f"{server.url}/missing/{IMAGES} answers 404" in message
    assert "\n" not in message


def test_silent_server_is_given_up(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "TIMEOUT", 0.1)
    small = make(source)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DataError, match="broke off \\(timed out\\)"):
            small.fetch(url)


def test_fetch_from_a_folder_without_the_files(cache: Path, source: Path, tmp_path: Path) -> None:
    small = make(source)
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=f"bare/{IMAGES} cannot be read \\(No such file"):
        small.fetch(str(tmp_path / "bare"))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("source_text", "reason"),
    [
        ("file:///etc", "file:///etc is neither a folder nor an http or https URL"),
        ("ftp://host/mnist/", "ftp://host/mnist/ is neither a folder nor an http or https URL"),
        ("no/such/folder", "no/such/folder is neither a folder nor an http or https URL"),
        ("http://[1/", "http://[1/ is not a URL"),
        ("http:///mnist/", "cannot be reached (no host given)"),
        ("http://127.0.0.1:port/", "is no URL that can be opened (nonnumeric port: 'port')"),
        ("http://127.0.0.1/a b/", "is no URL that can be opened (URL can't contain control"),
        ("http://a..b/", "is no URL that can be opened"),
    ],
)
def test_impossible_sources_are_refused(source_text: str, reason: str, source: Path) -> None:
    with pytest.raises(DataError, match=re.escape(reason)):
        make(source).fetch(source_text)


def test_password_in_a_url_is_refused_and_not_repeated(source: Path) -> None:
    with pytest.raises(DataError, match="may not contain a user name or password") as caught:
        make(source).fetch("https://me:secret@127.0.0.1/mnist/")
    assert "secret" not in str(caught.value)


def test_cache_that_cannot_be_written_to_is_named(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"hpo/small cannot be written to \(Not a directory\)"):
        make(source).fetch(str(source))


def test_header_is_the_one_of_the_format() -> None:
    file = IdxFile("x.gz", (60000, 28, 28), "")
    assert struct.unpack(">IIII", file.header) == (2051, 60000, 28, 28)
    assert file.size == 16 + 60000 * 28 * 28
