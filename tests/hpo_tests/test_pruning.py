"""Pruners case by case; what the database tells them; what a pruned trial tells everybody else."""

from __future__ import annotations

import math
from dataclasses import replace

import databases
import pytest
from databases import begun, ledger_of, steps, take
from made_studies import study
from made_trials import LR, UNIT, decided, swept, trial
from sqlalchemy import Engine, event

from hpo import narrowing
from hpo.cli import screens
from hpo.definition import Definition, Search
from hpo.errors import NotEnoughTrials
from hpo.narrowing import Rule
from hpo.pruning import Reached, goes_on, rungs
from hpo.sampling import Request, evidence
from hpo.search import PrunerName
from hpo.space import Space
from hpo.store.attempt import Outcome
from hpo.store.engine import reading
from hpo.store.rungs import most_reports, reached
from hpo.summary import Summary
from hpo.trial import Trial, TrialState, bounded

X = Space({"x": UNIT})
PRUNED = TrialState.PRUNED


def at(*values: float | None, reports: int = 4) -> list[Reached]:
    """Trials that have reached a rung with these values; None has diverged before."""
    return [
        Reached(slot, False, v is None, 1 if v is None else reports, v, v, v)
        for slot, v in enumerate(values)
    ]


# Rungs


@pytest.mark.parametrize(
    ("most", "asha", "median"),
    [
        (50, (4, 13), (5, 10, 15, 20, 25, 30, 35, 40, 45)),
        (16, (1, 4), (2, 4, 5, 7, 8, 10, 12, 13, 15)),
        (9, (1, 3), (1, 2, 3, 4, 5, 6, 7, 8)),
        (4, (1,), (1, 2, 3)),
        (2, (1,), (1,)),
        (1, (), ()),
    ],
)
def test_rungs(most, asha, median):
    assert rungs("asha", most, 7) == asha
    assert rungs("median", most, 7) == median
    assert rungs("none", most, 7) == ()


def test_brackets_of_hyperband_begin_later_and_are_shared_out_evenly():
    begin = [rungs("hyperband", 50, slot) for slot in range(250)]
    for first in range(0, 250, 50):
        block = begin[first : first + 50]
        # 16, 6 and 3 of 25, give or take one
        assert abs(block.count((4, 13)) - 32) <= 1
        assert abs(block.count((13,)) - 12) <= 1
        assert abs(block.count(()) - 6) <= 1


# Asha


@pytest.mark.parametrize(
    ("others", "own", "further"),
    [
        ([], 0.1, True),  # nobody to compare with
        ([0.5], 0.4, False),
        ([0.5], 0.6, True),
        ([0.5], 0.5, True),  # a tie
        ([0.5, 0.4, 0.3], 0.45, False),  # the second of four
        ([0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1], 0.6, True),  # the second of eight
        ([0.9, 0.8, 0.4, 0.3, 0.2, 0.1, 0.1], 0.6, False),
        ([0.9, 0.6, 0.4, 0.3, 0.2, 0.1, 0.1], 0.6, True),  # shares the second place
        ([None], 0.1, True),  # the diverged one is the worst
        ([0.9, None, None, None, None, None, None], 0.6, True),  # and counts
    ],
)
def test_asha(others, own, further):
    seen = at(*others, own)
    slot = len(others)
    assert goes_on("asha", 50, slot, 4, seen, "maximize") == further
    turned = [replace(t, value=t.value and -t.value) for t in seen]
    assert goes_on("asha", 50, slot, 4, turned, "minimize") == further


def test_asha_compares_with_those_who_came_so_far():
    behind = at(0.9, 0.9, 0.9, reports=3)  # still running, or pruned before
    own = replace(at(0.5)[0], slot=3)
    assert goes_on("asha", 50, 3, 4, [*behind, own], "maximize")


def test_a_diverged_trial_counts_at_the_rung_that_it_did_not_reach_only():
    """It would have been stopped there, and be missing at the next one as others are."""
    lost = [Reached(slot, False, True, 3, None, 0.1, 0.1) for slot in range(6)]
    rivals = [replace(each, slot=each.slot + 6) for each in at(0.9, 0.5, reports=13)]
    assert goes_on("asha", 50, 7, 4, [*lost, *rivals], "maximize")
    assert not goes_on("asha", 50, 7, 13, [*lost, *rivals], "maximize")


def test_hyperband_compares_within_the_bracket():
    slots = [s for s in range(20) if rungs("hyperband", 50, s) == (13,)][:2]
    others = [s for s in range(20) if rungs("hyperband", 50, s) == (4, 13)][:5]
    own = Reached(slots[1], False, False, 13, 0.5, 0.5, 0.5)
    strangers = [replace(own, slot=s, value=0.9) for s in others]
    assert goes_on("hyperband", 50, slots[1], 13, [own, *strangers], "maximize")
    fellow = replace(own, slot=slots[0], value=0.6)
    assert not goes_on("hyperband", 50, slots[1], 13, [own, fellow], "maximize")


