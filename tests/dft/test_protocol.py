"""The staged protocol on the reference Hamiltonian, where every answer is known exactly."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.dft import (
    ConstraintKind,
    Grade,
    OutcomeStatus,
    ProtocolSettings,
    Rule,
    ScfRequest,
    ScfResult,
    Stage,
    StageName,
    get_engine,
    ramp,
    run_protocol,
)
from mmtp_fw.dft.engine import SMOOTHED, UNSMOOTHED, Engine
from mmtp_fw.dft.hamiltonian import HamiltonianEngine
from mmtp_fw.errors import EngineError, InputError


def request(seed: int, scale: float = 0.25, signs: bool = False) -> Atoms:
    """Return a distorted Fe11Pd5 cell with target moments."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Fe", "fcc", a=rng.uniform(3.6, 3.85), cubic=True) * (2, 2, 1)
    atoms.symbols[rng.permutation(16)[:5]] = "Pd"
    atoms.positions += rng.normal(0, 0.06, (16, 3))
    moments = np.where(atoms.symbols == "Fe", 2.6, 0.3) * (1 + scale * rng.uniform(-1, 1, 16))
    if signs:
        moments *= rng.choice([-1, 1], 16)
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def names(outcome) -> list[str]:
    return [stage.name.value for stage in outcome.stages]


@pytest.fixture(scope="module")
def engine() -> HamiltonianEngine:
    return HamiltonianEngine()


def test_the_engine_fits_the_interface(engine):
    assert isinstance(engine, Engine)
    assert get_engine("hamiltonian").settings_document() == engine.settings_document()
    with pytest.raises(InputError, match="unknown DFT engine"):
        get_engine("siesta")
    with pytest.raises(InputError, match="hamiltonian"):
        get_engine("hamiltonian", cutoff=3)


@given(st.integers(0, 10_000), st.booleans(), st.booleans())
@settings(max_examples=20, deadline=None)
def test_labels_are_exact(seed, adaptive, signs):
    engine = HamiltonianEngine()
    atoms = request(seed, scale=0.6, signs=signs)
    outcome = run_protocol(engine, atoms, ProtocolSettings(adaptive=adaptive))
    assert outcome.status == OutcomeStatus.ACCEPTED, outcome.reason
    label = outcome.label
    exact = engine.model.evaluate(atoms, label.moments)
    assert label.energy_eV == pytest.approx(exact.energy, abs=1e-9)
    np.testing.assert_allclose(label.forces, exact.forces, atol=1e-9)
    np.testing.assert_allclose(label.stress, exact.stress, atol=1e-11)
    np.testing.assert_allclose(label.magnetic_forces, exact.magnetic_forces, atol=1e-6)
    deviation = np.abs(np.array(label.moments) - atoms.get_initial_magnetic_moments())
    assert label.mae_muB == pytest.approx(deviation.mean())
    assert label.max_deviation_muB == pytest.approx(deviation.max())
    if outcome.rule == Rule.CRITERIA_MET:
        assert label.mae_muB <= 0.05
        assert label.max_deviation_muB <= 0.15


def test_stages_come_in_order_and_hold_everything(engine):
    atoms = request(1, scale=0.6)
    seen: list[Stage] = []
    outcome = run_protocol(engine, atoms, ProtocolSettings(adaptive=False), on_stage=seen.append)
    assert seen == outcome.stages
    order = [name.value for name in StageName]
    assert sorted(names(outcome), key=order.index) == names(outcome)
    assert set(names(outcome)) == set(order) - {"hard"}
    assert [stage.index for stage in seen] == list(range(len(seen)))
    assert len({stage.key for stage in seen}) == len(seen)
    for stage in seen:
        assert Stage.model_validate_json(stage.model_dump_json()) == stage
    ramp = [stage for stage in seen if stage.name == StageName.RAMP]
    for stage in ramp:
        assert stage.kind == ConstraintKind.SOFT
        smoothed = np.array(stage.achieved[SMOOTHED])
        penalty = stage.lambda_eV_per_muB2 * np.sum((smoothed - np.array(stage.constrained)) ** 2)
        assert stage.penalty_eV == pytest.approx(penalty)
        assert stage.energy_with_penalty_eV == pytest.approx(stage.energy_eV + penalty)
        assert set(stage.achieved) == {"PAW", "WS", "sWS"}
    assert ramp[0].lambda_eV_per_muB2 == 1.0
    assert ramp[0].mae_muB > ramp[-1].mae_muB


