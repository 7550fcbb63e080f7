"""Weights, samples, errors and findings, at their limits and in numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa

from mmtp_fw.errors import InputError
from mmtp_fw.fitting import (
    FitSettings,
    Weights,
    check_training_set,
    errors_by_quantity,
    errors_by_species,
    errors_by_volume,
)
from mmtp_fw.fitting.samples import labels_of, make_sample, make_samples
from mmtp_fw.fitting.statistics import Comparison
from mmtp_fw.potential import Potential
from tests.fitting.conftest import copies

# Settings ---------------------------------------------------------------------------------------------------------


def test_defaults_of_a_fit():
    assert FitSettings() == FitSettings(
        max_iterations=400, tolerance=0.02, method="auto", starts=1, seed=0, start="auto", fallback_factor=4.0,
        damping=3e-3, metric_interval=50, probes_per_parameter=6.0, threads=None, checkpoint=None,
        checkpoint_interval=10, suspect_factor=30.0, leave_out_suspects=False, allow_findings=False,
    )  # fmt: skip
    assert Weights().document() == {
        "energy": 1.0, "forces": 0.01, "stress": 0.001, "magnetic_forces": 0.1, "energy_scaling": 1.0,
        "forces_scaling": 0.0, "stress_scaling": 1.0, "magnetic_forces_scaling": 0.0, "moment_deviation_muB": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["max_iterations", "starts", "metric_interval", "checkpoint_interval"])
def test_counts_begin_at_one(name):
    assert getattr(FitSettings(**{name: 1}), name) == 1
    with pytest.raises(InputError, match=f"{name} = 0 must be at least 1"):
        FitSettings(**{name: 0})


@pytest.mark.parametrize("name", ["damping", "probes_per_parameter", "fallback_factor", "suspect_factor"])
def test_factors_are_positive(name):
    assert getattr(FitSettings(**{name: 1e-9}), name) == 1e-9
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match=f"{name} = .* must be positive"):
            FitSettings(**{name: wrong})


def test_threads_are_asked_for_or_the_machines(monkeypatch):
    assert FitSettings(threads=3).thread_count == 3
    assert FitSettings().thread_count >= 1


@pytest.mark.parametrize("name", ["energy", "forces", "stress", "magnetic_forces"])
def test_one_weight_is_enough(name):
    none = dict.fromkeys(("energy", "forces", "stress", "magnetic_forces"), 0.0)
    assert getattr(Weights(**none | {name: 0.5}), name) == 0.5
    for wrong in (-1e-9, float("inf"), float("nan")):
        with pytest.raises(InputError, match=name):
            Weights(**{name: wrong})
    with pytest.raises(InputError, match="all weights are zero"):
        Weights(**none)


# Samples ----------------------------------------------------------------------------------------------------------


NAMES = ("energy", "forces", "stress", "magnetic_forces")


def weights_of(sample) -> tuple[float, ...]:
    """Return the weights of a sample's terms; 0 for what its label lacks."""
    return tuple(sample.weights.get(name, 0.0) for name in NAMES)


@pytest.mark.parametrize("key", ["name", "config_id", "identifier", "hash", "content_hash"])
def test_configurations_are_called_by_number_and_name(small, key):
    bare = Atoms("Fe", cell=[4] * 3, pbc=True, info={key: "x7"})
    with pytest.raises(InputError, match=r"^configuration 3 \(x7\): has no energy"):
        make_sample(small, bare, Weights(), 3)
    bare.info = {key: "", "other": "y"}
    with pytest.raises(InputError, match=r"^configuration 0: has no energy"):
        make_sample(small, bare, Weights())


def test_what_a_label_holds():
    atoms = Atoms("Fe2", [[0, 0, 0], [0, 0, 2]])
    assert labels_of(atoms) == {}
    atoms.calc = SinglePointCalculator(atoms, free_energy=-3.0, forces=np.ones((2, 3)))
    found = labels_of(atoms)
    assert found["energy"] == -3.0 and set(found) == {"energy", "forces"}
    atoms.calc = SinglePointCalculator(atoms, free_energy=-3.0, energy=-2.0)
    atoms.calc.results["magnetic_forces"] = np.array([1.0, 2.0])
    assert labels_of(atoms)["energy"] == -2.0
    np.testing.assert_array_equal(labels_of(atoms)["magnetic_forces"], [1, 2])
    atoms.set_array("magnetic_forces", np.array([3.0, 4.0]))
    np.testing.assert_array_equal(labels_of(atoms)["magnetic_forces"], [3, 4])


