"""Labels that can't be fitted are left out with their reason; the campaign goes on."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from pydantic import ValidationError
from small_campaign import small

from mmtp_fw.cli.histories import potential
from mmtp_fw.database import history
from mmtp_fw.firetasks import tasks
from mmtp_fw.firetasks.base import INTERRUPTED, Context, run_action
from mmtp_fw.firetasks.fit import FitWork, accepted_labels, usable
from mmtp_fw.potential import Potential
from mmtp_fw.workflows.submit import stored_action, submit_campaign


def test_a_label_past_the_magnetic_range_is_left_out():
    potential = Potential.from_level(4, ["Fe"], r_min=1.8, r_cut=4.0, max_moment=3.0, seed=1)
    labels = {}
    for key, moments in (("a", [2.0, 2.0]), ("b", [3.022, 2.0]), ("c", [1.0, -1.0])):
        atoms = bulk("Fe", cubic=True)
        atoms.rattle(0.01 * (1 + len(labels)), seed=len(labels))
        atoms.set_initial_magnetic_moments(moments)
        inside = atoms.copy()
        inside.set_initial_magnetic_moments(np.clip(moments, -3, 3))
        inside.calc = potential.calculator()
        inside.get_potential_energy()
        inside.calc.results["magmoms"] = np.array(moments)
        labels[key] = inside
    kept, excluded = usable(potential, labels)
    assert list(kept) == ["a", "c"]
    assert list(excluded) == ["b"] and "3.022" in excluded["b"]


def test_labels_weigh_by_their_quality(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = {"A": 1.0, "B": 0.25, "C": 0.5}
    fit = {"max_iterations": 5, "ensemble": 1, "quality_weights": weights, "moment_deviation_muB": 0.05}
    campaign = small("small", fit=fit)
    submit_campaign(database, campaign)
    run_action(database, database.actions.find_one({"kind": "pretrain"})["_id"], tasks.PretrainTask.work)
    for action in list(database.actions.find({"kind": "label"})):
        run_action(database, action["_id"], tasks.LabelTask.work)
    action = stored_action(database, database.actions.find_one({"kind": "fit"})["_id"])
    labels = accepted_labels(Context(database, campaign, action, tmp_path, lambda: False))
    assert labels
    for atoms in labels.values():
        assert atoms.info["weight"] == weights[atoms.info["label_grade"]]
    run_action(database, action.key, tasks.FitTask.work)
    assert database.potentials.find_one()["weights"]["moment_deviation_muB"] == 0.05


def test_a_suspect_label_is_named_and_left_out_on_request(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = {"max_iterations": 30, "ensemble": 1, "validation_fraction": 0.0}
    fit["settings"] = {"leave_out_suspects": True, "suspect_factor": 20.0}
    budget = {"max_iterations": 1, "max_labels": 20}
    submit_campaign(database, small("small", fit=fit, pretraining={"structures": 14}, budget=budget))
    run_action(database, database.actions.find_one({"kind": "pretrain"})["_id"], tasks.PretrainTask.work)
    for action in list(database.actions.find({"kind": "label"})):
        run_action(database, action["_id"], tasks.LabelTask.work)
    bad = database.calculations.find_one({"status": "accepted"})
    energy = bad["label"]["energy_eV"] + 30.0
    database.calculations.update_one({"_id": bad["_id"]}, {"$set": {"label.energy_eV": energy}})
    run_action(database, database.actions.find_one({"kind": "fit"})["_id"], tasks.FitTask.work)
    record = database.potentials.find_one()["fit"]
    assert record["left_out"] == [bad["_id"]]
    assert bad["_id"] in record["suspects"]
    shown = "\n".join(str(part) for part in potential(history.potential(database, 1)))
    assert f"{bad['_id']} fits far worse than the rest and was left out" in shown


def test_an_ended_fit_goes_on_elsewhere(database, tmp_path, monkeypatch):
    campaign = small("small", fit={"max_iterations": 40, "ensemble": 1})
    submit_campaign(database, campaign)
    run_action(database, database.actions.find_one({"kind": "pretrain"})["_id"], tasks.PretrainTask.work)
    for action in list(database.actions.find({"kind": "label"})):
        run_action(database, action["_id"], tasks.LabelTask.work)
    action = stored_action(database, database.actions.find_one({"kind": "fit"})["_id"])
    calls = iter(range(1000))
    here, there = tmp_path / "here", tmp_path / "there"
    for place in (here, there):
        place.mkdir()
    stopped = FitWork().compute(Context(database, campaign, action, here, lambda: next(calls) > 12))
    assert stopped is INTERRUPTED
    assert database.fit_checkpoints.count_documents({"_id": action.key}) == 1
    fitted = FitWork().compute(Context(database, campaign, action, there, lambda: False))
    assert "continued from iteration" in fitted.fields["fit"]["decision"]
    # What the database holds may be damaged, or of another form: then the fit begins anew.
    database.fit_checkpoints.update_one({"_id": action.key}, {"$set": {"content": b"nothing"}})
    assert list(there.iterdir()) == []
    fitted = FitWork().compute(Context(database, campaign, action, there, lambda: False))
    assert "continued" not in fitted.fields["fit"]["decision"]
    monkeypatch.chdir(there)
    run_action(database, action.key, tasks.FitTask.work)
    assert database.fit_checkpoints.count_documents({}) == 0
    assert list(there.iterdir()) == []


@pytest.mark.parametrize("weights", [{"A": 1.0}, {"A": -1.0, "B": 1.0, "C": 1.0}, {"A": 0.0, "B": 0.0, "C": 0.0}])
def test_quality_weights_that_mean_nothing_are_refused(weights):
    with pytest.raises(ValidationError, match="quality_weights"):
        small("small", fit={"quality_weights": weights})
