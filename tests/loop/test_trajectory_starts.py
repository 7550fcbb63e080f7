"""A trajectory and its continuations: every part has a seed of its own, and the rest of the steps."""

from __future__ import annotations

import pytest

from mmtp_fw.campaign import Campaign
from mmtp_fw.loop import Fact, Facts, Kind
from mmtp_fw.loop.trajectories import MAX_EMPTY_PARTS, chains, parts_of

SETTINGS = {
    "name": "c",
    "system": {"lattice_parameters_A": [3.7, 3.8]},
    "md": {"steps": 100, "replicas": 2, "temperatures_K": [300.0]},
}


def facts(*parts: tuple[str, int], seed: int = 0) -> Facts:
    """Return facts where the first trajectory of round 1 has these (outcome, steps)."""
    campaign = Campaign.model_validate(SETTINGS | {"seed": seed})
    known = Facts(campaign)
    for outcome, steps in parts:
        action = chains(known, 1, 7)[0].due
        fact = Fact(action.key, Kind.MD, 1, outcome, md_steps=steps)
        known = Facts(campaign, {**known.finished, action.key: fact})
    return known


def chain_of(*parts: tuple[str, int], seed: int = 0):
    """Return all actions that the first trajectory has led to."""
    return [chains(facts(*parts[:k], seed=seed), 1, 7)[0].due for k in range(len(parts) + 1)]


def test_every_part_begins_its_random_numbers_anew():
    """With the seed of the first part, flips of moments would repeat those that led there."""
    actions = chain_of(("wall_time", 40), ("interrupted", 30))
    others = [chain.due for chain in chains(facts(), 1, 7)[1:]]
    seeds = [action.params["seed"] for action in [*actions, *others]]
    assert len(seeds) == 3 + 3
    assert len(set(seeds)) == len(seeds)
    assert [action.params["seed"] for action in chain_of(("wall_time", 40), ("interrupted", 30))] == seeds[:3]
    other_campaign = [action.params["seed"] for action in chain_of(("wall_time", 40), ("interrupted", 30), seed=1)]
    assert not set(other_campaign) & set(seeds)


def test_parts_go_on_with_what_is_left():
    first, second, third = chain_of(("wall_time", 40), ("interrupted", 25))
    assert [action.params["steps"] for action in (first, second, third)] == [100, 60, 35]
    assert [action.params.get("continues") for action in (first, second, third)] == [None, first.key, second.key]
    assert [action.after for action in (second, third)] == [(first.key,), (second.key,)]
    assert [action.key for action in (second, third)] == [f"{first.key}-part1", f"{first.key}-part2"]
    for name in ("lattice_parameter_A", "temperature_K", "magnetic_order", "replica", "potential"):
        assert first.params[name] == second.params[name] == third.params[name]


@pytest.mark.parametrize("outcome", ["completed", "extrapolated", "crashed", "nan", "failed"])
def test_other_ends_are_ends(outcome):
    chain = chains(facts((outcome, 40)), 1, 7)[0]
    assert chain.due is None
    assert chain.completed == (outcome == "completed")


def test_a_chain_ends_with_its_last_step_whatever_cut_it_off():
    chain = chains(facts(("wall_time", 60), ("wall_time", 40)), 1, 7)[0]
    assert chain.due is None and not chain.completed
    assert [part.md_steps for part in parts_of([chain])] == [60, 40]


def test_empty_parts_in_a_row_end_it_and_steps_in_between_begin_the_count_anew():
    empty = ("wall_time", 0)
    assert chains(facts(*[empty] * (MAX_EMPTY_PARTS - 1)), 1, 7)[0].due is not None
    assert chains(facts(*[empty] * MAX_EMPTY_PARTS), 1, 7)[0].due is None
    between = [empty] * (MAX_EMPTY_PARTS - 1) + [("wall_time", 1)] + [empty] * (MAX_EMPTY_PARTS - 1)
    assert chains(facts(*between), 1, 7)[0].due is not None
