"""The protocol on an engine of closed forms: every number that it decides by can be worked out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from quadratic import (
    ENERGY,
    FREE,
    SMOOTHING,
    SYMBOLS,
    TARGET,
    K,
    Quadratic,
    S,
    cell,
    labelled,
    ladder,
    mae,
    of,
    power,
    reached,
    series,
    strengths,
)

from mmtp_fw.dft import Grade, OutcomeStatus, ProtocolSettings, Rule, StageName, run_protocol
from mmtp_fw.dft.moments import LARGER_START

# The plain series -------------------------------------------------------------------------------------------------


def test_the_series_ends_inside_both_limits():
    chosen = series(1, 4, 16, 64, mae_limit_muB=1.01 * mae(16), max_limit_muB=9.0)
    outcome = labelled(Quadratic(FREE), cell(TARGET), chosen)
    assert strengths(outcome) == [1, 4, 16]
    ramp = of(outcome, StageName.RAMP)
    for stage in ramp:
        np.testing.assert_allclose(stage.constrained, S * TARGET, atol=1e-9)
        moments = reached(stage.lambda_eV_per_muB2)
        np.testing.assert_allclose(stage.final_moments(), moments, atol=1e-9)
        assert stage.mae_muB == pytest.approx(np.abs(moments - TARGET).mean())
        assert stage.max_deviation_muB == pytest.approx(np.abs(moments - TARGET).max())
        np.testing.assert_allclose(stage.magnetic_forces, -K * (moments - FREE), atol=1e-8)
        assert stage.energy_eV == pytest.approx(ENERGY + 0.5 * np.sum(K * (moments - FREE) ** 2))
    assert outcome.rule == Rule.CRITERIA_MET
    assert [stage.name.value for stage in ladder(outcome)] == ["equilibrium", "map", "ramp", "ramp", "ramp", "accept"]


def test_one_atom_off_is_enough_to_go_on():
    largest = float(np.abs(reached(16) - TARGET).max())
    for limit, ended in ((1.001 * largest, [1, 4, 16]), (0.999 * largest, [1, 4, 16, 64])):
        chosen = series(1, 4, 16, 64, mae_limit_muB=9.0, max_limit_muB=limit)
        assert strengths(labelled(Quadratic(FREE), cell(TARGET), chosen)) == ended


def test_a_series_that_is_not_enough_gives_the_best_of_it():
    loose = {"useful_mae_limit_muB": 1.001 * mae(4), "useful_max_limit_muB": 9.0}
    chosen = series(1, 4, mae_limit_muB=0.9 * mae(4), **loose)
    outcome = labelled(Quadratic(FREE), cell(TARGET), chosen)
    assert strengths(outcome) == [1, 4]
    assert (outcome.status, outcome.rule) == (OutcomeStatus.ACCEPTED, Rule.SMALLEST_MAE_USEFUL)
    assert outcome.label.lambda_eV_per_muB2 == 4 and outcome.label.grade == Grade.C
    useless = chosen.model_copy(update={"useful_mae_limit_muB": 0.999 * mae(4)})
    assert labelled(Quadratic(FREE), cell(TARGET), useless).rule == Rule.MOMENTS_TOO_FAR
    largest = float(np.abs(reached(4) - TARGET).max())
    for limit, rule in ((1.001, Rule.SMALLEST_MAE_USEFUL), (0.999, Rule.MOMENTS_TOO_FAR)):
        bounded = chosen.model_copy(update={"useful_max_limit_muB": limit * largest})
        assert labelled(Quadratic(FREE), cell(TARGET), bounded).rule == rule


def test_the_label_is_the_best_calculation_not_the_last():
    def worse_at_the_end(request, result):
        if request.lambda_eV_per_muB2 < 64:
            return result
        moments = {name: values + 0.3 for name, values in result.moments.items()}
        return replace(result, moments=moments)

    chosen = series(1, 4, 16, 64, mae_limit_muB=1e-6, integration_tolerance_eV_per_atom=9.0)
    outcome = labelled(Quadratic(FREE, change=worse_at_the_end), cell(TARGET), chosen)
    assert strengths(outcome) == [1, 4, 16, 64]
    assert outcome.label.lambda_eV_per_muB2 == 16


def test_what_is_inside_the_limits_goes_before_what_is_nearer_on_average():
    def told(request, result):
        if request.constraint is None:
            return result
        final = TARGET + (np.array([0.1, 0, 0, 0]) if request.lambda_eV_per_muB2 == 1 else 0.04)
        penalty = request.lambda_eV_per_muB2 * float(np.sum((S * final - request.constraint) ** 2))
        return replace(result, moments={"PAW": final, "WS": final, "sWS": S * final}, penalty_eV=penalty)

    chosen = series(1, 4, mae_limit_muB=0.05, max_limit_muB=0.06, integration_tolerance_eV_per_atom=9.0)
    outcome = labelled(Quadratic(FREE, change=told), cell(TARGET), chosen)
    assert [stage.mae_muB for stage in of(outcome, StageName.RAMP)] == pytest.approx([0.025, 0.04])
    assert (outcome.rule, outcome.label.lambda_eV_per_muB2) == (Rule.CRITERIA_MET, 4)


def test_another_start_that_ended_higher_changes_nothing():
    def higher(request, result):
        cold = request.stage == "check" and not request.restart
        return replace(result, energy_eV=result.energy_eV + 0.04) if cold else result

    chosen = series(1, 4, 16, mae_limit_muB=1.01 * mae(16), max_limit_muB=9.0)
    outcome = run_protocol(Quadratic(FREE, change=higher), cell(TARGET), chosen, check=True)
    plain = labelled(Quadratic(FREE), cell(TARGET), chosen)
    assert (outcome.label.energy_eV, outcome.label.stage_key) == (plain.label.energy_eV, plain.label.stage_key)
    assert outcome.label.check.other_start_eV_per_atom == pytest.approx(0.01, abs=1e-4)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        # The first of the series: a quarter, as nothing held before; then back to the goal.
        ({1: 1}, [1, 0.25, 1, 4, 16]),
        ({1: 2}, [1, 0.25, 0.0625, 1, 4, 16]),
        # Later ones: the geometric mean with the last that held.
        ({4: 1}, [1, 4, 2, 4, 16]),
        ({16: 2}, [1, 4, 16, 8, 16, 11.313708499, 16]),
        ({16: 1}, [1, 4, 16, 8, 16]),
    ],
)
def test_steps_back_and_then_to_the_goal(broken, expected):
    left = dict(broken)

    def fails(request, number):
        strength = request.lambda_eV_per_muB2
        if request.stage != "ramp":
            return False
        if broken == {1: 2} and strength in (1, 0.25) and left.get(1):
            left[1] -= 1
            return True
        if left.get(strength, 0):
            left[strength] -= 1
            return True
        return False

    chosen = series(1, 4, 16, mae_limit_muB=1.01 * mae(16), max_limit_muB=9.0)
    outcome = labelled(Quadratic(FREE, fails=fails), cell(TARGET), chosen)
    assert strengths(outcome) == pytest.approx(expected)
    assert outcome.rule == Rule.CRITERIA_MET


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_so_many_steps_back_and_no_more(allowed):
    def fails(request, number):
        return request.stage == "ramp" and request.lambda_eV_per_muB2 > 1

    chosen = series(1, 4, 16, mae_limit_muB=1e-6, step_backs=allowed, useful_mae_limit_muB=9, useful_max_limit_muB=9)
    outcome = labelled(Quadratic(FREE, fails=fails), cell(TARGET), chosen)
    assert strengths(outcome) == pytest.approx([1, *(4 ** (1 / 2**k) for k in range(allowed + 1))])
    assert outcome.label.lambda_eV_per_muB2 == 1
    assert [stage.converged for stage in of(outcome, StageName.RAMP)] == [True] + [False] * (allowed + 1)
    assert outcome.scf_runs - len(of(outcome, StageName.CHECK)) == 1 + 2 + allowed


# Refinement -------------------------------------------------------------------------------------------------------


def test_a_refinement_after_an_adaptive_ramp_is_stiffened():
    """A shift passes on only 2λ s²/(2λ s² + k): with that in its place, one refinement ends on the target."""
    near = FREE + np.array([0.05, -0.05, 0.04, 0.06])
    chosen = ProtocolSettings(refine_limit_mae_muB=1e-5)
    outcome = labelled(Quadratic(FREE), cell(near), chosen)
    (ramp,), (refined,) = of(outcome, StageName.RAMP), of(outcome, StageName.REFINE)
    assert ramp.mae_muB > 0.01
    np.testing.assert_allclose(refined.final_moments(), near, atol=1e-8)
    assert refined.lambda_eV_per_muB2 == ramp.lambda_eV_per_muB2 == 1.0
    assert outcome.label.mae_muB == refined.mae_muB < 1e-8


def test_a_refinement_after_a_series_shifts_by_the_rest():
    chosen = series(2, refine_runs=3, refine_limit_mae_muB=1e-9, mae_limit_muB=9, max_limit_muB=9)
    outcome = labelled(Quadratic(FREE), cell(TARGET), chosen)
    left = K / (K + 2 * 2 * S**2)
    rest = reached(2) - TARGET
    constraint = S * TARGET
    refined = of(outcome, StageName.REFINE)
    assert len(refined) == 3
    for stage in refined:
        constraint = constraint - S * rest
        np.testing.assert_allclose(stage.constrained, constraint, atol=1e-8)
        rest = left * rest
        np.testing.assert_allclose(stage.final_moments() - TARGET, rest, atol=1e-8)
        assert stage.lambda_eV_per_muB2 == 2
    assert outcome.label.mae_muB == pytest.approx(np.abs(rest).mean())


def test_refinements_end_at_their_limit_their_number_and_when_they_help_no_more():
    chosen = series(2, mae_limit_muB=9, max_limit_muB=9, refine_runs=2)
    first = mae(2)

    def runs(**changed):
        outcome = labelled(Quadratic(FREE), cell(TARGET), chosen.model_copy(update=changed))
        return len(of(outcome, StageName.REFINE))

    assert runs(refine_limit_mae_muB=1.0001 * first) == 0
    assert runs(refine_limit_mae_muB=0.9999 * first) == 1
    assert runs(refine_limit_mae_muB=0.0) == 2 and runs(refine_limit_mae_muB=0.0, refine_runs=1) == 1

    def worse(request, result):
        if request.stage != "refine":
            return result
        return replace(result, moments={name: values + 0.4 for name, values in result.moments.items()})

    engine = Quadratic(FREE, change=worse)
    outcome = labelled(engine, cell(TARGET), chosen.model_copy(update={"integration_tolerance_eV_per_atom": 9.0}))
    assert len(of(outcome, StageName.REFINE)) == 1, "what made it worse is not tried again"
    assert outcome.label.mae_muB == pytest.approx(first), "and is not the label"
    broken = Quadratic(FREE, fails=lambda request, number: request.stage == "refine")
    outcome = labelled(broken, cell(TARGET), chosen)
    assert len(of(outcome, StageName.REFINE)) == 1 and outcome.label.mae_muB == pytest.approx(first)


# Radii and map ----------------------------------------------------------------------------------------------------


def test_fixed_radii_need_no_stage():
    outcome = labelled(Quadratic(FREE), cell(TARGET))
    assert not of(outcome, StageName.RADII)
    assert {tuple(stage.radii_A.items()) for stage in outcome.stages if stage.radii_A} == {(("Fe", 1.5), ("Pd", 1.5))}


def test_radii_follow_the_power_that_was_seen():
    """At first m grows as R^1.5; a second try knows the power: then the spheres are right."""
    engine = Quadratic(FREE, sphere=power({"Fe": 3.0, "Pd": 1.5}))
    outcome = labelled(engine, cell(TARGET), ProtocolSettings(radii_tolerance=1e-6, radii_tolerance_muB=1e-9))
    radii = of(outcome, StageName.RADII)
    assert len(radii) == 2
    first, second = (stage.radii_A for stage in radii)
    assert first["Fe"] == pytest.approx(1.5 * (1.04**3.0) ** (1 / 1.5))
    assert first["Pd"] == pytest.approx(1.5 * 1.04)
    assert second["Fe"] == pytest.approx(1.5 * 1.04, rel=1e-6)
    assert second["Pd"] == pytest.approx(1.5 * 1.04, rel=1e-6)
    assert all(stage.radii_A == second for stage in of(outcome, StageName.RAMP))
    for stage in radii:
        assert stage.lambda_eV_per_muB2 == 0.5
    # The constraint of a trial is the target in the smoothed moments of the calculation before it.
    slope = np.array([SMOOTHING[z] * (1 / 1.04) ** {"Fe": 3.0, "Pd": 1.5}[z] for z in SYMBOLS])
    np.testing.assert_allclose(radii[0].constrained, slope * TARGET, atol=1e-8)


def test_radii_change_by_no_more_than_15_percent_at_once():
    for at, limit in ((2.5, 1.15), (0.9, 0.85)):
        engine = Quadratic(FREE, sphere=power({"Fe": 3.0, "Pd": 3.0}, at=at))
        radii = of(labelled(engine, cell(TARGET)), StageName.RADII)
        assert radii[0].radii_A["Fe"] == pytest.approx(1.5 * limit)


@pytest.mark.parametrize(("exponent", "taken"), [(8.0, 6.0), (0.2, 0.3)])
def test_the_power_that_was_seen_has_bounds(exponent, taken):
    engine = Quadratic(FREE, sphere=power({"Fe": exponent, "Pd": 1.5}))
    outcome = labelled(engine, cell(TARGET), ProtocolSettings(radii_tolerance=1e-6, radii_tolerance_muB=1e-9))
    first, second = (stage.radii_A["Fe"] for stage in of(outcome, StageName.RADII)[:2])
    assert first == pytest.approx(1.5 * min(1.15, 1.04 ** (exponent / 1.5)))
    assert second == pytest.approx(first * ((1.56 / first) ** exponent) ** (1 / taken))


@pytest.mark.parametrize(
    ("tolerances", "runs"),
    [
        ({"radii_tolerance": 0.03, "radii_tolerance_muB": 1e-9}, 1),
        ({"radii_tolerance": 0.001, "radii_tolerance_muB": 1e-9}, 2),
        ({"radii_tolerance": 1e-9, "radii_tolerance_muB": 0.2}, 1),
        ({"radii_tolerance": 1e-9, "radii_tolerance_muB": 1e-9, "radii_runs": 1}, 1),
    ],
)
def test_radii_end_within_either_tolerance(tolerances, runs):
    # After the first trial spheres of iron hold too much by 1.04^(2/1.5 − 1)... = 1.3 % and palladium's are right.
    engine = Quadratic(FREE, sphere=power({"Fe": 2.0, "Pd": 1.5}))
    outcome = labelled(engine, cell(TARGET), ProtocolSettings(**tolerances))
    assert len(of(outcome, StageName.RADII)) == runs
    (mapped,) = of(outcome, StageName.MAP)
    off = "still differ from the final ones: Fe -2.6 %, Pd +0.0 %"
    assert (off in mapped.message) == (tolerances.get("radii_runs") == 1)


def test_the_map_is_the_slope_of_each_species():
    outcome = labelled(Quadratic(FREE), cell(TARGET))
    (mapped,) = of(outcome, StageName.MAP)
    assert mapped.slope == pytest.approx(SMOOTHING)
    np.testing.assert_allclose(mapped.constrained, S * TARGET)
    assert mapped.energy_eV is None and mapped.converged
    assert "still differ" not in mapped.message, "fixed radii are nobody's fault"


def test_an_unconstrained_state_that_fails_is_replaced_by_weak_constraints():
    engine = Quadratic(FREE, fails=lambda request, number: number < 3)
    outcome = labelled(engine, cell(TARGET))
    radii = of(outcome, StageName.RADII)
    assert [stage.lambda_eV_per_muB2 for stage in radii] == [0.5, 0.125, 0.03125]
    assert [stage.converged for stage in radii] == [False, False, True]
    np.testing.assert_allclose(radii[0].constrained, TARGET, atol=1e-9)
    assert outcome.rule == Rule.CRITERIA_MET
    hopeless = Quadratic(FREE, fails=lambda request, number: True)
    outcome = labelled(hopeless, cell(TARGET), ProtocolSettings(radii_runs=2))
    assert [stage.name.value for stage in outcome.stages] == ["equilibrium", "radii", "radii", "accept"]
    assert (outcome.rule, outcome.scf_runs) == (Rule.NO_CONVERGED_STAGE, 3)
    assert "neither equilibrium nor radii" in outcome.reason


def test_a_magnet_that_lost_its_moments_is_begun_again_from_larger_ones():
    def lost(request, result):
        if request.constraint is not None or np.all(np.abs(request.start_moments) > np.abs(TARGET)):
            return result
        return replace(result, moments={name: 0.0 * values for name, values in result.moments.items()})

    engine = Quadratic(FREE, change=lost)
    outcome = labelled(engine, cell(TARGET))
    one, two = of(outcome, StageName.EQUILIBRIUM)
    np.testing.assert_allclose(engine.requests[1].start_moments, LARGER_START * TARGET, atol=1e-9)
    assert LARGER_START > 1 and engine.requests[1].restart == {}
    assert engine.requests[2].restart == one.restart, "of equal energies the first"
    np.testing.assert_array_equal(two.final_moments(), FREE)


@pytest.mark.parametrize(("definition", "factor"), [("PAW", np.ones(4)), ("sWS", S)])
def test_forces_that_an_engine_gives_itself_are_taken(definition, factor):
    own = np.array([0.1, -0.2, 0.3, -0.4])

    def told(request, result):
        given = own if request.constraint is not None else None
        return replace(result, magnetic_forces=given, magnetic_forces_definition=definition)

    chosen = series(4, mae_limit_muB=9.0, max_limit_muB=9.0, integration_tolerance_eV_per_atom=9.0)
    outcome = labelled(Quadratic(FREE, change=told), cell(TARGET), chosen)
    np.testing.assert_allclose(of(outcome, StageName.RAMP)[0].magnetic_forces, own * factor)
    wrong = labelled(
        Quadratic(FREE, change=lambda r, x: replace(told(r, x), magnetic_forces_definition="WS")), cell(TARGET), chosen
    )
    assert wrong.rule == Rule.ENGINE_FAILED and "no magnetic forces of its final moments" in wrong.reason
