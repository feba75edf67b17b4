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
from multiprocessing.connection import wait
from typing import Any

from hpo.definition import Definition
from hpo.errors import ObjectiveError, UsageError
from hpo.objective import Description
from hpo.threads import ONE_THREAD

Message = dict[str, Any]

LARGEST_CHUNK = 2**20
"""So many bytes of messages are received at a time."""

LONGEST_LINE = 65536
"""What an objective prints without an end is shown in pieces of this many bytes."""


class Worker:
    """One worker process and the connection to it.

    Args:
        definition: Tells what it imports.
        tests: Whether it may call the definition's `test`, the door to the test set.
    """

    def __init__(self, definition: Definition, *, tests: bool = False) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: the working directory is no place to import from. -u: what the objective prints
            # is seen at once. A process group of its own: Ctrl-C in the terminal is for the
            # supervisor, which decides what becomes of it.
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-u", "-m", "hpo.worker", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    bufsize=0,  # what was read ahead would not wake `wait`
                    pass_fds=[theirs.fileno()],
                    process_group=0,
                    # One BLAS thread: the same bits on every run, and no fight over the cores.
                    env={**os.environ, **ONE_THREAD},
                )
            except OSError as error:
                raise ObjectiveError(
                    f"No worker can be started: {sys.executable}: {error.strerror}"
                ) from None
        self.connection = ours
        assert self.process.stdout is not None
        self.output = self.process.stdout
        os.set_blocking(self.output.fileno(), False)
        self._half_line = self._half_message = b""
        self.ready = False
        self.send(
            {
                "do": "setup",
                "objective": definition.objective,
                "describe": definition.describe,
                "test": definition.test,
                "tests": tests,
                "metric": definition.metric,
                "direction": definition.direction,
                "folder": definition.folder,
            }
        )

    def send(self, message: Message) -> None:
        """Send a message; a dead worker is noticed when its answer is awaited."""
        try:
            self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.process.kill()

    def receive(self) -> list[Message] | None:
        """Return the messages that have arrived, or None if the worker has died.

        The rest of one is not waited for: its sender may have been stopped in the middle.
        """
        try:
            chunk = self.connection.recv(LARGEST_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        if not chunk:
            self.stop()
            return None
        *whole, self._half_message = (self._half_message + chunk).split(b"\n")
        try:
            messages: list[Message] = [json.loads(each) for each in whole]
        except ValueError:  # the objective wrote into our socket
            self.stop()
            return None
        self.ready = self.ready or any(message["say"] == "ready" for message in messages)
        return messages

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called: there is nothing more to be heard."""
        return self.connection.fileno() < 0

    @property
    def speaks(self) -> bool:
        """Whether something has arrived that was not received yet."""
        return not self.stopped and bool(wait([self.connection], 0))

    @property
    def died(self) -> bool:
        """Whether the process has ended and all its messages are read.

        A child that the objective forked may still hold the socket open, so its end is no sign.
        """
        return self.process.poll() is not None and not self.speaks

    @property
    def death(self) -> str:
        """How the process ended: by a signal, or with an exit code."""
        code = self.process.returncode
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def memory(self) -> int:
        """Return the resident memory of the process and of what it has started, in bytes."""
        import psutil

        total = 0
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.process.pid)
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += each.memory_info().rss
        return total

    def lines(self, *, last: bool = False) -> list[str]:
        """Return the next lines that it has printed: what the pipe holds, and not more.

        Who prints faster than we read must neither fill our memory nor keep us from all else.

        Args:
            last: Whether nothing more will come, so that half a line is one too.
        """
        lines: list[bytes] = []
        if chunk := self.output.read(LONGEST_LINE):
            *lines, self._half_line = (self._half_line + chunk).split(b"\n")
            if len(self._half_line) >= LONGEST_LINE:
                lines, self._half_line = [*lines, self._half_line], b""
        if last and self._half_line:
            lines, self._half_line = [*lines, self._half_line], b""
        return [line.decode(errors="replace") for line in lines]

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
        tests: Whether they are to test; others cannot.
    """

    def __init__(self, definition: Definition, size: int, *, tests: bool = False) -> None:
        self.workers = [Worker(definition, tests=tests) for _ in range(size)]
        self._definition = definition
        self._tests = tests

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self.workers:
            worker.stop()
            worker.output.close()

    def describe(
        self, fixed: Mapping[str, Any], printed: Callable[[None, list[str]], None]
    ) -> Description | None:
        """Wait until a worker has imported the objective, and describe the data.

        Args:
            fixed: The fixed settings.
            printed: Is told what the module prints meanwhile.

        Raises:
            ObjectiveError: The objective cannot be imported, or `describe` raised.
        """
        question = {"do": "describe", "fixed": dict(fixed)}
        asked = self.workers[0]
        asked.send(question)
        deaths = 0
        while True:
            for worker, event in self.events(1.0):
                match event:
                    case list():
                        printed(None, event)
                    case None:
                        deaths += 1
                        if deaths >= self._definition.search.max_attempts:
                            raise ObjectiveError(
                                f"{deaths} workers in a row died while they imported "
                                f"{self._definition.objective}"
                            )
                        new = self.replace(worker)
                        if worker is asked:
                            asked = new
                            asked.send(question)
                    case {"say": "broken"}:
                        raise ObjectiveError(event["error"]) from Exception(event["traceback"])
                    case {"say": "described"}:
                        described: Description | None = event["description"]
                        return described

    def replace(self, worker: Worker) -> Worker:
        """Start a new worker in the place of a dead one."""
        new = Worker(self._definition, tests=self._tests)
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
            if worker.stopped:
                continue
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
                received = worker.receive()
                for message in [None] if received is None else received:
                    # What was printed before it belongs to the trial that it is about.
                    ended = message is None or message["say"] == "done"
                    if printed := worker.lines(last=ended):
                        yield worker, printed
                    yield worker, message
        for worker in list(self.workers):
            if worker.died and not worker.stopped:
                silent = False
                worker.stop()
                if printed := worker.lines(last=True):
                    yield worker, printed
                yield worker, None
        if ready and silent:
            # A closed output stays "ready" for ever; its worker's connection tells the rest.
            time.sleep(max(0.0, min(0.02, deadline - time.monotonic())))


def worker_count(workers: int | None, budget: int) -> int:
    """Return how many workers to start: the wanted, else the cores; not more than trials."""
    if workers is None:
        linux = hasattr(os, "sched_getaffinity")
        workers = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
    if workers < 1:
        raise UsageError(f"--workers {workers}: at least one is needed")
    return min(workers, budget)