# Median


@pytest.mark.parametrize(
    ("means", "best", "further"),
    [
        ([0.5] * 4, 0.1, True),  # four have completed
        ([0.5] * 5, 0.4, False),
        ([0.5] * 5, 0.5, True),
        ([0.1, 0.2, 0.3, 0.8, 0.9], 0.31, True),
        ([0.1, 0.2, 0.4, 0.8, 0.9], 0.31, False),
        ([0.1, 0.2, 0.3, 0.5, 0.8, 0.9], 0.39, False),  # 0.4
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_median(means, best, further, sign):
    completed = [Reached(s, True, False, 50, 0.0, sign * mean, 9.0) for s, mean in enumerate(means)]
    diverged = [Reached(s, False, True, 2, None, sign * 9.0, 9.0) for s in range(20, 40)]
    own = Reached(99, False, False, 5, 0.0, 0.0, sign * best)
    direction = "maximize" if sign > 0 else "minimize"
    seen = [*completed, *diverged, own]
    assert goes_on("median", 50, 99, 5, seen, direction) == further


# The database


def test_what_the_database_tells(engine: Engine):
    _, stage = begun(engine, budget=8)
    ledger = ledger_of(engine, stage)

    def told(reports, direction="maximize"):
        with reading(engine) as connection:
            return most_reports(connection, stage), reached(connection, stage, reports, direction)

    assert told(1) == (None, [])
    first, second, third, fourth, fifth = claims = [take(ledger) for _ in range(5)]
    ledger.finish(first, Outcome("complete", 0.4, 1.0), steps(0.1, 0.6, 0.2, 0.4))
    ledger.finish(second, Outcome("pruned", None, 1.0), steps(0.3, 0.1))
    diverged = Outcome("complete", 0.1, 1.0, diverged_at=1)
    ledger.finish(third, diverged, steps(*[0.9] * 8, math.nan))
    ledger.beat([(fourth, steps(0.8, 0.7, 0.75)), (fifth, steps(0.9, 0.9, 0.9, 0.9, 0.9))])
    ledger.release([fifth])  # it will run again
    assert len(claims) == 5
    rows = [
        Reached(0, True, False, 4, 0.2, pytest.approx(0.3), 0.6),
        Reached(1, False, False, 2, None, pytest.approx(0.2), 0.3),
        Reached(2, False, True, 9, 0.9, pytest.approx(0.9), 0.9),
        Reached(3, False, False, 3, 0.75, pytest.approx(0.75), 0.8),
    ]
    assert told(3) == (4, rows)
    assert [row.best for row in told(3, "minimize")[1]] == [0.1, 0.1, 0.9, 0.7]
    assert [row.value for row in told(9)[1]] == [None] * 4


def test_an_attempt_that_was_lost_is_forgotten(engine: Engine):
    _, stage = begun(engine, budget=2)
    ledger = ledger_of(engine, stage)
    claim = take(ledger)
    ledger.beat([(claim, steps(0.9, 0.9, 0.9))])
    ledger.lose(claim, 3, databases.LOST)
    ledger.beat([(take(ledger), steps(0.1))])
    with reading(engine) as connection:
        assert reached(connection, stage, 1, "maximize") == [
            Reached(0, False, False, 1, 0.1, 0.1, 0.1)
        ]


def test_one_query_for_any_number_of_trials(engine: Engine):
    _, stage = begun(engine, budget=20)
    ledger = ledger_of(engine, stage)
    for _ in range(20):
        ledger.finish(take(ledger), Outcome("complete", 0.4, 1.0), steps(0.1, 0.2))
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    with reading(engine) as connection:
        assert len(reached(connection, stage, 1, "maximize")) == 20
    assert sum("trial_intermediate_values" in statement for statement in asked) == 1
    assert len(asked) <= 3  # and which Optuna study it is


# What a pruned trial tells


def test_an_early_value_counts_for_the_median_at_most():
    scores = [trial(n, {"x": 0.5}, value) for n, value in enumerate([0.2, 0.6, 0.7])]
    diverged = trial(3, {"x": 0.5}, 0.1, diverged_at=1)
    early = [trial(n, {"x": 0.5}, v, state=PRUNED) for n, v in [(4, 0.3), (5, 99.0), (6, None)]]
    found = bounded([*scores, diverged, *early], "maximize")
    assert [t.value for t in found] == [0.2, 0.6, 0.7, 0.1, 0.3, 0.6, None]
    lower = bounded([*scores, diverged, *early], "minimize")
    assert [t.value for t in lower] == [0.2, 0.6, 0.7, 0.1, 0.6, 99.0, None]
    assert bounded([diverged, *early], "maximize") == [diverged]


LUCKY = [trial(n, {"x": 0.9 + n / 1e4}, 99.0, state=PRUNED) for n in range(100, 160)]
FINISHED = swept(UNIT, lambda x: 1 - (x - 0.3) ** 2)


def test_a_high_early_value_is_never_ranked_recommended_or_confirmed():
    summary = study(X, [*FINISHED, *LUCKY])
    best = summary.best()
    assert best is not None
    assert best.params["x"] == pytest.approx(0.3, abs=0.05)
    assert best.mean < 1.1
    listed = [*summary.top(count=999), *summary.top_settings(summary.last, 999)]
    listed += [standing.trial for standing in summary.ranking]
    assert {t.state for t in listed} == {TrialState.COMPLETE}
    assert summary.observed() == summary.maximum.value < 1.1


@pytest.mark.parametrize("rule", [Rule("posterior"), Rule("book", 5)])
def test_narrow_does_not_go_where_early_values_are_high(rule):
    with_them = decided(UNIT, [*FINISHED, *LUCKY], rule=rule).axes["x"].new
    assert with_them.low < 0.3 < with_them.high < 0.85


def test_narrow_learns_that_the_pruned_fell_behind():
    """Sixty trials tell more than the ten of them that were trained to their end."""
    trials = [
        t if 20 <= t.number < 45 else replace(t, state=PRUNED, value=t.value / 2) for t in FINISHED
    ]
    new = decided(UNIT, trials).axes["x"].new
    assert new.low < 0.3 < new.high < 0.7
    with pytest.raises(NotEnoughTrials):
        decided(UNIT, [t for t in trials if t.state is not PRUNED])


def test_pruned_trials_alone_are_no_evidence():
    pruned = [replace(t, state=PRUNED) for t in FINISHED]
    assert narrowing.usable(X, pruned, "maximize") == 0


def asked(direction: str = "maximize") -> Request:
    return Request(X, 0, 1, 200, 300, direction)


def test_a_sampler_of_scores_is_shown_what_is_left_of_early_values():
    rows = [
        trial(0, {"x": 0.1}, 0.2),
        trial(1, {"x": 0.2}, 0.8),
        trial(2, {"x": 0.3}, 9.0, state=PRUNED),
        trial(3, {"x": 0.4}, 0.1, state=PRUNED),
        trial(4, {"x": 0.5}, None, state=PRUNED),
        trial(5, {"x": 0.6}, None, state=TrialState.RUNNING),
    ]
    shown = [(t.number, t.state.name, t.value) for t in evidence.scores(asked(), rows)]
    assert shown == [
        (0, "COMPLETE", 0.2),
        (1, "COMPLETE", 0.8),
        (2, "COMPLETE", 0.5),
        (3, "COMPLETE", 0.1),
        (5, "RUNNING", None),
    ]


def test_tpe_counts_a_diverged_trial_as_worse_than_a_pruned_one():
    from hpo.sampling import bayesian

    rows = [trial(n, {"x": 0.1 + n / 1e3}, 0.9) for n in range(3)]
    rows += [trial(n, {"x": 0.9 + n / 1e4}, 0.1, diverged_at=2) for n in range(3, 40)]
    rows += [trial(n, {"x": 0.1 + n / 1e3}, 0.5, state=PRUNED, steps=4) for n in range(40, 80)]
    drawn = [bayesian.tpe(replace(asked(), setting=n), rows)["x"] for n in range(200, 220)]
    assert sorted(drawn)[10] < 0.6


# The screens


def with_pruner(*trials: Trial, pruner: PrunerName = "asha") -> Summary:
    summary = study(Space({"lr": LR}), trials)
    search = Search(pruner=pruner, trials=len(trials))
    definition: Definition = replace(summary.study.definition, search=search)
    return replace(summary, study=replace(summary.study, definition=definition))


def test_what_was_saved_is_told(capsys):
    made = [trial(n, {"lr": 1e-4}, 0.5, steps=50) for n in range(2)]
    made += [trial(n, {"lr": 1e-4}, 0.1, steps=4, state=PRUNED) for n in range(2, 42)]
    made += [trial(42, {"lr": 1e-4}, 0.1, steps=7, diverged_at=7)]
    summary = with_pruner(*made)
    screens.outlook(summary, summary.last, None)
    told = capsys.readouterr().err
    assert "Pruned 40 of 43 trials: 267 of 2,107 steps.\n" in told
    assert "Of 43 trials, 1 diverged." in told
    alone = with_pruner(*made, pruner="none")  # they gave up by themselves
    screens.outlook(alone, alone.last, None)
    told = capsys.readouterr().err
    assert "Pruned" not in told
    assert "Of 43 trials, 40 were pruned and 1 diverged." in told


def test_a_trial_that_was_given_up_by_itself_is_no_saving(capsys):
    made = [trial(n, {"lr": 1e-4}, 0.1, steps=4, state=PRUNED) for n in range(3)]
    summary = with_pruner(*made)
    screens.outlook(summary, summary.last, None)
    assert capsys.readouterr().err.startswith("No trial gave a result: 3 were pruned.")
