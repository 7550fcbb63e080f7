"""Averages, spectra and comparisons against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.data import atomic_masses

from mmtp_fw.errors import InputError
from mmtp_fw.md import MdState
from mmtp_fw.potential import Potential
from mmtp_fw.properties import (
    SampledTrajectory,
    average,
    averages_of_trajectories,
    compare,
    ensemble_spread,
    phonon_dos,
    spectral_overlap,
    thermal_averages,
    vibrational_dos,
)

IRON, PALLADIUM = 26, 46
INTERVAL = 5.0  # fs
TIMES = np.arange(1200) * INTERVAL * 1e-3  # ps


def series(mean: float, amplitude: float, samples: int = 400) -> np.ndarray:
    """Return an alternating series: its variance is the amplitude's square, its correlation time the shortest."""
    return mean + amplitude * (-1.0) ** np.arange(samples)


# Averages -----------------------------------------------------------------------------------------------------


def test_the_error_of_independent_samples_is_sigma_over_root_n():
    found = average(series(5.0, 0.3, 400))
    assert found.mean == pytest.approx(5.0) and found.samples == 400
    assert found.correlation == 1.0, "never below that of independent samples"
    assert found.error == pytest.approx(0.3 / np.sqrt(399))


def test_blocks_of_equal_samples_count_once():
    block = 25
    values = np.repeat(np.random.default_rng(0).normal(3.0, 2.0, 2000), block)
    found = average(values)
    # Σ ρ over a triangle: τ = 1 + 2 Σ (1 − t/b) = b.
    assert found.correlation == pytest.approx(block, rel=0.1)
    assert found.error == pytest.approx(2.0 / np.sqrt(2000), rel=0.1)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("values", "mean"),
    [([4.0], 4.0), ([1e8] * 30, 1e8), ([0.0] * 5, 0.0), ([-2.0] * 2, -2.0), ([0.1] * 3, np.mean([0.1] * 3))],
)
def test_what_does_not_vary_has_no_error(values, mean):
    found = average(values)
    assert (found.mean, found.error, found.correlation, found.samples) == (mean, 0.0, 1.0, len(values))


def test_two_samples_have_an_error():
    assert average([1.0, 3.0]).error == pytest.approx(1.0)


def test_correlation_is_summed_up_to_two_and_a_half_times_its_time():
    rng = np.random.default_rng(3)
    values = np.zeros(3000)
    for k in range(1, len(values)):
        values[k] = 0.9 * values[k - 1] + rng.normal()
    n, rest = len(values), values - values.mean()
    rho = [(rest[: n - t] @ rest[t:] / (n - t)) / (rest @ rest / n) for t in range(400)]
    times = [1.0 + 2.0 * sum(rho[1 : t + 1]) for t in range(400)]
    window = next(t for t, time in enumerate(times) if t >= 2.5 * time)
    total = times[window] * (1 + (2 * window + 1) / n)  # deviations from the series' own mean are too small
    found = average(values)
    assert found.correlation == pytest.approx(total / (1 + total / n), rel=1e-9)
    assert found.error == pytest.approx(np.std(values) * np.sqrt(total / n), rel=1e-9)


def test_a_rising_series_is_correlated_over_all_of_itself():
    found = average(np.arange(100.0))
    assert found.correlation > 10 and np.isfinite(found.error)


@pytest.mark.parametrize("wrong", [[], [1.0, float("nan")], [float("inf")], [[1.0, 2.0], [3.0, 4.0]]])
def test_series_without_a_mean(wrong):
    with pytest.raises(InputError, match="finite numbers"):
        average(wrong)


def test_trajectories_weigh_by_their_samples():
    """Errors in quadrature with the weights of the samples: (w₁ e₁)² + (w₂ e₂)², not e₁² + e₂²."""
    long, short = series(2.0, 0.4, 300), series(5.0, 0.9, 100)
    runs = [{"step": np.arange(1, 301), "p": long}, {"step": np.arange(1, 101), "p": short}]
    found = averages_of_trajectories(runs, ["p"], 0)["p"]
    one, two = 0.4 / np.sqrt(299), 0.9 / np.sqrt(99)
    assert found.mean == pytest.approx(0.75 * 2.0 + 0.25 * 5.0)
    assert found.error == pytest.approx(np.sqrt((0.75 * one) ** 2 + (0.25 * two) ** 2))
    assert found.correlation == 1.0 and found.samples == 400
    # Many alike: the error falls with the root of their number.
    many = averages_of_trajectories([runs[0]] * 9, ["p"], 0)["p"]
    assert many.error == pytest.approx(one / 3)


