"""What there is: a study as it stands, and the list of all."""

from __future__ import annotations

from hpo.launch import open_database, open_study
from hpo.store import studies
from hpo.store.engine import Engine, reading
from hpo.store.findings import study_findings
from hpo.store.test_uses import study_uses
from hpo.store.trials import stage_trials
from hpo.study import Ended, Study
from hpo.summary import Best, Summary


def show(study: str | int, *, storage: str | None = None) -> Summary:
    """Return a study with its stages and trials."""
    with open_study(study, storage) as (engine, found):
        return summarize(engine, found)


def best(study: str | int, *, storage: str | None = None) -> Best | None:
    """Return the recommended setting of a study; None while it has no result."""
    return show(study, storage=storage).best()


def list_studies(*, storage: str | None = None) -> list[Summary]:
    """Return all studies of a database."""
    with open_database(storage) as engine:
        with reading(engine) as connection:
            found = studies.all_studies(connection)
        return [summarize(engine, study) for study in found]


def summarize(
    engine: Engine, study: Study, ended: Ended | None = None, stopped: str | None = None
) -> Summary:
    """Return a study as it stands.

    Args:
        engine: The database.
        study: The study.
        ended: Why the supervisor stopped, if one ran.
        stopped: Why `narrow` made no stage, if it was asked.
    """
    with reading(engine) as connection:
        stages = studies.study_stages(connection, study)
        trials = [stage_trials(connection, stage) for stage in stages]
        found = study_findings(connection, study)
        uses = study_uses(connection, study)
    return Summary(study, stages, trials, ended, stopped, found, uses)
