"""The test, once: recorded before it begins, counted, continued, and never better than it is."""

from __future__ import annotations

import json
import signal
import statistics
from pathlib import Path

import pytest
from commands import done, run
from databases import problems, sql, url_of
from exams import DATABASE, calls, interrupted, mean_and_sd, refused, rows, start
from processes import start_hpo

import hpo
from hpo.errors import ObjectiveError, StateError
from hpo.store import test_uses
from hpo.store.engine import open_engine, writing
from hpo.use import Result


@pytest.fixture(autouse=True)
def folder(home: Path) -> Path:
    """Every test here has a folder of its own."""
    return home


# The first use


def test_the_recommended_setting_is_retrained_with_five_seeds(folder: Path) -> None:
    best = start(fixed={"bonus": 0.25}).best()
    said = json.loads(done("final", 1, "--json").stdout)
    ((stage, trial, params, value, seeds, finished),) = rows(
        "stage_id, slot, params, value, seeds, finished_at"
    )
    assert (stage, trial, json.loads(params), value) == (1, best.trial, best.params, best.mean)
    seeds = json.loads(seeds)
    assert calls() == dict.fromkeys(seeds, 1)
    assert len(seeds) == 5
    assert finished is not None
    accuracies = [0.5 + seed % 100 / 1000 + 0.25 for seed in seeds]
    assert said == {
        "test_accuracy": statistics.fmean(accuracies),
        "test_accuracies": accuracies,
        "uses": 1,
        "stage": 1,
        "trial": best.trial,
        "params": dict(best.params),
        "diverged": 0,
    }
    assert problems(folder / "hpo.db") == []


def test_what_is_newer_than_the_confirmation_is_confirmed_before_it_is_tested() -> None:
    start(search={"trials": 30, "sampler": "tpe"})
    hpo.confirm(1, top=2, seeds=2, workers=2)
    assert "Test it, once: hpo final 1" in done("best", 1).stderr
    best = hpo.resume(1, trials=60, workers=1).best()
    told = done("best", 1).stderr
    assert told.endswith("\nNext: hpo confirm 1\n")
    hpo.final(1)  # who asks for it all the same tests the recommended setting
    ((slot, params),) = rows("slot, params")
    assert (slot, json.loads(params)) == (best.trial, best.params)


def test_the_seeds_are_the_studys_own_and_none_of_the_search() -> None:
    for name in ("one", "two"):
        start(name=name, search={"seeds": 2})
        hpo.final(name)
    start(name="other", search={"seed": 1})
    hpo.final("other")
    one, two, other = (set(json.loads(seeds)) for (seeds,) in rows("seeds"))
    assert one == two
    assert not one & other
    searched = {seed for (seed,) in sql(DATABASE, "SELECT seed FROM hpo_slots")}
    assert not (one | other) & searched


def test_a_seed_that_the_search_had_is_passed_over(folder: Path) -> None:
    start()
    hpo.final(1)
    (first,) = rows("seeds")
    taken = json.loads(first[0])[1]
    sql(DATABASE, "UPDATE hpo_slots SET seed = ? WHERE slot = 0", taken)
    hpo.final(1, again=True)
    second = json.loads(rows("seeds")[1][0])
    assert taken not in second
    assert [s for s in json.loads(first[0]) if s != taken] == second[:4]
    assert len(set(second)) == 5


def test_the_use_is_recorded_before_anything_is_seen() -> None:
    start("knowing")
    assert json.loads(done("final", 1, "--json").stdout)["test_accuracies"] == [1.0] * 5


def test_with_replicates_the_mean_is_what_the_search_said() -> None:
    best = start(search={"seeds": 2}).best()
    found = hpo.final(1)
    assert best.mean is not None
    assert found.use.value == best.mean


