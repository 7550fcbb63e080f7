"""Members of an ensemble: bags, noise, who passes and who is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

from mmtp_fw.fitting import FitResult, FitSettings, errors_by_quantity, fit, fit_ensemble, fit_member, loss_and_gradient
from mmtp_fw.fitting.ensemble import LARGEST_LOSS, PERTURBATION, bag, perturbed, too_bad, unstable
from mmtp_fw.potential import Potential, Systems
from tests.fitting.conftest import labelled

SETTINGS = FitSettings(max_iterations=40, threads=1)


@pytest.fixture(scope="module")
def cells() -> list[Atoms]:
    return labelled(12, seed=0)


@pytest.fixture(scope="module")
def best(cells) -> FitResult:
    form = Potential.from_level(2, ["Fe", "Pd"], r_min=1.9, r_cut=4.0, radial_size=3, magnetic_size=2, seed=1)
    return fit(form, cells, settings=SETTINGS)


def test_a_bag_weighs_every_label_by_an_exponential_number():
    counts = np.array([bag(200, seed) for seed in range(50)])
    np.testing.assert_allclose(counts.mean(axis=1), 1.0)
    assert counts.min() > 0 and np.std(counts) == pytest.approx(1.0, abs=0.05)
    assert np.mean(counts > 2.0) == pytest.approx(np.exp(-2), abs=0.02)
    np.testing.assert_array_equal(bag(200, 7), counts[7])
    assert len(np.unique(counts, axis=0)) == 50


def test_noise_is_relative_and_repeats(best):
    one, two, other = (perturbed(best.potential, seed) for seed in (3, 3, 4))
    change = one.parameters / best.potential.parameters - 1.0
    assert np.std(change) == pytest.approx(PERTURBATION, rel=0.3)
    np.testing.assert_array_equal(one.parameters, two.parameters)
    assert not np.allclose(one.parameters, other.parameters)


def test_a_count_is_as_many_copies_and_none_is_not_seen(best, cells):
    settings = replace(SETTINGS, max_iterations=4, start="given")
    counts = np.array([2, 0, 1, 3, *[0] * 8])
    counted = fit(best.potential, cells, settings=settings, counts=counts)
    copies = [atoms for atoms, n in zip(cells, counts, strict=True) for _ in range(n)]
    copied = fit(best.potential, copies, settings=replace(settings, allow_findings=True))
    assert counted.history[-1][1] == pytest.approx(copied.history[-1][1], rel=1e-5)
    # The numbers of the result are of all, once each.
    assert len(counted.loss_by_configuration) == 12
    assert counted.loss == pytest.approx(loss_and_gradient(counted.potential, cells)[0], rel=1e-9)
    assert counted.errors == errors_by_quantity(counted.potential, cells)


def test_members_stay_near_the_best(best, cells):
    found = fit_ensemble(best.potential, cells, 4, settings=SETTINGS)
    assert found.refused == [] and len(found.members) == 3
    assert found.potentials[0] == found.best.potential
    for k, member in enumerate(found.members, start=1):
        assert member.seed == 1000 * k
        assert 0.9 < member.loss_ratio <= LARGEST_LOSS
        assert member.loss_ratio == pytest.approx(member.result.loss / found.best.loss)
    for one, other in ((0, 1), (1, 2)):
        assert found.members[one].result.loss != found.members[other].result.loss
    again = fit_ensemble(best.potential, cells, 2, settings=SETTINGS)
    assert again.members[0].result.potential == found.members[0].result.potential


def test_labels_of_validation_are_in_no_bag(best, cells):
    settings = replace(SETTINGS, max_iterations=5)
    found = fit_ensemble(best.potential, cells[:9], 2, validation=cells[9:], settings=settings)
    (member,) = found.members
    assert len(member.result.loss_by_configuration) == 9
    assert member.result.validation_errors["energy_per_atom_eV"]["count"] == 3


def test_a_member_that_lost_its_way_is_refused(best, cells, monkeypatch):
    monkeypatch.setattr("mmtp_fw.fitting.ensemble.PERTURBATION", 10 * PERTURBATION)  # more than one step mends
    short = replace(SETTINGS, max_iterations=1)
    member = fit_member(best.potential, cells, settings=short)
    assert member.loss_ratio > LARGEST_LOSS
    assert member.refused == f"its loss is {member.loss_ratio:.3g} times the best potential's"
    monkeypatch.setattr("mmtp_fw.fitting.ensemble.LARGEST_LOSS", 0.5)  # which no member reaches
    found = fit_ensemble(best.potential, cells, 3, settings=short)
    assert found.members == [] and [text[:9] for text in found.refused] == ["member 1:", "member 2:"]
    assert found.potentials == [found.best.potential]
    assert too_bad(np.nan) == too_bad(np.inf) == "its loss is not finite"


def test_a_member_with_a_hole_that_the_best_has_not_is_refused():
    place = Path(__file__).parents[1] / "potential" / "data"
    hole, frame = Potential.read(place / "hole.mmtp"), read(place / "hole.xyz")
    sound = Potential.read(place.parents[2] / "docs" / "examples" / "fe-pd.mmtp")
    found = unstable(sound, hole, [frame], Systems(sound), 300.0)
    assert found.startswith("the potential has a hole at moments of Pd")
    assert unstable(hole, hole, [frame], Systems(hole), 300.0) == ""
    assert unstable(sound, hole, [frame], Systems(sound), 100.0) == "", "over a barrier of 0.21 eV"
