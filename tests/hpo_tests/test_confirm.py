"""`hpo confirm` with real workers: fresh seeds in pairs, exact budgets, and what is recommended."""

import json
import math
import re
from pathlib import Path

import numpy as np
import optuna
import pytest
from commands import done, run
from databases import sql
from objectives.files import X, place
from processes import start_hpo

import hpo
from hpo.cli import words
from hpo.confirming import confirm
from hpo.errors import StateError, UsageError
from hpo.reports.plotting import plot
from hpo.store.check import check
from hpo.study import Ended

URL = "sqlite:///hpo.db"


@pytest.fixture(autouse=True)
def _home(home):
    """Every test here has a folder of its own."""


def sound(storage=URL):
    assert check(storage) == []


def confirmed(storage=URL, study=1):
    """Return the rows of the last stage."""
    rows = hpo.report(study, storage=storage)
    return rows[rows.stage == rows.stage.max()].reset_index(drop=True)


def settings(rows):
    """Return the parameters of each trial."""
    columns = [name for name in rows.columns if name.startswith("params_")]
    return [tuple(row) for row in rows[columns].itertuples(index=False)]


def bits(storage=URL):
    rows = confirmed(storage).drop(columns=["seconds", "attempt"])
    curves = hpo.curves(1, storage=storage).drop(columns=["seconds", "attempt"])
    return rows.to_json(double_precision=15), curves.to_json(double_precision=15)


def searched(objective="hill", trials=9, **keys):
    search = {"trials": trials, **keys.pop("search", {})}
    return hpo.start(place(Path.cwd(), objective, search=search, **keys), workers=2)


# What is run


def test_the_best_settings_run_again_with_fresh_seeds_in_pairs():
    before = searched()
    best = before.ranking[:3]
    summary = hpo.confirm(1, top=3, seeds=4, workers=2)
    stage = summary.last
    assert (stage.number, stage.parent, stage.kind, stage.sampler) == (2, 1, "confirm", "given")
    assert (stage.budget, stage.seeds, summary.ended) == (12, 4, Ended.FINISHED)
    assert stage.evidence == {
        "settings": [
            {"stage": 1, "trial": s.trial.number, "value": s.mean, "params": dict(s.trial.params)}
            for s in best
        ]
    }
    rows = confirmed()
    assert list(rows.params_x) == [s.trial.params["x"] for s in best for _ in range(4)]
    seeds = rows.seed.to_numpy(int).reshape(3, 4)
    assert (seeds == seeds[0]).all()
    assert len(set(seeds[0])) == 4
    assert not set(seeds[0]) & set(hpo.report(1)[lambda all_: all_.stage == 1].seed)
    sound()
    study = optuna.load_study(study_name="my/2", storage=URL)
    assert [t.params["x"] for t in study.trials] == list(rows.params_x)
    assert hpo.replay(1, "2/7").equal


def test_the_recommended_setting_has_the_best_mean_of_its_replicates():
    searched()
    summary = hpo.confirm(1, workers=2)
    values = confirmed().value.to_numpy().reshape(5, 5)
    winner = int(values.mean(1).argmax())
    best = summary.best()
    assert best is not None
    assert (best.stage, best.trial) == (2, 5 * winner)
    assert best.value == values[winner, 0]
    assert best.mean == pytest.approx(values[winner].mean())
    assert best.se == pytest.approx(values[winner].std(ddof=1) / math.sqrt(5))
    assert hpo.best(1) == best


def test_it_repeats_bit_for_bit_also_after_the_supervisor_was_killed(home: Path):
    for storage in ("sqlite:///1.db", "sqlite:///2.db"):
        hpo.start(place(home, fixed={"pause": 0.03}, search={"trials": 8}), storage=storage)
    hpo.confirm(1, storage="sqlite:///1.db", workers=1)
    with start_hpo("confirm", 1, "--storage", "sqlite:///2.db", "--workers", 2) as process:
        process.until(lambda: len(hpo.report(1, storage="sqlite:///2.db")) > 12)
        process.kill()
        process.wait()
    open_ = hpo.show(1, storage="sqlite:///2.db")
    assert (open_.last.kind, open_.last.open, open_.last.budget) == ("confirm", True, 25)
    with pytest.raises(StateError, match=r"stage 2 is open: .* Run: hpo resume 1$"):
        hpo.confirm(1, storage="sqlite:///2.db")
    resumed = hpo.resume(1, storage="sqlite:///2.db", workers=2)
    assert resumed.counts(resumed.last).complete == 25
    assert len(resumed.stages) == 2
    assert bits("sqlite:///1.db") == bits("sqlite:///2.db")
    sound("sqlite:///2.db")


