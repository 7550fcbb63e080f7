"""A paused or cancelled campaign starts nothing new, loses nothing, and goes on when it is told to."""

from __future__ import annotations

import json

import pytest
from played_campaign import Broken, fail, play, played
from small_campaign import check_documents

from mmtp_fw.database import Claim, workers
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.base import INTERRUPTED, run_action
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate
from mmtp_fw.report.snapshot import snapshot
from mmtp_fw.workflows.hold import hold, resume
from mmtp_fw.workflows.mend import mend, mend_all
from mmtp_fw.workflows.retry import retry
from mmtp_fw.workflows.submit import submit_campaign
from mmtp_fw.workflows.worker import run_worker

FIRST = "held/000/pretrain"


class Ends:
    """Work that ends with a given payload."""

    def __init__(self, payload, meanwhile=lambda: None) -> None:
        self.payload, self.meanwhile = payload, meanwhile

    def compute(self, context):
        self.meanwhile()
        return self.payload

    def store(self, context, payload, session):
        return payload


@pytest.fixture
def campaign(database, tmp_path, monkeypatch):
    """A database with a submitted campaign named held, and another beside it."""
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, played("held"))
    submit_campaign(database, played("other"))
    return database


def states(database, name="held"):
    found = database.launchpad.fireworks.find({"spec.campaign": name}).sort("fw_id", 1)
    numbers = {firework["fw_id"]: firework["state"] for firework in found}
    for workflow in database.launchpad.workflows.find({"metadata.campaign": name}):
        (number,) = workflow["nodes"]
        assert workflow["state"] == workflow["fw_states"][str(number)] == numbers[number]
    return list(numbers.values())


@pytest.mark.parametrize(
    ("command", "state", "parked"), [("pause", "paused", "PAUSED"), ("cancel", "cancelled", "DEFUSED")]
)
def test_nothing_new_starts_until_it_is_resumed(campaign, call, command, state, parked):
    told = json.loads(call(command, "held", "--why", "the quota", "--json"))
    assert told == {"campaign": "held", "state": state, "running": 0}
    assert states(campaign) == [parked] and states(campaign, "other") == ["READY"]
    assert run_action(campaign, FIRST, Broken()) == "held", "what a queue starts later ends at once"
    assert mend_all(campaign, 0) == [] and mend(campaign, "held", 0)[0] == []
    assert states(campaign) == [parked]
    shown = call("status", "held")
    assert f"{state} at iteration 0" in shown and "the quota: `mmtp resume held` goes on" in " ".join(shown.split())
    assert state in call("status")
    assert f"is {state} since" in call(command, "held", code=2)
    with pytest.raises(InputError, match="`mmtp resume held` goes on"):
        submit_campaign(campaign, played("held"))
    assert "goes on at iteration 0, pretrain" in call("resume", "held")
    assert states(campaign) == ["READY"]
    assert campaign.campaigns.find_one({"_id": "held"})["held"] is None
    assert "neither paused nor cancelled" in call("resume", "held", code=2)
    check_documents(campaign)


def test_what_runs_ends_by_itself_and_its_result_is_kept(campaign):
    pause = Ends({"configurations": ["a", "b"]}, lambda: hold(campaign, "held", "paused"))
    assert run_action(campaign, FIRST, pause) == "done"
    assert campaign.actions.find_one({"_id": FIRST})["result"]["configurations"] == ["a", "b"]
    assert campaign.actions.count_documents({"campaign": "held"}) == 1, "nothing was planned"
    position = resume(campaign, "held")
    assert position.phase == "label"
    labels = {"spec.campaign": "held", "spec.kind": "label", "state": "READY"}
    assert campaign.launchpad.fireworks.count_documents(labels) == 2


def test_what_is_given_back_meanwhile_is_there_again(campaign):
    fireworks = campaign.launchpad.fireworks
    fireworks.update_many({"spec.action": FIRST}, {"$set": {"state": "RUNNING"}})
    stopped = Ends(INTERRUPTED, lambda: hold(campaign, "held", "paused"))
    assert run_action(campaign, FIRST, stopped) == "interrupted"
    fireworks.update_many({"spec.action": FIRST}, {"$set": {"state": "COMPLETED"}})
    assert fireworks.count_documents({"spec.action": FIRST}) == 1, "nothing was added"
    resume(campaign, "held")
    assert fireworks.count_documents({"spec.action": FIRST, "state": "READY"}) == 1


