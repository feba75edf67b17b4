"""What a definition was started from: the command that starts it again, as it would be typed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import databases
import pytest
from commands import done
from objectives.files import place

from hpo.catalog import find_definition
from hpo.cli import options as cli
from hpo.definition import define
from hpo.launch import open_study
from hpo.origin import Origin, options


def again(definition: Any, **settings: Any) -> str | None:
    return definition.origin.command(settings)


def test_a_built_in_definition_has_its_name() -> None:
    assert again(find_definition(None)) == "hpo start digits"
    digits = find_definition("digits").quickened().setting("lr", 0.1)
    assert again(digits, epochs=3) == "hpo start digits --quick --set lr=0.1 --set epochs=3"
    assert again(digits, lr=0.2) == "hpo start digits --quick --set lr=0.2"


def test_a_file_has_its_path_from_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "sub").mkdir()
    file = place(home / "sub")
    definition = find_definition("sub/my.toml")
    assert again(definition) == "hpo start sub/my.toml"
    monkeypatch.chdir(home / "sub")
    assert again(definition) == "hpo start my.toml"
    (home / "other").mkdir()
    monkeypatch.chdir(home / "other")
    assert again(definition) == f"hpo start {file}"
    file.unlink()
    assert again(definition) is None


@pytest.mark.parametrize("name", ["digits", "-my.toml"])
def test_a_file_that_is_called_as_something_else_is_told_as_a_file(home: Path, name: str) -> None:
    place(home).rename(home / name)
    command = again(find_definition(f"./{name}"))
    assert command == f"hpo start ./{name}"


def test_a_function_has_no_command() -> None:
    made = define("m:train", space={"x": {"low": 0, "high": 1}}, direction="maximize")
    assert made.origin is None
    assert made.searching(trials=5).origin is None


def test_the_database_keeps_it(home: Path) -> None:
    place(home, fixed={"epochs": 2}, search={"trials": 9}, quick={"search": {"trials": 1}})
    done("start", "my.toml", "--quick", "--epochs", 3)
    with open_study(1, None) as (_, study):
        began = Origin(file=str(home / "my.toml"), quick=True, settings={"epochs": 3})
        assert study.definition.origin == began
    # As an older version has left it.
    forget = "UPDATE hpo_studies SET environment = json_remove(environment, '$.origin')"
    databases.sql(home / "hpo.db", forget)
    with open_study(1, None) as (_, study):
        assert study.definition.origin is None


@pytest.mark.parametrize(
    "value", [0.1, 3, True, "he", "it's", "nötig", [100, 50], {"a": [True, {"b c": 1}]}, 1e-7]
)
def test_a_setting_is_read_as_it_was_given(value: Any) -> None:
    _, flag, text = shlex.split(f"x{options({'key': value})}")
    assert flag == "--set"
    assert cli.toml_settings(None, None, (text,)) == {"key": value}  # type: ignore[arg-type]