def test_radii_are_rescaled_until_spheres_hold_the_moments(engine):
    outcome = run_protocol(engine, request(2))
    first = outcome.stages[0]
    last = [stage for stage in outcome.stages if stage.name == StageName.RADII][-1]
    assert last.radii_A != first.radii_A
    iron = np.array([s == "Fe" for s in request(2).symbols])

    def mismatch(stage: Stage) -> float:
        spheres, final = np.array(stage.achieved[UNSMOOTHED])[iron], stage.final_moments()[iron]
        return abs(spheres @ final / (spheres @ spheres) - 1)

    assert mismatch(first) > 0.02
    assert mismatch(last) < 0.02


def test_refinement_removes_what_the_map_leaves(engine):
    atoms = request(3, scale=0.6)
    plain = run_protocol(engine, atoms, ProtocolSettings(adaptive=False, refine_runs=0))
    refined = run_protocol(engine, atoms, ProtocolSettings(adaptive=False))
    assert refined.label.mae_muB < 0.3 * plain.label.mae_muB


@pytest.mark.parametrize("constraint", ["soft", "hard"])
def test_restart_from_any_stage_computes_nothing_twice(engine, constraint):
    atoms = request(4, scale=0.6)
    whole = run_protocol(engine, atoms, ProtocolSettings(constraint=constraint))

    class Counting(HamiltonianEngine):
        calls = 0

        def scf(self, request: ScfRequest) -> ScfResult:
            self.calls += 1
            return super().scf(request)

    calculations = [s for s in whole.stages if s.name not in (StageName.MAP, StageName.ACCEPT)]
    for kept in range(len(whole.stages) + 1):
        stored = [Stage.model_validate_json(s.model_dump_json()) for s in whole.stages[:kept]]
        counting, new = Counting(), []
        again = run_protocol(
            counting, atoms, ProtocolSettings(constraint=constraint), finished=stored, on_stage=new.append
        )
        assert counting.calls == len(calculations) - sum(s in calculations for s in stored)
        assert len(new) == len(whole.stages) - kept
        assert again.label == whole.label
        assert [s.key for s in again.stages] == [s.key for s in whole.stages]


class WithDataset(HamiltonianEngine):
    """An engine with a dataset, that counts its calculations."""

    def __init__(self, dataset: str) -> None:
        super().__init__()
        self.dataset, self.calls = dataset, 0

    def datasets(self, atoms: Atoms) -> dict[str, str]:
        return dict.fromkeys(sorted(set(atoms.symbols)), self.dataset)

    def scf(self, request: ScfRequest) -> ScfResult:
        self.calls += 1
        return super().scf(request)


def test_stages_of_another_protocol_are_taken_over():
    atoms, other = request(4, scale=0.6), ProtocolSettings(adaptive=False, radii_runs=1)
    first = run_protocol(WithDataset("a"), atoms, ProtocolSettings(refine_runs=0))
    there = [s.model_copy(update={"reused_from": "first"}) for s in first.stages]
    fresh, sharing, foreign = WithDataset("a"), WithDataset("a"), WithDataset("b")
    alone = run_protocol(fresh, atoms, other)
    kept: list[Stage] = []
    shared = run_protocol(sharing, atoms, other, on_stage=kept.append, others=there)
    assert kept == shared.stages, "stages of others are kept with the rest"
    taken = [s for s in shared.stages if s.reused_from]
    assert [s.name for s in taken] == [StageName.EQUILIBRIUM, StageName.RADII]
    assert sharing.calls == shared.scf_runs == fresh.calls - len(taken)
    assert shared.label.energy_eV == alone.label.energy_eV and shared.label.moments == alone.label.moments
    assert [set(s.datasets.values()) for s in shared.stages if s.name == StageName.RAMP] == [{"a"}] * 3
    run_protocol(foreign, atoms, other, others=there)
    assert foreign.calls == fresh.calls, "labels from different datasets don't fit together"


