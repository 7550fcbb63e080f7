"""Labels by a hard constraint on the reference Hamiltonian, and what happens where it doesn't converge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mmtp_fw.dft import (
    CheckVerdict,
    ConstraintKind,
    Grade,
    OutcomeStatus,
    ProtocolSettings,
    Rule,
    ScfRequest,
    ScfResult,
    Stage,
    StageName,
    describe,
    get_engine,
    run_protocol,
)
from mmtp_fw.dft.hamiltonian import HamiltonianEngine
from mmtp_fw.errors import EngineError, InputError

HARD = ProtocolSettings(constraint="hard")
NEVER_FAILS = float("inf")


def iron(seed: int) -> Atoms:
    """Return a distorted cell of four iron atoms with random targets."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Fe", "fcc", a=3.7, cubic=True)
    atoms.positions += rng.normal(0, 0.05, (4, 3))
    atoms.set_initial_magnetic_moments(rng.uniform(-3, 3, 4))
    return atoms


class Failing(HamiltonianEngine):
    """An engine whose hard calculations converge only where `converges` says so."""

    def __init__(self, converges) -> None:
        super().__init__(jump_limit_scale=NEVER_FAILS)
        self.converges = converges

    def scf(self, request: ScfRequest) -> ScfResult:
        result = super().scf(request)
        if request.hard and not self.converges(request):
            return replace(result, converged=False, restart={}, magnetic_forces=None, message="not converged")
        return result


def calculations(outcome) -> list[tuple[str, str]]:
    return [(s.name.value, s.kind.value) for s in outcome.stages if s.scf_steps]


def test_one_calculation_and_the_targets_themselves():
    engine = HamiltonianEngine(jump_limit_scale=NEVER_FAILS)
    for seed in range(10):
        atoms = iron(seed)
        outcome = run_protocol(engine, atoms, HARD, check=False)
        assert (outcome.status, outcome.rule) == (OutcomeStatus.ACCEPTED, Rule.CRITERIA_MET)
        assert calculations(outcome) == [("hard", "hard")] and outcome.scf_runs == 1
        label = outcome.label
        np.testing.assert_allclose(label.moments, label.target, atol=1e-9)
        exact = engine.model.evaluate(atoms, np.array(label.moments))
        assert label.energy_eV == pytest.approx(exact.energy, abs=1e-9)
        np.testing.assert_allclose(label.magnetic_forces, exact.magnetic_forces, atol=1e-9)
        assert (label.constraint, label.lambda_eV_per_muB2) == (ConstraintKind.HARD, None)
        assert (label.check.verdict, label.grade) == (CheckVerdict.UNCHECKED, Grade.B)
        assert "unchecked" in outcome.reason
        assert label.bias_eV_per_atom == pytest.approx(0, abs=1e-9) and label.extrapolation.lambdas == []
        labelled = label.to_atoms()
        assert labelled.info["label_constraint"] == "hard" and labelled.info["label_check"] == "unchecked"
        assert "label_lambda_eV_per_muB2" not in labelled.info


def test_a_check_is_a_second_point_and_another_start_and_its_cost_is_counted():
    outcome = run_protocol(HamiltonianEngine(jump_limit_scale=NEVER_FAILS), iron(1), HARD)
    assert calculations(outcome) == [("hard", "hard"), ("check", "hard"), ("equilibrium", "none"), ("check", "hard")]
    check = outcome.label.check
    assert check.verdict == CheckVerdict.CONFIRMED and outcome.label.grade == Grade.A
    assert (check.scf_runs, outcome.scf_runs, outcome.label.scf_runs) == (3, 4, 4)
    assert abs(check.residual_eV_per_atom) < 1e-5 and check.other_start_eV_per_atom == pytest.approx(0, abs=1e-9)
    label, second = outcome.stages[0], outcome.stages[1]
    moved = second.final_moments() - label.final_moments()
    assert np.min(np.abs(moved)) >= 0.5 * 0.03 and np.max(np.abs(moved)) <= 1.5 * 0.03
    assert check.points == [second.key, label.key]


def test_which_labels_of_a_campaign_are_checked():
    chosen = [number for number in range(41) if HARD.checks(number)]
    assert chosen == [*range(11), 20, 30, 40]
    assert [n for n in range(41) if ProtocolSettings(check_first=2, check_every=0).checks(n)] == [0, 1]


