from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtp_fw.errors import InputError
from mmtp_fw.selection import SquareSet, maxvol
from mmtp_fw.selection.maxvol import greedy_rows


def rows_for(seed, n, p):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-3, 3, p)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(0, 60))
def test_no_row_raises_the_volume_any_more(seed, p, extra):
    rows = rows_for(seed, p + extra, p)
    square = maxvol(rows, 1.0 + 1e-9)
    assert square.grades(rows).max() <= 1.0 + 1e-6
    np.testing.assert_array_equal(square.matrix, rows[square.labels])
    assert len(set(square.labels)) == p
    assert square.log_volume == pytest.approx(np.linalg.slogdet(rows[square.labels])[1], abs=1e-8)


def test_near_the_largest_volume_of_all():
    rows = rows_for(3, 9, 3)
    best = max(np.linalg.slogdet(rows[list(c)])[1] for c in combinations(range(9), 3))
    assert maxvol(rows, 1.0).log_volume >= best - 3 * np.log(3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 10))
def test_grades_do_not_depend_on_units_or_basis(seed, p):
    rows = rows_for(seed, 4 * p, p)
    others = rows_for(seed + 1, 5, p)
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.normal(size=(p, p)))[0] * rng.uniform(0.5, 2.0, p)
    square = maxvol(rows, 1.0 + 1e-9)
    mixed = SquareSet.from_matrix(square.matrix @ mixing, square.labels)
    np.testing.assert_allclose(mixed.grades(others @ mixing), square.grades(others), rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 10), st.integers(1, 80))
def test_growing_from_stand_ins_is_as_good_as_starting_with_all(seed, p, n):
    rows = rows_for(seed, n, p) / 10.0
    square = SquareSet.diagonal(p, 1e-6)
    for part in np.array_split(np.arange(n), 3):
        before = square.log_volume
        square.absorb(rows[part], part, 1.0 + 1e-9)
        assert square.log_volume >= before
        np.testing.assert_allclose(square.inverse @ square.matrix, np.eye(p), atol=1e-5)
    assert square.grades(rows[part]).max() <= 1.0 + 1e-5 if n >= 3 else True
    assert np.sum(square.labels >= 0) == min(n, p)


@pytest.mark.parametrize("decades", [0, 8, 11])
def test_many_blocks_over_many_orders_of_magnitude(decades):
    rows = np.random.default_rng(1).normal(size=(900, 150)) * np.logspace(0, -decades, 150)
    places = greedy_rows(rows)
    assert len(set(places.tolist())) == 150
    square = maxvol(rows)
    assert square.grades(rows).max() <= 1.01 + 1e-9
    # A greedy start loses little: random rows would lose some 150 ln 3.
    assert square.log_volume - np.linalg.slogdet(rows[places])[1] < 20


def test_null_directions_stay_with_stand_ins():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 7)) @ rng.normal(size=(7, 10))
    square = maxvol(rows, floor=1e-3)
    assert np.sum(square.labels < 0) == 3
    inside = rng.normal(size=(5, 7)) @ np.linalg.lstsq(np.eye(7), np.eye(7), rcond=None)[0]
    combination = 0.1 * inside @ rows[:7] / 7
    assert np.all(np.isfinite(square.grades(combination)))
    assert square.grades(rows).max() < 1.02


def test_blocks_agree_with_one_exchange_at_a_time():
    rows = rows_for(5, 300, 20)
    places = greedy_rows(rows)
    assert len(set(places)) == 20
    slow = rows @ np.linalg.inv(rows[places])
    while np.abs(slow).max() > 1.01:
        i, j = np.unravel_index(np.argmax(np.abs(slow)), slow.shape)
        places[j] = i
        slow = rows @ np.linalg.inv(rows[places])
    one_by_one = np.linalg.slogdet(rows[places])[1]
    assert maxvol(rows, 1.01).log_volume >= one_by_one - 0.5


def test_bad_input():
    with pytest.raises(InputError, match="can't span"):
        maxvol(np.ones((2, 3)))
    with pytest.raises(InputError, match="finite"):
        maxvol(np.full((5, 3), np.nan))
    with pytest.raises(InputError, match="depend on one another"):
        SquareSet.from_matrix(np.ones((3, 3)), np.arange(3))