def test_equilibration_ends_at_its_last_step():
    run = {"step": [0, 10, 20, 30], "p": [100.0, 50.0, 1.0, 3.0], "q": [0.0, 0.0, 7.0, 9.0]}
    found = averages_of_trajectories([run], ["p", "q"], 10)
    assert found["p"].mean == pytest.approx(2.0) and found["q"].mean == pytest.approx(8.0)
    assert found["p"].samples == 2 and list(found) == ["p", "q"]
    assert averages_of_trajectories([run], ["p"], 9)["p"].samples == 3
    with pytest.raises(InputError, match="equilibrium"):
        averages_of_trajectories([run], ["p"], 30)


def trajectory(velocities: np.ndarray, values: dict[str, np.ndarray], every: int = 5) -> SampledTrajectory:
    n = len(next(iter(values.values())))
    thermo = {"step": np.arange(n) * every} | values
    return SampledTrajectory(MdState.COMPLETED, n * every, thermo, velocities)


def test_thermal_averages_are_named():
    names = (
        "magnetization_muB_per_atom", "pressure_GPa", "temperature_K", "potential_energy_eV",
        "absolute_moment_muB_per_atom",
    )  # fmt: skip
    runs = [
        trajectory(
            np.zeros((0, 1, 3)), {name: series(10.0 * k + j, 0.1 * (j + 1), 101) for j, name in enumerate(names)}
        )
        for k in (1, 2)
    ]
    found = thermal_averages(runs, 0)
    assert set(found) == set(names) | {f"{name}_error" for name in names}
    for j, name in enumerate(names):
        assert found[name] == pytest.approx(15.0 + j)
        assert found[f"{name}_error"] == pytest.approx(0.1 * (j + 1) / np.sqrt(99) / np.sqrt(2))


# Spectra ------------------------------------------------------------------------------------------------------


