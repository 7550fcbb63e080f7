"""What labels determine, and how well: verdicts without a number of ours, uncertainties the size of errors."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa

from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.errors import InputError
from mmtp_fw.fitting import FitSettings, fit
from mmtp_fw.fitting.samples import Sample, make_sample
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Potential
from mmtp_fw.selection import Knowledge, Uncertainty, stated
from mmtp_fw.selection.derived import combinations, errors_of
from mmtp_fw.selection.directions import Space, rank_of
from mmtp_fw.selection.observations import NAMES, Triangle, observed, triangle_of

MODEL = ReferenceHamiltonian()


def labelled(atoms: Atoms, moments) -> Atoms:
    found = MODEL.evaluate(atoms, np.asarray(moments, dtype=float))
    atoms.calc = SinglePointCalculator(
        atoms, energy=found.energy, forces=found.forces, stress=found.stress, magmoms=found.moments
    )
    atoms.set_array("magnetic_forces", found.magnetic_forces)
    return atoms


def cell(palladium: int, seed: int, a: float = 3.75, shift: float = 0.08, order: str = "ferro") -> Atoms:
    """Eight atoms of Fe-Pd, displaced, with moments near or far from equilibrium."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Fe", "fcc", a, cubic=True) * (1, 1, 2)
    atoms.symbols[rng.permutation(8)[:palladium]] = "Pd"
    atoms.positions += rng.normal(scale=shift, size=(8, 3))
    size = np.where(atoms.numbers == 26, rng.uniform(2.2, 2.9, 8), rng.uniform(0.1, 0.5, 8))
    signs = {"ferro": np.ones(8), "random": rng.choice([-1.0, 1.0], 8)}[order]
    return labelled(atoms, signs * size)


def cells(count: int, seed: int, palladium=(2,), orders=("ferro", "random"), **more) -> list[Atoms]:
    made = []
    for k in range(count):
        a = (3.65, 3.75, 3.85)[k % 3]
        made.append(cell(palladium[k % len(palladium)], seed + k, a, order=orders[k % len(orders)], **more))
    return made


@pytest.fixture(scope="module")
def labels():
    """One composition, two orders, three volumes."""
    return cells(60, 0)


@pytest.fixture(scope="module")
def potential(labels):
    form = Potential.from_level(8, ["Fe", "Pd"], r_min=1.9, radial_size=4, magnetic_size=3, seed=1)
    return fit(form, labels, settings=FitSettings(max_iterations=200, threads=1)).potential


@pytest.fixture(scope="module")
def known(potential, labels):
    return Uncertainty.from_configurations(potential, labels)


def error_of(potential: Potential, atoms: Atoms) -> dict[str, float]:
    """Return root mean square errors against the Hamiltonian."""
    mine = potential.evaluate(atoms)
    return {
        "energy": abs(mine.energy - atoms.calc.results["energy"]),
        "forces": float(np.sqrt(np.mean((mine.forces - atoms.calc.results["forces"]) ** 2))),
        "stress": float(np.sqrt(np.mean((mine.stress - atoms.calc.results["stress"]) ** 2))),
        "magnetic_forces": float(np.sqrt(np.mean((mine.magnetic_forces - atoms.arrays["magnetic_forces"]) ** 2))),
    }


def size_of(found) -> dict[str, float]:
    names = ("energy", "forces", "stress", "magnetic_forces")
    return {name: float(np.sqrt(np.mean(np.square(getattr(found, name))))) for name in names}


# Rows and ranks -------------------------------------------------------------------------------------------


def three_atoms() -> Atoms:
    """A cell whose forces have the shape of a stress: fcc with a vacancy, displaced."""
    atoms = bulk("Fe", "fcc", 3.75, cubic=True)[:3]
    atoms.positions += np.random.default_rng(2).normal(scale=0.08, size=(3, 3))
    return labelled(atoms, [2.4, -2.1, 2.6])


