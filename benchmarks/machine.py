"""On what a benchmark ran: figures of two machines cannot be compared, ratios can."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil


def machine() -> dict[str, Any]:
    """Return the facts by name; files are those of the temporary folder."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    folder = Path(tempfile.gettempdir()).resolve()
    disks = [d for d in psutil.disk_partitions(all=True) if folder.is_relative_to(d.mountpoint)]
    disk = max(disks, key=lambda d: len(d.mountpoint), default=None)
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in ("hpo-service", "optuna", "sqlalchemy")},
        "file_system": disk.fstype if disk else "unknown",
        "fsync_ms": round(fsync_s() * 1000, 3),
        "load": round(psutil.getloadavg()[0], 2),
    }


def fsync_s() -> float:
    """Return how long the disk takes to say that it has a page, in seconds (median of 50)."""
    seconds = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
