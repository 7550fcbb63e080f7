"""The one decorator of compiled functions: cached on disk where that is possible."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import njit

# Sums may be re-associated and contracted; NaN and infinities keep their meaning.
FLAGS = {"reassoc", "contract", "nsz", "arcp"}

Compiled = Callable[..., Any]


def jit(function: Callable[..., Any]) -> Compiled:
    """Compile a function at its first call, without the interpreter lock.

    Without a place to cache in (read-only installation and home), or with a numba whose cache can't be told of other
    modules, it is compiled anew by every process.
    """
    return jit_with(FLAGS)(function)


def jit_with(fastmath: Collection[str]) -> Callable[[Callable[..., Any]], Compiled]:
    """Return `jit` with other flags of LLVM: none where every operation is to be rounded as it is written."""

    def decorate(function: Callable[..., Any]) -> Compiled:
        options: dict[str, Any] = {"nogil": True, "fastmath": set(fastmath), "error_model": "numpy"}
        compiled: Compiled
        try:
            compiled = _renewed_with_its_package(njit(cache=True, **options)(function), function)
        except (RuntimeError, AttributeError):
            compiled = njit(**options)(function)
        return compiled

    return decorate


def _renewed_with_its_package(compiled: Any, function: Callable[..., Any]) -> Any:
    """Let a cached function be compiled again when any module beside its own has changed.

    numba looks at the function's own file only: code that it calls from other modules, and has built in, would stay
    what it was after an update, with layouts of memory that no longer agree.
    """
    file = compiled._cache._cache_file
    file._source_stamp = (file._source_stamp, digest_of_modules(Path(function.__code__.co_filename).parent))
    return compiled


@lru_cache(maxsize=16)
def digest_of_modules(directory: Path) -> str:
    """Return a digest of the Python files of a directory."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(directory.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
