"""Labels that can't be fitted are left out with their reason; the campaign goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pydantic import ValidationError
from small_campaign import small

from mmtp_fw.cli.histories import potential
from mmtp_fw.database import history
from mmtp_fw.firetasks import tasks
from mmtp_fw.firetasks.base import INTERRUPTED, Context, run_action
from mmtp_fw.firetasks.fit import FitWork, accepted_labels, split, usable
from mmtp_fw.fitting import Weights, check_training_set, validate
from mmtp_fw.fitting.samples import labels_of
from mmtp_fw.potential import Potential, System
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


def labelled(database, tmp_path, **fit) -> tuple[Context, dict[str, Atoms]]:
    """Pretrain and label a small campaign; return the context of its fit, and the labels."""
    campaign = small("small", fit={"ensemble": 1, "max_iterations": 5} | fit, pretraining={"structures": 9})
    submit_campaign(database, campaign)
    run_action(database, database.actions.find_one({"kind": "pretrain"})["_id"], tasks.PretrainTask.work)
    for action in list(database.actions.find({"kind": "label"})):
        run_action(database, action["_id"], tasks.LabelTask.work)
    action = stored_action(database, database.actions.find_one({"kind": "fit"})["_id"])
    context = Context(database, campaign, action, tmp_path, lambda: False)
    return context, accepted_labels(context)


def test_validation_labels_are_not_trained_on(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context, labels = labelled(database, tmp_path, validation_fraction=0.45)
    training, validation = split(list(labels), 0.45)
    assert training and validation, "the seed of the campaign gives both"
    assert sorted([*training, *validation]) == list(labels)
    fitted = FitWork().compute(context)
    assert fitted.validation == validation and fitted.calculations == list(labels)
    assert len(fitted.fields["fit"]["loss_by_configuration"]) == len(training)
    found = fitted.fields["errors"], fitted.fields["validation_errors"]
    assert [e["energy_per_atom_eV"]["count"] for e in found] == [len(training), len(validation)]
    # What is fitted to doesn't depend on labels of validation at all.
    for key in validation:
        database.calculations.update_one({"_id": key}, {"$inc": {"label.energy_eV": 0.5}})
    there = tmp_path / "there"
    there.mkdir()
    other = FitWork().compute(replace(context, directory=there))
    assert other.fields["content_hash"] == fitted.fields["content_hash"]
    assert other.fields["validation_errors"] != fitted.fields["validation_errors"]


def test_a_label_never_changes_sides():
    keys = [f"{k * 0x1357_9BDF % 2**32:08x}" for k in range(400)]
    training, validation = split(keys, 0.25)
    assert not set(training) & set(validation) and len(training) + len(validation) == 400
    assert 70 < len(validation) < 130
    for part in (keys[:100], keys[::3]):
        fewer = split(part, 0.25)
        assert fewer == ([k for k in part if k in set(training)], [k for k in part if k in set(validation)])
    assert split(keys, 0.0) == (keys, [])
    assert split(validation[:3], 0.25) == (validation[:3], []), "a fit needs something to train on"


@pytest.mark.parametrize("settings", [{"start": "random"}, {"start": "given", "method": "bfgs"}])
def test_members_of_an_ensemble_start_from_the_version(database, tmp_path, monkeypatch, settings):
    """Whatever start the campaign's other fits have; they differ by their bags and noise."""
    monkeypatch.chdir(tmp_path)
    context, _ = labelled(database, tmp_path, settings=settings, validation_fraction=0.3)
    run_action(database, context.action.key, tasks.FitTask.work)
    version = database.potentials.find_one({"_id": 1})
    best = Potential.loads(version["text"])
    found = []
    for k in (1, 2, 1):
        place = tmp_path / f"{len(found)}"
        place.mkdir()
        params = {"parent": 1, "role": "member", "of": 1}
        action = replace(context.action, key=f"small/001/fit/member-{k}", params=params)
        fitted = FitWork().compute(replace(context, action=action, directory=place))
        assert fitted.active_set is None and fitted.parent == 1
        assert "from the given parameters" in fitted.fields["fit"]["decision"]
        found.append(Potential.loads(fitted.text))
        trained = len(fitted.calculations) - len(fitted.validation)
        assert len(fitted.fields["fit"]["loss_by_configuration"]) == trained, "those of validation are in no bag"
    assert found[0] == found[2], "the same action comes out the same"
    assert found[0] != found[1]
    assert best not in found


def test_a_member_leaves_out_what_its_version_left_out(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context, _ = labelled(database, tmp_path)
    run_action(database, context.action.key, tasks.FitTask.work)
    first = database.training_sets.find_one()["calculations"][0]
    database.potentials.update_one({"_id": 1}, {"$set": {"fit.left_out": [first]}})
    action = replace(context.action, key="small/001/fit/member-1", params={"parent": 1, "role": "member", "of": 1})
    fitted = FitWork().compute(replace(context, action=action))
    assert len(fitted.fields["fit"]["loss_by_configuration"]) == len(fitted.calculations) - len(fitted.validation) - 1
    assert first in fitted.calculations


def test_a_label_has_one_neighbour_list_and_one_check(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context, labels = labelled(database, tmp_path, validation_fraction=0.3)
    lists, checks = Counter(), Counter()
    make, look = System.from_atoms.__func__, labels_of

    def counted(cls, atoms, *args, **options):
        lists[atoms.positions.tobytes()] += 1
        return make(cls, atoms, *args, **options)

    def looked(atoms):
        checks[atoms.positions.tobytes()] += 1
        return look(atoms)

    monkeypatch.setattr(System, "from_atoms", classmethod(counted))
    monkeypatch.setattr(validate, "labels_of", looked)
    assert FitWork().compute(context).active_set is not None
    for atoms in labels.values():
        assert lists[atoms.positions.tobytes()] == 1
        assert checks[atoms.positions.tobytes()] == 1


def test_a_label_may_lack_what_has_no_weight(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context, labels = labelled(database, tmp_path, stress_weight=0.0)
    first = next(iter(labels))
    labels[first].calc.results.pop("stress")
    for atoms in labels.values():
        atoms.info.pop("name", None)
    report = check_training_set(load(context), list(labels.values()), Weights(stress=0))
    assert usable(load(context), labels, report)[1] == {}
    assert list(usable(load(context), labels)[1]) == [first]


def load(context: Context) -> Potential:
    form = context.campaign.potential
    return Potential.from_level(form.level, context.campaign.system.species, r_min=form.r_min_A, r_cut=form.r_cut_A)
