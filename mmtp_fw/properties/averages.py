"""Means over trajectories with statistical errors that know of correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError

WINDOW = 2.5
"""Correlations are summed up to so many correlation times."""


@dataclass(frozen=True)
class Average:
    """A mean of a stationary series.

    Attributes
    ----------
    mean, error : float
        The error is one standard deviation of the mean.
    correlation : float
        Integrated autocorrelation time in samples (1 for independent ones).
    samples : int
    """

    mean: float
    error: float
    correlation: float
    samples: int


def average(series: Sequence[float] | FloatArray) -> Average:
    """Average one correlated series.

    Parameters
    ----------
    series : array_like, shape (n,)

    Returns
    -------
    Average
        The error is σ √(τ/n) with the integrated autocorrelation time τ = 1 + 2 Σ ρ(t), summed up to a window of 2.5 τ
        (A. Sokal's automatic windowing). Deviations are from the series' own mean, which follows the series: made up
        for to first order in 1/n (U. Wolff, Comput. Phys. Commun. 156, 143 (2004)).

    Raises
    ------
    InputError
        An empty series or one with a NaN.
    """
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.all(np.isfinite(values)):
        raise InputError("an average needs a series of finite numbers", "did the trajectory reach equilibrium?")
    n = len(values)
    deviations = values - values.mean()
    variance = float(deviations @ deviations) / n
    if n < 2 or variance <= 1e-30 * max(1.0, values.mean() ** 2):
        return Average(float(values.mean()), 0.0, 1.0, n)
    spectrum = np.fft.rfft(deviations, 2 * n)
    lags = np.arange(n)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:n] / ((n - lags) * variance)
    times = 2.0 * np.cumsum(correlation) - 1.0
    inside = lags >= WINDOW * times
    window = int(np.argmax(inside)) if inside.any() else n - 1
    total = max(0.0, float(times[window])) * (1.0 + (2 * window + 1) / n)
    independent = n / (n - 1)
    error = float(np.sqrt(variance * max(independent, total) / n))
    return Average(float(values.mean()), error, max(1.0, total / (1.0 + total / n)), n)


def averages_of_trajectories(
    trajectories: Sequence[Mapping[str, Sequence[float] | FloatArray]], columns: Sequence[str], equilibration_steps: int
) -> dict[str, Average]:
    """Average columns over independent trajectories.

    Parameters
    ----------
    trajectories : sequence of mapping
        Columns by name, each of shape (samples,), with ``step``.
    columns : sequence of str
    equilibration_steps : int
        Steps left out at the start of each trajectory.

    Returns
    -------
    dict of str to Average
        The mean is over all samples; errors are added in quadrature with the weights of the samples.
    """
    result: dict[str, Average] = {}
    for name in columns:
        parts = []
        for trajectory in trajectories:
            late = np.asarray(trajectory["step"], dtype=float) > equilibration_steps
            parts.append(average(np.asarray(trajectory[name], dtype=float)[late]))
        weights = np.array([part.samples for part in parts], dtype=float)
        weights /= weights.sum()
        mean = float(weights @ np.array([part.mean for part in parts]))
        error = float(np.sqrt(np.sum((weights * np.array([part.error for part in parts])) ** 2)))
        result[name] = Average(
            mean,
            error,
            float(weights @ np.array([part.correlation for part in parts])),
            sum(part.samples for part in parts),
        )
    return result
