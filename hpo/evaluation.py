"""The test, once: the recommended setting, retrained and evaluated on the test set.

A use of the test set is recorded before it begins. If it is interrupted, the next `final` goes on
with the same setting and the same seeds, as the same use; no result is shown before all are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpo import launch, sampling
from hpo.errors import ObjectiveError, StateError
from hpo.pool import Message, Pool, Worker, worker_count
from hpo.store import test_uses
from hpo.store.engine import Connection, Engine, reading, writing
from hpo.store.studies import find_stage, study_stages
from hpo.store.trials import stage_trials
from hpo.study import Stage, Study
from hpo.summary import Best, Summary
from hpo.use import Result, Score, Use
from hpo.watcher import Watcher

SEEDS = 5
"""How often the setting is retrained: one training says little about the next."""


@dataclass(frozen=True)
class Final:
    """What a test gave.

    Args:
        study: The study.
        use: The use of its test set.
    """

    study: Study
    use: Use

    @property
    def scores(self) -> Sequence[Score]:
        """Each metric that the definition's `test` returned, over all seeds."""
        return self.use.scores(self.study.description, self.study.definition.metric)

    def to_json(self) -> dict[str, Any]:
        """Return the document that `hpo final --json` prints."""
        return self.use.to_json(self.study.description, self.study.definition.metric)


def final(
    study: str | int,
    *,
    storage: str | None = None,
    again: bool = False,
    watcher: Watcher | None = None,
) -> Final:
    """Retrain the recommended setting and evaluate it on the test set, once.

    An interrupted use is continued with its setting and its seeds, whatever is recommended now;
    with `again`, only if that is the same setting.

    Args:
        study: Id or name.
        storage: URL of the database.
        again: Whether to use the test set although it was used before.
        watcher: Is told what happens.

    Raises:
        StateError: The study has no `test`, no result or an open stage, its test set was used
            before, or the data changed.
        ObjectiveError: `test` cannot be imported, raised, or did not return numbers by name.
    """
    watcher = watcher or Watcher()
    with launch.runnable(study, storage) as (engine, found):
        if found.definition.test is None:
            raise StateError(
                f"study {found.id} has no test set: its definition names no test, as "
                "test = 'my_train:test'. Add it to the file and start a new study: "
                "hpo start DEFINITION"
            )
        recommended = _Recommended(found)
        with reading(engine) as connection:  # refuses before a worker is started
            if _unfinished(connection, found, again, recommended) is None:
                recommended.of(connection)
        workers = worker_count(None, SEEDS)
        with Pool(found.definition, workers, tests=True) as pool:
            launch.check_data(pool, found, watcher)
            use = _recorded(engine, found, again, recommended)
            watcher.test_began(found, use, workers)
            use = _run(engine, found, use, pool, watcher)
    return Final(found, use)


def _recorded(engine: Engine, study: Study, again: bool, recommended: _Recommended) -> Use:
    """Return the use that is to be finished; record it first, if it is a new one."""
    with writing(engine) as connection:  # asked again under the lock: another may have begun
        use = _unfinished(connection, study, again, recommended)
        if use is not None:
            return use
        stage, best = recommended.of(connection)
        taken = test_uses.search_seeds(connection, study)
        seeds = sampling.final_seeds(study.definition.search.seed, SEEDS, taken)
        return test_uses.begin_use(
            connection, study, stage, best.trial, best.params, best.mean, seeds
        )


def _unfinished(
    connection: Connection, study: Study, again: bool, recommended: _Recommended
) -> Use | None:
    """Return the use that was interrupted and is to go on, None if a new one may begin.

    With `again`, it goes on as long as its setting is the recommended one: who types the same
    command twice has not asked for two uses.

    Raises:
        StateError: The test set was used before.
    """
    uses = test_uses.study_uses(connection, study)
    if not uses:
        return None
    last = uses[-1]
    if last.finished_at is None and not again:
        return last
    if again:
        _, best = recommended.of(connection)
        goes_on = last.finished_at is None and last.same_setting(best.stage, best.trial)
        return last if goes_on else None
    times = "once, on" if last.number == 1 else f"{last.number} times, the first on"
    raise StateError(
        f"the test set of study {study.id} was used {times} {uses[0].begun_at:%Y-%m-%d %H:%M} UTC, "
        f"see: hpo show {study.id}   Another use is told with every result, as number "
        f"{last.number + 1}: hpo final {study.id} --again"
    )


