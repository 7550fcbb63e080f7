"""A node that fails in the middle of a label costs an attempt, not the label."""

from __future__ import annotations

import pytest
from small_campaign import small

from mmtp_fw.dft.hamiltonian import HamiltonianEngine
from mmtp_fw.errors import EngineError
from mmtp_fw.firetasks import base, tasks
from mmtp_fw.workflows.submit import submit_campaign


def test_an_engine_that_breaks_is_tried_again_from_its_last_stage(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small())
    pretrain = database.actions.find_one({"kind": "pretrain"})["_id"]
    base.run_action(database, pretrain, tasks.PretrainTask.work)
    label = database.actions.find_one({"kind": "label"})["_id"]
    real, calls = HamiltonianEngine.scf, []

    def breaking(self, request):
        calls.append(request.stage)
        if len(calls) == 2:
            raise EngineError("the node went away")
        return real(self, request)

    monkeypatch.setattr(HamiltonianEngine, "scf", breaking)
    with pytest.raises(EngineError, match="node went away"):
        base.run_action(database, label, tasks.LabelTask.work)
    action = database.actions.find_one({"_id": label})
    assert action["result"] is None and len(action["errors"]) == 1
    assert base.run_action(database, label, tasks.LabelTask.work) == "done"
    action = database.actions.find_one({"_id": label})
    assert action["result"]["outcome"] == "accepted"
    calculation = database.calculations.find_one({"_id": action["result"]["calculation"]})
    assert calls.count("equilibrium") == 1, "what was finished is not computed again"
    assert [stage["index"] for stage in calculation["stages"]] == list(range(len(calculation["stages"])))


def test_an_engine_that_always_breaks_ends_as_failed(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small())
    base.run_action(database, database.actions.find_one({"kind": "pretrain"})["_id"], tasks.PretrainTask.work)
    label = database.actions.find_one({"kind": "label"})["_id"]

    def broken(self, request):
        raise EngineError("no node ever comes back")

    monkeypatch.setattr(HamiltonianEngine, "scf", broken)
    for _ in range(small().budget.max_attempts - 1):
        with pytest.raises(EngineError):
            base.run_action(database, label, tasks.LabelTask.work)
    assert base.run_action(database, label, tasks.LabelTask.work) == "done"
    result = database.actions.find_one({"_id": label})["result"]
    assert result["outcome"] == "failed" and "no node" in result["reason"]
    assert database.calculations.find_one({"_id": result["calculation"]})["status"] == "failed"
