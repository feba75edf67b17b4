"""A stored trial, run again and compared with what was stored, bit for bit."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpo import launch
from hpo.errors import NotFoundError, ObjectiveError, StateError, UsageError
from hpo.pool import Pool
from hpo.store import curve_metrics, studies
from hpo.store.attempt import Outcome
from hpo.store.engine import Engine, reading
from hpo.store.trials import stage_curves, stage_trials
from hpo.study import Study
from hpo.supervisor import outcome_of
from hpo.trial import Trial, TrialState
from hpo.watcher import Watcher

Curve = Mapping[int, Mapping[str, float]]
"""Metrics by name, by step."""

ENDED_FROM_OUTSIDE = ("timeout", "memory", "lost", "told")
"""Why a trial failed that was not left to end by itself."""

_STATE = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True)
class Difference:
    """A value that came out otherwise.

    Args:
        step: Its step; None for the score.
        metric: Its name.
        stored: The stored value; None if there is none.
        again: The value of the new run; None if there is none.
    """

    step: int | None
    metric: str
    stored: float | None
    again: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it with values that are not finite as `hpo_curves` stores them, by name."""
        values = {"stored": self.stored, "again": self.again}
        present = {name: value for name, value in values.items() if value is not None}
        return {"step": self.step, "metric": self.metric, **values} | curve_metrics.to_json(present)


@dataclass(frozen=True)
class Replay:
    """A trial that was run again.

    Args:
        study: Its study.
        stored: The trial as it is stored.
        again: The trial as it came out now.
        values: Number of metric values that it reported now.
        differences: What came out otherwise, by step, the score last.
        changed: What the study's environment was and is now, by name, where it changed.
    """

    study: Study
    stored: Trial
    again: Trial
    values: int
    differences: tuple[Difference, ...]
    changed: Mapping[str, tuple[str, str]]

    @property
    def equal(self) -> bool:
        """Whether it ended as the stored one did, with the same bits."""
        return _ending(self.stored) == _ending(self.again) and not self.differences

    def to_json(self) -> dict[str, Any]:
        """Return the document that `hpo replay --json` prints."""
        return {
            "study": {"id": self.study.id, "name": self.study.name, "uuid": self.study.uuid},
            "stage": self.stored.stage,
            "trial": self.stored.number,
            "params": dict(self.stored.params),
            "seed": self.stored.seed,
            "equal": self.equal,
            "steps": self.again.steps,
            "values": self.values,
            "stored": _end_to_json(self.stored),
            "again": _end_to_json(self.again),
            "differences": [difference.to_json() for difference in self.differences],
            "changed": {name: list(pair) for name, pair in self.changed.items()},
        }


def replay(
    study: str | int,
    trial: str,
    *,
    storage: str | None = None,
    watcher: Watcher | None = None,
    announce: Callable[[Study, Trial], None] | None = None,
) -> Replay:
    """Run a stored trial again and compare score and curves; the database is only read.

    Args:
        study: Id or name.
        trial: "STAGE/TRIAL", as "1/41".
        storage: URL of the database.
        watcher: Is told what the objective prints.
        announce: Is told what will run before it runs.

    Raises:
        UsageError: `trial` is not written so.
        NotFoundError: There is no such study, stage or trial.
        StateError: The trial did not end by itself, or the data changed.
        ObjectiveError: The objective cannot be imported, or the worker died.
    """
    written = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", trial)
    if written is None:
        raise UsageError(f"{trial!r} is not written STAGE/TRIAL, as 1/41")
    stage, number = map(int, written.groups())
    watcher = watcher or Watcher()
    with launch.open_study(study, storage) as (engine, stored_study):
        found = launch.located(stored_study)
        stored, curve = _stored(engine, found, stage, number)
    if announce is not None:
        announce(found, stored)
    outcome, curve_again = _run(found, stored, _stop(found, stored, curve), watcher)
    again = replace(
        stored,
        state=_STATE[outcome.state],
        value=outcome.value,
        diverged_at=outcome.diverged_at,
        steps=len(curve_again),
        seconds=outcome.seconds,
        reason=outcome.reason,
        error=outcome.error,
    )
    return Replay(
        study=found,
        stored=stored,
        again=again,
        values=sum(map(len, curve_again.values())),
        differences=(*_differences(curve, curve_again), *_of_scores(stored, again)),
        changed=_changed(found.environment, launch.environment()),
    )