class _Recommended:
    """The setting to test, thought of once for the same stages.

    Of thousands of trials that takes seconds, in which nobody could write if it were done under the
    lock. Where all stages have ended, their trials do not change.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._known: tuple[list[Stage], Stage, Best] | None = None

    def of(self, connection: Connection) -> tuple[Stage, Best]:
        """Return it, and its stage.

        Raises:
            StateError: A stage is open, or there is no result.
        """
        stages = study_stages(connection, self._study)
        if self._known is None or self._known[0] != stages:
            self._known = (stages, *_recommended(connection, self._study, stages))
        return self._known[1:]


def _recommended(
    connection: Connection, study: Study, stages: Sequence[Stage]
) -> tuple[Stage, Best]:
    for stage in stages:
        if stage.open:
            raise StateError(
                f"stage {stage.number} of study {study.id} is open: what is recommended may "
                f"change, and the test set is for the end. Finish it: hpo resume {study.id}"
            )
    best = Summary(study, stages, [stage_trials(connection, stage) for stage in stages]).best()
    if best is None:
        raise StateError(
            f"study {study.id} has no finished trial with a score, so there is no setting to "
            f"test. Look with: hpo show {study.id}"
        )
    stage = find_stage(connection, study, best.stage)
    if not stage.space.contains(best.params):
        raise StateError(
            f"trial {best.stage}/{best.trial} cannot be tested: another program changed Optuna's "
            f"tables, where its parameters are not of its space ({dict(best.params)}). "
            "Look with: hpo db check"
        )
    return stage, best


def _run(engine: Engine, study: Study, use: Use, pool: Pool, watcher: Watcher) -> Use:
    """Test with each seed that has no result yet, and record each result when it comes."""
    params = {**(study.definition.fixed or {}), **use.params}
    waiting = [place for place, result in enumerate(use.results) if result is None]
    running: dict[Worker, int] = {}
    while waiting or running:
        for worker in pool.workers:
            if waiting and worker not in running:
                running[worker] = waiting.pop(0)
                seed = use.seeds[running[worker]]
                worker.send({"do": "test", "params": params, "seed": seed})
        for worker, event in pool.events(1.0):
            match event:
                case list():
                    watcher.printed(None, event)
                case None:
                    raise ObjectiveError(_stopped(study, use, f"the worker died ({worker.death})"))
                case {"say": "broken"}:
                    raise ObjectiveError(_stopped(study, use, event["error"]))
                case {"say": "tested"}:
                    result = _result(study, use, event)
                    with writing(engine) as connection:
                        place = running.pop(worker)
                        use = test_uses.record_result(connection, study, use.number, place, result)
                    watcher.seed_tested(use)
    return use


def _result(study: Study, use: Use, tested: Message) -> Result:
    """Return what came of one seed, from its worker's message.

    Raises:
        ObjectiveError: `test` raised, or did not return numbers by name.
    """
    name = f"test = {study.definition.test!r}"
    match tested["state"]:
        case "diverged":
            return Result(tested["seconds"], diverged=tested["what"])
        case "failed":
            raise ObjectiveError(_stopped(study, use, f"{name} {tested['error']}"))
    return Result(tested["seconds"], tested["metrics"])


def _stopped(study: Study, use: Use, why: str) -> str:
    return (
        f"{why}. Use {use.number} of the test set has begun and counts; "
        f"mend it and go on with the same setting and seeds: hpo final {study.id}"
    )
