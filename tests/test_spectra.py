"""Two spectra beside their statistical errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtp_fw.errors import InputError
from mmtp_fw.spectra import NOISE_FACTOR, curve_of, curves_of, difference_of, spectrum_difference


def spectrum(centre: float, error: float | None = None, points: int = 301) -> dict:
    grid = np.linspace(0.0, 12.0, points)
    total = np.exp(-0.5 * ((grid - centre) / 0.8) ** 2) / (0.8 * np.sqrt(2 * np.pi))
    made = {"frequency_THz": grid.tolist(), "total": total.tolist()}
    return made if error is None else made | {"total_error": (error * np.sqrt(total)).tolist()}


def test_equal_ones_and_such_that_share_nothing():
    same = spectrum_difference(spectrum(5.0, 0.1), spectrum(5.0, 0.1))
    assert same.distance == 0.0 and same.inside is True and same.noise > 0
    assert spectrum_difference(spectrum(2.5), spectrum(9.5)).distance == pytest.approx(2.0, abs=5e-3)
    assert spectrum_difference(spectrum(5.0), spectrum(5.0, 0.1)).inside is None, "one error is not known"


def test_other_grids_are_brought_together():
    assert spectrum_difference(spectrum(5.0, points=301), spectrum(5.0, points=201)).distance < 2e-3
    with pytest.raises(InputError, match="two frequencies"):
        spectrum_difference({"frequency_THz": [1.0], "total": [1.0]}, spectrum(5.0))


@given(st.floats(3.0, 8.0), st.floats(3.0, 8.0), st.floats(0.01, 0.5))
def test_it_is_symmetric_and_inside_only_what_noise_can_make(one, other, error):
    found = spectrum_difference(spectrum(one, error), spectrum(other, error))
    again = spectrum_difference(spectrum(other, error), spectrum(one, error))
    assert found.distance == pytest.approx(again.distance) and found.noise == pytest.approx(again.noise)
    assert found.inside == (found.distance <= NOISE_FACTOR * found.noise)
    assert 0.0 <= found.distance <= 2.0 + 1e-9


def test_curves_of_a_spectrum():
    made = spectrum(5.0) | {"species": {"Fe": [0.5 * value for value in spectrum(5.0)["total"]]}}
    assert curves_of(made) == ("total", "Fe")
    np.testing.assert_allclose(curve_of(made, "Fe").density, curve_of(made).density)
    assert curve_of(made, "Fe").error is None and curve_of(made).mean_error_THz is None
    assert curve_of(made).mean_THz == pytest.approx(5.0, abs=1e-3)
    assert curve_of(made).rms_THz == pytest.approx(np.hypot(5.0, 0.8), abs=1e-3)
    with pytest.raises(InputError, match="no part of Pd"):
        curve_of(made, "Pd")
    with pytest.raises(InputError, match="zero everywhere"):
        curve_of({"frequency_THz": [0.0, 1.0], "total": [0.0, 0.0]})


@given(st.floats(0.1, 0.5), st.floats(4.0, 6.0))
def test_smoothing_keeps_area_and_mean_and_adds_variance(sigma, centre):
    curve = curve_of(spectrum(centre, 0.05) | {"width_THz": 0.5})
    smooth = curve.smoothed(sigma)
    assert np.trapezoid(smooth.density, smooth.frequency_THz) == pytest.approx(1.0, abs=2e-3)
    assert smooth.mean_THz == pytest.approx(curve.mean_THz, abs=0.03)
    variance = [one.rms_THz**2 - one.mean_THz**2 for one in (curve, smooth)]
    assert variance[1] - variance[0] == pytest.approx(sigma**2, abs=0.03)
    assert smooth.mean_error_THz == pytest.approx(curve.mean_error_THz, rel=0.25), "hardly less certain"
    assert curve.smoothed(0.0) is curve


def test_stated_errors_are_those_of_modes_with_thermal_energies():
    """Modes that each carry an exponentially distributed energy: what spreads over samples is what is stated."""
    rng = np.random.default_rng(3)
    grid, sigma, modes = np.linspace(0.0, 12.0, 481), 0.3, 300
    frequencies = rng.normal(5.0, 1.2, modes)
    bells = np.exp(-0.5 * ((grid[:, None] - frequencies) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    truth = curve_of({"frequency_THz": grid, "total": bells.mean(axis=1)})
    width = 2.0 * np.sqrt(np.pi) * sigma
    means, root_means, distances, stated = [], [], [], []
    for _ in range(200):
        total = bells @ rng.exponential(1.0, modes) / modes
        found = curve_of(
            {"frequency_THz": grid, "total": total, "width_THz": width,
             "total_error": np.sqrt(truth.density / (modes * width))}
        )  # fmt: skip
        means.append(found.mean_THz)
        root_means.append(found.rms_THz)
        distances.append(
            spectrum_difference(
                truth.__dict__ | {"total": truth.density}, {"frequency_THz": grid, "total": total}
            ).distance
        )
        stated.append((found.mean_error_THz, found.rms_error_THz, difference_of(found, found).distance_error))
    of_mean, of_rms, at_most = np.mean(stated, axis=0)
    # 200 samples know a standard deviation to 5 %.
    assert np.std(means) == pytest.approx(of_mean, rel=0.2)
    assert np.std(root_means) == pytest.approx(of_rms, rel=0.2)
    assert np.std(distances) < at_most
