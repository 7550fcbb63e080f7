"""Constant pressure and constant volume agree on the lattice parameter at 300 K."""

from __future__ import annotations

import numpy as np
import pytest

from mmtp_fw.md import MdSettings, MdState, PotentialModel, trajectory
from mmtp_fw.properties import average


def run(potential, atoms, **settings):
    moments = atoms.get_initial_magnetic_moments()
    result = trajectory(PotentialModel(potential, moments, 1), atoms, MdSettings(timestep_fs=2.0, **settings))
    assert result.state is MdState.COMPLETED, result.message
    return result


@pytest.mark.slow
def test_lattice_parameter_of_npt_is_the_zero_of_the_pressure_of_nvt(fepd, invar):
    edges, pressures, errors = [3.72, 3.74, 3.76, 3.78], [], []
    for seed, a in enumerate(edges):
        atoms = invar.copy()
        atoms.set_cell(2 * a * np.eye(3), scale_atoms=True)
        result = run(fepd, atoms, steps=8000, sample_interval=10, seed=seed)
        mean = average(result.thermo["pressure_GPa"][100:])
        pressures.append(mean.mean)
        errors.append(mean.error)
    curve = np.polynomial.Polynomial.fit(edges, pressures, 2, w=1 / np.array(errors))
    from_volume = min((root.real for root in curve.roots()), key=lambda a: abs(a - 3.75))
    slope = curve.deriv()(from_volume)
    free = run(fepd, invar, steps=24000, sample_interval=10, pressure_GPa=0.0, barostat_damping_fs=500.0, seed=9)
    lattice = average(np.array([np.cbrt(frame.get_volume()) / 2 for frame in free.frames[200:]]))
    error = np.hypot(lattice.error, np.max(errors) / abs(slope))
    print(f"NVT: {from_volume:.4f} Å; NPT: {lattice.mean:.4f} ± {lattice.error:.4f} Å; both ± {error:.4f} Å")
    assert error < 0.002
    assert abs(lattice.mean - from_volume) < 4 * error