@pytest.mark.parametrize("atoms", [8, 3])
def test_rows_are_derivatives_of_the_weighted_residuals(potential, labels, atoms):
    label = three_atoms() if atoms == 3 else labels[1]
    sample = make_sample(potential, label, Weights())
    rows, residuals, quantity = observed(potential, sample)
    assert np.count_nonzero(quantity == NAMES.index("forces")) == 3 * len(label)
    assert residuals @ residuals == pytest.approx(_loss(potential, label), rel=1e-10)
    direction = np.random.default_rng(0).normal(size=potential.n_parameters) * np.abs(potential.parameters)
    moved = potential.copy()
    ends = []
    for sign in (1e-6, -1e-6):
        moved.parameters = potential.parameters + sign * direction
        ends.append(observed(moved, sample)[1])
    np.testing.assert_allclose(rows @ direction, (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-6)


def _loss(potential, atoms):
    from mmtp_fw.fitting import loss_and_gradient

    return loss_and_gradient(potential, [atoms])[0]


def test_three_atoms_have_nine_forces_each_with_its_uncertainty(known):
    found = known.of(three_atoms())
    assert found.forces.shape == (3, 3) and np.all(found.forces > 0)


def test_a_triangle_of_parts_keeps_what_a_sum_of_squares_loses():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(400, 6))
    rows[:, 5] = rows[:, 4] + 1e-9 * rng.normal(size=400)
    parts = Triangle(6)
    for first in range(0, 400, 7):
        parts.add(rows[first : first + 7])
    assert parts.rows == 400
    whole, found = (np.linalg.svd(matrix, compute_uv=False) for matrix in (rows, parts.r))
    np.testing.assert_allclose(found, whole, rtol=1e-4)
    squares = np.linalg.eigvalsh(rows.T @ rows)[0]
    assert abs(squares / whole[-1] ** 2 - 1.0) > 1.0, "lost"
    assert rank_of(found) == 6


@pytest.mark.parametrize(
    ("values", "rank"),
    [
        ([1.0, 0.1, 1e-4, 1e-8], 4),
        ([1.0, 0.1, 2e-8, 2e-16, 1e-17, 0.0], 3),
        ([1.0, 1e-9, 1e-11, 3e-15], 3),
        ([3.0, 0.0], 1),
        ([0.0, 0.0], 0),
    ],
)
def test_rank_is_where_rounding_begins(values, rank):
    assert rank_of(np.array(values)) == rank


def test_sums_of_rows_stand_for_all_of_them(potential, labels, monkeypatch):
    samples = [make_sample(potential, atoms, Weights()) for atoms in labels]
    exact = triangle_of(potential, samples).r
    monkeypatch.setattr("mmtp_fw.selection.observations.ROWS_PER_PARAMETER", 6)
    fewer = triangle_of(potential, samples)
    assert fewer.rows < sum(4 * len(sample) + 7 for sample in samples)
    p = potential.n_parameters
    sizes, others = (np.linalg.norm(r[:, :p], axis=0) for r in (exact, fewer.r))
    np.testing.assert_allclose(others, sizes, rtol=0.3)


def test_gauge_modes_are_those_of_the_form(potential):
    """Rescaling each radial function and mixing lower ones into higher ones: K (K + 1) / 2."""
    three = Potential.from_level(8, ["Fe", "Pd", "Ni"], r_min=1.9, radial_size=3, magnetic_size=2, seed=3)
    for one in (potential, three):
        K = one.radial_count
        assert K == 2 and Space(one).gauge.shape[1] == K * (K + 1) // 2


def test_what_no_energy_shows_is_gauge_too():
    """f_1 of level 6 stands alone: neither odd parts of it nor how a pair shares its energy can be observed."""
    form = Potential.from_level(6, ["Fe", "Pd"], r_min=1.9, radial_size=5, magnetic_size=2, seed=1)
    odd, shared = 5 * 2 * 4, 5 * 2
    assert Space(form).gauge.shape[1] == 3 + odd + shared


# Verdicts -------------------------------------------------------------------------------------------------


def test_one_composition_leaves_the_species_against_one_another(known, potential, labels):
    (words,) = known.undetermined()
    assert words == "the energy of Fe against Pd is not fixed by one composition"
    for palladium in (0, 1, 4, 8):
        found = known.of(cell(palladium, 900))
        assert found.verdict is Knowledge.UNDETERMINED and "energy" in found.undetermined
        assert np.isinf(found.energy) and found.reasons == (words,)
    vacancy, lost = cell(2, 901), int(np.flatnonzero(cell(2, 901).numbers == 26)[0])
    moments = np.delete(vacancy.get_magnetic_moments(), lost)
    del vacancy[lost]
    found = known.of(vacancy, moments)
    assert found.undetermined == ("energy",) and np.isfinite(found.forces).all()
    doubled, moments = cell(2, 902).repeat((2, 1, 1)), np.tile(cell(2, 902).get_magnetic_moments(), 2)
    assert known.of(doubled, moments).verdict is not Knowledge.UNDETERMINED


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_verdicts_do_not_hang_on_the_prior(known, potential, labels, factor):
    other = Uncertainty.from_configurations(potential, labels, prior_eV=factor)
    assert other.undetermined() == known.undetermined() and other.rank == known.rank
    asked = [cell(2, 700), cell(2, 701, order="random"), cell(4, 702), cell(2, 703, a=3.2)]
    verdicts = [Knowledge.INSIDE, Knowledge.INSIDE, Knowledge.UNDETERMINED, Knowledge.EXTRAPOLATED]
    assert [known.of(atoms).verdict for atoms in asked] == verdicts
    assert [other.of(atoms).verdict for atoms in asked] == verdicts
    for atoms in asked:
        assert other.of(atoms).extrapolation == pytest.approx(known.of(atoms).extrapolation, rel=1e-6)


