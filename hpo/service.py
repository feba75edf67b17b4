"""What the command line and Python callers do with a study: narrow, resume. Nothing is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hpo import next_stage
from hpo.errors import StateError, UsageError
from hpo.launch import check_data, limited, open_study, runnable
from hpo.narrowing import Rule, RuleName
from hpo.next_stage import Proposal
from hpo.overview import summarize
from hpo.pool import Pool, worker_count
from hpo.running import conclude, reconciled, run_stage
from hpo.search import MOST_TRIALS
from hpo.store import studies
from hpo.store.engine import Connection, writing
from hpo.study import Ended, Stage, Study
from hpo.summary import Summary
from hpo.watcher import Watcher


def decide(
    study: str | int,
    *,
    storage: str | None = None,
    from_stage: int | None = None,
    rule: RuleName = "posterior",
    top: int | None = None,
    widen: bool = True,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    sampler: str | None = None,
    trials: int | None = None,
) -> Proposal:
    """Return what `narrow` would do, and change nothing.

    Args:
        study: Id or name.
        storage: URL of the database.
        from_stage: The stage to narrow; default the last.
        rule: "posterior", or "book" for the box of the best settings.
        top: Number of best settings that the book's rule looks at; default 5.
        widen: Whether ranges may grow.
        ranges: Ranges set by hand, by parameter.
        sampler: Sampler of the new stage; default what suits the decision.
        trials: Budget of the new stage; default its parent's.

    Raises:
        StateError: The stage is open, or has too few trials.
    """
    settings = Rule(rule, top, widen)
    with open_study(study, storage) as (engine, found):
        return next_stage.propose(engine, found, from_stage, settings, ranges, sampler, trials)


def narrow(
    study: str | int,
    *,
    storage: str | None = None,
    from_stage: int | None = None,
    rule: RuleName = "posterior",
    top: int | None = None,
    widen: bool = True,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    sampler: str | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    trial_timeout: float | None = None,
    trial_memory: int | str | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
    announce: Callable[[Proposal], None] | None = None,
) -> Summary:
    """Decide the next ranges from the evidence, store the decision and run the next stage.

    Args:
        study: Id or name.
        storage: URL of the database.
        from_stage: The stage to narrow; default the last.
        rule: "posterior", or "book" for the box of the best settings.
        top: Number of best settings that the book's rule looks at; default 5.
        widen: Whether ranges may grow.
        ranges: Ranges set by hand, by parameter.
        sampler: Sampler of the new stage; default what suits the decision.
        trials: Budget of the new stage; default its parent's.
        timeout: Seconds after which the stage is left open.
        trial_timeout: Seconds after which a trial of this run is stopped and counts as failed.
        trial_memory: Bytes, or a size such as "2GB", at which it is stopped, likewise.
        workers: Number of worker processes; default the usable cores.
        watcher: Is told what happens.
        announce: Is told the decision before it is carried out.

    Returns:
        The study; `stopped` says why, if there is nothing to narrow or widen.

    Raises:
        StateError: The stage is open, or has too few trials.
    """
    with runnable(study, storage) as (engine, found):
        this_run, deadline = limited(
            found, timeout=timeout, trial_timeout=trial_timeout, trial_memory=trial_memory
        )
        reconciled(engine, found)
        settings = Rule(rule, top, widen)
        decided = next_stage.propose(engine, found, from_stage, settings, ranges, sampler, trials)
        if announce is not None:
            announce(decided)
        stopped = decided.nothing_to_do
        if stopped is not None:
            return summarize(engine, found, stopped=stopped)
        watcher = watcher or Watcher()
        with Pool(found.definition, worker_count(workers, decided.budget)) as pool:
            check_data(pool, found, watcher)
            stage = next_stage.create(engine, decided)
            ended = run_stage(engine, this_run, stage, pool, watcher, deadline)
        conclude(engine, found, storage, watcher)
        return summarize(engine, found, ended)


def resume(
    study: str | int,
    *,
    storage: str | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    trial_timeout: float | None = None,
    trial_memory: int | str | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> Summary:
    """Finish the open stages of a study; on a finished one only return the summary.

    Args:
        study: Id or name.
        storage: URL of the database.
        trials: New budget of the last stage that searches; it can only grow.
        timeout: Seconds after which a stage is left open.
        trial_timeout: Seconds after which a trial of this run is stopped and counts as failed.
        trial_memory: Bytes, or a size such as "2GB", at which it is stopped, likewise.
        workers: Number of worker processes; default the usable cores.
        watcher: Is told what happens.

    Raises:
        StateError: The budget would shrink, or the sampler has no more settings.
    """
    with runnable(study, storage) as (engine, found):
        this_run, deadline = limited(
            found, timeout=timeout, trial_timeout=trial_timeout, trial_memory=trial_memory
        )
        before = reconciled(engine, found)
        studies.refuse_deleted([*(stage for stage in before if stage.open), _growing(before)])

        def open_stages() -> list[Stage]:
            with writing(engine) as connection:
                if trials is not None:
                    _raise_budget(connection, found, trials)
                return [stage for stage in studies.study_stages(connection, found) if stage.open]

        if not any(s.open for s in before) and (trials or 0) <= _growing(before).budget:
            open_stages()  # refuses a budget that shrinks
            conclude(engine, found, storage, watcher)
            return summarize(engine, found)
        ended, watcher = None, watcher or Watcher()
        most = max(trials or 0, *(stage.budget for stage in before))
        with Pool(found.definition, worker_count(workers, most)) as pool:
            check_data(pool, found, watcher)
            for stage in open_stages():
                ended = run_stage(engine, this_run, stage, pool, watcher, deadline)
                if ended is not Ended.FINISHED:
                    break
        conclude(engine, found, storage, watcher)
        return summarize(engine, found, ended)


def _growing(stages: Sequence[Stage]) -> Stage:
    """Return the stage whose budget can be raised: the last that searches."""
    return [stage for stage in stages if stage.searches][-1]


def _raise_budget(connection: Connection, study: Study, trials: int) -> None:
    last = _growing(studies.study_stages(connection, study))
    if trials % last.seeds or trials > MOST_TRIALS:
        raise UsageError(
            f"--trials {trials} is not a multiple of seeds ({last.seeds}) up to {MOST_TRIALS:,}"
        )
    if last.sampler == "grid" and trials != last.budget:
        hint = f"Set the next ranges by hand: hpo narrow {study.id} --range NAME=LOW:HIGH"
        if last.open:
            hint = f"Finish it: hpo resume {study.id}"
        raise StateError(
            f"stage {last.number} is a grid of {last.budget} trials, which has no more points. "
            f"{hint}"
        )
    studies.raise_budget(connection, study, last, trials)
