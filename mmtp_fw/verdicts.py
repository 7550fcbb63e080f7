"""What a comparison with a reference says of a potential: a verdict on every volume, and one on the campaign.

The rules stand here and in docs/campaign.md, nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mmtp_fw.compared import COMPARED, NEEDED
from mmtp_fw.statepoints import StatePoint

SIGMAS = 3.0
"""A difference of up to so many standard deviations is inside: of ten numbers that two would call wrong, by chance,
four campaigns in ten."""
LEAST_MEMBERS = 2
"""Members of an ensemble, beside the potential itself, from which on their spread is a model uncertainty."""


class Verdict(StrEnum):
    """Of a volume."""

    INSIDE = "inside both"
    OUTSIDE = "outside"
    EXTRAPOLATED = "extrapolated"
    UNSTABLE = "unstable potential"
    UNCERTAIN = "too uncertain"
    NOT_JUDGED = "not judged"


RULES: Mapping[Verdict, str] = {
    Verdict.INSIDE: f"every difference from the reference is at most {SIGMAS:g} times the statistical and the model "
    "uncertainty together, and one of them could have been larger",
    Verdict.OUTSIDE: "a difference is larger than that",
    Verdict.EXTRAPOLATED: "no difference is larger, but the grade of the averaged configurations exceeds γ select",
    Verdict.UNSTABLE: "the potential's trajectory broke off, or it or most of its ensemble found no minimum",
    Verdict.UNCERTAIN: "no difference is larger, but the uncertainty leaves room for "
    + " or ".join(dict.fromkeys(f"{row.widest:g} {row.unit}" for row in COMPARED.values())),
    Verdict.NOT_JUDGED: f"a number that the rules need is missing, fewer than {LEAST_MEMBERS} members of the ensemble "
    "passed, or nothing could have failed",
}
"""One line for people on each."""

BROKEN = frozenset(
    {"exploded", "nan", "lost_atoms", "extrapolated", "moments_at_bound", "moments_not_relaxed"}
)  # fmt: skip
"""Ends of a trajectory that the potential is to blame for."""
BEYOND = frozenset({"moments_outside_trained_range"})
"""Ends outside what was trained."""


@dataclass(frozen=True)
class Averages:
    """What one source gave at one volume.

    Attributes
    ----------
    outcome : str
        "done", or how it ended.
    values : mapping of str to float
        By the names in `COMPARED`.
    errors : mapping of str to float
        Statistical errors; a name that isn't there is one that nobody knows.
    message : str
    """

    outcome: str = "done"
    values: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True)
class Difference:
    """The potential's number minus the reference's.

    Attributes
    ----------
    difference : float
    statistical, model : float or None
        One standard deviation each; None where it isn't known.
    can_fail : bool
        Whether another number would have been noticed: 0 against 0 says nothing.
    """

    difference: float
    statistical: float | None
    model: float | None
    can_fail: bool

    @property
    def allowed(self) -> float | None:
        """Return the largest difference that is inside; None where that isn't known."""
        if self.statistical is None or self.model is None:
            return None
        return SIGMAS * math.hypot(self.statistical, self.model)

    @property
    def inside(self) -> bool | None:
        """Whether it is inside; None where that isn't known."""
        return None if self.allowed is None else abs(self.difference) <= self.allowed


@dataclass(frozen=True)
class Judgement:
    """The verdict on a volume, with its reason in a line, and the differences it stands on."""

    verdict: Verdict
    reason: str
    differences: Mapping[str, Difference] = field(default_factory=dict)


def judge(
    mine: Averages | None,
    reference: Averages | None,
    spread: Mapping[str, float] | None,
    max_grade: float | None,
    gamma_select: float,
) -> Judgement:
    """Judge a volume; see `RULES`.

    Parameters
    ----------
    mine, reference : Averages or None
        Of the potential and of the reference; None where there are none.
    spread : mapping of str to float or None
        The model uncertainty, see `mmtp_fw.properties.ensemble_spread`.
    max_grade : float or None
        Largest grade of the averaged configurations.
    gamma_select : float
    """
    spread = spread or {}
    missing = _missing(mine, reference, spread)
    if missing is not None or mine is None or reference is None:
        return missing or Judgement(Verdict.NOT_JUDGED, "no averages")
    found = _differences(mine, reference, spread)
    verdict, reason = _of_differences(found)
    if verdict in (Verdict.INSIDE, Verdict.UNCERTAIN):
        verdict, reason = _of_grade(max_grade, gamma_select) or (verdict, reason)
    return Judgement(verdict, reason, found)