@pytest.fixture(scope="module")
def iron():
    """A potential of ferromagnetic bcc iron alone, and its labels."""

    def made(cell: Atoms, seed: int, sign: float = 1.0, lost: bool = False) -> Atoms:
        rng = np.random.default_rng(seed)
        cell.positions += rng.normal(scale=0.06, size=(len(cell), 3))
        moments = np.where(np.arange(len(cell)) % 2, sign, 1.0) * rng.uniform(2.0, 2.7, len(cell))
        return labelled(cell[1:], moments[1:]) if lost else labelled(cell, moments)

    def bcc(a: float = 2.9) -> Atoms:
        return bulk("Fe", "bcc", a, cubic=True) * (2, 2, 2)

    labels = [made(bcc((2.84, 2.90, 2.96)[k % 3]), k) for k in range(24)]
    form = Potential.from_level(6, ["Fe"], r_min=1.7, radial_size=5, magnetic_size=3, seed=3)
    fitted = fit(form, labels, settings=FitSettings(max_iterations=30, threads=1)).potential
    asked = {
        "inside": made(bcc(), 100),
        "a vacancy": made(bcc(), 101, lost=True),
        "another lattice": made(bulk("Fe", "fcc", 3.65, cubic=True) * (2, 2, 1), 102),
        "another order": made(bcc(), 103, sign=-1.0),
        "pressed": made(bcc(2.7), 104),
    }
    return fitted, labels, asked


def test_what_bulk_of_one_order_never_showed_is_told_whatever_the_prior(iron):
    """A strong prior once made a vacancy look known: how far rows are from the labels' is no matter of a prior."""
    fitted, labels, asked = iron
    found = {}
    for prior in (1e-3, 1.0, 1e3):
        known = Uncertainty.from_configurations(fitted, labels, prior_eV=prior)
        assert known.undetermined() == []
        found[prior] = {name: known.of(atoms) for name, atoms in asked.items()}
        verdicts = {name: one.verdict for name, one in found[prior].items()}
        assert verdicts.pop("inside") is Knowledge.INSIDE
        assert set(verdicts.values()) == {Knowledge.EXTRAPOLATED}, (prior, verdicts)
    for name in asked:
        sizes = [found[prior][name].extrapolation for prior in found]
        assert sizes == pytest.approx([sizes[0]] * 3, rel=1e-6)
    bare, none = asked["inside"].copy(), np.zeros(len(asked["inside"]))
    assert known.of(bare, none).moments is None, (
        "moments zero in a ferromagnet: T is zero, the energy falls on both sides"
    )
    with pytest.raises(InputError, match="a saddle"):
        known.of(bare, none, relaxed=True)
    far = found[1.0]["another order"]
    assert far.extrapolation > 10.0 and far.energy > 0.3 * error_of(fitted, asked["another order"])["energy"]


def test_a_second_composition_or_reference_energies_fix_it(potential, labels, known):
    more = cell(4, 50)
    fixed = Uncertainty.from_configurations(potential, [*labels, more])
    assert fixed.undetermined() == []
    asked = cell(4, 903)
    found = fixed.of(asked)
    assert found.verdict is not Knowledge.UNDETERMINED
    error = error_of(potential, asked)["energy"]
    assert error > 1.0, "the potential never saw this composition"
    assert 0.5 < error / found.energy < 2.0, "how far the potential is off a label that it never saw is known"
    constants = potential.parameters[potential.parameter_slices["species"]]
    given = Uncertainty.from_configurations(potential, labels, reference_energies={"Fe": constants[0]})
    assert given.undetermined() == [] and np.isfinite(given.of(asked).energy)
    assert given.of(asked).extrapolation > 10.0, "the atom alone is far from these labels"
    with pytest.raises(InputError, match="Ni"):
        Uncertainty.from_configurations(potential, labels, reference_energies={"Ni": 0.0})


