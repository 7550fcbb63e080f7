"""What a fit takes from its campaign and labels, and what it stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recorded_campaign import Recorded, context, stored
from small_campaign import small

from mmtp_fw.dft import get_engine, run_protocol
from mmtp_fw.errors import FitError, InputError
from mmtp_fw.firetasks.fit import FitWork, accepted_labels, split, usable
from mmtp_fw.firetasks.potentials import load_active_set, load_potential
from mmtp_fw.fitting.ensemble import PERTURBATION, too_bad
from mmtp_fw.loop.facts import Kind, seed_of
from mmtp_fw.potential import Potential
from mmtp_fw.structures import generate

FILE = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"


@pytest.fixture(scope="module")
def fepd() -> Potential:
    return Potential.read(FILE)


@pytest.fixture(scope="module")
def labelled() -> list[dict]:
    """Five accepted labels of the small campaign's cells."""
    made = generate(
        {"Fe": 0.75, "Pd": 0.25}, [3.72, 3.78], {"Fe": 2.6, "Pd": 0.3}, 5, supercell=(1, 1, 1), displacement_A=0.05
    )
    engine = get_engine("hamiltonian")
    return [run_protocol(engine, atoms).label.model_dump(mode="json") for atoms in made]


# Fits -------------------------------------------------------------------------------------------------------------


def test_a_configuration_is_in_validation_by_its_own_hash():
    keys = [f"{int(share * 2**32):08x}{k:024x}/settings" for k, share in enumerate((0.05, 0.0999, 0.1001, 0.5, 0.99))]
    assert split(keys, 0.1) == (keys[2:], keys[:2])
    assert split(keys, 0.0) == (keys, []) and split(keys, 0.499) == (keys[3:], keys[:3])
    assert split(keys[:2], 0.1) == (keys[:2], []), "there must be something to train on"
    assert split(keys[::-1], 0.1)[0] == keys[:1:-1], "in their order"


def written(database, labelled, campaign=None) -> tuple[Recorded, list[str]]:
    """Write labels of two rounds down; return their calculations in key order."""
    made = Recorded(database, campaign)
    keys = []
    for k, label in enumerate(labelled):
        configuration = made.configuration(0.01 * k)
        made.label(int(k > 2), configuration, {"outcome": "accepted", "reason": "r"}, {"label": label, "rule": "x"})
        keys.append(f"{configuration}/settings")
    return made, keys


def test_labels_to_fit_are_the_accepted_ones_up_to_this_round(database, tmp_path, labelled):
    weights = {"A": 0.5, "B": 0.25, "C": 0.125}
    made, keys = written(database, labelled, small("c", fit={"quality_weights": weights}))
    rejected = made.configuration(0.5)
    made.label(0, rejected, {"outcome": "rejected"}, {"label": labelled[0]})
    other = Recorded(database, small("other"))
    foreign = other.configuration(0.6)
    other.label(0, foreign, {"outcome": "accepted"}, {"label": labelled[0]})
    first = accepted_labels(context(made, tmp_path, Kind.FIT, 0))
    assert list(first) == sorted(keys[:3])
    every = accepted_labels(context(made, tmp_path, Kind.FIT, 1))
    assert list(every) == sorted(keys)
    for key, label in zip(keys, labelled, strict=True):
        assert every[key].info["weight"] == weights[label["grade"]]
        assert every[key].get_potential_energy() == label["energy_eV"]


def test_a_fit_keeps_what_new_labels_say_of_its_parent(database, tmp_path, labelled):
    """The labels of a round, and those that were kept for validation, are held against the version before."""
    section = {"max_iterations": 3, "validation_fraction": 0.0, "settings": {"threads": 1}}
    made, keys = written(database, labelled, small("c", fit=section))
    at = context(made, tmp_path, Kind.FIT, 0, params={"parent": None, "role": "version"})
    first = FitWork().compute(at)
    assert first.fields["fit"]["surprise"] is None and len(first.calculations) == 3
    version = stored(FitWork(), at, first)["potential"]
    at = context(made, tmp_path, Kind.FIT, 1, params={"parent": version, "role": "version"})
    told = FitWork().compute(at).fields["fit"]["surprise"]
    assert told["of"] == version and sorted(told["labels"]) == sorted(keys[3:])
    parent = load_potential(database, version)
    for key, pairs in told["pairs"].items():
        assert len(pairs["errors"]) == len(pairs["uncertainties"]) == 2, key
    for label, error in zip(told["labels"], told["pairs"]["energy_per_atom_eV"]["errors"], strict=True):
        atoms = accepted_labels(at)[label]
        assert error == pytest.approx(abs(parent.evaluate(atoms).energy - atoms.get_potential_energy()) / len(atoms))


