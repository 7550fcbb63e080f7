"""The names of ensembles and measures, what each is, and what it is not."""

from __future__ import annotations

from enum import StrEnum


class Ensemble(StrEnum):
    """What a thermal average is an average over. Every average names its own."""

    ADIABATIC = "adiabatic"
    THERMAL = "thermal"
    MIXED = "mixed"

    @property
    def about(self) -> str:
        """What is sampled."""
        return {
            Ensemble.ADIABATIC: "moments at their minimum at every position: a spin system at 0 K",
            Ensemble.THERMAL: "signed moments sampled, sign and size",
            Ensemble.MIXED: "local moments sampled, induced ones at the minimum that the others leave them",
        }[self]


class Measure(StrEnum):
    """The volume element of a moment: which moments are equally likely where the energy doesn't care."""

    FLAT = "flat"
    SQUARED = "m2"

    @property
    def power(self) -> float:
        """The exponent of |m| in the weight."""
        return 2.0 if self is Measure.SQUARED else 0.0


ISING = (
    "Collinear sampling has Ising statistics: for equal couplings T_C is about three times the classical Heisenberg "
    "one in mean field, and M(T) stays near M(0) exponentially at low T; a comparison with experiment must say so."
)
"""What has to stand beside every thermal average of collinear moments."""
