"""Every command and every piece of code that the documentation shows does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hpo.definition import parse_definition

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MNIST = os.environ.get("HPO_DATA_DIR")

SMALL = {
    # The same commands, small enough for a test.
    "hpo start --sampler random": "--trials 30 --epochs 1",
    "hpo start --sampler random --pruner asha": "--trials 8 --epochs 20",
    "hpo start digits --quick": "--trials 2 --epochs 1",
    "hpo start mnist-book --sampler random --workers 2": "--trials 2 --epochs 1",
    "hpo start my.toml": "--epochs 1 --workers 1",
    "hpo narrow my": "--trials 2 --workers 1",
    "hpo confirm 1": "--top 2 --seeds 2",
    "hpo start my.toml --sampler tpe --trials 30 --name tpe-at-once": (
        "--trials 2 --epochs 1 --workers 1"
    ),
    "hpo start ch06/optimizer-paths": "--quick --name ch06/optimizer-paths",
    "hpo data fetch mnist": f"--from {MNIST}/mnist",
}
NEED_MNIST = ("hpo data fetch mnist", "hpo start mnist-book --sampler random --workers 2")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str) -> list[str]:
    shown = [line for block in blocks(text, "console") for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in shown if line.startswith("$ ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "docs" / "own-training", tmp_path / "own")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    return tmp_path / "own"


def test_the_commands_of_the_readme_run_in_their_order(folder: Path) -> None:
    shown = commands(README)
    assert len(shown) >= 15
    for command in shown:
        if command in NEED_MNIST and MNIST is None:
            continue
        run = subprocess.run(
            [*command.split(), *SMALL.get(command, "").split()],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
        assert "Traceback" not in run.stderr, command


def test_the_python_of_the_readme_runs(folder: Path) -> None:
    (code,) = [block for block in blocks(README, "python") if block.startswith("import hpo")]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "'lr'" in run.stdout
    assert "COMPLETE" in run.stdout


@pytest.mark.parametrize(
    ("page", "file"),
    [
        ("README.md", "my_train.py"),
        ("README.md", "my.toml"),
        ("docs/definitions.md", "compare.toml"),
        ("docs/definitions.md", "compare.py"),
    ],
)
def test_a_page_shows_the_example_as_it_is(page: str, file: str) -> None:
    path = f"docs/own-training/{file}"
    text = (ROOT / page).read_text()
    shown = re.search(rf"<!-- {path} -->\n```\w+\n(.*?)```", text, flags=re.DOTALL)
    assert shown is not None
    assert shown[1] == (ROOT / path).read_text()


def test_the_comparison_finds_something_and_has_its_figure(folder: Path) -> None:
    for command in ("hpo start compare.toml --workers 1", "hpo plot compare"):
        run = subprocess.run(
            command.split(), cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert run.returncode == 0, run.stderr
        if "start" in command:
            assert "64 hidden units are better than 4" in run.stdout
            assert "gain +" in run.stdout
    assert (folder / "plots-compare" / "figure.png").exists()


def test_the_definition_of_the_reference_is_one() -> None:
    block, _ = blocks((ROOT / "docs" / "definitions.md").read_text(), "toml")
    definition = parse_definition(tomllib.loads(block))
    assert definition.quickened().search.trials == 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_the_readme_names_every_command() -> None:
    from hpo.cli.group import hpo

    section = README.split("## Commands")[1]
    for name in hpo.commands:
        assert re.search(rf"\b{name}\b", section), name


def test_a_trials_way_has_at_most_seven_stops() -> None:
    stops = re.findall(r"^\| (\d+) \| \[", README, flags=re.MULTILINE)
    assert stops == [str(i + 1) for i in range(len(stops))]
    assert len(stops) <= 7
