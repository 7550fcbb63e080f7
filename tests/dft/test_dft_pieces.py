"""Ratios, responses, steps and limits of the protocol, each by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.data import covalent_radii
from pydantic import ValidationError

from mmtp_fw.dft import (
    Grade,
    OutcomeStatus,
    ProtocolSettings,
    Rule,
    StageName,
    get_engine,
    ramp,
    settings_hash,
)
from mmtp_fw.dft.checks import check_structure
from mmtp_fw.dft.moments import deviations, flipped, magnetic_forces, per_atom, slope_by_species
from mmtp_fw.errors import InputError


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


# Moments ----------------------------------------------------------------------------------------------------------


def test_slopes_are_least_squares_through_the_origin():
    symbols = ["Fe", "Fe", "Pd", "Pd"]
    found = slope_by_species(symbols, array(1, 2, 0.5, -0.5), array(0.9, 1.7, 0.2, -0.4))
    assert list(found) == ["Fe", "Pd"]
    assert found["Fe"] == pytest.approx((0.9 + 3.4) / 5)
    assert found["Pd"] == pytest.approx((0.1 + 0.2) / 0.5)
    np.testing.assert_array_equal(per_atom(["b", "a", "b"], {"a": 1.0, "b": 2.0}), [2, 1, 2])


@pytest.mark.parametrize(
    ("x", "y", "slope"),
    [
        ((2.0, 0.0199), (1.0, 0.0199), 0.5),  # too small to tell: the slope of all
        ((2.0, -0.0199), (1.0, 0.5), None),
        ((2.0, 0.0201), (1.0, 0.0201), 1.0),
        ((2.0, 1.0), (1.0, 0.049), None),  # next to nothing, or the wrong sign: the slope of all
        ((2.0, 1.0), (1.0, 0.051), 0.051),
        ((2.0, 1.0), (1.0, -0.8), None),
    ],
)
def test_species_without_moments_take_the_slope_of_all(x, y, slope):
    every = (x[0] * y[0] + x[1] * y[1]) / (x[0] ** 2 + x[1] ** 2)
    found = slope_by_species(["Fe", "Pd"], array(*x), array(*y))
    assert found["Fe"] == pytest.approx(0.5)
    assert found["Pd"] == pytest.approx(every if slope is None else slope, abs=1e-4)


def test_without_any_moments_the_slope_is_one():
    assert slope_by_species(["Fe", "Pd"], array(0.01, 0.0), array(0.3, 0.3)) == {"Fe": 1.0, "Pd": 1.0}


def test_deviations_flips_and_forces():
    assert deviations(array(1.0, -2.0, 0.0), array(1.5, -1.0, 0.0)) == (0.5, 1.0)
    target = array(0.3, -0.31, 2.0, 2.0, -2.0, 0.31)
    assert flipped(array(-1, 1, 2, -2, -0.1, 0.0), target, 0.3) == [1, 3, 5]
    assert flipped(target, target, 0.3) == []
    np.testing.assert_allclose(
        magnetic_forces(3.0, array(1.0, 2.0), array(0.5, 2.5), array(0.8, 0.5)), [6 * 0.5 * 0.8, 6 * -0.5 * 0.5]
    )


# The ramp ---------------------------------------------------------------------------------------------------------


def test_a_response_is_a_line_through_two_calculations():
    before, now = (
        (array(1.0, 1.0, 1.0, 1.0, 1.0), array(0, 0, 0, 0, 0.0)),
        (
            array(1.2, 0.8, 1.009, 1.1, 1.1),
            array(-0.6, 0.4, 3.0, 0.5, -2.0),
        ),
    )
    target, slopes = array(1.4, 0.6, 1.1, 1.3, 1.3), array(0.8, 0.8, 0.8, 0.7, 0.7)
    found = ramp.Response.measure(before, now, target, slopes)
    # Too short a way to tell; a stiffness is never negative, and at most 5 eV/μB².
    np.testing.assert_allclose(found.stiffness, [3.0, 2.0, 0.0, 0.0, 5.0])
    np.testing.assert_allclose(found.force, [-0.6 - 3 * 0.2, 0.4 + 2 * 0.2, 3.0, 0.5, -2 - 5 * 0.2])
    np.testing.assert_allclose(found.deviation(2.0), found.force / (4 + found.stiffness) / slopes)
    np.testing.assert_allclose(found.shift(2.0), -found.force / 4)


def respond(force: float, stiffness: float = 0.0, slope: float = 1.0) -> ramp.Response:
    return ramp.Response(array(force), array(stiffness), array(slope))


def step(response, x, field, target, last, dare, **changed):
    return ramp.adaptive_step(
        response, (array(x), array(field)), array(target), last, dare, ProtocolSettings(**changed)
    )


GRID = np.geomspace(1.0, 50.0, 40)


def test_a_shifted_constraint_needs_the_least_lambda():
    # 0.4·F/(2λ + κ)/s within 0.7 of both limits: the mean's is the narrower one for one atom.
    needed = next(g for g in GRID if 0.4 * 2.0 / (2 * g + 3.0) / 0.8 <= 0.7 * 0.05)
    found = step(respond(2.0, 3.0, 0.8), 1.0, 0.5, 0.6, 5.0, np.inf)
    assert found.strength == pytest.approx(needed) and 1 < needed < 50
    np.testing.assert_allclose(found.constraint, [0.6 - 2.0 / (2 * needed)])
    assert found.jump == pytest.approx(abs(2 * needed * (1.0 - found.constraint[0]) - 0.5))
    spread = ramp.Response(array(2.0, 0, 0, 0, 0, 0, 0, 0), np.full(8, 3.0), np.full(8, 0.8))
    largest = next(g for g in GRID if 0.4 * 2.0 / (2 * g + 3.0) / 0.8 <= 0.7 * 0.15)
    found = ramp.adaptive_step(spread, (np.ones(8), np.zeros(8)), np.ones(8), 5.0, np.inf, ProtocolSettings())
    assert found.strength == pytest.approx(largest), "then it is the largest deviation's"


@pytest.mark.parametrize(
    ("last", "growth", "expected"),
    [(2.0, 3.0, 6.0), (0.1, 3.0, 1.0), (40.0, 3.0, 50.0), (0.5, 10.0, 5.0)],
)
def test_lambda_has_a_ceiling(last, growth, expected):
    """No more than the growth limit allows, but the first of the series and no more than the last."""
    found = step(respond(1e6), 1.0, 0.0, 1.0, last, np.inf, growth_limit=growth)
    assert found.strength == pytest.approx(expected)
    np.testing.assert_allclose(found.constraint, [1.0 - 1e6 / (2 * expected)])


def test_what_is_not_dared_raises_lambda_under_the_target():
    # Unshifted the field would change by 2λ·0.5: λ ≤ 8 is dared, of a table from 50 down to 1.1·5.
    found = step(respond(20.0), 1.0, 0.0, 0.5, 5.0, 8.0)
    ratio = (50 / 5.5) ** (1 / 29)
    assert 8 / ratio < found.strength <= 8
    np.testing.assert_array_equal(found.constraint, [0.5])
    assert found.jump == pytest.approx(found.strength)
    # Where λ is large enough already it is doubled at most: 2λ·4.5 − 26 ≤ 8.
    found = step(respond(1e-3), 5.0, 26.0, 0.5, 3.0, 8.0)
    largest = 34 / 9
    assert largest / (6 / 3.3) ** (1 / 29) < found.strength <= largest
    wide = step(respond(1e-3), 5.0, 45.9, 0.5, 3.0, 9.0)
    assert wide.strength == pytest.approx(6.0), "at once to the double, where that is dared"
    limited = step(respond(20.0), 1.0, 0.0, 0.5, 5.0, 8.9, growth_limit=1.5)
    assert limited.strength == pytest.approx(7.5)


@pytest.mark.parametrize(("field", "constraint"), [(0.0, 0.9), (2.0, 0.7)])
def test_else_a_part_of_the_way_from_the_present_constraint(field, constraint):
    found = step(respond(20.0), 1.0, field, 0.5, 5.0, 1.0)
    assert found.strength == 5.0
    np.testing.assert_allclose(found.constraint, [constraint])
    assert found.jump == pytest.approx(1.0)
    above = step(respond(20.0), 1.0, 0.0, 0.5, 80.0, 1.0)
    assert above.strength == 50.0 and above.jump == pytest.approx(1.0)


def test_steps_back_lie_between():
    assert ramp.step_back(4.0, 9.0) == pytest.approx(6.0)
    assert ramp.step_back(None, 2.0) == pytest.approx(0.5)


# Settings ---------------------------------------------------------------------------------------------------------


DEFAULTS = {
    "adaptive": True,
    "lambda_series": (1.0, 5.0, 10.0, 25.0, 50.0),
    "mae_limit_muB": 0.05,
    "max_limit_muB": 0.15,
    "refine_limit_mae_muB": 0.01,
    "refine_runs": 2,
    "useful_mae_limit_muB": 0.25,
    "useful_max_limit_muB": 0.6,
    "flip_threshold_muB": 0.3,
    "radii_lambda_eV_per_muB2": 0.5,
    "radii_tolerance": 0.02,
    "radii_tolerance_muB": 0.02,
    "radii_runs": 3,
    "step_backs": 5,
    "ramp_runs": 15,
    "growth_limit": 10.0,
    "aim": 0.7,
    "integration_tolerance_eV_per_atom": 0.0005,
    "integration_tolerance_relative": 0.05,
    "hard_integration_tolerance_eV_per_atom": 0.0001,
    "constraint": "auto",
    "hard_tolerance_muB": 1e-3,
    "hard_from_lambda_eV_per_muB2": 1.0,
    "check_first": 10,
    "check_every": 10,
    "check_step_muB": 0.03,
}
MAY_BE_ZERO = ("refine_limit_mae_muB", "integration_tolerance_relative")
POSITIVE = [name for name, value in DEFAULTS.items() if isinstance(value, float) and name not in MAY_BE_ZERO]


def test_defaults_of_the_protocol():
    found = ProtocolSettings().model_dump()
    assert {name: found[name] for name in DEFAULTS} == DEFAULTS
    assert ProtocolSettings().lambda_max == 50.0
    assert ProtocolSettings(lambda_series=(2.0, 3.0)).lambda_max == 3.0


@pytest.mark.parametrize("name", POSITIVE)
def test_limits_and_strengths_are_positive(name):
    with pytest.raises(ValidationError):
        ProtocolSettings(**{name: 0.0})
    if name != "growth_limit":
        assert getattr(ProtocolSettings(**{name: 1e-6}), name) == 1e-6


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"refine_limit_mae_muB": 0.0}, {"refine_limit_mae_muB": -1e-9}),
        ({"integration_tolerance_relative": 0.0}, {"integration_tolerance_relative": -1e-9}),
        ({"check_first": 0}, {"check_first": -1}),
        ({"check_every": 0}, {"check_every": -1}),
        ({"constraint": "hard"}, {"constraint": "firm"}),
        ({"refine_runs": 0}, {"refine_runs": -1}),
        ({"radii_runs": 1}, {"radii_runs": 0}),
        ({"step_backs": 0}, {"step_backs": -1}),
        ({"ramp_runs": 1}, {"ramp_runs": 0}),
        ({"growth_limit": 1.001}, {"growth_limit": 1.0}),
        ({"aim": 1.0}, {"aim": 1.001}),
        ({"lambda_series": (0.1,)}, {"lambda_series": ()}),
        ({"lambda_series": (1.0, 1.1)}, {"lambda_series": (1.0, 1.0)}),
        ({"lambda_series": (1.0, 2.0, 3.0)}, {"lambda_series": (1.0, 3.0, 2.0)}),
        ({"lambda_series": (1e-6, 2.0)}, {"lambda_series": (0.0, 2.0)}),
        ({}, {"lamda_series": (1.0,)}),
    ],
)
def test_where_settings_end(good, bad):
    ProtocolSettings(**good)
    with pytest.raises(ValidationError):
        ProtocolSettings(**bad)


@pytest.mark.parametrize(
    ("first", "every", "checked"),
    [(10, 10, [*range(10), 10, 20, 30]), (2, 15, [0, 1, 15, 30]), (0, 0, []), (3, 0, [0, 1, 2]), (0, 20, [0, 20])],
)
def test_the_first_labels_and_then_every_so_manieth_are_checked(first, every, checked):
    chosen = ProtocolSettings(check_first=first, check_every=every)
    assert [number for number in range(35) if chosen.checks(number)] == checked


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        ProtocolSettings().aim = 0.5


def test_words_that_databases_keep():
    assert [grade.value for grade in Grade] == ["A", "B", "C"]
    assert [status.value for status in OutcomeStatus] == ["accepted", "rejected", "failed", "interrupted"]
    stages = ["hard", "equilibrium", "radii", "map", "ramp", "refine", "check", "accept"]
    assert [name.value for name in StageName] == stages
    assert {rule.value for rule in Rule} >= {
        "criteria_met", "smallest_mae_useful", "moments_too_far", "moment_flipped", "no_converged_stage",
        "inconsistent_energy", "engine_failed", "stopped",
    }  # fmt: skip


# Requests ---------------------------------------------------------------------------------------------------------


def pair(distance: float, box: float = 10.0) -> Atoms:
    atoms = Atoms("FePd", [[0, 0, 0], [distance, 0, 0]], cell=[box] * 3, pbc=True)
    atoms.set_initial_magnetic_moments([2.0, 0.3])
    return atoms


def spoilt(change) -> Atoms:
    atoms = pair(2.5)
    change(atoms)
    return atoms


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda atoms: atoms.__delitem__(slice(None)), "no atoms"),
        (lambda atoms: atoms.positions.__setitem__((1, 2), np.inf), "positions hold a number that is not finite"),
        (lambda atoms: atoms.set_initial_magnetic_moments([1.0, np.nan]), "target moments hold"),
        (lambda atoms: atoms.arrays.update(initial_magmoms=np.ones((2, 3))), "one signed number per atom"),
        (lambda atoms: atoms.set_pbc([True, True, False]), "not periodic in three directions"),
        (lambda atoms: atoms.set_cell([10, 10, 0.0]), "no volume"),
        (lambda atoms: atoms.set_cell([1, 1, 0.99]), "no volume"),
    ],
)
def test_structures_that_nobody_can_compute(change, words):
    check_structure(pair(2.5))
    with pytest.raises(InputError, match=words):
        check_structure(spoilt(change))


def test_atoms_too_near_are_named():
    nearest = 0.6 * (covalent_radii[26] + covalent_radii[46])
    check_structure(pair(1.001 * nearest))
    with pytest.raises(InputError, match=r"atoms [01] \((Fe|Pd)\) and [01] \((Fe|Pd)\) are 1\.62 Å apart"):
        check_structure(pair(1.62))
    three = pair(1.62) + Atoms("Fe", [[0, 0, 1.2]])
    three.set_initial_magnetic_moments([2.0, 0.3, 2.0])
    with pytest.raises(InputError, match=r"are 1\.20 Å apart"):
        check_structure(three)


def test_engines_by_name():
    assert get_engine("hamiltonian").name == "hamiltonian"
    with pytest.raises(InputError, match="unknown DFT engine 'nonsense'"):
        get_engine("nonsense")
    with pytest.raises(InputError, match="engine 'hamiltonian'"):
        get_engine("hamiltonian", no_such_setting=1)


def test_hashes_depend_on_content_not_on_order():
    one = settings_hash({"a": 1, "b": [1, 2]}, {"c": None})
    assert one == settings_hash({"b": [1, 2], "a": 1}, {"c": None})
    assert len({one, settings_hash({"a": 1, "b": [2, 1]}, {"c": None}), settings_hash({"a": 1, "b": [1, 2]})}) == 3
    # Labels are found by it: it must not change from version to version.
    assert settings_hash({"a": 1}) == "000040b05cd78ab9407b433a1108433b"
