"""Verdicts, limits and records of labels on an engine of closed forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from quadratic import (
    ENERGY,
    FREE,
    SYMBOLS,
    TARGET,
    K,
    Quadratic,
    S,
    asked,
    cell,
    labelled,
    ladder,
    mae,
    of,
    power,
    reached,
    series,
)

from mmtp_fw.dft import Grade, OutcomeStatus, ProtocolSettings, Rule, Stage, StageName, quality
from mmtp_fw.dft.stages import Check
from mmtp_fw.errors import EngineError

# Verdicts ---------------------------------------------------------------------------------------------------------

STEP = {"mae_limit_muB": 1.001 * mae(8), "max_limit_muB": 9.0}


def energy(moments: np.ndarray) -> float:
    return ENERGY + 0.5 * float(np.sum(K * (moments - FREE) ** 2))


def test_a_wrong_sign_is_refused_where_the_target_says_so():
    target = np.array([2.0, 2.7, 2.3, -0.29])

    def positive(request, result):
        moments = {name: np.abs(values) for name, values in result.moments.items()}
        if request.constraint is None:
            return replace(result, moments=moments)
        penalty = request.lambda_eV_per_muB2 * float(np.sum((moments["sWS"] - request.constraint) ** 2))
        return replace(result, moments=moments, penalty_eV=penalty)

    chosen = series(4, 64, mae_limit_muB=0.2, max_limit_muB=0.7, integration_tolerance_eV_per_atom=99.0)
    outcome = labelled(Quadratic(FREE, change=positive), cell(target), chosen)
    assert outcome.rule == Rule.CRITERIA_MET, "a small moment may have any sign"
    target[3] = -0.31
    outcome = labelled(Quadratic(FREE, change=positive), cell(target), chosen)
    assert (outcome.status, outcome.rule) == (OutcomeStatus.REJECTED, Rule.MOMENT_FLIPPED)
    assert "atoms [3] have the wrong sign" in outcome.reason and outcome.label is None


def lifted(amount: float, at: float | None):
    """Return a change that lifts the energy of the calculations at one λ; None: of the unconstrained one."""

    def change(request, result):
        mine = request.constraint is None if at is None else request.lambda_eV_per_muB2 == at
        return replace(result, energy_eV=result.energy_eV + amount) if mine else result

    return change


def work(one: np.ndarray, two: np.ndarray) -> float:
    """Return Σ|T dm| per atom of the trapezoid between two calculations."""
    mean = -0.5 * K * ((one - FREE) + (two - FREE))
    return float(np.sum(np.abs(mean * (two - one)))) / 4


@pytest.mark.parametrize(("factor", "agrees"), [(0.999, True), (1.001, False), (-0.999, True), (-1.001, False)])
def test_energies_agree_with_the_work_within_the_tolerance(factor, agrees):
    """A parabola's trapezoid is exact: what is added to one energy is the residual of every way that ends there."""
    chosen = series(4, 8, integration_tolerance_eV_per_atom=0.003, integration_tolerance_relative=0.0, **STEP)
    outcome = labelled(Quadratic(FREE, change=lifted(4 * factor * 0.003, 8)), cell(TARGET), chosen)
    assert (outcome.rule == Rule.CRITERIA_MET) == agrees
    if agrees:
        assert outcome.label.integration_residual_eV_per_atom == pytest.approx(0.003 * abs(factor), rel=1e-6)
        assert outcome.label.check.residual_eV_per_atom == pytest.approx(0.003 * factor, rel=1e-6)
    else:
        assert outcome.rule == Rule.INCONSISTENT_ENERGY
        assert f"differ by {3 * factor:+.1f} meV/atom" in outcome.reason


def test_a_share_of_the_work_is_tolerated_as_well():
    chosen = series(4, 8, integration_tolerance_eV_per_atom=0.003, integration_tolerance_relative=0.1, **STEP)
    one, two = of(labelled(Quadratic(FREE, change=lifted(0.02, 8)), cell(TARGET), chosen), StageName.RAMP)
    judged = quality.judge([one, two], chosen)
    assert judged.residual == pytest.approx(0.005) and judged.error is None and judged.stages == (one, two)
    assert judged.tolerance == pytest.approx(0.003 + 0.1 * work(reached(4), reached(8)))
    noisy = two.model_copy(update={"energy_noise_eV": 0.008})
    assert quality.judge([one, noisy], chosen).tolerance == pytest.approx(judged.tolerance + 0.002)
    for tolerance, agrees in ((0.00501, True), (0.00499, False)):
        narrow = series(4, 8, integration_tolerance_eV_per_atom=tolerance, integration_tolerance_relative=0.0)
        assert quality.judge([one, two], narrow).agrees == agrees


