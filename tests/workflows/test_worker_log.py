"""What workers do is in the log: why they start and end, what is mended, retried, given back and taken over."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from small_campaign import small

from mmtp_fw.database import Claim
from mmtp_fw.database.process import owner_name
from mmtp_fw.firetasks import tasks
from mmtp_fw.firetasks.base import run_action
from mmtp_fw.loop.reconcile import Damage
from mmtp_fw.workflows.mend import mend
from mmtp_fw.workflows.submit import submit_campaign
from mmtp_fw.workflows.worker import Stop, run_worker

KEY = "logged/000/pretrain"


@pytest.fixture
def campaign(database, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("logged"))
    caplog.set_level("INFO", "mmtp_fw")
    return database


def about(caplog, part):
    """Return the records whose message has `part`."""
    return [record for record in caplog.records if part in record.getMessage()]


class Failing:
    """Work that raises."""

    def compute(self, context):
        raise ValueError("this can't work")

    def store(self, context, payload, session):
        raise AssertionError


class Interrupted:
    """Work that was asked to end."""

    def compute(self, context):
        return None

    def store(self, context, payload, session):
        raise AssertionError


def test_what_is_planned_begun_and_done(campaign, caplog):
    submit_campaign(campaign, small("another"))
    planned = {record.action for record in about(caplog, "planned")}
    assert planned == {action["_id"] for action in campaign.actions.find({"campaign": "another"})}
    caplog.clear()
    assert run_action(campaign, KEY, tasks.PretrainTask.work) == "done"
    for record in [*about(caplog, "begun"), *about(caplog, "done")]:
        assert (record.campaign, record.action, record.worker) == ("logged", KEY, owner_name())
    assert [record.getMessage() for record in caplog.records][:2] == ["begun", "done"]
    run_action(campaign, KEY, tasks.PretrainTask.work)
    assert about(caplog, "its fact is there already")


def test_what_is_mended(campaign, caplog):
    campaign.launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    mend(campaign, "logged", 0.0)
    (record,) = about(caplog, "mended")
    assert Damage.STALE_LOCK.value in record.getMessage() and record.damage == "STALE_LOCK"
    assert record.levelname == "WARNING" and record.campaign == "logged"


def test_what_is_tried_again_and_given_up(campaign, caplog):
    most = small("logged").budget.max_attempts
    for _ in range(most):
        with pytest.raises(ValueError, match="can't work"):
            run_action(campaign, KEY, Failing())
    assert len(about(caplog, "tried again: ValueError: this can't work")) == most - 1
    (record,) = about(caplog, f"failed in all of its {most} attempts")
    assert record.levelname == "ERROR" and record.action == KEY


def test_what_is_given_back(campaign, caplog):
    assert run_action(campaign, KEY, Interrupted()) == "interrupted"
    (record,) = about(caplog, "given back, for this worker was asked to end")
    assert record.action == KEY


def test_which_claims_are_taken_over(campaign, caplog):
    Claim.take(campaign, KEY, "silent:1", 0.01)
    time.sleep(0.05)
    taken = Claim.take(campaign, KEY, "us:2", 60.0)
    (record,) = about(caplog, f"claim on {KEY} taken over from silent:1")
    assert record.levelname == "WARNING"
    taken.release()
    Claim.take(campaign, KEY, "next:3", 60.0)
    assert len(about(caplog, "taken over")) == 1, "a claim that was released is not taken over"


def test_the_renewing_thread_knows_what_it_is_about(campaign, caplog):
    class Robbed:
        def compute(self, context):
            context.database.claims.update_one({"_id": context.action.key}, {"$inc": {"fence": 1}})
            while not context.should_stop():
                time.sleep(0.02)

        def store(self, context, payload, session):
            raise AssertionError

    campaign.campaigns.update_one({}, {"$set": {"settings.workers.lease_seconds": 0.6}})
    run_action(campaign, KEY, Robbed())
    (record,) = about(caplog, "is lost: another worker has taken it over")
    assert (record.campaign, record.action) == ("logged", KEY)


def test_why_a_worker_starts_and_ends(campaign, tmp_path, caplog):
    looks = iter(range(100))
    run_worker(campaign, ["light"], tmp_path, stop=lambda: next(looks) > 0)
    (start,) = about(caplog, "worker starts")
    assert "for light work" in start.getMessage() and start.worker == owner_name()
    (end,) = about(caplog, "worker ends")
    assert "it was asked to" in end.getMessage()
    stop = Stop(parent=1 << 22)
    caplog.clear()
    run_worker(campaign, ["light"], tmp_path, stop=stop)
    assert "the process that started it is gone" in about(caplog, "worker ends")[0].getMessage()


def test_a_worker_writes_json_on_request_and_nothing_of_it_to_standard_output(campaign, tmp_path, server_home):
    command = [sys.executable, "-c", "from mmtp_fw.cli import main; main()"]
    command += ["--log-json", "--log-level", "info", "worker", "--category", "light"]
    worker = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    records = []
    for line in worker.stderr:
        records.append(json.loads(line))
        if records[-1]["message"] == "done":
            worker.send_signal(signal.SIGTERM)
        if records[-1]["message"].startswith("worker ends"):
            break
    out, _ = worker.communicate(timeout=60)
    said = {record["message"] for record in records if record["action"] == KEY}
    assert {"begun", "done"} <= said
    assert records[-1]["message"].endswith("SIGTERM")
    assert len({record["worker"] for record in records}) == 1
    assert "begun" not in out and "worker ends" not in out
