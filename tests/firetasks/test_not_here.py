"""A worker on a machine without the DFT program gives labels back, as often as it gets them."""

from __future__ import annotations

import logging

import pytest
from small_campaign import small

from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.firetasks import base, giving_back, tasks
from mmtp_fw.firetasks.start import check_engine
from mmtp_fw.loop.facts import Kind
from mmtp_fw.report.snapshot import snapshot
from mmtp_fw.workflows.submit import submit_campaign

ELSEWHERE = {
    "dft": {"engine": "abinit", "settings": {"command": "abinit-of-another-cluster"}},
    "properties": {"mode": "static", "steps": 40, "equilibration_steps": 10},
}


@pytest.fixture
def label(database, tmp_path, monkeypatch):
    """Key of a label that this machine can't compute."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(giving_back, "NOT_HERE_SECONDS", 0.3)
    submit_campaign(database, small("small", **ELSEWHERE))
    pretrain = database.actions.find_one({"kind": "pretrain"})["_id"]
    assert base.run_action(database, pretrain, tasks.PretrainTask.work) == "done"
    return database.actions.find_one({"kind": Kind.LABEL.value})["_id"]


def test_labels_are_given_back_and_no_attempt_is_counted(database, label, caplog):
    attempts = small("small", **ELSEWHERE).budget.max_attempts + 2
    for _ in range(attempts):
        with caplog.at_level(logging.ERROR, "mmtp_fw"):
            assert base.run_action(database, label, tasks.LabelTask.work) == "not here"
        assert database.claims.find_one({"_id": label, "$expr": {"$gt": ["$lease_until", "$$NOW"]}}) is None
    action = database.actions.find_one({"_id": label})
    assert action["result"] is None and action["errors"] == []
    assert "abinit-of-another-cluster" in action["not_here"]["reason"]
    assert "abinit-of-another-cluster" in caplog.text and label in caplog.text
    assert label in snapshot(database, "small")["not_here"][0]
    ready = database.launchpad.fireworks.count_documents({"state": "READY", "spec.action": label})
    assert ready == attempts + 1, "it waits for a worker that can do it"
    assert database.calculations.count_documents({}) == 0


def test_a_campaign_is_refused_where_its_workers_will_be_and_only_there():
    campaign = small("small", **ELSEWHERE)
    check_engine(campaign, here=False)
    with pytest.raises(EngineError, match="abinit-of-another-cluster"):
        check_engine(campaign, here=True)


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"dft": {"engine": "hamiltonian", "settings": {"ecut": 3}}}, "ecut"),
        (
            {
                "potential": {"level": 4, "max_moment_muB": 9.0},
                "system": {"typical_moments_muB": {"Fe": 7.0, "Pd": 0.3}},
            },
            "7.00 μB is impossible",
        ),
    ],
)
def test_a_campaign_that_its_engine_refuses_is_never_submitted(sections, named):
    with pytest.raises(InputError, match=named):
        check_engine(small("small", **sections), here=False)