def test_a_fit_takes_its_form_and_settings_from_the_campaign(database, tmp_path, labelled):
    form = {
        "level": 4, "r_min_A": 1.7, "r_cut_A": 4.25, "radial_size": 3, "magnetic_size": 2, "max_moment_muB": 3.75,
        "symmetrized": True,
    }  # fmt: skip
    weights = {"energy_weight": 2.0, "forces_weight": 0.03, "stress_weight": 0.004, "magnetic_forces_weight": 0.5}
    section = weights | {"max_iterations": 3, "validation_fraction": 0.0, "settings": {"tolerance": 0.0, "threads": 1}}
    made, keys = written(
        database, labelled, small("c", potential=form, fit=section, selection={"mode": "configuration"})
    )
    at = context(made, tmp_path, Kind.FIT, 1, params={"parent": None, "role": "version"})
    fitted = FitWork().compute(at)
    result = stored(FitWork(), at, fitted)
    document = database.potentials.find_one({"_id": result["potential"]})
    potential = load_potential(database, result["potential"])
    assert (potential.r_min, potential.r_cut, potential.radial_size) == (1.7, 4.25, 3)
    assert (potential.magnetic_size, potential.max_moment, potential.symmetrized) == (2, 3.75, True)
    assert document["weights"] == {
        "energy": 2.0, "forces": 0.03, "stress": 0.004, "magnetic_forces": 0.5, "moment_deviation_muB": 0.0,
    }  # fmt: skip
    wanted = {"campaign": "c", "iteration": 1, "action": "c/001/fit", "role": "version", "member_of": None}
    wanted |= {"parent": None, "level": 4, "species": ["Fe", "Pd"], "n_parameters": potential.n_parameters}
    assert wanted.items() <= document.items() and document["content_hash"] == potential.content_hash
    assert document["fit"]["iterations"] == 3 and document["fit"]["excluded"] == [] == document["fit"]["suspects"]
    assert set(document["errors"]) >= {"energy_per_atom_eV"} and document["validation_errors"] == {}
    training = database.training_sets.find_one({"_id": document["training_set"]})
    assert training["calculations"] == sorted(keys) and training["validation"] == []
    active = load_active_set(database, result["potential"])
    assert active.mode == "configuration" and active.potential.content_hash == potential.content_hash
    assert result["labels"] == 5 and set(result["fit"]) == {"loss", "converged", "iterations", "message"}
    assert result["fit"]["loss"] == document["fit"]["loss"] > 0
    # From the parent; and a member of an ensemble, which needs no active set.
    at = context(made, tmp_path, Kind.FIT, 2, params={"parent": result["potential"], "role": "version"})
    child = FitWork().compute(at)
    assert "from the given parameters" in child.fields["fit"]["decision"]
    assert child.fields["fit"]["surprise"] is None, "no label is new to its parent"
    assert database.potentials.find_one({"_id": stored(FitWork(), at, child)["potential"]})["parent"] == 1
    at = context(made, tmp_path, Kind.FIT, 1, "member-1", {"parent": 1, "role": "member", "of": 1})
    member = database.potentials.find_one({"_id": stored(FitWork(), at, FitWork().compute(at))["potential"]})
    assert (member["role"], member["member_of"], member["active_set"]) == ("member", 1, None)
    assert member["content_hash"] != document["content_hash"] and member["parent"] == 1
    assert "from the given parameters" in member["fit"]["decision"]
    told = member["fit"]["member"]
    assert told["seed"] == seed_of(made.campaign, "c/001/fit/member-1") and told["perturbation"] == PERTURBATION
    assert told["loss_ratio"] == pytest.approx(member["fit"]["loss"] / document["fit"]["loss"], rel=1e-6)
    assert len(member["fit"]["loss_by_configuration"]) == 5 and told["refused"] == too_bad(told["loss_ratio"])
    with pytest.raises(InputError, match="no active set of a potential 3"):
        load_active_set(database, 3)
    for load in (load_potential, load_active_set):
        with pytest.raises(InputError, match="potential 77 in this database"):
            load(database, 77)


def test_labels_for_validation_are_told_and_never_trained_on(database, tmp_path, labelled):
    section = {"max_iterations": 2, "validation_fraction": 0.49, "settings": {"threads": 1}}
    made, keys = written(database, labelled, small("c", fit=section))
    training, validation = split(sorted(keys), 0.49)
    assert training and validation, "the cells of this test are in both"
    at = context(made, tmp_path, Kind.FIT, 1, params={"parent": None, "role": "version"})
    fitted = FitWork().compute(at)
    assert fitted.validation == validation and fitted.calculations == sorted(keys)
    assert fitted.fields["errors"]["energy_per_atom_eV"]["count"] == len(training)
    assert fitted.fields["validation_errors"]["energy_per_atom_eV"]["count"] == len(validation)
    assert len(fitted.fields["fit"]["loss_by_configuration"]) == len(training)


def test_a_fit_without_usable_labels(database, tmp_path, labelled):
    made, _ = written(
        database, labelled[:1], small("c", potential={"level": 4, "max_moment_muB": 2.61, "r_cut_A": 4.0})
    )
    label = {**labelled[0], "moments": [3.0] * 4}
    database.calculations.update_many({}, {"$set": {"label": label}})
    with pytest.raises(FitError, match=r"no label can be fitted: .*3\.000 μB"):
        FitWork().compute(context(made, tmp_path, Kind.FIT, 1, params={"parent": None}))


def test_what_cannot_be_fitted_keeps_its_first_reason(fepd, labelled):
    from mmtp_fw.dft.stages import Label

    good, bad = (Label.model_validate(label).to_atoms() for label in labelled[:2])
    bad.calc.results["forces"][0] = np.nan
    bad.calc.results["energy"] = np.nan
    kept, excluded = usable(fepd, {"good": good, "bad": bad})
    assert list(kept) == ["good"] and list(excluded) == ["bad"] and "energy holds NaN" in excluded["bad"]
