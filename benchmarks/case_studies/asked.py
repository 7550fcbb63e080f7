"""What the case studies ask ABINIT for: configurations with name, group, mesh of k-points and target moments."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

from mmtp_fw.dft.kpoints import k_grid

sys.path.insert(0, str(Path(__file__).parents[1]))  # constraint.py, whose labels are used again
import constraint

CUBIC = (3, 3, 3)
LAYERED = (3, 3, 1)  # of three cubic cells of bcc on each other: the very same k-points
IRON_VOLUMES_A = (2.72, 2.96)
IRON_FREE_A = (2.72, 2.76, 2.80, 2.84, 2.88, 2.92, 2.96)
FE3PD_FREE_A = (3.60, 3.66, 3.72, 3.78, 3.84, 3.90)
FE3PD_HELD_OUT_A = (3.60, 3.90)


@dataclass(frozen=True)
class Request:
    """One label, or with `free` one calculation without constraint, that a case asks for.

    Attributes
    ----------
    name : str
        Unique in its case.
    group : str
        What it is there for.
    atoms : Atoms
        Target moments as initial magnetic moments.
    mesh : tuple of int
        Numbers of k-points: fixed, because energies of different meshes are no energies of one function.
    """

    name: str
    group: str
    atoms: Atoms
    mesh: tuple[int, int, int] = CUBIC
    free: bool = False

    @property
    def kspacing_per_A(self) -> float:
        """The spacing that gives the mesh."""
        lengths = 2 * np.pi * np.linalg.norm(np.asarray(self.atoms.cell.reciprocal()), axis=1)
        spacing = float(np.max(lengths / self.mesh)) * (1 + 1e-9)
        assert k_grid(self.atoms, spacing) == self.mesh
        return spacing


def lattice_parameter(atoms: Atoms) -> float:
    """Return the side (Å) of the cube of two (bcc) or four (L1_2) atoms that has the volume per atom of this cell."""
    each = 4 if "Pd" in atoms.symbols else 2
    return float((atoms.get_volume() * each / len(atoms)) ** (1 / 3))


def _distorted(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Return it with strains of 1 % at the same volume, and displacements of 0.05 Å (standard deviations)."""
    strain = rng.normal(0, 0.01, (3, 3))
    deformed = np.eye(3) + 0.5 * (strain + strain.T)
    made: Atoms = atoms.copy()
    made.set_cell(np.asarray(made.cell) @ deformed / np.cbrt(np.linalg.det(deformed)), scale_atoms=True)
    made.positions += rng.normal(0, 0.05, (len(made), 3))
    return made


def _with_moments(atoms: Atoms, moments: np.ndarray) -> Atoms:
    atoms.set_initial_magnetic_moments(np.round(moments, 4))
    return atoms


def reused(element: str) -> Iterator[tuple[int, str, Atoms]]:
    """Yield number, kind and atoms of the configurations of `constraint.py` that belong to a case."""
    wanted = {"bcc-iron": lambda kind: kind.startswith("Fe,"), "fe3pd": lambda kind: kind.startswith("L1_2")}[element]
    for number, (kind, atoms) in enumerate(constraint.requests()):
        if wanted(kind):
            yield number, kind.removeprefix("Fe, "), atoms


def has_mesh(atoms: Atoms) -> bool:
    """Return whether `constraint.py` computes a cell with the mesh of the case studies."""
    return k_grid(atoms, constraint.SETTINGS["kspacing_per_A"]) == CUBIC


def iron() -> list[Request]:
    """Return what is computed of bcc iron besides the labels of `constraint.py` that have the right mesh."""
    made = [
        Request(f"free-{a:.2f}", "free", _with_moments(bulk("Fe", "bcc", a=a, cubic=True), np.full(2, 2.3)), free=True)
        for a in IRON_FREE_A
    ]
    for a in IRON_VOLUMES_A:
        for k in range(6):
            rng = np.random.default_rng([10, round(100 * a), k])
            atoms = _distorted(bulk("Fe", "bcc", a=a, cubic=True), rng)
            moments = (2.0 if a < 2.8 else 2.45) * rng.uniform(0.88, 1.1, 2)
            made.append(Request(f"volume-{a:.2f}-{k}", "ferromagnetic", _with_moments(atoms, moments)))
    remeshed = [
        Request(f"remeshed-{number}", kind, atoms) for number, kind, atoms in reused("bcc-iron") if not has_mesh(atoms)
    ]
    return _mixed(made, [*_large()], remeshed)


def _large() -> Iterator[Request]:
    """Yield cells of six atoms: layers along z in two orders that no cell of two atoms has, and disordered moments."""
    layers = {"layers 3+3": [1, 1, 1, -1, -1, -1], "layers 2+1": [1, 1, -1, 1, 1, -1]}
    for k in range(4):
        for group in ("disordered", *layers):
            rng = np.random.default_rng([11, k, len(group)])
            atoms = bulk("Fe", "bcc", a=rng.uniform(2.78, 2.92), cubic=True) * (1, 1, 3)
            atoms = _distorted(atoms[np.argsort(atoms.positions[:, 2], kind="stable")], rng)
            sizes = rng.uniform(1.5, 2.5, 6)
            signs = rng.choice([-1, 1], 6) if group == "disordered" else np.array(layers[group])
            yield Request(f"{group.replace(' ', '-')}-{k}", group, _with_moments(atoms, signs * sizes), LAYERED)


def fe3pd() -> list[Request]:
    """Return what is computed of ordered Fe3Pd (L1_2, four atoms) besides the labels of `constraint.py`."""
    free = []
    for a in FE3PD_FREE_A:
        atoms = _ordered(a)
        moments = np.where(atoms.symbols == "Pd", 0.35, 2.6)
        free.append(Request(f"free-{a:.2f}", "free", _with_moments(atoms, moments), free=True))
    training = []
    for k in range(16):
        rng = np.random.default_rng([12, k])
        atoms = _distorted(_ordered(3.63 + 0.24 * ((k * 7) % 16 + rng.uniform()) / 16), rng)
        kind = ("ferromagnetic", "ferromagnetic", "flipped")[k % 3]
        training.append(Request(f"training-{k}", kind, _with_moments(atoms, _alloy_moments(atoms, kind, rng))))
    held_out = []
    for k in range(3):
        for a in FE3PD_HELD_OUT_A:
            rng = np.random.default_rng([13, round(100 * a), k])
            atoms = _distorted(_ordered(a), rng)
            moments = _with_moments(atoms, _alloy_moments(atoms, "ferromagnetic", rng))
            held_out.append(Request(f"volume-{a:.2f}-{k}", "ferromagnetic", moments))
    return _mixed(training, _mixed(held_out, free))


def _ordered(a: float) -> Atoms:
    atoms = bulk("Fe", "fcc", a=a, cubic=True)
    atoms.symbols[0] = "Pd"
    return atoms


def _alloy_moments(atoms: Atoms, kind: str, rng: np.random.Generator) -> np.ndarray:
    iron_moments = rng.uniform(1.7, 2.9, len(atoms))
    if kind == "flipped":
        iron_moments[1 + rng.integers(3)] *= -1
    return np.where(atoms.symbols == "Pd", rng.uniform(0.1, 0.5), iron_moments)


def _mixed(*lists: list[Request]) -> list[Request]:
    """Return all, each list in its order, such that every beginning holds the same part of each."""
    placed = [((k + 0.5) / len(one), n, request) for n, one in enumerate(lists) for k, request in enumerate(one)]
    return [request for _, _, request in sorted(placed, key=lambda entry: entry[:2])]


CASES = {"bcc-iron": iron, "fe3pd": fe3pd}
