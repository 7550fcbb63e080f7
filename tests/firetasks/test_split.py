"""Labels for validation: divided once, and kept out of whatever a version learns or calls known."""

from __future__ import annotations

import json

import ase.io
import numpy as np
import pytest
from recorded_campaign import Recorded, context, stored
from small_campaign import small
from typer.testing import CliRunner

from mmtp_fw.cli.app import app
from mmtp_fw.dft import get_engine, run_protocol
from mmtp_fw.dft.stages import Label
from mmtp_fw.errors import FitError
from mmtp_fw.firetasks.fit import FitWork, split
from mmtp_fw.firetasks.potentials import load_active_set, load_potential
from mmtp_fw.loop.facts import Kind
from mmtp_fw.selection import ActiveSet
from mmtp_fw.structures import generate

QUICK = {"max_iterations": 3, "settings": {"threads": 1}}


@pytest.fixture(scope="module")
def labelled() -> list[dict]:
    """Accepted labels of cells that differ much."""
    made = generate(
        {"Fe": 0.75, "Pd": 0.25}, [3.6, 3.85], {"Fe": 2.6, "Pd": 0.3}, 13, supercell=(1, 1, 1), displacement_A=0.2
    )
    engine = get_engine("hamiltonian")
    return [run_protocol(engine, atoms).label.model_dump(mode="json") for atoms in made]


def key_of(share: float, k: int) -> str:
    return f"{int(share * 2**32):08x}{k:024x}"


def recorded(database, labelled, shares, campaign, rounds=None) -> tuple[Recorded, list[str]]:
    """Write labels down whose configurations' hashes begin where `shares` say; return their calculations."""
    made, keys = Recorded(database, campaign), []
    for k, (share, label) in enumerate(zip(shares, labelled, strict=False)):
        configuration = key_of(share, k)
        made.label((rounds or [0] * len(shares))[k], configuration, {"outcome": "accepted"}, {"label": label})
        keys.append(f"{configuration}/settings")
    return made, keys


def fitted(made, tmp_path, iteration, subject="", **params) -> dict:
    at = context(made, tmp_path, Kind.FIT, iteration, subject, {"parent": None, "role": "version"} | params)
    version = stored(FitWork(), at, FitWork().compute(at))["potential"]
    return made.database.potentials.find_one({"_id": version})


def sides(database, potential) -> tuple[set[str], set[str]]:
    found = database.training_sets.find_one({"_id": potential["training_set"]})
    return set(found["calculations"]) - set(found["validation"]), set(found["validation"])


def test_what_was_divided_before_stays_on_its_side():
    keys = [f"{key_of(share, k)}/s" for k, share in enumerate((0.05, 0.2, 0.5, 0.9))]
    assert split(keys, 0.3) == (keys[2:], keys[:2])
    assert split(keys, 0.3, held_out={keys[3]}) == ([keys[2]], [keys[0], keys[1], keys[3]])
    assert split(keys, 0.3, trained={keys[0]}) == ([keys[0], *keys[2:]], [keys[1]])
    assert split(keys, 0.3, {keys[0]}, {keys[0]})[1] == keys[:2], "once held out, never trained on"
    assert split(keys, 0.0, held_out={keys[2]}) == ([keys[0], keys[1], keys[3]], [keys[2]])
    assert split(keys[:2], 0.3, held_out={keys[1]}) == ([keys[0]], [keys[1]]), "there must be something to train on"
    with pytest.raises(FitError, match="kept for validation"):
        split(keys[:2], 0.3, held_out=keys[:2])


def test_later_versions_keep_the_split_whatever_becomes_of_the_fraction(database, tmp_path, labelled):
    shares, rounds = (0.05, 0.3, 0.6, 0.8, 0.02, 0.2), (0, 0, 0, 0, 1, 1)
    made, keys = recorded(database, labelled, shares, small("c", fit=QUICK | {"validation_fraction": 0.4}), rounds)
    assert sides(database, fitted(made, tmp_path, 0)) == (set(keys[2:4]), set(keys[:2]))
    made.campaign = small("c", fit=QUICK | {"validation_fraction": 0.1})
    training, validation = sides(database, fitted(made, tmp_path, 1, parent=1))
    assert validation == {keys[0], keys[1], keys[4]} and training == {keys[2], keys[3], keys[5]}
    # A campaign of its own divides for itself.
    other, same = recorded(
        database, labelled[:4], (0.05, 0.3, 0.6, 0.8), small("d", fit=made.campaign.fit.model_dump())
    )
    assert sides(database, fitted(other, tmp_path, 0))[1] == {same[0]}


