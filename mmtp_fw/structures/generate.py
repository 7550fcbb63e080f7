"""The pretraining set: seeded, reproducible configurations with target moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from mmtp_fw.errors import InputError
from mmtp_fw.structures.lattices import NEAREST_FRACTION
from mmtp_fw.structures.magnetic_orders import magnetic_order, target_moments
from mmtp_fw.structures.phases import Phase

ORDERS = (
    "ferromagnetic",
    "scaled",
    "disordered",
    "ferromagnetic",
    "scaled",
    "antiferromagnetic",
    "given",
)
"""The magnetic orders of a pretraining set, in their turn; those that its cells can't have are left out."""

_TRIES = 50


def generate(
    composition: Mapping[str, float],
    lattice_parameters_A: Sequence[float],
    typical_moments_muB: Mapping[str, float],
    structures: int = 24,
    structure: str = "fcc",
    supercell: Sequence[int] = (2, 2, 1),
    displacement_A: float = 0.12,
    strain: float = 0.02,
    moment_scale: float = 0.25,
    flipped_fraction: float = 0.15,
    magnetic_orders: Sequence[str] | None = None,
    min_distance_fraction: float = NEAREST_FRACTION,
    seed: int = 0,
) -> list[Atoms]:
    """Generate configurations that cover lattice parameters, distortions and magnetic states.

    Lattice parameters and magnetic orders are taken in turn; everything else is drawn from one generator
    that `seed` starts, so that the same arguments give the same configurations, bit by bit, and a longer
    list begins with the shorter one.

    Parameters
    ----------
    composition : mapping of str to float
        Fractions of the species, rounded to whole atoms (Fe 0.68, Pd 0.32: Fe11Pd5, Fe22Pd10).
    lattice_parameters_A : sequence of float
    typical_moments_muB : mapping of str to float
    structures : int
        How many configurations.
    structure : str
        One of `LATTICES`.
    supercell : three ints
        Repetitions of the conventional cell.
    displacement_A : float
        Largest standard deviation of a coordinate's displacement; each configuration draws its own
        between 20 % and 100 % of it.
    strain : float
        Largest component of the symmetric random strain (volume and shear).
    moment_scale, flipped_fraction : float
        See `target_moments`.
    magnetic_orders : sequence of str, optional
        Of `MAGNETIC_ORDERS`; by default `ORDERS`, as far as the cells can have them.
    min_distance_fraction : float
        Displacements that bring two atoms nearer than this fraction of the lattice's nearest-neighbour
        distance are drawn again.
    seed : int

    Returns
    -------
    list of Atoms
        Target moments as initial magnetic moments; ``info["generator"]`` says how each was made.

    Raises
    ------
    InputError
        Arguments that make no sense, an order that the cells can't have, or displacements too large for the minimum
        distance.

    Examples
    --------
    >>> made = generate({"Fe": 0.68, "Pd": 0.32}, [3.75], {"Fe": 2.6, "Pd": 0.3}, structures=2)
    >>> [str(atoms.symbols.formula.format("metal")) for atoms in made]
    ['Fe11Pd5', 'Fe11Pd5']
    """
    phase = Phase(structure=structure, supercell=_three(supercell), composition=composition)
    return distorted_cells(
        phase,
        lattice_parameters_A,
        typical_moments_muB,
        structures,
        displacement_A=displacement_A,
        strain=strain,
        moment_scale=moment_scale,
        flipped_fraction=flipped_fraction,
        magnetic_orders=magnetic_orders,
        min_distance_fraction=min_distance_fraction,
        seed=seed,
    )


def distorted_cells(
    phase: Phase,
    lattice_parameters_A: Sequence[float],
    typical_moments_muB: Mapping[str, float],
    structures: int,
    displacement_A: float = 0.12,
    strain: float = 0.02,
    moment_scale: float = 0.25,
    flipped_fraction: float = 0.15,
    magnetic_orders: Sequence[str] | None = None,
    min_distance_fraction: float = NEAREST_FRACTION,
    seed: int = 0,
) -> list[Atoms]:
    """Generate configurations of a phase; see `generate`, which says the same of a lattice."""
    if structures < 1 or not lattice_parameters_A or (magnetic_orders is not None and not magnetic_orders):
        raise InputError("structures, lattice_parameters_A and magnetic_orders must not be empty")
    made = []
    for index in range(structures):
        # An own generator for each, so that a longer list begins with the shorter one.
        rng = np.random.default_rng([seed, index])
        lattice_parameter = float(lattice_parameters_A[index % len(lattice_parameters_A)])
        # Shifted by one from each lattice parameter to the next: every pair of both comes in its turn.
        turn = index // len(lattice_parameters_A) + index % len(lattice_parameters_A)
        atoms = phase.cell(lattice_parameter, rng)
        orders = magnetic_orders or [order for order in ORDERS if magnetic_order(order).possible(atoms)]
        order = orders[turn % len(orders)]
        moments = target_moments(atoms, order, typical_moments_muB, moment_scale, flipped_fraction, rng)
        nearest = min_distance_fraction * phase.nearest_A(lattice_parameter)
        atoms, amplitude = _distorted(atoms, displacement_A, strain, nearest, rng)
        atoms.set_initial_magnetic_moments(moments)
        atoms.info = {
            "generator": ({"phase": phase.name} if phase.name else {})
            | {
                "structure": phase.structure or "file",
                "lattice_parameter_A": lattice_parameter,
                "magnetic_order": order,
                "displacement_A": amplitude,
                "strain": strain,
                "seed": seed,
                "index": index,
            }
        }
        made.append(atoms)
    return made


def _three(supercell: Sequence[int]) -> tuple[int, int, int]:
    if len(supercell) != 3 or min(supercell) < 1:
        raise InputError(f"supercell must be three positive integers, not {list(supercell)}")
    return int(supercell[0]), int(supercell[1]), int(supercell[2])


def _distorted(
    atoms: Atoms, displacement_A: float, strain: float, nearest: float, rng: np.random.Generator
) -> tuple[Atoms, float]:
    """Return a strained, displaced copy, and the standard deviation of its displacements (Å)."""
    from ase.neighborlist import neighbor_list  # scipy, which the settings' lattices do without

    for _ in range(_TRIES):
        candidate = atoms.copy()
        tensor = rng.uniform(-strain, strain, (3, 3))
        deformation = np.eye(3) + 0.5 * (tensor + tensor.T)
        candidate.set_cell(np.asarray(atoms.cell) @ deformation, scale_atoms=True)
        amplitude = float(displacement_A * rng.uniform(0.2, 1.0))
        candidate.positions += amplitude * rng.normal(size=(len(atoms), 3))
        if len(neighbor_list("i", candidate, nearest)) == 0:
            return candidate, amplitude
    raise InputError(
        f"displacements of {displacement_A} Å keep bringing atoms nearer than {nearest:.2f} Å",
        "choose a smaller displacement_A or min_distance_fraction",
    )
