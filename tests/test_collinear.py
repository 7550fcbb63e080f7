"""When moments are collinear: one rule, whatever the axis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtp_fw.collinear import TURNED_muB, across, collinear, common_axis
from mmtp_fw.errors import InputError

AXES = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1), (0.3, -0.5, 0.9)]


@pytest.mark.parametrize("axis", AXES)
def test_moments_along_any_axis_are_signed_numbers(axis):
    axis = np.array(axis) / np.linalg.norm(axis)
    signed = np.array([2.2, -1.5, 0.3, 0.0])
    moments, found = collinear(np.outer(signed, axis), "here")
    np.testing.assert_allclose(moments, signed, atol=1e-12)
    np.testing.assert_allclose(found, axis, atol=1e-12)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6), st.integers(0, 5), st.booleans())
def test_the_sign_depends_on_the_vectors_alone(signed, which, reverse):
    axis = np.array(AXES[which]) / np.linalg.norm(AXES[which])
    vectors = np.outer(signed, axis)
    order = slice(None, None, -1 if reverse else 1)
    moments, found = collinear(vectors[order], "here")
    np.testing.assert_allclose(moments[order], collinear(vectors, "here")[0], atol=1e-9)
    assert found[np.argmax(np.abs(found) >= np.abs(found).max() - 1e-6)] > 0


def test_noise_is_forgiven_and_another_state_is_not():
    noisy = np.array([[0.001, -0.002, 2.2], [0.0, 0.001, -2.2], [0.05, 0.0, 0.3]])
    moments, _ = collinear(noisy, "here")
    np.testing.assert_allclose(moments, [2.2, -2.2, 0.3], atol=2e-3)
    turned = np.array([[0.0, 0.0, 2.2], [0.3, 0.0, 2.2]])
    assert across(turned, np.array([0.0, 0.0, 1.0])) == pytest.approx(0.3)
    with pytest.raises(InputError, match=r"f\.xyz: its moments aren't collinear, one lies 0\.15 μB across"):
        collinear(turned, "f.xyz")
    just = np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 3.0], [TURNED_muB, 0.0, 0.0]])
    assert collinear(just * [0.99, 1, 1], "here")[0][2] == pytest.approx(0, abs=1e-2)


def test_what_is_no_vector_is_refused():
    with pytest.raises(InputError, match="not finite"):
        collinear(np.array([[0.0, 0.0, np.nan]]), "here")
    with pytest.raises(InputError, match=r"shape \(2, 4\)"):
        collinear(np.zeros((2, 4)), "here")


def test_no_moments_have_an_axis_too():
    np.testing.assert_array_equal(common_axis(np.zeros((2, 3))), [0, 0, 1])
    assert across(np.zeros((0, 3)), np.array([0.0, 0.0, 1.0])) == 0