def test_an_open_one_decides_nothing(home: Path):
    before = searched(fixed={"pause": 0.02}, trials=6)
    summary = hpo.confirm(1, workers=1, timeout=0.4)
    assert summary.ended is Ended.TIMEOUT
    assert summary.best() == before.best()
    assert " trials to come:" in done("show", 1).stdout
    assert hpo.resume(1).best().stage == 2


def test_fewer_distinct_settings_than_asked_for():
    space = {"kind": {"choices": ["a", "b"]}, "n": {"low": 1, "high": 2}}
    searched("flat", trials=30, space=space)
    summary = hpo.confirm(1, top=7, seeds=2, workers=2)
    assert summary.last.budget == 8
    assert len(set(settings(confirmed()))) == 4
    sound()


def test_true_and_one_are_two_settings():
    searched("flat", trials=12, space={"odd": {"choices": [True, 1, 1.5]}})
    assert hpo.confirm(1, seeds=2, workers=2).last.budget == 6


def test_choices_and_parameters_under_a_condition():
    space = {
        "optimizer": {"choices": ["sgd", "momentum"]},
        "momentum": {"low": 0.5, "high": 0.9, "when": {"optimizer": "momentum"}},
        "width": {"low": 16, "high": 64, "step": 16},
    }
    searched("forked", trials=12, space=space)
    summary = hpo.confirm(1, top=12, seeds=2, workers=2)
    given = [setting["params"] for setting in summary.last.evidence["settings"]]
    assert {frozenset(params) for params in given} == {
        frozenset({"optimizer", "width"}),
        frozenset({"optimizer", "momentum", "width"}),
    }
    trials = summary.of(summary.last)
    assert [dict(t.params) for t in trials] == [params for params in given for _ in range(2)]
    assert summary.counts(summary.last).complete == len(trials) == 2 * len(given)
    sound()


def test_settings_of_stages_with_other_ranges():
    searched("slope", space={"x": X, "n": {"low": 10, "high": 50, "step": 10}})
    hpo.narrow(1, ranges={"x": (1e-4, 1.0), "n": (15, 45)}, trials=4, workers=2)
    summary = hpo.confirm(1, top=8, seeds=2, workers=2)
    assert {setting["stage"] for setting in summary.last.evidence["settings"]} == {1, 2}
    assert summary.last.parent == 2
    assert (summary.last.space["x"].low, summary.last.space["x"].high) == (1e-6, 1.0)
    assert all(summary.last.space.contains(t.params) for t in summary.of(summary.last))
    sound()


def test_after_a_grid():
    summary = searched(search={"sampler": "grid"}, trials=6)
    assert summary.last.sampler == "grid"
    assert hpo.confirm(1, top=2, seeds=3, workers=2).last.budget == 6
    with pytest.raises(StateError, match="stage 1 is a grid of 6 trials"):
        hpo.resume(1, trials=9)


