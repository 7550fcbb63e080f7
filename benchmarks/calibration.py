"""Whether uncertainties are the size of errors: on held-out labels, volumes and orders of two systems.

    python benchmarks/calibration.py [--labels 60] [--tests 24] [--systems fe-pd iron] [--output pairs.jsonl]

Each system is labelled by the reference Hamiltonian, a level-8 potential is fitted, and other labels of the
same kind calibrate the uncertainties (`--held-out 0`: none do, each label is left out in turn). Asked are other
labels of the kind ("labels"), lattice parameters beyond both ends ("volumes"), and antiferromagnetic order, which no
label has ("orders"). Energy, forces, stress and magnetic forces are compared at the moments of the label; pressure,
moments and magnetization at relaxed moments, each its own. Printed: a line per group and quantity, with the median of
error/u and the coverage; what the potential found no minimum for is counted.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.fitting import FitSettings, fit
from mmtp_fw.potential import Potential
from mmtp_fw.selection import Uncertainty, calibrations
from mmtp_fw.structures import generate

MODEL = ReferenceHamiltonian()
QUANTITIES = ("energy", "forces", "stress", "magnetic_forces", "pressure", "moments", "magnetization")


@dataclass(frozen=True)
class System:
    """What is labelled."""

    structure: str
    composition: dict[str, float]
    supercell: tuple[int, int, int]
    lattices: tuple[float, ...]
    beyond: tuple[float, ...]
    moments: dict[str, float]


SYSTEMS = {
    "fe-pd": System(
        "fcc", {"Fe": 0.68, "Pd": 0.32}, (2, 2, 1), (3.65, 3.70, 3.75, 3.80), (3.60, 3.85), {"Fe": 2.6, "Pd": 0.3}
    ),
    "iron": System("bcc", {"Fe": 1.0}, (2, 2, 2), (2.84, 2.90, 2.96), (2.80, 3.00), {"Fe": 2.4}),
}


def labelled(atoms: Atoms, relax: bool) -> Atoms:
    """Attach the Hamiltonian's label, at the moments given or at relaxed ones."""
    moments = atoms.get_initial_magnetic_moments()
    found = MODEL.relaxed(atoms, moments)[0] if relax else MODEL.evaluate(atoms, moments)
    atoms.set_initial_magnetic_moments(found.moments)
    atoms.set_array("magnetic_forces", found.magnetic_forces)
    atoms.calc = SinglePointCalculator(
        atoms, energy=found.energy, forces=found.forces, stress=found.stress, magmoms=found.moments
    )
    return atoms


def made(system: System, count: int, seed: int, lattices: tuple[float, ...], orders: list[str]) -> list[Atoms]:
    """Return labels, every second one at relaxed moments."""
    cells = generate(
        system.composition, lattices, system.moments, count, structure=system.structure, supercell=system.supercell,
        displacement_A=0.10, magnetic_orders=orders, seed=seed,
    )  # fmt: skip
    return [labelled(atoms, k % 2 == 0) for k, atoms in enumerate(cells)]


def rms(values: Any) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def asked(known: Uncertainty, potential: Potential, atoms: Atoms) -> dict[str, tuple[float, float]]:
    """Return error and u of every quantity that the configuration has."""
    n, truth = len(atoms), atoms.calc.results
    mine, u = potential.evaluate(atoms), known.of(atoms)
    found = {
        "energy": (abs(mine.energy - truth["energy"]) / n, u.energy_per_atom),
        "forces": (rms(mine.forces - truth["forces"]), rms(u.forces)),
        "stress": (rms(mine.stress - truth["stress"]), rms(u.stress)),
        "magnetic_forces": (rms(mine.magnetic_forces - atoms.arrays["magnetic_forces"]), rms(u.magnetic_forces)),
    }
    exact, _ = MODEL.relaxed(atoms, atoms.get_magnetic_moments())
    relaxed = potential.relax_moments(atoms, start=exact.moments)
    if not relaxed.sound or known.of(atoms, relaxed.moments).moments is None:  # None: a saddle
        return found
    u = known.of(atoms, relaxed.moments, relaxed=True)
    stress = potential.evaluate(atoms, moments=relaxed.moments).stress
    assert u.pressure is not None and u.moments is not None and u.magnetization_per_atom is not None
    return found | {
        "pressure": (abs(float(np.mean(stress[:3] - exact.stress[:3]))), u.pressure),
        "moments": (rms(relaxed.moments - exact.moments), rms(u.moments)),
        "magnetization": (abs(float(np.mean(relaxed.moments - exact.moments))), u.magnetization_per_atom),
    }


def one_system(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row per configuration and quantity."""
    system, seed = SYSTEMS[name], options.seed
    seen = ["ferromagnetic", "scaled", "disordered"]
    labels = made(system, options.labels, 1 + seed, system.lattices, seen)
    extra = made(system, options.held_out, 1001 + seed, system.lattices, seen) if options.held_out else None
    form = Potential.from_level(
        8, sorted(system.composition), r_min=1.7, r_cut=5.0, radial_size=6, magnetic_size=3, max_moment=4.0, seed=seed
    )
    settings = FitSettings(max_iterations=options.iterations, seed=seed, threads=1)
    potential = fit(form, labels, settings=settings).potential
    known = Uncertainty.from_configurations(potential, labels, held_out=extra)
    groups = {
        "labels": made(system, options.tests, 2001 + seed, system.lattices, seen),
        "volumes": made(system, options.tests, 3001 + seed, system.beyond, seen),
        "orders": made(system, options.tests, 4001 + seed, system.lattices, ["antiferromagnetic"]),
    }
    rows = []
    for group, cells in groups.items():
        for number, atoms in enumerate(cells):
            for quantity, (error, u) in asked(known, potential, atoms).items():
                rows.append(
                    {"system": name, "group": group, "number": number, "quantity": quantity, "error": error, "u": u}
                )
    return rows


def summary(rows: list[dict[str, Any]], tests: int) -> list[dict[str, Any]]:
    """Return a line per system, group (and all of them together) and quantity."""
    lines = []
    for system in dict.fromkeys(row["system"] for row in rows):
        for group in ("labels", "volumes", "orders", "all"):
            mine = [row for row in rows if row["system"] == system and group in (row["group"], "all")]
            pairs: dict[str, tuple[list[float], list[float]]] = {
                quantity: (
                    [row["error"] for row in mine if row["quantity"] == quantity],
                    [row["u"] for row in mine if row["quantity"] == quantity],
                )
                for quantity in QUANTITIES
            }
            for quantity, found in calibrations(pairs).items():
                without = tests * (3 if group == "all" else 1) - found.count - found.undetermined
                lines.append(
                    {"system": system, "group": group, "quantity": quantity, "count": found.count,
                     "undetermined": found.undetermined, "no_minimum": without, "median": found.median,
                     "coverage": found.coverage, "median_error": float(np.median(pairs[quantity][0] or [np.nan]))}
                )  # fmt: skip
    return lines


def main() -> None:
    """Measure and print JSON, a line per group and quantity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--labels", type=int, default=60)
    parser.add_argument("--tests", type=int, default=24)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--output", type=Path, help="Every pair of error and u, a JSON line each.")
    options = parser.parse_args()
    rows = [row for name in options.systems for row in one_system(name, options)]
    if options.output is not None:
        options.output.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for line in summary(rows, options.tests):
        print(json.dumps(line))


if __name__ == "__main__":
    main()
