"""The next λ: read from a series, or derived from the response that was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

    force: np.ndarray
    stiffness: np.ndarray
    slopes: np.ndarray

    @classmethod
    def measure(
        cls,
        before: tuple[np.ndarray, np.ndarray],
        now: tuple[np.ndarray, np.ndarray],
        target: np.ndarray,
        slopes: np.ndarray,
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

    def deviation(self, strength: float) -> np.ndarray:
        """Return the expected deviation of the moments from target at λ (eV/μB²), in μB, shape (n,)."""
        return self.force / (2.0 * strength + self.stiffness) / self.slopes

    def shift(self, strength: float) -> np.ndarray:
        """Return what to add to m^constr so that the target itself is the minimum at λ, shape (n,)."""
        return -self.force / (2.0 * strength)


def adaptive_lambda(response: Response, last: float, growth: float, settings: ProtocolSettings) -> float:
    """Return the smallest λ that is expected to bring the moments inside the limits.

    Parameters
    ----------
    response : Response
    last : float
        λ of the last converged calculation, eV/μB².
    growth : float
        Largest ratio to `last` that is dared.
    settings : ProtocolSettings
    """
    low, high = settings.lambda_series[0], settings.lambda_max
    for strength in np.geomspace(low, high, 40):
        expected = _LEFT_AFTER_SHIFT * np.abs(response.deviation(strength))
        if (
            np.mean(expected) <= settings.aim * settings.mae_limit_muB
            and np.max(expected) <= settings.aim * settings.max_limit_muB
        ):
            break
    return float(min(strength, max(last * growth, low), high))


def step_back(good: float | None, failed: float) -> float:
    """Return a λ between the last that converged and one that did not (eV/μB²)."""
    return failed / 4.0 if good is None else float(np.sqrt(good * failed))
