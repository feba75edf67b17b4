"""What a command opens before it works: the study's durability, and the limits of one run."""

from __future__ import annotations

from pathlib import Path

import pytest
from databases import sql
from objectives.files import place
from sqlalchemy import Connection, Engine, event

import hpo
from hpo import launch
from hpo.errors import DefinitionError

URL = "sqlite:///hpo.db"
SYNCHRONOUS = {1: "normal", 2: "full"}


@pytest.mark.parametrize("kind", ["normal", "full"])
def test_a_study_is_as_durable_as_its_definition_says(kind: str, home: Path) -> None:
    seen = set()

    def look(connection: Connection) -> None:
        if not connection.get_execution_options().get("hpo_reading"):
            driver = connection.connection.driver_connection
            seen.add(SYNCHRONOUS[driver.execute("PRAGMA synchronous").fetchone()[0]])

    event.listen(Engine, "begin", look)
    try:
        hpo.start(place(home, "hill", search={"trials": 2, "durability": kind}), workers=1)
        assert seen == {kind}
        seen.clear()
        hpo.resume(1, trials=3, workers=1)
        assert seen == {kind}
    finally:
        event.remove(Engine, "begin", look)


def test_what_python_reads_is_closed_again(home: Path) -> None:
    """Else a run cannot merge the log beside the file: who copies the file alone loses trials."""
    hpo.start(place(home, "hill", search={"trials": 2}), workers=1)
    hpo.show(1)
    hpo.report(1)
    hpo.curves(1)
    hpo.resume(1, trials=3, workers=1)
    assert [path.name for path in home.glob("hpo.db*")] == ["hpo.db"]


def test_limits_given_to_a_run_are_no_part_of_the_study(home: Path) -> None:
    definition = place(home, "hill", search={"trials": 1, "trial_timeout": 50})
    hpo.start(definition, workers=1, timeout=60, trial_memory="1GB")
    with launch.open_study(1, URL) as (_, study):
        pass
    assert study.definition.search.timeout is None
    assert (study.definition.search.trial_timeout, study.definition.search.trial_memory) == (
        50,
        10**9,
    )
    this_run, _ = launch.limited(study, timeout=7.0, trial_timeout=8.0, trial_memory="2 MB")
    search = this_run.definition.search
    assert (search.timeout, search.trial_timeout, search.trial_memory) == (7, 8, 2 * 10**6)
    assert launch.limited(study, timeout=None) == (study, None)
    before = sql(home / "hpo.db", "SELECT definition FROM hpo_studies")
    hpo.resume(1, trials=2, trial_timeout=40)
    assert sql(home / "hpo.db", "SELECT definition FROM hpo_studies") == before


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        ({"timeout": 0}, r"timeout \(0\) must be above 0"),
        ({"trial_timeout": -1}, r"trial.timeout \(-1\) must be above 0"),
        ({"trial_memory": "much"}, r"trial.memory: 'much' is not a size such as"),
    ],
)
def test_a_limit_that_is_none_creates_nothing(
    limit: dict[str, object], sentence: str, home: Path
) -> None:
    definition = place(home, "hill")
    with pytest.raises(DefinitionError, match=sentence):
        hpo.start(definition, **limit)
    assert not (home / "hpo.db").exists()