def test_weights_of_a_sample_by_the_number_of_atoms(small, cells):
    atoms = copies(cells, 1)[0]
    n = len(atoms)
    plain = make_sample(small, atoms, Weights(2.0, 3.0, 5.0, 7.0, 1.0, 2.0, 0.5, 3.0))
    assert weights_of(plain) == pytest.approx((2 / n, 3 / n**2, 5 / n**0.5, 7 / n**3))
    atoms.info["weight"] = 0.25
    atoms.info["label_mae_muB"] = 0.2
    weights = weights_of(make_sample(small, atoms, Weights(1, 1, 1, 1, 0, 0, 0, 0)))
    assert weights == (0.25,) * 4, "the deviation counts only where it is asked for"
    weights = weights_of(make_sample(small, atoms, Weights(1, 1, 1, 1, 0, 0, 0, 0, 0.1)))
    assert weights == pytest.approx((0.25 / 5,) * 4)
    del atoms.calc.results["stress"], atoms.calc.results["forces"], atoms.arrays["magnetic_forces"]
    sample = make_sample(small, atoms, Weights(1, 1, 1, 1, 0, 0, 0, 0))
    assert weights_of(sample) == (0.25, 0, 0, 0) and set(sample.labels) == {"energy"}
    assert len(sample) == n and sample.labels["energy"] == atoms.calc.results["energy"]


def test_a_virial_is_volume_times_stress_in_either_form(small, cells):
    one, two = copies(cells, 1)[0], copies(cells, 1)[0]
    xx, yy, zz, yz, xz, xy = one.calc.results["stress"]
    two.calc.results["stress"] = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    expected = one.get_volume() * two.calc.results["stress"]
    for atoms in (one, two):
        np.testing.assert_allclose(make_sample(small, atoms, Weights()).targets["stress"], expected)


@pytest.mark.parametrize(
    ("weight", "words"),
    [("heavy", "is no number"), (None, "is no number"), (-0.1, "not negative"), (float("nan"), "finite")],
)
def test_weights_that_are_none(small, cells, weight, words):
    atoms = copies(cells, 1)[0]
    atoms.info["weight"] = weight
    with pytest.raises(InputError, match=f"configuration 4: weight .*{words}"):
        make_sample(small, atoms, Weights(), 4)
    atoms.info["weight"] = 0.0
    assert weights_of(make_sample(small, atoms, Weights())) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("key", "value"), [("forces", np.zeros((3, 3))), ("stress", np.zeros(5)), ("magnetic_forces", np.zeros((8, 1)))]
)
def test_shapes_that_do_not_fit(small, cells, key, value):
    atoms = copies(cells, 1)[0]
    if key == "magnetic_forces":
        del atoms.arrays[key]
    atoms.calc.results[key] = value
    with pytest.raises(InputError, match=f"configuration 0: {key} of shape"):
        make_sample(small, atoms, Weights())
    with pytest.raises(InputError, match="has no energy, forces, stress or magnetic forces"):
        make_sample(small, Atoms("Fe", cell=[4] * 3, pbc=True), Weights())
    with pytest.raises(InputError, match="training set is empty"):
        make_samples(small, [])
    with pytest.raises(InputError, match=r"configuration 0: .*Ni"):
        make_sample(small, Atoms("Ni", cell=[4] * 3, pbc=True), Weights())


# Statistics -------------------------------------------------------------------------------------------------------


def test_errors_by_hand():
    found = Comparison(np.array([1.0, 2.0, 7.0]), np.array([2.0, 2.0, 5.0])).errors()
    assert found == pytest.approx({"mae": 1.0, "rmse": np.sqrt(5 / 3), "max": 2.0, "r2": 1 - 5 / 6, "count": 3})
    assert np.isnan(Comparison(np.array([1.0]), np.array([2.0])).errors()["r2"])


def test_every_quantity_in_its_unit(small, cells):
    found = errors_by_quantity(small, cells)
    energies, stresses, magnetic = [], [], []
    for atoms in cells:
        mine, its = small.evaluate(atoms), atoms.calc.results
        energies.append((mine.energy - its["energy"]) / len(atoms))
        stresses.append((mine.stress - its["stress"]) / GPa)
        magnetic.append(mine.magnetic_forces - atoms.arrays["magnetic_forces"])
    for name, values in (
        ("energy_per_atom_eV", energies),
        ("stress_GPa", stresses),
        ("magnetic_forces_eV_per_muB", magnetic),
    ):
        flat = np.ravel(values)
        assert found[name]["rmse"] == pytest.approx(np.sqrt(np.mean(flat**2)))
        assert found[name]["mae"] == pytest.approx(np.abs(flat).mean()) and found[name]["count"] == flat.size
    bare = copies(cells, 2)
    for atoms in bare:
        del atoms.calc.results["stress"], atoms.arrays["magnetic_forces"]
    assert set(errors_by_quantity(small, bare)) == {"energy_per_atom_eV", "forces_eV_per_A"}


