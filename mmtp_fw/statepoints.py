"""What an average is taken at: a phase, a magnetic order and a lattice parameter."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class StatePoint:
    """One of the points at which a potential is compared with its reference.

    Attributes
    ----------
    phase, order : str
        Empty in campaigns without named phases, which have one of each.
    lattice_parameter_A : float

    Examples
    --------
    >>> StatePoint.of({"lattice_parameter_A": 2.87, "phase": "bcc", "magnetic_order": "antiferromagnetic"}).words
    'bcc antiferromagnetic, 2.87 Å'
    >>> StatePoint("", "", 3.65).words
    '3.65 Å'
    """

    phase: str
    order: str
    lattice_parameter_A: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> StatePoint:
        """Return the point of an action's parameters, or of any row that repeats them."""
        phase, order = row.get("phase") or "", row.get("magnetic_order") or ""
        return cls(str(phase), str(order), float(row["lattice_parameter_A"]))

    @property
    def curve(self) -> str:
        """Phase and order in words: what all points of one curve against volume share."""
        return " ".join(word for word in (self.phase, self.order) if word)

    @property
    def words(self) -> str:
        """The point in words."""
        return ", ".join(part for part in (self.curve, f"{self.lattice_parameter_A:g} Å") if part)

    def columns(self) -> dict[str, Any]:
        """Return the point as columns of a row, without those that a campaign of one phase lacks."""
        named = {"phase": self.phase, "magnetic_order": self.order}
        return {name: word for name, word in named.items() if word} | {"lattice_parameter_A": self.lattice_parameter_A}


def is_held_out(params: Mapping[str, Any], held_out: Collection[float]) -> bool:
    """Return whether nothing was trained at an action's point.

    Parameters
    ----------
    params : mapping
        Of the action. Where phases have names it says so itself.
    held_out : collection of float
        The held-out lattice parameters (Å) of a campaign without named phases.
    """
    return bool(params.get("held_out", float(params["lattice_parameter_A"]) in held_out))