def test_a_symmetric_crystal_has_no_undetermined_forces(known):
    perfect = bulk("Fe", "fcc", 3.75, cubic=True) * (1, 1, 2)
    perfect.set_initial_magnetic_moments([2.6] * 8)
    found = known.of(perfect)
    assert found.undetermined == ("energy",)


def test_what_no_label_contains_is_named(labels):
    three = Potential.from_level(4, ["Fe", "Pd", "Ni"], r_min=1.9, radial_size=3, magnetic_size=2, seed=1)
    known = Uncertainty.from_configurations(three, labels)
    assert "no label contains Ni" in known.undetermined()
    asked = cell(2, 904)
    assert known.of(asked).verdict is not Knowledge.UNDETERMINED
    moments = asked.get_magnetic_moments()
    asked.symbols[0] = "Ni"
    found = known.of(asked, moments)
    assert {"energy", "forces", "stress", "magnetic_forces"} <= set(found.undetermined)
    assert "no label contains Ni" in found.reasons


def test_moments_that_no_label_had_are_named(potential, labels):
    bare = []
    for atoms in labels:
        moments = atoms.get_magnetic_moments()
        bare.append(labelled(atoms.copy(), np.where(atoms.numbers == 46, 0.0, moments)))
    known = Uncertainty.from_configurations(potential, bare)
    assert any("moment on Pd" in words for words in known.undetermined())
    asked = bare[3].copy()
    same = known.of(asked, bare[3].get_magnetic_moments())
    assert "energy" not in same.undetermined
    polarised = np.where(asked.numbers == 46, 0.4, bare[3].get_magnetic_moments())
    assert "energy" in known.of(asked, polarised).undetermined


def test_labels_without_energies_leave_energies_without_a_zero(potential, labels):
    bare = []
    for atoms in labels:
        other = atoms.copy()
        results = {name: value for name, value in atoms.calc.results.items() if name in ("forces", "stress", "magmoms")}
        other.calc = SinglePointCalculator(other, **results)
        bare.append(other)
    known = Uncertainty.from_configurations(potential, bare, Weights(energy=0.0))
    assert any("no label has an energy" in words for words in known.undetermined())
    found = known.of(cell(2, 905))
    assert "energy" in found.undetermined and "forces" not in found.undetermined


def test_too_few_labels_leave_almost_everything(potential, labels):
    known = Uncertainty.from_configurations(potential, labels[:1])
    assert any("combinations of parameters" in words for words in known.undetermined())
    assert known.of(labels[1]).verdict is Knowledge.UNDETERMINED
    assert known.of(labels[0]).verdict is Knowledge.INSIDE


def test_bad_input(potential, labels):
    with pytest.raises(InputError, match="prior"):
        Uncertainty.from_configurations(potential, labels, prior_eV=0.0)
    with pytest.raises(InputError, match="empty"):
        Uncertainty.from_configurations(potential, [])


# Sizes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held_out", [False, True])
def test_uncertainties_are_the_size_of_errors(potential, labels, held_out):
    extra = cells(30, 400) if held_out else None
    known = Uncertainty.from_configurations(potential, labels, held_out=extra)
    ratios = {name: [] for name in ("energy", "forces", "stress", "magnetic_forces")}
    for atoms in cells(40, 2000):
        found, error = size_of(known.of(atoms)), error_of(potential, atoms)
        for name in ratios:
            ratios[name].append(error[name] / found[name])
    for name, values in ratios.items():
        assert 0.6 < np.median(values) < 1.6, (name, np.median(values))


def test_uncertainty_grows_where_errors_do(known, potential):
    sizes, errors = [], []
    for shift in (0.03, 0.1, 0.2):
        asked = [cell(2, 3000 + k, shift=shift) for k in range(6)]
        sizes.append(np.median([size_of(known.of(atoms))["forces"] for atoms in asked]))
        errors.append(np.median([error_of(potential, atoms)["forces"] for atoms in asked]))
    assert np.all(np.diff(sizes) > 0) and np.all(np.diff(errors) > 0)
    assert 0.3 < errors[-1] / sizes[-1] < 3.0


def test_relaxed_moments_carry_their_own_uncertainty(known, potential):
    ratios = []
    for k in range(8):
        atoms = cell(2, 4000 + k, shift=0.05)
        truth, _ = MODEL.relaxed(atoms, atoms.get_magnetic_moments())
        relaxed = potential.relax_moments(atoms, start=truth.moments)
        assert relaxed.sound
        found = known.of(atoms, relaxed.moments, relaxed=True)
        fixed = known.of(atoms, relaxed.moments)
        np.testing.assert_allclose(found.moments, fixed.moments)
        assert not np.allclose(found.forces, fixed.forces)
        error = np.sqrt(np.mean((relaxed.moments - truth.moments) ** 2))
        ratios.append(error / np.sqrt(np.mean(found.moments**2)))
        assert found.magnetization_per_atom < np.abs(found.moments).max()
        assert found.pressure > 0.0 and found.pressure != fixed.pressure
    assert 0.5 < np.median(ratios) < 2.0
    with pytest.raises(InputError, match="no minimum"):
        known.of(atoms, relaxed.moments + 0.3, relaxed=True)


