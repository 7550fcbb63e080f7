from __future__ import annotations

from mmtp_fw.campaign import Campaign
from mmtp_fw.loop.cost import estimate


def test_the_range_is_from_one_round_to_the_budget():
    cost = estimate(Campaign(name="c"))
    assert cost.atoms == 32
    assert cost.labels == (24, 104)
    for low, high in (cost.labels, cost.scf_runs, cost.md_steps, cost.md_runs, cost.core_hours):
        assert 0 < low < high


def test_the_budget_bounds_it():
    campaign = Campaign.model_validate({"name": "c", "budget": {"max_labels": 30, "max_scf_runs": 40}})
    cost = estimate(campaign)
    assert cost.labels[1] == 30
    assert cost.scf_runs == (40, 40)
