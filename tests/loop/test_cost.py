from __future__ import annotations

import pytest

from mmtp_fw.campaign import Campaign
from mmtp_fw.dft import describe, engine_names
from mmtp_fw.firetasks.start import starting_cell
from mmtp_fw.loop.cost import estimate, work_of


def test_the_range_is_from_one_round_to_the_budget():
    cost = estimate(Campaign(name="c"))
    assert cost.atoms == 32
    assert cost.labels == (24, 104)
    for low, high in (cost.labels, cost.scf_runs, cost.md_steps, cost.md_runs, cost.core_hours):
        assert 0 < low < high


@pytest.mark.parametrize(
    ("structure", "atoms"), [("fcc", 32), ("L1_2", 32), ("bcc", 16), ("B2", 16), ("sc", 8), ("B1", 64)]
)
def test_cells_have_as_many_atoms_as_their_lattice(structure, atoms):
    campaign = Campaign.model_validate({"name": "c", "system": {"structure": structure, "supercell": [2, 2, 2]}})
    assert estimate(campaign).atoms == atoms
    assert len(starting_cell(campaign, 3.0, "ferromagnetic", 0)) == atoms


def test_every_engine_has_its_own_costs():
    # Of 24 labels twelve are checked, the first ten and every tenth; a reference at rest is one more at every volume.
    runs = {"soft": 24 * 5 + 12, "hard": round(24 * 1.2 + 12 * 3)}

    def seconds(name: str) -> float:
        engine = describe(name)
        at_rest = {"mode": "static", "reference": not engine.lacks}
        weights = {f"{quantity}_weight": 0 for quantity in engine.lacks}
        sections = {"dft": {"engine": name}, "properties": at_rest, "fit": weights}
        hours = estimate(Campaign.model_validate({"name": "c"} | sections)).core_hours[0]
        each = engine.costs.seconds(work_of(Campaign.model_validate({"name": "c"} | sections)))
        return hours * 3600 - (runs[engine.constraints[0]] + 5 * at_rest["reference"]) * each

    for name in engine_names():
        assert seconds(name) == pytest.approx(seconds("hamiltonian")), name


def test_properties_at_rest_take_no_steps():
    def cost(mode: str):
        return estimate(Campaign.model_validate({"name": "c", "properties": {"mode": mode, "replicas": 2}}))

    thermal, static = cost("thermal"), cost("static")
    assert thermal.md_runs[0] - static.md_runs[0] == 2 * 5 * 2, "of the potential and of the engine"
    assert thermal.md_steps[0] - static.md_steps[0] == 2 * 5 * 2 * 2000


def test_the_budget_bounds_it():
    campaign = Campaign.model_validate({"name": "c", "budget": {"max_labels": 30, "max_scf_runs": 40}})
    cost = estimate(campaign)
    assert cost.labels[1] == 30
    assert cost.scf_runs == (40, 40)
