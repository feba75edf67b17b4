"""What every command does before it works: find the database, the study and its data."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpo.definition import Definition
from hpo.errors import ObjectiveError, StateError
from hpo.objective import Description
from hpo.pool import Pool
from hpo.store import migrations, studies
from hpo.store.engine import DEFAULT_URL, Engine, opened, reading
from hpo.study import Study
from hpo.watcher import Watcher

STORAGE_VARIABLE = "HPO_STORAGE"


def storage_url(url: str | None) -> str:
    """Return the database to use: the given one, else `HPO_STORAGE`, else `hpo.db` here."""
    return url or os.environ.get(STORAGE_VARIABLE) or DEFAULT_URL


@contextmanager
def open_database(storage: str | None) -> Iterator[Engine]:
    """Open a database for reading that has our tables at the revision that we know."""
    with opened(storage_url(storage), "read") as engine:
        migrations.check(engine)
        yield engine


@contextmanager
def open_study(study: str | int, storage: str | None) -> Iterator[tuple[Engine, Study]]:
    """Open a database for reading and find a study in it."""
    with open_database(storage) as engine:
        with reading(engine) as connection:
            found = studies.find_study(connection, study)
        yield engine, found


@contextmanager
def runnable(study: str | int, storage: str | None) -> Iterator[tuple[Engine, Study]]:
    """Open a database for writing, as durable as the study wants it, and find the study in it."""
    with open_study(study, storage) as (_, found):
        pass
    with opened(storage_url(storage), "write", found.definition.search.durability) as engine:
        yield engine, located(found)


def located(study: Study) -> Study:
    """Return a study whose objective is looked for where it is now.

    If the folder of its definition was moved since, that is the working directory.
    """
    folder = study.definition.folder
    if folder is None or Path(folder).is_dir():
        return study
    return replace(study, definition=replace(study.definition, folder=str(Path.cwd())))


def limited(study: Study, **limits: Any) -> tuple[Study, float | None]:
    """Return a study with the limits of this run, which are no part of it.

    And when the time of this run is over, on the monotonic clock, if it has a `timeout`.
    """
    given = {name: limit for name, limit in limits.items() if limit is not None}
    definition = study.definition.searching(**given)
    timeout = definition.search.timeout
    deadline = None if timeout is None else time.monotonic() + timeout
    return replace(study, definition=definition), deadline


def describe(pool: Pool, definition: Definition, watcher: Watcher) -> Description | None:
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


def check_data(pool: Pool, study: Study, watcher: Watcher) -> None:
    """Make sure that a later stage sees the data that the first one saw."""
    now = describe(pool, study.definition, watcher)
    then = study.description
    if now != then:
        raise StateError(
            f"the data changed since study {study.id} was started: it was {then}, it is {now}. "
            "Results would not compare. Start a new study: hpo start DEFINITION"
        )


def environment() -> dict[str, Any]:
    """Return the versions that a result may depend on."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in ("hpo-service", "numpy", "optuna", "scipy")},
    }
