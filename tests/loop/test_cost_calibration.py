"""Estimates against finished stages: what they say of the same settings, of others, and of few."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.campaign import Campaign
from mmtp_fw.dft.registry import describe
from mmtp_fw.loop.cost import Measured, calibrate, estimate, work_of

COSTS = describe("abinit").costs


def campaign(structure: str = "bcc", supercell=(1, 1, 1), **dft) -> Campaign:
    chosen = {"ecut_Ha": 12, "pawecutdg_Ha": 24, "kspacing_per_A": 0.75} | dft
    system = {
        "species": ["Fe"], "composition": {"Fe": 1.0}, "structure": structure, "supercell": supercell,
        "lattice_parameters_A": [2.85], "held_out_lattice_parameters_A": [], "typical_moments_muB": {"Fe": 2.2},
    }  # fmt: skip
    return Campaign.model_validate({"name": "c", "system": system, "dft": {"engine": "abinit", "settings": chosen}})


def stages(count: int, factor: float, asked: Campaign | None = None, steps: int = 25) -> list[Measured]:
    work = work_of(asked or campaign())
    return [Measured(work, steps, factor * COSTS.seconds(work, steps)) for _ in range(count)]


@given(st.floats(1.1, 3.0), st.integers(2, 3))
@settings(max_examples=8, deadline=None)
def test_hours_rise_with_cutoff_mesh_and_atoms(factor, times):
    usual = estimate(campaign()).core_hours
    for dearer in (
        campaign(ecut_Ha=12 * factor, pawecutdg_Ha=24 * factor),
        campaign(kspacing_per_A=0.75 / times),
        campaign(supercell=(times, 1, 1)),
    ):
        assert all(more > less for more, less in zip(estimate(dearer).core_hours, usual, strict=True))


def test_a_fine_campaign_costs_far_more_than_a_coarse_one():
    coarse = estimate(campaign(kspacing_per_A=0.8)).scf_seconds[1]
    fine = estimate(campaign(ecut_Ha=40, pawecutdg_Ha=90, kspacing_per_A=0.1)).scf_seconds[1]
    assert fine > 500 * coarse


def test_without_stages_the_range_is_wide_and_says_what_it_rests_on():
    cost = estimate(campaign())
    low, usual, high = cost.scf_seconds
    assert (low, high) == (pytest.approx(usual / 3), pytest.approx(3 * usual))
    assert "no finished stage of ABINIT" in cost.rests_on and "scf_cost.py" in cost.rests_on
    assert cost.core_hours_range[0] < cost.core_hours[0] < cost.core_hours[1] < cost.core_hours_range[1]


def test_stages_of_the_same_settings_set_scale_and_steps():
    cost = estimate(campaign(), stages=stages(6, 4.0))
    assert cost.scf_seconds[1] == pytest.approx(4.0 * COSTS.seconds(cost.work, 25))
    assert cost.scf_seconds[2] / cost.scf_seconds[1] == pytest.approx(1.5)
    assert cost.rests_on == "6 finished stages of ABINIT in this database"


def test_stages_of_about_the_size_go_before_others():
    small, large = campaign(), campaign(ecut_Ha=30, pawecutdg_Ha=60)
    both = stages(6, 4.0) + stages(40, 0.5, large)
    found = calibrate(COSTS, both, work_of(small))
    assert (found.stages, found.factor, found.alike) == (6, pytest.approx(4.0), True)
    found = calibrate(COSTS, both, work_of(large))
    assert (found.stages, found.factor) == (40, pytest.approx(0.5))


def test_stages_of_another_size_are_used_with_a_wider_range():
    far = campaign(ecut_Ha=40, pawecutdg_Ha=80, kspacing_per_A=0.3)
    cost = estimate(far, stages=stages(6, 4.0))
    assert cost.scf_seconds[1] == pytest.approx(4.0 * COSTS.seconds(work_of(far), 25))
    assert cost.scf_seconds[2] / cost.scf_seconds[1] > 1.8
    assert "of another size" in cost.rests_on


def test_few_stages_leave_a_factor_of_two_and_none_leave_none():
    found = calibrate(COSTS, stages(1, 3.0), work_of(campaign()))
    assert (found.low, found.factor, found.high) == (pytest.approx(1.5), pytest.approx(3.0), pytest.approx(6.0))
    assert calibrate(COSTS, [], work_of(campaign())) is None
    lost = [replace(stage, work=None) for stage in stages(3, 1.0)]
    assert calibrate(COSTS, lost, work_of(campaign())) is None, "of a cell that is not known"
    assert calibrate(COSTS, [Measured(work_of(campaign()), 0, 5.0)], work_of(campaign())) is None


def test_an_engine_that_counts_no_work_is_calibrated_by_the_seconds_of_its_runs():
    asked = Campaign(name="c")
    cost = estimate(asked, stages=[Measured(None, 12, 3.0)] * 5)
    assert cost.work is None and cost.scf_seconds[1] == pytest.approx(3.0)


def test_labels_that_are_there_are_not_paid_again():
    asked = campaign()
    all_, rest = estimate(asked), estimate(asked, finished=24)
    assert rest.labels == all_.labels
    assert rest.scf_runs == (0, all_.scf_runs[1] - all_.scf_runs[0])
    assert 3600 * (all_.core_hours[0] - rest.core_hours[0]) == pytest.approx(all_.scf_runs[0] * all_.scf_seconds[1])
