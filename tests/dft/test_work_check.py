"""The work check: what it lets through, what it finds, and how well it knows the work."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mmtp_fw.dft import CheckVerdict, ProtocolSettings, Rule, StageName, quality, run_protocol
from mmtp_fw.dft.hamiltonian import HamiltonianEngine

_SPEC = importlib.util.spec_from_file_location("work_check", Path(__file__).parents[2] / "benchmarks" / "work_check.py")
benchmark = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(benchmark)

LABELS = 12


@pytest.mark.parametrize("way", ["soft", "hard"])
def test_right_labels_are_confirmed(way):
    rows = [benchmark.one(way, benchmark.right, 10_000 + seed) for seed in range(3 * LABELS)]
    assert all(row["accepted"] and not row["is_wrong"] for row in rows)


@pytest.mark.parametrize("fault", benchmark.FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("way", ["soft", "hard"])
def test_wrong_labels_are_found(way, fault):
    rows = [benchmark.one(way, fault, 20_000 + seed) for seed in range(LABELS)]
    wrong = sum(row["was_wrong"] for row in rows)
    # Moments that were not held are seen before any check: then the ladder makes the label.
    assert wrong >= (0.5 * LABELS if (way, fault) != ("hard", benchmark.moments_of_the_step_before) else 0)
    assert sum(row["is_wrong"] for row in rows) <= 0.1 * LABELS


def test_only_ways_that_end_at_the_label_are_judged():
    """A calculation far up the ladder that is wrong says nothing about a label that is right."""

    def first_one_wrong(request, result, engine):
        if request.stage == "radii":
            return benchmark.replace(result, energy_eV=result.energy_eV + 1.0)
        return result

    for seed in range(6):
        assert benchmark.one("soft", first_one_wrong, seed)["accepted"]


def test_a_label_below_what_a_higher_calculation_says_is_kept():
    """The first of the ramp was in a higher state: that one is not the label."""

    def ramp_is_higher(request, result, engine):
        if request.stage == "ramp":
            return benchmark.replace(result, energy_eV=result.energy_eV + 0.2)
        return result

    kept = [benchmark.one("soft", ramp_is_higher, seed) for seed in range(20)]
    refined = [row for row in kept if row["accepted"] and not row["is_wrong"]]
    assert refined, "some labels were refined, and these are right"
    assert not any(row["is_wrong"] for row in kept)


def test_the_work_of_a_quadratic_energy_is_exact_and_of_a_quartic_inside_its_error():
    rng = np.random.default_rng(0)
    hessian = rng.normal(size=(4, 4))
    hessian += hessian.T

    def energy(m, quartic):
        return 0.5 * m @ hessian @ m + quartic * np.sum(m**4)

    def force(m, quartic):
        return -hessian @ m - 4 * quartic * m**3

    inside = 0
    for _ in range(200):
        start, end = rng.uniform(1, 2, 4), rng.uniform(1, 2, 4)
        way = start + 0.15 * (end - start)
        middle = 0.5 * (start + way) + rng.normal(0, 0.003, 4)
        for points in ([start, way], [start, middle, way]):
            done, error = quality.work(points, [force(m, 0.0) for m in points])
            assert done == pytest.approx(energy(start, 0.0) - energy(way, 0.0), abs=1e-12)
            assert (error is None) == (len(points) == 2)
        points = [start, middle, way]
        done, error = quality.work(points, [force(m, 0.3) for m in points])
        off = abs(done - (energy(start, 0.3) - energy(way, 0.3)))
        assert (
            off
            < abs(
                quality.work([start, way], [force(start, 0.3), force(way, 0.3)])[0]
                - (energy(start, 0.3) - energy(way, 0.3))
            )
            or off < 1e-6
        )
        inside += off <= error
    assert inside > 190


def test_a_force_that_bends_is_no_fault():
    """Iron in ABINIT: T is flat from 1.57 to 1.66 μB and falls by 40 % to 1.74 (hartree, μB)."""
    moments = [np.array(m) for m in ([2.31069, 1.74085], [2.290, 1.657], [2.27069, 1.57322])]
    forces = [np.array(t) for t in ([0.00391, 0.00872], [0.00970, 0.01478], [0.00979, 0.01480])]
    change = -248.849228 + 248.852047
    two, none = quality.work([moments[0], moments[2]], [forces[0], forces[2]])
    three, error = quality.work(moments, forces)
    assert none is None
    assert abs(change + two) > 5e-4, "a trapezoid is off by 7 meV/atom"
    assert abs(change + three) < error


def test_the_penalty_must_be_that_of_the_moments():
    outcome = run_protocol(HamiltonianEngine(), benchmark.random_request(np.random.default_rng(3)))
    label = next(s for s in outcome.stages if s.key == outcome.label.stage_key)
    assert quality.penalty_mismatch(label) == 0.0
    shifted = {name: [m + 0.02 for m in values] for name, values in label.achieved.items()}
    assert quality.penalty_mismatch(label.model_copy(update={"achieved": shifted})) > 1e-4


def test_equal_penalties_tell_nothing_and_another_one_is_computed():
    told = 0
    for seed in range(10):
        atoms = benchmark.random_request(np.random.default_rng(seed))
        outcome = run_protocol(HamiltonianEngine(), atoms, check=False)
        label = next(s for s in outcome.stages if s.key == outcome.label.stage_key)
        check = outcome.label.check
        assert check.verdict == CheckVerdict.CONFIRMED
        ends = [next(s for s in outcome.stages if s.key == key) for key in (check.points[0], check.points[-1])]
        assert ends[1] is label
        low, high = sorted(s.penalty_eV for s in ends)
        assert high >= 2 * low
        told += ends[0].name == StageName.CHECK
    assert told, "for some the ladder has no such pair"


def test_the_limit_is_the_energy_at_the_target_inside_its_error():
    for settings in (ProtocolSettings(), ProtocolSettings(adaptive=False, refine_runs=0)):
        off, stated, label_off = [], [], []
        for seed in range(40):
            atoms = benchmark.random_request(np.random.default_rng(seed))
            engine = HamiltonianEngine()
            label = run_protocol(engine, atoms, settings, check=False).label
            exact = engine.model.evaluate(atoms, atoms.get_initial_magnetic_moments()).energy
            off.append(abs(label.extrapolation.energy_eV - exact) / len(atoms))
            stated.append(label.extrapolation.energy_uncertainty_eV / len(atoms))
            label_off.append(abs(label.energy_eV - exact) / len(atoms))
            assert label.extrapolation.moments == label.target
        assert np.sqrt(np.mean(np.square(off))) <= 1e-4
        assert np.mean(np.array(off) <= stated) >= 0.68
        assert np.mean(off) < 0.05 * np.mean(label_off)


def test_the_limit_s_error_holds_what_self_consistency_left_open():
    def noisy(request, result, engine):
        return benchmark.replace(result, energy_noise_eV=0.01)

    atoms = benchmark.random_request(np.random.default_rng(1))
    label = run_protocol(benchmark.Faulty(noisy, 0), atoms).label
    assert label.extrapolation.energy_uncertainty_eV >= 0.01


def test_a_contradiction_says_by_how_much():
    atoms = benchmark.random_request(np.random.default_rng(2))
    outcome = run_protocol(benchmark.Faulty(benchmark.half_a_penalty, 0), atoms)
    assert outcome.rule == Rule.INCONSISTENT_ENERGY and outcome.label is None
    assert "meV/atom (the integral is good to" in outcome.reason
