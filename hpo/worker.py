"""A worker process: parameters in, steps and a score out. It knows no database.

Started as `python -m hpo.worker FD`, where FD is the number of an inherited socket. Messages are
lines of JSON in both directions; what the objective prints goes to the ordinary stdout and stderr.

    supervisor → worker   setup, describe, run, answer, test
    worker → supervisor   ready, described, steps, asks, done, tested, broken

Where a pruner is used, `run` says after how many reports of the metric to ask whether the trial
goes on; `run.report` waits there for the answer.
"""

from __future__ import annotations

import json
import math
import numbers
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from hpo.importing import ImportFailed, import_name
from hpo.objective import Diverged, Pruned, is_loss
from hpo.tracebacks import place, said

SEND_EVERY_S = 0.25
"""Steps travel in batches: one message per epoch would wake the supervisor for nothing."""

RESERVED = frozenset({"study", "stage", "trial", "attempt", "step", "seconds"})
"""Columns of `hpo report --curves`; a metric of that name could not be told from them."""

LARGEST_STEP = 2**31 - 1  # what every database can store, PostgreSQL's integer included
LONGEST_ERROR = 20_000
LONGEST_RETURN = 300

Message = dict[str, Any]


class Setup:
    """What a worker imports once: the objective and its helpers.

    Args:
        message: The `setup` message: objective, describe, test, metric, direction, folder, and
            whether it tests. If not, `test` cannot be called, and is looked for only where that
            imports nothing more, in the objective's module: a misspelt name is told at the start.
    """

    def __init__(self, message: Message) -> None:
        folder = message["folder"]
        self.metric: str = message["metric"]
        self.direction: str = message["direction"]
        self.objective = import_name("objective", message["objective"], folder)
        self.describe = (
            import_name("describe", message["describe"], folder) if message["describe"] else None
        )
        test, tests = message["test"], message["tests"]
        beside = test and test.partition(":")[0] == message["objective"].partition(":")[0]
        found = import_name("test", test, folder) if test and (tests or beside) else None
        self.test = found if tests else None


class WorkerRun:
    """The `run` that the objective is given.

    Args:
        seed: Seed of every random choice of the trial.
        setup: Tells which metric is the study's, and which direction is better.
        send: Sends a message to the supervisor.
        ask_at: After so many reports of the metric it asks whether to go on.
        receive: Waits for a message of the supervisor.
    """

    def __init__(
        self,
        seed: int,
        setup: Setup,
        send: Callable[[Message], None],
        ask_at: Collection[int],
        receive: Callable[[], Message],
    ) -> None:
        self.seed = seed
        self.worst: float | None = None
        self.stopped = False  # by a pruner
        self.last_step = 0
        self.metrics: set[str] = set()
        self._setup = setup
        self._send = send
        self._ask_at = ask_at
        self._receive = receive
        self._reports = 0  # of the metric
        self._began = self._sent = time.monotonic()
        self._steps: list[tuple[int, float, dict[str, float]]] = []
        self._seen: set[int] = set()
        self._lock = threading.Lock()  # an objective may report from threads of its own
        self._over = False

    @property
    def seconds(self) -> float:
        """Time since the trial began."""
        return time.monotonic() - self._began

    def report(self, step: int, **metrics: float) -> None:
        """Record the metrics of one step; see `hpo.objective.Run.report`."""
        step = _step_number(step)
        values = {name: _number(name, value) for name, value in metrics.items()}
        with self._lock:
            if self._over:
                raise RuntimeError("run.report: this trial has ended; what reports outlived it")
            if self.stopped:
                raise Pruned  # it was not let pass
            if step in self._seen:
                raise ValueError(f"run.report: step {step} was reported before")
            self.metrics |= set(values)
            self._seen.add(step)
            self.last_step = step
            self._steps.append((step, self.seconds, values))
            score = values.get(self._setup.metric)
            if score is not None and math.isfinite(score):
                worse = min if self._setup.direction == "maximize" else max
                self.worst = score if self.worst is None else worse(self.worst, score)
            self._reports += score is not None
            if time.monotonic() - self._sent >= SEND_EVERY_S:
                self._flush()
            for name, value in values.items():
                finite_needed = name == self._setup.metric or is_loss(name)
                if math.isinf(value) or (finite_needed and math.isnan(value)):
                    raise Diverged(f"{name} is {value} at step {step}")
            # Under the lock: who reports meanwhile, or ends the trial, waits for the answer, too.
            if score is not None and self._reports in self._ask_at:
                self.stopped = not self._goes_on()
            if self.stopped:
                raise Pruned

    def end(self) -> None:
        """Send the steps that were not sent yet, and take no more."""
        with self._lock:
            self._over = True
            self._flush()

    def _goes_on(self) -> bool:
        """Ask the supervisor, who has to know all steps up to here."""
        self._flush()
        self._send({"say": "asks", "reports": self._reports})
        answer = self._receive()
        while answer["reports"] != self._reports:  # to a question that a signal's handler cut short
            answer = self._receive()
        goes_on: bool = answer["goes_on"]
        return goes_on

    def _flush(self) -> None:
        if self._steps:
            self._send({"say": "steps", "steps": self._steps})
        self._steps, self._sent = [], time.monotonic()


