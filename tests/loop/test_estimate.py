"""The estimate of a campaign's cost against numbers worked out by hand."""

from __future__ import annotations

import pytest

from mmtp_fw.campaign import Campaign
from mmtp_fw.loop.cost import Cost, estimate

SECTIONS = {
    "system": {
        "supercell": [2, 3, 1],
        "lattice_parameters_A": [3.7, 3.8],
        "held_out_lattice_parameters_A": [3.6],
    },
    "pretraining": {"structures": 10},
    "selection": {"max_per_iteration": 4},
    "md": {
        "steps": 100,
        "temperatures_K": [300, 600],
        "magnetic_orders": ["ferromagnetic", "antiferromagnetic", "random"],
        "replicas": 2,
    },
    "properties": {"steps": 50, "equilibration_steps": 5, "replicas": 3},
    "fit": {"ensemble": 3},
    "budget": {"max_iterations": 20, "max_labels": 25, "max_scf_runs": 1000},
}


def campaign(**sections) -> Campaign:
    changed = {name: SECTIONS.get(name, {}) | sections.get(name, {}) for name in SECTIONS | sections}
    return Campaign.model_validate({"name": "c"} | changed)


def test_every_number_by_hand():
    cost = estimate(campaign())
    # 2 volumes × 2 temperatures × 3 orders × 2 replicas = 24 trajectories of 100 steps in a round; averages at 3
    # volumes × 3 replicas = 9 of 50 steps, and as many of the reference. (25 − 10)/4 rounds of labels, rounded up,
    # and the first one: 5 rounds.
    assert cost.atoms == 4 * 2 * 3 * 1
    assert cost.labels == (10, 25)
    # Five calculations of a label, one of a check: the first ten labels, the 11th and the 21st are checked.
    assert cost.scf_runs == (60, 137)
    assert cost.md_runs == (24 + 18, 5 * 24 + 18)
    assert cost.md_steps == (2400 + 900, 5 * 2400 + 900)
    fewest = 60 * 0.3 + (2400 + 450) * 24 * 4e-4 + 9 * 50 * 24 * 2e-4 + 10 * 1.0 * 4
    most = 137 * 0.3 + (12000 + 450) * 24 * 4e-4 + 9 * 50 * 24 * 2e-4 + 25 * 1.0 * 4
    assert cost.core_hours == (pytest.approx(fewest / 3600), pytest.approx(most / 3600))


def test_no_reference_and_no_held_out_volume():
    cost = estimate(campaign(properties={"reference": False}, system={"held_out_lattice_parameters_A": []}))
    assert cost.md_runs == (24 + 6, 5 * 24 + 6)
    assert cost.md_steps == (2400 + 300, 12000 + 300)
    fewest = 60 * 0.3 + (2400 + 300) * 24 * 4e-4 + 10 * 4
    assert cost.core_hours[0] == pytest.approx(fewest / 3600)


# A hard constraint takes 1.2 calculations of a label and three of a check.
@pytest.mark.parametrize(("engine", "runs"), [("abinit", (12 + 30, 30 + 36)), ("vasp", (60, 137))])
@pytest.mark.parametrize("reference", [True, False])
def test_a_programs_reference_is_one_calculation_at_rest_per_volume(engine, runs, reference):
    cost = estimate(campaign(dft={"engine": engine}, properties={"mode": "static", "reference": reference}))
    assert cost.md_runs == (24, 5 * 24) and cost.md_steps == (2400, 12000) and cost.scf_runs == runs
    seconds = cost.scf_seconds[1]
    for k, (scf, steps, labels) in enumerate(((runs[0], 2400, 10), (runs[1], 12000, 25))):
        expected = (scf + 3 * reference) * seconds + steps * 24 * 4e-4 + labels * 4
        assert cost.core_hours[k] * 3600 == pytest.approx(expected)


@pytest.mark.parametrize(
    ("budget", "labels", "rounds"),
    [
        ({"max_labels": 25}, (10, 25), 5),
        ({"max_labels": 26}, (10, 26), 5),
        ({"max_labels": 27}, (10, 27), 6),
        ({"max_labels": 10}, (10, 10), 1),
        ({"max_iterations": 2}, (10, 18), 2),
        ({"max_iterations": 1}, (10, 14), 1),
    ],
)
def test_rounds_end_with_the_budget(budget, labels, rounds):
    cost = estimate(campaign(budget=SECTIONS["budget"] | budget))
    assert cost.labels == labels
    assert cost.md_runs[1] == rounds * 24 + 18


def test_calculations_end_with_their_budget():
    cost = estimate(campaign(budget=SECTIONS["budget"] | {"max_scf_runs": 65}))
    assert cost.scf_runs == (60, 65)
    assert isinstance(cost, Cost)


@pytest.mark.parametrize(("lattice", "basis"), [("fcc", 4), ("L1_2", 4), ("bcc", 2), ("B2", 2), ("sc", 1)])
def test_atoms_of_a_cell(lattice, basis):
    assert estimate(campaign(system={"structure": lattice})).atoms == 6 * basis