def test_after_a_search_with_replicates():
    before = searched(trials=12, search={"seeds": 3})
    summary = hpo.confirm(1, top=2, seeds=5, workers=2)
    chosen = summary.last.evidence["settings"]
    assert chosen[0]["trial"] == before.best().trial
    assert chosen[0]["value"] == pytest.approx(before.best().mean)
    assert len({setting["trial"] // 3 for setting in chosen}) == 2
    assert (summary.last.budget, summary.last.seeds) == (10, 5)


def test_a_second_one_has_other_seeds_and_decides():
    searched()
    hpo.confirm(1, workers=2)
    first = confirmed()
    order = [f.params for f in hpo.show(1).finalists(hpo.show(1).last)]
    summary = hpo.confirm(1, top=2, seeds=6, workers=2)
    second = confirmed()
    assert not set(first.seed) & set(second.seed)
    assert summary.last.given == order[:2]  # by what the first has found
    assert summary.best().stage == 3


# What is recommended


def test_a_setting_that_diverges_with_some_seeds(capsys):
    searched("fragile", trials=16)
    summary = hpo.confirm(1, top=8, seeds=5, workers=2)
    found = summary.finalists(summary.last)
    rows = confirmed()
    assert rows.diverged.any()
    for finalist in found:
        mine = rows[rows.params_x == finalist.params["x"]]
        assert (finalist.diverged, finalist.lost) == (mine.diverged.sum(), mine.diverged.sum())
        if not mine.diverged.all():
            assert finalist.mean == pytest.approx(mine.value[~mine.diverged].mean())
    lost = [finalist.lost for finalist in found]
    assert lost == sorted(lost)
    # Further to the right scores are better, but for the seeds that are lost there.
    best = summary.best()
    assert found[0].lost == 0
    assert best.params == found[0].params
    assert best.mean < max(f.mean for f in found if f.mean is not None)
    shown = done("show", 1).stdout
    assert f"{lost[-1]} of 5 diverged" in shown


def test_a_loss_is_recommended_by_its_lowest_mean():
    searched("valley", direction="minimize", metric="val_loss")
    summary = hpo.confirm(1, top=3, seeds=2, workers=2)
    best = summary.best()
    values = confirmed().value
    assert (best.mean, best.se) == (values.min(), None)  # no seed makes a difference
    assert best.trial == 0
    said = [f.to_json(None)["mean"] for f in summary.finalists(summary.last)]
    assert said == sorted(said)


@pytest.mark.parametrize(("how", "recommended"), [("diverge", [3]), ("raise", [0])])
def test_where_no_setting_is_confirmed(home: Path, how, recommended):
    before = searched("broken_later", trials=4)
    order = [s.trial.number for s in before.ranking]
    (home / "broken").write_text(how)
    result = run("confirm", 1, "--top", 3, "--seeds", 2)
    assert result.exit_code == 1
    assert "No setting was confirmed: 6 " in result.stderr
    assert "hpo confirm 1" in result.stderr
    # What diverged is out of the question; what only failed may be no fault of the setting.
    best = hpo.show(1).best()
    assert (best.stage, [best.trial]) == (1, [order[i] for i in recommended])
    done("show", 1)
    done("best", 1)


def test_a_later_search_competes_and_earlier_luck_does_not():
    searched("flat", trials=30)  # nothing but luck
    summary = hpo.confirm(1, seeds=3, workers=2)
    confirmed_best = summary.best()
    assert confirmed_best.stage == 2
    assert confirmed_best.mean < summary.top()[0].value
    summary = hpo.narrow(1, ranges={"x": (1e-5, 1e-3)}, trials=20, workers=2)
    assert [(s.kind, s.parent) for s in summary.stages][2] == ("manual", 1)
    best = summary.best()
    assert best.stage != 1
    assert best.mean >= confirmed_best.mean
    assert best.mean < max(t.value for t in summary.of(summary.last))


def test_an_earlier_search_that_goes_on_competes_too():
    searched("slope", trials=12)  # none of them is near the edge, where the best are
    confirmed_best = hpo.confirm(1, top=3, seeds=2, workers=2).best()
    assert hpo.show(1).newer == []
    told = done("resume", 1, "--trials", 40, "--workers", 2)
    summary = hpo.show(1)
    assert (len(summary.newer), summary.last.number) == (28, 1)
    best = summary.best()
    assert (best.stage, best.trial >= 12) == (1, True)
    assert best.mean > confirmed_best.mean + 0.5
    assert told.stdout.startswith("Best five\n  Best-1 (score: ")
    newer = (
        f"Stage 2 has confirmed {words.score(confirmed_best.mean)} (trial 2/0); 28 trials are "
        "newer. Make sure of the best: hpo confirm 1\n"
    )
    assert newer in told.stderr
    assert newer in done("best", 1).stderr
    assert hpo.confirm(1, top=2, seeds=2, workers=2).best().params == best.params
    assert "newer" not in done("best", 1).stderr


def test_what_is_newer_is_counted_whatever_the_clock_says(home: Path):
    searched("slope", trials=12)
    hpo.confirm(1, top=3, seeds=2, workers=2)
    hpo.resume(1, trials=40, workers=2)
    before = hpo.show(1)
    for table, column in (("trials", "datetime_complete"), ("hpo_stages", "created_at")):
        sql(home / "hpo.db", f"UPDATE {table} SET {column} = '2020-01-01 00:00:00+00:00'")
    after = hpo.show(1)
    assert (len(after.newer), after.best(), after.last.number) == (28, before.best(), 1)


def test_one_that_was_made_before_the_search_grew_is_older_although_it_ends_later():
    searched("slope", trials=12)
    assert hpo.confirm(1, top=3, seeds=2, workers=1, timeout=1e-9).last.open
    summary = hpo.resume(1, trials=40, workers=2)
    assert (summary.settled.number, len(summary.newer), summary.best().stage) == (2, 28, 1)


def test_a_newer_trial_of_a_confirmed_setting_changes_nothing():
    searched("flat", trials=12, space={"n": {"low": 1, "high": 3}})
    before = hpo.confirm(1, seeds=3, workers=2).best()
    summary = hpo.resume(1, trials=24, workers=2)
    assert len(summary.newer) == 12
    assert summary.best() == before


# What it must not disturb


def test_narrow_does_not_look_at_it_but_keeps_what_it_confirmed():
    searched("flat", trials=40)
    before = hpo.decide(1)
    summary = hpo.confirm(1, workers=2)
    after = hpo.decide(1)
    assert after.stage.number == 1
    assert after.decision.trials == before.decision.trials == 40
    assert after.decision.axes["x"].numbers == before.decision.axes["x"].numbers
    for finalist in summary.finalists(summary.last):
        assert after.decision.space.contains(finalist.params)
        assert (2, finalist.scored[0].number) in after.decision.elites
    with pytest.raises(StateError, match=r"searched nothing.*hpo narrow 1 --from-stage 1$"):
        hpo.decide(1, from_stage=2)
    summary = hpo.narrow(1, sampler="tpe", trials=5, workers=1)
    assert [(s.number, s.parent) for s in summary.stages] == [(1, None), (2, 1), (3, 1)]


def test_the_budget_that_grows_is_that_of_the_search():
    searched(trials=10)
    hpo.confirm(1, top=2, seeds=2, workers=2)
    with pytest.raises(StateError, match=r"stage 1 has 10 .*Run: hpo resume 1 --trials 30"):
        hpo.decide(1)
    with pytest.raises(StateError, match="budget of 10 trials, which can only grow"):
        hpo.resume(1, trials=5)
    summary = hpo.resume(1, trials=30, workers=2)
    assert [(stage.budget, stage.open) for stage in summary.stages] == [(30, False), (4, False)]
    assert hpo.decide(1).stage.number == 1


def test_nothing_to_confirm(home: Path):
    searched("leaving", fixed={"how": "raise"}, trials=2)
    with pytest.raises(StateError, match="study 1 has no setting to confirm: every trial failed"):
        hpo.confirm(1)
    searched(fixed={"pause": 0.2}, search={"timeout": 0.05}, name="open")
    with pytest.raises(StateError, match=r"stage 1 is open.*Run: hpo resume 2"):
        hpo.confirm("open")
    assert [len(hpo.show(study).stages) for study in (1, 2)] == [1, 1]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"top": 0}, "--top 0: it must be from 1 to 100"),
        ({"seeds": 1}, "--seeds 1: it must be from 2 to 100"),
        ({"seeds": 101}, "--seeds 101: it must be from 2 to 100"),
    ],
)
def test_numbers_that_mean_nothing(option, said):
    with pytest.raises(UsageError, match=said):
        confirm(1, **option)