def test_where_a_cold_start_fails_a_soft_calculation_is_the_start_and_the_label_a_suspect():
    outcome = run_protocol(Failing(lambda request: request.restart), iron(2), HARD, check=False)
    assert calculations(outcome)[:3] == [("hard", "hard"), ("ramp", "soft"), ("hard", "hard")]
    assert not outcome.stages[0].converged and outcome.stages[1].lambda_eV_per_muB2 == 1.0
    assert outcome.label.constraint == ConstraintKind.HARD
    assert outcome.label.check.verdict == CheckVerdict.CONFIRMED, "a suspect is checked unasked"


def test_what_ended_without_convergence_is_gone_on_from_where_it_left_something():
    class Slow(HamiltonianEngine):
        """Needs two runs."""

        def scf(self, request: ScfRequest) -> ScfResult:
            result = super().scf(request)
            if request.hard and not request.restart:
                return replace(result, converged=False, magnetic_forces=None)
            return result

    outcome = run_protocol(Slow(jump_limit_scale=NEVER_FAILS), iron(2), HARD, check=False)
    assert calculations(outcome)[:2] == [("hard", "hard"), ("hard", "hard")]
    assert outcome.label.stage_key == outcome.stages[1].key
    assert outcome.label.check.verdict == CheckVerdict.CONFIRMED


def test_where_it_never_converges_the_ladder_makes_the_label():
    outcome = run_protocol(Failing(lambda request: False), iron(3), HARD)
    made = calculations(outcome)
    assert made[:3] == [("hard", "hard"), ("ramp", "soft"), ("hard", "hard")]
    assert ("equilibrium", "none") not in made, "the ladder goes on from what converged"
    assert outcome.label.constraint == ConstraintKind.SOFT and outcome.label.lambda_eV_per_muB2 >= 1.0
    assert outcome.status == OutcomeStatus.ACCEPTED


def test_moments_that_were_not_held_are_no_hard_label():
    class Slack(HamiltonianEngine):
        def scf(self, request: ScfRequest) -> ScfResult:
            result = super().scf(request)
            if not request.hard:
                return result
            return replace(result, moments={name: m + 0.002 for name, m in result.moments.items()})

    outcome = run_protocol(Slack(jump_limit_scale=NEVER_FAILS), iron(4), HARD)
    assert outcome.label.constraint == ConstraintKind.SOFT


def test_a_lower_state_from_another_start_becomes_the_label():
    class Branches(HamiltonianEngine):
        """Cold starts end 8 meV/atom too high."""

        def scf(self, request: ScfRequest) -> ScfResult:
            result = super().scf(request)
            if not request.hard or (request.restart and not request.restart.get("high")):
                return result
            return replace(result, energy_eV=result.energy_eV + 0.032, restart=result.restart | {"high": True})

    atoms = iron(5)
    engine = Branches(jump_limit_scale=NEVER_FAILS)
    outcome = run_protocol(engine, atoms, HARD)
    exact = engine.model.evaluate(atoms, atoms.get_initial_magnetic_moments()).energy
    assert outcome.label.energy_eV == pytest.approx(exact, abs=1e-7)
    assert outcome.label.check.verdict == CheckVerdict.CONFIRMED
    assert "8.0 meV/atom higher" in outcome.label.check.note
    assert outcome.label.check.other_start_eV_per_atom == pytest.approx(0.008)
    unasked = run_protocol(engine, atoms, HARD, check=False)
    assert unasked.label.energy_eV == pytest.approx(exact + 0.032, abs=1e-7)
    assert unasked.label.check.verdict == CheckVerdict.UNCHECKED


@pytest.mark.parametrize("way", [HARD, HARD.model_copy(update={"constraint": "soft"})], ids=["hard", "soft"])
@pytest.mark.parametrize("shift", [-40.0, 40.0], ids=["cold below", "cold above"])
def test_two_ends_that_are_no_two_magnetic_states_make_no_label(way, shift):
    class Ghost(HamiltonianEngine):
        """Cold starts with a constraint end 10 eV/atom off, consistently with their own forces."""

        def scf(self, request: ScfRequest) -> ScfResult:
            result = super().scf(request)
            constrained = request.kind != ConstraintKind.NONE
            if not constrained or (request.restart and not request.restart.get("ghost")):
                return result
            return replace(result, energy_eV=result.energy_eV + shift, restart=result.restart | {"ghost": True})

    outcome = run_protocol(Ghost(jump_limit_scale=NEVER_FAILS), iron(5), way, check=True)
    assert outcome.label is None
    assert outcome.rule == Rule.INCONSISTENT_ENERGY
    assert "from another density the same moments end 10.0 eV/atom away" in outcome.reason


