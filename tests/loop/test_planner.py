from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmtp_fw.campaign import Campaign
from mmtp_fw.loop import Action, Fact, Facts, Kind, StopReason, due, locate, plan

SMALL = {
    "name": "c",
    "system": {"lattice_parameters_A": [3.7, 3.8], "held_out_lattice_parameters_A": [3.85]},
    "pretraining": {"structures": 3},
    "budget": {"max_iterations": 4, "max_labels": 12},
    "selection": {"clean_rounds": 1},
}


def campaign(**sections) -> Campaign:
    return Campaign.model_validate(SMALL | sections)


class World:
    """Plays a campaign: answers actions by a rule, in the order that `choose` wants."""

    def __init__(self, settings: Campaign, answer, choose=lambda n: 0) -> None:
        self.facts = Facts(settings)
        self.answer, self.choose = answer, choose
        self.queue: list[Action] = []
        self.history: list[tuple[Facts, list[Action]]] = []

    def advance(self) -> None:
        actions = plan(self.facts)
        self.history.append((self.facts, actions))
        assert len({action.key for action in actions}) == len(actions)
        assert not {action.key for action in actions} & self.facts.planned
        self.queue += actions
        self.facts = replace(self.facts, planned=self.facts.planned | {action.key for action in actions})
        assert plan(self.facts) == [], "planning twice adds nothing"

    def run(self, limit: int = 2000) -> World:
        self.advance()
        for _ in range(limit):
            if not self.queue:
                return self
            action = self.queue.pop(self.choose(len(self.queue)) % len(self.queue))
            fact = Fact.from_result(action.key, action.kind, action.iteration, self.answer(action))
            self.facts = replace(self.facts, finished={**self.facts.finished, action.key: fact})
            self.advance()
        raise AssertionError("the campaign doesn't end")

    def count(self, kind: Kind) -> int:
        return sum(1 for _ in self.facts.of_kind(kind))


def usual(action: Action, rounds: int = 2) -> dict:
    """Everything works; the trajectories of the first `rounds` rounds find candidates."""
    match action.kind:
        case Kind.PRETRAIN:
            return {"configurations": ["p0", "p1", "p2"]}
        case Kind.LABEL:
            return {"outcome": "accepted", "scf_runs": 4}
        case Kind.FIT:
            return {"potential": action.iteration + 1}
        case Kind.MD:
            more = action.iteration < rounds
            return {"outcome": "extrapolated" if more else "completed", "candidates": 3 * more}
        case Kind.SELECT:
            return {"configurations": [f"s{action.iteration}-{i}" for i in range(2)]}
    return {}


def changed(kind: Kind, when=lambda action: True, **result):
    return lambda action: {**usual(action), **result} if action.kind == kind and when(action) else usual(action)


def end(answer, **sections):
    world = World(campaign(**sections), answer).run()
    position = locate(world.facts)
    assert position.finished
    return world, position


def test_a_plain_campaign_converges():
    world, position = end(usual)
    assert position.stop == StopReason.CONVERGED
    assert position.iteration == 2 and position.potential == 3
    assert world.count(Kind.LABEL) == 3 + 2 + 2
    assert world.count(Kind.MD) == 3 * 2
    assert world.count(Kind.PROPERTY) == 2 * 3, "mMTP and reference, held-out volume included"
    assert world.count(Kind.REPORT) == 1


def test_several_clean_rounds_in_a_row_with_seeds_of_their_own():
    world, position = end(usual, selection={"clean_rounds": 3}, budget={"max_iterations": 9})
    assert position.stop == StopReason.CONVERGED
    assert position.iteration == 4 and position.potential == 3, "two more rounds, and no new potential"
    runs = [action for _, actions in world.history for action in actions if action.kind == Kind.MD]
    assert len({run.params["seed"] for run in runs}) == len(runs) == 2 * 5
    assert world.count(Kind.LABEL) == 3 + 2 + 2


