"""When to stop: the worker says so, or the batch job is nearly over."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from mmtp_fw.queues import job_end


def stop_test(should_stop: Callable[[], bool] | None, margin_s: float) -> Callable[[], bool]:
    """Return a function that is true when a calculation is to stop.

    Parameters
    ----------
    should_stop : callable, optional
        What the protocol gave.
    margin_s : float
        How long before the end of the job to stop, in seconds.

    Notes
    -----
    Near the end of the job, a worker that handles SIGTERM is sent one, as batch systems do: it then ends
    after this task instead of starting another that has no time.
    """
    end = job_end()
    told = False

    def test() -> bool:
        nonlocal told
        if should_stop is not None and should_stop():
            return True
        if end is None or time.time() < end - margin_s:
            return False
        in_main_thread = threading.current_thread() is threading.main_thread()
        if not told and in_main_thread and callable(signal.getsignal(signal.SIGTERM)):
            told = True
            signal.raise_signal(signal.SIGTERM)
        return True

    return test
