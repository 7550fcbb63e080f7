"""Curie temperatures from cumulants, on a magnet whose one is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtp_fw.errors import InputError
from mmtp_fw.thermal import BinderCurve, binder_cumulant, curie_temperature

ONSAGER = 2.0 / np.log(1.0 + np.sqrt(2.0))
"""T_C of the square Ising lattice in units of J/k (L. Onsager, Phys. Rev. 65, 117 (1944))."""


def ising(size: int, temperature: float, rng, replicas: int = 150, sweeps: int = 700) -> tuple[float, float]:
    """Return the cumulant of independent square lattices from a heat bath on alternating colours, and its error."""
    spins = np.ones((replicas, size, size))
    colour = np.indices((size, size)).sum(axis=0) % 2 == 0
    second, fourth = np.zeros(replicas), np.zeros(replicas)
    for sweep in range(sweeps):
        for chosen in (colour, ~colour):
            field = sum(np.roll(spins, step, axis) for step in (1, -1) for axis in (1, 2))
            up = rng.random(spins.shape) < 1.0 / (1.0 + np.exp(-2.0 * field / temperature))
            spins = np.where(chosen, np.where(up, 1.0, -1.0), spins)
        if sweep >= sweeps // 4:
            m = spins.mean(axis=(1, 2))
            second += m**2
            fourth += m**4
    kept = sweeps - sweeps // 4
    second, fourth = second / kept, fourth / kept
    left = [binder_cumulant(np.delete(second, k).mean(), np.delete(fourth, k).mean()) for k in range(replicas)]
    error = np.sqrt((replicas - 1) * np.var(left))
    return binder_cumulant(second.mean(), fourth.mean()), float(error)


def test_the_square_ising_lattice_orders_where_onsager_says():
    rng, kelvin = np.random.default_rng(5), np.array([2.0, 2.15, 2.25, 2.35, 2.5])
    curves = []
    for size in (6, 12):
        found = np.array([ising(size, T, rng) for T in kelvin])
        curves.append(BinderCurve(size**2, kelvin, found[:, 0], found[:, 1]))
    curie = curie_temperature(curves)
    # Cells of 36 and 144 spins cross within one part in a hundred of the limit of large ones.
    assert abs(curie.temperature_K - ONSAGER) < 3.0 * curie.error_K + 0.01 * ONSAGER
    assert curie.error_K < 0.05 * ONSAGER and "cross" in curie.verdict
    assert curie.crossings[0].atoms == (36, 144)


@given(st.floats(-0.3, 0.3), st.floats(0.05, 0.3), st.floats(1e-4, 5e-3))
def test_straight_cumulants_cross_where_they_cross(place, slope, error):
    kelvin = np.linspace(-1.0, 1.0, 9)
    small = BinderCurve(10, kelvin, -0.5 * slope * (kelvin - place), np.full(9, error))
    large = BinderCurve(80, kelvin, -slope * (kelvin - place), np.full(9, error))
    curie = curie_temperature([large, small])
    if curie.temperature_K is None:
        # 0.5 × slope × distance must be clear of the errors on either side.
        assert 0.5 * slope * min(1.0 - place, 1.0 + place) < 2.0 * np.sqrt(2) * error + 1e-12
    else:
        assert curie.temperature_K == pytest.approx(place, abs=1e-9)
        assert curie.error_K > 0


def test_what_does_not_cross_is_not_determined():
    kelvin, error = np.array([100.0, 200.0, 300.0]), np.full(3, 0.01)
    ordered = [BinderCurve(n, kelvin, np.full(3, 2 / 3), error) for n in (10, 80)]
    curie = curie_temperature(ordered)
    assert curie.temperature_K is None and curie.error_K is None
    assert "not determined" in curie.verdict and "100 and 300 K" in curie.verdict


def test_three_sizes_tell_their_drift():
    kelvin, error = np.linspace(300.0, 500.0, 9), np.full(9, 1e-3)
    curves = [
        BinderCurve(n, kelvin, -steep * (kelvin - place), error)
        for n, steep, place in ((10, 0.001, 400.0), (80, 0.003, 405.0), (270, 0.009, 407.0))
    ]
    curie = curie_temperature(curves)
    first, second = (one.temperature_K for one in curie.crossings)
    assert curie.temperature_K == second and curie.error_K >= abs(second - first) > 0
    assert "smaller cells" in curie.verdict


def test_bad_cumulants_are_told():
    kelvin = np.array([1.0, 2.0])
    one = BinderCurve(10, kelvin, kelvin, kelvin)
    for curves in ([one], [one, one], [one, BinderCurve(20, kelvin + 1, kelvin, kelvin)]):
        with pytest.raises(InputError):
            curie_temperature(curves)
    assert binder_cumulant(0.0, 0.0) == 0.0
