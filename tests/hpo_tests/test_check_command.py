"""`hpo check` on studies that ran: what a person and a script get of it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import done, run
from objectives.files import place

import hpo


def told(stdout: str) -> dict[str, tuple[str, str]]:
    """Return status and message by check, as the screen says it."""
    lines = [line.split(maxsplit=2) for line in stdout.splitlines()]
    return {
        line[1]: (line[0], line[2])
        for line in lines
        if len(line) == 3 and line[0] in ("pass", "warn", "fail")
    }


def test_a_study_that_leans_on_an_edge(home: Path) -> None:
    place(home, "slope", search={"trials": 30})
    done("start", "my.toml")
    result = done("check", "my")
    said = told(result.stdout)
    assert result.stdout.startswith("my · study 1 · stage 1, random\n\n")
    assert said["edge"][0] == "warn"
    assert "the optimum of x lies at its upper edge 1e-02" in said["edge"][1]
    assert "→ hpo narrow 1\n" in result.stdout
    statuses = [status for status, _ in said.values()]
    assert statuses == sorted(statuses, key=["fail", "warn", "pass"].index)
    assert "\nNothing to go by: idle, curves, overfit, validation\n" in result.stdout

    done(*["narrow", "1", "--trials", "30"])  # as it says
    after = done("check", "my").stdout
    assert "stage 2, tpe" in after
    assert "upper edge 1e-02" not in after


def test_curves_are_read(home: Path) -> None:
    place(home, fixed={"epochs": 6}, search={"trials": 6})
    done("start", "my.toml")
    (found,) = [v for v in hpo.check("my") if v.check == "curves"]
    assert found.message.startswith("score of the best 5 trials ")
    assert found.message.endswith(" over the step before the last of 6")


def test_what_was_started_can_be_started_again_as_a_remedy_says(home: Path) -> None:
    (home / "my folder").mkdir()
    place(home / "my folder", "rising", fixed={"epochs": 6, "pause": 1}, search={"trials": 6})
    done("start", "my folder/my.toml", "--epochs", 5, "--set", "pause=0")
    (found,) = [v for v in hpo.check("my") if v.check == "curves"]
    assert found.remedy == "hpo start 'my folder/my.toml' --set pause=0 --set epochs=10"
    _, *words = shlex.split(found.remedy)
    done(*words)
    assert hpo.show("my-2").study.definition.fixed == {"epochs": 10, "pause": 0}

    (home / "my folder" / "my.toml").unlink()
    (found,) = [v for v in hpo.check("my") if v.check == "curves"]
    assert found.remedy == "Start the next study with --set epochs=10"


def test_a_study_that_failed(home: Path) -> None:
    place(home, "leaving", fixed={"how": "raise"}, search={"trials": 3})
    assert run("start", "my.toml").exit_code == 1
    result = run("check", 1)
    assert result.exit_code == 1
    assert result.stderr == ""
    said = told(result.stdout)
    assert said["failed"] == ("fail", "3 of 3 trials failed: 3 raised an exception")
    assert "→ hpo show 1 --debug\n" in result.stdout


def test_remedies_name_the_database(home: Path) -> None:
    place(home, search={"trials": 3})
    url = f"sqlite:///{home}/other.db"
    done("start", "my.toml", "--storage", url)
    result = done("check", 1, "--storage", url)
    assert f"→ hpo resume --storage {url} 1 --trials 30\n" in result.stdout
    assert run("check", 2, "--storage", url).exit_code == 1


def test_from_python(home: Path) -> None:
    place(home, search={"trials": 3})
    hpo.start("my.toml")
    (trials,) = [verdict for verdict in hpo.check("my") if verdict.check == "trials"]
    assert (trials.status, trials.remedy) == ("warn", "hpo resume 1 --trials 30")


def test_its_help_says_what_it_exits_with() -> None:
    told = done("check", "--help").stdout
    assert "Exit code 0 if no check fails" in told


@pytest.mark.parametrize("command", [["list"], ["show", "1"]])
def test_other_commands_do_not_pay_for_it(home: Path, command: list[str]) -> None:
    place(home, search={"trials": 2})
    done("start", "my.toml")
    code = (
        f"import sys; sys.argv = ['hpo', *{command!r}]\n"
        "from hpo.cli import main\n"
        "try: main()\n"
        "except SystemExit: print([m for m in ('hpo.health', 'scipy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