def test_the_work_along_points_by_hand():
    """T = 1 − x²: the trapezoid leaves h³/6, and one point in the middle is Simpson's rule, exact for it."""
    force = [np.array([1 - x**2]) for x in (0.0, 0.5, 1.0)]
    moments = [np.array([x]) for x in (0.0, 0.5, 1.0)]
    assert quality.work(moments[::2], force[::2]) == (pytest.approx(0.5), None)
    found, error = quality.work(moments, force)
    assert found == pytest.approx(2 / 3)
    # The detour moves the trapezoid by 1/8; a third of that is what is left, and twice the correction the error.
    assert error == pytest.approx(2 * (0.125 / 3))
    away = [moments[0], np.array([3.0]), moments[2]]
    far, open_ = quality.work(away, [force[0], np.array([1.0 - 9.0]), force[2]])
    direct = 0.5
    detour = 0.5 * (1 - 8) * 3 + 0.5 * (-8 + 0) * (-2)
    assert far == pytest.approx(detour) and open_ == pytest.approx(abs(detour - direct)), "too long a detour"


def test_ways_keep_to_their_spheres_and_begin_near():
    chosen = series(1, 64, mae_limit_muB=0.01, radii_tolerance=1e-6, radii_tolerance_muB=1e-9)
    near = FREE + np.array([0.1, -0.1, 0.1, 0.05])
    engine = Quadratic(FREE, sphere=power({"Fe": 3.0, "Pd": 1.4}))
    outcome = labelled(engine, cell(near), chosen)
    label = of(outcome, StageName.RAMP)[-1]
    ways = quality.ways(ladder(outcome), label)
    assert ways and all(way[-1] is label for way in ways)
    for way in ways:
        for stage in way[:-1]:
            assert stage.radii_A == label.radii_A or stage.name is StageName.EQUILIBRIUM
    assert {way[0].name for way in ways} == {StageName.EQUILIBRIUM, StageName.RADII, StageName.RAMP}
    starts = [quality.distance(way[0], label) for way in ways]
    assert starts == sorted(starts) and max(starts) <= 0.4
    far = FREE + np.array([0.6, -0.1, 0.1, 0.0])
    outcome = labelled(Quadratic(FREE), cell(far), series(8, 64, mae_limit_muB=0.01))
    ways = quality.ways(ladder(outcome), of(outcome, StageName.RAMP)[-1])
    assert [way[0].name for way in ways] == [StageName.RAMP], "more than 0.4 μB from the free state: it can't tell"


def test_what_is_inside_the_limits_need_not_be_useful_as_well():
    chosen = series(8, useful_mae_limit_muB=1e-6, useful_max_limit_muB=1e-6, **STEP)
    assert labelled(Quadratic(FREE), cell(TARGET), chosen).rule == Rule.CRITERIA_MET


def test_a_penalty_that_is_not_that_of_the_moments():
    def other(request, result):
        return replace(result, penalty_eV=result.penalty_eV * 1.5) if request.lambda_eV_per_muB2 == 8 else result

    outcome = labelled(Quadratic(FREE, change=other), cell(TARGET), series(4, 8, **STEP))
    assert outcome.rule == Rule.INCONSISTENT_ENERGY
    stage = of(outcome, StageName.RAMP)[-1]
    expected = 8 * np.sum((S * (reached(8) - TARGET)) ** 2)
    assert quality.penalty_mismatch(stage) == pytest.approx(0.5 * expected / 4, rel=1e-6)
    assert f"by {500 * expected / 4:.1f} meV/atom" in outcome.reason
    rounded = stage.model_copy(update={"penalty_eV": expected + 0.0003})
    assert quality.penalty_mismatch(rounded) == 0.0, "printed numbers are rounded"
    free = of(outcome, StageName.EQUILIBRIUM)[0]
    assert quality.penalty_mismatch(free) == 0.0


def test_a_check_that_found_nothing_says_nothing():
    empty = Check(verdict="unchecked")
    assert (empty.residual_eV_per_atom, empty.error_eV_per_atom, empty.other_start_eV_per_atom) == (None, None, None)
    assert (empty.points, empty.scf_runs, empty.note) == ([], 0, "")


