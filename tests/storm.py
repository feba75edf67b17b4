"""Commands that are killed, stopped and disconnected while they run, and trials that do not end.

The functions at the end are objectives, named "storm:…" in a definition; a worker finds them by
the path that `start_python` sets, and imports nothing heavy with them.
"""

import errno
import os
import random
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from objectives.tiny import hill
from processes import Child, eventually, start_python

LEASE_S = 1.5
"""As short as a loaded machine allows: a living supervisor beats five times in it."""

_SHORT = f"""
import sys
import hpo.supervisor
from hpo.cli import main
from hpo.store import lease
lease.LEASE_S, hpo.supervisor.RECORD_EVERY_S = {LEASE_S}, {LEASE_S / 8}
sys.argv = ["hpo", *sys.argv[1:]]
main()
"""


def start_short(*arguments: object) -> Child:
    """Start the command with leases of `LEASE_S`."""
    return start_python(_SHORT, *map(str, arguments))


@contextmanager
def signals_as_in_a_terminal() -> Iterator[None]:
    """Let children get signals, also where `nohup` or a script's `&` has the tests ignore them."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


# Processes, as the kernel sees them


def state(pid: int) -> str:
    """Return the letter that `ps` shows; "Z" (has ended, see proc(5)) also for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def ended(pids: Iterable[int]) -> bool:
    """Whether none of the processes runs or could run again."""
    return all(state(pid) == "Z" for pid in pids)


def workers_of(supervisor: Child) -> list[int]:
    """Return its living children."""
    listed = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text()
    return [pid for pid in map(int, listed.split()) if not ended([pid])]


# A terminal

_CONTROL = re.compile(r"\x1b\[[0-?]*[@-~]")


class Terminal(Child):
    """A command in a terminal of its own, which it takes for the user's."""

    _LOGIN = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"

    def __init__(self, *command: object) -> None:
        self._screen, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        os.set_blocking(self._screen, False)
        self._seen = b""
        super().__init__(
            [sys.executable, "-c", self._LOGIN, *map(str, command)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        if self._screen >= 0:
            self.close()

    def type(self, keys: str) -> None:
        os.write(self._screen, keys.encode())

    def text(self) -> str:
        """Return all that was shown until now, without colours and movements."""
        try:
            while shown := os.read(self._screen, 65536):
                self._seen += shown
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.EIO:  # nobody has the terminal open any more
                raise
        return _CONTROL.sub("", self._seen.decode(errors="replace"))

    def shows(self, words: str) -> None:
        """Wait until words have appeared."""
        self.until(lambda: words in self.text())

    def end(self, within: float = 30) -> int:
        """Read on until the command has ended; return its exit code."""
        eventually(lambda: self.text() and self.poll() is not None, within)
        assert self.returncode is not None
        return self.returncode

    def close(self) -> None:
        """Close the window."""
        os.close(self._screen)
        self._screen = -1


# Objectives, run in the test's folder


def lasting(params: dict[str, Any], run: Any) -> float:
    """Climb a hill; but once `most` trials have ended, the others wait for the file `calm`."""
    score = hill(params, run)
    while len(list(Path().glob("ended-*"))) >= params["most"] and not Path("calm").exists():
        time.sleep(0.02)
    Path(f"ended-{run.seed}").touch()
    return float(score)


def family(params: dict[str, Any], run: Any) -> float:
    """Start children at the first attempt and never come back; a later attempt is well.

    The file `family-<pid>` names the worker and its children.
    """
    tried = Path(f"tried-{run.seed}")
    if tried.exists():
        return 1.0
    tried.touch()
    program = subprocess.Popen(["sleep", "1000"])
    child = os.fork()
    if child == 0:
        threading.Event().wait()
    written = Path(f"writing-{os.getpid()}")
    written.write_text(f"{os.getpid()} {program.pid} {child}")
    written.rename(f"family-{os.getpid()}")
    if params["n"] % 2:
        threading.Event().wait()
    while True:
        pass


def families(count: int) -> list[list[int]]:
    """Return the processes of each trial of `family`; empty before there are so many."""
    found = [[int(pid) for pid in path.read_text().split()] for path in Path().glob("family-*")]
    return found if len(found) == count else []


def gathering(params: dict[str, Any], run: Any) -> float:
    """Wait until trials of `supervisors` processes are here, and tell whose this one is."""
    Path(f"by-{os.getppid()}-{run.seed}").touch()
    while len(gathered()) < params["supervisors"]:
        time.sleep(0.01)
    score = random.Random(run.seed).random()
    for epoch in range(3):
        run.report(epoch, score=score * epoch)
        time.sleep(0.01)
    return score


def gathered() -> dict[int, int]:
    """Return how many trials of `gathering` each supervisor has run, by its process number."""
    parents = [int(path.name.split("-")[1]) for path in Path().glob("by-*")]
    return {pid: parents.count(pid) for pid in parents}


def uneven(params: dict[str, Any], run: Any) -> float:
    """Be well, but for trial 1, which takes for ever; and all memory, if it is told so."""
    run.report(0, score=0.5)
    if params["n"] == 1:
        hoard = b"x" * params["bytes"]  # written to, so that the pages are there
        threading.Event().wait()
        del hoard
    return float(params["n"])
