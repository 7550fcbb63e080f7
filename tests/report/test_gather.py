"""What is gathered of a real campaign's documents."""

from __future__ import annotations

import pytest
from small_campaign import small

from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.base import Context, run_action
from mmtp_fw.firetasks.label import LabelWork
from mmtp_fw.firetasks.pretrain import PretrainWork
from mmtp_fw.report import gather_report, snapshot, write_report
from mmtp_fw.workflows.submit import submit_campaign


@pytest.fixture
def labelled(database, tmp_path, monkeypatch):
    """A campaign whose pretraining set is generated and half labelled."""
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small())
    run_action(database, "small/000/pretrain", PretrainWork())
    labels = database.actions.distinct("_id", {"kind": "label"})
    for key in sorted(labels)[:3]:
        run_action(database, key, LabelWork())
    return database


def test_snapshot_of_a_running_campaign(labelled):
    state = snapshot(labelled, "small")
    assert (state["iteration"], state["phase"], state["complete"]) == (0, "label", False)
    counts = state["labels"]
    assert counts["accepted"] + counts["rejected"] + counts["failed"] == 3
    assert counts["open"] == 3 and counts["budget"] == 10
    assert state["due"]["label"] == 3
    assert state["scf_runs"] > 0
    assert state["running"] == []


def test_report_of_a_running_campaign(labelled, tmp_path):
    data = gather_report(labelled, "small")
    done = [label for label in data["labels"] if label["status"] != "open"]
    assert len(data["labels"]) == 6 and len(done) == 3
    for label in done:
        assert label["configuration"] and label["formula"] and label["scf_runs"] > 0
        assert len(label["target_muB"]) == len(label["moments_muB"]) == len(label["symbols"]) == 4
    assert data["iterations"][0]["generated"] == 6
    assert data["summary"]["labels_accepted"] == sum(label["status"] == "accepted" for label in done)
    assert data["summary"]["magnetization_mae_muB_per_atom"] is None
    assert "Not finished yet" in write_report(data, tmp_path / "report").read_text()


def test_failed_attempts_are_told(labelled, tmp_path):
    class Broken(LabelWork):
        def compute(self, context: Context):
            raise ZeroDivisionError("no electrons")

    key = labelled.actions.find_one({"kind": "label", "result": None})["_id"]
    with pytest.raises(ZeroDivisionError):
        run_action(labelled, key, Broken())
    assert "no electrons" in snapshot(labelled, "small")["newest_failure"]
    failure = gather_report(labelled, "small")["failures"][0]
    assert failure["action"] == key and "no electrons" in failure["message"] and not failure["given_up"]


@pytest.mark.parametrize("ask", [snapshot, gather_report])
def test_unknown_campaign(database, ask):
    with pytest.raises(InputError, match="no campaign 'nonsense'"):
        ask(database, "nonsense")
