"""The stock dashboard on our storage: shows everything, changes nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databases
import pytest
from databases import sql, url_of

from hpo.dashboard import HOST, serve
from hpo.errors import DatabaseError, UsageError


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dashboard") / "hpo.db"
    engine = databases.new(path)
    stage = databases.started(engine, 3, "mine")
    ledger = databases.ledger_of(engine, stage)
    databases.run_one(ledger)
    databases.run_one(ledger)
    return path


@pytest.fixture(scope="module")
def page(path: Path) -> Iterator[str]:
    """Serve the database as `hpo dashboard` does; return the address."""
    command = [sys.executable, "-P", "-m", "hpo", "dashboard", "--port", "0"]
    with subprocess.Popen(
        [*command, "--storage", url_of(path)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        try:
            assert said.startswith(f"Dashboard on http://{HOST}:"), said
            yield said.split()[2].removesuffix("/dashboard/")
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=20)[1]
        assert process.returncode == 0, "Ctrl-C is how it ends"
        assert "/api/" not in rest, "no line per request: the page polls"


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.loads(answer.read())


def test_it_shows_the_stage_as_a_study_with_its_trials(page: str) -> None:
    (study,) = get(f"{page}/api/studies")["study_summaries"]
    assert study["study_name"] == "mine/1"
    detail = get(f"{page}/api/studies/{study['study_id']}")
    assert [trial["state"] for trial in detail["trials"]] == ["Complete", "Complete"]
    assert detail["trials"][0]["intermediate_values"] == [
        {"step": 0, "value": 0.25},
        {"step": 1, "value": 0.5},
    ]
    assert [param["name"] for param in detail["trials"][0]["params"]] == [*databases.SPACE]
    with urllib.request.urlopen(f"{page}/dashboard/", timeout=30) as answer:
        assert b"<title>" in answer.read()


def test_it_shows_what_comes_later(page: str, path: Path) -> None:
    engine = databases.new(path)
    stage = databases.started(engine, 1, "later")
    assert "later/1" in {s["study_name"] for s in get(f"{page}/api/studies")["study_summaries"]}
    databases.run_one(databases.ledger_of(engine, stage))
    assert len(get(f"{page}/api/studies/2")["trials"]) == 1


WRITES = [
    ("POST", "/api/studies", {"study_name": "new", "directions": ["minimize"]}),
    ("DELETE", "/api/studies/1", {}),
    ("POST", "/api/studies/1/rename", {"study_name": "renamed"}),
    ("PUT", "/api/studies/1/note", {"body": "words", "version": 1}),
    ("PUT", "/api/studies/1/objectives", {"metric_names": ["accuracy"]}),
    ("POST", "/api/trials/1/tell", {"state": "Fail"}),
    ("POST", "/api/trials/1/user-attrs", {"user_attrs": {"a": 1}}),
    ("PUT", "/api/studies/1/1/note", {"body": "words", "version": 1}),
    ("POST", "/api/studies/1/1/skip", {}),
    ("POST", "/api/studies/1/preference", {"mode": "ChooseWorst", "candidates": [1], "clicked": 1}),
]


@pytest.mark.parametrize(("method", "route", "body"), WRITES, ids=lambda value: str(value))
def test_every_write_is_refused(
    method: str, route: str, body: dict[str, Any], page: str, path: Path
) -> None:
    def everything() -> list[Any]:
        names = sql(path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [sql(path, f"SELECT * FROM {name}") for (name,) in names]

    before = everything()
    assert refused(method, page + route, body) == 403
    assert everything() == before
    assert get(f"{page}/api/studies")  # and it goes on serving


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "X"]
)
@pytest.mark.parametrize("route", ["/", "/api/studies", "/api/studies/1", "/anything"])
def test_every_verb_but_two_is_refused(method: str, route: str, page: str) -> None:
    assert refused(method, page + route, {}) == 403


def refused(method: str, url: str, body: dict[str, Any]) -> int:
    """Return the status of a request that the dashboard must refuse, saying why."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value:
        assert "read-only" in json.loads(caught.value.read())["reason"]
        return caught.value.code


def test_it_listens_on_this_machine_only(page: str) -> None:
    assert page.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("port", [-1, 65536, 10**12])
def test_a_port_that_cannot_be_used(port: int, path: Path) -> None:
    with pytest.raises(UsageError, match=rf"port {port} cannot be used .*--port 8081"):
        serve(url_of(path), port, pytest.fail)


def test_a_taken_port(path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} cannot be used .*in use.*Choose"):
            serve(url_of(path), port, pytest.fail)


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="There is no database"):
        serve(url_of(tmp_path / "none.db"), 0, pytest.fail)
    assert os.listdir(tmp_path) == []