def test_errors_of_each_species(small, cells):
    found = errors_by_species(small, cells)
    assert set(found) == {"Fe", "Pd"} and errors_by_species(small, []) == {}
    for symbol, errors in found.items():
        forces, magnetic = [], []
        for atoms in cells:
            mine, chosen = small.evaluate(atoms), atoms.symbols == symbol
            forces += np.ravel(mine.forces[chosen] - atoms.calc.results["forces"][chosen]).tolist()
            magnetic += (mine.magnetic_forces - atoms.arrays["magnetic_forces"])[chosen].tolist()
        assert set(errors) == {"forces_eV_per_A", "magnetic_forces_eV_per_muB"}
        assert errors["forces_eV_per_A"]["mae"] == pytest.approx(np.abs(forces).mean())
        assert errors["magnetic_forces_eV_per_muB"]["max"] == pytest.approx(np.abs(magnetic).max())


def test_ranges_of_volume_are_equal_and_hold_everything_once(small, cells):
    volumes = np.array([atoms.get_volume() / len(atoms) for atoms in cells])
    for bins in (1, 2, 4):
        found = errors_by_volume(small, cells, bins)
        edges = np.linspace(volumes.min(), volumes.max(), bins + 1)
        counts = np.histogram(volumes, edges)[0]
        wanted = {(a, b): n for a, b, n in zip(edges, edges[1:], counts, strict=False) if n}
        assert np.ravel(list(found)) == pytest.approx(np.ravel(list(wanted)))
        assert [e["energy_per_atom_eV"]["count"] for e in found.values()] == list(wanted.values())
    low, high = cells[int(np.argmin(volumes))], cells[int(np.argmax(volumes))]
    many = errors_by_volume(small, [low, high])
    name = "forces_eV_per_A"
    assert [errors[name] for errors in many.values()] == [errors_by_quantity(small, [a])[name] for a in (low, high)]
    width = (volumes.max() - volumes.min()) / 5
    assert [b - a for a, b in many] == pytest.approx([width, width]), "five ranges, the empty ones left out"
    assert errors_by_volume(small, []) == {}
    with pytest.raises(InputError, match="0 ranges"):
        errors_by_volume(small, cells, 0)


# Findings ---------------------------------------------------------------------------------------------------------


def rules(potential, cells, weights=None, fatal=True) -> list[tuple[int, str]]:
    found = check_training_set(potential, cells, weights).findings
    return [(finding.index, finding.rule) for finding in found if finding.fatal == fatal]


@pytest.mark.parametrize(("key", "limit"), [("forces", 200.0), ("stress", 500.0 * GPa), ("magnetic_forces", 100.0)])
def test_sizes_beyond_chemistry(small, cells, key, limit):
    for factor, expected in ((0.999, []), (-0.999, []), (1.001, [(1, "units")]), (-1.001, [(1, "units")])):
        made = copies(cells, 3)
        place = made[1].arrays if key == "magnetic_forces" else made[1].calc.results
        place[key] = np.array(place[key])
        place[key].flat[2] = factor * limit
        assert rules(small, made) == expected


@pytest.mark.parametrize(
    ("moment", "fatal", "warned"),
    [(4.0, [], []), (4.001, [(0, "moments")], []), (-4.0, [], []), (-4.001, [(0, "moments")], []), (0.0, [], [])],
)
def test_moments_within_the_magnetic_basis(small, cells, moment, fatal, warned):
    assert (small.min_moment, small.max_moment) == (-4.0, 4.0)
    made = copies(cells, 1)
    made[0].calc.results["magmoms"][3] = moment
    assert rules(small, made) == fatal and rules(small, made, fatal=False) == warned
    made[0].calc.results["magmoms"][:] = 0.0
    assert rules(small, made, fatal=False) == [(0, "moments")], "all moments are zero"


def test_distances_below_the_radial_range(small, cells):
    atoms = copies(cells, 1)[0]
    shortest = np.sort(small.system(atoms).vectors.__pow__(2).sum(axis=1))[0] ** 0.5
    for r_min, expected in ((0.999 * shortest, []), (1.001 * shortest, [(0, "distance")])):
        form = {"r_min": r_min, "r_cut": 4.5, "radial_size": 5, "magnetic_size": 2, "seed": 3}
        other = Potential.from_level(6, ["Fe", "Pd"], **form)
        assert rules(other, [atoms]) == [] and rules(other, [atoms], fatal=False) == expected
    assert f"shortest distance {shortest:.3f} Å" in check_training_set(other, [atoms]).warnings[0]


