"""Reference trajectories: the same molecular dynamics with the engine's own forces and relaxed moments."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.constraints import FixCom
from ase.md.langevin import Langevin


def reference_trajectory(
    calculator: Calculator,
    atoms: Atoms,
    temperature_K: float,
    steps: int,
    timestep_fs: float,
    seed: int,
    damping_fs: float = 100.0,
    interval: int = 5,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
    """Run NVT molecular dynamics (Langevin) with any ASE calculator that knows moments.

    Parameters
    ----------
    calculator : Calculator
        With energy, forces, stress and relaxed magmoms.
    atoms : Atoms
        Where to start; left as it is.
    temperature_K : float
        Temperature (K).
    steps : int
        Number of steps.
    timestep_fs : float
        Time step (fs).
    seed : int
        Of velocities and thermostat.
    damping_fs : float
        Relaxation time of the thermostat (fs).
    interval : int
        Steps between two samples.
    should_stop : callable
        Asked at every sample.

    Returns
    -------
    dict of str to ndarray, shape (steps // interval,)
        step, temperature_K, potential_energy_eV, pressure_GPa (ideal-gas part included) and
        magnetization_muB_per_atom.
    ndarray, shape (steps // interval, n, 3)
        Velocities in ASE's unit at the same steps. None instead of both if it was asked to stop.
    """
    atoms = atoms.copy()
    atoms.calc = calculator
    random = np.random.default_rng(seed)
    sigma = np.sqrt(temperature_K * units.kB * atoms.get_masses())
    momenta = random.normal(size=(len(atoms), 3)) * sigma[:, None]
    atoms.set_momenta(momenta - momenta.mean(axis=0))
    atoms.set_constraint(FixCom())
    dynamics = Langevin(
        atoms,
        timestep_fs * units.fs,
        temperature_K=temperature_K,
        friction=1.0 / (damping_fs * units.fs),
        fixcm=False,
        rng=random,
    )
    samples, velocities = [], []
    for step in range(interval, steps + 1, interval):
        if should_stop():
            return None
        dynamics.run(interval)
        velocities.append(atoms.get_velocities())
        stress = atoms.get_stress(include_ideal_gas=True, apply_constraint=False)
        samples.append(
            (
                step,
                atoms.get_temperature(),
                atoms.get_potential_energy(),
                -np.mean(stress[:3]) / units.GPa,
                np.mean(atoms.get_magnetic_moments()),
            )
        )
    columns = np.array(samples, dtype=float).reshape(-1, 5).T
    names = ("step", "temperature_K", "potential_energy_eV", "pressure_GPa", "magnetization_muB_per_atom")
    return dict(zip(names, columns, strict=True)), np.array(velocities)
