from __future__ import annotations

import numpy as np
import pytest

from mmtp_fw.campaign import Campaign
from mmtp_fw.dft.hamiltonian_calculator import HamiltonianCalculator
from mmtp_fw.firetasks.start import starting_cell
from mmtp_fw.properties.reference import reference_trajectory

CAMPAIGN = Campaign.model_validate({"name": "c", "system": {"supercell": [2, 2, 1]}})


def run(**changes):
    cell = starting_cell(CAMPAIGN, 3.75, "ferromagnetic", 3)
    settings = {"temperature_K": 300, "steps": 300, "timestep_fs": 2.0, "seed": 1} | changes
    return reference_trajectory(HamiltonianCalculator(), cell, **settings)


def test_it_is_reproducible_and_holds_its_temperature():
    (one, velocities), (two, _) = run(), run()
    assert velocities.shape == (60, 16, 3)
    for name in one:
        assert len(one[name]) == 60
        assert np.array_equal(one[name], two[name])
    assert 150 < one["temperature_K"][20:].mean() < 450
    assert 1.5 < one["magnetization_muB_per_atom"].mean() < 2.3


def test_it_stops_when_asked():
    assert run(should_stop=lambda: True) is None


def test_starting_cells_have_the_composition():
    cell = starting_cell(CAMPAIGN, 3.7, "random", 5)
    assert cell.symbols.formula.count() == {"Fe": 11, "Pd": 5}
    assert cell.get_volume() == pytest.approx(4 * 3.7**3)
    moments = cell.get_initial_magnetic_moments()
    assert (moments > 0).any() and (moments < 0).any()