def run_trial(
    setup: Setup,
    message: Message,
    send: Callable[[Message], None],
    receive: Callable[[], Message],
) -> Message:
    """Run the objective once and return how it ended."""
    run = WorkerRun(message["seed"], setup, send, message["ask_at"], receive)
    params: Mapping[str, Any] = message["params"]
    ended: Message
    try:
        score = _score(setup.objective(params, run))
        if not math.isfinite(score):
            raise Diverged(f"the score is {score}")
        # Whoever was stopped and returns all the same returns the score of half a training.
        ended = {"state": "pruned"} if run.stopped else {"state": "complete", "value": score}
    except Diverged:
        ended = {"state": "diverged", "step": run.last_step, "worst": run.worst}
    except Pruned:
        ended = {"state": "pruned"}
    # The boundary to the user's code, the one place where everything is caught: whatever it
    # raises, sys.exit() included, is this trial's result and is stored with its traceback.
    except BaseException as error:  # noqa: BLE001
        ended = {"state": "failed", "error": _storable(_told(error))}
    run.end()
    return {"say": "done", "seconds": run.seconds, "metrics": sorted(run.metrics), **ended}


def run_test(setup: Setup, message: Message) -> Message:
    """Call the definition's `test` with one seed and return what came of it."""
    assert setup.test is not None
    began = time.monotonic()
    ended: Message
    try:
        metrics = _metrics(setup.test(message["params"], message["seed"]))
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} is {value}")
        ended = {"state": "complete", "metrics": metrics}
    except Diverged as error:
        ended = {"state": "diverged", "what": str(error) or "it raised hpo.Diverged"}
    except _WrongReturn as error:
        ended = {"state": "failed", "error": str(error)}
    except BaseException as error:  # noqa: BLE001  # as in `run_trial`
        what = f"raised {said(_storable(_told(error)))}{place(error)}"
        ended = {"state": "failed", "error": what}
    return {"say": "tested", "seconds": time.monotonic() - began, **ended}


class _WrongReturn(Exception):
    """What `test` returned is not what it must return."""


def _metrics(returned: Any) -> dict[str, float]:
    """Return what `test` returned, if it is what it must be."""
    good = (
        isinstance(returned, Mapping)
        and returned
        and all(isinstance(name, str) and name and name.isprintable() for name in returned)
        and all(
            isinstance(value, numbers.Real) and not isinstance(value, bool)
            for value in returned.values()
        )
    )
    if not good:
        raise _WrongReturn(
            f"returned {repr(returned)[:LONGEST_RETURN]}; it must return numbers by name, "
            "as {'accuracy': 0.97}"
        )
    return {name: float(value) for name, value in returned.items()}


