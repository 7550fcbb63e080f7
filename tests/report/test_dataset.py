"""A dataset for others holds the stored numbers, to the last bit, whoever reads it, and says what they are."""

from __future__ import annotations

import csv
import hashlib
import json

import ase.io
import numpy as np
import pytest
from small_campaign import run_until, small

from mmtp_fw.database import history
from mmtp_fw.dft.stages import Label
from mmtp_fw.fitting import read_configurations
from mmtp_fw.workflows.submit import submit_campaign

FEW = {"pretraining": {"structures": 3}, "fit": {"max_iterations": 5, "validation_fraction": 0.4}}
TOLD = (
    "--author",
    "A. Ampère",
    "--author",
    "P. Curie",
    "--license",
    "CC-BY-4.0",
    "--cite",
    "doi:10.0/x",
    "--title",
    "Fe–Pd",
)


@pytest.fixture
def labelled(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("c", **FEW))
    run_until(database, "fit")
    return database


def rows(path):
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_dataset_reads_back_to_the_stored_numbers(labelled, call, tmp_path):
    assert call("export", "dataset", "c", "set", *TOLD).strip().endswith("labels")
    stored = {item["_id"]: item for item in labelled.calculations.find({"status": "accepted"})}
    assert len(stored) >= 2
    place = tmp_path / "set"
    for read in (lambda path: ase.io.read(path, ":"), read_configurations):
        frames = read(place / "dataset.xyz")
        assert {frame.info["label_key"] for frame in frames} == set(stored)
        for frame in frames:
            label = Label.model_validate(stored[frame.info["label_key"]]["label"])
            assert frame.get_potential_energy() == label.energy_eV
            np.testing.assert_array_equal(frame.positions, label.positions)
            np.testing.assert_array_equal(np.asarray(frame.cell), label.cell)
            np.testing.assert_array_equal(frame.get_forces(), label.forces)
            np.testing.assert_array_equal(frame.get_stress(), label.stress)
            np.testing.assert_array_equal(frame.get_magnetic_moments(), label.moments)
            np.testing.assert_array_equal(frame.arrays["magnetic_forces"], label.magnetic_forces)
            np.testing.assert_array_equal(frame.get_initial_magnetic_moments(), label.target)
            assert frame.info["label_lambda_eV_per_muB2"] == label.lambda_eV_per_muB2
            assert frame.info["label_grade"] == label.grade.value
    for name in ("mace.xyz", "nep_spin.xyz"):
        for ours, others in zip(
            read_configurations(place / "dataset.xyz"), read_configurations(place / name), strict=True
        ):
            np.testing.assert_array_equal(others.get_magnetic_moments(), ours.get_magnetic_moments())
            np.testing.assert_array_equal(others.arrays["magnetic_forces"], ours.arrays["magnetic_forces"])
            np.testing.assert_allclose(others.get_stress(), ours.get_stress(), rtol=1e-12, atol=1e-15)
            assert others.get_potential_energy() == ours.get_potential_energy()
    for ours, mace, nep in zip(*(ase.io.read(place / f, ":") for f in ("dataset.xyz", "mace.xyz", "nep_spin.xyz"))):  # noqa: B905
        moments = ours.get_magnetic_moments()
        assert mace.info["REF_energy"] == ours.get_potential_energy() == nep.get_potential_energy()
        np.testing.assert_array_equal(mace.arrays["REF_magmom"], np.outer(moments, [0, 0, 1]))
        np.testing.assert_array_equal(mace.arrays["REF_magforces"][:, 2], ours.arrays["magnetic_forces"])
        np.testing.assert_array_equal(np.ravel(mace.info["REF_stress"]), ours.get_stress(voigt=False).ravel())
        for column in ("spin", "magnetic_moment"):
            np.testing.assert_array_equal(nep.arrays[column], np.outer(moments, [0, 0, 1]))
        for column in ("mforce", "magnetic_force"):
            np.testing.assert_array_equal(nep.arrays[column][:, 2], ours.arrays["magnetic_forces"])
        np.testing.assert_array_equal(nep.arrays["force"], ours.get_forces())
        volume, stress = ours.get_volume(), ours.get_stress(voigt=False)
        np.testing.assert_allclose(np.ravel(nep.info["virial"]), -volume * stress.ravel(), rtol=1e-12, atol=1e-12)


def test_its_tables_hold_every_stage_and_every_torque(labelled, call, tmp_path):
    call("export", "dataset", "c", "set", "--version", "1")
    stored = {item["_id"]: item for item in labelled.calculations.find({"status": "accepted"})}
    stages = rows(tmp_path / "set" / "stages.csv")
    assert len(stages) == sum(len(item["stages"]) for item in stored.values())
    for row in stages:
        stage = stored[row["calculation"]]["stages"][int(row["index"])]
        assert (row["energy_eV"] or None) == (None if stage["energy_eV"] is None else repr(stage["energy_eV"]))
    torques = 0
    for row in rows(tmp_path / "set" / "history.csv"):
        stage = stored[row["calculation"]]["stages"][int(row["stage"])]
        atom = int(row["atom"])
        assert float(row["sWS_muB"]) == stage["achieved"]["sWS"][atom]
        if row["magnetic_force_eV_per_muB"]:
            assert float(row["magnetic_force_eV_per_muB"]) == stage["magnetic_forces"][atom]
            torques += 1
    assert torques > 0
    held_out = history.training(labelled, history.version(labelled, 1))[1]
    for row in rows(tmp_path / "set" / "labels.csv"):
        assert row["split"] == ("validation" if row["calculation"] in held_out else "training")


def test_its_card_says_what_it_is(labelled, call, tmp_path):
    assert "not stated: authors, licence, cite" in call("export", "dataset", "c", "bare")
    call("export", "dataset", "c", "set", *TOLD)
    card = json.loads((tmp_path / "set" / "card.json").read_text())
    assert card["licence"] == "CC-BY-4.0" and card["authors"] == ["A. Ampère", "P. Curie"]
    assert card["system"]["species"] == ["Fe", "Pd"] and card["system"]["labels"] == sum(
        card["quality"]["grades"].values()
    )
    assert set(card["moments"]["definition"]) == {"PAW"} and "−∂E/∂m" in card["magnetic_forces"]["sign"]
    assert card["constraint"]["soft"]["labels"] == card["system"]["labels"]
    assert card["engine"]["functional"] == "none: a model" and card["engine"]["settings"]
    page = (tmp_path / "set" / "README.md").read_text()
    for said in ("CC-BY-4.0", "P. Curie", "doi:10.0/x", "−∂E/∂m", "penalty", "dataset.xyz"):
        assert said in page
    assert json.loads((tmp_path / "bare" / "card.json").read_text())["licence"] == "not stated"
    sums = dict(reversed(line.split()) for line in (tmp_path / "set" / "SHA256SUMS").read_text().splitlines())
    files = {file.name for file in (tmp_path / "set").iterdir()} - {"SHA256SUMS"}
    assert set(sums) == files == set(card["files"]) - {"SHA256SUMS"} | {"README.md"}
    for name, digest in sums.items():
        assert hashlib.sha256((tmp_path / "set" / name).read_bytes()).hexdigest() == digest


def test_what_can_not_be_written_is_said(labelled, call):
    call("export", "dataset", "c", "set")
    assert "exists" in call("export", "dataset", "c", "set", code=2)
    assert "no campaign" in call("export", "dataset", "nope", "x", code=2)
    submit_campaign(labelled, small("other"))
    assert "no accepted label" in call("export", "dataset", "other", "x", code=2)
    assert "not of campaign" in call("export", "dataset", "other", "x", "--version", "1", code=2)