def _missing(mine: Averages | None, reference: Averages | None, spread: Mapping[str, float]) -> Judgement | None:
    """Return the verdict where there is nothing to compare; None where there is."""
    if mine is None:
        return Judgement(Verdict.NOT_JUDGED, "no averages of the potential")
    if mine.outcome != "done":
        return _broken_off(mine)
    missed = spread.get("frames_left_out", 0.0)
    if missed:
        return Judgement(Verdict.UNSTABLE, f"a member of the ensemble found no minimum in {missed:g} configurations")
    passed, unstable = spread.get("members", 0.0), spread.get("members_unstable", 0.0)
    if unstable > passed:
        reason = f"{unstable:g} of {passed + unstable:g} members of the ensemble found no minimum in a configuration"
        return Judgement(Verdict.UNSTABLE, reason)
    if "members" in spread and passed < LEAST_MEMBERS:
        reason = f"{passed:g} members of the ensemble passed, fewer than {LEAST_MEMBERS}: no model uncertainty"
        return Judgement(Verdict.NOT_JUDGED, reason)
    if reference is None or reference.outcome != "done":
        ended = "" if reference is None else f": {reference.message or reference.outcome}"
        return Judgement(Verdict.NOT_JUDGED, f"no averages of the reference{ended}")
    return None


def _of_grade(max_grade: float | None, gamma_select: float) -> tuple[Verdict, str] | None:
    """Return what the grade says; None where it has no objection."""
    if max_grade is None or not math.isfinite(max_grade):
        return Verdict.NOT_JUDGED, "no grade of the averaged configurations is known"
    if max_grade > gamma_select:
        return Verdict.EXTRAPOLATED, f"grade {max_grade:.3g} above γ select = {gamma_select:g}"
    return None


def _broken_off(mine: Averages) -> Judgement:
    reason = mine.message or mine.outcome.replace("_", " ")
    if mine.outcome in BROKEN:
        return Judgement(Verdict.UNSTABLE, reason)
    return Judgement(Verdict.EXTRAPOLATED if mine.outcome in BEYOND else Verdict.NOT_JUDGED, reason)


def _differences(mine: Averages, reference: Averages, spread: Mapping[str, float]) -> dict[str, Difference]:
    """Return the difference in every number that both have; of what isn't needed, only with a model uncertainty."""
    both = [
        name
        for name, row in COMPARED.items()
        if _finite(mine.values.get(name))
        and _finite(reference.values.get(name))
        and (row.needed or _finite(spread.get(name)))
    ]
    return {name: _difference(name, mine, reference, spread) for name in both}


def _difference(name: str, mine: Averages, reference: Averages, spread: Mapping[str, float]) -> Difference:
    errors = [one.errors.get(name) for one in (mine, reference)]
    known = [error for error in errors if error is not None and math.isfinite(error)]
    statistical = math.hypot(*known) if len(known) == 2 else None
    model = spread.get(name)
    if not _finite(model):
        model = None
    values = (float(mine.values[name]), float(reference.values[name]))
    return Difference(values[0] - values[1], statistical, model, not _both_zero(name, values, statistical, model))


def _both_zero(name: str, values: tuple[float, float], statistical: float | None, model: float | None) -> bool:
    """Return whether neither number can be told from zero, where zero is what symmetry alone gives."""
    noise = SIGMAS * math.hypot(statistical or 0.0, model or 0.0)
    symmetric = COMPARED[name].zero > 0.0 and max(map(abs, values)) <= noise
    return symmetric or COMPARED[name].both_zero(*values)


