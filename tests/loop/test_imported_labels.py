"""What the planner makes of labels that were brought in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_planner import SMALL, World, campaign

from mmtp_fw.campaign import Campaign
from mmtp_fw.campaign.start_from import LabelFile, StartSettings
from mmtp_fw.loop import Fact, Facts, Kind, StopReason, locate, plan


def answer(action) -> dict:
    if action.kind == Kind.PRETRAIN:
        return {"outcome": "done", "configurations": [f"p{k}" for k in range(3)]}
    if action.kind == Kind.FIT:
        return {"outcome": "done", "potential": action.iteration + 1, "fit": {"loss": 1.0}}
    if action.kind == Kind.LABEL:
        return {"outcome": "accepted", "scf_runs": 5}
    if action.kind == Kind.MD:
        return {"outcome": "completed"}
    return {"outcome": "done"}


def brought(facts: Facts, iteration: int, *names: str) -> Facts:
    """Return facts with labels that were imported into a round."""
    keys = [facts.key(iteration, Kind.LABEL, name) for name in names]
    new = {key: Fact(key, Kind.LABEL, iteration, "accepted", imported=True) for key in keys}
    return replace(facts, finished={**facts.finished, **new}, planned=facts.planned | set(keys))


def started(**sections) -> Campaign:
    start = StartSettings(labels=[LabelFile(file="a.xyz", digest="d")])
    return Campaign.model_validate(SMALL | {"start_from": start.model_dump()} | sections)


def test_labels_alone_are_fitted_and_explored():
    world = World(started(pretraining={"structures": 0}), lambda a: answer(a) | {"configurations": []})
    world.facts = brought(world.facts, 0, "x", "y")
    facts = world.run().facts
    assert locate(facts).stop is StopReason.CONVERGED
    labels = [key for key, fact in facts.finished.items() if fact.kind == Kind.LABEL]
    assert labels == ["c/000/label/x", "c/000/label/y"], "nothing is computed again"
    (fit,) = (a for _, actions in world.history for a in actions if a.kind == Kind.FIT and not a.params.get("of"))
    assert fit.after == ("c/000/label/x", "c/000/label/y")


def test_nothing_is_generated_unless_it_is_asked_for():
    assert started().pretraining.structures == 3, "SMALL asks for it"
    plain = {name: section for name, section in SMALL.items() if name != "pretraining"}
    start = {"labels": [{"file": "a.xyz", "digest": "d"}]}
    assert Campaign.model_validate(plain | {"start_from": start}).pretraining.structures == 0
    with pytest.raises(ValidationError, match="nothing to fit"):
        campaign(pretraining={"structures": 0})


def test_nothing_is_planned_before_the_files_are_read():
    facts = Facts(started(), awaited=("a.xyz",))
    assert [action.kind for action in plan(facts) if action.kind != Kind.PROPERTY] == []
    assert locate(facts).phase is Kind.PRETRAIN and not locate(facts).finished


def test_imported_labels_cost_no_budget():
    world = World(started(budget={"max_iterations": 4, "max_labels": 3}), answer)
    world.facts = brought(world.facts, 0, *(f"x{k}" for k in range(50)))
    assert locate(world.run().facts).stop is StopReason.LABELS, "the three generated ones spend it"
    only = started(pretraining={"structures": 0}, budget={"max_iterations": 4, "max_labels": 3})
    world = World(only, lambda action: answer(action) | {"configurations": []})
    world.facts = brought(world.facts, 0, *(f"x{k}" for k in range(50)))
    assert locate(world.run().facts).stop is StopReason.CONVERGED


@given(st.integers(0, 6), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_campaign_that_had_ended_goes_on_with_what_is_brought(selected, most):
    """However it ended: at its budget, converged or stalled, the next round fits what came, and it ends again."""

    def play(action):
        given = answer(action)
        if action.kind == Kind.MD:
            return given | {"outcome": "extrapolated" if selected else "completed", "candidates": selected}
        if action.kind == Kind.SELECT:
            return given | {"configurations": [f"s{action.iteration}-{k}" for k in range(selected)]}
        return given

    world = World(campaign(budget={"max_iterations": most, "max_labels": 12}), play)
    before = world.run().facts
    ended = locate(before)
    assert ended.finished
    fits = {key for key in before.finished if "/fit" in key}
    world.facts = brought(before, ended.iteration + 1, "new")
    # As `reopen` does: the report is to be written anew.
    reports = {key for key in world.facts.finished if key.endswith("/report")}
    kept = {key: fact for key, fact in world.facts.finished.items() if key not in reports}
    world.facts = replace(world.facts, finished=kept, planned=world.facts.planned - reports)
    after = world.run().facts
    assert locate(after).finished and locate(after).iteration > ended.iteration
    assert any(key not in fits and f"/{ended.iteration + 1:03d}/fit" in key for key in after.finished)
