from __future__ import annotations

import numpy as np
import pytest

from mmtp_fw.errors import InputError
from mmtp_fw.fitting import Finding, FitSettings, Report, Weights, check_training_set, fit
from mmtp_fw.potential import Potential


def spoil_nan(atoms):
    atoms.calc.results["forces"][0, 0] = np.nan


def spoil_species(atoms):
    atoms.symbols[0] = "Ni"


def spoil_forces(atoms):
    del atoms.calc.results["forces"]


def spoil_stress(atoms):
    del atoms.calc.results["stress"]


def spoil_moments(atoms):
    atoms.calc.results["magmoms"] = atoms.calc.results["magmoms"] * 0 + 7.5


def spoil_distance(atoms):
    atoms.positions[1] = atoms.positions[0]


def spoil_force_units(atoms):
    atoms.calc.results["forces"] = atoms.calc.results["forces"] * 5e4


def spoil_stress_units(atoms):
    atoms.calc.results["stress"] = atoms.calc.results["stress"] * 1602.0 + 300


def spoil_energy_units(atoms):
    atoms.calc.results["energy"] /= 27.211386


def spoil_shape(atoms):
    atoms.calc.results["forces"] = atoms.calc.results["forces"][:-1]


def spoil_label(atoms):
    atoms.calc = None
    del atoms.arrays["magnetic_forces"]


@pytest.mark.parametrize(
    ("spoil", "rule", "words"),
    [
        (spoil_nan, "nan", "forces holds NaN"),
        (spoil_species, "species", "Ni is not among"),
        (spoil_forces, "missing", "has no forces"),
        (spoil_stress, "missing", "has no stress"),
        (spoil_moments, "moments", "7.500 μB, beyond the magnetic basis"),
        (spoil_distance, "distance", "coincide"),
        (spoil_force_units, "units", "suggest another unit"),
        (spoil_stress_units, "units", "suggest another unit"),
        (spoil_energy_units, "units", "Ha instead of eV"),
        (spoil_shape, "shape", "forces of shape"),
        (spoil_label, "missing", "has no energy"),
    ],
)
def test_one_message_names_the_configuration(potential, training, spoil, rule, words):
    training[5].info["name"] = "run-7"
    spoil(training[5])
    with pytest.raises(InputError, match=r"configuration 5 \(run-7\)") as caught:
        fit(potential, training)
    assert words in str(caught.value)
    assert check_training_set(potential, training).fatal[0].rule == rule


def test_a_good_set_has_no_findings(potential, training):
    assert check_training_set(potential, training).findings == []


def test_duplicates_are_named_and_contradictions_are_fatal(potential, training):
    report = check_training_set(potential, [*training, training[2].copy()])
    assert report.fatal  # the copy has no label
    twin = training[2].copy()
    twin.calc = type(training[2].calc)(twin, **training[2].calc.results)
    report = check_training_set(potential, [*training, twin])
    assert not report.fatal
    assert "configuration 12: the same as configuration 2" in report.warnings
    twin.calc.results["energy"] += 1.0
    assert check_training_set(potential, [*training, twin]).fatal[0].rule == "duplicate"


def test_what_has_no_weight_may_be_missing(potential, training):
    spoil_stress(training[0])
    assert not check_training_set(potential, training, Weights(stress=0)).fatal


def test_missing_magnetic_forces_and_short_distances_are_warnings(potential, training):
    del training[1].arrays["magnetic_forces"]
    narrow = Potential.from_level(6, ["Fe", "Pd"], r_min=3.0, r_cut=4.5, magnetic_size=2)
    report = check_training_set(narrow, training)
    assert not report.fatal
    assert any("configuration 1: has no magnetic forces" in message for message in report.warnings)
    assert any("below r_min" in message for message in report.warnings)


def test_an_empty_set_is_refused(potential):
    with pytest.raises(InputError, match="empty"):
        fit(potential, [])


def twin_of(atoms):
    twin = atoms.copy()
    twin.calc = type(atoms.calc)(twin, **atoms.calc.results)
    return twin


def test_findings_of_a_part_are_those_of_its_own_check(potential, training):
    training[3].info["name"] = "odd"
    del training[3].arrays["magnetic_forces"]
    whole = [*training, twin_of(training[3]), twin_of(training[3]), twin_of(training[0])]
    report = check_training_set(potential, whole)
    assert len(report.warnings) == 6  # three without magnetic forces, three doubles
    for part in ([0, 3, 12, 13, 14], [12, 13, 14], [3], [13], [1, 2], [0, 14], list(range(15))):
        alone = check_training_set(potential, [whole[k] for k in part])
        assert report.of_part(part).findings == alone.findings


def test_a_contradiction_stays_fatal_in_a_part(potential, training):
    twin = twin_of(training[2])
    twin.calc.results["energy"] += 1.0
    report = check_training_set(potential, [*training, twin])
    assert [finding.message for finding in report.of_part([2, 12]).fatal] == [
        "configuration 1: the same atoms and moments as configuration 0, with an energy that differs by 1 eV"
    ]
    assert report.of_part([12]).fatal, "one of two labels is wrong, whether or not both take part"


def test_a_fit_takes_the_check_that_was_made(potential, training):
    settings = FitSettings(max_iterations=1, threads=1)
    odd = Finding(2, "", "moments", "looks odd", False)
    assert fit(potential, training, settings=settings, report=Report([odd])).warnings[0] == "configuration 2: looks odd"
    with pytest.raises(InputError, match="configuration 1: can't be"):
        fit(potential, training, settings=settings, report=Report([Finding(1, "", "nan", "can't be", True)]))


@pytest.mark.parametrize(("shift", "apart"), [(-59.0, True), (59.0, True), (-3.0, False), (8.0, False)])
def test_a_ghost_state_stands_out_of_its_composition(potential, training, shift, apart):
    ghost = training[2]
    ghost.calc.results["energy"] += shift * len(ghost)
    fatal = check_training_set(potential, training).fatal
    assert [(finding.index, finding.rule) for finding in fatal] == ([(2, "apart")] if apart else [])
    if apart:
        assert "no state of that solid" in fatal[0].message and ("+" in fatal[0].message) == (shift > 0)
    alone = check_training_set(potential, [ghost, *training[:2]])
    assert not alone.fatal, "of three labels none can be told from the others"
