"""Threads over atoms or configurations: Python threads in compiled code, which leaves the interpreter lock.

No threading layer of numba or OpenMP is involved, so that nothing breaks after a fork, inside a FireWorks worker,
inside LAMMPS or beside MPI. How many there are follows ``NUMBA_NUM_THREADS``, as numba's own would.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import TypeVar

from threadpoolctl import threadpool_limits

from mmtp_fw.errors import InputError

Part = TypeVar("Part")
Result = TypeVar("Result")

VARIABLE = "NUMBA_NUM_THREADS"
_chosen: ContextVar[int | None] = ContextVar("threads", default=None)
# The pool, its size and the process that it belongs to: a forked child has the object, but not the threads.
_pool: tuple[ThreadPoolExecutor, int, int] | None = None


def thread_count() -> int:
    """Return how many threads to use: `threads`, else ``NUMBA_NUM_THREADS``, else the cores of this process.

    Raises
    ------
    InputError
        The variable is no positive whole number.
    """
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return max(1, len(os.sched_getaffinity(0)))
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"{VARIABLE} is '{text}'", "set it to the number of threads, from 1")
    return int(text)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use `count` threads inside a ``with`` block, whatever the environment says.

    Examples
    --------
    >>> with threads(2):
    ...     thread_count()
    2
    """
    if count < 1:
        raise InputError(f"{count} threads", "at least one is needed")
    token = _chosen.set(count)
    try:
        yield
    finally:
        _chosen.reset(token)


def ranges(n: int, parts: int, multiple: int = 1) -> list[tuple[int, int]]:
    """Divide 0 … n into at most `parts` ranges of nearly equal length, their bounds multiples of `multiple`.

    Examples
    --------
    >>> ranges(20, 2, 8)
    [(0, 8), (8, 20)]
    """
    blocks = -(-n // multiple)
    bounds = [min(n, multiple * (blocks * k // parts)) for k in range(parts)] + [n]
    return [(a, b) for a, b in pairwise(bounds) if b > a]


def each(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Return ``[work(part) for part in parts]``, the first part in this thread, the others in threads beside it.

    The order of the results is that of the parts, so that sums over them come out the same to the last bit.
    """
    if len(parts) < 2:
        return [work(part) for part in parts]
    pool = _get_pool(len(parts) - 1)
    others = [pool.submit(work, part) for part in parts[1:]]
    first = work(parts[0])
    return [first, *(other.result() for other in others)]


def in_order(work: Callable[[Part], Result], parts: Sequence[Part], count: int) -> Iterator[Result]:
    """Yield ``work(part)`` for each part, in the order of the parts, at most `count` of them being made at a time.

    A sum over what it yields is the same, to the last bit, whatever the number of threads, and no more than `count`
    results wait in memory.
    """
    if count < 2 or len(parts) < 2:
        yield from map(work, parts)
        return
    pool, waiting = _get_pool(count), deque[Future[Result]]()
    for part in parts:
        if len(waiting) == count:
            yield waiting.popleft().result()
        waiting.append(pool.submit(work, part))
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS work on one thread inside a ``with`` block.

    Its threads gain nothing on matrices of a fit's size, wait for each other beside those over configurations, and
    round differently by their number.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _get_pool(size: int) -> ThreadPoolExecutor:
    global _pool
    if _pool is None or _pool[1] < size or _pool[2] != os.getpid():
        _pool = (ThreadPoolExecutor(size, "mmtp"), size, os.getpid())
    return _pool[0]
