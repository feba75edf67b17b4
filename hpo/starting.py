"""How a study is made: its definition, its workers, its first stages.

The workers are started before the database's modules are imported: they import the objective, and
that takes as long.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpo import catalog, narrowing, sampling
from hpo.definition import Definition, check_name, load_definition
from hpo.errors import StateError, UsageError
from hpo.pool import Pool, worker_count
from hpo.study import Ended
from hpo.summary import Summary
from hpo.watcher import Watcher


def configure(
    definition: Definition,
    *,
    quick: bool = False,
    settings: Mapping[str, Any] | None = None,
    **search: Any,
) -> Definition:
    """Return a definition with what the caller overrides.

    Args:
        definition: The definition.
        quick: Whether its `[quick]` table applies.
        settings: Values for `[fixed]`; a parameter of the space is fixed by it.
        **search: Values for `[search]`; None leaves one as it is.

    Raises:
        DefinitionError: An override cannot be used.
    """
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
    pruner: str | None = None,
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
        pruner: How trials that fall behind are given up: "none", "median", "asha", "hyperband".
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
    if isinstance(definition, os.PathLike):
        full = load_definition(Path(definition))
    elif isinstance(definition, Definition):
        full = definition
    else:
        full = catalog.find_definition(definition)
    configured = configure(
        full,
        quick=quick,
        settings=settings,
        sampler=sampler,
        pruner=pruner,
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
    watcher = watcher or Watcher()
    if quick and (smaller := _about_quick(full, configured)):
        watcher.warned(smaller)
    if name is not None:
        check_name(name)
    if used * search.seeds < search.trials:
        watcher.warned(
            f"The grid has {used * search.seeds} trials; {search.trials} were asked for."
        )
    with Pool(configured, worker_count(workers, used * search.seeds)) as pool:
        # The workers import the objective; meanwhile this process imports what a database needs.
        from hpo import next_stage
        from hpo.launch import describe, environment, limited, storage_url
        from hpo.overview import summarize
        from hpo.running import conclude, run_stage
        from hpo.store import migrations, studies
        from hpo.store.engine import opened, writing

        with opened(storage_url(storage), "create", search.durability) as engine:
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
                    watcher.warned(
                        f"There is a study {configured.name} already: this one is {free}."
                    )
                study = studies.create_study(
                    connection, configured, free, description, environment()
                )
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


def _about_quick(full: Definition, quick: Definition) -> str | None:
    """Return what `--quick` makes smaller, which a study's name alone does not tell."""
    before, now = ({**(d.fixed or {}), **asdict(d.search)} for d in (full, quick))
    keys = [key for table in (full.quick or {}).values() for key in table]
    sizes = [f"{key.replace('_', ' ')} {now[key]}" for key in keys if now[key] != before.get(key)]
    if not sizes:
        return None
    return f"--quick: {', '.join(sizes)}. What it finds need not hold at the full size."
