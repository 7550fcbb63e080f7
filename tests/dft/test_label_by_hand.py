"""Verdicts, limits and records of labels on an engine of closed forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from quadratic import ENERGY, FREE, SYMBOLS, TARGET, K, Quadratic, cell, mae, of, power, reached, series

from mmtp_fw.dft import Grade, OutcomeStatus, ProtocolSettings, Rule, Stage, StageName, run_protocol
from mmtp_fw.errors import EngineError

# Verdicts ---------------------------------------------------------------------------------------------------------


def test_a_wrong_sign_is_refused_where_the_target_says_so():
    target = np.array([2.0, 2.7, 2.3, -0.29])

    def positive(request, result):
        moments = {name: np.abs(values) for name, values in result.moments.items()}
        return replace(result, moments=moments)

    chosen = series(4, 64, mae_limit_muB=0.2, max_limit_muB=0.7, integration_tolerance_eV_per_atom=99.0)
    outcome = run_protocol(Quadratic(FREE, change=positive), cell(target), chosen)
    assert outcome.rule == Rule.CRITERIA_MET, "a small moment may have any sign"
    target[3] = -0.31
    outcome = run_protocol(Quadratic(FREE, change=positive), cell(target), chosen)
    assert (outcome.status, outcome.rule) == (OutcomeStatus.REJECTED, Rule.MOMENT_FLIPPED)
    assert "atoms [3] have the wrong sign" in outcome.reason and outcome.label is None


def lifted(energy: float, at: float):
    """Return a change that lifts the energy of the calculations at one λ."""

    def change(request, result):
        if request.lambda_eV_per_muB2 != at:
            return result
        return replace(result, energy_eV=result.energy_eV + energy)

    return change


STEP = {"mae_limit_muB": 1.001 * mae(8), "max_limit_muB": 9.0}


def work(one: np.ndarray, two: np.ndarray) -> float:
    """Return Σ|T dm| per atom of the trapezoid between two calculations."""
    mean = -0.5 * K * ((one - FREE) + (two - FREE))
    return float(np.sum(np.abs(mean * (two - one)))) / 4


@pytest.mark.parametrize(("factor", "agrees"), [(0.999, True), (1.001, False), (-0.999, True), (-1.001, False)])
def test_energies_agree_with_the_work_within_both_tolerances(factor, agrees):
    """A parabola's trapezoid is exact: what is added to one energy is the residual."""
    allowed = 0.003 + 0.1 * work(reached(4), reached(8))
    chosen = series(4, 8, integration_tolerance_eV_per_atom=0.003, integration_tolerance_relative=0.1, **STEP)
    engine = Quadratic(FREE, change=lifted(4 * factor * allowed, 8))
    outcome = run_protocol(engine, cell(TARGET), chosen)
    assert (outcome.rule == Rule.CRITERIA_MET) == agrees
    if agrees:
        assert outcome.label.integration_residual_eV_per_atom == pytest.approx(abs(factor) * allowed, rel=1e-6)
    else:
        assert outcome.rule == Rule.INCONSISTENT_ENERGY
        assert f"differ by {1000 * abs(factor) * allowed:.1f} meV/atom" in outcome.reason


def test_the_largest_residual_counts():
    engine = Quadratic(FREE, change=lifted(0.004, 4))
    outcome = run_protocol(engine, cell(TARGET), series(2, 4, 8, **STEP))
    assert outcome.label.integration_residual_eV_per_atom == pytest.approx(0.001, rel=1e-6)


