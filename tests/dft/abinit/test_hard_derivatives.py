"""Forces, pressure and magnetic forces under a hard constraint are derivatives of ABINIT's energy at fixed moments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from mmtp_fw.dft import ScfResult, get_engine
from mmtp_fw.dft.engine import ScfRequest
from tests.conftest import require

COARSE = {"ecut_Ha": 12.0, "pawecutdg_Ha": 24.0, "kspacing_per_A": 1.2, "tsmear_Ha": 0.02, "tolvrs": 1e-9, "nstep": 200}
GPA = 160.21766208

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def iron(shift: tuple[float, float, float]) -> Atoms:
    """Return two iron atoms, the second displaced."""
    atoms = Atoms("Fe2", [[0, 0, 0], [1.43, 1.43, 1.43]], cell=[2.86] * 3, pbc=True)
    atoms.positions[1] += shift
    return atoms


class Held:
    """Calculations with the moments held, each restarted from the first."""

    def __init__(self, atoms: Atoms, moments: list[float], root: Path) -> None:
        self.atoms, self.moments, self.root = atoms, np.array(moments), root
        self.made = 0
        self.restart: dict[str, Any] = {}
        self.first = self(atoms)
        self.restart = self.first.restart

    def __call__(self, atoms: Atoms, moments: np.ndarray | None = None, **settings: float) -> ScfResult:
        held = self.moments if moments is None else moments
        self.made += 1
        engine = get_engine("abinit", **(COARSE | {"keep_restart_files": True} | settings))
        result = engine.scf(
            ScfRequest(
                atoms, "hard", held, self.root / f"{self.made:02d}", constraint=held, restart=self.restart, hard=True
            )
        )
        assert result.converged, result.message
        np.testing.assert_allclose(result.moments["WS"], held, atol=1e-3)
        return result


@pytest.fixture(
    scope="module",
    params=[((0.05, 0.0, -0.03), [2.2, 1.5]), ((-0.04, 0.06, 0.0), [1.8, -1.4])],
    ids=["ferromagnetic", "antiferromagnetic"],
)
def held(request, tmp_path_factory) -> Held:
    require("abinit")
    shift, moments = request.param
    return Held(iron(shift), moments, tmp_path_factory.mktemp("held"))


def test_forces(held):
    step = 0.01
    energies = []
    for sign in (1, -1):
        moved = held.atoms.copy()
        moved.positions[1, 0] += sign * step
        energies.append(held(moved).energy_eV)
    slope = -(energies[0] - energies[1]) / (2 * step)
    print(f"force {held.first.forces[1, 0]:.4f} eV/Å, from energies {slope:.4f}")
    assert held.first.forces[1, 0] == pytest.approx(slope, abs=0.010)


def test_magnetic_forces(held):
    step = 0.02
    for atom in (0, 1):
        change = step * np.eye(2)[atom]
        up, down = (held(held.atoms, held.moments + sign * change) for sign in (1, -1))
        slope = -(up.energy_eV - down.energy_eV) / (2 * step)
        print(f"magnetic force {held.first.magnetic_forces[atom]:.5f} eV/μB, from energies {slope:.5f}")
        assert held.first.magnetic_forces[atom] == pytest.approx(slope, abs=0.003)


def test_pressure_at_one_cut_off(held):
    """The cut-off is smoothed, so that energies of one cut-off, which a potential is fitted to, have this stress."""
    step = 0.003
    energies = []
    for sign in (1, -1):
        scale = 1 + sign * step
        strained = held.atoms.copy()
        strained.set_cell(scale * np.asarray(held.atoms.cell), scale_atoms=True)
        energies.append(held(strained, kspacing_per_A=COARSE["kspacing_per_A"] / scale).energy_eV)
    volume = held.atoms.get_volume()
    pressure = -(energies[0] - energies[1]) / (2 * 3 * step * volume) * GPA
    printed = -np.mean(held.first.stress[:3]) * GPA
    print(f"pressure {printed:.2f} GPa, from energies {pressure:.2f}")
    assert printed == pytest.approx(pressure, abs=0.5)
