"""The names that `import hpo` gives."""

import subprocess
import sys
import types

import pytest

import hpo


def test_the_public_names_are_sorted_and_listed() -> None:
    assert hpo.__all__ == sorted(hpo.__all__)
    assert dir(hpo) == hpo.__all__
    assert len(set(hpo.__all__)) == len(hpo.__all__)


@pytest.mark.parametrize("name", hpo.__all__)
def test_each_public_name_can_be_had(name: str) -> None:
    found = getattr(hpo, name)
    assert callable(found)
    assert not isinstance(found, types.ModuleType)
    assert found.__doc__


def test_all_of_them_can_be_imported_at_once() -> None:
    names: dict[str, object] = {}
    exec("from hpo import *", names)
    assert set(hpo.__all__) <= set(names)


def test_another_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'hpo' has no attribute 'tune'"):
        hpo.tune  # noqa: B018
    with pytest.raises(ImportError, match="tune"):
        from hpo import tune  # noqa: F401


def test_no_module_takes_the_place_of_a_public_name() -> None:
    # An imported submodule becomes an attribute of its package: none may be called like a name.
    code = (
        "import pkgutil, types, hpo\n"
        "parts = [m.name for m in pkgutil.walk_packages(hpo.__path__, 'hpo.')]\n"
        "for part in parts:\n"
        "    if not part.endswith('__main__'): __import__(part)\n"
        "print([n for n in hpo.__all__ if isinstance(getattr(hpo, n), types.ModuleType)])\n"
        "print(callable(hpo.report), 'hpo.reports.frames' in parts)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "True True"]


def test_the_version_is_that_of_the_installed_distribution() -> None:
    from importlib.metadata import version

    assert version("hpo-service") == hpo.__version__
