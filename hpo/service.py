"""What the command line and Python callers do: start, narrow, resume, look. Nothing is printed."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpo import catalog, narrowing, next_stage, sampling
from hpo.definition import MOST_TRIALS, Definition, check_name, load_definition
from hpo.errors import ObjectiveError, StateError, UsageError
from hpo.narrowing import Rule
from hpo.next_stage import Proposal
from hpo.objective import Description
from hpo.pool import Pool
from hpo.store import migrations, studies
from hpo.store.engine import DEFAULT_URL, Connection, Engine, open_engine, reading, writing
from hpo.store.trials import stage_trials
from hpo.study import Ended, Stage, Study
from hpo.summary import Best, Summary
from hpo.supervisor import Supervisor
from hpo.watcher import Silent, Watcher

STORAGE_VARIABLE = "HPO_STORAGE"


def storage_url(url: str | None) -> str:
    """Return the database to use: the given one, else `HPO_STORAGE`, else `hpo.db` here."""
    return url or os.environ.get(STORAGE_VARIABLE) or DEFAULT_URL


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
        sampler: How stage 1 is sampled.
        trials: Trials per stage.
        seed: Seed of everything random.
        timeout: Seconds after which a stage is left open; not a part of the study.
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
    )
    limit = _time_limit(configured, timeout)
    if stages < 1:
        raise UsageError(f"--stages {stages}: at least one stage is needed")
    search = configured.search
    used = sampling.check(search.sampler, configured.space, search.trials // search.seeds)
    needed = narrowing.needed(configured.space)
    if stages > 1 and search.sampler in sampling.UNIFORM and used < needed:
        raise UsageError(
            f"--stages {stages}: narrowing this space needs {needed * search.seeds} trials, a "
            f"stage would have {used * search.seeds}. Give it more: "
            f"--trials {needed * search.seeds}"
        )
    url, watcher = storage_url(storage), watcher or Silent()
    if name is not None:
        check_name(name)
    with Pool(configured, _worker_count(workers, used * search.seeds)) as pool:
        # The workers are importing the objective while the database is opened.
        engine = open_engine(url, "create")
        description = _describe(pool, configured, watcher)
        migrations.prepare(engine)
        with writing(engine) as connection:
            free = studies.free_name(connection, name or configured.name)
            if name is not None and free != name:
                raise StateError(
                    f"there is a study called {name} already. Go on with it: hpo resume {name}   "
                    "or choose another --name"
                )
            study = studies.create_study(connection, configured, free, description, _environment())
            stage = studies.create_stage(
                connection,
                study,
                parent=None,
                kind="start",
                space=configured.space,
                evidence=None,
                sampler=search.sampler,
                budget=used * search.seeds,
                seeds=search.seeds,
            )
        ended = _run(engine, study, stage, pool, watcher, limit)
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
                ended = _run(engine, study, stage, pool, watcher, limit)
    return _summary(engine, study, ended, stopped)


def decide(
    study: str | int,
    *,
    storage: str | None = None,
    from_stage: int | None = None,
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
        top: Number of best trials that the rule looks at.
        widen: Whether ranges may grow.
        ranges: Ranges set by hand, by parameter.
        sampler: Sampler of the new stage; default what suits the decision.
        trials: Budget of the new stage; default its parent's.

    Raises:
        StateError: The stage is open, or has too few trials.
    """
    engine, found = open_study(study, storage)
    rule = Rule(top, widen)
    return next_stage.propose(engine, found, from_stage, rule, ranges, sampler, trials)


def narrow(
    study: str | int,
    *,
    storage: str | None = None,
    from_stage: int | None = None,
    top: int | None = None,
    widen: bool = True,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    sampler: str | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
    announce: Callable[[Proposal], None] | None = None,
) -> Summary:
    """Decide the next ranges from the evidence, store the decision and run the next stage.

    Args:
        study: Id or name.
        storage: URL of the database.
        from_stage: The stage to narrow; default the last.
        top: Number of best trials that the rule looks at.
        widen: Whether ranges may grow.
        ranges: Ranges set by hand, by parameter.
        sampler: Sampler of the new stage; default what suits the decision.
        trials: Budget of the new stage; default its parent's.
        timeout: Seconds after which the stage is left open.
        workers: Number of worker processes; default the usable cores.
        watcher: Is told what happens.
        announce: Is told the decision before it is carried out.

    Returns:
        The study; `stopped` says why, if there is nothing to narrow or widen.

    Raises:
        StateError: The stage is open, or has too few trials.
    """
    engine = _open(storage, "write")
    found = _runnable(engine, study)
    rule = Rule(top, widen)
    decided = next_stage.propose(engine, found, from_stage, rule, ranges, sampler, trials)
    if announce is not None:
        announce(decided)
    stopped = decided.nothing_to_do
    if stopped is not None:
        return _summary(engine, found, None, stopped)
    watcher = watcher or Silent()
    limit = _time_limit(found.definition, timeout)
    with Pool(found.definition, _worker_count(workers, decided.budget)) as pool:
        _check_data(pool, found, watcher)
        stage = next_stage.create(engine, decided)
        ended = _run(engine, found, stage, pool, watcher, limit)
    return _summary(engine, found, ended, None)


