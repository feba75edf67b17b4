"""The wheel: what is in it, and that it works away from the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from email.parser import HeaderParser
from pathlib import Path

import optuna
import pytest
from objectives.files import place

import hpo
from hpo.store import migrations

ROOT = Path(hpo.__file__).parent.parent

Run = Callable[..., str]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the source tree in which people have worked."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    tree = tmp_path_factory.mktemp("source") / "tree"
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # deleted files are still listed
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    for folder in ("hpo", "core", "studies", "alembic", "alembic/versions"):
        (tree / folder / "__pycache__").mkdir()
        (tree / folder / "__pycache__/left.cpython-311.pyc").write_bytes(b"left over")
    (tree / "hpo.db").write_bytes(b"a user's results")
    return tree


def build(tree: Path, target: Path, *options: str) -> Path:
    """Build a wheel; without options from the source archive, as for an upload."""
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", target, *options, tree],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tree, tmp_path_factory.mktemp("wheel"), "--wheel")


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return contents(wheel)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel],
        check=True,
    )
    return target


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Return a function that runs Python with the installed copy, in an empty folder."""

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=tmp_path,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("HPO_")},
                "PYTHONPATH": str(installed),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def test_its_top_level_is_ours_and_nothing_else(names: set[str]) -> None:
    top = {name.split("/")[0] for name in names}
    assert top == {"hpo", "core", "studies", f"hpo_service-{hpo.__version__}.dist-info"}


def test_it_holds_every_module_and_the_files_beside_them(names: set[str]) -> None:
    for package in ("hpo", "core", "studies"):
        for path in (ROOT / package).rglob("*.py"):
            assert path.relative_to(ROOT).as_posix() in names
    for path in (ROOT / "studies").glob("*.toml"):
        assert f"studies/{path.name}" in names
    assert {"hpo/_alembic/env.py", "hpo/_alembic/script.py.mako"} <= names
    for path in (ROOT / "alembic/versions").glob("*.py"):
        assert f"hpo/_alembic/versions/{path.name}" in names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)


def test_it_holds_nothing_of_the_workshop(names: set[str]) -> None:
    endings = {Path(name).suffix for name in names if ".dist-info/" not in name}
    assert endings <= {".py", ".toml", ".mako", ".typed"}
    assert not [name for name in names if "__pycache__" in name or "tests" in name.split("/")]
    assert "hpo/_alembic/__init__.py" not in names


def test_the_source_archive_builds_the_same_wheel(
    tree: Path, names: set[str], tmp_path: Path
) -> None:
    assert contents(build(tree, tmp_path)) == names


def test_the_version_is_everywhere_the_same(wheel: Path, names: set[str]) -> None:
    log = ROOT / "CHANGELOG.md"
    assert log.exists()
    released = r"^## (\d+\.\d+\.\d+)\b(?!.*unreleased)"
    newest = re.search(released, log.read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    metadata = f"hpo_service-{hpo.__version__}.dist-info/METADATA"
    with zipfile.ZipFile(wheel) as archive:
        header = HeaderParser().parsestr(archive.read(metadata).decode())
    assert newest[1] == header["Version"] == hpo.__version__
    assert header["Name"] == "hpo-service"


def test_what_it_needs_is_what_it_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {re.split(r"[^\w-]", name)[0] for name in project["dependencies"]}
    imported = set()
    for package in ("hpo", "core", "studies"):
        for path in (ROOT / package).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            imported |= set(re.findall(r"^\s*(?:from|import) (\w+)", source, re.MULTILINE))
    modules = {name.replace("-", "_") for name in required - {"scikit-learn"}}
    unused = modules - imported
    assert not unused
    missing = imported - modules - set(sys.stdlib_module_names) - {"hpo", "core", "studies"}
    # The data of scikit-learn is read as files; torch and pyarrow come with their extras.
    assert missing <= {"sklearn", "torch", "pyarrow"}, missing


def test_the_installed_copy_is_the_one_that_runs(run: Run, installed: Path) -> None:
    code = "import hpo, core, studies; print(hpo.__file__, core.__file__, studies.__file__)"
    for file in run("-c", code).split():
        assert Path(file).is_relative_to(installed)
    code = "from hpo.store.migrations import script_location; print(script_location())"
    assert Path(run("-c", code).strip()) == installed / "hpo/_alembic"


def test_a_study_of_ones_own_from_the_wheel(run: Run, tmp_path: Path) -> None:
    place(tmp_path, "hill", search={"trials": 2})
    document = json.loads(run("-m", "hpo", "start", "my.toml", "--workers", "1", "--json"))
    assert document["stages"][0]["counts"]["complete"] == 2
    status = json.loads(run("-m", "hpo", "db", "status", "--json"))
    assert (status["studies"], status["trials"]) == (1, 2)
    assert run("-m", "hpo", "db", "check") == "Nothing wrong was found.\n"


def test_the_migrations_of_the_wheel(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/stock.db"
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(study_name="theirs", storage=storage)
    storage.engine.dispose()
    assert "none: no tables of hpo" in run("-m", "hpo", "db", "status", "--storage", url)
    assert f"to {migrations.HEAD}" in run("-m", "hpo", "db", "upgrade", "--storage", url)
    assert json.loads(run("-m", "hpo", "db", "status", "--storage", url, "--json"))["studies"] == 0
    assert optuna.get_all_study_names(url) == ["theirs"]


def test_the_built_in_definitions_of_the_wheel(run: Run) -> None:
    found = json.loads(run("-m", "hpo", "studies", "--json"))
    assert {"digits", "mnist", "mnist-book"} <= set(found)