def test_a_round_that_is_not_clean_begins_the_count_anew():
    def answer(action):
        if action.kind == Kind.MD and action.iteration == 3:  # a seed finds what those of round 2 did not
            return {"outcome": "extrapolated", "candidates": 3}
        return usual(action)

    world, position = end(answer, selection={"clean_rounds": 2}, budget={"max_iterations": 9})
    assert position.stop == StopReason.CONVERGED and position.iteration == 5 and position.potential == 5
    assert world.count(Kind.MD) == 2 * 6


def test_clean_rounds_are_no_stalled_rounds_and_count_against_the_budget():
    _, position = end(usual, selection={"clean_rounds": 4}, budget={"max_iterations": 9, "max_stalled_iterations": 1})
    assert position.stop == StopReason.CONVERGED and position.iteration == 5
    assert end(usual, selection={"clean_rounds": 4})[1].stop == StopReason.ITERATIONS


def holed(until: int, closing=True, outcome="accepted"):
    """Potentials up to a round have a hole; a label would close it, if `closing`."""

    def answer(action):
        if action.kind == Kind.FIT and action.iteration <= until:
            return usual(action) | {"holes": 1, "configurations": [f"h{action.iteration}"] if closing else []}
        if action.kind == Kind.LABEL and action.params["configuration"][0] == "h":
            return {"outcome": outcome, "scf_runs": 4}
        return usual(action)

    return answer


def test_what_closes_a_hole_is_labelled_once_beside_what_md_selects():
    world, position = end(holed(2), budget={"max_iterations": 9, "max_labels": 99})
    assert position.stop == StopReason.CONVERGED and position.potential == 4
    labels = {a.params["configuration"]: a for _, actions in world.history for a in actions if a.kind == Kind.LABEL}
    assert [labels[f"h{k}"].iteration for k in range(3)] == [1, 2, 3]
    assert labels["h0"].after == ("c/000/fit",) and labels["s0-0"].after == ("c/000/select",)


def test_a_potential_with_a_hole_within_reach_has_not_converged():
    refused = end(holed(99, closing=False), budget={"max_iterations": 9, "max_labels": 99})[1]
    assert refused.stop == StopReason.HOLES and refused.potential == 3
    rejected = end(holed(2, outcome="rejected"), budget={"max_iterations": 9, "max_labels": 99})[1]
    assert rejected.stop == StopReason.HOLES and rejected.potential == 3


def test_closing_holes_costs_no_more_labels_than_there_are():
    world, position = end(holed(99), budget={"max_iterations": 9, "max_labels": 6})
    assert position.stop == StopReason.LABELS
    assert world.count(Kind.LABEL) == 6


def test_md_uses_the_newest_potential_and_held_out_volumes_are_never_explored():
    world, _ = end(usual)
    actions = [action for _, actions in world.history for action in actions]
    for action in actions:
        if action.kind == Kind.MD:
            assert action.params["potential"] == action.iteration + 1
            assert action.params["lattice_parameter_A"] != 3.85
    seeds = [action.params["seed"] for action in actions if action.kind == Kind.MD]
    assert len(set(seeds)) == len(seeds)


def test_one_bad_configuration_stops_nothing():
    world, position = end(changed(Kind.LABEL, lambda a: a.params["configuration"] == "p1", outcome="failed"))
    assert position.stop == StopReason.CONVERGED
    assert world.count(Kind.FIT) == 3 + 4, "one per round and four more members of the ensemble"


def test_random_starts_are_fireworks_of_their_own_and_the_best_goes_on():
    def answer(action):
        if action.kind == Kind.FIT and action.iteration == 0:
            k = int(action.key[-1])
            return {"potential": 10 + k, "fit": {"loss": [3.0, 1.0, 2.0][k]}} if k else {"outcome": "failed"}
        return usual(action)

    world, _ = end(answer, fit={"starts": 3, "ensemble": 1})
    fits = [action for _, actions in world.history for action in actions if action.kind == Kind.FIT]
    assert [fit.key for fit in fits[:3]] == [f"c/000/fit/start-{k}" for k in range(3)]
    assert fits[3].params["parent"] == 11, "the smallest loss of those that did not fail"
    assert len(fits) == 3 + 2