# What is shown


def test_the_table_of_finalists():
    searched()
    told = done("confirm", 1, "--top", 3, "--seeds", 4)
    table = told.stdout
    assert table.startswith("stage 2, 3 settings × 4 fresh seeds:\n")
    lines = table.splitlines()
    assert lines[1].split() == ["mean", "95", "%", "interval", "lost", "trial", "setting"]
    found = hpo.show(1).finalists(hpo.show(1).last)
    for line, finalist in zip(lines[2:5], found, strict=True):
        stage, trial = finalist.source
        setting = f"x {finalist.params['x']:.3g}"
        mean = words.score(finalist.mean)
        row = rf"[= ]  +{mean} +-?\d.* … -?\d\S+ +– +{stage}/{trial} +{setting}"
        assert re.fullmatch(row, line), line
        assert line.index("x ") == lines[1].index("setting")
    assert "Recommended: x " in told.stderr
    assert ", mean of 4 fresh seeds (trial 2/" in told.stderr
    assert "Gain" not in told.stderr
    assert "Next: hpo resume 1 --trials 30" in told.stderr  # ten trials are not all
    assert table in done("show", 1).stdout
    assert done("best", 1).stdout.endswith(table)


def test_a_search_that_followed_the_best_is_confirmed_next():
    place(Path.cwd(), search={"trials": 30, "sampler": "tpe"})
    assert "Next: hpo confirm 1" in done("start", "my.toml").stderr


