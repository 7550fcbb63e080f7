"""Verdicts on volumes and campaigns: every rule, and what must not pass for validation."""

from __future__ import annotations

import math

import pytest

from mmtp_fw.statepoints import StatePoint
from mmtp_fw.verdicts import SIGMAS, Averages, Verdict, conclude, headline, judge

M, P = "magnetization_muB_per_atom", "pressure_GPa"
SPREAD = {M: 0.004, P: 0.12}


def averages(m=1.8, p=5.0, m_error=0.003, p_error=0.05) -> Averages:
    errors = {name: error for name, error in ((M, m_error), (P, p_error)) if error is not None}
    return Averages("done", {M: m, P: p}, errors)


def judged(mine=None, reference=None, spread=SPREAD, grade=1.5):
    return judge(mine or averages(), reference or averages(), spread, grade, 2.0)


def test_differences_are_measured_by_both_uncertainties():
    allowed = SIGMAS * math.sqrt(2 * 0.05**2 + 0.12**2)
    just, over = judged(averages(p=5.0 + 0.99 * allowed)), judged(averages(p=5.0 - 1.01 * allowed))
    assert just.verdict is Verdict.INSIDE and over.verdict is Verdict.OUTSIDE
    assert over.differences[P].allowed == pytest.approx(allowed) and over.differences[P].inside is False
    assert over.differences[P].statistical == pytest.approx(math.sqrt(2) * 0.05) and over.differences[P].model == 0.12
    assert "pressure off by 0.42 GPa, allowed 0.42" in over.reason and "magnetization" not in over.reason
    alone = judged(averages(p=5.0 + 0.99 * allowed), spread=SPREAD | {P: 0.0})
    assert alone.verdict is Verdict.OUTSIDE, "the statistical uncertainty alone does not cover it"
    assert judged(averages(m=1.83)).verdict is Verdict.OUTSIDE, "one of both is enough"


def test_a_grade_above_the_threshold_is_extrapolation_and_none_is_no_verdict():
    assert judged(grade=2.01).verdict is Verdict.EXTRAPOLATED and "2.01" in judged(grade=2.01).reason
    assert judged(grade=2.0).verdict is Verdict.INSIDE
    assert judged(grade=None).verdict is Verdict.NOT_JUDGED
    assert judged(grade=math.nan).verdict is Verdict.NOT_JUDGED
    assert judged(averages(p=9.0), grade=50.0).verdict is Verdict.OUTSIDE, "wrong is worse than far away"


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        ("exploded", Verdict.UNSTABLE),
        ("nan", Verdict.UNSTABLE),
        ("lost_atoms", Verdict.UNSTABLE),
        ("moments_at_bound", Verdict.UNSTABLE),
        ("moments_not_relaxed", Verdict.UNSTABLE),
        ("moments_outside_trained_range", Verdict.EXTRAPOLATED),
        ("wall_time", Verdict.NOT_JUDGED),
        ("failed", Verdict.NOT_JUDGED),
    ],
)
def test_a_trajectory_that_broke_off(outcome, verdict):
    found = judged(Averages(outcome, message="step 7: so and so"))
    assert (found.verdict, found.reason, found.differences) == (verdict, "step 7: so and so", {})
    assert judged(Averages(outcome)).reason == outcome.replace("_", " ")


def test_a_member_without_a_minimum_is_an_unstable_potential():
    found = judged(spread={"frames": 28.0, "frames_left_out": 4.0} | SPREAD)
    assert found.verdict is Verdict.UNSTABLE and "4 configurations" in found.reason
    assert judged(spread={"frames": 32.0, "frames_left_out": 0.0} | SPREAD).verdict is Verdict.INSIDE


def test_members_that_were_refused_are_no_uncertainty():
    few = {"members": 2.0, "members_unstable": 2.0, "members_refused": 1.0}
    assert judged(spread=few | SPREAD).verdict is Verdict.INSIDE
    found = judged(spread=few | {"members": 1.0} | SPREAD)
    assert found.verdict is Verdict.UNSTABLE and "2 of 3 members" in found.reason
    for passed in (0.0, 1.0):
        found = judged(spread=SPREAD | {"members": passed, "members_refused": 4.0 - passed})
        assert found.verdict is Verdict.NOT_JUDGED
        assert found.reason == f"{passed:g} members of the ensemble passed, fewer than 2: no model uncertainty"


def test_an_uncertainty_that_covers_everything_validates_nothing():
    wild = judged(averages(p=29.0), spread={M: 0.004, P: 38.0})
    assert wild.verdict is Verdict.UNCERTAIN and wild.differences[P].inside
    assert judged(spread={M: 0.5, P: 0.1}).verdict is Verdict.UNCERTAIN
    assert judged(spread={M: 0.5, P: 0.1}, grade=9.0).verdict is Verdict.EXTRAPOLATED


