"""What can be fitted is a table: another quantity is one row, and everything knows it."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.campaign import Campaign
from mmtp_fw.campaign.settings import FitSettings as CampaignFit
from mmtp_fw.cli.progress import _errors
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.fit import _weights
from mmtp_fw.fitting import (
    FitSettings,
    Weights,
    check_training_set,
    errors_by_quantity,
    errors_by_species,
    fit,
    loss_and_gradient,
)
from mmtp_fw.fitting.checkpoint import problem_digest
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.metric import gauss_newton_matrix
from mmtp_fw.fitting.samples import make_samples
from mmtp_fw.potential import Potential
from mmtp_fw.quantities import QUANTITIES, Direction, Quantity
from mmtp_fw.report import figures
from mmtp_fw.report.style import styled

TOTAL = Quantity(
    name="total_torque",
    plural="total torques",
    key="total_torque_eV_per_muB",
    unit="meV/μB",
    factor=1000.0,
    decimals=1,
    label_unit="eV/μB",
    weight=0.0,
    scaling=0.0,
    missing="fatal",
    of_moments=True,
    largest=1000.0,
    label=lambda _, atoms: atoms.info.get("total_torque"),
    label_shapes=lambda _: ((),),
    predicted=lambda evaluation: evaluation.magnetic_forces.sum(),
    shape=lambda _: (),
    compared=lambda value, _: np.reshape(value, 1),
    sign=-1.0,
    along=lambda h, n: Direction(moment_changes=np.full(n, float(h))),
)


@pytest.fixture
def another(monkeypatch, training):
    """A further row, Σ T_i, and labels that hold it."""
    monkeypatch.setitem(QUANTITIES, TOTAL.name, TOTAL)
    for atoms in training:
        atoms.info["total_torque"] = float(atoms.arrays["magnetic_forces"].sum())
    return training


def test_a_further_quantity_has_a_loss_and_its_exact_gradient(potential, another):
    weights = Weights(energy=0, forces=0, stress=0, magnetic_forces=0, total_torque=3.0, total_torque_scaling=1.0)
    loss, gradient = loss_and_gradient(potential, another, weights)
    differences = [potential.evaluate(a).magnetic_forces.sum() - a.info["total_torque"] for a in another]
    assert loss == pytest.approx(3.0 * sum(d**2 / len(a) for d, a in zip(differences, another, strict=True)))
    rng, step = np.random.default_rng(0), 1e-5
    for direction in rng.normal(size=(3, potential.n_parameters)):
        values = []
        for sign in (1, -1):
            moved = potential.copy()
            moved.parameters = potential.parameters + sign * step * direction
            values.append(loss_and_gradient(moved, another, weights)[0])
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(direction @ gradient, rel=1e-5)


def test_a_further_quantity_adds_to_the_others(potential, another):
    def parts(**weights):
        return loss_and_gradient(potential, another, Weights(**weights))

    none = dict.fromkeys(("energy", "forces", "stress", "magnetic_forces"), 0.0)
    together, one, other = parts(total_torque=2.0), parts(), parts(**none, total_torque=2.0)
    assert together[0] == pytest.approx(one[0] + other[0])
    np.testing.assert_allclose(together[1], one[1] + other[1], rtol=1e-9, atol=1e-9 * np.abs(one[1]).max())


def test_a_fit_follows_it(potential, another):
    settings = FitSettings(max_iterations=40, threads=1)
    given = fit(potential, another, Weights(), settings=settings).errors
    only = Weights(energy=1e-6, forces=0, stress=0, magnetic_forces=0, total_torque=1.0)
    result = fit(potential, another, only, another[:3], settings=settings)
    assert result.errors[TOTAL.key]["rmse"] < 0.2 * given[TOTAL.key]["rmse"]
    assert result.errors[TOTAL.key]["count"] == len(another) and result.validation_errors[TOTAL.key]["count"] == 3
    assert list(result.errors)[-1] == TOTAL.key


def test_the_metric_estimates_its_gauss_newton_matrix(potential, another):
    weights = Weights(energy=0, forces=0, stress=0, magnetic_forces=0, total_torque=3.0)
    loss = Loss(potential, make_samples(potential, another[:2], weights))
    found = gauss_newton_matrix(loss, potential.parameters, np.random.default_rng(0), 0.01)
    expected = np.zeros_like(found)
    for sample in loss.samples:
        row = potential.directional_parameter_gradient(
            sample.system, sample.moments, moment_changes=np.ones(len(sample))
        )[1]
        expected += 2.0 * 3.0 * np.outer(row, row)
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


def test_checks_digest_and_messages_know_it(potential, another):
    before = problem_digest(potential, make_samples(potential, another))
    another[4].info["total_torque"] += 1.0
    assert problem_digest(potential, make_samples(potential, another)) != before
    another[2].info["total_torque"] = 5000.0
    (found,) = check_training_set(potential, another).fatal
    assert found.rule == "units" and "total_torque must be in eV/μB" in found.hint
    del another[2].info["total_torque"]
    assert not check_training_set(potential, another).fatal
    (found,) = check_training_set(potential, another, Weights(total_torque=1.0)).fatal
    assert found.message == "configuration 2: has no total torque"
    assert TOTAL.key in errors_by_quantity(potential, another)
    assert TOTAL.key not in errors_by_species(potential, another)["Fe"]
    plain = Potential.from_level(2, ["Fe", "Pd"], r_cut=4.5, magnetic_size=0)
    assert list(errors_by_quantity(plain, another)) == ["energy_per_atom_eV", "forces_eV_per_A", "stress_GPa"]


def test_figures_and_progress_show_it(another):
    errors = {quantity.key: {"rmse": 0.0123} for quantity in QUANTITIES.values()}
    item = {"iteration": 0, "role": "version", "errors": errors, "validation_errors": {}}
    with styled("errors"):
        figure = figures.errors({"potentials": [item]})
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_visible()]
    assert titles == [
        "Energy (meV/atom)", "Forces (meV/Å)", "Stress (GPa)", "Magnetic forces (meV/μB)", "Total torque (meV/μB)"
    ]  # fmt: skip
    assert [axes.lines[0].get_ydata()[0] for axes in figure.axes[:5]] == [12.3, 12.3, 0.0123, 12.3, 12.3]
    text = _errors({"version": 3, "errors": errors})
    assert "stress 0.0123 GPa" in text and text.endswith("total torque 12.3 meV/μB")


def test_a_campaign_has_a_weight_for_every_row():
    campaign = Campaign.model_validate({"name": "c", "fit": {"stress_weight": 0.5, "moment_deviation_muB": 0.1}})
    assert Weights(**_weights(campaign)) == Weights(stress=0.5, moment_deviation_muB=0.1)
    for name, quantity in QUANTITIES.items():
        field = CampaignFit.model_fields[f"{name}_weight"]
        assert field.default == quantity.weight == getattr(Weights(), name)


def test_weights_are_what_they_say():
    weights = Weights(1, 2, 3, 4, 2, 1, 0, 0.5)
    assert (weights.forces, weights.energy_scaling, weights.magnetic_forces_scaling) == (2.0, 2.0, 0.5)
    assert weights.of("magnetic_forces", 4) == 2.0
    assert weights != Weights() and hash(Weights()) == hash(Weights(energy=1.0)) and "forces=0.01" in repr(Weights())
    with pytest.raises(AttributeError):
        weights.energy = 3.0
    with pytest.raises(AttributeError, match="no such weight: torques"):
        _ = weights.torques
    with pytest.raises(InputError, match="no such weight: torque"):
        Weights(torque=1.0)


def test_a_label_without_what_applies_to_it_has_no_term(potential, training):
    cluster = training[0].copy()
    cluster.pbc, results = False, training[0].calc.results
    cluster.cell[:] = 0.0
    cluster.calc = SinglePointCalculator(cluster, **results)
    (sample,) = make_samples(potential, [cluster])
    assert set(sample.targets) == {"energy", "forces", "magnetic_forces"}
