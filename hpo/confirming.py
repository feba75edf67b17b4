"""What `confirm` does: run the best settings again with fresh seeds, to tell skill from luck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpo.errors import StateError, UsageError
from hpo.launch import check_data, limited, runnable
from hpo.overview import summarize
from hpo.pool import Pool, worker_count
from hpo.running import reconciled, run_stage
from hpo.sampling import GIVEN
from hpo.space import union
from hpo.store import studies
from hpo.store.engine import Engine, writing
from hpo.study import Stage, Study
from hpo.summary import Summary
from hpo.watcher import Watcher

if TYPE_CHECKING:
    from hpo.narrowing.standing import Standing

TOP = 5
SEEDS = 5
MOST = 100
"""Settings, and seeds; who wants more of them wants a search."""


def confirm(
    study: str | int,
    *,
    storage: str | None = None,
    top: int = TOP,
    seeds: int = SEEDS,
    timeout: float | None = None,
    trial_timeout: float | None = None,
    trial_memory: int | str | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> Summary:
    """Run the best settings of a study again, in a stage of their own.

    Each setting has the same seeds, which no trial of the study had before, so that the settings
    are compared in pairs. The recommended setting is then the one with the best mean, see
    `Summary.ranking`.

    Args:
        study: Id or name.
        storage: URL of the database.
        top: Number of settings; if the study has fewer that gave a result, all of them.
        seeds: Number of seeds.
        timeout: Seconds after which the stage is left open.
        trial_timeout: Seconds after which a trial of this run is stopped and counts as failed.
        trial_memory: Bytes, or a size such as "2GB", at which it is stopped, likewise.
        workers: Number of worker processes; default the usable cores.
        watcher: Is told what happens.

    Raises:
        StateError: A stage is open, or there is no result to confirm.
        UsageError: `top` or `seeds` is out of its range.
    """
    for option, given, least in (("top", top, 1), ("seeds", seeds, 2)):
        if not least <= given <= MOST:
            raise UsageError(f"--{option} {given}: it must be from {least} to {MOST}")
    with runnable(study, storage) as (engine, found):
        this_run, deadline = limited(
            found, timeout=timeout, trial_timeout=trial_timeout, trial_memory=trial_memory
        )
        before = reconciled(engine, found)
        studies.refuse_deleted([stage for stage in before if stage.searches][-1:])
        chosen = choose(summarize(engine, found), top)
        watcher = watcher or Watcher()
        with Pool(found.definition, worker_count(workers, len(chosen) * seeds)) as pool:
            check_data(pool, found, watcher)
            stage = _create(engine, found, before, chosen, seeds)
            ended = run_stage(engine, this_run, stage, pool, watcher, deadline)
        return summarize(engine, found, ended)


def choose(summary: Summary, top: int) -> Sequence[Standing]:
    """Return the settings that are worth another look, best first.

    Raises:
        StateError: A stage is open, or no setting gave a result.
    """
    study = summary.study
    for stage in summary.stages:
        if stage.open:
            left = summary.counts(stage).open
            raise StateError(
                f"stage {stage.number} is open: {left} of its {stage.budget} trials are not "
                f"counted yet. Run: hpo resume {study.id}"
            )
    chosen = summary.ranking[:top]
    if not chosen:
        raise StateError(
            f"study {study.id} has no setting to confirm: every trial failed or diverged. "
            f"Look with: hpo show {study.id}"
        )
    return chosen


def _create(
    engine: Engine, study: Study, before: list[Stage], chosen: Sequence[Standing], seeds: int
) -> Stage:
    searches = [stage for stage in before if stage.searches]
    with writing(engine) as connection:
        return studies.create_stage(
            connection,
            study,
            parent=searches[-1],
            kind="confirm",
            space=union(stage.space for stage in searches),
            evidence={
                "settings": [
                    {
                        "stage": standing.trial.stage,
                        "trial": standing.trial.number,
                        "value": standing.mean,
                        "params": dict(standing.trial.params),
                    }
                    for standing in chosen
                ]
            },
            sampler=GIVEN,
            budget=len(chosen) * seeds,
            seeds=seeds,
        )