def test_grades():
    near = FREE + np.array([0.1, -0.1, 0.1, 0.0])
    label = labelled(Quadratic(FREE), cell(near), series(1, 64, mae_limit_muB=0.01)).label
    assert (label.grade, label.check.verdict.value) == (Grade.A, "confirmed")
    # Alone, with the free state on another branch, and no second point: nobody knows.
    silent = Quadratic(FREE, change=lifted(-1.0, None), fails=lambda request, number: request.stage == "check")
    label = labelled(silent, cell(near), series(64, mae_limit_muB=0.01)).label
    assert (label.grade, label.check.verdict.value) == (Grade.B, "unchecked")
    # With a second point the label is right, whatever the free state is.
    label = labelled(Quadratic(FREE, change=lifted(-1.0, None)), cell(near), series(64, mae_limit_muB=0.01)).label
    assert (label.grade, label.check.scf_runs > 0) == (Grade.A, True)
    weak = series(1, mae_limit_muB=1e-6, useful_mae_limit_muB=9, useful_max_limit_muB=9)
    assert labelled(Quadratic(FREE), cell(near), weak).label.grade == Grade.C
    assert [quality.grade(*pair) for pair in ((True, True), (True, False), (False, True), (False, False))] == [
        Grade.A, Grade.B, Grade.C, Grade.C,
    ]  # fmt: skip


# The limit of a hard constraint -----------------------------------------------------------------------------------


@pytest.mark.parametrize("strengths", [(8,), (4, 8), (6.8, 8), (2, 4, 8)])
def test_the_limit_is_the_energy_at_the_target(strengths):
    """To second order in what is left, with the stiffness of the atoms that anything moved, else a typical one."""
    outcome = labelled(Quadratic(FREE), cell(TARGET), series(*strengths, **STEP))
    limit, way = outcome.label.extrapolation, TARGET - reached(8)
    others = [np.array(s.final_moments()) for s in outcome.stages if s.magnetic_forces and s.energy_eV is not None]
    moved = np.any([np.abs(m - reached(8)) > 0.01 for m in others], axis=0)
    stiffness = np.where(moved, K, 0.3)
    force = -K * (reached(8) - FREE)
    expected = energy(reached(8)) - force @ way + 0.5 * way @ (stiffness * way)
    assert (limit.method, limit.lambdas, limit.moments) == ("taylor", [8], TARGET.tolist())
    assert limit.energy_eV == pytest.approx(expected, abs=1e-9)
    if moved.all():
        assert limit.energy_eV == pytest.approx(energy(TARGET), abs=1e-8)
    assert limit.energy_uncertainty_eV == pytest.approx(0.5 * way @ (np.maximum(0.3 * stiffness, 0.1) * way))
    np.testing.assert_allclose(limit.moments_uncertainty, np.abs(way))
    assert outcome.label.bias_eV_per_atom == pytest.approx((limit.energy_eV - outcome.label.energy_eV) / 4)


# The label and its records ----------------------------------------------------------------------------------------


def test_every_field_of_a_label():
    atoms = cell(TARGET)
    engine = Quadratic(FREE)
    outcome = labelled(engine, atoms, series(4, 8, **STEP))
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
    assert label.scf_runs == outcome.scf_runs == len(engine.requests)
    assert len(asked(engine)) == 3 and label.constraint.value == "soft"
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
    np.testing.assert_array_equal(back.arrays["magnetic_forces"], label.magnetic_forces)
    np.testing.assert_array_equal(back.get_magnetic_moments(), label.moments)
    np.testing.assert_array_equal(back.get_initial_magnetic_moments(), TARGET)
    assert list(back.symbols) == SYMBOLS and back.get_potential_energy() == label.energy_eV and back.pbc.all()
    assert back.info == {
        "label_grade": label.grade.value,
        "label_constraint": "soft",
        "label_check": label.check.verdict.value,
        "label_lambda_eV_per_muB2": 8,
        "label_mae_muB": label.mae_muB,
        "label_max_deviation_muB": label.max_deviation_muB,
    }


