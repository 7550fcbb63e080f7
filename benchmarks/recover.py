"""Whether a fit finds the potential that made its labels: cold starts on its noise-free labels, of the same form.

    python benchmarks/recover.py POTENTIAL.mmtp [--cells 30] [--starts 5] [--first-seed 1] [--methods auto metric-bfgs]

16-atom fcc Fe-Pd cells, displaced and magnetically excited, are labelled by the potential; fits of the same form begin
from random parameters that have nothing of it. Printed per start: errors on other cells, seconds of the processor
and of the clock, one thread everywhere; at the end medians, and ratios to the first method.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.fitting import FitSettings, errors_by_quantity, fit
from mmtp_fw.potential import Potential
from mmtp_fw.structures import generate

# So many steps take about as long: those of Levenberg-Marquardt make all rows of the Jacobian.
ITERATIONS = {"auto": 100, "levenberg-marquardt": 100, "metric-bfgs": 900, "bfgs": 900}
TYPICAL = {"Fe": 2.6, "Pd": 0.3}


def labelled(truth: Potential, count: int, seed: int) -> list[Atoms]:
    """Return cells with a potential's labels at their moments."""
    made = generate(
        {"Fe": 0.68, "Pd": 0.32}, (3.65, 3.7, 3.75, 3.8), TYPICAL, structures=count, supercell=(2, 2, 1),
        displacement_A=0.12, seed=seed,
    )  # fmt: skip
    for atoms in made:
        moments = atoms.get_initial_magnetic_moments()
        found = truth.evaluate(atoms, moments)
        atoms.set_array("magnetic_forces", found.magnetic_forces)
        atoms.calc = SinglePointCalculator(
            atoms, energy=found.energy, forces=found.forces, stress=found.stress, magmoms=moments
        )
    return made


def measured(truth: Potential, training: list[Atoms], others: list[Atoms], seed: int, method: Any) -> dict[str, Any]:
    """Return errors and seconds of a fit from a random start."""
    settings = FitSettings(
        method=method, max_iterations=ITERATIONS[method], tolerance=1e-3, start="random", seed=seed, threads=1
    )
    wall, cpu = time.perf_counter(), time.process_time()
    result = fit(truth, training, settings=settings)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = errors_by_quantity(result.potential, others)
    return {
        "start": seed, "method": result.method, "iterations": result.iterations, "loss": result.loss,
        "forces_meV_per_A": 1e3 * found["forces_eV_per_A"]["rmse"],
        "energies_meV_per_atom": 1e3 * found["energy_per_atom_eV"]["rmse"],
        "cpu_seconds": cpu, "wall_seconds": wall,
    }  # fmt: skip


def main() -> None:
    """Measure and print JSON, a line per fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("potential", help="of Fe and Pd")
    parser.add_argument("--cells", type=int, default=30)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1, help="Of the starts; others than those tuned on.")
    parser.add_argument("--methods", nargs="+", default=["auto", "metric-bfgs"], choices=list(ITERATIONS))
    options = parser.parse_args()
    truth = Potential.read(options.potential)
    training, others = labelled(truth, options.cells, 11), labelled(truth, 20, 77)
    fit(truth, training[:2], settings=FitSettings(max_iterations=2, start="random", threads=1))  # compiles
    medians: dict[str, dict[str, float]] = {}
    for method in options.methods:
        rows = []
        for seed in range(options.first_seed, options.first_seed + options.starts):
            rows.append(measured(truth, training, others, seed, method))
            print(json.dumps(rows[-1]), flush=True)
        names = ("forces_meV_per_A", "energies_meV_per_atom", "cpu_seconds", "wall_seconds")
        medians[method] = {name: statistics.median(row[name] for row in rows) for name in names}
    first = medians[options.methods[0]]
    for method, found in medians.items():
        ratios = {f"{name}_ratio": value / first[name] for name, value in found.items()}
        print(json.dumps({"method": method, "median": found} | ratios))


if __name__ == "__main__":
    main()