def _of_differences(found: Mapping[str, Difference]) -> tuple[Verdict, str]:
    """Return what the differences say by themselves."""
    if not set(found) >= set(NEEDED):
        missing = ", ".join(COMPARED[name].title for name in NEEDED if name not in found)
        return Verdict.NOT_JUDGED, f"no {missing} of both"
    outside = _said(found, lambda _, one: one.inside is False)
    if outside:
        return Verdict.OUTSIDE, outside
    unknown = _unknown(found.values())
    if unknown:
        return Verdict.NOT_JUDGED, unknown
    wide = _said(found, lambda name, one: (one.allowed or 0.0) > COMPARED[name].widest)
    if wide:
        return Verdict.UNCERTAIN, wide
    able = _said(found, lambda _, one: one.can_fail)
    if not able:
        return Verdict.NOT_JUDGED, "all numbers are zero in both, which can't fail"
    return Verdict.INSIDE, able


def _unknown(found: Collection[Difference]) -> str:
    """Return which uncertainty is missing; empty if none is."""
    if any(one.statistical is None for one in found):
        return "no statistical uncertainty"
    return "no model uncertainty (fit.ensemble: 1)" if any(one.model is None for one in found) else ""


def _said(differences: Mapping[str, Difference], condition: Callable[[str, Difference], bool]) -> str:
    """Return the differences that meet a condition in a line."""
    return "; ".join(
        f"{COMPARED[name].title} off by {abs(one.difference):.2g} {COMPARED[name].unit}, allowed {one.allowed:.2g}"
        for name, one in differences.items()
        if condition(name, one)
    )


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def conclude(
    converged: bool | None, explanation: str, volumes: Sequence[tuple[StatePoint, Judgement]]
) -> tuple[str, list[str]]:
    """Return the verdict on a campaign, and the reasons why it is no better.

    Parameters
    ----------
    converged : bool or None
        Whether the learning ended because nothing was selected any more; None while it goes on.
    explanation : str
        Why it ended otherwise.
    volumes : sequence of (StatePoint, Judgement)

    Returns
    -------
    verdict : str
        "converged and validated", "converged, not validated", "not converged" or "not finished".
    reasons : list of str

    Examples
    --------
    >>> conclude(True, "", [])
    ('converged, not validated', ['nothing was compared'])
    """
    if converged is None:
        return "not finished", []
    if not converged:
        return "not converged", [explanation]
    reasons = [] if volumes else ["nothing was compared"]
    reasons += _by_verdict((a, one) for a, one in volumes if one.verdict is not Verdict.INSIDE)
    reasons += _never_tried([one.differences for _, one in volumes if one.verdict is Verdict.INSIDE])
    return ("converged, not validated", reasons) if reasons else ("converged and validated", [])


def _never_tried(inside: Sequence[Mapping[str, Difference]]) -> list[str]:
    """Return a line for each number that could have failed at no volume, nor what stands for it."""
    able = {name for found in inside for name, one in found.items() if one.can_fail}
    able |= {COMPARED[name].stands_for for name in able}
    return [
        f"the {COMPARED[name].title} is zero in both at every volume, which can't fail"
        for name in NEEDED
        if inside and name not in able
    ]


def _by_verdict(volumes: Iterable[tuple[StatePoint, Judgement]]) -> list[str]:
    """Return a line for each volume, or for all of them where they say the same."""
    lines: dict[tuple[str, Verdict, str], list[str]] = {}
    for point, one in volumes:
        lines.setdefault((point.curve, one.verdict, one.reason), []).append(f"{point.lattice_parameter_A:g}")
    return [
        f"{curve}{' at ' if curve else ''}{', '.join(names)} Å {verdict.value}: {reason}"
        for (curve, verdict, reason), names in lines.items()
    ]


def headline(verdict: str, reasons: Sequence[str], uncalibrated: Sequence[str] = ()) -> str:
    """Return the verdict on a campaign with its reasons, and which stated uncertainties don't hold, in a line.

    Examples
    --------
    >>> headline("converged and validated", [], ["energy at new labels: errors are 3 times what was stated"])
    'converged and validated; uncertainties not calibrated: energy at new labels: errors are 3 times what was stated'
    """
    told = verdict
    if reasons and verdict == "converged, not validated":
        told = f"{verdict} because {'; '.join(reasons)}"
    elif reasons:
        told = f"{verdict} ({'; '.join(reasons)})"
    return f"{told}; uncertainties not calibrated: {', '.join(uncalibrated)}" if uncalibrated else told
