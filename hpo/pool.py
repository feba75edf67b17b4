"""The worker processes of one supervisor: started, talked to, replaced and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from hpo.definition import Definition
from hpo.errors import ObjectiveError
from hpo.objective import Description

Message = dict[str, Any]

_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)
"""One BLAS thread per worker: the same bits on every run, and no fight over the cores."""


class Worker:
    """One worker process and the connection to it.

    Args:
        definition: Tells what it imports.
    """

    def __init__(self, definition: Definition) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: the working directory is no place to import from. -u: what the objective prints
            # is seen at once. A process group of its own: Ctrl-C in the terminal is for the
            # supervisor, which decides what becomes of it.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", "hpo.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                process_group=0,
                env={**os.environ, **_ONE_THREAD},
            )
        self.connection = Connection(ours.detach())
        assert self.process.stdout is not None
        self.output = self.process.stdout
        os.set_blocking(self.output.fileno(), False)
        self._half_line = b""
        self.ready = False
        self.send(
            {
                "do": "setup",
                "objective": definition.objective,
                "describe": definition.describe,
                "metric": definition.metric,
                "direction": definition.direction,
                "folder": definition.folder,
            }
        )

    def send(self, message: Message) -> None:
        """Send a message; a dead worker is noticed when its answer is awaited."""
        try:
            self.connection.send_bytes(json.dumps(message).encode())
        except OSError:
            self.process.kill()

    def receive(self) -> Message | None:
        """Return the next message, or None if the worker has died."""
        try:
            message: Message = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            self.stop()
            return None
        if message["say"] == "ready":
            self.ready = True
        return message

    @property
    def died(self) -> bool:
        """Whether the process has ended and all its messages are read.

        A child that the objective forked may still hold the socket open, so its end is no sign.
        """
        return self.process.poll() is not None and not self.connection.poll()

    def lines(self, *, last: bool = False) -> list[str]:
        """Return the lines that it has printed since the last call.

        Args:
            last: Whether nothing more will come, so that half a line is one too.
        """
        printed = self._half_line
        while chunk := self.output.read(65536):
            printed += chunk
        *whole, self._half_line = printed.split(b"\n")
        if last and self._half_line:
            whole, self._half_line = [*whole, self._half_line], b""
        return [line.decode(errors="replace") for line in whole]

    def stop(self) -> None:
        """End the process now, and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.connection.close()


class Pool:
    """As many workers as trials may run at once.

    Args:
        definition: What the workers import.
        size: Number of workers.
    """

    def __init__(self, definition: Definition, size: int) -> None:
        self.workers = [Worker(definition) for _ in range(size)]
        self._definition = definition

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self.workers:
            worker.stop()
            worker.output.close()

    def describe(
        self, fixed: Mapping[str, Any], printed: Callable[[None, str], None]
    ) -> Description | None:
        """Wait until a worker has imported the objective, and describe the data.

        Args:
            fixed: The fixed settings.
            printed: Is told what the module prints meanwhile.

        Raises:
            ObjectiveError: The objective cannot be imported, or `describe` raised.
        """
        self.workers[0].send({"do": "describe", "fixed": dict(fixed)})
        while True:
            for _, event in self.events(1.0):
                match event:
                    case list():
                        for line in event:
                            printed(None, line)
                    case None:
                        raise ObjectiveError(
                            f"a worker died while it imported {self._definition.objective}"
                        )
                    case {"say": "broken"}:
                        raise ObjectiveError(event["error"]) from Exception(event["traceback"])
                    case {"say": "described"}:
                        described: Description | None = event["description"]
                        return described

    def replace(self, worker: Worker) -> Worker:
        """Start a new worker in the place of a dead one."""
        new = Worker(self._definition)
        self.workers[self.workers.index(worker)] = new
        worker.output.close()
        return new

    def events(self, timeout: float) -> Iterator[tuple[Worker, Message | list[str] | None]]:
        """Wait for messages and printed lines.

        Args:
            timeout: Longest wait, in seconds.

        Yields:
            A worker with a message of it, with lines that it printed, or with None at its death.
        """
        by_source: dict[Any, Worker] = {}
        for worker in self.workers:
            by_source[worker.connection] = by_source[worker.output] = worker
        deadline = time.monotonic() + timeout
        ready = wait(list(by_source), timeout)
        silent = True
        for source in ready:
            worker = by_source[source]
            if worker not in self.workers:
                continue  # replaced by the caller since we waited
            if source is not worker.connection:
                lines = worker.lines()
                silent = silent and not lines
                if lines:
                    yield worker, lines
            else:
                silent = False
                message = worker.receive()
                # What was printed before the message belongs to the trial that it is about.
                if printed := worker.lines(last=message is None):
                    yield worker, printed
                yield worker, message
        for worker in list(self.workers):
            if worker.died:
                silent = False
                worker.stop()
                if printed := worker.lines(last=True):
                    yield worker, printed
                yield worker, None
        if ready and silent:
            # A closed output stays "ready" for ever; its worker's connection tells the rest.
            time.sleep(max(0.0, min(0.02, deadline - time.monotonic())))
