"""Two spectra beside their statistical errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtp_fw.errors import InputError
from mmtp_fw.spectra import NOISE_FACTOR, spectrum_difference


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