def test_what_is_not_known_is_not_judged():
    for spread in (None, {}, {M: 0.004}, {M: 0.004, P: math.nan}, {M: 0.004, P: math.inf}):
        found = judged(spread=spread)
        assert found.verdict is Verdict.NOT_JUDGED and "no model uncertainty" in found.reason
    for missing in ({"m_error": None}, {"p_error": None}, {"p_error": math.nan}):
        found = judged(reference=averages(**missing))
        assert found.verdict is Verdict.NOT_JUDGED and "no statistical uncertainty" in found.reason
    assert judge(None, averages(), SPREAD, 1.0, 2.0).verdict is Verdict.NOT_JUDGED
    assert judge(averages(), None, SPREAD, 1.0, 2.0).reason == "no averages of the reference"
    failed = judge(averages(), Averages("failed", message="no stress"), SPREAD, 1.0, 2.0)
    assert failed.verdict is Verdict.NOT_JUDGED and "no stress" in failed.reason
    half = judge(Averages("done", {M: 1.0}, {M: 0.1}), averages(), SPREAD, 1.0, 2.0)
    assert half.verdict is Verdict.NOT_JUDGED and "pressure" in half.reason
    nan = judged(averages(p=math.nan))
    assert nan.verdict is Verdict.NOT_JUDGED and "pressure" in nan.reason


def test_zero_against_zero_cannot_fail():
    still = judged(averages(m=0.0, m_error=0.0), averages(m=0.0, m_error=0.0), spread={M: 0.0, P: 0.12})
    assert still.verdict is Verdict.INSIDE and not still.differences[M].can_fail and "magnetization" not in still.reason
    noisy = judged(averages(m=0.004), averages(m=-0.003))
    assert not noisy.differences[M].can_fail, "neither can be told from zero"
    wrong = judged(averages(m=0.4), averages(m=0.0))
    assert wrong.differences[M].can_fail and wrong.verdict is Verdict.OUTSIDE
    assert judged(averages(p=0.02), averages(p=-0.03)).differences[P].can_fail, "nothing keeps a pressure at zero"
    nothing = judged(averages(m=0.0, p=0.0), averages(m=0.0, p=0.0))
    assert nothing.verdict is Verdict.NOT_JUDGED and "can't fail" in nothing.reason


def at(a):
    return StatePoint("", "", a)


def test_the_verdict_on_a_campaign():
    good, bad, far = judged(), judged(averages(p=9.0)), judged(grade=3.0)
    assert conclude(True, "", [(at(3.7), good), (at(3.8), good)]) == ("converged and validated", [])
    verdict, reasons = conclude(True, "", [(at(3.6), far), (at(3.7), bad), (at(3.8), far)])
    assert verdict == "converged, not validated"
    assert [line.split(":")[0] for line in reasons] == ["3.6, 3.8 Å extrapolated", "3.7 Å outside"]
    assert headline(verdict, reasons).startswith("converged, not validated because 3.6, 3.8 Å extrapolated: grade 3")
    stopped = conclude(False, "budget.max_labels is spent", [(at(3.7), good)])
    assert headline(*stopped) == "not converged (budget.max_labels is spent)"
    assert headline(*conclude(None, "", [])) == "not finished"
    assert headline(*conclude(True, "", [])) == "converged, not validated because nothing was compared"
    afm = judged(averages(m=0.0), averages(m=0.0))
    phases = [(StatePoint("bcc", "antiferromagnetic", 2.8), bad), (StatePoint("fcc", "ferromagnetic", 3.6), bad)]
    _, reasons = conclude(True, "", [*phases, (StatePoint("bcc", "antiferromagnetic", 2.9), bad)])
    named = ["bcc antiferromagnetic at 2.8, 2.9 Å outside", "fcc ferromagnetic at 3.6 Å outside"]
    assert [line.split(":")[0] for line in reasons] == named
    verdict, reasons = conclude(True, "", [(at(3.7), afm), (at(3.8), afm)])
    assert verdict == "converged, not validated" and "magnetization is zero in both at every volume" in reasons[0]
    assert conclude(True, "", [(at(3.7), afm), (at(3.8), good)]) == ("converged and validated", [])


def test_uncertainties_that_do_not_hold_stand_in_every_headline():
    told = ["energy at new labels: errors are 3.1 times what was stated"]
    for verdict, reasons in (
        conclude(True, "", [(at(3.7), judged())]),
        conclude(True, "", []),
        conclude(False, "x", []),
    ):
        line = headline(verdict, reasons, told)
        assert line.startswith(headline(verdict, reasons)) and line.endswith(f"not calibrated: {told[0]}")
