"""Time the core against motep: levels × species × sizes, one thread.

    python benchmarks/core.py [--levels 8 12 16 20] [--atoms 16 128] [--rounds 15] [--memory 50]

Energies of all engines are compared first. In every round each engine is called, one after the other, once to
warm up and then for some milliseconds, as in MD and in fits; times are medians over rounds in µs per atom, ratios
medians of the ratios within a round, which the drift of a noisy machine leaves alone. "kernel" is ours without
the neighbour list, "evaluate" is `Potential.evaluate` with a kept one, as along a trajectory, "grade"
`ActiveSet.grade` by configuration with it, "by site" the same by site; motep's figures are its calculation with its own
(kept) list. The floor is the counted number of multiply-adds of this algorithm at the measured peak of one core.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

from mmtp_fw.potential import Potential, engine
from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.program import compile_tables
from mmtp_fw.potential.threads import threads
from mmtp_fw.selection import ActiveSet


def configuration(n: int, species: list[str]) -> Atoms:
    """Return a distorted bcc crystal of n = 2 k³ atoms with random moments."""
    size = round((n / 2) ** (1 / 3))
    atoms = bulk("Fe", "bcc", 2.87, cubic=True) * (size, size, size)
    atoms.rattle(0.05, seed=1)
    rng = np.random.default_rng(0)
    atoms.set_chemical_symbols([species[k] for k in rng.integers(len(species), size=len(atoms))])
    atoms.set_initial_magnetic_moments(rng.uniform(-2, 2, len(atoms)))
    return atoms


def multiply_adds(pot: Potential, neighbours: float) -> float:
    """Count the multiply-adds per atom of an evaluation: pairs, then products there and back."""
    form = pot.form
    program = compile_tables(form.tables, form.c.shape[2])
    C, _, K, R, M, _ = form.c.shape
    rank = int(program.ranks.max())
    monomials = (rank + 1) * (rank + 2) * (rank + 3) // 6
    radial = 3 * K * R * M + 4 * K * M + 5 * R + 20
    pairs = radial + 2 * monomials + len(program.summed) + len(program.sources) + 6 * K + 30
    atom = 2 * C * K * R * M * M + 2 * len(program.traces) + 3 * len(program.times) + len(program.scalars)
    return neighbours * pairs + atom


def peak_multiply_adds() -> float:
    """Measure how many multiply-adds per second one core does on its vectors."""
    from mmtp_fw.potential.lanes import W, spread, total

    @jit
    def spin(n, x):
        a = b = c = d = e = f = g = h = spread(x)
        i = j = spread(0.5)
        for _ in range(n):
            a = a * x + i
            b = b * x + i
            c = c * x + i
            d = d * x + i
            e = e * x + j
            f = f * x + j
            g = g * x + j
            h = h * x + j
        return total(a + b + c + d + e + f + g + h)

    spin(10, 0.999)
    n, best = 2_000_000, 0.0
    for _ in range(5):
        start = time.perf_counter()
        spin(n, 0.999)
        best = max(best, 8 * W * n / (time.perf_counter() - start))
    return best


def motep_engine(pot: Potential, atoms: Atoms, name: str) -> Callable[[], float]:
    """Return a function that evaluates with a motep engine and returns the energy."""
    from motep.calculator import make_mtp_engine
    from motep.io.mlip.mtp import read_mmtp

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pot.mmtp"
        pot.write(path, "motep")
        data = read_mmtp(str(path))
    data.species = np.array(sorted(set(atoms.numbers.tolist())))
    calculation = make_mtp_engine(name, magnetic=True)(data, mode="run")
    return lambda: calculation.calculate(atoms)["energy"]


def functions(pot: Potential, atoms: Atoms) -> dict[str, Callable[[], float]]:
    """Return what is timed, by name."""
    moments = atoms.get_initial_magnetic_moments()
    system, form, lists = pot.system(atoms), pot.form, pot.lists()
    rng = np.random.default_rng(1)
    n = len(atoms)
    sites, whole = (ActiveSet.from_configurations(pot, [atoms], mode=mode) for mode in ("site", "configuration"))
    changes = 1.0, rng.normal(size=(n, 3)), rng.normal(size=(3, 3)), rng.normal(size=n)

    def loss_gradient() -> float:
        engine.evaluate(form, system, moments)
        engine.directional_gradient(form, system, moments, *changes)
        return float("nan")

    return {
        "kernel": lambda: float(engine.evaluate(form, system, moments)[0].sum()),
        "E and T": lambda: float(engine.evaluate(form, system, moments, forces=False)[0].sum()),
        "evaluate": lambda: pot.evaluate(atoms, lists=lists).energy,
        "loss gradient": loss_gradient,
        "grade": lambda: float("nan") * whole.grade(atoms, lists=lists),
        "by site": lambda: float("nan") * sites.grade(atoms, lists=lists),
        "motep C": motep_engine(pot, atoms, "cext"),
        "motep numba": motep_engine(pot, atoms, "numba"),
    }


def measure(todo: dict[str, Callable[[], float]], rounds: int, least_seconds: float = 0.004) -> np.ndarray:
    """Return seconds per call, shape (rounds, len(todo)): every engine has its turn in every round."""
    found = np.empty((rounds, len(todo)))
    for times in found:
        for k, function in enumerate(todo.values()):
            function()
            calls, start = 0, time.perf_counter()
            while calls == 0 or time.perf_counter() - start < least_seconds:
                function()
                calls += 1
            times[k] = (time.perf_counter() - start) / calls
    return found


def speed_up(level: int, n: int, rounds: int) -> str:
    """Return a row on the evaluation with one and with two threads."""
    species = ["Fe", "Pd"]
    pot = Potential.from_level(level, species, magnetic_size=2, seed=1, symmetrized=False)
    atoms = configuration(n, species)
    system, moments = pot.system(atoms), atoms.get_initial_magnetic_moments()

    def with_threads(count: int) -> Callable[[], float]:
        def run() -> float:
            with threads(count):
                return float(engine.evaluate(pot.form, system, moments)[0].sum())

        return run

    t = measure({"1": with_threads(1), "2": with_threads(2)}, 2 * rounds, 0.03)
    one, two = np.median(t, axis=0) / len(atoms) * 1e6
    return f"| {level} | {len(atoms)} | {one:.2f} | {two:.2f} | {np.median(t[:, 0] / t[:, 1]):.2f} |"


def memory(size: int, level: int = 16) -> str:
    """Return how much memory a process takes at most for one evaluation of 2 size³ atoms."""
    potential = Potential.from_level(level, ["Fe", "Pd"], seed=1)
    potential.evaluate(configuration(16, ["Fe", "Pd"]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    atoms = configuration(2 * size**3, ["Fe", "Pd"])
    potential.evaluate(atoms)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{len(atoms)} atoms, level {level}: {after / 2**20:.2f} GiB ({before / 2**20:.2f} before)"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--levels", type=int, nargs="+", default=[8, 12, 16, 20])
    parser.add_argument("--atoms", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory", type=int, metavar="N", help="only this: the memory for 2 N³ atoms at level 16")
    arguments = parser.parse_args()
    if arguments.memory:
        print(memory(arguments.memory))
        return
    peak = peak_multiply_adds()
    print(f"peak of one core: {2e-9 * peak:.1f} Gflop/s in multiply-adds\n")
    names = ["kernel", "E and T", "evaluate", "loss gradient", "grade", "by site", "motep C", "motep numba"]
    print(
        "| level, species, magnetic size, atoms | " + " | ".join(names) + " | ratio kernel | ratio evaluate | floor |"
    )
    print("|---" * (len(names) + 4) + "|")
    for level in arguments.levels:
        for species, magnetic, symmetrized in (
            (["Fe"], 2, False), (["Fe", "Pd"], 2, False), (["Fe", "Pd"], 4, False), (["Fe", "Pd"], 2, True),
        ):  # fmt: skip
            for n in arguments.atoms:
                pot = Potential.from_level(level, species, magnetic_size=magnetic, seed=1, symmetrized=symmetrized)
                atoms = configuration(n, species)
                todo = functions(pot, atoms)
                energies = {name: function() for name, function in todo.items()}
                for name, energy in energies.items():
                    reference = energies["kernel"]
                    assert np.isnan(energy) or abs(energy - reference) < 1e-7 * max(1, abs(reference)), name
                with threads(1):
                    seconds = measure(todo, arguments.rounds)
                system = pot.system(atoms)
                floor = multiply_adds(pot, len(system.vectors) / len(system)) / peak * 1e6
                t = dict(zip(todo, np.median(seconds, axis=0) / len(atoms) * 1e6, strict=True))
                place = {name: k for k, name in enumerate(todo)}
                best = np.minimum(seconds[:, place["motep C"]], seconds[:, place["motep numba"]])
                ratio = {name: np.median(best / seconds[:, place[name]]) for name in ("kernel", "evaluate")}
                label = f"{level}, {len(species)}, {magnetic}{' sym' if symmetrized else ''}, {len(atoms)}"
                cells = [f"{t[name]:.{1 if t[name] > 20 else 2}f}" for name in names]
                print(
                    f"| {label} | {' | '.join(cells)} | {ratio['kernel']:.0f} | {ratio['evaluate']:.0f} "
                    f"| {floor:.2f} ({100 * floor / t['kernel']:.0f} %) |",
                    flush=True,
                )
    print("\n| level | atoms | one thread, µs per atom | two threads | ratio |\n|---|---|---|---|---|")
    for level in arguments.levels:
        for size in (5, 8):
            print(speed_up(level, 2 * size**3, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
