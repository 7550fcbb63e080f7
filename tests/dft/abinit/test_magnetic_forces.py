"""Magnetic forces from the penalty are derivatives of ABINIT's energy: finite differences between two targets."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from mmtp_fw.dft import OutcomeStatus, ProtocolSettings, run_protocol
from mmtp_fw.dft.abinit.engine import AbinitEngine
from mmtp_fw.dft.engine import ScfRequest
from tests.conftest import require

LAMBDA = 4.0  # eV/μB²


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_forces_are_the_differences_of_the_energy(tmp_path):
    require("abinit")
    engine = AbinitEngine(ecut_Ha=12, pawecutdg_Ha=24, kspacing_per_A=0.6, tsmear_Ha=0.02, tolvrs=1e-9)
    atoms = Atoms("Fe2", [[0, 0, 0], [1.43, 1.43, 1.43]], cell=[2.86] * 3, pbc=True)
    atoms.positions[1] += [0.04, 0.0, -0.03]
    energies, moments, forces = [], [], []
    restart: dict[str, str] = {}
    for number, second in enumerate((2.0, 1.8, 1.6)):
        constraint = np.array([2.3, second])
        request = ScfRequest(
            atoms, f"{number}", constraint, tmp_path / f"{number}", constraint=constraint,
            lambda_eV_per_muB2=LAMBDA, restart=restart,
        )  # fmt: skip
        result = engine.scf(request)
        assert result.converged, result.message
        reached = result.moments[engine.final_definition]
        energies.append(result.energy_eV)
        moments.append(reached)
        forces.append(2 * LAMBDA * (reached - constraint))
        restart = result.restart
    # Simpson's rule, for T curves: over 0.4 μB a trapezoid is wrong by a tenth.
    mean = (forces[0] + 4 * forces[1] + forces[2]) / 6
    work, change = mean @ (moments[2] - moments[0]), energies[2] - energies[0]
    print(f"ΔE = {1e3 * change:.2f} meV, −∫T dm = {-1e3 * work:.2f} meV")
    assert abs(change) > 0.03, "the energy does change"
    assert change == pytest.approx(-work, rel=0.02)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_label_of_iron_and_palladium_on_two_processes(tmp_path):
    require("abinit")
    require("mpirun.openmpi")
    engine = AbinitEngine(ecut_Ha=10, pawecutdg_Ha=20, kspacing_per_A=0.9, tsmear_Ha=0.02, mpi_processes=2)
    atoms = Atoms("FePd", [[0, 0, 0], [1.36, 1.36, 1.87]], cell=[2.72, 2.72, 3.73], pbc=True)
    atoms.set_initial_magnetic_moments([2.4, 0.35])
    outcome = run_protocol(engine, atoms, ProtocolSettings(constraint="soft"), tmp_path)
    assert outcome.status == OutcomeStatus.ACCEPTED, outcome.reason
    assert np.abs(np.array(outcome.label.moments) - [2.4, 0.35]).max() < 0.05
    print(outcome.reason, outcome.scf_runs)
