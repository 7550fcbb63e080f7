"""Time the loss gradient and the fit, side by side with motep where it is installed.

    python benchmarks/fit.py [--level 8] [--magnetic-size 3] [--configurations 60] [--iterations 150]
    python benchmarks/fit.py --level 16 --memory 5000      # peak memory only

Labels are the reference Hamiltonian's on generated Fe-Pd cells. motep's training pass is its loss with
gradient (energies, forces, stress and magnetic forces) on the same configurations and an equal potential,
unsymmetrized.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.fitting import FitSettings, fit
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.metric import gauss_newton_matrix
from mmtp_fw.fitting.samples import make_samples
from mmtp_fw.potential import Potential
from mmtp_fw.structures import generate


def labelled(count: int, seed: int) -> list[Atoms]:
    """Return generated 16-atom cells with the Hamiltonian's labels at their target moments."""
    model = ReferenceHamiltonian()
    made = generate({"Fe": 0.68, "Pd": 0.32}, [3.68, 3.72, 3.76, 3.80], {"Fe": 2.6, "Pd": 0.3}, count, seed=seed)
    for atoms in made:
        found = model.evaluate(atoms, atoms.get_initial_magnetic_moments())
        atoms.set_array("magnetic_forces", found.magnetic_forces)
        atoms.calc = SinglePointCalculator(
            atoms, energy=found.energy, forces=found.forces, stress=found.stress, magmoms=found.moments
        )
    return made


def seconds(work: object, repeats: int) -> float:
    """Return the best time of a call."""
    best = np.inf
    for _ in range(repeats):
        began = time.perf_counter()
        work()  # type: ignore[operator]
        best = min(best, time.perf_counter() - began)
    return float(best)


def motep_loss(potential: Potential, configurations: list[Atoms]) -> tuple[Any, Any]:
    """Return motep's loss of labelled configurations with a potential's form and parameters, and its data."""
    from motep.io.mlip.mtp import read_mmtp
    from motep.loss import LossFunction, LossSetting

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "start.mmtp"
        potential.write(path, dialect="motep")
        data = read_mmtp(path)
    data.species = [26, 46]
    data.optimized = ["species_coeffs", "moment_coeffs", "radial_coeffs"]
    images = []
    for atoms in configurations:
        image = atoms.copy()
        results = dict(atoms.calc.results) | {"mgrad": -atoms.arrays["magnetic_forces"]}
        image.calc = SinglePointCalculator(image)
        image.calc.results = results
        images.append(image)
    return LossFunction(images, mtp_data=data, setting=LossSetting(), engine="numba", relax_magmoms=False), data


def motep_gradient(potential: Potential, configurations: list[Atoms]) -> float | None:
    """Return the seconds of one of motep's training passes; None without motep."""
    try:
        loss, data = motep_loss(potential, configurations)
    except ImportError:
        return None
    parameters = np.array(data.parameters)
    loss(parameters), loss.jac(parameters)
    return seconds(lambda: (loss(parameters * (1 + 1e-9)), loss.jac(parameters)), 2)


def memory(count: int, level: int, magnetic_size: int) -> str:
    """Return how much memory a process takes at most for a loss with gradient and metric of `count` 32-atom cells."""
    few = [atoms * (1, 1, 2) for atoms in labelled(8, 0)]
    training = []
    for k in range(count):
        atoms = few[k % len(few)].copy()
        atoms.rattle(0.02, seed=k)
        atoms.set_array("magnetic_forces", np.zeros(len(atoms)))
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((len(atoms), 3)), stress=np.zeros(6))
        training.append(atoms)
    potential = Potential.from_level(level, ["Fe", "Pd"], r_min=1.6, magnetic_size=magnetic_size)
    loss = Loss(potential, make_samples(potential, training))
    loss.value_and_gradient(potential.parameters)
    gauss_newton_matrix(loss, potential.parameters, np.random.default_rng(0), 1.0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{count} cells of {len(training[0])} atoms, {potential.n_parameters} parameters: {peak:.2f} GiB"


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--level", type=int, default=8)
    parser.add_argument("--magnetic-size", type=int, default=3)
    parser.add_argument("--configurations", type=int, default=60)
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--motep-configurations", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=int, metavar="N", help="only this: the memory for N cells of 32 atoms")
    options = parser.parse_args()
    if options.memory:
        print(memory(options.memory, options.level, options.magnetic_size))
        return
    training, validation = labelled(options.configurations, 0), labelled(30, 99)
    form = {
        "level": options.level,
        "species": ["Fe", "Pd"],
        "r_min": 1.9,
        "magnetic_size": options.magnetic_size,
    }
    potential = Potential.from_level(**form)
    atoms_count = sum(map(len, training))
    found: dict[str, object] = {
        "parameters": potential.n_parameters,
        "atoms": atoms_count,
        "threads": options.threads,
    }

    samples = make_samples(potential, training)
    loss = Loss(potential, samples, options.threads)
    theta = potential.parameters
    loss.value_and_gradient(theta)
    gradient = seconds(lambda: loss.value_and_gradient(theta), 5)
    evaluation = seconds(lambda: [potential.evaluate_system(s.system, s.moments) for s in samples], 3)
    found["gradient_us_per_atom"] = 1e6 * gradient / atoms_count
    found["evaluation_us_per_atom"] = 1e6 * evaluation / atoms_count
    few = training[: options.motep_configurations]
    plain = Potential.from_level(**form, symmetrized=False)
    loss = Loss(plain, make_samples(plain, few))
    loss.value_and_gradient(plain.parameters)
    ours = seconds(lambda: loss.value_and_gradient(plain.parameters), 5)
    theirs = motep_gradient(plain, few)
    if theirs is not None:
        found["motep_gradient_us_per_atom"] = 1e6 * theirs / sum(map(len, few))
        found["times_faster_unsymmetrized"] = theirs / ours
    for method in ("metric-bfgs", "bfgs"):
        settings = FitSettings(max_iterations=options.iterations, method=method, threads=options.threads)
        result = fit(potential, training, validation=validation, settings=settings)
        found[method] = {
            "loss": result.loss,
            "iterations": result.iterations,
            "gradients": result.gradient_calls,
            "wall_seconds": result.wall_seconds,
            "validation_rmse": {name: errors["rmse"] for name, errors in result.validation_errors.items()},
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