def resume(
    study: str | int,
    *,
    storage: str | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> Summary:
    """Finish the open stages of a study; on a finished one only return the summary.

    Args:
        study: Id or name.
        storage: URL of the database.
        trials: New budget of the last stage; it can only grow.
        timeout: Seconds after which a stage is left open.
        workers: Number of worker processes; default the usable cores.
        watcher: Is told what happens.

    Raises:
        StateError: The budget would shrink, or the sampler has no more settings.
    """
    engine = _open(storage, "write")
    found = _runnable(engine, study)
    with reading(engine) as connection:
        before = studies.study_stages(connection, found)
    limit = _time_limit(found.definition, timeout)

    def open_stages() -> list[Stage]:
        with writing(engine) as connection:
            if trials is not None:
                _raise_budget(connection, found, trials)
            return [stage for stage in studies.study_stages(connection, found) if stage.open]

    if not any(stage.open for stage in before) and (trials or 0) <= before[-1].budget:
        open_stages()  # refuses a budget that shrinks
        return _summary(engine, found, None, None)
    ended, watcher = None, watcher or Silent()
    most = max(trials or 0, *(stage.budget for stage in before))
    with Pool(found.definition, _worker_count(workers, most)) as pool:
        _check_data(pool, found, watcher)
        for stage in open_stages():
            ended = _run(engine, found, stage, pool, watcher, limit)
            if ended is not Ended.FINISHED:
                break
    return _summary(engine, found, ended, None)


def show(study: str | int, *, storage: str | None = None) -> Summary:
    """Return a study with its stages and trials."""
    return _summary(*open_study(study, storage), None, None)


def best(study: str | int, *, storage: str | None = None) -> Best | None:
    """Return the recommended setting of a study; None while it has no result."""
    return show(study, storage=storage).best()


def list_studies(*, storage: str | None = None) -> list[Summary]:
    """Return all studies of a database."""
    engine = _open(storage, "read")
    with reading(engine) as connection:
        found = studies.all_studies(connection)
    return [_summary(engine, study, None, None) for study in found]


def open_study(study: str | int, storage: str | None) -> tuple[Engine, Study]:
    """Open a database for reading and find a study in it."""
    engine = _open(storage, "read")
    with reading(engine) as connection:
        return engine, studies.find_study(connection, study)


def edge_warnings(summary: Summary, stage: Stage) -> list[str]:
    """Return a sentence for each parameter whose best trials lean on an edge of its range."""
    return list(
        narrowing.edge_warnings(
            stage.space,
            list(summary.of(stage)),
            summary.study.definition.direction,
            replicates=stage.seeds,
        )
    )


def _runnable(engine: Engine, study: str | int) -> Study:
    """Return a study whose objective is looked for where it is now.

    If the folder of its definition was moved since, that is the working directory.
    """
    with reading(engine) as connection:
        found = studies.find_study(connection, study)
    folder = found.definition.folder
    if folder is not None and not Path(folder).is_dir():
        return replace(found, definition=replace(found.definition, folder=str(Path.cwd())))
    return found


def _raise_budget(connection: Connection, study: Study, trials: int) -> None:
    last = studies.study_stages(connection, study)[-1]
    if trials % last.seeds or trials > MOST_TRIALS:
        raise UsageError(
            f"--trials {trials} is not a multiple of seeds ({last.seeds}) up to {MOST_TRIALS:,}"
        )
    if last.sampler == "grid" and trials != last.budget:
        raise StateError(
            f"stage {last.number} is a grid of {last.budget} trials, which has no more points. "
            f"Run another stage: hpo narrow {study.id}"
        )
    studies.raise_budget(connection, study, last, trials)


def _run(
    engine: Engine,
    study: Study,
    stage: Stage,
    pool: Pool,
    watcher: Watcher,
    timeout: float | None,
) -> Ended:
    with reading(engine) as connection:
        ancestors = studies.lineage(studies.study_stages(connection, study), stage)
    return Supervisor(engine, study, stage, ancestors, pool, watcher).run(timeout)


def _describe(pool: Pool, definition: Definition, watcher: Watcher) -> Description | None:
    """Return what the definition's `describe` says, if it says what it must."""
    said = pool.describe(definition.fixed or {}, watcher.printed)
    if definition.describe is None:
        return None
    sizes = {"train": 0, "validation": 1, "test": 0, "classes": 2}

    def holds(key: str, least: int) -> bool:
        size = said.get(key) if isinstance(said, dict) else None
        return isinstance(size, int) and not isinstance(size, bool) and size >= least

    if not all(holds(*size) for size in sizes.items()) or "fingerprint" not in (said or {}):
        raise ObjectiveError(
            f"describe = {definition.describe!r} returned {said!r}; it must return the whole "
            "numbers train, validation (1 or more), test and classes (2 or more), and a fingerprint"
        )
    return said


def _check_data(pool: Pool, study: Study, watcher: Watcher) -> None:
    """Make sure that a later stage sees the data that the first one saw."""
    now = _describe(pool, study.definition, watcher)
    then = study.description
    if now != then:
        raise StateError(
            f"the data changed since study {study.id} was started: it was {then}, it is {now}. "
            "Results would not compare. Start a new study: hpo start"
        )


def _summary(engine: Engine, study: Study, ended: Ended | None, stopped: str | None) -> Summary:
    with reading(engine) as connection:
        found = studies.study_stages(connection, study)
        trials = [stage_trials(connection, stage) for stage in found]
    return Summary(study, found, trials, ended, stopped)


def _open(storage: str | None, mode: Any) -> Engine:
    engine = open_engine(storage_url(storage), mode)
    migrations.check(engine)
    return engine


def _time_limit(definition: Definition, timeout: float | None) -> float | None:
    """Return the limit of this run: the caller's, which no other run has, or the definition's."""
    if timeout is None:
        return definition.search.timeout
    return definition.searching(timeout=timeout).search.timeout


def _worker_count(workers: int | None, budget: int) -> int:
    """Return how many workers to start: the wanted, else the cores; not more than trials."""
    if workers is None:
        linux = hasattr(os, "sched_getaffinity")
        workers = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
    if workers < 1:
        raise UsageError(f"--workers {workers}: at least one is needed")
    return min(workers, budget)


def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in ("hpo-service", "numpy", "optuna", "scipy")},
    }
