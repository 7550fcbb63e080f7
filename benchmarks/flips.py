"""A Metropolis trial of one moment against one evaluation of the cell: the figures of docs/potential.md.

    python benchmarks/flips.py

One thread, medians over interleaved repetitions, so that other work on the machine disturbs both alike.
"""

from __future__ import annotations

import time

import numpy as np
from ase.build import bulk

from mmtp_fw.potential import Potential
from mmtp_fw.potential.flips import flip_energies
from mmtp_fw.potential.incremental import MomentState
from mmtp_fw.potential.threads import threads

REPETITIONS, TRIALS = 7, 200


def row(level: int, repeat: int) -> str:
    """Return a row of the table: microseconds, and a sweep of a trial per atom in evaluations of the cell."""
    potential = Potential.from_level(level, ["Fe", "Pd"], seed=1)
    rng = np.random.default_rng(0)
    atoms = bulk("Fe", "fcc", 3.75, cubic=True) * (repeat, repeat, repeat)
    atoms.symbols[rng.random(len(atoms)) < 0.3] = "Pd"
    atoms.rattle(0.05, seed=1)
    moments = rng.normal(0, 1.5, len(atoms))
    system = potential.system(atoms)
    state, sites = MomentState(potential, system, moments), rng.integers(len(atoms), size=TRIALS)
    factors, shifts, uniforms = -np.ones(TRIALS), np.zeros(TRIALS), np.zeros(TRIALS)
    limits = np.tile([-np.inf, np.inf], (len(atoms), 1))
    flip_energies(potential, system, moments, sites[:2])
    potential.evaluate_system(system, moments)
    evaluations, trials, begins = [], [], []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        potential.evaluate_system(system, moments)
        evaluations.append(time.perf_counter() - began)
        began = time.perf_counter()
        state.attempt(sites, factors, shifts, uniforms, limits, 1.0, keep=False)
        trials.append((time.perf_counter() - began) / TRIALS)
        began = time.perf_counter()
        MomentState(potential, system, moments)
        begins.append(time.perf_counter() - began)
    one, trial, begin = (float(np.median(times)) for times in (evaluations, trials, begins))
    sweep = len(atoms) * trial / one
    figures = f"{1e6 * one:.0f} | {1e6 * begin:.0f} | {1e6 * trial:.1f} | {one / trial:.0f} | {sweep:.1f}"
    return f"| {level} | {len(atoms)} | {figures} |"


def main() -> None:
    """Print the table."""
    print(
        "| level | atoms | evaluation (μs) | beginning (μs) | trial (μs) | trials an evaluation | sweep (evaluations) |"
    )
    print("|---|---|---|---|---|---|---|")
    with threads(1):
        for level in (8, 12, 16):
            for repeat in (3, 6):
                print(row(level, repeat), flush=True)


if __name__ == "__main__":
    main()
