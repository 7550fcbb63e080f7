"""A machine's fault is not the action's: nothing is counted, nothing is lost, and others do the work."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess

import pytest
from played_campaign import Broken, play, played
from pymongo.errors import (
    AutoReconnect,
    DocumentTooLarge,
    DuplicateKeyError,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from mmtp_fw.database import workers
from mmtp_fw.errors import EngineError, InputError, LeaseLostError, MachineError
from mmtp_fw.firetasks import giving_back
from mmtp_fw.firetasks.base import _journal, run_action
from mmtp_fw.firetasks.faults import Kind, fault_of
from mmtp_fw.workflows.health import HEALTH
from mmtp_fw.workflows.submit import submit_campaign
from mmtp_fw.workflows.worker import run_worker

KEY = "faults/000/pretrain"
ME = f"{socket.gethostname()}:{os.getpid()}"


@pytest.fixture(autouse=True)
def healthy():
    HEALTH.clear()
    yield
    HEALTH.clear()


@pytest.fixture
def campaign(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(giving_back, "NOT_HERE_SECONDS", 0.0)
    submit_campaign(database, played("faults"))
    return database


class Raises:
    """Work that raises in one of its halves."""

    def __init__(self, error, late=False) -> None:
        self.error, self.late, self.computed = error, late, 0

    def compute(self, context):
        self.computed += 1
        if not self.late:
            raise self.error
        return {"configurations": ["a"]}

    def store(self, context, payload, session):
        if self.late:
            raise self.error
        return payload


def caused(error: Exception, by: BaseException) -> Exception:
    error.__cause__ = by
    return error


def missing_program() -> OSError:
    try:
        subprocess.run(["no-such-program-anywhere"], check=False)
    except OSError as error:
        return error
    raise AssertionError


MACHINE = [
    *(OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE)),
    PermissionError(errno.EACCES, "Permission denied"),
    ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    MemoryError(),
    missing_program(),
    MachineError("'abinit' can't be started"),
    EngineError("vasp ended with 24: forrtl: No space left on device"),
    caused(InputError("no file"), OSError(errno.ENOSPC, "No space left on device")),
]
SERVER = [
    AutoReconnect("connection closed"),
    ServerSelectionTimeoutError("no primary"),
    OperationFailure("Cache Reader No keys found for HMAC", 211),
    OperationFailure("interrupted at shutdown", 11600),
    OperationFailure("aborted", 251, {"errorLabels": ["TransientTransactionError"]}),
]
WORK = [
    ValueError("a wrong number"),
    FileNotFoundError(errno.ENOENT, "No such file", "OUTCAR"),
    EngineError("the SCF does not converge"),
    DuplicateKeyError("E11000"),
    DocumentTooLarge("17 MB"),
    OperationFailure("unknown operator", 2),
    LeaseLostError("taken over"),
]


@pytest.mark.parametrize("error", MACHINE, ids=repr)
def test_the_machines_faults(error, tmp_path):
    fault = fault_of(error, tmp_path)
    assert fault.kind == Kind.MACHINE and type(error.__cause__ or error).__name__ in fault.text


@pytest.mark.parametrize("error", SERVER, ids=repr)
def test_the_servers_faults(error, tmp_path):
    assert fault_of(error, tmp_path).kind == Kind.DATABASE


@pytest.mark.parametrize("error", WORK, ids=repr)
def test_the_works_own_faults(error, tmp_path):
    assert fault_of(error, tmp_path) is None and list(tmp_path.iterdir()) == []


def test_a_directory_in_which_nothing_can_be_written_is_the_machines(tmp_path):
    """As under a file size limit, which programs seldom report."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        fault = fault_of(ValueError("no energy in the output"), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert fault.kind == Kind.MACHINE and "File too large" in fault.text and "no energy" in fault.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [MACHINE[0], SERVER[0]], ids=repr)