def test_members_of_the_ensemble_share_the_last_version_and_never_drive_md():
    world, position = end(usual, fit={"ensemble": 3})
    actions = [action for _, actions in world.history for action in actions]
    members = [action for action in actions if action.params.get("role") == "member"]
    assert [member.key for member in members] == ["c/002/fit/member-1", "c/002/fit/member-2"]
    assert {member.params[name] for member in members for name in ("of", "parent")} == {position.potential}
    report = next(action for action in actions if action.kind == Kind.REPORT)
    assert {member.key for member in members} <= set(report.after)


def test_a_dft_engine_is_compared_at_rest_and_by_its_own_workers():
    world, _ = end(usual, dft={"engine": "abinit"}, properties={"mode": "static"})
    actions = [a for _, actions in world.history for a in actions if a.kind == Kind.PROPERTY]
    categories = {a.params["source"]: a.category.value for a in actions}
    assert categories == {"reference": "dft", "mmtp": "md"}
    with pytest.raises(ValidationError, match="mode: static"):
        campaign(dft={"engine": "abinit"}, properties={"mode": "thermal"})
    assert campaign(dft={"engine": "abinit"}).properties.mode == "static", "what DFT can afford, unless said otherwise"
    assert campaign(dft={"engine": "vasp"}, properties={"reference": False}).properties.mode == "thermal"


def test_a_trajectory_cut_off_by_its_wall_time_goes_on_where_it_stopped():
    def answer(action):
        if action.kind == Kind.MD and action.iteration == 2 and action.params["lattice_parameter_A"] == 3.7:
            done = min(400, action.params["steps"])
            left = action.params["steps"] - done
            return {"outcome": "wall_time" if left else "completed", "md_steps": done, "md_run": 1}
        return usual(action)

    world, position = end(answer)
    assert position.stop == StopReason.CONVERGED
    parts = [a for _, actions in world.history for a in actions if a.kind == Kind.MD and "part" in a.params]
    first = "c/002/md/a3.7-T300-ferromagnetic-0"
    assert [(a.key, a.params["steps"], a.params["continues"]) for a in parts] == [
        (f"{first}-part1", 600, first),
        (f"{first}-part2", 200, f"{first}-part1"),
    ]
    assert all(part.params["potential"] == position.potential for part in parts)


def test_a_trajectory_that_never_moves_is_given_up():
    answer = changed(Kind.MD, lambda a: a.iteration >= 1, outcome="wall_time", candidates=0)
    world, position = end(answer)
    assert position.stop == StopReason.MD_BROKEN
    assert sum(fact.iteration == 1 for fact in world.facts.of_kind(Kind.MD)) == 2 * 3, "two volumes, three parts"


def test_no_accepted_label_ends_with_a_report_and_no_properties():
    answer = changed(Kind.LABEL, outcome="rejected")
    world, position = end(answer)
    assert position.stop == StopReason.NO_LABELS
    assert world.count(Kind.REPORT) == 1
    assert not [fact for fact in world.facts.of_kind(Kind.PROPERTY) if "mmtp" in fact.key]


def test_rejected_selections_stall():
    answer = changed(Kind.LABEL, lambda action: action.iteration > 0, outcome="rejected")
    _, position = end(answer)
    assert position.stop == StopReason.STALLED
    assert position.potential == 1


def test_md_that_breaks_without_candidates_has_an_end():
    world, position = end(changed(Kind.MD, outcome="exploded", candidates=0))
    assert position.stop == StopReason.MD_BROKEN
    assert world.count(Kind.SELECT) == 0
    assert world.count(Kind.PROPERTY) == 6


def test_md_that_could_not_be_run_has_an_end():
    _, position = end(changed(Kind.MD, outcome="failed", candidates=0))
    assert position.stop == StopReason.MD_BROKEN


