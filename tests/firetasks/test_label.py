"""Labels in the database: what was computed is used again, what failed is tried again."""

from __future__ import annotations

import pytest
from small_campaign import small

from mmtp_fw.dft.hamiltonian import HamiltonianEngine
from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.firetasks import base, giving_back, tasks
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


@pytest.fixture
def campaign(database, tmp_path, monkeypatch):
    """Submit a small campaign under a name, make its configurations, and return the key of its first label."""
    monkeypatch.chdir(tmp_path)

    def submit(name, **dft):
        submit_campaign(database, small(name, dft=dft) if dft else small(name))
        base.run_action(database, f"{name}/000/pretrain", tasks.PretrainTask.work)
        return database.actions.find_one({"kind": "label", "campaign": name}, sort=[("_id", 1)])["_id"]

    return submit


@pytest.fixture
def calls(monkeypatch):
    """Record the stages that are computed."""
    real, made = HamiltonianEngine.scf, []

    def counted(self, request):
        made.append(request.stage)
        return real(self, request)

    monkeypatch.setattr(HamiltonianEngine, "scf", counted)
    return made


def labelled(database, key):
    """Carry a label out; return its result and its calculation."""
    assert base.run_action(database, key, tasks.LabelTask.work) == "done"
    result = database.actions.find_one({"_id": key})["result"]
    return result, database.calculations.find_one({"_id": result["calculation"]})


def test_another_protocol_takes_over_the_stages_that_are_the_same(database, campaign, calls):
    first, made = labelled(database, campaign("one"))
    computed = len(calls)
    other, calculation = labelled(database, campaign("two", protocol={"refine_limit_mae_muB": 0.02}))
    assert made["configuration"] == calculation["configuration"] and made["_id"] != calculation["_id"]
    assert set(calls[computed:]) == {"check"}, "every stage of the second is one of the first, but its label is another"
    assert other["outcome"] == "accepted" and first["scf_runs"] == computed
    assert other["scf_runs"] == calculation["label"]["check"]["scf_runs"] == len(calls) - computed
    ladder = [stage for stage in calculation["stages"] if stage["name"] not in ("map", "check", "accept")]
    assert {stage["reused_from"] for stage in ladder} == {made["_id"]}
    computed = len(calls)
    _, third = labelled(database, campaign("three", protocol={"refine_limit_mae_muB": 0.03}))
    assert len(calls) == computed, "every stage of the third is one of the first or the second"
    owners = {stage["reused_from"] for stage in third["stages"]}
    assert owners == {made["_id"], calculation["_id"], None}, "who computed it is named; decisions are its own"


def test_the_first_labels_of_a_campaign_and_every_tenth_are_checked(database, campaign, calls):
    """The other start is what a soft label gets beside its ladder."""
    checked = {"check_first": 1, "check_every": 0}
    _, first = labelled(database, campaign("one", protocol={"constraint": "hard"} | checked))
    unasked = {"check_first": 0, "check_every": 0}
    _, second = labelled(database, campaign("two", protocol={"constraint": "hard"} | unasked))
    assert first["label"]["check"]["verdict"] == "confirmed"
    assert second["label"]["check"]["verdict"] in ("confirmed", "unchecked")
    runs = [calculation["label"]["check"]["scf_runs"] for calculation in (first, second)]
    assert runs[0] > runs[1]


def test_a_failed_label_is_tried_again_when_it_is_asked_for_again(database, campaign, monkeypatch):
    def broken(self, request):
        raise EngineError("no node ever comes back")

    key = campaign("one")
    with monkeypatch.context() as patch:
        patch.setattr(HamiltonianEngine, "scf", broken)
        for _ in range(small().budget.max_attempts - 1):
            with pytest.raises(EngineError):
                base.run_action(database, key, tasks.LabelTask.work)
        result, calculation = labelled(database, key)
    assert result["outcome"] == calculation["status"] == "failed"
    result, calculation = labelled(database, campaign("two"))
    assert result["outcome"] == calculation["status"] == "accepted"
    assert calculation["rule"] == "criteria_met" and calculation["label"]


def test_a_target_that_was_refused_is_computed_once_it_is_not(database, campaign, monkeypatch):
    def refuse(self, atoms):
        raise InputError("such a target is impossible")

    key = campaign("one")
    with monkeypatch.context() as patch:
        patch.setattr(HamiltonianEngine, "check", refuse)
        result, _ = labelled(database, key)
    assert result["outcome"] == "rejected" and "impossible" in result["reason"]
    assert result["refused"] and result["scf_runs"] == 0, "it does not count against the budget"
    result, calculation = labelled(database, campaign("two"))
    assert result["outcome"] == calculation["status"] == "accepted"


def test_labels_with_other_datasets_are_given_back(database, campaign, monkeypatch):
    monkeypatch.setattr(giving_back, "NOT_HERE_SECONDS", 0.0)
    monkeypatch.setattr(HamiltonianEngine, "datasets", lambda self, atoms: {"Fe": "0123456789abcdef"})
    _, calculation = labelled(database, campaign("one"))
    assert calculation["stages"][0]["datasets"] == {"Fe": "0123456789abcdef"}
    key = campaign("two", protocol={"adaptive": False})
    monkeypatch.setattr(HamiltonianEngine, "datasets", lambda self, atoms: {"Fe": "fedcba9876543210"})
    assert base.run_action(database, key, tasks.LabelTask.work) == "not here"
    reason = database.actions.find_one({"_id": key})["not_here"]["reason"]
    assert "dataset of Fe" in reason and "fedcba987654…" in reason and "0123456789ab…" in reason