def test_no_attempt_is_counted_and_the_action_is_offered_again(campaign, error):
    ready = campaign.launchpad.fireworks.count_documents({"spec.action": KEY})
    for times in range(1, 5):
        assert run_action(campaign, KEY, Raises(error)) == "machine fault"
        action = campaign.actions.find_one({"_id": KEY})
        assert action["errors"] == [] and action["result"] is None
        assert len(action["machine_faults"]) == times
    fault = action["machine_faults"][-1]
    assert fault["owner"] == ME and type(error).__name__ in fault["text"] and fault["when"]
    assert action["attempts"][-1]["exit"] == "machine fault"
    assert campaign.launchpad.fireworks.count_documents({"spec.action": KEY}) == ready + 4
    assert (list(HEALTH.refuses) == ["light"]) == (error is MACHINE[0]), "a database is no machine's"


def test_what_was_computed_is_written_by_the_next_attempt(campaign):
    late = Raises(OperationFailure("Cache Reader No keys found", 211), late=True)
    assert run_action(campaign, KEY, late) == "machine fault"
    assert _journal(campaign, KEY).load() is not None
    late.late, late.error = False, AssertionError("it is not computed again")
    assert run_action(campaign, KEY, late) == "done" and late.computed == 1
    assert campaign.actions.find_one({"_id": KEY})["result"]["configurations"] == ["a"]


def test_a_worker_that_saw_it_twice_takes_no_more_and_says_so(campaign, tmp_path, monkeypatch, caplog):
    from mmtp_fw.firetasks.tasks import PretrainTask

    full = Raises(OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(PretrainTask, "work", full)
    with pytest.raises(MachineError, match="this machine can do no more work: OSError"):
        run_worker(campaign, ["light"], tmp_path, grace_seconds=0)
    assert full.computed == 2 and "takes no more light work" in caplog.text
    assert campaign.actions.find_one({"_id": KEY})["result"] is None
    ready = {"spec.action": KEY, "state": "READY"}
    assert campaign.launchpad.fireworks.count_documents(ready) == 1, "for another worker"


def test_a_success_in_between_is_a_new_beginning(campaign):
    full = Raises(MACHINE[0])
    run_action(campaign, KEY, full)
    HEALTH.done("light")
    run_action(campaign, KEY, full)
    assert HEALTH.refuses == {}


def test_the_last_attempt_is_left_to_another_worker_where_there_is_one(campaign):
    with pytest.raises(ValueError, match="can't"):
        run_action(campaign, KEY, Broken())
    campaign.workers.insert_one({"_id": "elsewhere:7", "categories": ["md"], "campaign": None, "refuses": {}})
    now = [{"$set": {"seen": "$$NOW", "started": "$$NOW"}}]
    campaign.workers.update_one({}, now)
    workers.report(campaign, [])
    assert workers.alive(campaign, "light")[0]["_id"] == ME
    campaign.workers.update_one({"_id": "elsewhere:7"}, {"$set": {"categories": ["light"]}})
    for _ in range(giving_back.MOST_LEFT):
        assert run_action(campaign, KEY, Broken()) == "left to another"
    assert len(campaign.actions.find_one({"_id": KEY})["errors"]) == 1
    with pytest.raises(ValueError, match="can't"):
        run_action(campaign, KEY, Broken())
    assert campaign.actions.find_one({"_id": KEY})["result"]["outcome"] == "failed", "nobody has come for it"


def test_another_workers_verdict_is_the_second(campaign):
    campaign.actions.update_one({"_id": KEY}, {"$push": {"errors": {"owner": "elsewhere:7", "text": "no"}}})
    workers.report(campaign, [])
    campaign.workers.insert_one({"_id": "third:7", "categories": [], "campaign": None, "refuses": {}})
    campaign.workers.update_many({}, [{"$set": {"seen": "$$NOW", "started": "$$NOW"}}])
    with pytest.raises(ValueError, match="can't"):
        run_action(campaign, KEY, Broken())
    assert campaign.actions.find_one({"_id": KEY})["result"]["outcome"] == "failed"
    assert play(campaign, "faults") is None
