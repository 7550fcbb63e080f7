"""What this process has met on its machine: after the same kind of work has failed twice for it, it takes no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

ENOUGH = 2
"""Faults of the machine in a row, in one kind of work, after which a worker takes no more of it."""


@dataclass
class Health:
    """Faults of this machine by kind of work.

    Attributes
    ----------
    refuses : dict of str to str
        Kinds of work that this process is to take no more, with the reason.
    heeded : bool
        Whether the worker asks; `rlaunch` does not.
    """

    refuses: dict[str, str] = field(default_factory=dict)
    heeded: bool = False
    _met: dict[str, int] = field(default_factory=dict)

    def met(self, category: str, text: str) -> bool:
        """Note a fault in a kind of work; return whether it was one too many."""
        self._met[category] = self._met.get(category, 0) + 1
        if self._met[category] >= ENOUGH:
            self.refuses[category] = text
        return category in self.refuses

    def done(self, category: str) -> None:
        """Note that work of a kind was done, or failed by itself."""
        self._met.pop(category, None)

    def clear(self) -> None:
        """Forget everything, as a new worker does."""
        self.refuses.clear()
        self._met.clear()


HEALTH = Health()
"""That of this process."""


@contextmanager
def heeding() -> Iterator[None]:
    """Begin anew, and be a worker that heeds what it refuses, inside the block."""
    HEALTH.clear()
    HEALTH.heeded = True
    try:
        yield
    finally:
        HEALTH.heeded = False
