"""What a fit promises: it finds what is there, says what it can't know, and gives the same numbers on all threads."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mmtp_fw.errors import InputError
from mmtp_fw.fitting import FitSettings, fit
from mmtp_fw.fitting.levenberg import levenberg_marquardt
from mmtp_fw.fitting.linear import solve_linear
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.metric import gauss_newton_matrix
from mmtp_fw.fitting.minimise import Point
from mmtp_fw.fitting.objective import Objective, ridge
from mmtp_fw.fitting.samples import make_samples
from mmtp_fw.fitting.search import random_start
from mmtp_fw.potential import Potential
from mmtp_fw.potential.threads import in_order, one_blas_thread


def tiny(seed: int = 0) -> Potential:
    return Potential.from_level(4, ["Fe", "Pd"], r_min=1.9, r_cut=4.0, radial_size=3, magnetic_size=2, seed=seed)


def moved(potential: Potential, parameters: np.ndarray) -> Potential:
    other = potential.copy()
    other.parameters = parameters
    return other


def relabelled(truth, configurations):
    """Put a potential's own numbers in the place of the labels."""
    for atoms in configurations:
        found = truth.evaluate(atoms)
        atoms.set_array("magnetic_forces", found.magnetic_forces)
        atoms.calc.results.update(energy=found.energy, forces=found.forces, stress=found.stress)
    return configurations


def test_all_rows_are_the_gauss_newton_matrix(potential, training):
    """G is the second derivative of the loss where all residuals vanish."""
    made = relabelled(potential, training[:2])
    loss = Loss(potential, make_samples(potential, made))
    matrix = gauss_newton_matrix(loss, potential.parameters, np.random.default_rng(0), np.inf)
    rng, step = np.random.default_rng(1), 1e-5
    for direction in rng.normal(size=(3, potential.n_parameters)):
        ends = [loss.value_and_gradient(potential.parameters + k * step * direction)[1] for k in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(matrix @ direction, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_the_bend_is_that_of_the_residuals(potential, training):
    """With labels that leave r″ as residuals the gradient of the loss is 2 Σ w (∂r/∂θ)ᵀ r″."""
    made, x, h = training[:2], potential.parameters, 0.1
    step = 1e-3 * np.random.default_rng(0).normal(size=len(x))
    found = Loss(potential, make_samples(potential, made)).curvature(x, step, h)
    for atoms in made:
        here, ahead, behind = (moved(potential, x + k * h * step).evaluate(atoms) for k in (0, 1, -1))
        labels = {
            name: getattr(here, name) - (getattr(ahead, name) - 2 * getattr(here, name) + getattr(behind, name)) / h**2
            for name in ("energy", "forces", "stress", "magnetic_forces")
        }
        atoms.set_array("magnetic_forces", labels.pop("magnetic_forces"))
        atoms.calc.results.update(labels)
    expected = Loss(potential, make_samples(potential, made)).value_and_gradient(x)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


def test_a_known_potential_is_found_from_nothing(training, validation):
    truth = tiny(8)
    relabelled(truth, training + validation)
    settings = FitSettings(max_iterations=60, threads=1, start="random", tolerance=1e-3, method="levenberg-marquardt")
    result = fit(tiny(1), training, settings=settings)
    forces = [result.potential.evaluate(a).forces - a.calc.results["forces"] for a in validation]
    assert np.sqrt(np.mean(np.square(forces))) < 5e-3


def test_steps_lower_the_objective_and_the_linear_parameters_are_at_their_minimum(potential, training):
    objective = Objective(Loss(potential, make_samples(potential, training)), ridge(potential, 1e-8))
    x = objective.solved(random_start(potential, 0))
    start = Point(x, *objective.value_and_gradient(x))
    points = [point for point, _ in levenberg_marquardt(objective, start, 5)]
    assert np.all(np.diff([start.value, *(point.value for point in points)]) < 0)
    assert points[-1].value < 0.1 * start.value
    last = points[-1].x
    np.testing.assert_allclose(solve_linear(objective.loss, last, objective.prior), last, rtol=1e-4, atol=1e-6)


def test_the_number_of_threads_changes_no_bit(potential, training):
    def fitted(threads, blas, method):
        settings = FitSettings(max_iterations=6, threads=threads, start="random", method=method)
        with threadpool_limits(limits=blas, user_api="blas"):
            return fit(potential, training, settings=settings)

    for method in ("levenberg-marquardt", "metric-bfgs"):
        one, other = fitted(1, 1, method), fitted(3, 4, method)
        np.testing.assert_array_equal(one.potential.parameters, other.potential.parameters)
        assert (one.threads, other.threads) == (1, 3) and other.document()["threads"] == 3


def test_blas_works_on_one_thread_inside():
    with threadpool_limits(limits=4, user_api="blas"):
        with one_blas_thread():
            assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
        outside = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    assert outside == {4}


def test_results_come_in_the_order_of_the_parts():
    parts = list(range(20))
    for count in (1, 2, 5, 40):
        assert list(in_order(lambda k: k * k, parts, count)) == [k * k for k in parts]


def test_the_parameters_kept_did_best_on_the_validation_set(potential, training, validation):
    told = []

    def look(progress):
        told.append(progress.loss)

    for atoms in validation:  # labels that contradict the training set: no step to its minimum pleases them for long
        atoms.calc.results["forces"] = -atoms.calc.results["forces"]
    settings = FitSettings(max_iterations=12, threads=1, tolerance=0.0, shakes=0)
    free = fit(potential, training, settings=settings)
    held = fit(potential, training, validation=validation, settings=settings, progress=look)
    loss = Loss(potential, make_samples(potential, validation))
    mine, other = (loss.per_configuration(x.potential.parameters).sum() for x in (held, free))
    assert held.validation_loss == pytest.approx(mine) and mine < other
    assert held.loss > min(told) and "which did best on the validation set" in held.message
    assert free.validation_loss is None


def test_fewer_numbers_than_parameters_are_told(potential, training):
    few = fit(potential, training[:2], settings=FitSettings(max_iterations=1, threads=1))
    (said,) = [text for text in few.warnings if "fewer than" in text]
    numbers = sum(1 + 3 * len(a) + 6 + len(a) for a in training[:2])
    assert f"{numbers} numbers" in said and f"{potential.n_parameters} parameters" in said
    many = fit(potential, training, settings=FitSettings(max_iterations=1, threads=1))
    assert not any("fewer than" in text for text in many.warnings)


def test_a_prior_makes_coefficients_smaller(potential, training):
    radial = potential.parameter_slices["radial"]
    sizes = []
    for strength in (0.0, 1e-4):
        settings = FitSettings(max_iterations=12, threads=1, start="random", prior=strength)
        result = fit(potential, training, settings=settings)
        sizes.append(np.linalg.norm(result.potential.parameters[radial]))
        assert result.prior == strength
    assert sizes[1] < 0.5 * sizes[0]


def test_large_sets_are_fitted_in_an_estimated_metric(potential, training):
    settings = FitSettings(max_iterations=2, threads=1, rows_per_parameter=0.1)
    assert fit(potential, training, settings=settings).method == "metric-bfgs"


def test_settings_of_the_search_are_checked():
    for bad in ({"prior": -1.0}, {"prior": np.inf}, {"shakes": -1}, {"shake_size": 0.0}, {"rows_per_parameter": 0.0}):
        with pytest.raises(InputError):
            FitSettings(**bad)