def test_labels_of_a_first_fit_that_had_no_others_go_on_training(database, tmp_path, labelled):
    made, keys = recorded(database, labelled, (0.1, 0.2, 0.15, 0.9), small("c", fit=QUICK), (0, 0, 1, 1))
    made.campaign = small("c", fit=QUICK | {"validation_fraction": 0.3})
    assert sides(database, fitted(made, tmp_path, 0)) == (set(keys[:2]), set())
    assert sides(database, fitted(made, tmp_path, 1, parent=1)) == ({keys[0], keys[1], keys[3]}, {keys[2]})


def test_other_starts_and_members_train_on_the_same(database, tmp_path, labelled):
    shares, rounds = (0.05, 0.3, 0.6, 0.8, 0.7), (0, 0, 0, 0, 1)
    made, keys = recorded(database, labelled, shares, small("c", fit=QUICK | {"validation_fraction": 0.4}), rounds)
    starts = [fitted(made, tmp_path, 0, f"start-{k}") for k in range(2)]
    assert starts[0]["training_set"] == starts[1]["training_set"]
    made.campaign = small("c", fit=QUICK | {"validation_fraction": 0.0})
    member = fitted(made, tmp_path, 1, "member-1", role="member", of=starts[0]["_id"])
    assert member["training_set"] == starts[0]["training_set"], "its version's, not that of its own round"
    assert sides(database, member)[1] == set(keys[:2])


def test_a_label_that_no_fit_saw_is_not_known(database, tmp_path, labelled):
    """Kept for validation, without weight or left out: each is as new to the active set as to the potential."""
    weights = {"A": 1.0, "B": 1.0, "C": 0.0}
    ours = [{**label, "grade": "A"} for label in labelled]
    ours[3]["grade"] = "C"
    section = {"max_iterations": 30, "validation_fraction": 0.1, "quality_weights": weights}
    section["settings"] = {"threads": 1, "leave_out_suspects": True, "suspect_factor": 1.5}
    shares = [0.05, *np.linspace(0.3, 0.9, 12)]
    made, keys = recorded(database, ours, shares, small("c", fit=section))
    document = fitted(made, tmp_path, 0)
    unseen = {keys[0], keys[3], *document["fit"]["left_out"]}
    assert 2 < len(unseen) < len(keys) - 1, "the fit finds some suspect"
    atoms = {key: Label.model_validate(label).to_atoms() for key, label in zip(keys, ours, strict=True)}
    active = load_active_set(database, document["_id"])
    potential = load_potential(database, document["_id"])
    seen = [atoms[key] for key in keys if key not in unseen]
    expected = ActiveSet.from_configurations(potential, seen)
    for key in keys:
        assert active.grade(atoms[key]) == pytest.approx(float(expected.grade(atoms[key])), rel=1e-6)
    for key in unseen:
        assert active.grade(atoms[key]) > 1.0


def test_a_training_set_is_written_without_what_was_kept_out(database, tmp_path, labelled, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made, _ = recorded(database, labelled, (0.05, 0.3, 0.6, 0.8), small("c", fit=QUICK | {"validation_fraction": 0.4}))
    fitted(made, tmp_path, 0)

    def call(*arguments, code=0):
        done = CliRunner().invoke(app, ["export", "training-set", *arguments])
        assert done.exit_code == code or done.exception, done.output
        return done

    told = json.loads(call("1", "set.xyz", "--json").output)["content"]
    assert told == "2 labels; 2 kept for validation"
    energies = sorted(frame.get_potential_energy() for frame in ase.io.read("set.xyz", ":"))
    assert energies == pytest.approx(sorted(label["energy_eV"] for label in labelled[2:4]), abs=1e-6)
    call("1", "set.xyz", "--validation", "held.xyz")
    held = sorted(frame.get_potential_energy() for frame in ase.io.read("held.xyz", ":"))
    assert held == pytest.approx(sorted(label["energy_eV"] for label in labelled[:2]), abs=1e-6)
    assert "a file of its own" in str(call("1", "set.xyz", "--validation", "./set.xyz", code=1).exception)
    other, _ = recorded(database, labelled, (0.5, 0.6), small("e", fit=QUICK | {"validation_fraction": 0.0}))
    fitted(other, tmp_path, 0)
    assert "kept from the training" in str(call("2", "set.xyz", "--validation", "held.xyz", code=1).exception)
