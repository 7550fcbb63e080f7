"""The adaptive ramp on an engine of closed forms: λ, constraints and jumps."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from quadratic import (
    FREE,
    TARGET,
    K,
    Quadratic,
    S,
    cell,
    labelled,
    of,
    strengths,
)

from mmtp_fw.dft import OutcomeStatus, ProtocolSettings, Rule, Stage, StageName


@pytest.mark.parametrize("lowest", [1.0, 2.0])
def test_a_linear_response_is_met_with_two_calculations(lowest):
    """The first step measures stiffness and force, the second puts the minimum onto the target."""
    far = TARGET + np.array([0.0, 0.6, -0.5, 0.0])
    engine = Quadratic(FREE)
    outcome = labelled(engine, cell(far), ProtocolSettings(refine_runs=0, lambda_series=(lowest, 50.0)))
    first, second = of(outcome, StageName.RAMP)
    assert first.lambda_eV_per_muB2 == lowest
    np.testing.assert_allclose(first.constrained, S * far, atol=1e-9)
    np.testing.assert_allclose(second.final_moments(), far, atol=1e-8)
    assert second.mae_muB < 1e-8
    force = -K / S * (far - FREE)  # at the target, in m^sWS
    np.testing.assert_allclose(second.constrained, S * far - force / (2 * second.lambda_eV_per_muB2), atol=1e-8)
    # The smallest λ of the table at which 0.4 of the expected deviation is within 0.7 of the limits.
    for strength in np.geomspace(lowest, 50, 40):
        expected = 0.4 * np.abs(force / (2 * strength + K / S**2) / S)
        if expected.mean() <= 0.7 * 0.05 and expected.max() <= 0.7 * 0.15:
            break
    assert second.lambda_eV_per_muB2 == pytest.approx(strength)
    assert 2 < strength < 10


@pytest.mark.parametrize("growth", [1.5, 3.0])
def test_lambda_grows_no_faster_than_it_may(growth):
    """Far targets want a large λ at once: each step multiplies it by the limit and no more."""

    def stubborn(request, result):
        # Moments answer to a shift of the constraint by a twentieth only, so that the ramp has to go on.
        if request.constraint is None:
            return result
        moments = {name: values * [1.0, 1.25, 1.0, 1.0] for name, values in result.moments.items()}
        return replace(result, moments=moments)

    chosen = ProtocolSettings(
        growth_limit=growth, refine_runs=0, ramp_runs=6, mae_limit_muB=0.002, max_limit_muB=0.004, aim=0.05,
        integration_tolerance_eV_per_atom=99.0,
    )  # fmt: skip
    outcome = labelled(Quadratic(FREE, change=stubborn), cell(TARGET + np.array([0.5, 0.5, -0.5, 0.0])), chosen)
    found = strengths(outcome)
    assert len(found) >= 3 and found[0] == 1.0
    ratios = [two / one for one, two in pairwise(found)]
    assert max(ratios) == pytest.approx(growth), "as fast as allowed"
    assert found[1] == pytest.approx(growth)
    assert all(ratio <= growth * (1 + 1e-9) for ratio in ratios)


def test_the_ramp_has_a_length():
    def never(request, result):
        if request.constraint is None:
            return result
        moments = {name: values + 0.2 for name, values in result.moments.items()}
        return replace(result, moments=moments)

    for runs in (1, 3):
        chosen = ProtocolSettings(ramp_runs=runs, integration_tolerance_eV_per_atom=99.0)
        outcome = labelled(Quadratic(FREE, change=never), cell(TARGET), chosen)
        assert len(strengths(outcome)) == runs


def test_a_failed_jump_is_halved():
    failed = []

    def fails(request, number):
        if request.stage == "ramp" and not failed:
            failed.append(request)
            return True
        return False

    engine = Quadratic(FREE, fails=fails)
    outcome = labelled(engine, cell(TARGET), ProtocolSettings())
    one, two = of(outcome, StageName.RAMP)[:2]

    def jump(stage: Stage) -> float:
        # From the unconstrained state, whose field is zero.
        return float(np.max(np.abs(2 * stage.lambda_eV_per_muB2 * (S * FREE - np.array(stage.constrained)))))

    assert not one.converged and two.converged
    assert jump(two) <= 0.5 * jump(one) * (1 + 1e-6)
    assert jump(two) == pytest.approx(0.5 * jump(one)), "no smaller than it must be"
    assert outcome.rule == Rule.CRITERIA_MET


def test_what_is_dared_grows_by_a_fifth_with_each_success():
    failed = []

    def fails(request, number):
        failed.extend([number] * (request.stage == "ramp" and not failed))
        return failed == [number]

    far = TARGET + np.array([0.5, 0.6, -0.6, 0.3])
    outcome = labelled(Quadratic(FREE, fails=fails), cell(far), ProtocolSettings(ramp_runs=5))
    ramp = of(outcome, StageName.RAMP)
    moments, field, jumps = S * FREE, np.zeros(4), []
    for stage in ramp:
        now = 2 * stage.lambda_eV_per_muB2 * (moments - np.array(stage.constrained))
        jumps.append(float(np.max(np.abs(now - field))))
        if stage.converged:
            moments = np.array(stage.achieved["sWS"])
            field = 2 * stage.lambda_eV_per_muB2 * (moments - np.array(stage.constrained))
    assert len(jumps) >= 4
    dared = [0.5 * jumps[0] * 1.2**k for k in range(len(jumps) - 1)]
    assert jumps[1] == pytest.approx(dared[0]) and jumps[2] == pytest.approx(dared[1], rel=0.15)
    assert all(jump <= allowed * (1 + 1e-6) for jump, allowed in zip(jumps[1:], dared, strict=True))


@pytest.mark.parametrize("allowed", [0, 2])
def test_a_ramp_that_always_fails_ends(allowed):
    engine = Quadratic(FREE, fails=lambda request, number: request.stage == "ramp")
    outcome = labelled(engine, cell(TARGET), ProtocolSettings(step_backs=allowed))
    assert len(strengths(outcome)) == 1 + allowed
    assert (outcome.status, outcome.rule) == (OutcomeStatus.REJECTED, Rule.NO_CONVERGED_STAGE)
    assert "no constrained calculation converged" in outcome.reason
    assert outcome.stages[-1].message.startswith("rejected, no_converged_stage")
