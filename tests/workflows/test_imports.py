"""Labels of others in a campaign: as their owner brings them, and what becomes of those that don't fit."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from small_campaign import SMALL, run_until

from mmtp_fw.campaign import load_campaign
from mmtp_fw.database import atoms_codec, queries, store
from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.dft.stages import Label
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.start import pretraining_set
from mmtp_fw.fitting import read_configurations, write_configurations
from mmtp_fw.loop.gather import gather
from mmtp_fw.report.snapshot import snapshot
from mmtp_fw.workflows import imports, submit_campaign
from mmtp_fw.workflows.imports import import_labels


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with six labels of the Hamiltonian, as another program would write them; tasks work in it."""
    monkeypatch.chdir(tmp_path)
    from mmtp_fw.campaign import Campaign

    cells = pretraining_set(Campaign.model_validate(SMALL), 6, 11)
    write_configurations(tmp_path / "labels.xyz", [labelled(atoms) for atoms in cells])
    return tmp_path


def labelled(atoms, **changed):
    """Return the atoms with what the Hamiltonian says of them at their own moments."""
    moments = atoms.get_initial_magnetic_moments()
    found = ReferenceHamiltonian().evaluate(atoms, moments)
    results = {"energy": found.energy, "forces": found.forces, "stress": found.stress, "magmoms": moments}
    results = {name: value for name, value in (results | changed).items() if value is not None}
    bare = atoms.copy()
    bare.info = {}
    bare.set_array("magnetic_forces", found.magnetic_forces)
    bare.calc = SinglePointCalculator(bare, **results)
    return bare


def campaign_of(folder, labels=("labels.xyz",), **sections):
    import yaml

    settings = {name: value for name, value in SMALL.items() if name != "pretraining"} | {"name": "brought"}
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(settings | {"start_from": {"labels": list(labels)}} | sections), encoding="utf-8")
    return load_campaign(path)


def test_a_campaign_begins_with_labels_and_computes_none_of_them(database, folder):
    submit_campaign(database, campaign_of(folder), folder)
    fit = run_until(database, "fit")
    result = database.actions.find_one({"_id": fit})["result"]
    assert result["labels"] == 6 and database.calculations.count_documents({}) == 6
    assert not gather(database, "brought").awaited
    given = read_configurations(folder / "labels.xyz")
    for index, atoms in enumerate(given):
        action = database.actions.find_one({"params.index": index, "params.file": "labels.xyz"})
        label = Label.model_validate(database.calculations.find_one({"_id": action["result"]["calculation"]})["label"])
        np.testing.assert_array_equal(label.forces, atoms.get_forces())
        np.testing.assert_array_equal(label.magnetic_forces, atoms.arrays["magnetic_forces"])
        assert label.energy_eV == atoms.get_potential_energy() and label.check.verdict == "unchecked"
        origin = database.configurations.find_one({"_id": action["params"]["configuration"]})["origin"]
        assert origin["imported"] == "labels.xyz" and origin["index"] == index
    (record,) = queries.campaign(database, "brought", "imports")["imports"]
    assert record["accepted"] == 6 and record["duplicates"] == 0 and record["apart"] == []
    # From a file to the versions that know it.
    used = database.actions.distinct("result.calculation", {"params.imported": record["digest"]})
    sets = database.training_sets.distinct("_id", {"calculations": {"$in": used}})
    assert database.potentials.count_documents({"training_set": {"$in": sets}}) == 1


def test_an_import_that_died_is_repeated_and_nothing_is_there_twice(database, folder, monkeypatch):
    campaign = campaign_of(folder)
    monkeypatch.setattr(imports, "_BATCH", 2)
    real, calls = store.insert_new, []

    def dies(collection, documents):
        calls.append(collection.name)
        if len(calls) == 4:  # the second batch's actions
            raise KeyboardInterrupt
        return real(collection, documents)

    monkeypatch.setattr(store, "insert_new", dies)
    with pytest.raises(KeyboardInterrupt):
        submit_campaign(database, campaign, folder)
    assert gather(database, "brought").awaited == ("labels.xyz",)
    assert database.actions.count_documents({"kind": "label"}) == 2
    monkeypatch.setattr(store, "insert_new", real)
    submit_campaign(database, campaign, folder)
    submit_campaign(database, campaign, folder)
    assert database.actions.count_documents({"kind": "label"}) == 6 == database.calculations.count_documents({})
    (record,) = queries.campaign(database, "brought", "imports")["imports"]
    assert record["accepted"] == 6 and record["duplicates"] == 0


def test_labels_for_a_campaign_that_is_there(database, folder):
    submit_campaign(database, campaign_of(folder), folder)
    run_until(database, "fit")
    again = import_labels(database, "brought", [folder / "labels.xyz"], "again")
    assert (again.accepted, again.duplicates) == (0, 6)
    other = read_configurations(folder / "labels.xyz")[0]
    moved = other.copy()
    moved.rattle(0.05, seed=3)
    moved.set_initial_magnetic_moments(other.get_magnetic_moments())
    write_configurations(folder / "more.xyz", [labelled(moved), labelled(moved)])
    dry = import_labels(database, "brought", [folder / "more.xyz"], "more", dry_run=True)
    assert (dry.accepted, dry.duplicates) == (1, 1) and gather(database, "brought").imported(1) == ()
    done = import_labels(database, "brought", [folder / "more.xyz"], "more")
    assert (done.accepted, done.duplicates) == (1, 1)
    assert len(gather(database, "brought").imported(1)) == 1, "of the next round"


