"""Chains of moments against integrals by quadrature, within the chain's own errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential
from mmtp_fw.potential.flips import BOLTZMANN
from mmtp_fw.thermal import Chain, ChainSettings, Ensemble, Measure, sample
from mmtp_fw.thermal.induced import Induced

LARGEST = {"Fe": 2.5, "Pd": 0.8}
SIGMAS = 4.5
"""Of some twenty comparisons one in several thousand runs is as far off by chance; seeds are fixed."""


@pytest.fixture(scope="module")
def pair():
    """A potential whose energy depends on the moments by about kT, and two atoms in a cell."""
    potential = Potential.from_level(6, ["Fe", "Pd"], magnetic_size=3, seed=4, r_cut=3.5)
    atoms = Atoms("FePd", [[0, 0, 0], [1.5, 1.4, 1.3]], cell=[3.0, 2.9, 2.8], pbc=True)
    return potential, atoms


def nodes(largest: float):
    """Gauss-Legendre on both signs, for weights that are not smooth at zero."""
    x, w = np.polynomial.legendre.leggauss(14)
    x, w = 0.5 * largest * (x + 1), 0.5 * largest * w
    return np.concatenate([-x, x]), np.concatenate([w, w])


def integral(potential, atoms, kT: float, power: float) -> tuple[float, float, float]:
    """Return ⟨E⟩, ⟨|m_Fe|⟩ and the heat capacity over k by quadrature."""
    (x, wx), (y, wy) = nodes(LARGEST["Fe"]), nodes(LARGEST["Pd"])
    grid = np.array(list(itertools.product(x, y)))
    weights = np.outer(wx, wy).ravel() * np.abs(grid).prod(axis=1) ** power
    energies = np.array([potential.evaluate(atoms, moments).energy for moments in grid])
    weights = weights * np.exp(-(energies - energies.min()) / kT)
    weights = weights / weights.sum()
    mean = weights @ energies
    return mean, weights @ np.abs(grid[:, 0]), weights @ (energies - mean) ** 2 / kT**2


@pytest.mark.parametrize("measure", list(Measure))
@pytest.mark.parametrize("temperature", [300.0, 2000.0])
def test_averages_are_those_of_the_integral(pair, measure, temperature):
    potential, atoms = pair
    energy, moment, capacity = integral(potential, atoms, BOLTZMANN * temperature, measure.power)
    found = sample(potential, atoms, ChainSettings(temperature, measure, largest=LARGEST, seed=3), sweeps=12000)
    assert found.ensemble is Ensemble.THERMAL and found.measure is measure
    assert abs(2 * found.energy.mean - energy) < SIGMAS * 2 * found.energy.error
    assert abs(found.moments["Fe"].mean - moment) < SIGMAS * found.moments["Fe"].error
    assert abs(2 * found.heat_capacity - capacity) < SIGMAS * 2 * found.heat_capacity_error
    assert 0 < found.energy.error < 0.1 * BOLTZMANN * temperature


def test_cumulant_is_that_of_the_integral(pair):
    potential, atoms = pair
    (x, wx), (y, wy) = nodes(LARGEST["Fe"]), nodes(LARGEST["Pd"])
    grid = np.array(list(itertools.product(x, y)))
    energies = np.array([potential.evaluate(atoms, moments).energy for moments in grid])
    weights = np.outer(wx, wy).ravel() * np.exp(-(energies - energies.min()) / (BOLTZMANN * 2000))
    second, fourth = (weights @ grid.sum(axis=1) ** power / weights.sum() for power in (2, 4))
    found = sample(potential, atoms, ChainSettings(2000, largest=LARGEST, seed=3), sweeps=12000)
    assert abs(found.binder - (1 - fourth / (3 * second**2))) < SIGMAS * found.binder_error
    assert 0 < found.binder_error < 0.05


def test_induced_moments_are_those_of_least_energy(pair):
    """The integral runs over the local moment alone, at the energy that the induced one leaves."""
    potential, atoms = pair
    temperature = 2000.0
    chain = Chain(potential, atoms, ChainSettings(temperature, induced=("Pd",), largest=LARGEST, seed=5))
    assert chain.settings.ensemble is Ensemble.MIXED
    x, w = nodes(LARGEST["Fe"])
    energies, sound = np.empty(len(x)), np.empty(len(x), dtype=bool)
    for k, m in enumerate(x):
        state = Induced(potential, potential.system(atoms), np.array([m, 0.0]), np.array([False, True]), chain.limits)
        energies[k], sound[k] = state.energy, state.sound
        assert not state.sound or abs(potential.evaluate(atoms, state.moments).magnetic_forces[1]) < 1e-4
    assert sound.all(), "or the integral has other limits"
    weights = w * np.exp(-(energies - energies.min()) / (BOLTZMANN * temperature))
    expected = weights @ energies / weights.sum()
    settings = ChainSettings(temperature, induced=("Pd",), largest=LARGEST, seed=5)
    found = sample(potential, atoms, settings, sweeps=3000, discard=300)
    assert abs(2 * found.energy.mean - expected) < SIGMAS * 2 * found.energy.error
    assert found.ensemble is Ensemble.MIXED and not found.counts.unsound


@pytest.mark.parametrize("measure", list(Measure))
def test_one_measure_is_not_the_other(pair, measure):
    """Or the comparisons above would not see which of them was sampled."""
    potential, atoms = pair
    (other,) = set(Measure) - {measure}
    wrong = integral(potential, atoms, BOLTZMANN * 2000, other.power)[1]
    found = sample(potential, atoms, ChainSettings(2000, measure, largest=LARGEST, seed=3), sweeps=4000)
    assert abs(found.moments["Fe"].mean - wrong) > 2 * SIGMAS * found.moments["Fe"].error


def test_where_a_moment_may_go(pair):
    potential, atoms = pair
    chain = Chain(potential, atoms, ChainSettings(1e5, largest=LARGEST, seed=1))
    seen = []
    for _ in range(300):
        chain.sweep(adapt=True)
        seen.append(chain.moments)
    largest = np.abs(seen).max(axis=0)
    assert 2.0 < largest[0] <= 2.5 and 0.6 < largest[1] <= 0.8
    assert chain.counts.refused > 0
    assert chain.energy == pytest.approx(potential.evaluate(atoms, chain.moments).energy, abs=1e-9)


def test_what_is_refused(pair):
    potential, atoms = pair
    with pytest.raises(InputError, match="doesn't say which moments of Fe, Pd"):
        Chain(potential, atoms, ChainSettings(300))
    with pytest.raises(InputError, match="a temperature of 0 K"):
        ChainSettings(0)
    with pytest.raises(InputError, match="all moments would be induced"):
        Chain(potential, atoms, ChainSettings(300, induced=("Fe", "Pd"), largest=LARGEST))
    with pytest.raises(InputError, match="too few"):
        sample(potential, atoms, ChainSettings(300, largest=LARGEST), sweeps=10)
