"""A person is told of the end, of a stall, of failures and of a machine that can't go on: once, not in a flood."""

from __future__ import annotations

import errno
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from played_campaign import fail, play, played
from pydantic import ValidationError

from mmtp_fw.firetasks import giving_back
from mmtp_fw.firetasks.base import run_action
from mmtp_fw.workflows.health import HEALTH
from mmtp_fw.workflows.mend import mend_all
from mmtp_fw.workflows.notify import PAUSE_SECONDS, notify
from mmtp_fw.workflows.submit import submit_campaign

COMMAND = 'echo "$MMTP_CAMPAIGN|$MMTP_EVENT|$MMTP_MESSAGE" >> told'


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(place):
    path = place / "told"
    return path.read_text().splitlines() if path.exists() else []


def test_the_end_is_told_once(database, place):
    submit_campaign(database, played("told", notify={"command": COMMAND}))
    play(database, "told")
    assert told(place) == ["told|end|campaign told has ended: budget.max_iterations is spent"]


def test_failures_are_told_at_most_once_an_hour(database, place):
    submit_campaign(database, played("told", notify={"command": COMMAND, "events": ["failure"]}))
    play(database, "told", until="label")
    for action in list(database.actions.find({"kind": "label"})):
        fail(database, action["_id"])
    (line,) = told(place)
    assert line.startswith("told|failure|told/000/label/") and "failed in all of its 2 attempts" in line
    assert not notify(database, "told", "failure", "again")
    long_ago = [{"$set": {"notified.failure": {"$subtract": ["$$NOW", 1000 * (PAUSE_SECONDS + 1)]}}}]
    database.campaigns.update_one({}, long_ago)
    assert notify(database, "told", "failure", "quoted \"'$(touch injected)`touch injected`")
    assert told(place)[1] == "told|failure|quoted \"'$(touch injected)`touch injected`"
    assert not (place / "injected").exists(), "a message is no part of the command"


def test_a_stall_is_told_by_who_mends(database, place):
    submit_campaign(database, played("told", notify={"command": COMMAND}))
    assert mend_all(database, 60) == [] and told(place) == []
    database.actions.update_many({}, [{"$set": {"created": {"$subtract": ["$$NOW", 2 * 3600 * 1000]}}}])
    mend_all(database, 60)
    mend_all(database, 60)
    (line,) = told(place)
    assert line.startswith("told|stall|nothing was finished for 2.0 h")


def test_a_machine_that_can_not_go_on_is_told(database, place, monkeypatch):
    class Full:
        def compute(self, context):
            raise OSError(errno.ENOSPC, "No space left on device")

        def store(self, context, payload, session):
            raise AssertionError

    monkeypatch.setattr(giving_back, "NOT_HERE_SECONDS", 0.0)
    submit_campaign(database, played("told", notify={"command": COMMAND}))
    HEALTH.clear()
    for _ in range(3):
        run_action(database, "told/000/pretrain", Full())
    HEALTH.clear()
    (line,) = told(place)
    assert "|fault|" in line and "takes no more light work" in line and "No space left" in line


def test_a_web_address_gets_it_as_json(database, place):
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        submit_campaign(database, played("told", notify={"url": f"http://127.0.0.1:{server.server_port}/x"}))
        assert notify(database, "told", "end", "over")
        thread.join()
    assert got == [{"campaign": "told", "event": "end", "message": "over"}]


def test_a_call_that_fails_stops_nothing(database, place, caplog):
    settings = {"command": "exit 3", "url": "http://127.0.0.1:1/"}
    submit_campaign(database, played("told", notify=settings))
    play(database, "told")
    assert database.campaigns.find_one({})["finished"] is not None
    assert "notify.command failed" in caplog.text and "notify.url failed" in caplog.text


def test_it_is_no_property_of_the_campaign(database, place, call):
    play_to_end = played("told")
    submit_campaign(database, play_to_end)
    play(database, "told")
    ended = database.campaigns.find_one({})["finished"]
    submit_campaign(database, played("told", notify={"command": "true"}))
    submit_campaign(database, play_to_end)
    call("set", "told", "notify.events=[end]")
    document = database.campaigns.find_one({})
    assert document["settings"]["notify"]["command"] == "true" and document["settings"]["notify"]["events"] == ["end"]
    assert document["finished"] == ended, "it stays finished"
    with pytest.raises(ValidationError, match="no address that begins with http"):
        played("told", notify={"url": "file:///etc/passwd"})
