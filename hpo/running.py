"""What every command that runs trials does around them."""

from __future__ import annotations

from hpo.errors import ObjectiveError
from hpo.pool import Pool
from hpo.store import studies
from hpo.store.engine import Engine, reading, writing
from hpo.store.findings import replace_findings
from hpo.store.reconcile import reconcile
from hpo.study import Ended, Stage, Study
from hpo.supervisor import Supervisor
from hpo.watcher import Watcher


def reconciled(engine: Engine, study: Study) -> list[Stage]:
    """Return the stages of a study, brought to agreement with their trials in the dashboard."""
    with writing(engine) as connection:
        for stage in studies.study_stages(connection, study):
            reconcile(connection, stage, study.definition.metric)
        return studies.study_stages(connection, study)


def run_stage(
    engine: Engine,
    study: Study,
    stage: Stage,
    pool: Pool,
    watcher: Watcher,
    deadline: float | None,
) -> Ended:
    """Run a stage until it is finished, the time is over, or a signal arrives."""
    with reading(engine) as connection:
        ancestors = studies.lineage(studies.study_stages(connection, study), stage)
    return Supervisor(engine, study, stage, ancestors, pool, watcher).run(deadline)


def conclude(engine: Engine, study: Study, storage: str | None, watcher: Watcher | None) -> None:
    """Let the definition say what it finds in a study of which no stage is open."""
    if study.definition.finding is None:
        return
    with reading(engine) as connection:
        if any(stage.open for stage in studies.study_stages(connection, study)):
            return
    from hpo.reports import hooks

    try:
        found = hooks.findings(study, storage=storage)
    except ObjectiveError as error:  # the study itself is done and sound
        (watcher or Watcher()).warned(str(error))
        found = []  # what was found before may not be true any more
    with writing(engine) as connection:
        replace_findings(connection, study, found)