def _score(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"the objective returned {value!r} ({type(value).__name__}), not a number")
    return float(value)


def _told(error: BaseException) -> str:
    """Return the traceback of an exception, as far as it can be told."""
    try:
        return traceback.format_exc()
    # Its notes, and the attributes of a SyntaxError, are the user's code or data too.
    except BaseException:  # noqa: BLE001
        return f"{type(error).__name__}, whose traceback cannot be shown"


def _storable(error: str) -> str:
    """Return a traceback as text that any database takes: UTF-8, of bounded length."""
    text = error.encode("utf-8", "backslashreplace").decode()
    half = LONGEST_ERROR // 2
    return text if len(text) <= LONGEST_ERROR else f"{text[:half]}\n  …\n{text[-half:]}"


def _plain(value: Any) -> Any:
    """Return what JSON does not know but NumPy returns: its numbers, as Python's."""
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{value!r} ({type(value).__name__}) is not a number, string, list or dict")


def _number(name: str, value: Any) -> float:
    if name in RESERVED:
        raise ValueError(
            f"run.report: a metric cannot be called {name!r}, a column of every report"
        )
    if not name.isprintable():
        raise ValueError(f"run.report: the name {name!r} has characters that cannot be printed")
    # float() would read "3.5" and "nan", and NumPy's complex numbers without their second part.
    imaginary = isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real)
    try:
        if not (imaginary or isinstance(value, str | bytes | bytearray)):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"run.report: {name} = {value!r} is not a number")


def _step_number(step: Any) -> int:
    if isinstance(step, bool) or not isinstance(step, numbers.Integral) or step < 0:
        raise TypeError(f"run.report: step {step!r} is not a whole number of 0 or more")
    if int(step) > LARGEST_STEP:
        raise ValueError(f"run.report: step {step!r} is above {LARGEST_STEP}")
    return int(step)


def main(descriptor: int) -> None:
    """Serve one supervisor until it closes the connection or dies."""
    os.set_inheritable(descriptor, False)  # a program that the objective starts is not told
    connection = socket.socket(fileno=descriptor)
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def listen() -> None:
        # In a thread of its own, so that a supervisor's death ends a trial that reports nothing;
        # and with it what the objective has started.
        with suppress(OSError), connection.makefile("rb") as lines:
            for line in lines:
                inbox.put(json.loads(line))
        if os.getpgrp() == home:
            os.killpg(home, signal.SIGKILL)
        os._exit(1)

    home, ours = os.getpid(), os.fstat(descriptor)

    def send(message: Message) -> None:
        if os.getpid() != home:
            os._exit(0)  # a child that the objective forked came back here: it is not the worker
        try:
            if not os.path.samestat(os.fstat(descriptor), ours):
                os._exit(1)  # the objective has closed our socket, and opened a file in its place
            connection.sendall(json.dumps(message, default=_plain).encode() + b"\n")
        except OSError:
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    setup: Setup | None = None
    while True:
        message = inbox.get()
        try:
            match message["do"]:
                case "setup":
                    setup = Setup(message)
                    send({"say": "ready"})
                case "describe":
                    assert setup is not None
                    described = setup.describe(message["fixed"]) if setup.describe else None
                    send({"say": "described", "description": described})
                case "run":
                    assert setup is not None
                    send(run_trial(setup, message, send, inbox.get))
                case "test":
                    assert setup is not None
                    send(run_test(setup, message))
        except ImportFailed as error:
            send({"say": "broken", "error": str(error), "traceback": traceback.format_exc()})
        # Importing the user's module and calling its `describe` may raise anything.
        except Exception as error:  # noqa: BLE001
            told = f"{type(error).__name__}: {error}"
            if any(base.__module__ == "hpo.errors" for base in type(error).__mro__):
                told = str(error)  # written for people already
            send({"say": "broken", "error": told, "traceback": traceback.format_exc()})


if __name__ == "__main__":
    main(int(sys.argv[1]))