def test_a_paused_campaign_can_be_cancelled_and_a_finished_one_neither(campaign):
    hold(campaign, "held", "paused")
    hold(campaign, "held", "cancelled")
    assert states(campaign) == ["DEFUSED"]
    resume(campaign, "held")
    assert states(campaign) == ["READY"]
    play(campaign, "held")
    assert locate(gather(campaign, "held")).finished
    with pytest.raises(InputError, match="is finished"):
        hold(campaign, "held", "paused")
    with pytest.raises(InputError, match="no campaign 'nothing'"):
        resume(campaign, "nothing")


def test_what_a_person_set_aside_stays_so(campaign):
    number = campaign.launchpad.fireworks.find_one({"spec.action": FIRST})["fw_id"]
    campaign.launchpad.pause_fw(number)
    hold(campaign, "held", "paused")
    resume(campaign, "held")
    assert "PAUSED" in states(campaign)
    (hint,) = [hint for hint in snapshot(campaign, "held")["waiting"]["hints"] if "set aside" in hint]
    assert f"`lpad resume_fws -i {number}`" in hint


def test_workers_of_a_cancelled_campaign_end(campaign, tmp_path):
    hold(campaign, "held", "cancelled")
    hold(campaign, "other", "paused")
    assert run_worker(campaign, directory=tmp_path, campaign_id="held", grace_seconds=0) == 0
    assert workers.alive(campaign) == []


def test_a_retried_action_of_a_paused_campaign_waits(campaign):
    fail(campaign, FIRST)
    hold(campaign, "held", "paused")
    assert retry(campaign, key=FIRST).reopened == (FIRST,)
    assert states(campaign).count("READY") == 0
    resume(campaign, "held")
    assert [due.key for due in locate(gather(campaign, "held")).due] == [FIRST]
    assert "READY" in states(campaign)


def test_status_says_what_waits_and_what_to_type(campaign):
    def told():
        return snapshot(campaign, "held")["waiting"]

    assert told()["fireworks"] == {"READY": 1} and told()["nobody"] == {"light": 1}
    assert "`mmtp worker --category light`" in told()["hints"][0]
    workers.report(campaign, ["md"])
    assert told()["nobody"] == {"light": 1}
    workers.report(campaign, ["md", "light"])
    assert told()["nobody"] == {} and told()["hints"] == []
    workers.report(campaign, [], refuses={"light": "the disk is full"})
    assert told()["nobody"] == {"light": 1}
    workers.report(campaign, [])
    for state, words in (
        ("RESERVED", "lpad detect_unreserved"),
        ("FIZZLED", "mmtp db check"),
        ("DEFUSED", "lpad reignite_fws"),
    ):
        campaign.launchpad.fireworks.update_many({"spec.action": FIRST}, {"$set": {"state": state}})
        assert told()["fireworks"] == {state: 1}
        assert words in told()["hints"][0]
    campaign.launchpad.fireworks.delete_many({"spec.action": FIRST})
    assert told()["fireworks"] == {"none": 1} and "without a Firework" in told()["hints"][0]
    with Claim.take(campaign, FIRST, "somebody:1", 60):
        assert told()["fireworks"] == {} and told()["hints"] == []
    fail(campaign, FIRST)
    assert any("`mmtp retry --campaign held`" in hint for hint in told()["hints"])


def test_a_worker_is_known_until_it_is_silent(campaign):
    workers.report(campaign, ["dft"], "held")
    (found,) = workers.alive(campaign, "dft")
    assert found["campaign"] == "held" and workers.alive(campaign, "md") == []
    long_ago = [{"$set": {"seen": {"$subtract": ["$$NOW", 1000 * (workers.SILENT_SECONDS + 1)]}}}]
    campaign.workers.update_one({}, long_ago)
    assert workers.alive(campaign) == []
    with Claim.take(campaign, FIRST, found["_id"], 60):
        assert len(workers.alive(campaign)) == 1, "it computes"
    workers.report(campaign, ["dft"])
    workers.leave(campaign)
    assert workers.alive(campaign) == []
