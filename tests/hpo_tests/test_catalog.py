"""Built-in definitions and data sets, found by entry points; and files of the user's own."""

import re
from pathlib import Path

import pytest
from objectives.files import place

from hpo import catalog
from hpo.errors import DefinitionError, NotFoundError


def test_what_there_is():
    names = catalog.definition_names()
    assert names[-3:] == ["digits", "mnist", "mnist-book"]
    assert len([name for name in names if name.startswith("ch06/")]) == len(names) - 3 == 13
    assert [data_set.name for data_set in catalog.data_sets()] == ["digits", "mnist"]
    for name in names:
        file = name.removeprefix("ch06/").replace("-", "_") if "/" in name else name
        assert catalog.definition_file(name).name == f"{file}.toml"
        definition = catalog.find_definition(name)
        assert definition.name == name
        assert definition.folder is None  # its objective comes from an installed package
    assert catalog.find_definition(None) == catalog.find_definition("digits")


def test_a_file(home: Path):
    place(home, file="mine.toml")
    place(home, file="other.txt", name="named")
    assert catalog.find_definition("mine.toml").name == "mine"
    assert catalog.find_definition("./mine.toml").folder == str(home)
    assert catalog.find_definition(str(home / "other.txt")).name == "named"


def test_a_built_in_name_wins_over_a_file_of_that_name(home: Path):
    place(home, file="digits", name="mine")
    assert catalog.find_definition("digits").name == "digits"
    assert catalog.find_definition("./digits").name == "mine"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "digit",
            "there is no definition 'digit'. Did you mean digits? There are: ch06/activations, ",
        ),
        ("x", "digits, mnist, mnist-book, or name a file such as my.toml"),
        ("", "there is no definition ''. There are: ch06/"),
        (".", "there is no definition '.'. There are: ch06/"),
    ],
)
def test_no_such_definition(home: Path, name, sentence):
    with pytest.raises(NotFoundError, match=re.escape(sentence)):
        catalog.find_definition(name)


def test_no_such_file(home: Path):
    with pytest.raises(DefinitionError, match=r"There is no file no/where.toml"):
        catalog.find_definition("no/where.toml")


def test_no_such_data_set():
    with pytest.raises(
        NotFoundError,
        match=r"there is no data set 'minst'\. Did you mean mnist\? There are: digits, mnist$",
    ):
        catalog.find_data_set("minst")