def test_energies_in_other_spheres_are_not_compared():
    """Forces belong to their spheres: between radii there is no work; the free state has no forces in any."""

    near = FREE + np.array([0.1, -0.1, 0.1, 0.05])
    chosen = series(1, 64, mae_limit_muB=0.01, radii_tolerance=1e-6, radii_tolerance_muB=1e-9)

    def labelled(lift: float):
        def change(request, result):
            first = request.stage == "radii" and request.directory.name.startswith("01")
            return replace(result, energy_eV=result.energy_eV + lift * first)

        engine = Quadratic(FREE, sphere=power({"Fe": 3.0, "Pd": 1.4}), change=change)
        outcome = run_protocol(engine, cell(near), chosen)
        assert len(of(outcome, StageName.RADII)) == 2 and outcome.rule == Rule.CRITERIA_MET
        assert outcome.label.integration_residual_eV_per_atom < 1e-6
        return outcome.label

    assert (labelled(0.0).grade, labelled(0.5).grade) == (Grade.A, Grade.B)


def test_grades():
    near = FREE + np.array([0.1, -0.1, 0.1, 0.0])
    two = series(1, 64, mae_limit_muB=0.01)
    assert run_protocol(Quadratic(FREE), cell(near), two).label.grade == Grade.A
    alone = run_protocol(Quadratic(FREE), cell(near), series(64, mae_limit_muB=0.01)).label
    assert (alone.grade, alone.integration_residual_eV_per_atom) == (Grade.B, None), "one constrained calculation"
    far = FREE + np.array([0.6, -0.1, 0.1, 0.0])
    steps = series(1, 2, 4, 8, 64, mae_limit_muB=0.05)
    label = run_protocol(Quadratic(FREE), cell(far), steps).label
    assert label.grade == Grade.A, "the weakly constrained ones are near the free state"
    near_only = series(16, 64, mae_limit_muB=0.01)
    label = run_protocol(Quadratic(FREE), cell(far), near_only).label
    assert label.integration_residual_eV_per_atom is not None
    assert label.grade == Grade.B, "more than 0.4 μB from the free state on one atom: it can't tell"
    branch = Quadratic(FREE, change=lambda r, x: x if r.constraint is not None else replace(x, energy_eV=ENERGY - 1))
    label = run_protocol(branch, cell(near), two).label
    assert label.grade == Grade.B, "the free state is on another branch"
    weak = series(1, mae_limit_muB=1e-6, useful_mae_limit_muB=9, useful_max_limit_muB=9)
    assert run_protocol(Quadratic(FREE), cell(near), weak).label.grade == Grade.C


# The limit of a hard constraint -----------------------------------------------------------------------------------


def energy(moments: np.ndarray) -> float:
    return ENERGY + 0.5 * float(np.sum(K * (moments - FREE) ** 2))


