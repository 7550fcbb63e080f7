"""Ended rounds are summed up: the planner decides from the sum what it decides from all facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played_campaign import played, usual
from small_campaign import small
from test_planner import World, campaign, outcomes
from test_planner import usual as answered

from mmtp_fw.loop import Fact, Facts, Kind, due, locate, plan
from mmtp_fw.loop.closed import Closed
from mmtp_fw.loop.gather import gather, gather_open, keep_closed
from mmtp_fw.loop.planner import walk
from mmtp_fw.workflows import advance, submit_campaign
from mmtp_fw.workflows.change import change_settings
from mmtp_fw.workflows.reopen import reopen


def summed_up(facts: Facts, closed: Closed) -> Facts:
    """Return facts with ended rounds in sum, as the database gives them."""
    closing = {one for fact in facts.of_kind(Kind.FIT) for one in fact.configurations}

    def stays(key: str) -> bool:
        _, iteration, kind, *subject = key.split("/")
        reference = int(iteration) == 0 and kind == Kind.PROPERTY
        label = kind == Kind.LABEL and subject[0] in closing
        return int(iteration) >= closed.rounds or reference or key == closed.fit or label

    return replace(
        facts,
        closed=Closed.from_document(closed.document()),
        finished={key: fact for key, fact in facts.finished.items() if stays(key)},
        planned=frozenset(filter(stays, facts.planned)),
        potentials={key: version for key, version in facts.potentials.items() if stays(key)},
    )


def agrees(facts: Facts) -> None:
    closed, position = walk(facts)
    less = summed_up(facts, closed)
    assert walk(less) == (closed, position)
    assert plan(less) == plan(facts) and due(less) == due(facts)


HOLES = [{"holes": h, "configurations": c} for h, c in ((0, []), (2, ["h0", "h1"]), (1, ["h1", "h2"]))]


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_rounds_summed_up_at_any_time_give_the_same_plan_as_walking_through_them(data):
    made = 0

    def answer(action):
        nonlocal made
        found = data.draw(st.sampled_from(outcomes[action.kind]))
        if action.kind == Kind.FIT and "potential" in found:
            made += 1
            found = {"potential": made, "fit": {"loss": data.draw(st.sampled_from([0.1, 0.2]))}}
            found |= data.draw(st.sampled_from(HOLES))
        if action.kind == Kind.SELECT and found.get("configurations"):
            found = {"configurations": [f"{one}{action.iteration}" for one in found["configurations"]]}
        return found

    sections = {
        "budget": {"max_iterations": 9, "max_labels": data.draw(st.integers(4, 40)), "max_failed_fraction": 1.0},
        "selection": {"clean_rounds": data.draw(st.integers(1, 3))},
        "fit": {"starts": data.draw(st.integers(1, 2))},
    }
    world = World(campaign(**sections), answer, lambda n: data.draw(st.integers(0, n - 1)))
    known = Closed()
    world.advance()
    while world.queue:
        action = world.queue.pop(world.choose(len(world.queue)))
        fact = Fact.from_result(action.key, action.kind, action.iteration, answer(action))
        world.facts = replace(world.facts, finished={**world.facts.finished, action.key: fact})
        # From what was summed up as long ago as ever, or a moment ago.
        closed, position = walk(summed_up(world.facts, known) if known.rounds else world.facts)
        assert (closed, position) == walk(world.facts)
        known = data.draw(st.sampled_from([known, closed]))
        agrees(world.facts)
        world.advance()
    assert locate(world.facts).finished


def test_changed_settings_hold_for_open_rounds_alike():
    world = World(campaign(budget={"max_iterations": 6, "max_labels": 99}), lambda a: answered(a, 9)).run()
    changed = campaign(md={"temperatures_K": [300.0, 500.0]}, budget={"max_iterations": 9, "max_labels": 99})
    report = [key for key in world.facts.finished if key.endswith("/report")]
    facts = replace(
        world.facts,
        campaign=changed,
        finished={key: fact for key, fact in world.facts.finished.items() if key not in report},
        planned=world.facts.planned - set(report),
        earlier=((6, world.facts.campaign),),
    )
    agrees(facts)
    assert locate(facts).iteration == 6


def test_the_sum_of_no_round_is_nothing():
    assert walk(Facts(campaign()))[0] == Closed()
    assert Closed.from_document(Closed().document()) == Closed()
    with pytest.raises(KeyError):
        Closed.from_document({"rounds": 1})


def finish_all(database, name: str, rounds: int, answer=usual) -> None:
    """Write results until the campaign is in that round."""
    while advance(database, name).iteration < rounds:
        for action in list(database.actions.find({"campaign": name, "finished": None, "withdrawn": None})):
            result = dict(answer(action))
            database.actions.update_one({"_id": action["_id"]}, [{"$set": {"result": result, "finished": "$$NOW"}}])


@pytest.fixture
def played_database(database):
    submit_campaign(database, played("closed", budget={"max_iterations": 9, "max_labels": 99, "max_attempts": 2}))
    finish_all(database, "closed", 4)
    return database


def test_a_campaign_keeps_the_sum_and_reads_no_ended_round(played_database):
    stored = played_database.campaigns.find_one({"_id": "closed"})
    assert stored["closed"]["rounds"] == 4
    facts, whole = gather_open(played_database, "closed")[0], gather(played_database, "closed")
    assert facts.closed.rounds == 4 and len(facts.finished) == 1, "the fit of the newest potential alone"
    assert walk(facts) == walk(whole) and plan(facts) == plan(whole)


def test_what_is_taken_back_makes_the_sum_void(played_database):
    def state():
        facts, reopened = gather_open(played_database, "closed")
        assert walk(facts) == walk(gather(played_database, "closed"))
        return facts.closed.rounds, reopened

    assert state() == (4, 0)
    change_settings(played_database, "closed", ["budget.max_labels=120"])
    assert state() == (0, 1)
    advance(played_database, "closed")
    assert state() == (4, 1)
    reopen(played_database, "closed", why="test")
    assert state() == (0, 2)


def test_a_sum_that_was_read_before_something_was_taken_back_is_not_kept(played_database):
    facts, reopened = gather_open(played_database, "closed")
    reopen(played_database, "closed", why="test")
    keep_closed(played_database, facts, walk(facts)[0], reopened)
    assert played_database.campaigns.find_one({"_id": "closed"})["closed"] is None


def test_settings_that_an_earlier_version_changed_make_the_sum_void(played_database):
    """It writes the history, and knows of no sum."""
    advance(played_database, "closed")
    facts, reopened = gather_open(played_database, "closed")
    assert facts.closed.rounds
    campaign = facts.campaign.document()
    change = {"from_iteration": 2, "before": campaign, "changed": []}
    played_database.campaigns.update_one({"_id": "closed"}, {"$push": {"history": change}})
    assert gather_open(played_database, "closed")[0].closed == Closed()
    played_database.campaigns.update_one({"_id": "closed"}, {"$set": {"closed": None}})
    keep_closed(played_database, facts, facts.closed, reopened)
    assert played_database.campaigns.find_one({"_id": "closed"})["closed"] is None, "read before the change"


def test_a_label_of_an_ended_round_that_is_open_again_is_seen_without_the_sum_being_void(played_database):
    """An earlier version took it back, and left the campaign's document alone."""
    label = played_database.actions.find_one({"campaign": "closed", "kind": "label", "iteration": 1})
    played_database.actions.update_one({"_id": label["_id"]}, {"$set": {"result": None, "finished": None}})
    position = advance(played_database, "closed")
    assert [action.key for action in position.due] == [label["_id"]]


def test_a_new_campaign_has_no_sum(database):
    submit_campaign(database, small("fresh"))
    assert gather_open(database, "fresh")[0].closed == Closed()