def test_each_calculation_starts_from_the_last_that_converged():
    engine = Quadratic(FREE, fails=lambda request, number: number == 2)
    outcome = labelled(engine, cell(TARGET), series(4, 8, **STEP), directory="calc")
    stages = [stage for stage in outcome.stages if stage.name not in (StageName.MAP, StageName.ACCEPT)]
    stages, requests = [stage for stage in stages if stage.name is not StageName.CHECK], asked(engine)
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
    labelled(engine, cell(TARGET + 1e-12), series(1 / 3, 8, **STEP))
    assert engine.requests[1].lambda_eV_per_muB2 == 0.333333333
    for request in engine.requests[1:]:
        np.testing.assert_array_equal(request.constraint, np.round(request.constraint, 9))
    adjusted = Quadratic(FREE, sphere=power({"Fe": 2.2, "Pd": 1.4}))
    labelled(adjusted, cell(TARGET), ProtocolSettings(radii_runs=1))
    last = adjusted.requests[-1].radii_A
    assert last == {z: round(radius, 9) for z, radius in last.items()}
    assert any(radius != round(radius, 8) for radius in last.values())
    target = np.array([2.0, 2.7, 2.3, -1e-12])
    labelled(engine, cell(target), series(8, **STEP))
    assert not np.signbit(engine.requests[-1].constraint[3]), "−0 is 0: they would make two keys"


def test_a_stop_before_and_within_a_calculation():
    kept: list[Stage] = []
    outcome = labelled(
        Quadratic(FREE), cell(TARGET), series(4, 8, **STEP), on_stage=kept.append, should_stop=lambda: len(kept) == 2
    )
    assert (outcome.status, outcome.rule) == (OutcomeStatus.INTERRUPTED, Rule.STOPPED)
    assert outcome.reason == "asked to stop before stage 2 (ramp)" and outcome.stages == kept and outcome.label is None

    def cut(request, result):
        return replace(result, interrupted=request.lambda_eV_per_muB2 == 8, message="wall time")

    kept.clear()
    outcome = labelled(Quadratic(FREE, change=cut), cell(TARGET), series(4, 8, **STEP), on_stage=kept.append)
    assert outcome.rule == Rule.STOPPED and outcome.reason == "stopped during stage 3 (ramp): wall time"
    assert [stage.name.value for stage in kept] == ["equilibrium", "map", "ramp"], "half a calculation is none"
    engine = Quadratic(FREE)
    labelled(engine, cell(TARGET), series(8, **STEP), should_stop=lambda: False)
    assert engine.requests[0].should_stop() is False


def test_the_engines_reason_is_told():
    def gone(request, result):
        raise EngineError("the program is gone", "install it")

    outcome = labelled(Quadratic(FREE, change=gone), cell(TARGET))
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
    first = labelled(Quadratic(FREE), atoms, series(8, **STEP))
    if "target" in changed:
        atoms.set_initial_magnetic_moments(TARGET + changed["target"])
    if "positions" in changed:
        atoms.positions[0, 0] += changed["positions"]
    if "cell" in changed:
        atoms.set_cell(np.asarray(atoms.cell) * changed["cell"])
    if "symbols" in changed:
        atoms.set_chemical_symbols(changed["symbols"])
    engine = Quadratic(FREE)
    other = labelled(engine, atoms, series(8, **STEP), finished=first.stages)
    assert len(asked(engine)) == 2, "nothing of the first answers it"
    assert not {stage.key for stage in first.stages} & {stage.key for stage in other.stages}


def test_stages_of_others_are_used_by_their_request_alone():
    first = labelled(Quadratic(FREE), cell(TARGET), series(4, 8, **STEP))
    lent = [stage.model_copy(update={"reused_from": "there"}) for stage in ladder(first)]
    engine = Quadratic(FREE)
    again = labelled(engine, cell(TARGET), series(4, 8, 16, mae_limit_muB=1.01 * mae(16), max_limit_muB=9), others=lent)
    assert [request.lambda_eV_per_muB2 for request in asked(engine)] == [16]
    assert again.scf_runs == again.label.scf_runs == len(engine.requests)
    assert [stage.reused_from for stage in ladder(again)] == ["there", None, "there", "there", None, None]


def test_another_strength_or_another_way_there_is_another_calculation():
    first = labelled(Quadratic(FREE), cell(TARGET), series(4, 8, **STEP))
    lent = [stage.model_copy(update={"reused_from": "there"}) for stage in ladder(first)]
    engine = Quadratic(FREE)
    labelled(engine, cell(TARGET), series(5, 8, **STEP), others=lent)
    assert [request.lambda_eV_per_muB2 for request in asked(engine)] == [5, 8]
    engine = Quadratic(FREE)
    again = labelled(engine, cell(TARGET), series(4, 8, **STEP), others=lent[3:4])
    assert len(asked(engine)) == 2, "the third is the same again: it began from the same"
    one, two = (outcome.label.model_dump(exclude={"scf_runs", "check"}) for outcome in (again, first))
    assert one == two