def test_stop_keeps_the_stages_and_goes_on_later(engine):
    atoms = request(5, scale=0.6)
    kept: list[Stage] = []
    outcome = run_protocol(engine, atoms, on_stage=kept.append, should_stop=lambda: len(kept) >= 2)
    assert outcome.status == OutcomeStatus.INTERRUPTED
    assert outcome.rule == Rule.STOPPED
    assert outcome.stages == kept
    assert run_protocol(engine, atoms, finished=kept).label == run_protocol(engine, atoms).label


@pytest.mark.parametrize("adaptive", [True, False])
def test_steps_back_where_self_consistency_breaks(adaptive):
    fragile = HamiltonianEngine(jump_limit_scale=0.6)
    chosen = ProtocolSettings(adaptive=adaptive)
    outcomes = [run_protocol(fragile, request(seed, 0.7), chosen) for seed in range(12)]
    broken = [o for o in outcomes if any(not s.converged and s.name == StageName.RAMP for s in o.stages)]
    assert broken, "the Hamiltonian was to break on some of these"
    mended = [o for o in broken if o.rule == Rule.CRITERIA_MET]
    assert len(mended) > 0.7 * len(broken)
    for outcome in mended:
        ramp = [s for s in outcome.stages if s.name == StageName.RAMP]
        for one, two in pairwise(ramp):
            if not one.converged:
                moved = two.lambda_eV_per_muB2 < one.lambda_eV_per_muB2 or two.constrained != one.constrained
                assert moved, "the next try after a failure is a smaller step"


def test_hopeless_convergence_is_a_verdict():
    hopeless = HamiltonianEngine(jump_limit_scale=1e-3)
    outcome = run_protocol(hopeless, request(6, scale=0.6))
    assert outcome.status == OutcomeStatus.REJECTED
    assert outcome.rule in (Rule.NO_CONVERGED_STAGE, Rule.MOMENTS_TOO_FAR)
    assert outcome.label is None
    assert outcome.reason
    assert outcome.stages[-1].name == StageName.ACCEPT
    assert not outcome.stages[-1].converged


def test_too_weak_a_lambda_gives_a_useful_label_or_a_rejection(engine):
    # λ_max far below what the limits need: the stage with the smallest MAE, if it is near enough.
    weak = ProtocolSettings(
        adaptive=False,
        lambda_series=(0.02, 0.05),
        mae_limit_muB=0.001,
        refine_runs=0,
        useful_mae_limit_muB=0.5,
        useful_max_limit_muB=1.5,
    )
    outcome = run_protocol(engine, request(7), weak)
    assert outcome.rule == Rule.SMALLEST_MAE_USEFUL
    assert outcome.label.grade == Grade.C
    assert outcome.label.moments != outcome.label.target
    best = min(s.mae_muB for s in outcome.stages if s.name == StageName.RAMP)
    assert outcome.label.mae_muB == best
    strict = weak.model_copy(update={"useful_mae_limit_muB": 0.002})
    rejected = run_protocol(engine, request(7), strict)
    assert (rejected.status, rejected.rule) == (OutcomeStatus.REJECTED, Rule.MOMENTS_TOO_FAR)


class Tampering(HamiltonianEngine):
    """An engine that answers wrongly in a chosen way."""

    def __init__(self, change) -> None:
        super().__init__()
        self.change = change

    def scf(self, request: ScfRequest) -> ScfResult:
        return self.change(request, super().scf(request))


def test_flipped_moments_are_never_accepted():
    def flip(request: ScfRequest, result: ScfResult) -> ScfResult:
        if request.constraint is None:
            return result
        # Absolute values agree perfectly with the targets.
        wrong = {key: np.where(np.arange(16) == 3, -1, 1) * m for key, m in result.moments.items()}
        return replace(result, moments=wrong)

    atoms = request(8)
    if atoms.symbols[3] == "Pd":
        atoms.symbols[3] = "Fe"
        moments = atoms.get_initial_magnetic_moments()
        moments[3] = 2.4
        atoms.set_initial_magnetic_moments(moments)
    outcome = run_protocol(Tampering(flip), atoms)
    assert (outcome.status, outcome.rule) == (OutcomeStatus.REJECTED, Rule.MOMENT_FLIPPED)


