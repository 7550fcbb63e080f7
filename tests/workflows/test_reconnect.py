"""A worker outlives its database, and never starts one that somebody has stopped."""

from __future__ import annotations

import threading

from played_campaign import played

from mmtp_fw.database import Database, server
from mmtp_fw.errors import DatabaseError
from mmtp_fw.workflows.reconnect import opener, reopened
from mmtp_fw.workflows.submit import submit_campaign
from mmtp_fw.workflows.worker import run_worker


def test_a_worker_waits_for_its_database_and_goes_on(database, tmp_path, caplog):
    submit_campaign(database, played("away"))
    looks = iter(range(1_000_000))
    seen_down = threading.Event()

    def restart():
        seen_down.wait(60)
        server.start()

    again = threading.Thread(target=restart)

    def stop():
        look = next(looks)
        if look == 0:
            server.stop()
            again.start()
        elif not again.is_alive():
            with Database.open() as own:
                return own.actions.find_one({"_id": "away/000/pretrain"})["result"] is not None
        return False

    inner = opener(None)

    def reopen():
        found = inner()
        if not seen_down.is_set():
            assert found is None and not server.status().running, "it isn't started"
            seen_down.set()
        return found

    assert run_worker(database, ["light"], tmp_path, stop=stop, reopen=reopen) >= 1
    again.join()
    assert "the database is away, and waited for" in caplog.text and "the database is back" in caplog.text


def test_who_waits_can_be_stopped():
    looked = []
    assert reopened(lambda: looked.append(1), lambda: bool(looked), DatabaseError("gone")) is None
