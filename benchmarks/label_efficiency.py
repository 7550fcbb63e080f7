"""Compare active with random selection at equal numbers of labels, on the reference Hamiltonian.

    python benchmarks/label_efficiency.py [--seeds 5] [--rounds 4] [--per-round 6] [--pool 80]

For each seed: a first set, a pool of hot configurations (Hamiltonian MD is replaced by generated cells of
growing displacement, so that no trajectory depends on the fit), and a separate test set. Round by round each
way chooses from the same pool, labels, and refits from its own last potential; both see the same starts.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.fitting import FitSettings, errors_by_quantity, fit
from mmtp_fw.potential import Potential
from mmtp_fw.selection import ActiveSet
from mmtp_fw.structures import generate

QUANTITIES = ("forces_eV_per_A", "magnetic_forces_eV_per_muB")


def labelled(count: int, seed: int, displacement: float) -> list[Atoms]:
    """Return generated cells with the Hamiltonian's labels."""
    model = ReferenceHamiltonian()
    made = generate(
        {"Fe": 0.68, "Pd": 0.32},
        [3.68, 3.72, 3.76, 3.80],
        {"Fe": 2.6, "Pd": 0.3},
        count,
        supercell=(1, 1, 2),
        displacement_A=displacement,
        seed=seed,
    )
    for atoms in made:
        found = model.evaluate(atoms, atoms.get_initial_magnetic_moments())
        atoms.set_array("magnetic_forces", found.magnetic_forces)
        atoms.calc = SinglePointCalculator(
            atoms, energy=found.energy, forces=found.forces, stress=found.stress, magmoms=found.moments
        )
    return made


def one_seed(seed: int, options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Return the test errors after each round for both ways."""
    first = labelled(options.first, 10 * seed, 0.08)
    pool = labelled(options.pool, 10 * seed + 1, 0.16)
    test = labelled(40, 10 * seed + 2, 0.16)
    settings = FitSettings(max_iterations=options.iterations, threads=options.threads)
    start = Potential.from_level(options.level, ["Fe", "Pd"], r_min=1.8, magnetic_size=3, seed=seed)
    begun = fit(start, first, settings=settings).potential
    found = {}
    for way in ("active", "random"):
        rng = np.random.default_rng(seed)
        potential, training, left = begun, list(first), list(range(len(pool)))
        curve = [_errors(potential, test, training)]
        for _ in range(options.rounds):
            if way == "active":
                active = ActiveSet.from_configurations(potential, training)
                chosen = active.select([pool[k] for k in left], options.per_round)
            else:
                chosen = list(rng.choice(len(left), options.per_round, replace=False))
            picked = [left[k] for k in chosen]
            left = [k for k in left if k not in set(picked)]
            training += [pool[k] for k in picked]
            potential = fit(potential, training, settings=settings).potential
            curve.append(_errors(potential, test, training))
        found[way] = curve
    return found


def _errors(potential: Potential, test: list[Atoms], training: list[Atoms]) -> dict[str, float]:
    errors = errors_by_quantity(potential, test)
    return {"labels": len(training)} | {name: errors[name]["rmse"] for name in QUANTITIES}


def main() -> None:
    """Run all seeds and print the mean curves as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in {
        "seeds": 5,
        "rounds": 4,
        "per-round": 6,
        "pool": 80,
        "first": 12,
        "level": 8,
        "iterations": 100,
        "threads": 1,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    runs = [one_seed(seed, options) for seed in range(options.seeds)]
    curves = {
        way: [
            {
                "labels": float(np.mean([run[way][k]["labels"] for run in runs])),
                **{name: float(np.exp(np.mean([np.log(run[way][k][name]) for run in runs]))) for name in QUANTITIES},
            }
            for k in range(options.rounds + 1)
        ]
        for way in ("active", "random")
    }
    print(json.dumps({"options": vars(options), "geometric_mean_rmse": curves}, indent=2))


if __name__ == "__main__":
    main()
