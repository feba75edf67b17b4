"""What the command line and Python callers do: start, narrow, resume, look. Nothing is printed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo import catalog, narrowing, next_stage, sampling
from hpo.definition import MOST_TRIALS, Definition, check_name, load_definition
from hpo.errors import StateError, UsageError
from hpo.launch import (
    check_data,
    describe,
    environment,
    limited,
    open_study,
    runnable,
    storage_url,
    worker_count,
)
from hpo.narrowing import Rule, RuleName
from hpo.next_stage import Proposal
from hpo.overview import summarize
from hpo.pool import Pool
from hpo.running import conclude, reconciled, run_stage
from hpo.store import migrations, studies
from hpo.store.engine import Connection, opened, writing
from hpo.study import Ended, Stage, Study
from hpo.summary import Summary
from hpo.watcher import Watcher


def configure(
    definition: Definition | str | os.PathLike[str] | None,
    *,
    quick: bool = False,
    settings: Mapping[str, Any] | None = None,
    **search: Any,
) -> Definition:
    """Return a definition with what the caller overrides.

    Args:
        definition: A definition, the name of a built-in one, or a file; None for "digits".
        quick: Whether its `[quick]` table applies.
        settings: Values for `[fixed]`; a parameter of the space is fixed by it.
        **search: Values for `[search]`; None leaves one as it is.

    Raises:
        DefinitionError: The definition or an override cannot be used.
        NotFoundError: There is no such definition.
    """
    if isinstance(definition, os.PathLike):
        definition = load_definition(Path(definition))
    elif not isinstance(definition, Definition):
        definition = catalog.find_definition(definition)
    if quick:
        definition = definition.quickened()
    for key, value in (settings or {}).items():
        definition = definition.setting(key, value)
    return definition.searching(**{k: v for k, v in search.items() if v is not None})


def start(
    definition: Definition | str | os.PathLike[str] | None = None,
    *,
    storage: str | None = None,
    name: str | None = None,
    sampler: str | None = None,
    trials: int | None = None,
    seed: int | None = None,
    timeout: float | None = None,
    trial_timeout: float | None = None,
    trial_memory: int | str | None = None,
    stages: int = 1,
    workers: int | None = None,
    quick: bool = False,
    settings: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
) -> Summary:
    """Create a study and run its first stage, or several.

    Args:
        definition: A definition, the name of a built-in one, or a file; None for "digits".
        storage: URL of the database; it is created if it is not there.
        name: Name of the study; default the definition's, with -2, -3, … if it is taken.
        sampler: How stage 1 is sampled; default what the definition says, see
            `Definition.sampler`.
        trials: Trials per stage.
        seed: Seed of everything random.
        timeout: Seconds after which a stage is left open; not a part of the study.
        trial_timeout: Seconds after which a trial is stopped and counts as failed.
        trial_memory: Bytes, or a size such as "2GB", at which a trial is stopped, likewise.
        stages: Number of stages; each after the first is narrowed from the one before.
        workers: Number of worker processes; default the usable cores.
        quick: Whether the definition's `[quick]` table applies.
        settings: Values for `[fixed]`.
        watcher: Is told what happens.

    Returns:
        The study as it stands.

    Raises:
        HpoError: See `hpo.errors`; nothing is created unless the first trial can run.
    """
    configured = configure(
        definition,
        quick=quick,
        settings=settings,
        sampler=sampler,
        trials=trials,
        seed=seed,
        trial_timeout=trial_timeout,
        trial_memory=trial_memory,
    )
    if timeout is not None:
        configured.searching(timeout=timeout)  # raises before anything is created
    if stages < 1:
        raise UsageError(f"--stages {stages}: at least one stage is needed")
    search = configured.search
    used = sampling.check(configured.sampler, configured.space, search.trials // search.seeds)
    needed = narrowing.needed(configured.space)
    if stages > 1 and used < needed:
        raise UsageError(
            f"--stages {stages}: narrowing this space needs {needed * search.seeds} trials, a "
            f"stage would have {used * search.seeds}. Give it more: "
            f"--trials {needed * search.seeds}"
        )
    url, watcher = storage_url(storage), watcher or Watcher()
    if name is not None:
        check_name(name)
    if used * search.seeds < search.trials:
        watcher.warned(
            f"The grid has {used * search.seeds} trials; {search.trials} were asked for."
        )
    with (
        Pool(configured, worker_count(workers, used * search.seeds)) as pool,
        # The workers are importing the objective while the database is opened.
        opened(url, "create", search.durability) as engine,
    ):
        description = describe(pool, configured, watcher)
        if configured.finding or configured.figure:
            from hpo.reports import hooks  # and with it numpy

            hooks.check(configured)
        migrations.prepare(engine)
        with writing(engine) as connection:
            free = studies.free_name(connection, name or configured.name)
            if name is not None and free != name:
                raise StateError(
                    f"there is a study called {name!r} already. Go on with it: "
                    f"hpo resume {studies.find_study(connection, name).id}   "
                    "or choose another --name"
                )
            if free != (name or configured.name):
                watcher.warned(f"There is a study {configured.name} already: this one is {free}.")
            study = studies.create_study(connection, configured, free, description, environment())
            stage = studies.create_stage(
                connection,
                study,
                parent=None,
                kind="start",
                space=configured.space,
                evidence=None,
                sampler=configured.sampler,
                budget=used * search.seeds,
                seeds=search.seeds,
            )
        this_run, deadline = limited(study, timeout=timeout)
        ended = run_stage(engine, this_run, stage, pool, watcher, deadline)
        stopped = None
        while ended is Ended.FINISHED and stage.number < stages and stopped is None:
            try:
                found = next_stage.propose(engine, study, stage.number)
            except StateError as error:  # too many failed; what there is must still be shown
                stopped = str(error)
                break
            stopped = found.nothing_to_do
            if stopped is None:
                stage = next_stage.create(engine, found)
                ended = run_stage(engine, this_run, stage, pool, watcher, deadline)
        conclude(engine, study, storage, watcher)
        return summarize(engine, study, ended, stopped)


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
