"""What the screens say of results: of studies made by hand, no trial is run."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from rich.cells import cell_len

from hpo import narrowing
from hpo.cli import console, screens, tables, words
from hpo.cli.progress import Terminal
from hpo.definition import Definition
from hpo.finding import Finding
from hpo.next_stage import Proposal
from hpo.space import Float, Space
from hpo.study import Ended, Stage, Study
from hpo.summary import Summary
from hpo.trial import Trial, TrialState

SPACE = Space({"x": Float(0.0, 1.0)})
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def summary(*stages, seeds=1, direction="maximize", name="my", space=SPACE):
    """A finished study of stages given as lists of trials, each the child of the one before."""
    definition = Definition("my", "m:train", direction, space, "score")
    made = [
        Stage(
            n, f"s{n}", n, n - 1 or None, f"my/{n}", "start", space, None, "random",
            len(trials), seeds, NOW, NOW,
        )
        for n, trials in enumerate(stages, 1)
    ]  # fmt: skip
    return Summary(Study(1, "u", name, definition, None, {}, NOW), made, stages, Ended.FINISHED)


def trial(number, value, x=None, stage=1, **rest):
    params = {"x": number / 10 if x is None else x}
    return Trial(stage, number, TrialState.COMPLETE, params, value, **rest)


def failed(number, reason="error", **rest):
    state = TrialState.FAIL
    return replace(trial(number, None), state=state, reason=reason, **rest)


def replicates(*settings):
    """Settings given as the values of their replicates."""
    return [
        trial(len(values) * s + r, value, x=s / 10)
        for s, values in enumerate(settings)
        for r, value in enumerate(values)
    ]


def told(capsys, found, stage=None):
    """Return what is said at the end of a run."""
    screens.outlook(found, stage or found.last, None)
    return capsys.readouterr().err


# The recommendation


def test_of_replicates_the_mean_is_shown_and_said(capsys):
    found = summary(replicates((0.9, 0.1, 0.2), (0.6, 0.5, 0.4)), seeds=3)
    assert re.match(
        r"Recommended: x 0\.1 – 0\.500 ± 0\.\d\d\d, mean of 3 seeds "
        r"\(trial 1/3 scored 0\.600\)\.\n1 setting cannot be told apart from it\.\n",
        told(capsys, found),
    )
    screens.best(found)
    said = capsys.readouterr().err
    assert said.startswith("score 0.500 ± 0.")
    assert said.endswith("Best score of a single trial: 0.900 (trial 1/0).\n")
    tables.study_list([found])
    assert re.search(r"my +1 +6 +0\.500 ", capsys.readouterr().out)
    tables.study(found)
    assert re.search(r"random +6 +0\.500 ", capsys.readouterr().out)


def test_a_setting_that_is_drawn_again_has_no_other_seeds(capsys):
    again = [*replicates((0.6, 0.5), (0.1, 0.2)), trial(4, 0.6, x=0.0), trial(5, 0.5, x=0.0)]
    assert "0.550 ± " in (said := told(capsys, summary(again, seeds=2)))
    assert "mean of 2 seeds (" in said


def test_of_the_replicates_those_are_counted_that_have_completed(capsys):
    some = [trial(0, 0.6, x=0.1), trial(1, 0.5, x=0.1), failed(2, "error", params={"x": 0.1})]
    found = summary(some, seeds=3)
    assert "0.550" in told(capsys, found)
    assert "mean of 2 of 3 seeds (" in told(capsys, found)


def test_of_an_earlier_stage(capsys):
    found = summary([trial(n, 0.5 + n / 100) for n in range(10)], [trial(0, 0.4, 0.05, stage=2)])
    said = re.search(
        r"Recommended: x 0\.9 – (0\.\d+) ± [\d.]+, .* \(trial 1/9 ", told(capsys, found)
    )
    assert said
    assert float(said[1]) == pytest.approx(0.59, abs=0.02)
    assert "cannot be told apart" in told(capsys, summary([trial(n, 0.5) for n in range(10)]))


@pytest.mark.parametrize(
    ("direction", "new", "sign"),
    [
        ("maximize", 0.8, "+"),
        ("maximize", 0.2, "-"),
        ("minimize", 0.2, "+"),
        ("minimize", 0.8, "-"),
    ],
)
def test_a_gain_is_positive_if_it_is_one(capsys, direction, new, sign):
    near = [trial(n, 0.5 + n / 1e4, n / 100) for n in range(10)]
    far = [trial(n, new + n / 1e4, 0.9 + n / 100, stage=2) for n in range(10)]
    said = told(capsys, summary(near, far, direction=direction))
    gain = re.search(r"\nGain over stage 1: ([+-])(0\.\d+) ± [\de.-]+\.\n", said)
    assert gain
    assert gain[1] == sign
    assert float(gain[2]) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.000"),
        (0.9656, "0.966"),
        (-0.0005, "-0.001"),
        (0.000499, "0.000499"),
        (-1.2345e-7, "-1.23e-07"),
        (9.9996, "10.000"),
        (1234.5678, "1235"),
    ],
)
def test_a_score_keeps_what_tells_it_from_nothing(value, shown):
    assert words.score(value) == shown


# What gave no result


def test_a_trial_counts_once_among_the_lost(capsys):
    lost = [failed(2), failed(3), failed(4, "diverged", diverged_at=0)]
    found = summary([trial(1, 0.5), *lost, trial(5, 0.0, diverged_at=7)])
    assert "! Of 5 trials, 3 failed and 1 diverged.\n" in told(capsys, found)
    tables.study(found)
    assert " 5 (3 fail, 1 div.) " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (failed(1, "timeout", seconds=2.0), "stopped after 2 s, its time limit"),
        (failed(1, "told"), "a person ended it, in a dashboard"),
        (
            failed(1, "memory"),
            "stopped: it took more memory than its limit, right at its start: "
            "--trial-memory may be too small",
        ),
        (failed(1, "memory", steps=1), "stopped: it took more memory than its limit"),
        (failed(1, "lost", retried=("lost",)), "its worker died 2 times"),
        (failed(1, "diverged", diverged_at=0), "it diverged before it had reported a score"),
        (failed(1, error='Traceback:\n  File "a"\nOSError: a\nb'), "OSError: a"),
    ],
)
def test_no_result_has_a_reason(capsys, first, reason):
    said = told(capsys, summary([first, failed(2, error="later")]))
    assert said.startswith(f"No trial gave a result: 2 failed. The first error: {reason}\n")


def test_no_setting_has_a_result_where_each_lost_most_of_its_seeds(capsys):
    some = [trial(0, 0.1, x=0.1), *(trial(n, 0.0, x=0.1, diverged_at=1) for n in (1, 2))]
    said = told(capsys, summary(some, seeds=3))
    assert said.startswith("No setting has a result: of 3 trials, 2 diverged.\n")


def error(number, said):
    return failed(number, error=f'Traceback:\n  File "a"\n{said}')


def test_every_way_to_fail_is_shown_once(capsys):
    often = [error(n, "ValueError: no") for n in range(10, 17)]
    alike = [error(n, f"OSError: disk {n * 1.5e-7} at {n:#x}") for n in (17, 18)]
    rare = [error(n, f"E{chr(n)}: no") for n in range(97, 104)]
    others = [
        failed(1, "timeout", seconds=2.0),
        failed(2, "timeout", seconds=2.25),
        *(failed(n, "memory", steps=n) for n in (3, 4, 5)),
        failed(6, "lost", retried=("lost", "lost")),
        failed(7, "diverged", diverged_at=0),
        failed(8, "diverged", diverged_at=1),
    ]
    tables.failures(summary([trial(0, 0.5), *others, *often, *alike, *rare]), None, whole=False)
    assert (
        capsys.readouterr().out
        == """
