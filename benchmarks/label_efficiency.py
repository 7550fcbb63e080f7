"""Compare active with random selection from the same MD, on the reference Hamiltonian.

    python benchmarks/label_efficiency.py [--seeds 5] [--rounds 6] [--per-round 6] [--processes 2] [--kept runs.jsonl]

For each seed: molecular dynamics of the Hamiltonian in LAMMPS (lattice parameters × temperatures × magnetic orders), of
which a few cool ferromagnetic configurations are the first training set, all snapshots the pool, and those of other
trajectories the test set. With `--kept` a seed that is done is a line of the file, and the same command goes on.
Moments are the relaxed ones with some noise, in one snapshot of five much smaller or partly turned round, as in MD with
spin flips. Round by round each way chooses from the same pool, labels, and refits from its own last potential. Printed
are the errors on the test set and, per quantity, how many labels beyond the first set active selection needs to reach
what random choice reaches at its end, as a share of random choice's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.dft.hamiltonian_calculator import HamiltonianCalculator
from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.fitting import FitSettings, errors_by_quantity, fit
from mmtp_fw.md.lammps import LammpsRun
from mmtp_fw.md.models import CalculatorModel
from mmtp_fw.md.settings import MdSettings
from mmtp_fw.potential import Potential
from mmtp_fw.selection import ActiveSet
from mmtp_fw.structures import generate

QUANTITIES = ("forces_eV_per_A", "magnetic_forces_eV_per_muB")
LATTICES = (3.68, 3.74, 3.80)
TEMPERATURES = (300.0, 600.0, 1000.0)
ORDERS = ("ferromagnetic", "antiferromagnetic", "disordered")
EXCITED = 0.2
# (weights of rows of magnetic forces, of forces) in the active set.
WAYS = {"active": (0.0, 0.0), "random": None}


def trajectory(lattice: float, temperature: float, order: str, seed: int, steps: int, every: int) -> list[Atoms]:
    """Return snapshots of the Hamiltonian's MD, labelled at excited moments."""
    model, rng = ReferenceHamiltonian(), np.random.default_rng(seed)
    composition, moments = {"Fe": 0.68, "Pd": 0.32}, {"Fe": 2.6, "Pd": 0.3}
    start = generate(
        composition, [lattice], moments, 1, supercell=(1, 1, 2), displacement_A=0.02, magnetic_orders=[order], seed=seed
    )[0]
    begun = model.relaxed(start, start.get_initial_magnetic_moments())[0].moments
    settings = MdSettings(temperature_K=temperature, timestep_fs=2.0, seed=seed % 10**6 + 1)
    run = LammpsRun(start, CalculatorModel(HamiltonianCalculator(), begun), settings)
    made = []
    try:
        run.advance(100)
        for _ in range(steps // every):
            run.advance(every)
            atoms = run.snapshot()
            begun = model.relaxed(atoms, begun)[0].moments
            moments = begun * rng.normal(1.0, 0.05, len(atoms))
            if rng.random() < EXCITED:
                # A magnetic excitation: smaller moments, and some of them turned round.
                moments *= rng.uniform(0.3, 1.1) * np.where(rng.random(len(atoms)) < rng.uniform(0.0, 0.5), -1.0, 1.0)
            atoms.set_initial_magnetic_moments(moments)
            made.append(label(model, atoms))
    finally:
        run.close()
    return made


def label(model: ReferenceHamiltonian, atoms: Atoms) -> Atoms:
    """Attach the Hamiltonian's label."""
    found = model.evaluate(atoms, atoms.get_initial_magnetic_moments())
    atoms.set_array("magnetic_forces", found.magnetic_forces)
    atoms.calc = SinglePointCalculator(
        atoms, energy=found.energy, forces=found.forces, stress=found.stress, magmoms=found.moments
    )
    return atoms


def one_seed(options: argparse.Namespace, seed: int) -> dict[str, list[dict[str, float]]]:
    """Return the test errors of every way after each round."""
    base = 100_000 * (seed + 1)

    def trajectories(temperatures: Sequence[float], orders: Sequence[str], offset: int, every: int) -> list[Atoms]:
        kinds = [(a, t, order) for a in LATTICES for t in temperatures for order in orders]
        return [
            atoms
            for k, (a, t, order) in enumerate(kinds)
            for atoms in trajectory(a, t, order, base + offset + k, options.steps, every)
        ]

    pool = trajectories(TEMPERATURES, ORDERS, 0, options.every)
    test = trajectories(TEMPERATURES, ORDERS, 1000, 4 * options.every)
    cool = trajectories([100.0], ORDERS[:1], 2000, options.steps // 4)
    first = [cool[k] for k in np.linspace(0, len(cool) - 1, options.first).astype(int)]
    settings = FitSettings(max_iterations=options.iterations, threads=1)
    start = Potential.from_level(options.level, ["Fe", "Pd"], r_min=1.6, radial_size=6, magnetic_size=3, seed=seed)
    begun = fit(start, first, settings=settings).potential
    found = {}
    for way, weights in WAYS.items():
        rng = np.random.default_rng(seed)
        potential, training, left = begun, list(first), list(range(len(pool)))
        curve = [_errors(potential, test, training)]
        for _ in range(options.rounds):
            if weights is not None:
                active = ActiveSet.from_configurations(
                    potential, training, magnetic_force_weight=weights[0], force_weight=weights[1]
                )
                chosen = active.select([pool[k] for k in left], options.per_round)
            else:
                chosen = list(rng.choice(len(left), options.per_round, replace=False))
            picked = {left[k] for k in chosen}
            left = [k for k in left if k not in picked]
            training += [pool[k] for k in picked]
            potential = fit(potential, training, settings=settings).potential
            curve.append(_errors(potential, test, training))
        found[way] = curve
    return found


def _errors(potential: Potential, test: list[Atoms], training: list[Atoms]) -> dict[str, float]:
    errors = errors_by_quantity(potential, test)
    return {"labels": len(training)} | {name: errors[name]["rmse"] for name in QUANTITIES}


def labels_needed(curve: list[dict[str, float]], name: str, error: float) -> float:
    """Return the labels beyond the first set at which a curve first reaches an error, interpolated; inf if never."""
    for before, after in pairwise(curve):
        if after[name] <= error:
            low, high = np.log(before[name]), np.log(after[name])
            share = 1.0 if low <= high else min(1.0, (low - np.log(error)) / (low - high))
            return before["labels"] - curve[0]["labels"] + share * (after["labels"] - before["labels"])
    return np.inf


def all_seeds(options: argparse.Namespace) -> list[dict[str, list[dict[str, float]]]]:
    """Return the curves of every seed; those that are kept from the same options are not run again."""
    asked = {name: value for name, value in vars(options).items() if name not in ("kept", "seeds", "processes")}
    found: dict[int, dict[str, list[dict[str, float]]]] = {}
    if options.kept is not None and options.kept.exists():
        for line in map(json.loads, options.kept.read_text().splitlines()):
            if line["options"] == asked:
                found[line["seed"]] = line["curves"]
    left = [seed for seed in range(options.seeds) if seed not in found]
    with ProcessPoolExecutor(options.processes) as pool:
        for seed, curves in zip(left, pool.map(partial(one_seed, options), left), strict=True):
            found[seed] = curves
            if options.kept is not None:
                with options.kept.open("a") as file:
                    file.write(json.dumps({"seed": seed, "options": asked, "curves": curves}) + "\n")
    return [found[seed] for seed in range(options.seeds)]


def main() -> None:
    """Run all seeds and print the curves' geometric means and the labels needed as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {
        "seeds": 5, "rounds": 6, "per-round": 6, "first": 6, "steps": 240, "every": 20, "level": 8,
        "iterations": 60, "processes": 1,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--kept", type=Path, help="JSON lines, one a seed: what is there is not run again.")
    options = parser.parse_args()
    runs = all_seeds(options)
    curves = {
        way: [
            {
                "labels": float(np.mean([run[way][k]["labels"] for run in runs])),
                **{name: float(np.exp(np.mean([np.log(run[way][k][name]) for run in runs]))) for name in QUANTITIES},
            }
            for k in range(options.rounds + 1)
        ]
        for way in WAYS
    }
    most = options.rounds * options.per_round
    needed = {
        way: {
            name: {
                "median": float(np.median(shares)),
                "per_seed": shares,
            }
            for name in QUANTITIES
            for shares in [[labels_needed(run[way], name, run["random"][-1][name]) / most for run in runs]]
        }
        for way in WAYS
        if way != "random"
    }
    print(
        json.dumps(
            {
                "options": {k: str(v) if k == "kept" else v for k, v in vars(options).items()},
                "geometric_mean_rmse": curves,
                "labels_needed_over_random": needed,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