def test_candidates_of_which_none_is_selected_converge_only_if_all_md_completed():
    def answer(action):
        if action.kind == Kind.MD:
            return {"outcome": "completed", "candidates": 2}
        return {"configurations": []} if action.kind == Kind.SELECT else usual(action)

    assert end(answer)[1].stop == StopReason.CONVERGED

    def broken(action):
        return {"outcome": "lost_atoms", "candidates": 2} if action.kind == Kind.MD else answer(action)

    assert end(broken)[1].stop == StopReason.MD_BROKEN


def test_failed_stages_end_the_campaign_with_the_last_potential():
    assert end(changed(Kind.PRETRAIN, outcome="failed"))[1].stop == StopReason.PRETRAIN_FAILED
    assert end(changed(Kind.FIT, outcome="failed", potential=None))[1].stop == StopReason.FIT_FAILED
    later = end(changed(Kind.FIT, lambda action: action.iteration == 1, outcome="failed", potential=None))[1]
    assert later.stop == StopReason.FIT_FAILED and later.potential == 1
    assert end(changed(Kind.SELECT, outcome="failed"))[1].stop == StopReason.SELECTION_FAILED
    assert end(changed(Kind.PROPERTY, outcome="failed"))[1].stop == StopReason.CONVERGED


def for_ever(action):
    return usual(action, rounds=10**6)


def test_budgets():
    assert end(for_ever, budget={"max_iterations": 2, "max_labels": 100})[1].stop == StopReason.ITERATIONS
    world, position = end(for_ever, budget={"max_iterations": 99, "max_labels": 6})
    assert position.stop == StopReason.LABELS
    selections = [a for _, actions in world.history for a in actions if a.kind == Kind.SELECT]
    assert [action.params["max_count"] for action in selections] == [3, 1]
    assert end(for_ever, budget={"max_iterations": 99, "max_scf_runs": 20})[1].stop == StopReason.SCF_RUNS
    bad = changed(Kind.LABEL, lambda action: action.params["configuration"] != "p0", outcome="rejected")
    structures = {"pretraining": {"structures": 12}}

    def many(action):
        return {"configurations": [f"p{i}" for i in range(12)]} if action.kind == Kind.PRETRAIN else bad(action)

    assert end(many, **structures, budget={"max_labels": 99})[1].stop == StopReason.FAILURES


def test_replay_over_a_finished_campaign_decides_the_same():
    for answer in (usual, for_ever, changed(Kind.MD, outcome="exploded", candidates=0)):
        world, _ = end(answer)
        final = world.facts.finished
        for facts, decided in world.history:
            again = replace(facts, finished={key: final[key] for key in facts.finished})
            assert plan(again) == decided
        assert due(world.facts) == []


outcomes = {
    Kind.PRETRAIN: [{"configurations": ["p0", "p1", "p2"]}, {"outcome": "failed"}],
    Kind.LABEL: [{"outcome": o, "scf_runs": 3} for o in ("accepted", "accepted", "rejected", "failed")],
    Kind.FIT: [{"potential": 7}, {"potential": 8}, {"outcome": "failed"}],
    Kind.MD: [
        {"outcome": o, "candidates": n}
        for o in ("completed", "extrapolated", "nan", "failed", "wall_time", "moments_at_bound")
        for n in (0, 2)
    ],
    Kind.SELECT: [{"configurations": ["x", "y"]}, {"configurations": []}, {"outcome": "failed"}],
    Kind.PROPERTY: [{}, {"outcome": "failed"}],
    Kind.REPORT: [{}, {"outcome": "failed"}],
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_outcomes_in_any_order_end(data):
    def answer(action):
        return data.draw(st.sampled_from(outcomes[action.kind]))

    world = World(campaign(), answer, lambda n: data.draw(st.integers(0, n - 1))).run()
    assert locate(world.facts).finished
    assert world.count(Kind.REPORT) == 1
    assert world.count(Kind.LABEL) <= 12


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_finishing_does_not_matter(random):
    expected, _ = end(usual)
    world = World(campaign(), usual, lambda n: random.randrange(n)).run()
    assert world.facts.planned == expected.facts.planned
    assert world.facts.finished == expected.facts.finished
