"""Ending in time: SIGTERM and SIGINT ask the running task to stop cleanly, then end the worker."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether somebody asked this process to end; call it to know."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Return True from the first SIGTERM or SIGINT on."""
        return self.signal is not None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; the second one is not waited for."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn SIGTERM and SIGINT into a request inside the block, and deliver the signal after it.

    Batch systems send SIGTERM some time before the end (``--signal=B:TERM@120``): the task writes what it has
    and releases its claim; the worker, whatever started it, then ends by the signal as it would have.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if request.signal is not None:
            os.kill(os.getpid(), request.signal)
