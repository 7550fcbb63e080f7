"""Claims against the real server: one winner, no zombie, no renewal from the dead."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest
from pymongo.errors import AutoReconnect

from mmtp_fw.database import Claim, Database, process
from mmtp_fw.database.claims import release_dead
from mmtp_fw.errors import LeaseLostError

KEYS = [f"race/{number}" for number in range(60)]


def _contend(owner, start, queue):
    with Database.open() as database:
        start.wait()
        queue.put([(key, claim.fence) for key in KEYS if (claim := Claim.take(database, key, owner, 60.0))])


def test_each_key_has_one_winner_of_eight(database):
    context = multiprocessing.get_context("spawn")
    queue, start = context.Queue(), context.Barrier(8)
    workers = [context.Process(target=_contend, args=(f"w{n}", start, queue)) for n in range(8)]
    for worker in workers:
        worker.start()
    won = [pair for _ in workers for pair in queue.get(timeout=120)]
    for worker in workers:
        worker.join()
    assert sorted(key for key, _ in won) == sorted(KEYS)
    assert {fence for _, fence in won} == {1}


def test_a_running_lease_is_respected_and_a_released_one_is_free(database):
    first = Claim.take(database, "k", "a", 60.0)
    assert Claim.take(database, "k", "b", 60.0) is None
    first.release()
    second = Claim.take(database, "k", "b", 60.0)
    assert second.fence == first.fence + 1
    first.release()  # no longer its own to end
    assert Claim.take(database, "k", "c", 60.0) is None


def test_a_zombie_writes_nothing(database):
    zombie = Claim.take(database, "k", "a", 0.05)
    time.sleep(0.1)
    successor = Claim.take(database, "k", "b", 60.0)
    successor.commit(lambda session: database.db.facts.insert_one({"_id": "k", "by": "b"}, session=session))

    def overwrite(session):
        database.db.facts.replace_one({"_id": "k"}, {"by": "a"}, session=session)

    with pytest.raises(LeaseLostError):
        zombie.commit(overwrite)
    assert zombie.lost
    assert not zombie.renew()
    assert database.db.facts.find_one({"_id": "k"})["by"] == "b"


def test_a_failed_write_leaves_nothing(database):
    claim = Claim.take(database, "k", "a", 60.0)

    def half(session):
        database.db.facts.insert_one({"_id": 1}, session=session)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        claim.commit(half)
    assert database.db.facts.count_documents({}) == 0


def test_the_lease_is_renewed_while_in_context_and_over_after(database):
    with Claim.take(database, "k", "a", 0.6) as claim:
        time.sleep(1.5)
        assert not claim.lost
        assert Claim.take(database, "k", "b", 60.0) is None
    assert Claim.take(database, "k", "b", 60.0) is not None


def test_renewal_survives_failures_of_the_connection(database, monkeypatch):
    claim = Claim.take(database, "k", "a", 3.0)
    renew, calls = claim.renew, []

    def shaky():
        calls.append(time.monotonic())
        if len(calls) <= 3:
            raise AutoReconnect("connection reset")
        return renew()

    monkeypatch.setattr(claim, "renew", shaky)
    with claim:
        time.sleep(3.5)
        assert len(calls) > 3
        assert not claim.lost


def test_a_claim_that_hangs_in_renewal_counts_as_lost(database, monkeypatch):
    claim = Claim.take(database, "k", "a", 0.3)
    monkeypatch.setattr(claim, "renew", lambda: time.sleep(1.0))  # a server that neither answers nor ends
    with claim:
        time.sleep(0.5)
        assert claim.lost


def _hold(key, taken):
    with Database.open() as database:
        Claim.take(database, key, "killed", 600.0)
        taken.set()
        time.sleep(600)


def test_the_claim_of_a_killed_process_of_this_machine_is_free_at_once(database):
    context = multiprocessing.get_context("spawn")
    taken = context.Event()
    holder = context.Process(target=_hold, args=("k", taken))
    holder.start()
    assert taken.wait(60)
    mine = Claim.take(database, "mine", "us", 600.0)
    assert release_dead(database) == [], "both are alive"
    os.kill(holder.pid, 9)
    while process.started(holder.pid) is not None:  # as long as nobody has asked for its end, it is a zombie
        time.sleep(0.01)
    assert release_dead(database) == ["k"]
    assert Claim.take(database, "k", "next", 600.0) is not None
    assert mine.renew() and Claim.take(database, "mine", "next", 600.0) is None


@pytest.mark.parametrize("changed", [{"process.machine": "another/pid:[1]"}, {"process": None}])
def test_claims_of_other_machines_run_out_by_themselves(database, changed):
    Claim.take(database, "k", "elsewhere", 600.0)
    database.claims.update_one({"_id": "k"}, {"$set": {"process.pid": 2**22 + 1}})
    database.claims.update_one({"_id": "k"}, {"$set": changed})
    assert release_dead(database) == []
    assert Claim.take(database, "k", "us", 600.0) is None


def test_a_process_number_that_is_used_again_is_another_process(database):
    Claim.take(database, "k", "us", 600.0)
    database.claims.update_one({"_id": "k"}, {"$inc": {"process.started": -1}})
    assert release_dead(database) == ["k"]
