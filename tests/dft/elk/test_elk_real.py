"""Elk itself: moments held where they are wanted, and fields that are derivatives of the energy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.dft import OutcomeStatus, ProtocolSettings, ScfRequest, ScfResult, get_engine, run_protocol
from tests.conftest import require

COARSE = {"rgkmax": 5.5, "kspacing_per_A": 1.6, "muffin_tin_bohr": {"Fe": 2.2}, "swidth_Ha": 0.01, "symmetry": True}


def held(directory: Path, moment: float, restart=None, **settings) -> ScfResult:
    """Hold the moment of a primitive cell of bcc iron."""
    target = np.array([moment])
    request = ScfRequest(
        bulk("Fe", "bcc", a=2.866), "hard", target, directory / f"hard_{moment}", constraint=target, hard=True,
        restart=restart or {},
    )  # fmt: skip
    return get_engine("elk", **COARSE | {"keep_restart_files": True} | settings).scf(request)


def test_a_moment_is_held_where_it_is_wanted(tmp_path):
    require("elk-lapw")
    found = held(tmp_path, -2.0, epspot_Ha=1e-5, epsengy_Ha=1e-4)
    assert found.converged, found.message
    np.testing.assert_allclose(found.moments["WS"], [-2.0], atol=1e-3)
    assert abs(found.magnetic_forces[0]) < 2 and found.stress is None
    np.testing.assert_allclose(found.forces, 0, atol=1e-6)
    assert found.energy_with_penalty_eV == found.energy_eV < -34000
    assert not list(tmp_path.rglob("EVEC*"))
    again = held(tmp_path, -2.0, epspot_Ha=1e-5, epsengy_Ha=1e-4)
    assert again.energy_eV == found.energy_eV, "read, not computed again"


@pytest.mark.slow
def test_fields_are_derivatives_of_the_energy(tmp_path):
    require("elk-lapw")
    finer = {"rgkmax": 6.0, "kspacing_per_A": 1.1, "swidth_Ha": 0.005, "nempty": 16}
    first = held(tmp_path, 2.0, **finer)
    second = held(tmp_path, 2.2, first.restart, **finer)
    assert first.converged and second.converged
    step = second.moments["WS"] - first.moments["WS"]
    work = -0.5 * float((first.magnetic_forces + second.magnetic_forces) @ step)
    assert work > 0.03, "farther from the free state"
    assert second.energy_eV - first.energy_eV == pytest.approx(work, rel=0.08), "the basis follows the potential"


def test_a_label_by_the_protocol(tmp_path):
    require("elk-lapw")
    iron = bulk("Fe", "bcc", a=2.866)
    iron.set_initial_magnetic_moments([2.0])
    outcome = run_protocol(get_engine("elk", **COARSE), iron, ProtocolSettings(), tmp_path, check=False)
    assert outcome.status == OutcomeStatus.ACCEPTED, outcome.reason
    assert outcome.label.stress is None
    atoms = outcome.label.to_atoms()
    assert "stress" not in atoms.calc.results and atoms.calc.results["energy"] == outcome.label.energy_eV
    impossible = run_protocol(get_engine("elk", **COARSE, maxscl=3), iron, ProtocolSettings(), tmp_path / "b")
    assert impossible.status == OutcomeStatus.REJECTED and "the engine has no other" in impossible.reason
