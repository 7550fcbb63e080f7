"""What an engine's own room says of how finished runs of its program are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms


@dataclass(frozen=True)
class FinishedRuns:
    """How finished runs of an engine's program are read: what an engine's own room knows of them.

    Attributes
    ----------
    files : tuple of str
        Names or patterns of a run's output in its folder, the best first.
    recognises : callable
        Takes a file and its first bytes, and returns whether it is such an output.
    read : callable
        Takes a file and returns its configurations, what it says of its settings, and the definition of its moments.
    implied : callable
        Takes the engine's settings in a campaign and returns what its calculations have beside them.
    """

    files: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path], tuple[list[Atoms], dict[str, Any], str]]
    implied: Callable[[Mapping[str, Any]], Mapping[str, Any]]
