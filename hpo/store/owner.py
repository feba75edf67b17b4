"""Who runs a slot: a process, told apart from every other that ever had its number.

Process numbers are used again, also after a restart of the machine. The boot id and the start time
of the process make the name unique on one host, so a dead owner is known at once, without waiting.
"""

from __future__ import annotations

import os
from pathlib import Path


def this_process() -> str:
    """Return the name of the calling process as an owner of slots."""
    pid = os.getpid()
    return f"{_boot_id()}/{pid}/{_start_time(pid)}"


def alive(owner: str) -> bool:
    """Return whether the process that an owner names still exists on this host."""
    boot_id, pid, start_time = owner.rsplit("/", 2)
    return boot_id == _boot_id() and _start_time(int(pid)) == start_time


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:  # not Linux: a restart is then told by the start time alone
        return os.uname().nodename.replace("/", "_")


def _start_time(pid: int) -> str | None:
    """Return when a process started, in the system's own unit; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return _start_time_by_ps(pid) if not Path("/proc/self").exists() else None
    # The second field is the command in parentheses, and may hold anything; `starttime` is
    # field 22, counted from 1 (proc(5)). A zombie has ended, though it still has an entry.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _start_time_by_ps(pid: int) -> str | None:
    import subprocess

    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return shown.replace("/", "-") or None
