"""What a task writes about each end of its action, and how much of it."""

from __future__ import annotations

import os
import socket

import pytest
from small_campaign import small

from mmtp_fw.firetasks.base import INTERRUPTED, _journal, run_action
from mmtp_fw.workflows.submit import submit_campaign

KEY = "ends/000/pretrain"


class Work:
    """Work that ends in a given way."""

    def __init__(self, ends) -> None:
        self.ends, self.stored, self.contexts = ends, [], []

    def compute(self, context):
        self.contexts.append(context)
        if isinstance(self.ends, Exception):
            raise self.ends
        return self.ends

    def store(self, context, payload, session):
        self.stored.append(payload)
        return payload


@pytest.fixture
def submit(database, tmp_path, monkeypatch):
    """Submit a campaign; return its database."""
    monkeypatch.chdir(tmp_path)

    def submitted(**budget):
        budget = {"max_iterations": 1, "max_labels": 10} | budget
        submit_campaign(database, small("ends", properties={"reference": False}, budget=budget))
        return database

    return submitted


def action(database):
    return database.actions.find_one({"_id": KEY})


def fireworks(database, key=KEY):
    return database.launchpad.fireworks.count_documents({"spec.action": key})


def test_a_result_is_a_fact_with_its_time(submit, tmp_path):
    database = submit()
    work = Work({"configurations": ["a", "b"], "note": 3})
    assert run_action(database, KEY, work) == "done"
    found = action(database)
    assert found["result"] == {"outcome": "done", "configurations": ["a", "b"], "note": 3}
    assert found["finished"] >= found["created"]
    (context,) = work.contexts
    assert context.directory == tmp_path and context.campaign.name == "ends" and context.action.key == KEY
    assert database.actions.count_documents({"kind": "label"}) == 2, "and the campaign went on"
    again = Work({"outcome": "failed"})
    assert run_action(database, KEY, again) == "found done" and not again.contexts
    assert action(database)["result"] == found["result"]


def test_the_works_own_outcome_stands(submit):
    database = submit()
    assert run_action(database, KEY, Work({"outcome": "exploded"})) == "done"
    assert action(database)["result"] == {"outcome": "exploded"}


def test_a_journal_that_an_earlier_release_wrote_is_not_computed_again(submit):
    """It held the payload alone, without who computed it."""
    database = submit()
    _journal(database, KEY).save({"configurations": ["a"]})
    work = Work({"outcome": "failed"})
    assert run_action(database, KEY, work) == "done" and not work.contexts
    assert action(database)["result"] == {"outcome": "done", "configurations": ["a"]}


def test_an_interrupted_action_is_offered_again(submit):
    database = submit()
    before = fireworks(database)
    assert run_action(database, KEY, Work(INTERRUPTED)) == "interrupted"
    assert action(database)["result"] is None and not action(database)["errors"]
    assert fireworks(database) == before + 1
    assert database.claims.count_documents({"$expr": {"$gt": ["$lease_until", "$$NOW"]}}) == 0, "the claim is released"


@pytest.mark.parametrize("attempts", [1, 2])
def test_so_many_attempts_and_then_a_failed_fact(submit, attempts):
    database = submit(max_attempts=attempts)
    first = fireworks(database)
    for number in range(attempts):
        assert action(database)["result"] is None
        with pytest.raises(ValueError, match="the end"):
            run_action(database, KEY, Work(ValueError("x" * 9000 + "\nthe end " + "y" * 600)))
        assert fireworks(database) == first + min(number + 1, attempts - 1), "another launch for another attempt"
    found = action(database)
    assert len(found["errors"]) == attempts
    for error in found["errors"]:
        assert error["owner"] == f"{socket.gethostname()}:{os.getpid()}"
        assert len(error["text"]) == 8000 and error["text"].rstrip().endswith("y" * 600), "the end of a long traceback"
    assert found["result"]["outcome"] == "failed"
    assert found["result"]["reason"] == "the end " + "y" * 492
    assert database.actions.count_documents({"kind": "report"}) == 1, "the campaign goes on to its end"
