"""Processes of their own: the installed command as a user runs it, and children in Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

HPO = Path(sys.executable).with_name("hpo")
TESTS = str(Path(__file__).parent)


def eventually(condition: Callable[[], object], within: float = 30) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


class Child(subprocess.Popen[str]):
    """A process that goes on beside the test; as a context, it is killed at the end."""

    def __exit__(self, *error: Any) -> None:
        self.kill()
        super().__exit__(*error)

    def until(self, condition: Callable[[], object], within: float = 30) -> None:
        """Wait until something has happened, while the process lives."""
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            assert self.poll() is None, (self.returncode, *self.communicate())
            time.sleep(0.01)

    def until_ready(self) -> None:
        """Wait for its word; see `ready`."""
        assert self.stdout is not None
        assert self.stdout.readline() == "ready\n"

    def let_go(self) -> None:
        assert self.stdin is not None
        self.stdin.write("go\n")
        self.stdin.flush()

    def answer(self, within: float = 60) -> str:
        """Return what it prints until its end, which must be a good one."""
        printed, errors = self.communicate(timeout=within)
        assert self.returncode == 0, errors
        return printed


# The installed command


def run_hpo(
    *arguments: object, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; the environment is added to that of the test."""
    return subprocess.run(
        [HPO, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )


def start_hpo(
    *arguments: object,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stderr: IO[str] | int = subprocess.PIPE,
) -> Child:
    """Start the command; a file for stderr can be read while it runs."""
    return Child(
        [HPO, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


# Children in Python


def start_python(code: str, *arguments: str) -> Child:
    """Start code that may import the modules of this folder; a warning is an error there too."""
    return Child(
        [sys.executable, "-P", "-W", "error", "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": TESTS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def start_call(function: Callable[..., object], *arguments: object) -> Child:
    """Start the call of a function of a module of this folder; a path arrives as text."""
    module, name = function.__module__, function.__name__
    code = f"import json, sys, {module}; {module}.{name}(*json.loads(sys.argv[1]))"
    return start_python(code, json.dumps(arguments, default=str))


def ready() -> None:
    """In a child: tell the test that it is ready, and wait until it is let go."""
    print("ready", flush=True)
    sys.stdin.readline()


def together(children: Sequence[Child]) -> list[str]:
    """Let children go at the same moment, when all are ready; return what they print."""
    with ExitStack() as stack:
        for child in children:
            stack.enter_context(child)
        for child in children:
            child.until_ready()
        for child in children:
            child.let_go()
        return [child.answer() for child in children]
