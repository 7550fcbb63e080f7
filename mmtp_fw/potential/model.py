"""What checks, relaxations of moments and the calculator need of a potential; `Potential` is one."""

from __future__ import annotations

from typing import Protocol

from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.potential.evaluation import Evaluation
from mmtp_fw.potential.skin import ListCache
from mmtp_fw.potential.system import System
from mmtp_fw.potential.trained import TrainedRange


class EnergyOfMoments(Protocol):
    """An energy of moments inside bounds: what a descent needs."""

    min_moment: float
    max_moment: float

    def evaluate_system(self, system: System, moments: FloatArray) -> Evaluation:
        """Evaluate at moments (μB), shape (n,)."""
        ...


class MagneticModel(EnergyOfMoments, Protocol):
    """An energy of positions and moments; see `Potential` for what the members are."""

    species: list[str]
    r_min: float
    r_cut: float
    trained: TrainedRange | None

    @property
    def magnetic(self) -> bool:
        """Whether the energy depends on the moments."""
        ...

    def lists(self) -> ListCache:
        """Return what keeps neighbour lists for configurations that follow each other."""
        ...

    def system(self, atoms: Atoms, lists: ListCache | None = None) -> System:
        """Return the arrays and the neighbour list of a configuration of n atoms."""
        ...