def line(one: float, two: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a of a + b/λ through two points."""
    return (two * y - one * x) / (two - one)


def test_two_strengths_are_continued_on_a_line():
    label = run_protocol(Quadratic(FREE), cell(TARGET), series(4, 8, **STEP)).label
    limit = label.extrapolation
    tables = [np.array([energy(reached(s)), *reached(s)]) for s in (4, 8)]
    expected = line(4, 8, *tables)
    assert (limit.method, limit.lambdas) == ("a+b/λ", [4, 8])
    assert limit.energy_eV == pytest.approx(expected[0])
    np.testing.assert_allclose(limit.moments, expected[1:])
    assert limit.energy_uncertainty_eV == pytest.approx(0.25 * abs(expected[0] - tables[1][0]))
    np.testing.assert_allclose(limit.moments_uncertainty, 0.25 * np.abs(expected - tables[1])[1:])
    assert label.bias_eV_per_atom == pytest.approx((expected[0] - tables[1][0]) / 4)


def test_of_three_strengths_the_last_two_and_their_difference_to_all():
    label = run_protocol(Quadratic(FREE), cell(TARGET), series(2, 4, 8, **STEP)).label
    limit = label.extrapolation
    rows = np.array([[energy(reached(s)), *reached(s)] for s in (2, 4, 8)])
    expected = line(4, 8, rows[1], rows[2])
    every = np.polynomial.polynomial.polyfit([1 / 2, 1 / 4, 1 / 8], rows, 1)[0]
    assert limit.lambdas == [2, 4, 8]
    assert limit.energy_eV == pytest.approx(expected[0])
    assert limit.energy_uncertainty_eV == pytest.approx(abs(every[0] - expected[0]))
    np.testing.assert_allclose(limit.moments_uncertainty, np.abs(every - expected)[1:])


def test_a_refined_label_is_continued_by_the_ramp_before_it():
    """Its own constraint was computed with once; the ramp's says how energy goes with λ."""
    outcome = run_protocol(Quadratic(FREE), cell(TARGET), series(4, 8, refine_runs=1, refine_limit_mae_muB=0, **STEP))
    limit = outcome.label.extrapolation
    assert outcome.label.stage_key == of(outcome, StageName.REFINE)[0].key
    expected = line(4, 8, *(np.array([energy(reached(s)), *reached(s)]) for s in (4, 8)))
    assert (limit.method, limit.lambdas) == ("a+b/λ", [4, 8])
    assert limit.energy_eV == pytest.approx(expected[0])
    assert outcome.label.bias_eV_per_atom == pytest.approx((expected[0] - outcome.label.energy_eV) / 4)


def test_strengths_too_near_one_another_say_nothing():
    label = run_protocol(Quadratic(FREE), cell(TARGET), series(6.8, 8, **STEP)).label
    assert label.extrapolation.method == "taylor"
    label = run_protocol(Quadratic(FREE), cell(TARGET), series(6.6, 8, **STEP)).label
    assert label.extrapolation.method == "a+b/λ"


def test_one_strength_is_continued_along_its_forces():
    label = run_protocol(Quadratic(FREE), cell(TARGET), series(8, **STEP)).label
    limit, way = label.extrapolation, TARGET - reached(8)
    force = -K * (reached(8) - FREE)
    assert (limit.method, limit.lambdas) == ("taylor", [8])
    assert limit.energy_eV == pytest.approx(energy(reached(8)) - force @ way)
    np.testing.assert_array_equal(limit.moments, TARGET)
    np.testing.assert_allclose(limit.moments_uncertainty, np.abs(way))
    # No constrained calculation before it: the stiffness of iron in its valley, 1 eV/μB².
    assert limit.energy_uncertainty_eV == pytest.approx(0.5 * way @ way)
    assert label.bias_eV_per_atom == pytest.approx(-force @ way / 4)


def test_the_next_order_is_measured_from_the_calculation_before():
    chosen = series(1, 1.19, mae_limit_muB=1.001 * mae(1.19), max_limit_muB=9.0)
    label = run_protocol(Quadratic(FREE), cell(TARGET), chosen).label
    way = TARGET - reached(1.19)
    moved = np.abs(reached(1.19) - reached(1)) > 0.01
    assert moved.tolist() == [True, True, False, False]
    stiffness = np.where(moved, K, 1.0)
    assert label.extrapolation.energy_uncertainty_eV == pytest.approx(0.5 * way @ (stiffness * way))


# The label and its records ----------------------------------------------------------------------------------------


def test_every_field_of_a_label():
    atoms = cell(TARGET)
    engine = Quadratic(FREE)
    outcome = run_protocol(engine, atoms, series(4, 8, **STEP))
    label, best = outcome.label, of(outcome, StageName.RAMP)[-1]
    assert label.symbols == SYMBOLS and label.pbc == [True] * 3
    np.testing.assert_array_equal(label.positions, atoms.positions)
    np.testing.assert_array_equal(label.cell, np.asarray(atoms.cell))
    assert (label.energy_eV, label.forces, label.stress) == (best.energy_eV, best.forces, best.stress)
    assert label.energy_eV == pytest.approx(energy(reached(8)))
    np.testing.assert_array_equal(label.moments, best.final_moments())
    assert label.magnetic_forces == best.magnetic_forces and label.target == TARGET.tolist()
    assert (label.mae_muB, label.max_deviation_muB) == (best.mae_muB, best.max_deviation_muB)
    assert (label.which_definition, label.engine) == ("PAW", engine.name)
    assert (label.lambda_eV_per_muB2, label.stage_key) == (8, best.key)
    assert label.scf_runs == outcome.scf_runs == 3
    accept = outcome.stages[-1]
    assert (accept.lambda_eV_per_muB2, accept.energy_eV, accept.mae_muB) == (8, best.energy_eV, best.mae_muB)
    assert accept.penalty_eV == best.penalty_eV and accept.achieved == best.achieved
    assert accept.constrained == best.constrained and accept.slope == best.slope and accept.radii_A == best.radii_A
    assert (accept.energy_with_penalty_eV, accept.max_deviation_muB) == (
        best.energy_with_penalty_eV,
        best.max_deviation_muB,
    )
    assert accept.message.startswith("criteria_met: λ = 8 eV/μB²") and outcome.reason in accept.message
    back = label.to_atoms()
    np.testing.assert_array_equal(back.get_forces(), label.forces)
    np.testing.assert_array_equal(back.get_stress(), label.stress)
    assert back.info == {
        "label_grade": label.grade.value,
        "label_lambda_eV_per_muB2": 8,
        "label_mae_muB": label.mae_muB,
        "label_max_deviation_muB": label.max_deviation_muB,
    }


def test_each_calculation_starts_from_the_last_that_converged():
    engine = Quadratic(FREE, fails=lambda request, number: number == 2)
    outcome = run_protocol(engine, cell(TARGET), series(4, 8, **STEP), directory="calc")
    stages = [stage for stage in outcome.stages if stage.name not in (StageName.MAP, StageName.ACCEPT)]
    requests = engine.requests
    np.testing.assert_array_equal(requests[0].start_moments, TARGET)
    assert requests[0].restart == {} and requests[0].lambda_eV_per_muB2 == 0.0 and requests[0].constraint is None
    for number, source in ((1, 0), (2, 1), (3, 1), (4, 3)):
        np.testing.assert_array_equal(requests[number].start_moments, stages[source].final_moments())
        assert requests[number].restart == {"number": source}
    folders = [request.directory for request in requests]
    assert folders == [Path("calc") / name for name in ("00_equilibrium", "02_ramp", "03_ramp", "04_ramp", "05_ramp")]
    for number, (request, stage) in enumerate(zip(requests, stages, strict=True)):
        assert request.stage == stage.name.value
        assert (stage.scf_steps, stage.message) == (number + 1, f"calculation {number}")
        assert stage.restart == {"number": number}
        assert stage.started <= stage.ended and stage.wall_seconds >= 0.0 and stage.host
        np.testing.assert_array_equal(stage.forces, np.full((4, 3), 0.25))
        assert stage.stress == [0, 1, 2, 3, 4, 5]
    failed = stages[2]
    assert failed.magnetic_forces is None, "what has not converged has no forces"
    assert failed.mae_muB is not None


def test_strengths_and_constraints_are_rounded_before_they_are_computed_with():
    engine = Quadratic(FREE)
    run_protocol(engine, cell(TARGET + 1e-12), series(1 / 3, 8, **STEP))
    assert engine.requests[1].lambda_eV_per_muB2 == 0.333333333
    for request in engine.requests[1:]:
        np.testing.assert_array_equal(request.constraint, np.round(request.constraint, 9))
    adjusted = Quadratic(FREE, sphere=power({"Fe": 2.2, "Pd": 1.4}))
    run_protocol(adjusted, cell(TARGET), ProtocolSettings(radii_runs=1))
    last = adjusted.requests[-1].radii_A
    assert last == {z: round(radius, 9) for z, radius in last.items()}
    assert any(radius != round(radius, 8) for radius in last.values())
    target = np.array([2.0, 2.7, 2.3, -1e-12])
    run_protocol(engine, cell(target), series(8, **STEP))
    assert not np.signbit(engine.requests[-1].constraint[3]), "−0 is 0: they would make two keys"


def test_a_stop_before_and_within_a_calculation():
    kept: list[Stage] = []
    outcome = run_protocol(
        Quadratic(FREE), cell(TARGET), series(4, 8, **STEP), on_stage=kept.append, should_stop=lambda: len(kept) == 2
    )
    assert (outcome.status, outcome.rule) == (OutcomeStatus.INTERRUPTED, Rule.STOPPED)
    assert outcome.reason == "asked to stop before stage 2 (ramp)" and outcome.stages == kept and outcome.label is None

    def cut(request, result):
        return replace(result, interrupted=request.lambda_eV_per_muB2 == 8, message="wall time")

    kept.clear()
    outcome = run_protocol(Quadratic(FREE, change=cut), cell(TARGET), series(4, 8, **STEP), on_stage=kept.append)
    assert outcome.rule == Rule.STOPPED and outcome.reason == "stopped during stage 3 (ramp): wall time"
    assert [stage.name.value for stage in kept] == ["equilibrium", "map", "ramp"], "half a calculation is none"
    engine = Quadratic(FREE)
    run_protocol(engine, cell(TARGET), series(8, **STEP), should_stop=lambda: False)
    assert engine.requests[0].should_stop() is False


def test_the_engines_reason_is_told():
    def gone(request, result):
        raise EngineError("the program is gone", "install it")

    outcome = run_protocol(Quadratic(FREE, change=gone), cell(TARGET))
    assert (outcome.status, outcome.rule, outcome.stages) == (OutcomeStatus.FAILED, Rule.ENGINE_FAILED, [])
    assert outcome.reason == "the program is gone (install it)"


@pytest.mark.parametrize(
    "changed",
    [
        {"target": [0.01, 0, 0, 0]},
        {"positions": 0.01},
        {"cell": 1.001},
        {"symbols": "FeFePdPd"},
    ],
)
def test_another_request_is_another_calculation(changed):
    atoms = cell(TARGET)
    first = run_protocol(Quadratic(FREE), atoms, series(8, **STEP))
    if "target" in changed:
        atoms.set_initial_magnetic_moments(TARGET + changed["target"])
    if "positions" in changed:
        atoms.positions[0, 0] += changed["positions"]
    if "cell" in changed:
        atoms.set_cell(np.asarray(atoms.cell) * changed["cell"])
    if "symbols" in changed:
        atoms.set_chemical_symbols(changed["symbols"])
    engine = Quadratic(FREE)
    other = run_protocol(engine, atoms, series(8, **STEP), finished=first.stages)
    assert len(engine.requests) == 2, "nothing of the first answers it"
    assert not {stage.key for stage in first.stages} & {stage.key for stage in other.stages}


def test_stages_of_others_are_used_by_their_request_alone():
    first = run_protocol(Quadratic(FREE), cell(TARGET), series(4, 8, **STEP))
    lent = [stage.model_copy(update={"reused_from": "there"}) for stage in first.stages]
    engine = Quadratic(FREE)
    again = run_protocol(
        engine, cell(TARGET), series(4, 8, 16, mae_limit_muB=1.01 * mae(16), max_limit_muB=9), others=lent
    )
    assert [request.lambda_eV_per_muB2 for request in engine.requests] == [16]
    assert again.scf_runs == 1 and again.label.scf_runs == 1
    assert [stage.reused_from for stage in again.stages] == ["there", None, "there", "there", None, None]


def test_another_strength_or_another_way_there_is_another_calculation():
    first = run_protocol(Quadratic(FREE), cell(TARGET), series(4, 8, **STEP))
    lent = [stage.model_copy(update={"reused_from": "there"}) for stage in first.stages]
    engine = Quadratic(FREE)
    run_protocol(engine, cell(TARGET), series(5, 8, **STEP), others=lent)
    assert [request.lambda_eV_per_muB2 for request in engine.requests] == [5, 8]
    engine = Quadratic(FREE)
    again = run_protocol(engine, cell(TARGET), series(4, 8, **STEP), others=lent[3:])
    assert len(engine.requests) == 2, "the third is the same again: it began from the same"
    assert again.label.model_dump(exclude={"scf_runs"}) == first.label.model_dump(exclude={"scf_runs"})