@pytest.mark.parametrize(("difference", "fatal"), [(0.0009, False), (0.0011, True), (-0.0011, True)])
def test_contradicting_duplicates(small, cells, difference, fatal):
    """More than 1 meV/atom between labels of the same atoms and moments."""
    made = [*copies(cells, 2), *copies(cells, 1)]
    made[2].calc.results["energy"] += difference * len(made[0])
    assert rules(small, made, fatal=fatal) == [(2, "duplicate")] and rules(small, made, fatal=not fatal) == []
    for change in ("positions", "moments"):
        other = copies(cells, 1)[0]
        if change == "positions":
            other.positions[0, 0] += 1e-6
        else:
            other.calc.results["magmoms"][0] += 1e-6
        assert rules(small, [*copies(cells, 1), other], fatal=False) == []


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda a: a.calc.results.pop("energy"), "missing"),
        (lambda a: a.calc.results.pop("forces"), "missing"),
        (lambda a: a.calc.results.pop("stress"), "missing"),
        (lambda a: a.calc.results.update(energy=np.inf), "nan"),
        (lambda a: a.calc.results["magmoms"].__setitem__(0, np.nan), "nan"),
        (lambda a: a.positions.__setitem__((0, 0), np.nan), "nan"),
        (lambda a: a.cell.__setitem__((0, 0), np.inf), "nan"),
        (lambda a: a.arrays["magnetic_forces"].__setitem__(0, np.nan), "nan"),
        (lambda a: a.calc.results.update(stress=np.zeros(4)), "shape"),
        (lambda a: a.calc.results.update(forces=np.zeros((1, 3))), "shape"),
        (lambda a: a.symbols.__setitem__(0, "Ni"), "species"),
    ],
)
def test_each_fault_is_found_where_it_is(small, cells, spoil, expected):
    made = copies(cells, 3)
    spoil(made[1])
    found = rules(small, made)
    assert found and set(found) == {(1, expected)}


@pytest.mark.parametrize(("name", "key"), [("energy", "energy"), ("forces", "forces"), ("stress", "stress")])
def test_what_has_no_weight_is_not_missed(small, cells, name, key):
    made = copies(cells, 1)
    made[0].calc.results.pop(key)
    assert rules(small, made, Weights(**{name: 0.0})) == []
    assert rules(small, made) == [(0, "missing")]
    flat = copies(cells, 1)[0]
    flat.pbc = [True, True, False]
    flat.calc.results.pop("stress")
    assert rules(small, [flat]) == [], "a slab has no stress"


def test_missing_magnetic_forces_are_a_warning_where_they_count(small, cells):
    made = copies(cells, 1)
    del made[0].arrays["magnetic_forces"]
    assert rules(small, made, fatal=False) == [(0, "missing")]
    assert rules(small, made, Weights(magnetic_forces=0.0), fatal=False) == []
    plain = Potential.from_level(4, ["Fe", "Pd"], r_cut=4.5, radial_size=4, magnetic_size=0)
    assert rules(plain, made, fatal=False) == []


@pytest.mark.parametrize(("ratio", "unit"), [(27.211386, "Ha"), (13.605693, "Ry"), (96.485332, "kJ/mol")])
def test_energies_in_another_unit(small, cells, ratio, unit):
    for factor in (ratio, 1 / ratio):
        made = copies(cells, 5)
        made[3].calc.results["energy"] *= factor
        (finding,) = check_training_set(small, made).fatal
        assert (finding.index, finding.rule) == (3, "units") and f"suggests {unit}" in finding.message
    made = copies(cells, 5)
    made[3].calc.results["energy"] *= 1.4 * ratio
    assert rules(small, made) == [(3, "apart")], "another ratio is no unit, and no energy of that solid either"
    made = copies(cells, 3)
    made[1].calc.results["energy"] *= ratio
    assert rules(small, made) == [], "of three nobody knows which is right"


def test_the_first_fault_is_raised_with_the_number_of_others(small, cells):
    made = copies(cells, 4)
    for atoms in made[1:3]:
        atoms.calc.results.pop("energy")
    report = check_training_set(small, made)
    with pytest.raises(InputError, match=r"configuration 1: has no energy; 1 more like problems \(label it"):
        report.raise_first()
    made[2].calc.results["energy"] = -1.0
    with pytest.raises(InputError, match=r"configuration 1: has no energy \("):
        check_training_set(small, made).raise_first()
    check_training_set(small, made[3:]).raise_first()
