"""The contraction tables of Moment Tensor Potentials, generated for any even level.

A basis function B_α is a full contraction of moment tensors M_{μ,ν}; as a picture it is a multigraph whose
nodes are the tensors and whose edges are contracted index pairs. Its level is Σ (2 + 4μ + ν) over the nodes
(A. Shapeev, Multiscale Model. Simul. 14, 1153 (2016); M. Podryabinkin et al., J. Chem. Phys. 159, 084112
(2023)). Products of scalars are the graphs with several components.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np

from mmtp_fw.arrays import Int32Array
from mmtp_fw.errors import InputError

LEVELS = range(2, 26, 2)
# The published bases contract at most four tensors: 16 functions at level 10, not the 17 of all products.
MAX_FACTORS = 4

Component = tuple[int, int, int]
# A partly contracted graph: for each node its μ, the component of its open legs, and its contractions.
State = tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[Component, ...]]


@dataclass(frozen=True, eq=False)
class Tables:
    """Contraction tables in the layout of `.mmtp` files.

    Attributes
    ----------
    basic : ndarray of int32, shape (n_basic, 4)
        (μ, kx, ky, kz) of the elementary moment components.
    times : ndarray of int32, shape (n_times, 4)
        Rows (i, j, multiplier, target): ``M[target] += multiplier * M[i] * M[j]``, in this order.
    scalars : ndarray of int32, shape (n_scalars,)
        Indices of the moments that are the basis functions B_α.
    n_moments : int
        Number of all moments, elementary and products.
    """

    basic: Int32Array
    times: Int32Array
    scalars: Int32Array
    n_moments: int

    @property
    def radial_count(self) -> int:
        """Number K of radial functions."""
        return int(self.basic[:, 0].max()) + 1

    def doubled(self) -> Tables:
        """Return two copies of the tables side by side, the second with radial functions K … 2K−1.

        A symmetrized potential ½[E(M) + E(−M)] is the plain potential with these tables: the second copy
        sees the reversed moments through the signs of its radial coefficients.
        """
        n_basic, n, k = len(self.basic), self.n_moments, self.radial_count
        # Elementary moments come first: basic (both copies), then the products (both copies).
        first = np.where(np.arange(n) < n_basic, np.arange(n), np.arange(n) + n_basic)
        second = np.where(np.arange(n) < n_basic, np.arange(n) + n_basic, np.arange(n) + n)
        basic = np.concatenate([self.basic, self.basic + np.array([k, 0, 0, 0], dtype=np.int32)])
        times = []
        for index in (first, second):
            rows = self.times.copy()
            if len(rows):
                rows[:, [0, 1, 3]] = index[self.times[:, [0, 1, 3]]]
            times.append(rows)
        return Tables(
            basic.astype(np.int32),
            np.concatenate(times).astype(np.int32),
            np.concatenate([first[self.scalars], second[self.scalars]]).astype(np.int32),
            2 * n,
        )


@cache
def generate(level: int) -> Tables:
    """Return the tables of the complete basis of a level.

    Parameters
    ----------
    level : int
        Even, 2 to 24.

    Raises
    ------
    InputError
        For another level.
    """
    if level not in LEVELS:
        raise InputError(f"level {level} is not one of 2, 4, … 24", "choose an even level from 2 to 24")
    return _Builder(level).build()


def max_rank(level: int, mu: int) -> int:
    """Return the largest ν of M_{μ,ν} that a level needs (−1: none)."""
    if 2 + 4 * mu > level:
        return -1
    return max(0, (level - 4 - 4 * mu) // 2)


def level_of(tables: Tables) -> int | None:
    """Return the level whose complete basis has the same size as `tables`, or None."""
    for level in LEVELS:
        ranks = [max_rank(level, mu) for mu in range(tables.radial_count)]
        n_basic = sum((r + 1) * (r + 2) * (r + 3) // 6 for r in ranks if r >= 0)
        if min(ranks) >= 0 and max_rank(level, tables.radial_count) < 0 and n_basic == len(tables.basic):
            counts = scalar_count(level)
            if counts == len(tables.scalars):
                return level
    return None


@cache
def scalar_count(level: int) -> int:
    """Return the number of basis functions B_α of a level."""
    return len(generate(level).scalars)


def components(rank: int) -> list[Component]:
    """Return the components (a, b, c), a + b + c = rank, of a symmetric tensor."""
    return [(a, b, rank - a - b) for a in range(rank, -1, -1) for b in range(rank - a, -1, -1)]


class _Builder:
    """Writes the product table of one level; equal intermediate contractions are shared."""

    def __init__(self, level: int) -> None:
        self.level = level
        self.basic: list[tuple[int, int, int, int]] = []
        mu = 0
        while max_rank(level, mu) >= 0:
            for rank in range(max_rank(level, mu) + 1):
                self.basic += [(mu, *component) for component in components(rank)]
            mu += 1
        self.index: dict[State, int] = {}
        for i, (mu, *component) in enumerate(self.basic):
            self.index[(mu,), ((0,),), (tuple(component),)] = i  # type: ignore[index]
        self.count = len(self.basic)
        self.times: list[tuple[int, int, int, int]] = []

    def build(self) -> Tables:
        scalars: list[tuple[int, int, int]] = []  # (level, moment, number of tensors)
        for mus, edges in _connected_graphs(self.level):
            state = (mus, edges, ((0, 0, 0),) * len(mus))
            scalars.append((_level(mus, edges), self._moment(state), len(mus)))
        scalars.sort(key=lambda item: item[0])
        products: dict[tuple[int, ...], int] = {(m,): m for _, m, _ in scalars}
        found = [(lev, moment) for lev, moment, _ in scalars]
        frontier: list[tuple[int, tuple[int, ...], int, int]] = [
            (lev, (m,), i, n) for i, (lev, m, n) in enumerate(scalars)
        ]
        while frontier:
            longer = []
            for lev, factors, last, n in frontier:
                for i in range(last, len(scalars)):
                    if lev + scalars[i][0] > self.level:
                        break
                    if n + scalars[i][2] > MAX_FACTORS:
                        continue
                    target = self._new()
                    self.times.append((products[factors], scalars[i][1], 1, target))
                    product = (*factors, scalars[i][1])
                    products[product] = target
                    found.append((lev + scalars[i][0], target))
                    longer.append((lev + scalars[i][0], product, i, n + scalars[i][2]))
            frontier = longer
        found.sort()
        return Tables(
            np.array(self.basic, dtype=np.int32),
            np.array(self.times, dtype=np.int32).reshape(-1, 4),
            np.array([moment for _, moment in found], dtype=np.int32),
            self.count,
        )

    def _new(self) -> int:
        self.count += 1
        return self.count - 1

    def _moment(self, state: State) -> int:
        """Return the index of a partly contracted component, writing its products when it is new."""
        state = _canonical(state)
        if state not in self.index:
            terms = self._terms(state)
            target = self._new()
            self.index[state] = target
            self.times += [(i, j, factor, target) for (i, j), factor in terms.items()]
        return self.index[state]

    def _terms(self, state: State) -> Counter[tuple[int, int]]:
        """Split one node off: the component as a sum of products of a smaller graph and that node."""
        mus, edges, opened = state
        node = _node_to_split(edges, opened)
        others = [u for u in range(len(mus)) if u != node]
        choices = [components(edges[u][node]) for u in others]
        smaller_edges = tuple(tuple(edges[u][v] for v in others) for u in others)
        terms: Counter[tuple[int, int]] = Counter()
        for legs in itertools.product(*choices):
            factor = math.prod(_multinomial(leg) for leg in legs)
            rest = tuple(_add(opened[u], leg) for u, leg in zip(others, legs, strict=True))
            own = opened[node]
            for leg in legs:
                own = _add(own, leg)
            i = self._moment((tuple(mus[u] for u in others), smaller_edges, rest))
            j = self._moment(((mus[node],), ((0,),), (own,)))
            terms[min(i, j), max(i, j)] += factor
        return terms


def _node_to_split(edges: tuple[tuple[int, ...], ...], opened: tuple[Component, ...]) -> int:
    """Choose the node whose removal leaves a connected rest with the fewest open legs."""
    n = len(edges)

    def cost(node: int) -> tuple[int, int, int]:
        others = [u for u in range(n) if u != node]
        legs = [sum(opened[u]) + edges[u][node] for u in others]
        size = math.prod((k + 1) * (k + 2) // 2 for k in legs)
        return (not _is_connected(edges, others), size, node)

    return min(range(n), key=cost)


def _is_connected(edges: tuple[tuple[int, ...], ...], nodes: list[int]) -> bool:
    seen, todo = {nodes[0]}, [nodes[0]]
    while todo:
        u = todo.pop()
        for v in nodes:
            if v not in seen and edges[u][v]:
                seen.add(v)
                todo.append(v)
    return len(seen) == len(nodes)


def _canonical(state: State) -> State:
    """Return the least of all relabellings, so that equal contractions are found to be equal."""
    mus, edges, opened = state
    n = len(mus)
    if n == 1:
        return state
    ranks = [(mus[u], sum(opened[u]), tuple(sorted(edges[u])), opened[u]) for u in range(n)]
    best: State | None = None
    # Only relabellings that sort the nodes by what doesn't depend on labels can be the least.
    groups = [
        list(g) for _, g in itertools.groupby(sorted(range(n), key=lambda u: ranks[u][:3]), key=lambda u: ranks[u][:3])
    ]
    for parts in itertools.product(*(itertools.permutations(g) for g in groups)):
        order = [u for part in parts for u in part]
        candidate = (
            tuple(mus[u] for u in order),
            tuple(tuple(edges[u][v] for v in order) for u in order),
            tuple(opened[u] for u in order),
        )
        if best is None or candidate < best:
            best = candidate
    assert best is not None
    return best


def _connected_graphs(level: int) -> list[tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]]:
    """Return one representative of every connected multigraph of moment tensors up to a level."""
    found: dict[State, int] = {}
    for n in range(1, min(MAX_FACTORS, level // 4 + 1) + 1):
        pairs = list(itertools.combinations(range(n), 2))
        for n_edges in range(n - 1, (level - 2 * n) // 2 + 1):
            if n == 1 and n_edges:
                break
            for chosen in itertools.combinations_with_replacement(range(len(pairs)), n_edges):
                matrix = [[0] * n for _ in range(n)]
                for p in chosen:
                    u, v = pairs[p]
                    matrix[u][v] += 1
                    matrix[v][u] += 1
                edges = tuple(map(tuple, matrix))
                if n > 1 and not _is_connected(edges, list(range(n))):
                    continue
                shape = _canonical(((0,) * n, edges, ((0, 0, 0),) * n))
                if shape[1] != edges:
                    continue
                spare = (level - 2 * n - 2 * n_edges) // 4
                for mus in itertools.product(range(spare + 1), repeat=n):
                    if sum(mus) <= spare:
                        found[_canonical((mus, edges, ((0, 0, 0),) * n))] = 1
    graphs = [(mus, edges) for mus, edges, _ in found]
    graphs.sort(key=lambda g: (_level(*g), len(g[0]), g))
    return graphs


def _level(mus: tuple[int, ...], edges: tuple[tuple[int, ...], ...]) -> int:
    return sum(2 + 4 * mu + sum(row) for mu, row in zip(mus, edges, strict=True))


def _add(a: Component, b: Component) -> Component:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def _multinomial(c: Component) -> int:
    return math.factorial(sum(c)) // (math.factorial(c[0]) * math.factorial(c[1]) * math.factorial(c[2]))
