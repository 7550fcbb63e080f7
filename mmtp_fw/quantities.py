"""The quantities that labels hold and potentials are fitted to: one row each.

Loss, metric, errors, checks of training sets, weights in `campaign.yaml`, progress, figures and tables all go
through `QUANTITIES`. Another quantity is one row here, with its derivative: `along` says by which change of positions,
cell or moments it is a derivative of the energy, and `Potential.directional_parameter_gradient` does the rest.
Importing this takes numpy and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from mmtp_fw.arrays import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

Shape = tuple[int, ...]


class Evaluated(Protocol):
    """What a potential gives for n atoms; see `mmtp_fw.potential.Evaluation`."""

    @property
    def energy(self) -> float:
        """In eV."""
        ...

    @property
    def forces(self) -> FloatArray:
        """Shape (n, 3), eV/Å."""
        ...

    @property
    def stress(self) -> FloatArray:
        """Shape (6,), eV/Å³."""
        ...

    @property
    def magnetic_forces(self) -> FloatArray:
        """Shape (n,), eV/μB."""
        ...

    @property
    def moments(self) -> FloatArray:
        """Shape (n,), μB."""
        ...


@dataclass(frozen=True, eq=False)
class Direction:
    """What S = a E + D E is made of; see `Potential.directional_parameter_gradient`.

    Attributes
    ----------
    energy : float
        a.
    displacements : ndarray, shape (n, 3), optional
    strain : ndarray, shape (3, 3), optional
    moment_changes : ndarray, shape (n,), optional
    """

    energy: float = 0.0
    displacements: FloatArray | None = None
    strain: FloatArray | None = None
    moment_changes: FloatArray | None = None

    def __add__(self, other: Direction) -> Direction:
        return Direction(
            self.energy + other.energy,
            _sum(self.displacements, other.displacements),
            _sum(self.strain, other.strain),
            _sum(self.moment_changes, other.moment_changes),
        )


def _sum(one: FloatArray | None, other: FloatArray | None) -> FloatArray | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _same(value: FloatArray, _: float) -> FloatArray:
    return value


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantity:
    """One quantity of n atoms.

    Attributes
    ----------
    name : str
        Of labels, of `Weights`, and with ``_weight`` behind it in `campaign.yaml`.
    plural : str
        How the manual speaks of it.
    key : str
        Of its errors, unit included; they are stored under it.
    shown_key : str
        Of what is stored in `unit`; by default its name.
    unit, factor : str, float
        What people read, and what errors are multiplied by for it.
    decimals : int
        Of an error in that unit.
    label_unit : str
        Unit of labels.
    weight, scaling : float
        Defaults of its weight in the loss, and of the power of n that it is divided by.
    weight_unit : str
    missing : {"fatal", "warning", "nothing"}
        What a training set's check says of a label without it.
    without : str
        What that warning means for the fit.
    of_moments, of_cells : bool
        Whether it exists for magnetic potentials, for periodic cells only.
    largest : float
        In the label's unit: beyond it the label can hardly be in that unit.
    per_atom : bool
        Whether its first axis is that of the atoms.
    in_arrays : bool
        Whether a configuration carries it as an array of its atoms: ASE's calculators know no such result.
    label : callable
        (results of the calculator, atoms) -> the label or None.
    label_shapes : callable
        n -> shapes that a label may have.
    predicted : callable
        `Evaluated` -> the same of a potential.
    shape : callable
        n -> shape of a residual.
    extensive : callable
        (label or prediction, volume in Å³) -> what residuals are differences of.
    compared : callable
        (label or prediction, n) -> numbers in the unit of `key`, shape (count,).
    sign : float
        +1 where it is a derivative of the energy, −1 where it is minus one.
    along : callable
        (coefficients of a residual's shape, n) -> direction of the derivative Σ coefficient · derivative.
    """

    name: str
    plural: str
    key: str
    shown_key: str = ""
    unit: str
    factor: float
    decimals: int
    label_unit: str
    weight: float
    scaling: float
    weight_unit: str = ""
    missing: Literal["fatal", "warning", "nothing"]
    without: str = ""
    of_moments: bool = False
    of_cells: bool = False
    largest: float = np.inf
    per_atom: bool = False
    in_arrays: bool = False
    label: Callable[[Mapping[str, Any], Atoms], Any]
    label_shapes: Callable[[int], tuple[Shape, ...]]
    predicted: Callable[[Evaluated], Any]
    shape: Callable[[int], Shape]
    extensive: Callable[[FloatArray, float], FloatArray] = _same
    compared: Callable[[FloatArray, int], FloatArray]
    sign: float = 1.0
    along: Callable[[FloatArray, int], Direction]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shown_key", self.shown_key or self.name)

    @property
    def title(self) -> str:
        """Its name, as a heading begins with it."""
        return self.name.replace("_", " ").capitalize()

    @property
    def weighed(self) -> str:
        """Return what its weight is said to be of, with the weight's unit."""
        return f"{self.plural} ({self.weight_unit})" if self.weight_unit else self.plural

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})"

    def shown(self, errors: Mapping[str, Mapping[str, float]], measure: str = "rmse") -> float | None:
        """Return one of a potential's errors in `unit`; None where there is none."""
        value = (errors.get(self.key) or {}).get(measure)
        return None if value is None else value * self.factor

    @property
    def symmetric(self) -> bool:
        """Whether it is a symmetric tensor: six of its nine components tell all. Three atoms' forces are none."""
        return self.shape(1) == (3, 3)

    def applies(self, magnetic: bool, cell: bool) -> bool:
        """Return whether a potential, and a configuration with a cell or without, have it at all."""
        return (magnetic or not self.of_moments) and (cell or not self.of_cells)


