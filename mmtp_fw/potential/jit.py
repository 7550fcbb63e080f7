"""The one decorator of compiled functions: cached on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

# Sums may be re-associated and contracted; NaN and infinities keep their meaning.
FLAGS = {"reassoc", "contract", "nsz", "arcp"}


def jit(function: Callable[..., Any]) -> Any:
    """Compile a function at its first call, without the interpreter lock.

    Without a place to cache in (read-only installation and home) it is compiled anew by every process.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": FLAGS, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)