def _stored(engine: Engine, study: Study, stage_number: int, number: int) -> tuple[Trial, Curve]:
    """Return a trial that ended by itself, with its curve."""
    with reading(engine) as connection:
        stage = studies.find_stage(connection, study, stage_number)
        trials = {trial.number: trial for trial in stage_trials(connection, stage)}
        curve = {
            step: metrics
            for slot, _, step, _, metrics in stage_curves(connection, stage)
            if slot == number
        }
    if number >= stage.budget:
        raise NotFoundError(
            f"stage {stage_number} of study {study.id} has no trial {number}. "
            f"It has: 0 to {stage.budget - 1}"
        )
    where = f"trial {stage_number}/{number}"
    found = trials.get(number)
    if found is None or not found.state.counted:
        raise StateError(f"{where} is not finished. Run: hpo resume {study.id}")
    if found.reason in ENDED_FROM_OUTSIDE:
        raise StateError(
            f"{where} did not end by itself ({found.reason}): there is no result to compare with. "
            f"Look with: hpo show {study.id}"
        )
    if stage.deleted:
        raise StateError(
            f"the Optuna study {stage.optuna_study} was deleted, and with it the parameters of "
            f"{where}. Restore a copy made by: hpo db backup"
        )
    if not stage.space.contains(found.params):
        now = f"not of its space ({found.params})" if found.params else "gone"
        raise StateError(
            f"{where} cannot be run again: another program changed Optuna's tables, where its "
            f"parameters are {now}. Look with: hpo db check"
        )
    return found, curve


def _stop(study: Study, trial: Trial, curve: Curve) -> list[int]:
    """Return after how many reports of the metric to stop a trial, if a pruner has stopped it."""
    if trial.state is not TrialState.PRUNED or study.definition.search.pruner == "none":
        return []
    return [sum(study.definition.metric in metrics for metrics in curve.values())]


def _run(
    study: Study, trial: Trial, stop: Sequence[int], watcher: Watcher
) -> tuple[Outcome, Curve]:
    """Run a trial in a worker, as the supervisor does."""
    curve: dict[int, Mapping[str, float]] = {}
    params = {**(study.definition.fixed or {}), **trial.params}
    with Pool(study.definition, 1) as pool:
        launch.check_data(pool, study, watcher)
        pool.workers[0].send({"do": "run", "params": params, "seed": trial.seed, "ask_at": stop})
        while True:
            for worker, event in pool.events(1.0):
                match event:
                    case list():
                        watcher.printed(trial.number, event)
                    case None:
                        raise ObjectiveError(
                            f"the worker died ({worker.death}) while it ran trial "
                            f"{trial.stage}/{trial.number} again"
                        )
                    case {"say": "broken"}:
                        raise ObjectiveError(event["error"])
                    case {"say": "steps"}:
                        curve |= {step: metrics for step, _, metrics in event["steps"]}
                    case {"say": "asks"}:
                        told = {"do": "answer", "reports": event["reports"], "goes_on": False}
                        worker.send(told)
                    case {"say": "done"}:
                        return outcome_of(study, event), curve


def _ending(trial: Trial) -> tuple[object, ...]:
    """Return how a trial ended, its numbers aside: two runs ended alike if this is equal."""
    return trial.state, trial.reason, trial.diverged_at, _last_line(trial)


def _end_to_json(trial: Trial) -> dict[str, Any]:
    return {
        "state": trial.state.value,
        "value": trial.value,
        "diverged_at": trial.diverged_at,
        "reason": trial.reason,
        "error": _last_line(trial),
    }


def _last_line(trial: Trial) -> str | None:
    """Return the line of a trial's traceback that says what happened."""
    return trial.error and trial.error.strip().rpartition("\n")[2]


def _differences(stored: Curve, again: Curve) -> list[Difference]:
    found = []
    for step in sorted({*stored, *again}):
        here, there = stored.get(step, {}), again.get(step, {})
        for metric in dict.fromkeys((*here, *there)):
            if not _same(here.get(metric), there.get(metric)):
                found.append(Difference(step, metric, here.get(metric), there.get(metric)))
    return found


def _of_scores(stored: Trial, again: Trial) -> list[Difference]:
    """Compare the scores; the value of a pruned trial is no score, but one of its curve's."""
    scores = [t.value if t.state is TrialState.COMPLETE else None for t in (stored, again)]
    # A score of -0.0 was stored as 0.0: SQLite writes whole numbers as integers
    # (https://www.sqlite.org/datatype3.html, section 2). Adding 0.0 does the same to it.
    before, now = (None if score is None else score + 0.0 for score in scores)
    return [] if _same(before, now) else [Difference(None, "score", before, now)]


def _same(one: float | None, other: float | None) -> bool:
    """Return whether two values have the same bits; all NaN are alike after their way as JSON."""
    if one is None or other is None:
        return one is other
    return struct.pack("d", one) == struct.pack("d", other)


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what differs between two environments."""
    before, after = (
        {"python": each["python"], "platform": each["platform"], **each["packages"]}
        for each in (then, now)
    )
    return {
        name: (before.get(name, "none"), version)
        for name, version in after.items()
        if before.get(name) != version
    }