def test_what_a_person_sees() -> None:
    start(describe="tiny:describe")
    shown = done("final", "my")
    mean, sd = mean_and_sd()
    lines = [line.split("   ") for line in shown.stdout.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[0][:2] == ["test acc", f"{mean:.3f} ± {sd:.3f}"]
    assert cells[1][0] == "each seed"
    assert len(cells[1][1].split()) == 5
    assert cells[2][0] == "noise"
    assert cells[2][2] == "its standard error, from 50 test examples"
    assert cells[3][0] == "val acc"
    assert " ± " in cells[3][1]
    assert cells[4] == ["test set", "1st use"]
    assert shown.stderr.startswith("my · 1st use of the test set of study 1 · trial 1/")
    assert "of 500 examples with 5 seeds · test set 50 · " in shown.stderr


def test_it_is_named_where_nothing_else_makes_sense() -> None:
    start(search={"sampler": "grid"})
    assert done("best", 1).stderr.endswith("Test it, once: hpo final 1\n")


def test_it_stands_in_show_and_best() -> None:
    start()
    assert "test set: never used" in done("show", 1).stdout
    assert "final" not in (told := done("best", 1).stderr)  # what four trials say is no end
    assert told.endswith("Next: hpo resume 1 --trials 30\n")
    assert "test_uses" not in json.loads(done("show", 1, "--json").stdout)
    assert "test" not in json.loads(done("best", 1, "--json").stdout)
    said = json.loads(done("final", 1, "--json").stdout)
    mean, sd = mean_and_sd()
    told = f"acc {mean:.3f} ± {sd:.3f} (5 seeds)"
    shown = done("show", 1).stdout
    assert "test set: used once" in shown
    assert "1st use, " in shown
    assert told in shown
    assert f"1st use of the test set: {told}" in done("best", 1).stderr
    assert json.loads(done("show", 1, "--json").stdout)["test_uses"] == [said]
    assert json.loads(done("best", 1, "--json").stdout)["test"] == said


# Further uses


def test_a_second_use_is_refused_and_then_told_as_the_second() -> None:
    start()
    first = hpo.final(1).to_json()
    (when,) = sql(DATABASE, "SELECT begun_at FROM hpo_test_uses")[0]
    sentence = (
        f"the test set of study 1 was used once, on {when[:10]} {when[11:16]} UTC, see: "
        "hpo show 1   Another use is told with every result, as number 2: hpo final 1 --again"
    )
    assert refused(StateError) == sentence
    told = run("final", 1, "--storage", "sqlite:///./hpo.db")
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.endswith("hpo final --storage sqlite:///./hpo.db 1 --again\n")
    assert len(rows("number")) == 1
    assert set(calls().values()) == {1}

    shown = done("final", 1, "--again")
    assert shown.stderr.startswith("my · 2nd use of the test set of study 1")
    assert "2nd use" in shown.stdout
    assert "looks better than it is" in shown.stdout
    assert "test set: used 2 times" in done("show", 1).stdout
    assert "2nd use of the test set: acc" in done("best", 1).stderr
    second = json.loads(done("best", 1, "--json").stdout)["test"]
    assert second == {**first, "uses": 2}  # the same seeds: no second draw
    assert "was used 2 times, the first on" in refused(StateError)
    assert problems(DATABASE) == []


def test_again_on_a_test_set_that_was_never_used_is_its_first_use() -> None:
    start()
    assert hpo.final(1, again=True).use.number == 1


def test_another_setting_than_the_tested_one_is_recommended() -> None:
    start(objective="slope", search={"trials": 2})
    tested = hpo.final(1).use
    best = hpo.resume(1, trials=30).best()
    assert best.trial != tested.trial
    told = done("best", 1).stderr
    assert f"1st use of the test set, another setting (trial 1/{tested.trial}): acc" in told
    assert "test" not in json.loads(done("best", 1, "--json").stdout)
    again = hpo.final(1, again=True).use
    assert (again.number, again.trial) == (2, best.trial)
    assert again.seeds == tested.seeds


def test_each_study_has_its_own_count() -> None:
    for name in ("one", "two"):
        start(name=name)
        assert hpo.final(name).use.number == 1
    assert hpo.final("two", again=True).use.number == 2
    assert problems(DATABASE) == []


# Interruptions


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_use_goes_on_as_the_same_one(how: signal.Signals, folder: Path) -> None:
    start("patient")
    with start_hpo("final", 1) as running:
        running.until(lambda: len(calls()) >= 3 and rows("results")[0][0].count("0.75") == 2)
        running.send_signal(how)
        printed, told = running.communicate(timeout=30)
    assert printed == ""
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert "1st use, interrupted after 2 of 5 seeds. Go on with: hpo final 1\n" in told
        assert told.endswith("Stopped.\n")
    before = calls()
    kept = [i for i, result in enumerate(json.loads(rows("results")[0][0])) if result]
    assert len(kept) == 2
    assert problems(DATABASE) == []
    # Nobody sees half of it.
    shown = done("show", 1).stdout
    assert "interrupted after 2 of 5 seeds. Go on with: hpo final 1" in shown
    assert "0.75" not in shown
    assert "1st use of the test set: interrupted after 2 of 5 seeds" in done("best", 1).stderr
    (use,) = json.loads(done("show", 1, "--json").stdout)["test_uses"]
    assert (use["test_accuracy"], use["test_accuracies"], use["uses"]) == (None, None, 1)

    (folder / "go").touch()
    seeds = rows("seeds")
    went_on = done("final", 1)
    assert "goes on where it was interrupted: 2 of 5 seeds are done" in went_on.stderr
    assert "1st use" in went_on.stdout
    assert rows("seeds") == seeds
    for i, seed in enumerate(json.loads(seeds[0][0])):
        assert calls()[seed] == (1 if i in kept else 1 + before.get(seed, 0))
    assert "was used once" in refused(StateError)
    assert problems(DATABASE) == []


def test_it_goes_on_with_its_setting_whatever_is_recommended_now() -> None:
    trial, _ = interrupted(search={"trials": 2})
    assert hpo.resume(1, trials=30).best().trial != trial
    use = hpo.final(1).use
    assert (use.number, use.trial, len(rows("number"))) == (1, trial, 1)


def test_it_goes_on_while_a_stage_is_open() -> None:
    trial, _ = interrupted()
    hpo.resume(1, trials=5, timeout=0.001)
    assert hpo.show(1).last.open
    assert hpo.final(1).use.trial == trial


def test_again_goes_on_with_the_same_setting_and_begins_with_another() -> None:
    trial, _ = interrupted(search={"trials": 2})
    assert hpo.final(1, again=True).use.number == 1
    Path("mood").write_text("raise")
    refused(ObjectiveError, again=True)
    assert len(rows("number")) == 2
    Path("mood").write_text("")
    best = hpo.resume(1, trials=30).best()
    assert best.trial != trial
    use = hpo.final(1, again=True).use
    assert (use.number, use.trial) == (3, best.trial)
    shown = done("show", 1).stdout
    assert "2nd use, " in shown
    assert "interrupted after 0 of 5 seeds" in shown
    assert shown.count("Go on with") == 0  # there is a later one
    assert problems(DATABASE) == []


def test_two_at_the_same_moment_are_one_use(folder: Path) -> None:
    start("patient")
    with start_hpo("final", 1, "--json") as one, start_hpo("final", 1, "--json") as two:
        one.until(lambda: len(calls()) >= 3)
        two.until(lambda: max(calls().values()) >= 2)
        (folder / "go").touch()
        assert json.loads(one.answer()) == json.loads(two.answer())
    assert len(rows("number")) == 1
    assert problems(DATABASE) == []


def test_a_recorded_result_is_never_changed() -> None:
    study = start().study
    use = hpo.final(1).use
    with writing(open_engine(url_of(DATABASE), "write")) as connection:
        other = Result(0.1, {"accuracy": 1.0})
        assert test_uses.record_result(connection, study, 1, 0, other) == use
    assert hpo.show(1).uses[0] == use


# Diverged


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_diverged_seeds_count_with_the_chance_level(lost: int) -> None:
    start("diverging", describe="tiny:describe", fixed={"lost": lost})
    shown = done("final", 1).stdout.splitlines()
    (said,) = json.loads(done("show", 1, "--json").stdout)["test_uses"]
    assert said["diverged"] == lost
    assert sorted(said["test_accuracies"]) == [0.1] * lost + [0.75] * (5 - lost)
    assert said["test_accuracy"] == pytest.approx((0.1 * lost + 0.75 * (5 - lost)) / 5)
    (line,) = [line.split("   ") for line in shown if "diverged" in line]
    cells = [cell.strip() for cell in line if cell.strip()]
    assert cells == ["diverged", f"{lost} of 5", "counted with the chance level, 0.100"]
    told = {result.diverged for result in hpo.show(1).uses[0].results} - {None}
    assert told == ({"test_loss is inf", "accuracy is nan"} if lost > 1 else {"test_loss is inf"})
    assert f", {lost} diverged)" in done("show", 1).stdout
    assert problems(DATABASE) == []


def test_without_a_chance_level_there_is_no_mean() -> None:
    start("diverging", fixed={"lost": 1})
    shown = done("final", 1)
    assert "no mean: nobody knows what acc is worth where training diverged" in shown.stdout
    (use,) = json.loads(done("show", 1, "--json").stdout)["test_uses"]
    assert use["test_accuracy"] is None
    assert sorted(use["test_accuracies"], key=str) == [0.75] * 4 + [None]
    assert use["diverged"] == 1


# Other metrics


def test_a_definition_may_return_what_it_measures() -> None:
    start("regression", "valley", metric="val_loss", direction="minimize")
    said = json.loads(done("final", 1, "--json").stdout)
    assert (said["test_accuracy"], said["test_accuracies"]) == (None, None)
    assert said["metrics"] == {
        "rmse": {"mean": 2.0, "values": [2.0] * 5},
        "accuracy_within_5": {"mean": 0.5, "values": [0.5] * 5},
    }
    shown = done("show", 1).stdout
    assert "rmse 2.000 ± 0.000, acc within 5 0.500 ± 0.000 (5 seeds)" in shown


def test_what_not_every_seed_returned_has_no_mean() -> None:
    start("fickle")
    shown = done("final", 1).stdout
    assert shown.count("no mean: test did not return it for every seed") == 2
    (use,) = json.loads(done("show", 1, "--json").stdout)["test_uses"]
    assert use["test_accuracy"] is None
    assert sorted(use["test_accuracies"], key=str) == [0.75] * 4 + [None]
    assert use["metrics"]["acc"]["mean"] is None
    assert problems(DATABASE) == []
