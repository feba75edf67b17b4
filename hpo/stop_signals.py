"""The signals that end a run, taken as requests: Ctrl-C finishes what runs, the others stop now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """What came while it was listening."""

    def __init__(self) -> None:
        self._came: list[int] = []

    @property
    def came(self) -> bool:
        """Whether any came: nothing new is to begin."""
        return bool(self._came)

    @property
    def terminated(self) -> bool:
        """Whether a shutdown or a closed window asks for the end."""
        return signal.SIGTERM in self._came or signal.SIGHUP in self._came

    @property
    def hurried(self) -> bool:
        """Whether to stop at once: terminated, or Ctrl-C a second time."""
        return self.terminated or len(self._came) > 1

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals until the end of the context."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python delivers signals to the main thread only
            return

        def note(number: int, frame: FrameType | None) -> None:
            self._came.append(number)

        previous = {
            number: signal.signal(number, note)
            for number in _STOP_SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN  # as `nohup` asks for
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
