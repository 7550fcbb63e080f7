"""What the rounds of a campaign that have ended come to: the planner begins with the next one.

The facts of an ended round never change again, save by a command that takes something back, and nothing that comes
later depends on more of them than is in here. So a campaign of 1,000 rounds costs what one of two rounds does. This is
kept with the campaign and can be computed anew from the facts at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Wanted = tuple[tuple[str, str], ...]
"""Configurations to be labelled, each with the key of the action that wants it."""


@dataclass(frozen=True)
class Spent:
    """What labels have cost.

    Attributes
    ----------
    labels : int
        Labels that were tried; a target that was refused before anything was computed costs nothing.
    bad : int
        Those of them that were rejected or failed.
    scf_runs : int
        Self-consistent calculations of all of them.
    """

    labels: int = 0
    bad: int = 0
    scf_runs: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.labels + other.labels, self.bad + other.bad, self.scf_runs + other.scf_runs)


@dataclass(frozen=True)
class Closed:
    """The ended rounds of a campaign.

    Attributes
    ----------
    rounds : int
        How many have ended: the number of the first open one.
    wanted : Wanted
        What the first open one is to label.
    fit : str or None
        Key of the fit that made the newest potential.
    stalled : int
        Rounds in a row, the last ones, without new labels.
    clean : int
        Rounds in a row, the last ones, whose trajectories selected nothing.
    selected : bool
        Whether the last one selected something.
    spent : Spent
        Labels of all of them.
    """

    rounds: int = 0
    wanted: Wanted = ()
    fit: str | None = None
    stalled: int = 0
    clean: int = 0
    selected: bool = False
    spent: Spent = Spent()

    def document(self) -> dict[str, Any]:
        """Return it as a campaign's document keeps it."""
        return {
            "rounds": self.rounds,
            "wanted": [list(pair) for pair in self.wanted],
            "fit": self.fit,
            "stalled": self.stalled,
            "clean": self.clean,
            "selected": self.selected,
            "labels": self.spent.labels,
            "bad": self.spent.bad,
            "scf_runs": self.spent.scf_runs,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Closed:
        """Return what `document` has made."""
        wanted = tuple((str(configuration), str(source)) for configuration, source in document["wanted"])
        spent = Spent(document["labels"], document["bad"], document["scf_runs"])
        fit, counts = document["fit"], (document["stalled"], document["clean"])
        return cls(document["rounds"], wanted, fit, *counts, document["selected"], spent)