def test_a_finished_campaign_goes_on_though_the_import_died_before_it_said_so(database, folder, monkeypatch):
    submit_campaign(database, campaign_of(folder), folder)
    run_until(database, "fit")
    other = read_configurations(folder / "labels.xyz")[0]
    moved = other.copy()
    moved.set_initial_magnetic_moments(other.get_magnetic_moments())
    moved.rattle(0.05, seed=3)
    write_configurations(folder / "more.xyz", [labelled(moved)])
    database.campaigns.update_one({"_id": "brought"}, {"$set": {"finished": datetime.now(UTC), "stop": "converged"}})

    def dies(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(imports, "reopen", dies)
    with pytest.raises(KeyboardInterrupt):
        import_labels(database, "brought", [folder / "more.xyz"], "more")
    assert queries.campaign(database, "brought", "finished")["finished"] is not None
    monkeypatch.undo()
    again = import_labels(database, "brought", [folder / "more.xyz"], "more")
    assert (again.accepted, again.duplicates) == (0, 1)
    assert queries.campaign(database, "brought", "finished")["finished"] is None


def test_status_says_which_files_it_waits_for(database, folder):
    campaign = campaign_of(folder)
    (folder / "labels.xyz").rename(folder / "elsewhere.xyz")
    with pytest.raises(InputError, match="no file"):
        submit_campaign(database, campaign, folder)
    (hint,) = snapshot(database, "brought")["waiting"]["hints"]
    assert "labels.xyz" in hint and "mmtp submit" in hint


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"stress": None}, "stress"),
        ({"forces": None}, "forces"),
        ({"energy": float("nan")}, "energy"),
        ({"magmoms": np.array([9.0, 2.0, 2.0, 0.3])}, "moment"),
    ],
)
def test_what_is_no_label_of_the_campaign_is_kept_apart_with_its_reason(database, folder, change, why):
    good = read_configurations(folder / "labels.xyz")
    bare = good[0].copy()
    bare.set_initial_magnetic_moments(good[0].get_magnetic_moments())
    bare.rattle(0.02, seed=1)
    bad = labelled(bare)
    bad.calc.results.update({name: value for name, value in change.items() if value is not None})
    for name in [name for name, value in change.items() if value is None]:
        del bad.calc.results[name]
    write_configurations(folder / "mixed.xyz", [*good, bad])
    submit_campaign(database, campaign_of(folder, ["mixed.xyz"]), folder)
    (record,) = queries.campaign(database, "brought", "imports")["imports"]
    assert record["accepted"] == 6
    ((where, reason),) = record["apart"]
    assert "configuration 6" in where and why in reason


def test_files_without_any_label_of_the_campaign_are_refused(database, folder):
    good = read_configurations(folder / "labels.xyz")
    for atoms in good:
        atoms.calc.results["magmoms"] = np.zeros(len(atoms))
    write_configurations(folder / "zero.xyz", good)
    with pytest.raises(InputError, match="all moments are zero"):
        submit_campaign(database, campaign_of(folder, ["zero.xyz"]), folder)
    for atoms in good:
        atoms.symbols[0] = "Ni"
    write_configurations(folder / "nickel.xyz", good)
    with pytest.raises(InputError, match="no file"):
        campaign_of(folder, ["nowhere.xyz"])
    campaign = campaign_of(folder, ["labels.xyz"])
    (folder / "labels.xyz").write_text((folder / "zero.xyz").read_text(), encoding="utf-8")
    database.reset()
    with pytest.raises(InputError, match="has changed since"):
        submit_campaign(database, campaign, folder)


def test_the_sign_of_a_cfg_is_what_its_owner_says(database, folder):
    given = read_configurations(folder / "labels.xyz")
    write_configurations(folder / "labels.cfg", given, "cfg", ["Fe", "Pd"])
    named = [{"file": "labels.cfg", "magnetic_derivatives": sign} for sign in ("force", "derivative")]
    found = []
    for one in named:
        database.reset()
        submit_campaign(database, campaign_of(folder, [one]), folder)
        action = database.actions.find_one({"params.index": 0, "kind": "label"})
        found.append(database.calculations.find_one({"_id": action["result"]["calculation"]})["label"])
    one, other = (np.array(label["magnetic_forces"]) for label in found)
    np.testing.assert_array_equal(one, -other)
    assert np.abs(one).max() > 0


def test_labels_without_magnetic_forces_are_counted(database, folder):
    given = read_configurations(folder / "labels.xyz")
    for atoms in given[:2]:
        del atoms.arrays["magnetic_forces"]
    write_configurations(folder / "some.xyz", given)
    submit_campaign(database, campaign_of(folder, ["some.xyz"]), folder)
    (record,) = queries.campaign(database, "brought", "imports")["imports"]
    assert (record["accepted"], record["without_magnetic_forces"]) == (6, 2)


def test_settings_know_the_digest_and_keep_it(folder):
    campaign = campaign_of(folder)
    (one,) = campaign.start_from.labels
    assert one.file == "labels.xyz" and len(one.digest) == 32
    assert json.loads(json.dumps(campaign.document()))["start_from"]["labels"] == [one.model_dump()]
    assert campaign.pretraining.structures == 0
    assert atoms_codec.content_hash(read_configurations(folder / "labels.xyz")[0])