def test_an_engine_that_gives_no_forces_of_its_final_moments_fails_by_name():
    class Mute(HamiltonianEngine):
        def scf(self, request: ScfRequest) -> ScfResult:
            return replace(super().scf(request), magnetic_forces=None)

    outcome = run_protocol(Mute(jump_limit_scale=NEVER_FAILS), iron(6), HARD)
    assert (outcome.status, outcome.rule) == (OutcomeStatus.FAILED, Rule.ENGINE_FAILED)
    assert "no magnetic forces" in outcome.reason and "hard constraint" in outcome.reason


def test_the_engine_s_own_forces_are_used_in_their_definition():
    class OfSpheres(HamiltonianEngine):
        """Gives forces of the smoothed moments."""

        def scf(self, request: ScfRequest) -> ScfResult:
            result = super().scf(request)
            if result.magnetic_forces is None:
                return result
            slopes = result.moments["sWS"] / result.moments["PAW"]
            return replace(result, magnetic_forces=result.magnetic_forces / slopes, magnetic_forces_definition="sWS")

    atoms = iron(7)
    plain = run_protocol(HamiltonianEngine(jump_limit_scale=NEVER_FAILS), atoms, HARD)
    other = run_protocol(OfSpheres(jump_limit_scale=NEVER_FAILS), atoms, HARD)
    np.testing.assert_allclose(other.label.magnetic_forces, plain.label.magnetic_forces, rtol=1e-9)


def test_auto_is_what_the_engine_does_best_and_unknown_kinds_are_refused():
    assert describe("abinit").constraints == ("hard", "soft")
    assert describe("vasp").constraints == ("soft",)
    automatic = run_protocol(get_engine("hamiltonian"), iron(8))
    assert automatic.label.constraint == ConstraintKind.SOFT

    class Vasp(HamiltonianEngine):
        name = "vasp"

    with pytest.raises(InputError, match=r"dft\.protocol\.constraint: the engine 'vasp' knows no hard constraint"):
        run_protocol(Vasp(), iron(8), HARD)


def test_stages_recorded_before_kinds_were_are_still_read():
    stages = run_protocol(get_engine("hamiltonian"), iron(9)).stages
    for stage in stages:
        old = stage.model_dump(mode="json", exclude={"kind", "energy_noise_eV"})
        again = Stage.model_validate(old)
        if stage.name not in (StageName.ACCEPT, StageName.MAP):
            assert again.kind == stage.kind


def test_a_free_calculation_that_lost_its_moments_is_made_again_from_larger_ones():
    class Lazy(HamiltonianEngine):
        """Falls to the non-magnetic state from moments that are not large enough."""

        def scf(self, request: ScfRequest) -> ScfResult:
            result = super().scf(request)
            if request.constraint is None and np.max(np.abs(request.start_moments)) < 3.0:
                nothing = self.model.evaluate(request.atoms, np.zeros(len(request.atoms)))
                moments = {name: np.zeros(len(request.atoms)) for name in result.moments}
                return replace(result, energy_eV=nothing.energy, moments=moments)
            return result

    atoms = iron(10)
    atoms.set_initial_magnetic_moments([2.4] * 4)
    outcome = run_protocol(Lazy(), atoms, ProtocolSettings(constraint="soft"))
    free = [s for s in outcome.stages if s.name == StageName.EQUILIBRIUM]
    assert np.max(np.abs(free[0].final_moments())) == 0.0 and np.min(np.abs(free[1].final_moments())) > 1.0
    assert free[1].energy_eV < free[0].energy_eV
    assert outcome.label.check.verdict == CheckVerdict.CONFIRMED


def test_an_engine_that_runs_a_program_refuses_a_constraint_that_it_does_not_know(tmp_path):
    held = np.ones(4)
    asked = ScfRequest(iron(11), "hard", held, tmp_path / "00_hard", constraint=held, hard=True)
    with pytest.raises(EngineError, match="'vasp' knows no hard constraint"):
        get_engine("vasp").scf(asked)