def test_the_figures(home: Path):
    space = {"x": X, "kind": {"choices": ["a", "b"]}, "n": {"low": 1, "high": 9}}
    searched(trials=12, space=space)
    hpo.confirm(1, workers=2)
    plots = plot(1)
    names = ["learning_curves.png", "history.png", "ranges.png", "slices.png", "importance.png"]
    assert [path.name for path in plots.written] == names


FINDING = """
import hpo

def finding(trials, curves):
    stages = [sorted(set(frame["stage"])) for frame in (trials, curves)]
    return hpo.Finding("only what was searched", f"{len(trials)} trials, stages {stages}", True)
"""


def test_a_finding_sees_the_searched_trials_only(home: Path):
    (home / "mine.py").write_text(FINDING)
    searched(trials=6, finding="mine:finding")
    before = hpo.show(1).findings
    hpo.confirm(1, top=2, seeds=2)
    assert hpo.resume(1).findings == before
    assert before[0].measured == "6 trials, stages [[1], [1]]"


def test_what_is_said_as_json():
    searched()
    said = json.loads(done("confirm", 1, "--top", 3, "--seeds", 3, "--json").stdout)
    first, second = said["stages"]
    assert "finalists" not in first
    values = np.array([each["scores"] for each in second["finalists"]])
    assert [each["mean"] for each in second["finalists"]] == pytest.approx(values.mean(1))
    best = second["finalists"][0]
    assert (said["best"]["mean"], said["best"]["se"]) == (best["mean"], best["se"])
    assert best["low"] < best["mean"] < best["high"]
    assert {each["stage"] for each in said["top"]} == {1}


def test_equal_scores_claim_no_certainty():
    searched("accuracy", metric="val_accuracy")  # the seed makes no difference
    told = done("confirm", 1, "--top", 2, "--seeds", 2)
    first, second, *notes = told.stdout.splitlines()[2:]
    assert re.fullmatch(r" +0\.\d{3} +– +– +1/\d+ +x \S+", first)
    assert re.fullmatch(r"= +0\.\d{3} +– +– +1/\d+ +x \S+", second)
    assert notes == [
        "– fewer than two different scores, which tell no interval",
        "= cannot be told apart from the first, seed by seed",
    ]
    assert re.search(r" – 0\.\d{3}, mean of 2 fresh seeds \(trial 2/0\)\.\n1 sett", told.stderr)
    for each in json.loads(done("show", 1, "--json").stdout)["stages"][1]["finalists"]:
        assert (each["se"], each["low"], each["high"], each["tied"]) == (None, None, None, True)
