"""The toy's physics, without any library: Morse pairs that end smoothly, and a Landau polynomial for every moment."""

from __future__ import annotations

import math
from itertools import product


def pairs(positions, cell, cutoff):
    """Yield i, j, the vector from i to j (Å) and its length, every pair in both directions."""
    images = list(product((-2, -1, 0, 1, 2), repeat=3))
    for i, one in enumerate(positions):
        for j, other in enumerate(positions):
            for n in images:
                d = [other[k] + sum(n[e] * cell[e][k] for e in range(3)) - one[k] for k in range(3)]
                r = math.hypot(*d)
                if 1e-6 < r < cutoff:
                    yield i, j, d, r


def atoms_at_rest(positions, cell, species, parameters, cutoff):
    """Return energy (eV), forces (eV/Å) and virial (eV) of the pairs."""
    energy, forces = 0.0, [[0.0] * 3 for _ in positions]
    virial = [[0.0] * 3 for _ in range(3)]
    for i, j, d, r in pairs(positions, cell, cutoff):
        depth = math.sqrt(parameters[species[i]]["depth"] * parameters[species[j]]["depth"])
        radius = 0.5 * (parameters[species[i]]["radius"] + parameters[species[j]]["radius"])
        e = math.exp(-1.5 * (r - radius))
        cut = 1 - (r / cutoff) ** 2
        morse, slope = depth * (e * e - 2 * e), depth * -3.0 * (e * e - e)
        energy += 0.5 * morse * cut * cut
        derivative = slope * cut * cut - morse * 4 * cut * r / cutoff**2
        for k in range(3):
            forces[i][k] += derivative * d[k] / r
            for m in range(3):
                virial[k][m] += 0.5 * derivative * d[k] * d[m] / r
    return energy, forces, virial


def moment_energy(terms, moment):
    """Return energy (eV) and slope (eV/μB) of one moment: its minimum is at ± the species' own."""
    ratio = (moment / terms["moment"]) ** 2
    return terms["stiffness"] * (ratio * ratio - 2 * ratio), 4 * terms["stiffness"] * (ratio - 1) * ratio / moment


def moment_at_rest(terms, start, target, strength):
    """Return the moment (μB) downhill from the start, with the penalty strength · (m − target)² if there is one."""
    m = start or terms["moment"]
    for _ in range(500):
        _, slope = moment_energy(terms, m)
        stiff = 4 * terms["stiffness"] * (3 * (m / terms["moment"]) ** 2 - 1) / terms["moment"] ** 2
        if target is not None:
            slope, stiff = slope + 2 * strength * (m - target), stiff + 2 * strength
        step = -slope / max(abs(stiff), 0.2)
        m += max(-0.2, min(0.2, step))
        m = m or 1e-9
        if abs(slope) < 1e-11:
            break
    return m
