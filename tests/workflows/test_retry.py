"""What failed in all its attempts is tried again, and nothing that is known of it is lost."""

from __future__ import annotations

import json

import pytest
from played_campaign import Broken, fail, play, played, usual
from small_campaign import check_documents

from mmtp_fw.database import Claim
from mmtp_fw.errors import InputError, LeaseLostError
from mmtp_fw.firetasks.base import run_action
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate
from mmtp_fw.workflows.mend import mend
from mmtp_fw.workflows.retry import retry
from mmtp_fw.workflows.submit import submit_campaign

FIRST, REPORT = "retry/000/pretrain", "retry/000/report"


@pytest.fixture
def campaign(database, tmp_path, monkeypatch):
    """A database with a submitted campaign named retry."""
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, played("retry"))
    return database


def action(database, key):
    return database.actions.find_one({"_id": key})


def stop_of(database):
    document = database.campaigns.find_one({"_id": "retry"})
    assert (document["finished"] is None) == (document["stop"] is None)
    return document["stop"]


def test_a_campaign_that_ended_because_of_it_goes_on_to_another_end(campaign, call):
    fail(campaign, FIRST)
    play(campaign, "retry")
    assert stop_of(campaign) == "pretraining_failed"

    assert json.loads(call("retry", FIRST, "--json")) == {"reopened": [FIRST], "refused": {}}
    found = action(campaign, FIRST)
    assert found["result"] is None and found["errors"] == [] and found["withdrawn"] is None
    (before,) = found["reopened"]
    assert before["result"]["outcome"] == "failed" and len(before["errors"]) == 2
    assert before["user"] and before["when"] and before["finished"]
    ready = {"spec.action": FIRST, "state": "READY"}
    assert campaign.launchpad.fireworks.count_documents(ready) >= 1, "a worker finds it"
    assert stop_of(campaign) is None

    play(campaign, "retry")
    assert stop_of(campaign) == "max_iterations" and locate(gather(campaign, "retry")).finished
    kept = action(campaign, REPORT)
    assert kept["reopened"][0]["result"]["summary"]["stop"] == "pretraining_failed"
    check_documents(campaign)


def test_the_round_of_a_failed_fit_has_another_end(campaign):
    """What its old potential had averaged stays under its own key; nothing is taken for the new one's."""
    play(campaign, "retry", until="select")
    play(campaign, "retry", lambda found: {"outcome": "failed"} if found["kind"] == "fit" else usual(found))
    assert stop_of(campaign) == "fit_failed"
    averages = {row["_id"]: row["params"]["potential"] for row in campaign.actions.find({"kind": "property"})}
    assert set(averages.values()) == {1} and all("/001/" in key for key in averages)

    assert retry(campaign, campaign_id="retry").reopened == ("retry/001/fit",)
    play(campaign, "retry", clean)
    assert stop_of(campaign) == "max_iterations"
    again = {row["_id"]: row["params"]["potential"] for row in campaign.actions.find({"kind": "property"})}
    assert averages.items() <= again.items() and len(again) == 2 * len(averages)
    assert {again[key] for key in set(again) - set(averages)} == {2}
    assert action(campaign, "retry/001/report")["params"]["stop"] == "fit_failed"


def clean(found):
    """Return a result with which no trajectory selects anything."""
    return {"outcome": "completed", "candidates": 0, "md_steps": 20} if found["kind"] == "md" else usual(found)


def test_the_same_round_ends_twice_with_two_potentials(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, played("retry", selection={"clean_rounds": 1}))
    play(database, "retry", until="select")
    play(database, "retry", lambda found: {"outcome": "failed"} if found["kind"] == "fit" else usual(found))
    assert retry(database, key="retry/001/fit").reopened == ("retry/001/fit",)
    play(database, "retry", clean)
    assert stop_of(database) == "converged"
    averages = {row["_id"]: row["params"]["potential"] for row in database.actions.find({"kind": "property"})}
    assert averages["retry/001/property/mmtp-a3.72"] == 1
    assert averages["retry/001/property/mmtp-a3.72-again1"] == 2
    report = action(database, "retry/001/report")
    assert report["params"] == {"stop": "converged", "potential": 2}
    assert report["reopened"][0]["result"]["summary"]["stop"] == "fit_failed"


def test_by_reason_and_only_what_failed(campaign):
    play(campaign, "retry", until="label")
    labels = [found["_id"] for found in campaign.actions.find({"kind": "label"}).sort("_id", 1)]
    fail(campaign, labels[0], "No Space left")
    fail(campaign, labels[1], "something else")
    assert retry(campaign, reason="no space").reopened == (labels[0],)
    assert action(campaign, labels[1])["result"]["outcome"] == "failed"
    for wrong, words in (
        ({"key": FIRST}, "has not failed: done"),
        ({"key": labels[0]}, "still to be done"),
        ({"key": "retry/7"}, "no action 'retry/7'"),
        ({}, "give a KEY"),
        ({"reason": "("}, "under these conditions"),
    ):
        with pytest.raises(InputError, match=words.replace("(", r"\(")):
            retry(campaign, **wrong)


def test_a_late_label_is_tried_again_and_a_round_that_has_gone_on_is_not(campaign, call):
    late = play(campaign, "retry", until="label")
    fail(campaign, late)
    run = play(campaign, "retry", until="md")
    fail(campaign, run)
    play(campaign, "retry", until="fit")
    assert "the campaign has gone on without it: select of round 0" in call("retry", run, code=2)
    assert action(campaign, run)["result"]["outcome"] == "failed"
    before = locate(gather(campaign, "retry"))
    out = call("retry", "--campaign", "retry")
    assert f"tried again: {late}" in out and f"stays failed: {run}" in out
    assert [due.key for due in locate(gather(campaign, "retry")).due] == [late]
    play(campaign, "retry", until="fit")
    assert locate(gather(campaign, "retry")) == before, "the walk through the rounds is the same"


def test_a_withdrawn_report_is_left_alone_until_it_is_wanted(campaign):
    fail(campaign, FIRST)
    late = Claim.take(campaign, REPORT, "a slow worker", 60)
    retry(campaign, key=FIRST)
    with pytest.raises(LeaseLostError):
        late.commit(lambda session: None)
    assert run_action(campaign, REPORT, Broken()) == "withdrawn"
    assert mend(campaign, "retry", 0)[0] == []
    fail(campaign, FIRST)
    found = action(campaign, REPORT)
    assert found["withdrawn"] is None and found["params"]["stop"] == "pretraining_failed"
    play(campaign, "retry")
    assert stop_of(campaign) == "pretraining_failed" and len(action(campaign, FIRST)["reopened"]) == 1


def test_an_extended_campaign_finishes_again(campaign):
    play(campaign, "retry", clean)
    before = campaign.campaigns.find_one({"_id": "retry"})
    assert before["stop"] == "converged"
    submit_campaign(campaign, played("retry", budget={"max_iterations": 3, "max_labels": 10, "max_attempts": 2}))
    assert stop_of(campaign) is None
    play(campaign, "retry", clean)
    after = campaign.campaigns.find_one({"_id": "retry"})
    assert after["finished"] > before["finished"] and after["stop"] == "converged"
