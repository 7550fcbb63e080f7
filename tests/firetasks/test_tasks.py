"""Each task on its real part, and each of them twice."""

from __future__ import annotations

import pytest
from small_campaign import check_finished, small

from mmtp_fw.database import Claim, Database
from mmtp_fw.firetasks import tasks
from mmtp_fw.firetasks.base import run_action
from mmtp_fw.firetasks.journal import Journal
from mmtp_fw.loop.facts import Kind
from mmtp_fw.workflows.submit import submit_campaign
from mmtp_fw.workflows.worker import run_worker

WORK = {
    Kind.PRETRAIN: tasks.PretrainTask.work,
    Kind.LABEL: tasks.LabelTask.work,
    Kind.FIT: tasks.FitTask.work,
    Kind.MD: tasks.MdTask.work,
    Kind.SELECT: tasks.SelectTask.work,
    Kind.PROPERTY: tasks.PropertyTask.work,
    Kind.REPORT: tasks.ReportTask.work,
}
DOCUMENTS = (
    "configurations",
    "calculations",
    "potentials",
    "training_sets",
    "md_runs",
    "properties",
    "actions",
)


@pytest.fixture(scope="module")
def finished(server_home, tmp_path_factory):
    """A database with a finished small campaign."""
    database = Database.open()
    database.reset()
    submit_campaign(database, small())
    run_worker(database, directory=tmp_path_factory.mktemp("launches"), campaign_id="small", grace_seconds=0)
    yield database
    database.close()


def counts(database: Database) -> dict[str, int]:
    return {name: database.db[name].count_documents({}) for name in DOCUMENTS}


def actions(database: Database) -> list[tuple[str, Kind]]:
    return [(action["_id"], Kind(action["kind"])) for action in database.actions.find().sort("_id", 1)]


def test_a_worker_alone_finishes_a_campaign(finished):
    check_finished(finished, "small")
    assert {kind for _, kind in actions(finished)} >= set(Kind) - {Kind.SELECT}


def test_finished_actions_are_found_done(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = counts(finished)
    for key, kind in actions(finished):
        assert run_action(finished, key, WORK[kind]) == "found done"
    assert counts(finished) == before


@pytest.mark.parametrize("kind", list(Kind))
def test_computed_again_it_changes_nothing(finished, kind, tmp_path, monkeypatch):
    """As after a crash between the documents and FireWorks: the fact is forgotten, the documents are not."""
    monkeypatch.chdir(tmp_path)
    keys = [key for key, other in actions(finished) if other == kind]
    assert keys, "the small campaign has every kind of action"
    key = keys[0]
    before, result = counts(finished), finished.actions.find_one({"_id": key})["result"]
    finished.actions.update_one({"_id": key}, {"$set": {"result": None, "finished": None}})
    assert run_action(finished, key, WORK[kind]) == "done"
    again = finished.actions.find_one({"_id": key})["result"]
    assert counts(finished) == before
    for name in ("outcome", "configurations", "potential", "md_run", "calculation", "candidates"):
        assert again.get(name) == result.get(name), name


def test_a_claimed_action_is_left_alone(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key = next(key for key, kind in actions(finished) if kind == Kind.PRETRAIN)
    saved = finished.actions.find_one({"_id": key})
    finished.actions.update_one({"_id": key}, {"$set": {"result": None}})
    with Claim.take(finished, key, "another:1", 60):
        assert run_action(finished, key, WORK[Kind.PRETRAIN]) == "claimed by another"
    finished.actions.replace_one({"_id": key}, saved)


class Broken:
    """Work that raises."""

    def compute(self, context):
        raise ValueError("this can't work")

    def store(self, context, payload, session):
        raise AssertionError


def test_exceptions_are_tried_again_and_then_a_fact(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("broken", properties={"steps": 40, "equilibration_steps": 1, "reference": False}))
    key = "broken/000/pretrain"
    for attempt in range(1, 4):
        with pytest.raises(ValueError, match="can't work"):
            run_action(database, key, Broken())
        document = database.actions.find_one({"_id": key})
        assert len(document["errors"]) == attempt
        assert (document["result"] is not None) == (attempt == 3)
    assert document["result"]["outcome"] == "failed"
    assert "this can't work" in document["result"]["reason"]
    assert database.actions.find_one({"kind": "report"}) is not None, "the campaign went on to its report"


class Late:
    """Work whose claim is taken over before it writes."""

    def __init__(self, database):
        self.database = database

    def compute(self, context):
        self.database.claims.update_one({"_id": context.action.key}, {"$set": {"owner": "other"}, "$inc": {"fence": 1}})
        return {"configurations": []}

    def store(self, context, payload, session):
        raise AssertionError("must not be reached")


def test_a_zombie_writes_nothing(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("zombie"))
    assert run_action(database, "zombie/000/pretrain", Late(database)) == "claimed by another"
    assert database.actions.find_one({"_id": "zombie/000/pretrain"})["result"] is None


class Once:
    """Work that computes once and whose first write fails."""

    def __init__(self):
        self.computed = self.written = 0

    def compute(self, context):
        self.computed += 1
        return {"outcome": "failed"}

    def store(self, context, payload, session):
        self.written += 1
        if self.written == 1:
            raise SystemExit  # the process ends here
        return payload


def test_the_journal_saves_what_was_not_written(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("journal"))
    work, key = Once(), "journal/000/pretrain"
    with pytest.raises(SystemExit):
        run_action(database, key, work)
    journal = Journal(database.db.meta.find_one({"_id": "instance"})["value"], key)
    assert journal.load().payload == {"outcome": "failed"}
    assert run_action(database, key, work) == "done"
    assert work.computed == 1
    assert journal.load() is None


def test_the_journal_of_a_deleted_database_is_not_used(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("journal"))
    work, key = Once(), "journal/000/pretrain"
    with pytest.raises(SystemExit):
        run_action(database, key, work)
    database.reset()
    submit_campaign(database, small("journal"))
    assert run_action(database, key, work) == "done"
    assert work.computed == 2
