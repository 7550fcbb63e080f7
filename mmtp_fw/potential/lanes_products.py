"""Atoms in SIMD lanes: traces and products of the moments of W atoms, their adjoint, and both with tangents."""

from __future__ import annotations

from mmtp_fw.potential.jit import jit
from mmtp_fw.potential.lanes import W, load, spread, store


@jit
def products(v, value):
    """Complete traces and products of the moments of W atoms."""
    for row in range(0, 4 * v.n_traces, 4):
        s = load(value, v.traces[row + 1] * W) + load(value, v.traces[row + 2] * W)
        store(value, v.traces[row] * W, s + load(value, v.traces[row + 3] * W))
    times = v.times
    row = 0
    while row < v.n_times:
        target = times[3 * row + 2]
        s = spread(0.0)
        while row < v.n_times and times[3 * row + 2] == target:
            s += load(value, times[3 * row] * W) * load(value, times[3 * row + 1] * W) * v.weights[row]
            row += 1
        store(value, target * W, s)


@jit
def products_adjoint(v, value, adjoint):
    """Send the adjoint of W atoms down through products and traces."""
    times = v.times
    for row in range(v.n_times - 1, -1, -1):
        i = times[3 * row] * W
        j = times[3 * row + 1] * W
        a = load(adjoint, times[3 * row + 2] * W) * v.weights[row]
        store(adjoint, i, load(adjoint, i) + a * load(value, j))
        store(adjoint, j, load(adjoint, j) + a * load(value, i))
    for row in range(4 * v.n_traces - 4, -1, -4):
        a = load(adjoint, v.traces[row] * W)
        for k in range(1, 4):
            to = v.traces[row + k] * W
            store(adjoint, to, load(adjoint, to) + a)


@jit
def energies_and_adjoint(v, value, adjoint):
    """Return Σ ξ B of W atoms, and write their adjoint of the elementary moments."""
    for k in range(v.n_moments):
        store(adjoint, k * W, spread(0.0))
    energy = spread(0.0)
    for s in range(v.n_scalars):
        k = v.scalars[s] * W
        energy += load(value, k) * v.xi[s]
        store(adjoint, k, load(adjoint, k) + v.xi[s])
    products_adjoint(v, value, adjoint)
    return energy


@jit
def polynomials(v, adjoint, coefficients):
    """Write the coefficients of P_μ and their gradients for W atoms."""
    for k in range(v.n_coefficients):
        store(coefficients, k * W, load(adjoint, v.sources[k] * W) * v.factors[k])


@jit
def products_tangent(v, value, tangent):
    """Complete traces and products of W atoms with their tangents."""
    for row in range(0, 4 * v.n_traces, 4):
        to = v.traces[row] * W
        a = v.traces[row + 1] * W
        b = v.traces[row + 2] * W
        c = v.traces[row + 3] * W
        store(value, to, load(value, a) + load(value, b) + load(value, c))
        store(tangent, to, load(tangent, a) + load(tangent, b) + load(tangent, c))
    times = v.times
    row = 0
    while row < v.n_times:
        target = times[3 * row + 2]
        s = spread(0.0)
        s_t = spread(0.0)
        while row < v.n_times and times[3 * row + 2] == target:
            i = times[3 * row] * W
            j = times[3 * row + 1] * W
            a = load(value, i) * v.weights[row]
            b = load(value, j)
            s += a * b
            s_t += a * load(tangent, j) + load(tangent, i) * v.weights[row] * b
            row += 1
        store(value, target * W, s)
        store(tangent, target * W, s_t)


@jit
def scalars_tangent(v, value, tangent, a, on_value, on_tangent, d_xi, used):
    """Return Σ ξ (a B + B_t) of W atoms; add a B + B_t of the lanes in use to d_xi and start the adjoints."""
    for k in range(v.n_moments):
        store(on_value, k * W, spread(0.0))
        store(on_tangent, k * W, spread(0.0))
    result = spread(0.0)
    for s in range(v.n_scalars):
        k = v.scalars[s] * W
        b = load(value, k) * a + load(tangent, k)
        result += b * v.xi[s]
        store(on_value, k, load(on_value, k) + a * v.xi[s])
        store(on_tangent, k, load(on_tangent, k) + v.xi[s])
        for lane in range(used):
            d_xi[s] += value[k + lane] * a + tangent[k + lane]
    return result


@jit
def products_tangent_adjoint(v, value, tangent, on_value, on_tangent):
    """Send the adjoints of values and tangents of W atoms down through products and traces."""
    times = v.times
    for row in range(v.n_times - 1, -1, -1):
        i = times[3 * row] * W
        j = times[3 * row + 1] * W
        k = times[3 * row + 2] * W
        a = load(on_value, k) * v.weights[row]
        b = load(on_tangent, k) * v.weights[row]
        store(on_tangent, i, load(on_tangent, i) + b * load(value, j))
        store(on_tangent, j, load(on_tangent, j) + b * load(value, i))
        store(on_value, i, load(on_value, i) + a * load(value, j) + b * load(tangent, j))
        store(on_value, j, load(on_value, j) + a * load(value, i) + b * load(tangent, i))
    for row in range(4 * v.n_traces - 4, -1, -4):
        a = load(on_value, v.traces[row] * W)
        b = load(on_tangent, v.traces[row] * W)
        for k in range(1, 4):
            to = v.traces[row + k] * W
            store(on_value, to, load(on_value, to) + a)
            store(on_tangent, to, load(on_tangent, to) + b)
