"""What a definition names is looked for in its own folder first, whatever is loaded already."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from objectives.files import place

import hpo
from hpo.importing import ImportFailed, import_name


@pytest.fixture(autouse=True)
def _as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave no module and no path behind."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield
    for name, module in list(sys.modules.items()):
        if str(tmp_path) in repr(module):
            del sys.modules[name]


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return tmp_path / "a"


@pytest.fixture
def b(tmp_path: Path) -> Path:
    return tmp_path / "b"


def write(folder: Path, file: str, text: str) -> None:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def called(folder: Path, name: str = "my_train:train") -> object:
    return import_name("objective", name, str(folder))()


WHERE = "from pathlib import Path\n\ndef train():\n    return Path(__file__)\n"
"""A module that says which one it is."""


@pytest.mark.parametrize(
    ("name", "file", "files"),
    [
        ("my_train:train", "my_train.py", []),
        ("kit:train", "kit/__init__.py", []),
        ("kit.inner.my_train:train", "kit/inner/my_train.py", ["kit/__init__.py"]),
        ("loose.my_train:train", "loose/my_train.py", []),  # without __init__.py
    ],
)
def test_each_definition_gets_the_module_of_its_own_folder(
    name: str, file: str, files: list[str], a: Path, b: Path
) -> None:
    for folder in (a, b):
        write(folder, file, WHERE)
        for other in files:
            write(folder, other, "")
    for folder in (a, b, a):
        assert called(folder, name) == folder / file


def test_what_stands_beside_it_is_of_that_folder_too(a: Path, b: Path) -> None:
    for folder in (a, b):
        write(folder, "my_train.py", "import model\n\ndef train():\n    return model.train()\n")
        write(folder, "model.py", WHERE)
    for folder in (a, b, a):
        assert called(folder) == folder / "model.py"


def test_the_same_module_is_not_imported_again(a: Path, b: Path) -> None:
    count = "calls = []\n\ndef train():\n    calls.append(1)\n    return len(calls)\n"
    write(a, "my_train.py", count)
    write(b, "other_train.py", WHERE)
    assert [called(a), called(a)] == [1, 2]
    called(b, "other_train:train")
    assert called(a) == 3


def test_a_folder_that_is_known_already_comes_first_again(a: Path, b: Path) -> None:
    for folder in (a, b):
        write(folder, "my_train.py", WHERE)
        sys.path.append(str(folder))
    assert called(b) == b / "my_train.py"
    assert sys.path[0] == str(b)
    assert sys.path.count(str(b)) == 1


def test_what_is_installed_stays_loaded(a: Path) -> None:
    """A folder that has another file of that name, or one of no use, does not hide a package."""
    write(a, "my_train.py", WHERE)
    write(a, "numpy.py", "raise RuntimeError('not this one')\n")
    write(a, "pandas/notes.txt", "")
    called(a)
    assert sys.modules["numpy"] is np
    assert import_name("objective", "pandas:concat", str(a)) is pd.concat
    assert sys.modules["pandas"] is pd


def test_what_is_installed_makes_way_for_the_named_one(a: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site-packages"
    write(installed, "my_train/__init__.py", WHERE)
    write(installed, "my_train/inner.py", "")
    write(a, "my_train.py", WHERE)
    assert called(installed) == installed / "my_train/__init__.py"
    import_name("objective", "my_train.inner:__name__.upper", str(installed))
    assert called(a) == a / "my_train.py"
    assert "my_train.inner" not in sys.modules


def test_installed_packages_keep_their_place_behind_pythons_own(tmp_path: Path) -> None:
    installed = tmp_path / "site-packages"
    write(installed, "my_train.py", WHERE)
    assert called(installed) == installed / "my_train.py"
    assert sys.path[-1] == str(installed)


def test_a_module_that_the_folder_lacks_is_told(a: Path) -> None:
    a.mkdir()
    with pytest.raises(ImportFailed, match=f"no module 'my_train' in {a} or among the installed"):
        called(a)


FINDING = """
import hpo

def finding(trials, curves):
    return hpo.Finding("it is mine", __file__, holds=True)
"""


def test_studies_of_two_folders_find_with_their_own_functions(home: Path, a: Path, b: Path) -> None:
    """As in a notebook: one process, and a `finding` of the same name for each."""
    for folder in (a, b):
        write(folder, "my_finding.py", FINDING)
        place(folder, search={"trials": 1}, finding="my_finding:finding")
    for folder in (a, b, a):
        (found,) = hpo.start(folder / "my.toml", workers=1).findings
        assert found.measured == str(folder / "my_finding.py")
