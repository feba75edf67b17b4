"""Who may import what: the rooms of the house, and one door to each third-party library."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import hpo

ROOT = Path(hpo.__file__).parent.parent

# What each room may import beside the standard library. A room is a pattern of module names,
# the first that fits counts; "own" stands for the rest of its top-level package.
VOCABULARY = (
    "tracebacks",
    "space",
    "space_parsing",
    "search",
    "pruning",
    "definition",
    "objective",
    "trial",
    "errors",
    "study",
    "finding",
    "importing",
    "use",
    "threads",
    "wording",
    "note",
    "origin",
)
ROOMS: dict[str, set[str]] = {
    "core": {"own", "numpy"},
    # the vocabulary: of the service it knows only itself
    **{f"hpo.{name}": {f"hpo.{word}" for word in VOCABULARY} for name in VOCABULARY},
    "hpo.definition": {*(f"hpo.{name}" for name in VOCABULARY), "hpo.definition_models"},
    "hpo.definition_models": {"hpo.definition_errors", "hpo.errors", "hpo.search", "pydantic"},
    "hpo.definition_errors": set(),
    "hpo.worker": {
        "hpo.objective",
        "hpo.importing",
        "hpo.tracebacks",
    },  # what an objective runs in: starts fast, knows no database
    "hpo.pool": {*(f"hpo.{name}" for name in VOCABULARY), "psutil"},
    "hpo.catalog": {f"hpo.{name}" for name in VOCABULARY},
    "hpo.sampling.evolution": {"hpo.sampling", "hpo.space", "hpo.trial", "numpy", "cmaes"},
    "hpo.sampling": {
        "hpo.sampling",
        *(f"hpo.{name}" for name in VOCABULARY),
        "numpy",
        "scipy",
        "optuna",
    },
    "hpo.confirmation": {"numpy", "scipy"},  # a pure function of scores
    "hpo.narrowing": {
        "hpo.narrowing",
        *(f"hpo.{name}" for name in VOCABULARY),
        "numpy",
        "scipy",
    },
    "hpo.store.migrations": {"hpo", "hpo.store", "hpo.errors", "sqlalchemy", "alembic"},
    "hpo.store": {
        "hpo.store",
        *(f"hpo.{name}" for name in VOCABULARY),
        "sqlalchemy",
        "optuna",
    },
    "hpo.reports.frames": {"own", "pandas"},
    "hpo.reports.importance": {"own", "optuna"},
    "hpo.reports": {"own", "matplotlib", "numpy"},
    "hpo.dashboard": {"own", "optuna_dashboard"},
    "hpo.cli": {"own", "click", "rich"},
    "hpo": {"own"},
    "studies.ch06.drawing": {"numpy", "matplotlib", "hpo.reports.style"},
    "studies.ch06": {
        "own",
        "core",
        "hpo.errors",
        "hpo.finding",
        "hpo.objective",
        "hpo.sampling",
        "hpo.space",
        "numpy",
        "pandas",
    },
    "studies": {"own", "core", "hpo.errors", "hpo.objective", "numpy", "platformdirs"},
    "alembic": {"hpo.store", "sqlalchemy", "alembic"},
}

# A name in an annotation opens no door: these are imported for type checkers only.
ANNOTATIONS = {
    ("hpo.reports.figures", "pandas"),
    ("studies.ch06.*", "pandas"),
    ("studies.ch06.*", "matplotlib"),
}


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    line: int
    late: bool
    annotation: bool


def imports_of(module: str, source: str, *, package: bool) -> Iterator[Import]:
    """Yield every import of a module, also those inside functions."""

    def walk(node: ast.AST, late: bool, annotation: bool) -> Iterator[Import]:
        match node:
            case ast.Import(names=names):
                targets = [alias.name for alias in names]
            case ast.ImportFrom(module=name, names=names, level=level):
                base = module.split(".")[: None if package and level == 1 else -level or None]
                if level and package:
                    base = module.split(".")[: len(module.split(".")) - level + 1]
                stem = ".".join([*(base if level else []), *([name] if name else [])])
                # `from hpo import sampling` imports a module, `from hpo.space import Space` does
                # not; the longer name is right for both, since a pattern fits what lies below it.
                targets = [f"{stem}.{alias.name}" for alias in names]
            case ast.Call(func=ast.Name(id="__import__") | ast.Attribute(attr="import_module")):
                targets = [
                    arg.value
                    for arg in node.args[:1]
                    if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                ]
            case _:
                targets = []
        for target in targets:
            yield Import(module, target, getattr(node, "lineno", 0), late, annotation)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.body:
                yield from walk(child, late, True)
            for child in node.orelse:
                yield from walk(child, late, annotation)
            return
        for child in ast.iter_child_nodes(node):
            yield from walk(child, late or inside, annotation)

    yield from walk(ast.parse(source), False, False)


@cache
def all_imports(root: Path) -> list[Import]:
    found: list[Import] = []
    for top in ("core", "hpo", "studies", "alembic"):
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if package else parts)
            found += imports_of(module, path.read_text(encoding="utf-8"), package=package)
    return found


def below(name: str, top: str) -> bool:
    return name == top or name.startswith(f"{top}.")


def allowed(one: Import) -> bool:
    library = one.imported.split(".")[0]
    if library in sys.stdlib_module_names:
        return True
    if one.annotation and (
        one.importer == "hpo"
        or any(fnmatchcase(one.importer, who) and library == what for who, what in ANNOTATIONS)
    ):
        return True
    room = next((room for room in ROOMS if below(one.importer, room)), None)
    if room is None:
        return False
    if one.imported == "hpo.__version__" and one.importer.startswith("hpo."):
        return True
    own = one.importer.split(".")[0]
    return any(below(one.imported, own if name == "own" else name) for name in ROOMS[room])


def broken_rules(root: Path) -> list[str]:
    return [
        f"{one.importer}, line {one.line}: imports {one.imported}"
        for one in all_imports(root)
        if not allowed(one)
    ]


def test_every_import_is_allowed() -> None:
    assert broken_rules(ROOT) == []


def test_every_room_of_the_table_is_there() -> None:
    modules = {one.importer for one in all_imports(ROOT)}
    for room in ROOMS:
        assert any(below(module, room) for module in modules), f"{room} has moved: mend the table"


def doors() -> dict[str, set[str]]:
    """Return the modules that import each third-party library when the house runs."""
    found: dict[str, set[str]] = {}
    for one in all_imports(ROOT):
        library = one.imported.split(".")[0]
        ours = library in {"core", "hpo", "studies"}
        if not (ours or one.annotation or library in sys.stdlib_module_names):
            found.setdefault(library, set()).add(one.importer)
    return found


DOORS = {
    "alembic": ["hpo.store.migrations", "alembic.*"],
    "click": ["hpo.cli.*"],
    "cmaes": ["hpo.sampling.evolution"],
    "matplotlib": ["hpo.reports.*", "studies.ch06.drawing"],
    "numpy": [
        "core.*",
        "hpo.confirmation",
        "hpo.narrowing.*",
        "hpo.sampling.*",
        "hpo.reports.*",
        "studies.*",
    ],
    "optuna": ["hpo.sampling.*", "hpo.store.*", "hpo.reports.importance"],
    "optuna_dashboard": ["hpo.dashboard"],
    "pandas": ["hpo.reports.frames", "studies.ch06.*"],
    "platformdirs": ["studies.*"],
    "psutil": ["hpo.pool"],
    "pydantic": ["hpo.definition_models"],
    "rich": ["hpo.cli.*"],
    "scipy": ["hpo.confirmation", "hpo.narrowing.*", "hpo.sampling.*"],
    "sqlalchemy": ["hpo.store.*", "alembic.*"],
}


def test_each_library_has_its_door_and_no_other() -> None:
    found = doors()
    assert set(found) == set(DOORS)
    for library, modules in found.items():
        strangers = {m for m in modules if not any(fnmatchcase(m, p) for p in DOORS[library])}
        assert not strangers, f"{library} has another door: {strangers}"


OFFENCES = {
    "core/sneaky.py": "import hpo",
    "core/worse.py": "def f():\n    from scipy import linalg",
    "hpo/space.py": "import numpy as np",
    "hpo/trial.py": "from hpo import service",
    "hpo/summary.py": "from core import MLP",
    "hpo/anything.py": "def f():\n    import studies.mlp",
    "hpo/supervisor.py": "from sqlalchemy import Engine",
    "hpo/worker.py": "from hpo.store.engine import reading",
    "hpo/narrowing/rule.py": "from hpo.store import engine",
    "hpo/narrowing/other.py": "import importlib\nimportlib.import_module('optuna')",
    "hpo/sampling/sobol.py": "from cmaes import CMA",
    "hpo/sampling/grid.py": "from ..store import engine",
    "hpo/store/engine.py": "def f():\n    from alembic import command",
    "hpo/reports/panels.py": "import pandas as pd",
    "hpo/reports/figures.py": "import pandas as pd",  # allowed under TYPE_CHECKING only
    "hpo/service.py": "import click",
    "studies/mlp.py": "from hpo.service import start",
    "studies/data.py": "import pandas",
    "alembic/env.py": "import optuna",
    "alembic/versions/0002.py": "from hpo import service",
}


@pytest.mark.parametrize("path", OFFENCES)
def test_an_offence_is_seen(path: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(OFFENCES[path])
    assert len(broken_rules(tmp_path)) == 1


def test_what_is_allowed_is_not_called_an_offence(tmp_path: Path) -> None:
    fine = {
        "hpo/reports/figures.py": "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import pandas as pd\n",
        "core/__init__.py": "from .layers import Affine\nfrom core.network import MLP",
        "hpo/sampling/__init__.py": "from . import grid\nfrom .sobol import draw",
        "hpo/sampling/grid.py": "from ..space import Space\nfrom .request import Request",
    }
    for path, source in fine.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(source)
    assert broken_rules(tmp_path) == []


def parts_graph(root: Path) -> dict[str, set[str]]:
    """Return which parts of `hpo` (modules and packages at its top) import which others.

    Late imports count: a circle is a circle, also when it is closed later. The facade
    `hpo/__init__.py` imports its parts by name at first use and is no part itself.
    """
    graph: dict[str, set[str]] = {}
    for one in all_imports(root):
        importer, imported = one.importer.split("."), one.imported.split(".")
        if importer[0] == imported[0] == "hpo" and len(importer) > 1 and len(imported) > 1:
            part = root / "hpo" / imported[1]
            is_part = part.is_dir() or part.with_suffix(".py").exists()
            if is_part and importer[1] != imported[1]:
                graph.setdefault(importer[1], set()).add(imported[1])
    return graph


def test_no_part_of_hpo_imports_itself_through_others() -> None:
    graph = parts_graph(ROOT)
    assert {"cli", "service", "store", "reports"} <= set(graph)
    list(TopologicalSorter(graph).static_order())


def test_a_circle_is_seen(tmp_path: Path) -> None:
    (tmp_path / "hpo").mkdir()
    (tmp_path / "hpo/one.py").write_text("from hpo.two import b")
    (tmp_path / "hpo/two.py").write_text("def f():\n    from hpo import one")
    with pytest.raises(CycleError):
        list(TopologicalSorter(parts_graph(tmp_path)).static_order())


def test_the_facade_imports_no_part_when_it_is_imported() -> None:
    now = [i for i in all_imports(ROOT) if i.importer == "hpo" and not (i.late or i.annotation)]
    assert {one.imported.split(".")[0] for one in now} <= sys.stdlib_module_names


def test_folders_that_would_hide_a_library_or_a_package() -> None:
    assert not (ROOT / "alembic/__init__.py").exists()
    assert not (ROOT / "alembic/versions/__init__.py").exists()
    assert not (ROOT / "tests/core").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))


HEAVY = ("numpy", "optuna", "sqlalchemy", "alembic", "pandas", "matplotlib", "scipy", "sklearn")


@pytest.mark.parametrize(
    "module", ["hpo", "hpo.worker", "hpo.cli.group", "hpo.cli.progress", "hpo.starting"]
)
def test_a_quick_start_imports_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, {module}; "
        f"print([name for name in {HEAVY!r} if name in sys.modules], '{module}' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] True"
