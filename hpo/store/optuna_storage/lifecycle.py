"""What a process does for all its storages when it forks or ends.

SQLite keeps one record of a process's locks on a file. Carried over a fork, it makes the child
believe that it holds locks which only the parent has; the parent then closes the database as the
last one who uses it, deletes the journal that the child writes to, and with it the child's trials
(https://www.sqlite.org/howtocorrupt.html, section 2.6). So connections are closed before a fork,
and parent and child open their own.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpo.store.optuna_storage.storage import Storage

_storages: weakref.WeakSet[Storage] = weakref.WeakSet()
_forking = threading.Lock()
_held: list[Storage] = []  # by the thread that forks


def watch(storage: Storage) -> None:
    """From now on, tell a storage of forks and of the end of the process."""
    _storages.add(storage)


def _before_fork() -> None:
    _forking.acquire()
    for storage in list(_storages):
        storage._before_fork()
        _held.append(storage)


def _after_fork(in_child: bool) -> None:
    while _held:
        _held.pop()._after_fork(in_child)
    _forking.release()


def _at_exit() -> None:
    with ExitStack() as stack:  # goes on with the others when one fails
        for storage in list(_storages):
            stack.callback(storage._end)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(in_child=False),
        after_in_child=lambda: _after_fork(in_child=True),
    )
