"""Nothing but `hpo final` reaches the test set: neither by the code nor when it runs."""

from __future__ import annotations

import ast
import gzip
import os
import struct
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from processes import run_hpo, start_hpo

from hpo.cli.group import hpo
from studies import idx
from studies.data import MNIST

ROOT = Path(idx.__file__).parents[1]


# By the code


def uses_of(name: str) -> set[str]:
    """Return where a name is used, as "module.function", in all packages; not where it is made."""
    found: set[str] = set()

    def walk(node: ast.AST, where: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = where
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inside = f"{where}.{child.name}"
            used = {
                getattr(child, "id", None),  # a variable
                getattr(child, "attr", None),  # an attribute
                child.value if isinstance(child, ast.Constant) else None,  # for getattr
                child.name if isinstance(child, ast.alias) else None,  # an import
            }
            if name in used:
                found.add(where)
            walk(child, inside)

    for package in ("core", "hpo", "studies"):
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            walk(ast.parse(path.read_text(encoding="utf-8")), module)
    return found


@pytest.mark.parametrize(
    ("name", "users"),
    [
        ("test_images", {"MNIST", "read_test", "test_size", "_files"}),
        ("test_labels", {"MNIST", "read_test", "_files"}),
    ],
)
def test_only_the_data_set_knows_its_test_files(name: str, users: set[str]) -> None:
    inside = {"studies.data.IdxDataSet", *(f"studies.data.IdxDataSet.{user}" for user in users)}
    assert uses_of(name) <= inside


def test_one_way_leads_to_the_test_set() -> None:
    assert uses_of("read_test") == {"studies.splits._test"}
    assert uses_of("_test") == {"studies.splits.load_test"}
    assert uses_of("load_test") == {"studies.mlp.test"}
    # Names of files are not put together elsewhere either.
    names = {user.rsplit(".", 1)[0] for user in uses_of(MNIST.test_images.name)}
    assert names == {"studies"}


def test_only_final_calls_a_definitions_test() -> None:
    calls = {
        user
        for user in uses_of("test")
        if user.startswith(("hpo.worker", "hpo.pool", "studies.", "core."))
    }
    assert calls == {
        "hpo.worker.Setup.__init__",  # imports it
        "hpo.worker.main",  # the message
        "hpo.worker.run_test",
        "hpo.pool.Worker.__init__",  # tells its name
        "studies.splits.describe",  # how many there are
    }
    assert uses_of("run_test") == {"hpo.worker.main"}
    pools = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "hpo").rglob("*.py")
        if "tests=True" in path.read_text(encoding="utf-8")
    }
    assert pools == {"hpo/evaluation.py"}


# When it runs

TRIPWIRE = """
import os
import sys

def trip(what):
    with open(os.environ["TRIPWIRE"], "a") as file:
        file.write(what + "\\n")

def listen(event, arguments):
    if event == "open" and "t10k" in str(arguments[0]):
        trip(f"opened {arguments[0]}")

sys.addaudithook(listen)

def arm(data):
    for kind in (data.Digits, data.IdxDataSet):
        def read_test(self, read=kind.read_test):
            trip(f"read the test images of {self.name}")
            return read(self)

        kind.read_test = read_test
    trip("armed")

class Armed:
    # The module is armed when it is imported: most commands never do.
    def find_spec(self, name, path, target=None):
        if name != "studies.data":
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), arm(module))
        return spec

sys.meta_path.insert(0, Armed())
"""

SEARCH = [
    "start {} --trials 30 --epochs 1 --workers 1",
    "narrow 1 --range lr=1e-3:1e-1 --trials 2 --sampler tpe --workers 1",
    "resume 1 --trials 3 --workers 1",
    "confirm 1 --top 2 --seeds 2 --workers 1",
    "replay 1 1/0",
    "plot 1",
    "narrow 1 --dry-run --from-stage 1",
    "list",
    "show 1",
    "best 1",
    "check 1",
    "report 1",
    "report 1 --curves --format csv",
    "dashboard --port 0",
    "studies",
    "data list",
    "data fetch digits",
    "db status",
    "db upgrade",
    "db backup copy.db",
    "db check",
]
"""Every command but `final`; `data fetch` of MNIST only looks whether the files are whole."""


TRAINING = [line for line in SEARCH if line.startswith(("start", "confirm"))]
"""One that searches and one that repeats: the others do not differ by data set."""


def commands(group: click.Group, above: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield above + name


def test_every_command_is_tried() -> None:
    for name in commands(hpo):
        assert (name == "final") != any(f"{line} ".startswith(f"{name} ") for line in SEARCH), name


@pytest.fixture
def trips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Arm every Python process that is started: the file tells when test images are read."""
    (tmp_path / "tripwire").mkdir()
    (tmp_path / "tripwire" / "sitecustomize.py").write_text(TRIPWIRE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "tripwire"), prepend=os.pathsep)
    monkeypatch.setenv("TRIPWIRE", str(tmp_path / "trips"))
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "trips"


@pytest.fixture
def fake_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put training files where MNIST's are looked for, and test files that cannot be read."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HPO_DATA_DIR", str(folder.parent))
    for file in (MNIST.train_images, MNIST.train_labels):
        content = struct.pack(f">{1 + len(file.shape)}I", 0x0800 + len(file.shape), *file.shape)
        content += bytes(i % 10 for i in range(1000)) * ((file.size - len(content)) // 1000)
        path = folder / file.name
        path.write_bytes(gzip.compress(content, 1))
        idx._remember(path, path.stat(), file.sha256)
    for file in (MNIST.test_images, MNIST.test_labels):
        (folder / file.name).write_bytes(b"closed")


def look_at_the_dashboard(arguments: list[str]) -> None:
    with start_hpo(*arguments) as running:
        assert running.stderr is not None
        address = running.stderr.readline().split()[2].removesuffix("/dashboard/")
        with urllib.request.urlopen(f"{address}/api/studies", timeout=30) as answer:
            assert answer.status == 200


@pytest.mark.slow
@pytest.mark.parametrize(("definition", "lines"), [("digits", TRAINING), ("mnist-book", SEARCH)])
def test_no_command_but_final_reads_test_images(
    definition: str, lines: list[str], trips: Path, fake_mnist: None
) -> None:
    for line in lines:
        arguments = line.format(definition).split()
        if arguments[0] == "dashboard":
            look_at_the_dashboard(arguments)
            continue
        ran = run_hpo(*arguments)
        assert ran.returncode == 0, f"{line}\n{ran.stdout}\n{ran.stderr}"
    assert set(trips.read_text().splitlines()) == {"armed"}

    ran = run_hpo("final", 1)
    told = set(trips.read_text().splitlines()) - {"armed"}
    if definition == "digits":
        assert ran.returncode == 0, ran.stderr
        assert told == {"read the test images of digits"}
    else:
        assert "t10k-images-idx3-ubyte.gz" in ran.stderr
        assert "read the test images of mnist" in told
        assert any(line.startswith("opened ") for line in told)
