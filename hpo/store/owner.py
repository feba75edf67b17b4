"""Who runs a slot: one supervisor, told apart from every other that there ever was.

Process numbers are used again, also after a restart of the machine. The boot id and the start time
of the process make its name unique on one host, so a dead owner is known at once, without waiting.
A process can run one supervisor after the other (a notebook does), so each has a number, too.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

_numbers = itertools.count(1)
_active: set[str] = set()


def new() -> str:
    """Return a name under which this process can own slots, until it is retired."""
    pid = os.getpid()
    name = f"{_boot_id()}/{_pid_namespace()}/{pid}/{_start_time(pid)}/{next(_numbers)}"
    _active.add(name)
    return name


def retire(owner: str) -> None:
    """Own nothing under this name any more."""
    _active.discard(owner)


def alive(owner: str) -> bool:
    """Return whether an owner may still be at work."""
    boot_id, namespace, pid, start_time, _ = owner.rsplit("/", 4)
    if boot_id != _boot_id():
        return False  # the machine was started again since
    if namespace != _pid_namespace():
        return True  # in another container: its processes cannot be seen from here
    if _start_time(int(pid)) != start_time:
        return _hidden(int(pid))
    return int(pid) != os.getpid() or owner in _active


def _hidden(pid: int) -> bool:
    """Return whether there is such a process, of which we may know nothing: another user's.

    Where /proc is mounted with `hidepid`, only its lease can tell then (proc(5)).
    """
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not Path(f"/proc/{pid}/stat").exists()
    except ProcessLookupError:
        return False
    return False


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:  # not Linux: a restart is then told by the start time alone
        return os.uname().nodename.replace("/", "_")


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").replace("/", "_")
    except OSError:  # not Linux: there is only one
        return "-"


def _start_time(pid: int) -> str | None:
    """Return when a process started, in the system's own unit; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return _start_time_by_ps(pid) if not Path("/proc/self").exists() else None
    # The second field is the command in parentheses, and may hold anything; `starttime` is
    # field 22, counted from 1 (proc(5)). A zombie has ended, though it still has an entry.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _start_time_by_ps(pid: int) -> str | None:
    import subprocess

    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return shown.replace("/", "-") or None