def _voigt(tensor: FloatArray) -> FloatArray:
    """Return xx yy zz yz xz xy of a stress, given so or as a matrix."""
    if tensor.shape == (6,):
        return tensor
    from ase.stress import full_3x3_to_voigt_6_stress

    return np.asarray(full_3x3_to_voigt_6_stress(tensor))


def _virial(stress: FloatArray, volume: float) -> FloatArray:
    """Return V σ = ∂E/∂ε, shape (3, 3), in eV."""
    from ase.stress import voigt_6_to_full_3x3_stress

    full = voigt_6_to_full_3x3_stress(stress) if stress.shape == (6,) else stress
    return np.asarray(volume * full)


def _gigapascals(stress: FloatArray, _: int) -> FloatArray:
    from ase.units import GPa

    return np.asarray(_voigt(stress) / GPa)


_ROWS = (
    Quantity(
        name="energy",
        plural="energies",
        key="energy_per_atom_eV",
        shown_key="energy_meV_per_atom",
        unit="meV/atom",
        factor=1000.0,
        decimals=2,
        label_unit="eV",
        weight=1.0,
        scaling=1.0,
        missing="fatal",
        label=lambda results, _: results.get("energy", results.get("free_energy")),
        label_shapes=lambda _: ((),),
        predicted=lambda evaluation: evaluation.energy,
        shape=lambda _: (),
        compared=lambda value, n: np.reshape(value / n, 1),
        along=lambda a, _: Direction(energy=float(a)),
    ),
    Quantity(
        name="forces",
        plural="forces",
        key="forces_eV_per_A",
        shown_key="force_meV_per_A",
        unit="meV/Å",
        factor=1000.0,
        decimals=1,
        label_unit="eV/Å",
        weight=0.01,
        scaling=0.0,
        weight_unit="Å²",
        missing="fatal",
        largest=200.0,
        per_atom=True,
        label=lambda results, _: results.get("forces"),
        label_shapes=lambda n: ((n, 3),),
        predicted=lambda evaluation: evaluation.forces,
        shape=lambda n: (n, 3),
        compared=lambda value, _: value.ravel(),
        sign=-1.0,
        along=lambda u, _: Direction(displacements=u),
    ),
    Quantity(
        name="stress",
        plural="stresses",
        key="stress_GPa",
        shown_key="stress_GPa",
        unit="GPa",
        factor=1.0,
        decimals=3,
        label_unit="eV/Å³",
        weight=0.001,
        scaling=1.0,
        missing="fatal",
        of_cells=True,
        largest=3.12,  # 500 GPa
        label=lambda results, _: results.get("stress"),
        label_shapes=lambda _: ((6,), (3, 3)),
        predicted=lambda evaluation: evaluation.stress,
        shape=lambda _: (3, 3),
        extensive=_virial,
        compared=_gigapascals,
        along=lambda strain, _: Direction(strain=strain),
    ),
    Quantity(
        name="magnetic_forces",
        plural="magnetic forces",
        key="magnetic_forces_eV_per_muB",
        shown_key="magnetic_force_meV_per_muB",
        unit="meV/μB",
        factor=1000.0,
        decimals=1,
        label_unit="eV/μB",
        weight=0.1,
        scaling=0.0,
        weight_unit="μB²",
        missing="warning",
        without="its moments are fitted through energies only",
        of_moments=True,
        largest=100.0,
        per_atom=True,
        in_arrays=True,
        label=lambda results, atoms: atoms.arrays.get("magnetic_forces", results.get("magnetic_forces")),
        label_shapes=lambda n: ((n,),),
        predicted=lambda evaluation: evaluation.magnetic_forces,
        shape=lambda n: (n,),
        compared=lambda value, _: value,
        sign=-1.0,
        along=lambda h, _: Direction(moment_changes=h),
    ),
)
QUANTITIES: dict[str, Quantity] = {row.name: row for row in _ROWS}
"""By name, in the order in which they are shown, and in which the metric draws its signs."""

RESULTS = (*(name for name, row in QUANTITIES.items() if not row.in_arrays), "magmoms")
"""What the calculator of a labelled configuration holds: the moments among it, at which all was found."""
ARRAYS = tuple(name for name, row in QUANTITIES.items() if row.in_arrays)
"""What it carries as arrays of its atoms."""
