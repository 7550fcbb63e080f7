from __future__ import annotations

import numpy as np
import pytest

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential, tables
from mmtp_fw.potential.symmetry import half_tables
from tests.potential.conftest import DATA

COUNTS = {2: 1, 4: 2, 6: 5, 8: 9, 10: 16, 12: 29, 14: 52, 16: 92, 18: 163, 20: 288, 22: 500, 24: 864}


def scalars(table, vectors, weights):
    """B_α of random neighbourhoods: vectors (n, neighbours, 3), weights (n, neighbours, K)."""
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    v = np.zeros((len(vectors), table.n_moments))
    for b, (mu, *k) in enumerate(table.basic):
        v[:, b] = (weights[..., mu] * np.prod(unit**k, axis=-1)).sum(axis=1)
    for i, j, factor, target in table.times:
        v[:, target] += factor * v[:, i] * v[:, j]
    return v[:, table.scalars]


def rank(matrix):
    matrix = matrix / np.linalg.norm(matrix, axis=0)
    return np.linalg.matrix_rank(matrix, tol=1e-9 * len(matrix))


@pytest.mark.parametrize("level", COUNTS)
def test_counts_are_the_published_ones(level):
    table = tables.generate(level)
    assert len(table.scalars) == COUNTS[level]
    assert tables.level_of(table) == level


@pytest.mark.parametrize("name", ["06", "12", "16"])
def test_scalars_span_the_space_of_published_files(name):
    file = Potential.read(DATA / f"{name}.mmtp").tables
    own = tables.generate(int(name))
    rng = np.random.default_rng(0)
    n = 3 * len(own.scalars)
    vectors, weights = rng.normal(size=(n, 7, 3)), rng.normal(size=(n, 7, own.radial_count))
    a, b = scalars(file, vectors, weights), scalars(own, vectors, weights)
    # In three dimensions one of the 92 published functions of level 16 depends on the others.
    assert rank(a) == rank(b) == rank(np.hstack([a, b])) == {"06": 5, "12": 29, "16": 91}[name]


def test_scalars_are_invariant_under_rotations_and_reflections():
    table = tables.generate(14)
    rng = np.random.default_rng(1)
    vectors, weights = rng.normal(size=(4, 7, 3)), rng.uniform(size=(4, 7, table.radial_count))
    orthogonal = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = scalars(table, vectors @ (-orthogonal), weights)
    np.testing.assert_allclose(turned, scalars(table, vectors, weights), rtol=1e-10, atol=1e-10)


def test_doubling_can_be_undone():
    table = tables.generate(10)
    half = half_tables(table.doubled())
    np.testing.assert_array_equal(half.times, table.times)
    assert half_tables(table) is None


@pytest.mark.parametrize("level", [0, 3, 26])
def test_other_levels_are_refused(level):
    with pytest.raises(InputError, match="level"):
        tables.generate(level)
