"""Dashboards as their page uses them: real servers, asked over HTTP."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import urllib.error
import urllib.request
from collections import Counter
from typing import Any, NamedTuple

from processes import Child


class Answer(NamedTuple):
    status: int
    body: Any


class Server:
    """A dashboard: a process and its address."""

    def __init__(self, process: Child, address: str) -> None:
        self.process, self.address = process, address

    def ask(self, method: str, route: str, **body: Any) -> Answer:
        request = urllib.request.Request(
            self.address + route,
            json.dumps(body).encode() if body else None,
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, json.loads(answer.read() or b"null"))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.loads(error.read() or b"null"))

    def study(self, name: str) -> int:
        """Return the id of an Optuna study."""
        found = self.ask("GET", "/api/studies").body["study_summaries"]
        return {study["study_name"]: study["study_id"] for study in found}[name]

    def rename(self, name: str, new_name: str) -> Answer:
        return self.ask("POST", f"/api/studies/{self.study(name)}/rename", study_name=new_name)

    def listens(self) -> bool:
        host, port = self.address.removeprefix("http://").split(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def trials(self, name: str) -> list[dict[str, Any]]:
        return self.ask("GET", f"/api/studies/{self.study(name)}").body["trials"]


class Page(threading.Thread):
    """An open page: asks for the studies, and for what is new in one of them.

    Args:
        server: Whom to ask.
        name: Optuna study that is looked at, once it is there.
    """

    def __init__(self, server: Server, name: str) -> None:
        super().__init__()
        self._server, self._name = server, name
        self._closed = threading.Event()
        self.answers: Counter[int] = Counter()
        self.trials: dict[int, Any] = {}

    def __enter__(self) -> Page:
        self.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._closed.set()
        self.join()

    def complete(self) -> int:
        return sum(map(self._ended, self.trials))

    def _ended(self, number: int) -> bool:
        return number in self.trials and self.trials[number]["state"] == "Complete"

    def run(self) -> None:
        while not self._closed.wait(0.1):
            status, body = self._server.ask("GET", "/api/studies")
            self.answers[status] += 1
            for study in body.get("study_summaries", ()):
                if study["study_name"] == self._name:
                    self._look(study["study_id"])

    def _look(self, study: int) -> None:
        # What comes before the first that may still change is not asked for again.
        after = next(n for n in itertools.count() if not self._ended(n))
        status, body = self._server.ask("GET", f"/api/studies/{study}?after={after}")
        self.answers[status] += 1
        for trial in body.get("trials", ()):
            self.trials[trial["number"]] = trial
