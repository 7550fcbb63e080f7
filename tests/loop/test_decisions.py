"""The planner's decisions at their limits, and every parameter that an action hands to its task."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mmtp_fw.campaign import Campaign
from mmtp_fw.loop import Action, Fact, Facts, Kind, StopReason, due, locate, plan
from mmtp_fw.loop.facts import Category, seed_of
from mmtp_fw.loop.fits import best_of
from mmtp_fw.loop.stop import EXPLANATIONS, budget_stop
from mmtp_fw.loop.trajectories import chains, parts_of
from tests.loop.test_planner import World, campaign, changed, end, usual


def actions_of(world: World, kind: Kind) -> list[Action]:
    return [action for _, actions in world.history for action in actions if action.kind == kind]


def labels(*outcomes: str, iteration: int = 0, scf_runs: int = 0) -> dict[str, Fact]:
    """Return finished labels of a round."""
    made = {}
    for number, outcome in enumerate(outcomes):
        key = f"c/{iteration:03d}/label/x{number}"
        made[key] = Fact(key, Kind.LABEL, iteration, outcome, scf_runs=scf_runs)
    return made


# Facts and actions --------------------------------------------------------------------------------------------


def test_a_fact_keeps_what_the_planner_needs():
    result = {
        "outcome": "accepted",
        "configurations": ["a", "b"],
        "potential": 4,
        "candidates": 3,
        "scf_runs": 7,
        "md_steps": 90,
        "fit": {"loss": 0.25},
        "message": "left out",
    }
    fact = Fact.from_result("c/001/fit", "fit", 1, result)
    assert fact == Fact("c/001/fit", Kind.FIT, 1, "accepted", ("a", "b"), 4, 3, 7, 90, 0.25)
    nothing = Fact.from_result("c/000/md/a", "md", 0, {})
    assert nothing == Fact("c/000/md/a", Kind.MD, 0, "done", (), None, 0, 0, 0, math.inf)
    assert Fact("k", Kind.FIT, 0) == Fact("k", Kind.FIT, 0, "done", (), None, 0, 0, 0, math.inf)
    assert not nothing.failed and Fact("k", Kind.MD, 0, "failed").failed and not Fact("k", Kind.MD, 0, "nan").failed


def test_keys_name_campaign_round_kind_and_subject():
    facts = Facts(campaign())
    assert facts.key(7, Kind.MD, "a3.7") == "c/007/md/a3.7"
    assert facts.key(123, Kind.SELECT) == "c/123/select"
    action = facts.action(2, Kind.LABEL, "p0", {"configuration": "p0"}, ("c/001/select",))
    assert (action.key, action.iteration, action.after) == ("c/002/label/p0", 2, ("c/001/select",))
    assert action.params == {"configuration": "p0"}
    assert facts.action(0, Kind.FIT, priority=3).priority == 3


def test_workers_pull_what_others_wait_for_first():
    facts = Facts(campaign())
    categories = {kind: facts.action(0, kind).category for kind in Kind}
    assert categories == {
        Kind.PRETRAIN: Category.LIGHT,
        Kind.LABEL: Category.DFT,
        Kind.FIT: Category.FIT,
        Kind.MD: Category.MD,
        Kind.SELECT: Category.LIGHT,
        Kind.PROPERTY: Category.MD,
        Kind.REPORT: Category.LIGHT,
    }
    assert [category.value for category in Category] == ["md", "dft", "fit", "light"]
    first = {facts.action(0, kind).priority for kind in (Kind.PRETRAIN, Kind.FIT, Kind.SELECT, Kind.REPORT)}
    rest = [facts.action(0, kind).priority for kind in (Kind.LABEL, Kind.MD, Kind.PROPERTY)]
    world, _ = end(usual, fit={"ensemble": 2})
    member = next(a for a in actions_of(world, Kind.FIT) if a.params["role"] == "member")
    reference = next(a for a in actions_of(world, Kind.PROPERTY) if a.params["source"] == "reference")
    own = next(a for a in actions_of(world, Kind.PROPERTY) if a.params["source"] == "mmtp")
    assert len(first) == 1 and own.priority == rest[-1]
    order = [first.pop(), *rest, member.priority, reference.priority]
    assert order == sorted(set(order), reverse=True) and order[-1] > 0


def test_seeds_depend_on_the_campaigns_seed_and_the_action_alone():
    one, two = campaign(), Campaign.model_validate(campaign().document() | {"name": "other"})
    keys = [f"/00{k}/md/a{a}" for k in range(3) for a in range(20)]
    seeds = [seed_of(one, "c" + key) for key in keys]
    assert seeds == [seed_of(two, "other" + key) for key in keys], "the name is no part of it"
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**30 and min(seeds) < 2**28
    assert set(seeds).isdisjoint(seed_of(campaign(seed=1), "c" + key) for key in keys)
    # Labels are found again by what seeds made: they must not change from version to version.
    assert seed_of(one, "c/000/pretrain") == 1063111863


def test_finished_actions_of_a_kind_come_by_key():
    facts = Facts(campaign(), labels("accepted", "failed") | {"a/fit": Fact("a/fit", Kind.FIT, 0)})
    backwards = replace(facts, finished=dict(reversed(list(facts.finished.items()))))
    assert [fact.key for fact in backwards.of_kind(Kind.LABEL)] == ["c/000/label/x0", "c/000/label/x1"]


# Budgets ------------------------------------------------------------------------------------------------------


def bounded(**budget) -> Campaign:
    limits = {"max_iterations": 99, "max_labels": 99, "max_scf_runs": 999} | budget
    return campaign(budget=limits)


@pytest.mark.parametrize(
    ("budget", "found", "iteration", "reason"),
    [
        ({"max_failed_fraction": 0.5}, ["failed"] * 5 + ["accepted"] * 5, 0, None),
        ({"max_failed_fraction": 0.5}, ["failed"] * 6 + ["accepted"] * 4, 0, StopReason.FAILURES),
        ({"max_failed_fraction": 0.5}, ["rejected"] * 6 + ["accepted"] * 4, 0, StopReason.FAILURES),
        ({"max_failed_fraction": 0.5}, ["failed"] * 9, 0, None),
        ({"max_failed_fraction": 0.5}, ["failed"] * 10, 0, StopReason.FAILURES),
        ({"max_failed_fraction": 1.0}, ["failed"] * 10, 0, None),
        ({"max_failed_fraction": 0.0}, ["accepted"] * 10, 0, None),
        ({"max_failed_fraction": 0.0}, ["accepted"] * 10 + ["failed"], 0, StopReason.FAILURES),
        ({"max_iterations": 3}, ["accepted"], 2, None),
        ({"max_iterations": 3}, ["accepted"], 3, StopReason.ITERATIONS),
        ({"max_iterations": 3}, ["accepted"], 4, StopReason.ITERATIONS),
        ({"max_labels": 5}, ["accepted"] * 4, 0, None),
        ({"max_labels": 5}, ["accepted"] * 3 + ["failed"] * 2, 0, StopReason.LABELS),
        ({"max_labels": 5}, ["accepted"] * 6, 0, StopReason.LABELS),
        ({"max_scf_runs": 13}, ["accepted"] * 4, 0, None),
        ({"max_scf_runs": 12}, ["accepted"] * 3 + ["failed"], 0, StopReason.SCF_RUNS),
        ({"max_scf_runs": 11}, ["accepted"] * 4, 0, StopReason.SCF_RUNS),
        ({"max_failed_fraction": 0.0, "max_iterations": 1}, ["failed"] * 10, 1, StopReason.FAILURES),
        ({"max_iterations": 1, "max_labels": 3}, ["accepted"] * 3, 1, StopReason.ITERATIONS),
        ({"max_labels": 3, "max_scf_runs": 1}, ["accepted"] * 3, 0, StopReason.LABELS),
    ],
)
def test_a_budget_ends_where_it_is_spent(budget, found, iteration, reason):
    facts = Facts(bounded(**budget), labels(*found, scf_runs=3))
    assert budget_stop(facts, iteration) == reason


def test_a_refused_target_costs_nothing():
    """Neither labels nor the fraction of failures: what was never computed tells nothing of the engine."""
    refused = {key: replace(fact, refused=True) for key, fact in labels(*["rejected"] * 12, iteration=1).items()}
    facts = Facts(bounded(max_labels=5, max_failed_fraction=0.2), labels(*["accepted"] * 4) | refused)
    assert budget_stop(facts, 1) is None
    assert facts.spent_until(1).labels == 4
    spent = Facts(bounded(max_labels=5), labels(*["accepted"] * 4) | labels("rejected", iteration=1))
    assert budget_stop(spent, 1) == StopReason.LABELS, "one that was computed counts"
    assert Fact.from_result("k", "label", 1, {"outcome": "rejected", "refused": True}).refused
    assert not Fact.from_result("k", "label", 1, {"outcome": "rejected"}).refused, "older facts decide as they did"


def test_refused_targets_leave_the_budget_to_others_and_end_by_stalling():
    def answer(action):
        if action.kind == Kind.LABEL and action.iteration:
            return {"outcome": "rejected", "refused": True, "scf_runs": 0}
        if action.kind == Kind.MD:
            return {"outcome": "extrapolated", "md_steps": 10, "candidates": 3}
        return usual(action, 9)

    world, position = end(
        answer, budget={"max_iterations": 9, "max_labels": 5, "max_stalled_iterations": 3},
        selection={"max_per_iteration": 2},
    )  # fmt: skip
    assert position.stop == StopReason.STALLED
    assert [select.params["max_count"] for select in actions_of(world, Kind.SELECT)] == [2, 2, 2]


def test_labels_of_later_rounds_decide_nothing_about_earlier_ones():
    early, late = labels("accepted", "accepted"), labels("accepted", iteration=2, scf_runs=50)
    facts = Facts(bounded(max_labels=3), early | late)
    assert facts.spent_until(1).labels == len(early) and facts.spent_until(0).scf_runs < 50
    assert facts.spent_until(2).labels == len(early) + len(late) == facts.spent_until(7).labels
    assert budget_stop(facts, 1) is None and budget_stop(facts, 2) == StopReason.LABELS


def test_reasons_are_stored_and_explained():
    assert {reason.name: reason.value for reason in StopReason} == {
        "CONVERGED": "converged",
        "ITERATIONS": "max_iterations",
        "LABELS": "max_labels",
        "SCF_RUNS": "max_scf_runs",
        "FAILURES": "too_many_failed_labels",
        "STALLED": "no_new_labels",
        "MD_BROKEN": "md_ends_early_without_candidates",
        "NO_LABELS": "no_label_accepted",
        "PRETRAIN_FAILED": "pretraining_failed",
        "FIT_FAILED": "fit_failed",
        "SELECTION_FAILED": "selection_failed",
        "HOLES": "holes",
    }
    assert set(EXPLANATIONS) == set(StopReason)
    named = {StopReason.ITERATIONS: "max_iterations", StopReason.LABELS: "max_labels"}
    named |= {StopReason.SCF_RUNS: "max_scf_runs", StopReason.FAILURES: "max_failed_fraction"}
    named |= dict.fromkeys((StopReason.STALLED, StopReason.MD_BROKEN), "max_stalled_iterations")
    for reason, setting in named.items():
        assert f"budget.{setting}" in EXPLANATIONS[reason], "the setting that ended it is named"


# Rounds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [1, 2, 3])
def test_so_many_rounds_without_a_label_are_waited_for(allowed):
    answer = changed(Kind.LABEL, lambda action: action.iteration > 1, outcome="rejected")
    forever = {"max_iterations": 30, "max_labels": 99, "max_failed_fraction": 1.0, "max_stalled_iterations": allowed}

    def always(action):
        return answer(action) if action.kind == Kind.LABEL else usual(action, 10**6)

    _, position = end(always, budget=forever)
    assert position.stop == StopReason.STALLED
    assert (position.iteration, position.potential) == (1 + allowed, 2)


def test_one_new_label_ends_the_waiting():
    def answer(action):
        if action.kind == Kind.LABEL and action.iteration in (1, 3, 5, 6):
            return {"outcome": "rejected"}
        return usual(action, 10**6)

    limits = {"max_iterations": 30, "max_labels": 99, "max_failed_fraction": 1.0, "max_stalled_iterations": 2}
    _, position = end(answer, budget=limits)
    assert (position.stop, position.iteration) == (StopReason.STALLED, 6)
    assert position.potential == 5, "of round 4, the last with a new label"


def test_trajectories_of_a_round_are_every_combination():
    md = {"temperatures_K": [300, 600.5], "magnetic_orders": ["random", "ferromagnetic"], "replicas": 2, "steps": 70}
    facts = Facts(campaign(md=md))
    found = [chain.due for chain in chains(facts, 3, 8)]
    names = [
        f"c/003/md/a{a}-T{t}-{order}-{replica}"
        for a in ("3.7", "3.8")
        for t in ("300", "600.5")
        for order in ("random", "ferromagnetic")
        for replica in (0, 1)
    ]
    assert [action.key for action in found] == names
    assert found[3].params == {
        "lattice_parameter_A": 3.7,
        "temperature_K": 300.0,
        "magnetic_order": "ferromagnetic",
        "replica": 1,
        "potential": 8,
        "seed": seed_of(facts.campaign, names[3]),
        "steps": 70,
    }
    assert not any(chain.completed for chain in chains(facts, 3, 8))


def parted(*outcomes: tuple[str, int], steps: int = 100):
    """Return the only chain of a round whose parts ended in these ways after so many steps."""
    system = {"lattice_parameters_A": [3.7]}
    facts = Facts(campaign(system=system, md={"steps": steps}))
    for outcome, done in outcomes:
        (chain,) = chains(facts, 0, 1)
        assert chain.due is not None, "another part is due"
        fact = Fact(chain.due.key, Kind.MD, 0, outcome, md_steps=done)
        facts = replace(facts, finished={**facts.finished, fact.key: fact})
    return chains(facts, 0, 1)[0]


def test_a_continued_trajectory_has_another_seed():
    seeds = [parted(*[("wall_time", 10)] * k).due.params["seed"] for k in range(5)]
    assert len(set(seeds)) == 5, "flips of moments must not begin their random numbers anew"


def test_parts_follow_one_another():
    chain = parted(("wall_time", 30), ("interrupted", 20))
    first = "c/000/md/a3.7-T300-ferromagnetic-0"
    assert chain.due.key == f"{first}-part2"
    assert chain.due.after == (f"{first}-part1",)
    wanted = {"steps": 50, "continues": f"{first}-part1", "part": 2, "potential": 1, "lattice_parameter_A": 3.7}
    assert wanted.items() <= chain.due.params.items()
    assert [part.key for part in parts_of([chain])] == [first, f"{first}-part1"]


@pytest.mark.parametrize(
    ("parts", "open_", "completed"),
    [
        ([("completed", 100)], False, True),
        ([("wall_time", 40), ("completed", 60)], False, True),
        ([("extrapolated", 40)], False, False),
        ([("wall_time", 99)], True, False),
        ([("interrupted", 1)], True, False),
        ([("wall_time", 100)], False, False),
        ([("wall_time", 0), ("wall_time", 0)], True, False),
        ([("wall_time", 0), ("wall_time", 0), ("wall_time", 0)], False, False),
        ([("wall_time", 0), ("interrupted", 0), ("wall_time", 1), ("wall_time", 0), ("wall_time", 0)], True, False),
        ([("wall_time", 0), ("wall_time", 0), ("wall_time", 1), *[("wall_time", 0)] * 3], False, False),
        ([("nan", 0)], False, False),
        ([("failed", 0)], False, False),
    ],
)
def test_when_a_trajectory_has_ended(parts, open_, completed):
    chain = parted(*parts)
    assert (chain.due is not None) == open_
    assert chain.completed == completed
    assert len(chain.parts) == len(parts)


def test_each_step_knows_what_made_it_due():
    world, position = end(usual, fit={"ensemble": 2})
    by_round = {a.iteration: a for a in actions_of(world, Kind.FIT) if a.params["role"] == "version"}
    for iteration, fit in by_round.items():
        wanted = [a for a in actions_of(world, Kind.LABEL) if a.iteration == iteration]
        assert fit.after == tuple(a.key for a in wanted)
        assert fit.params == {"parent": iteration or None, "role": "version"}
        source = f"c/{iteration - 1:03d}/select" if iteration else "c/000/pretrain"
        assert {a.after for a in wanted} == {(source,)}
        assert all(a.params == {"configuration": a.key.rsplit("/", 1)[1]} for a in wanted)
    for select in actions_of(world, Kind.SELECT):
        runs = [a.key for a in actions_of(world, Kind.MD) if a.iteration == select.iteration]
        assert select.after == tuple(runs)
        assert select.params["potential"] == select.iteration + 1
    (member,) = [a for a in actions_of(world, Kind.FIT) if a.params["role"] == "member"]
    assert member.params == {"parent": 3, "role": "member", "of": 3} and member.iteration == 2
    (report,) = actions_of(world, Kind.REPORT)
    assert report.params == {"stop": "converged", "potential": 3} and report.iteration == 2
    properties = actions_of(world, Kind.PROPERTY)
    assert set(report.after) == {a.key for a in properties} | {member.key}
    assert (position.iteration, position.due) == (2, ())


def test_a_selection_takes_parts_along_and_asks_for_no_more_than_is_left():
    def answer(action):
        if action.kind == Kind.MD and action.iteration == 0 and "part" not in action.params:
            return {"outcome": "wall_time", "md_steps": 10, "candidates": 1}
        return usual(action, 1)

    world, _ = end(answer, budget={"max_iterations": 9, "max_labels": 5}, selection={"max_per_iteration": 4})
    select = actions_of(world, Kind.SELECT)[0]
    assert [key.endswith("-part1") for key in select.after] == [False, True, False, True]
    assert select.params["max_count"] == 2
    world, _ = end(answer, budget={"max_labels": 99}, selection={"max_per_iteration": 4})
    assert actions_of(world, Kind.SELECT)[0].params["max_count"] == 4


def test_properties_and_references():
    world, _ = end(usual, seed=5)
    found = {a.key: a for a in actions_of(world, Kind.PROPERTY)}
    settings = world.facts.campaign
    for a in ("3.7", "3.8", "3.85"):
        mine, its = found[f"c/002/property/mmtp-a{a}"], found[f"c/000/property/reference-a{a}"]
        assert mine.params == {
            "source": "mmtp",
            "lattice_parameter_A": float(a),
            "potential": 3,
            "seed": seed_of(settings, f"property/mmtp-a{a}"),
        }
        assert its.params == {
            "source": "reference",
            "lattice_parameter_A": float(a),
            "potential": None,
            "seed": seed_of(settings, f"property/reference-a{a}"),
        }
        assert mine.category == its.category == Category.MD
    assert len(found) == 6


def test_the_models_own_averages_start_at_once_and_a_programs_when_all_is_learnt():
    model = [action.key for action in plan(Facts(campaign()))]
    assert model == ["c/000/pretrain", *(f"c/000/property/reference-a{a}" for a in ("3.7", "3.8", "3.85"))]
    program = campaign(dft={"engine": "vasp"}, properties={"mode": "static"})
    assert [action.key for action in plan(Facts(program))] == ["c/000/pretrain"]
    alone = campaign(properties={"reference": False})
    assert [action.key for action in plan(Facts(alone))] == ["c/000/pretrain"]
    reference = "c/000/property/reference-a3.7"
    done = Facts(campaign(), {reference: Fact(reference, Kind.PROPERTY, 0)})
    assert reference not in [action.key for action in due(done)]
    known = Facts(campaign(), planned=frozenset({"c/000/pretrain"}))
    assert "c/000/pretrain" in [action.key for action in due(known)]
    assert "c/000/pretrain" not in [action.key for action in plan(known)]


def test_the_position_tells_round_phase_and_potential():
    start = locate(Facts(campaign()))
    assert (start.iteration, start.phase, start.potential, start.stop) == (0, Kind.PRETRAIN, None, None)
    world = World(campaign(), usual).run()
    seen = {(locate(facts).iteration, locate(facts).phase): locate(facts) for facts, _ in world.history}
    for iteration in (0, 1, 2):
        assert seen[iteration, Kind.LABEL].potential == (iteration or None)
        assert seen[iteration, Kind.FIT].potential == (iteration or None)
        assert seen[iteration, Kind.MD].potential == iteration + 1
    assert seen[1, Kind.SELECT].potential == 2
    assert (seen[2, Kind.PROPERTY].potential, seen[2, Kind.PROPERTY].stop) == (3, StopReason.CONVERGED)
    assert not any(position.finished for (_, phase), position in seen.items() if phase != Kind.REPORT)
    assert not seen[0, Kind.LABEL].finished and seen[2, Kind.REPORT].finished
    fit = seen[1, Kind.FIT].due
    assert [action.key for action in fit] == ["c/001/fit"]


def test_the_best_of_equal_fits_is_the_first():
    def fit(potential, loss, outcome="done"):
        return Fact(f"k{potential}", Kind.FIT, 0, outcome, potential=potential, loss=loss)

    assert best_of([fit(1, 2.0), fit(2, 1.0), fit(3, 1.0)]).potential == 2
    assert best_of([fit(1, math.inf), fit(2, math.inf)]).potential == 1
    assert best_of([fit(1, 0.1, "failed"), fit(2, 5.0)]).potential == 2
    assert best_of([fit(None, 0.1), fit(2, 5.0)]).potential == 2
    assert best_of([fit(1, 0.1, "failed")]) is None and best_of([]) is None


def test_random_starts_are_of_the_first_fit_only():
    world, _ = end(usual, fit={"starts": 2, "ensemble": 1})
    fits = [action.key for action in actions_of(world, Kind.FIT)]
    assert fits == ["c/000/fit/start-0", "c/000/fit/start-1", "c/001/fit", "c/002/fit"]
    world, _ = end(usual, fit={"ensemble": 1})
    assert [action.key for action in actions_of(world, Kind.FIT)] == ["c/000/fit", "c/001/fit", "c/002/fit"]