def opposite(*motions: tuple[int, int, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return velocities and numbers of pairs that move against each other: (number, axis, THz, amplitude) each."""
    velocities = np.zeros((len(TIMES), 2 * len(motions), 3))
    numbers = []
    for k, (number, axis, frequency, amplitude) in enumerate(motions):
        velocities[:, 2 * k, axis] = amplitude * np.cos(2 * np.pi * frequency * TIMES)
        velocities[:, 2 * k + 1, axis] = -velocities[:, 2 * k, axis]
        numbers += [number, number]
    return velocities, np.array(numbers)


def area(dos, low: float, high: float, curve=None) -> float:
    inside = (dos.frequency_THz >= low) & (dos.frequency_THz < high)
    values = dos.total if curve is None else curve
    return float(np.trapezoid(values[inside], dos.frequency_THz[inside]))


def test_heavier_atoms_weigh_more_at_equal_velocity():
    velocities, numbers = opposite((IRON, 0, 5.0, 1.0), (PALLADIUM, 1, 12.0, 1.0))
    dos = vibrational_dos(velocities, numbers, INTERVAL)
    ratio = area(dos, 9, 15) / area(dos, 2, 8)
    assert ratio == pytest.approx(atomic_masses[PALLADIUM] / atomic_masses[IRON], rel=0.01)
    twice, numbers = opposite((IRON, 0, 5.0, 1.0), (IRON, 2, 12.0, 2.0))
    dos = vibrational_dos(twice, numbers, INTERVAL)
    assert area(dos, 9, 15) / area(dos, 2, 8) == pytest.approx(4.0, rel=0.01), "a power spectrum"


def test_the_drift_of_the_cell_is_no_vibration():
    velocities, numbers = opposite((IRON, 0, 5.0, 1.0), (PALLADIUM, 1, 8.0, 1.0))
    drift = 3.0 + 20.0 * np.cos(2 * np.pi * 12.0 * TIMES)[:, None, None] * np.array([1.0, 1.0, 1.0])
    still, moving = (vibrational_dos(v, numbers, INTERVAL) for v in (velocities, velocities + drift))
    np.testing.assert_allclose(moving.total, still.total, atol=1e-9)
    # Momentum decides what the drift is, not the mean velocity: this motion has none.
    iron, palladium = atomic_masses[IRON], atomic_masses[PALLADIUM]
    velocities, numbers = opposite((IRON, 0, 5.0, 1.0 / iron), (PALLADIUM, 1, 5.0, 0.0))
    kick = np.cos(2 * np.pi * 12.0 * TIMES)[:, None]
    velocities[:, numbers == IRON, 2] = kick / iron
    velocities[:, numbers == PALLADIUM, 2] = -kick / palladium
    dos = vibrational_dos(velocities, numbers, INTERVAL)
    assert area(dos, 9, 15) / area(dos, 2, 8) == pytest.approx(1 + iron / palladium, rel=0.01)


def test_stated_errors_of_spectra_are_those_of_repeated_crystals():
    """Harmonic crystals of the same modes with energies drawn anew, as a thermostat draws them."""
    rng = np.random.default_rng(4)
    atoms, steps, repeats = 24, 500, 60
    modes = 3 * atoms
    frequencies = rng.normal(6.0, 1.2, modes).clip(2.0, 10.0)
    shapes = np.linalg.qr(rng.normal(size=(modes, modes)))[0]
    phase = 2 * np.pi * np.outer(TIMES[:steps], frequencies)
    numbers = np.full(atoms, IRON)
    found = []
    for _ in range(repeats):
        cosine, sine = rng.normal(size=(2, modes))
        velocities = (np.cos(phase) * cosine + np.sin(phase) * sine) @ shapes.T
        found.append(vibrational_dos(velocities.reshape(steps, atoms, 3), numbers, INTERVAL))
    spread = np.std([dos.total for dos in found], axis=0)
    stated = np.mean([dos.total_error for dos in found], axis=0)
    peak = np.mean([dos.total for dos in found], axis=0) > 0.1
    # 60 repeats give a spread to 10 %, the peak holds few independent frequencies, and norms are fixed to 1.
    assert np.mean(spread[peak]) / np.mean(stated[peak]) == pytest.approx(1.0, abs=0.25)


def test_more_trajectories_and_larger_cells_have_smaller_errors():
    velocities, numbers = opposite((IRON, 0, 5.0, 1.0), (PALLADIUM, 1, 8.0, 1.0))
    one = SampledTrajectory(MdState.COMPLETED, 1200, {"step": np.arange(1200)}, velocities)
    alone, four = (phonon_dos([one] * count, numbers, INTERVAL, -1) for count in (1, 4))
    np.testing.assert_allclose(four["total_error"], 0.5 * np.array(alone["total_error"]))
    wide = vibrational_dos(np.concatenate([velocities, velocities], axis=1), np.tile(numbers, 2), INTERVAL)
    single = vibrational_dos(velocities, numbers, INTERVAL)
    np.testing.assert_allclose(wide.total_error, single.total_error / np.sqrt(2))


def test_all_three_directions_count():
    for axis in range(3):
        velocities, numbers = opposite((IRON, axis, 6.0, 1.0), (IRON, (axis + 1) % 3, 12.0, 1.0))
        dos = vibrational_dos(velocities, numbers, INTERVAL)
        assert area(dos, 3, 9) == pytest.approx(0.5, abs=0.01)


def test_peaks_stand_at_their_frequency_with_the_asked_width():
    velocities, numbers = opposite((IRON, 0, 7.0, 1.0))
    for width in (0.3, 0.6):
        dos = vibrational_dos(velocities, numbers, INTERVAL, width)
        assert dos.frequency_THz[np.argmax(dos.total)] == pytest.approx(7.0, abs=0.05)
        mean = np.trapezoid(dos.total * dos.frequency_THz, dos.frequency_THz)
        spread = np.sqrt(np.trapezoid(dos.total * (dos.frequency_THz - mean) ** 2, dos.frequency_THz))
        assert spread == pytest.approx(width, rel=0.15), "Gaussian, and the window's own width"
    plain = vibrational_dos(velocities, numbers, INTERVAL)
    np.testing.assert_array_equal(plain.total, vibrational_dos(velocities, numbers, INTERVAL, 0.3).total)
    assert plain.frequency_THz[-1] == pytest.approx(0.5 / (INTERVAL * 1e-3)), "up to half the sampling rate"
    # Resolution: the series is padded to four times its length.
    assert plain.frequency_THz[1] == pytest.approx(1 / (4 * 1200 * INTERVAL * 1e-3))


def test_slow_motion_is_mirrored_at_zero():
    velocities, numbers = opposite((IRON, 0, 0.05, 1.0))
    dos = vibrational_dos(velocities, numbers, INTERVAL)
    assert area(dos, 0, 3) == pytest.approx(1.0, abs=0.01)
    assert dos.total[0] == pytest.approx(dos.total.max(), rel=0.1), "nothing is lost below zero"


def test_every_curve_is_normalised_and_named():
    velocities, numbers = opposite((IRON, 0, 5.0, 1.0), (PALLADIUM, 1, 8.0, 3.0))
    dos = vibrational_dos(velocities, numbers, INTERVAL)
    assert list(dos.species) == ["Fe", "Pd"]
    iron, palladium = atomic_masses[IRON], 9.0 * atomic_masses[PALLADIUM]
    for curve, frequency, energy in ((dos.species["Fe"], 5.0, iron), (dos.species["Pd"], 8.0, palladium)):
        assert area(dos, 0, 200, curve) == pytest.approx(energy / (iron + palladium), abs=1e-3), "of kinetic energy"
        assert dos.frequency_THz[np.argmax(curve)] == pytest.approx(frequency, abs=0.05)
    np.testing.assert_allclose(dos.species["Fe"] + dos.species["Pd"], dos.total)
    still = vibrational_dos(np.zeros((16, 2, 3)), np.array([IRON, IRON]), INTERVAL)
    assert not still.total.any()


@pytest.mark.parametrize("shape", [(15, 2, 3), (40, 2), (0, 2, 3)])
def test_too_few_samples_of_velocities(shape):
    with pytest.raises(InputError, match="at least 16 samples"):
        vibrational_dos(np.zeros(shape), np.array([IRON, IRON]), INTERVAL)


def run_of(frequency: float, steps: int = 1200) -> SampledTrajectory:
    velocities, _ = opposite((IRON, 0, frequency, 1.0))
    return trajectory(velocities[:steps], {"pressure_GPa": np.zeros(steps)})


def test_a_phonon_spectrum_averages_trajectories_and_ends_at_15_terahertz():
    numbers = np.array([IRON, IRON])
    found = phonon_dos([run_of(4.0), run_of(8.0)], numbers, INTERVAL, -1)
    one, two = (vibrational_dos(run_of(f).velocities, numbers, INTERVAL) for f in (4.0, 8.0))
    shown = one.frequency_THz <= 15.0
    np.testing.assert_allclose(found["frequency_THz"], one.frequency_THz[shown])
    np.testing.assert_allclose(found["total"], 0.5 * (one.total + two.total)[shown])
    np.testing.assert_allclose(found["species"]["Fe"], found["total"])
    assert 14.9 < max(found["frequency_THz"]) <= 15.0


def test_a_spectrum_is_of_what_follows_equilibration():
    numbers = np.array([IRON, IRON])
    before, after = run_of(4.0), run_of(8.0)
    velocities = np.concatenate([before.velocities[:600], after.velocities[:600]])
    run = trajectory(velocities, {"pressure_GPa": np.zeros(1200)})
    late = phonon_dos([run], numbers, INTERVAL, 599 * 5)
    alone = vibrational_dos(after.velocities[:600], numbers, INTERVAL)
    np.testing.assert_allclose(late["total"], alone.total[alone.frequency_THz <= 15.0])
    # Velocities of the last samples only: they belong to the last steps.
    short = SampledTrajectory(MdState.COMPLETED, run.steps, run.thermo, after.velocities[:600])
    np.testing.assert_allclose(phonon_dos([short], numbers, INTERVAL, 599 * 5)["total"], late["total"])
    assert phonon_dos([run], numbers, INTERVAL, (1200 - 17) * 5) is not None
    assert phonon_dos([run], numbers, INTERVAL, (1200 - 16) * 5) is None, "fifteen samples are too few"
    assert phonon_dos([run_of(4.0), run], numbers, INTERVAL, (1200 - 16) * 5) is None


# Comparison ---------------------------------------------------------------------------------------------------


def test_comparison_by_hand():
    found = compare([[1.0, 2.0], [4.0, 0.0]], [1.0, 3.0, 2.0, 0.0])
    assert found.mae == pytest.approx(3 / 4)
    assert found.rmse == pytest.approx(np.sqrt(5 / 4))
    assert found.maximum == 2.0 and found.n == 4
    # Σ (b − 1.5)² = 5
    assert found.r2 == pytest.approx(1 - 5 / 5)
    assert np.isnan(compare([1.0, 2.0], [3.0, 3.0]).r2)
    for one, two in (([1.0], [1.0, 2.0]), ([], [])):
        with pytest.raises(InputError, match="can't compare"):
            compare(one, two)


def test_overlap_by_hand():
    grid = np.linspace(0.0, 3.0, 3001)
    low, high = np.where(grid <= 2, 1.0, 0.0), np.where(grid >= 1, 1.0, 0.0)
    # ∫√(gh) = 1, both areas 2.
    assert spectral_overlap(grid, low, high) == pytest.approx(0.5, abs=1e-3)
    assert spectral_overlap(grid, 4 * low, 9 * low) == pytest.approx(1.0)
    assert spectral_overlap(grid, low - 2.0 * (grid > 2), low) == pytest.approx(1.0), "negative parts are noise"
    assert spectral_overlap(grid, low, low - 2.0 * (grid > 2)) == pytest.approx(1.0)
    assert spectral_overlap(grid, 0 * grid, low) == 0.0
    assert spectral_overlap(np.array([0.0, 1.0, 4.0]), np.ones(3), np.array([1.0, 1.0, 0.0])) == pytest.approx(
        2.5 / np.sqrt(4.0 * 2.5)
    ), "grids need not be even"


# Ensembles ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ensemble() -> tuple[list[Potential], list[Atoms]]:
    member = Potential.from_level(4, ["Fe"], r_min=1.5, r_cut=4.0, max_moment=3.0, magnetic_size=3, seed=5)
    others = []
    for factor in (0.98, 1.03):
        other = Potential.loads(member.dumps())
        other.parameters = factor * member.parameters
        others.append(other)
    frames = []
    for seed, a in enumerate((2.8, 2.95)):
        atoms = bulk("Fe", cubic=True, a=a)
        atoms.rattle(0.05, seed=seed)
        atoms.set_initial_magnetic_moments([1.0, 1.0])  # where every member has a minimum
        frames.append(atoms)
    return [member, *others], frames


def test_the_spread_of_three_members_over_two_frames(ensemble):
    members, frames = ensemble
    table, forces = [], []
    for member in members:
        rows, components = [], []
        for atoms in frames:
            start = atoms.get_initial_magnetic_moments()
            relaxed = member.relax_moments(atoms, start=start).moments
            found = member.evaluate(atoms, moments=relaxed)
            pressure = -(found.stress[0] + found.stress[1] + found.stress[2]) / 3 / units.GPa
            rows.append([relaxed.mean(), pressure, found.energy / 2])
            components += found.forces.ravel().tolist()
        table.append(np.mean(rows, axis=0))
        forces.append(components)
    deviation = np.sqrt(np.sum((np.array(table) - np.mean(table, axis=0)) ** 2, axis=0) / 2)
    spread = ensemble_spread(members, frames)
    names = ("magnetization_muB_per_atom", "pressure_GPa", "energy_eV_per_atom")
    for name, value in zip(names, deviation, strict=True):
        assert spread[name] == pytest.approx(value, rel=1e-9)
    variance = np.sum((np.array(forces) - np.mean(forces, axis=0)) ** 2, axis=0) / 2
    assert spread["forces_eV_per_A"] == pytest.approx(np.sqrt(variance.mean()), rel=1e-9)
    assert spread["pressure_GPa"] > 0 and spread["energy_eV_per_atom"] > 0


def test_a_spread_needs_two_members_and_a_frame(ensemble):
    members, frames = ensemble
    for one, two in ((members[:1], frames), (members, []), ([], frames)):
        with pytest.raises(InputError, match="two potentials and one configuration"):
            ensemble_spread(one, two)
