"""Scales of uncertainties: sizes worked out by hand, and the law that half of the errors are larger."""

from __future__ import annotations

import numpy as np
import pytest

from mmtp_fw.selection.calibration import scales


def test_half_of_the_errors_are_larger_than_the_uncertainty():
    rng = np.random.default_rng(5)
    leverage, away = rng.uniform(0.1, 5.0, 400), rng.uniform(0.0, 0.5, 400)
    squares = (0.3**2 + 0.8**2 * leverage) * rng.normal(size=400) ** 2 + away
    a, c = scales(np.column_stack([squares, leverage, away]))
    u = a**2 + c**2 * leverage + away
    assert np.median(squares / u) == pytest.approx(1.0, abs=0.02)
    assert c / a > 1.0, "what grows with the leverage is told from what does not"


def test_what_is_known_to_be_off_needs_no_scale():
    """Errors of 2, all of which δθ explains: a and c add nothing. Without it they are all of the error."""
    explained = scales(np.array([[4.0, 1.0, 4.0]] * 5))
    assert explained == pytest.approx((0.0, 0.0), abs=1e-100)
    a, c = scales(np.array([[4.0, 1.0, 0.0]] * 5))
    assert a == c == pytest.approx(np.sqrt(2.0)), "u² = a² + c² · 1 = 4"