def test_errors_that_go_together_make_a_larger_pressure_than_their_sizes_say():
    """Errors alike in all three stresses make an error of the pressure √3 times that of independent ones."""
    form = Potential.from_level(2, ["Fe"], r_min=1.9, radial_size=3, magnetic_size=1, seed=1)
    sample = Sample(form.system(cell(0, 1)), np.zeros(8), {}, {}, {"stress": 4.0})
    quantity = np.full(6, NAMES.index("stress"))
    square = np.diag([2.0, 2.0, 2.0, 9.0, 9.0, 9.0])
    for errors, expected in (([1.0, 1.0, 1.0], 3.0), ([1.0, -1.0, 0.0], 0.0), ([3.0, 0.0, 0.0], 3.0)):
        known = np.array([*errors, 7.0, 7.0, 7.0])
        (one,) = errors_of(form, sample, quantity, known, square, 2.0 * known)
        assert one == ("pressure", pytest.approx(expected), pytest.approx(2.0), pytest.approx(4.0 * expected))


def test_forces_at_relaxed_moments_follow_the_parameters(known, potential):
    """The rows of forces that follow the moments are total derivatives: checked by moving the parameters."""
    from mmtp_fw.selection.observations import prediction_rows
    from mmtp_fw.selection.response import Response

    atoms = cell(2, 4100, shift=0.05)
    start = potential.relax_moments(atoms, start=atoms.get_magnetic_moments(), tolerance=1e-9).moments
    system = potential.system(atoms)
    rows = prediction_rows(potential, system, start)
    made = combinations(rows.quantity, Response(potential, system, start))
    direction = np.random.default_rng(5).normal(size=potential.n_parameters) * np.abs(potential.parameters)
    ends, others = [], []
    for sign in (1e-5, -1e-5):
        moved = potential.copy()
        moved.parameters = potential.parameters + sign * direction
        moments = moved.relax_moments(atoms, start=start, tolerance=1e-9).moments
        after = moved.evaluate(atoms, moments=moments)
        ends.append(after.forces.ravel())
        others.append(np.r_[after.stress[:3].mean() * atoms.get_volume(), moments, moments.mean()])
    expected = (ends[0] - ends[1]) / 2e-5
    found = made["relaxed_forces"] @ rows.matrix @ direction
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    # So are pressure, moments and magnetization, each a combination of rows.
    found = (
        np.vstack([made[name] for name in ("relaxed_pressure", "moments", "magnetization")]) @ rows.matrix @ direction
    )
    expected = (others[0] - others[1]) / 2e-5
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_same_labels_same_answer_whatever_the_threads(potential, labels, known):
    from mmtp_fw.potential.threads import threads

    asked = cell(2, 906)
    with threads(1):
        one = Uncertainty.from_configurations(potential, labels).of(asked)
    with threads(3):
        three = Uncertainty.from_configurations(potential, labels).of(asked)
    assert one.energy == pytest.approx(three.energy, rel=1e-6)
    np.testing.assert_allclose(one.forces, three.forces, rtol=1e-6)


# Stated beside found --------------------------------------------------------------------------------------


def test_errors_of_labels_stand_beside_what_is_stated_for_them(potential, known):
    new = cells(6, 900)
    found = stated(known, new)
    assert list(found) == ["energy_per_atom_eV", "forces_eV_per_A", "stress_GPa", "magnetic_forces_eV_per_muB"]
    units = {"energy": 1 / 8, "forces": 1.0, "stress": 1 / GPa, "magnetic_forces": 1.0}
    for k, atoms in enumerate(new):
        off, u = error_of(potential, atoms), size_of(known.of(atoms))
        for (name, unit), (errors, uncertainties) in zip(units.items(), found.values(), strict=True):
            assert (errors[k], uncertainties[k]) == (pytest.approx(unit * off[name]), pytest.approx(unit * u[name]))


def test_a_label_that_lacks_a_quantity_is_left_out_of_it(known):
    new = cells(3, 950)
    del new[1].calc.results["stress"]
    found = stated(known, new)
    assert [len(errors) for errors, _ in found.values()] == [3, 3, 2, 3]
