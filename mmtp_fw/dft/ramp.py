"""The next λ: read from a series, or derived from the response that was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.settings import ProtocolSettings

# What remains of a predicted deviation when the constraint is shifted by it: predictions are not exact.
_LEFT_AFTER_SHIFT = 0.4


@dataclass(frozen=True)
class Response:
    """What one constrained calculation tells about the next, in the smoothed definition.

    Attributes
    ----------
    force : ndarray, shape (n,)
        Expected −∂E/∂m^sWS at the target, eV/μB.
    stiffness : ndarray, shape (n,)
        Expected ∂²E/∂m^sWS², eV/μB², never negative.
    slopes : ndarray, shape (n,)
        d m^sWS / d m.
    """

    force: FloatArray
    stiffness: FloatArray
    slopes: FloatArray

    @classmethod
    def measure(
        cls,
        before: tuple[FloatArray, FloatArray],
        now: tuple[FloatArray, FloatArray],
        target: FloatArray,
        slopes: FloatArray,
    ) -> Response:
        """Extrapolate the force linearly through two calculations to the target.

        Parameters
        ----------
        before, now : tuple of two ndarrays, shape (n,)
            m^sWS (μB) and 2λ (m^sWS − m^constr) (eV/μB; zero without constraint).
        target : ndarray, shape (n,)
            Where the constraint is to lead, in m^sWS.
        slopes : ndarray, shape (n,)
        """
        moved = now[0] - before[0]
        rose = now[1] - before[1]
        measurable = np.abs(moved) > 0.01
        stiffness = np.zeros_like(moved)
        stiffness[measurable] = np.clip(-rose[measurable] / moved[measurable], 0.0, 5.0)
        return cls(now[1] - stiffness * (target - now[0]), stiffness, slopes)

    def deviation(self, strength: float) -> FloatArray:
        """Return the expected deviation of the moments from target at λ (eV/μB²), in μB, shape (n,)."""
        return self.force / (2.0 * strength + self.stiffness) / self.slopes

    def shift(self, strength: float) -> FloatArray:
        """Return what to add to m^constr so that the target itself is the minimum at λ, shape (n,)."""
        return -self.force / (2.0 * strength)


@dataclass(frozen=True)
class Step:
    """What to try next: λ (eV/μB²), m^constr (μB, shape (n,)), and the sudden change of field it means."""

    strength: float
    constraint: FloatArray
    jump: float


def adaptive_step(
    response: Response,
    state: tuple[FloatArray, FloatArray],
    target: FloatArray,
    last: float,
    dare: float,
    settings: ProtocolSettings,
) -> Step:
    """Return the step that is expected to end the ramp, or the longest towards it that is dared.

    Self-consistency breaks when the constraining field 2λ (m^sWS − m^constr) on an atom changes too
    suddenly. A constraint that is shifted so that the target itself becomes the minimum needs the least
    λ; where its field would change by more than `dare`, λ is raised under the unshifted constraint
    instead, by as much as that allows; and where that is too much as well, the constraint goes a part of the way from
    the present one, so that every smaller `dare` is another and smaller step.

    Parameters
    ----------
    response : Response
    state : tuple of two ndarrays, shape (n,)
        m^sWS and 2λ (m^sWS − m^constr) of the calculation to restart from.
    target : ndarray, shape (n,)
        In m^sWS.
    last : float
        Its λ, eV/μB².
    dare : float
        Largest change of field on an atom, eV/μB; infinite while nothing has failed.
    settings : ProtocolSettings
    """
    low, high = settings.lambda_series[0], settings.lambda_max
    ceiling = min(high, max(last * settings.growth_limit, low))

    def step(strength: float, constraint: FloatArray) -> Step:
        change = 2.0 * strength * (state[0] - constraint) - state[1]
        return Step(float(strength), constraint, float(np.max(np.abs(change))))

    wanted = _sufficient(response, settings, left=_LEFT_AFTER_SHIFT)
    shifted = step(min(wanted, ceiling), target + response.shift(min(wanted, ceiling)))
    if shifted.jump <= dare:
        return shifted
    wanted = min(_sufficient(response, settings, left=1.0), ceiling)
    if wanted <= last:
        wanted = min(2.0 * last, high)
    steps = [step(strength, target) for strength in np.geomspace(wanted, min(last * 1.1, high), 30)]
    for one in steps:
        if one.jump <= dare:
            return one
    # Not even the smallest rise of λ is dared: a part of the way from the constraint that held, at its λ.
    strength = min(last, high)
    present = state[0] - state[1] / (2.0 * strength)
    whole = step(strength, target)
    share = dare / whole.jump
    return step(strength, present + share * (target - present))


def _sufficient(response: Response, settings: ProtocolSettings, left: float) -> float:
    """Return the smallest λ at which `left` times the expected deviations are inside the limits."""
    strengths = np.geomspace(settings.lambda_series[0], settings.lambda_max, 40)
    for strength in strengths:
        expected = left * np.abs(response.deviation(strength))
        if (
            np.mean(expected) <= settings.aim * settings.mae_limit_muB
            and np.max(expected) <= settings.aim * settings.max_limit_muB
        ):
            return float(strength)
    return float(strengths[-1])


def step_back(good: float | None, failed: float) -> float:
    """Return a λ between the last that converged and one that did not (eV/μB²)."""
    return failed / 4.0 if good is None else float(np.sqrt(good * failed))