@given(
    st.integers(0, 10**6), st.floats(0.01, 30.0), st.floats(1e-4, 10.0), st.booleans(),
)  # fmt: skip
def test_the_adaptive_ramp_never_dares_more_than_allowed(seed, last, dare, free):
    rng = np.random.default_rng(seed)
    smoothed, target = rng.uniform(-2, 2, 5), rng.uniform(-2, 2, 5)
    field = np.zeros(5) if free else 2 * last * (smoothed - rng.uniform(-2, 2, 5))
    response = ramp.Response(rng.normal(size=5), rng.uniform(0, 3, 5), rng.uniform(0.6, 0.9, 5))
    chosen = ProtocolSettings()
    first, second = (
        ramp.adaptive_step(response, (smoothed, field), target, last, allowed, chosen) for allowed in (dare, dare / 2)
    )
    for step, allowed in ((first, dare), (second, dare / 2)):
        assert step.jump <= allowed * (1 + 1e-9) + 1e-12
        assert step.strength <= chosen.lambda_max * (1 + 1e-12)
    if first.jump > dare / 2:
        assert (first.strength, *first.constraint) != (second.strength, *second.constraint), "no failure twice"


def test_engine_failure_is_a_verdict():
    def fail(request: ScfRequest, result: ScfResult) -> ScfResult:
        if request.stage == "ramp":
            raise EngineError("the program is gone", "install it")
        return result

    outcome = run_protocol(Tampering(fail), request(10))
    assert (outcome.status, outcome.rule) == (OutcomeStatus.FAILED, Rule.ENGINE_FAILED)
    assert "install it" in outcome.reason
    assert len(outcome.stages) >= 3


def test_label_as_atoms(engine):
    outcome = run_protocol(engine, request(12))
    atoms = outcome.label.to_atoms()
    assert atoms.get_potential_energy() == outcome.label.energy_eV
    np.testing.assert_array_equal(atoms.get_magnetic_moments(), outcome.label.moments)
    np.testing.assert_array_equal(atoms.arrays["magnetic_forces"], outcome.label.magnetic_forces)
    np.testing.assert_array_equal(atoms.get_initial_magnetic_moments(), outcome.label.target)
    assert (atoms.info["label_grade"], atoms.info["label_constraint"]) == ("A", "soft")
    assert atoms.info["label_check"] == "confirmed"


def test_unconstrained_is_stationary(engine):
    labelled = engine.unconstrained(request(13))
    np.testing.assert_allclose(labelled.arrays["magnetic_forces"], 0, atol=1e-8)
    assert np.all(labelled.get_magnetic_moments() > 0)


def _nothing(atoms: Atoms) -> Atoms:
    return atoms[:0]


def _unknown(atoms: Atoms) -> Atoms:
    atoms.symbols[0] = "Al"
    return atoms


def _impossible(atoms: Atoms) -> Atoms:
    atoms.set_initial_magnetic_moments([9.0] * 16)
    return atoms


def _flat(atoms: Atoms) -> Atoms:
    atoms.cell[2] = 0
    return atoms


def _close(atoms: Atoms) -> Atoms:
    atoms.positions[1] = atoms.positions[0] + [0.4, 0, 0]
    return atoms


def _nan(atoms: Atoms) -> Atoms:
    atoms.positions[1, 1] = np.nan
    return atoms


def _cluster(atoms: Atoms) -> Atoms:
    atoms.pbc = False
    return atoms


@pytest.mark.parametrize("spoil", [_nothing, _unknown, _impossible, _flat, _close, _nan, _cluster])
def test_bad_requests_are_refused_before_anything_is_computed(engine, spoil):
    called: list[Stage] = []
    with pytest.raises(InputError):
        run_protocol(engine, spoil(request(14)), on_stage=called.append)
    assert not called


def test_directories_are_handed_out_one_per_calculation(tmp_path):
    seen: list[Path] = []

    def note(request: ScfRequest, result: ScfResult) -> ScfResult:
        seen.append(request.directory)
        return result

    run_protocol(Tampering(note), request(15), directory=tmp_path)
    assert len(set(seen)) == len(seen)
    assert all(path.parent == tmp_path for path in seen)