stage 1, 24 of 25 trials failed:
  7 trials (10, 11, 12, 13, 14, …): ValueError: no
  3 trials (3, 4, 5): stopped: it took more memory than its limit
  2 trials (1, 2): stopped after … s, its time limit
  2 trials (7, 8): it diverged before it had reported a score
  2 trials (17, 18): OSError: disk … at …
  trial 6: its worker died 3 times
  trial 97: Ea: no
  trial 98: Eb: no
  trial 99: Ec: no
  … and 4 with other errors

The whole traceback of trial 1/10: hpo show 1 --debug
"""
    )


def test_failures_are_those_of_each_stage(capsys):
    stages = [
        [trial(0, 0.5), failed(1, "memory", steps=1)],
        [error(0, "E: no"), trial(1, 0.5, stage=2)],
    ]
    stages[1][0] = replace(stages[1][0], stage=2)
    tables.failures(summary(*stages), None, whole=True)
    assert (
        capsys.readouterr().out
        == """
stage 1, 1 of 2 trials failed:
  trial 1: stopped: it took more memory than its limit

stage 2, 1 of 2 trials failed:
  trial 0: E: no

stage 2, trial 0:
Traceback:
  File "a"
E: no
"""
    )


def test_diverged_trials_are_not_among_the_best(capsys):
    trials = [trial(1, 0.5), trial(9, 0.0, diverged_at=3), trial(2, 0.25)]
    found = summary(trials)
    screens.best_five(found, found.last)
    assert capsys.readouterr().out == (
        "Best\n  Best-1 (score: 0.500) | x: 0.1\n  Best-2 (score: 0.250) | x: 0.2\n"
    )
    tables.study(found)
    assert "0 ░▓░░░░░░░░ 1" in capsys.readouterr().out


def test_only_diverged_trials(capsys, monkeypatch):
    found = summary([trial(1, 0.0, diverged_at=3)])
    screens.after_run(found, None, as_json=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("No trial gave a result: 1 diverged.\n")
    screens.best(found)
    assert capsys.readouterr().out == "study 1 has no result.\n"
    # Nor has the live line a best one.
    monkeypatch.setattr(console.Screen, "is_terminal", True)
    terminal = Terminal(None)
    terminal.stage_began(found.study, found.last, found.of(found.last), 1)
    terminal.stage_ended()
    live = capsys.readouterr().err
    assert "diverged 1" in live
    assert "best" not in live


# Commands


@pytest.fixture
def narrow_terminal(monkeypatch):
    """A terminal of 30 columns, in which all that is wrapped is broken."""
    for screen in (console.out, console.err):
        monkeypatch.setattr(screen, "soft_wrap", False)
    monkeypatch.setattr(console.Screen, "width", 30)


@pytest.mark.usefixtures("narrow_terminal")
@pytest.mark.parametrize("url", [None, "sqlite:///a b.db"])
def test_a_command_is_never_broken(capsys, url):
    given = " --storage 'sqlite:///a b.db'" if url else ""
    open_ = summary([trial(1, 0.5)])
    open_.stages[0] = replace(open_.last, budget=12, finished_at=None)
    stopped = replace(
        summary([trial(1, 0.5)]),
        stopped="stage 1 has 1 counted trials; narrowing needs 30. Run: hpo resume 1 --trials 30",
    )
    for found, end in (
        (summary([trial(1, 0.5)]), f"Next: hpo resume 1 --trials 30{given}"),
        (open_, f"1 of 12 trials are counted. Go on with: hpo resume 1{given}\n"),
        (stopped, f"Run: hpo resume{given} 1 --trials 30\n"),
        (stopped, f"Look at what there is: hpo show 1{given}\n"),
    ):
        screens.after_run(found, url, as_json=False)
        assert end in capsys.readouterr().err


@pytest.mark.usefixtures("narrow_terminal")
def test_a_finding_that_is_wrapped_stays_in_its_column(capsys):
    found = replace(
        summary([trial(1, 0.5)]), findings=[Finding("more is better", "a b " * 9, True)]
    )
    tables.findings(found)
    _, title, *lines = capsys.readouterr().out.splitlines()
    assert title == "Findings"
    assert lines[0].startswith("  holds          more")
    assert all(line.startswith(" " * 17) for line in lines[1:])
    assert " ".join(line[17:].strip() for line in lines) == "more is better " + ("a b " * 9).strip()


def proposal(seeds):
    """What would follow a stage of 30 settings."""
    trials = replicates(*[(-abs(s / 30 - 0.3),) * seeds for s in range(30)])
    trials = [replace(t, params={"x": t.number // seeds / 30}) for t in trials]
    found = summary(trials, seeds=seeds)
    rng = np.random.default_rng(0)
    decision = narrowing.decide(
        SPACE, trials, direction="maximize", limits={}, rng=rng, replicates=seeds
    )
    return Proposal(found.study, found.last, decision, "narrow", 9, "tpe", 30 * seeds, None)


@pytest.mark.parametrize(("seeds", "what"), [(1, "30 trials"), (3, "30 settings, 3 seeds each")])
def test_a_narrowing_says_what_it_counts(capsys, seeds, what):
    screens.decision(proposal(seeds))
    assert capsys.readouterr().err.startswith(f"my · narrowing stage 1 ({what})\n")


# Columns


def columns_of(line, *parts):
    """Return the columns of a terminal at which parts of a line begin."""
    return [cell_len(line[: line.index(part)]) for part in parts]


def test_wide_characters_shift_no_column(capsys):
    wide, plain = "日本語のstudy", "my"
    tables.study_list([summary([trial(1, 0.5)], name=name) for name in (wide, plain)])
    titles, *rows = capsys.readouterr().out.splitlines()
    at = columns_of(titles, "name", "stages", "trials", "best", "started")
    for name, row in zip((wide, plain), rows, strict=True):
        assert columns_of(row, name, "1   ", "1     ", "0.500", "2026")[::3] == at[::3]
        assert columns_of(row, "2026") == at[-1:]


def test_wide_names_of_parameters(capsys):
    space = Space({"学習率": Float(0.0, 1.0), "x": Float(0.0, 1.0)})
    found = summary([replace(trial(1, 0.5), params={"学習率": 0.25, "x": 0.75})], space=space)
    screens.best(found)
    assert capsys.readouterr().out == "学習率  0.25\nx       0.75\n"
    screens.header(found.study, found.last, 1, None)
    assert "\n  学習率  0 … 1\n  x       0 … 1\n" in capsys.readouterr().err
