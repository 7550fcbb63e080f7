"""The words of labels: the stages of the protocol, how labelling ends, and the quality of what it gave.

Stored documents hold these words; whoever counts, shows or asks for labels takes them from here. Importing this takes
the standard library and nothing else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class StageName(StrEnum):
    """The stages of the protocol, in their order; docs/dft.md says which a hard and which a soft constraint takes."""

    HARD = "hard"
    EQUILIBRIUM = "equilibrium"
    RADII = "radii"
    MAP = "map"
    RAMP = "ramp"
    REFINE = "refine"
    CHECK = "check"
    ACCEPT = "accept"


DECISIONS = (StageName.MAP, StageName.ACCEPT)
"""Stages without a calculation."""
BESIDE_THE_TARGET = (StageName.EQUILIBRIUM, StageName.RADII, StageName.CHECK)
"""Stages whose moments say nothing of how near to its targets a label came."""

# Plain strings, as documents and rows have them.
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
FAILED: Final = "failed"
LABEL_STATES: Final = (ACCEPTED, REJECTED, FAILED)
"""How a label can end."""
RUNNING: Final = "running"
"""State of a calculation that has no verdict yet."""
OPEN: Final = "open"
"""State of a label that a campaign asked for and has not got yet."""
REFUSED_INPUT: Final = "input"
"""Rule of a rejection before the protocol began: the engine does not take the configuration."""
BY_HAND: Final = "by_hand"
"""Rule of a rejection that a person decided."""


class OutcomeStatus(StrEnum):
    """How the protocol ended for one configuration."""

    ACCEPTED = ACCEPTED
    REJECTED = REJECTED
    FAILED = FAILED
    INTERRUPTED = "interrupted"


class Grade(StrEnum):
    """Quality of a label.

    A: inside both limits, and the work of the magnetic forces confirmed the energy.
    B: inside both limits, not checked (or nothing near enough to check by).
    C: moments off target but near enough to be useful; the label is exact at its own moments.

    Where energy and magnetic forces disagree there is no label.
    """

    A = "A"
    B = "B"
    C = "C"
