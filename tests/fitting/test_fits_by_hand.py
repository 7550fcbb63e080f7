"""The minimisation, fits and their checkpoints, by what can be worked out."""

from __future__ import annotations

import numpy as np
import pytest

from mmtp_fw.errors import FitError, InputError
from mmtp_fw.fitting import (
    FitSettings,
    Weights,
    check_stability,
    find_suspects,
    fit,
    loss_and_gradient,
    random_start,
)
from mmtp_fw.fitting.checkpoint import Checkpoint, problem_digest, read_checkpoint
from mmtp_fw.fitting.linear import linear_count, solve_linear
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.metric import damped_inverse, gauss_newton_matrix
from mmtp_fw.fitting.minimise import Point, bfgs
from mmtp_fw.fitting.samples import make_samples
from mmtp_fw.potential import Potential
from tests.fitting.conftest import QUICK, copies

# The minimisation -------------------------------------------------------------------------------------------------


def test_in_the_exact_metric_one_step_is_enough():
    matrix = np.array([[4.0, 1.0], [1.0, 3.0]])
    centre = np.array([1.0, -2.0])

    def parabola(x):
        return float(0.5 * (x - centre) @ matrix @ (x - centre)) + 7.0, matrix @ (x - centre)

    start = Point(np.zeros(2), *parabola(np.zeros(2)))
    points = list(bfgs(parabola, start, np.linalg.inv(matrix), 5))
    np.testing.assert_allclose(points[0][0].x, centre, atol=1e-12)
    assert points[0][0].value == pytest.approx(7.0) and points[0][1] == pytest.approx(0.0, abs=1e-20)
    assert len(points) <= 2, "no step lowers the value any more"
    (point, decrement) = next(bfgs(parabola, start, 0.1 * np.eye(2), 1))
    assert decrement > 0 and point.value < start.value
    assert len(list(bfgs(parabola, start, 0.1 * np.eye(2), 1))) == 1
    flat = Point(centre, *parabola(centre))
    assert list(bfgs(parabola, flat, np.eye(2), 5)) == []


def test_updates_fulfil_the_secant_condition():
    """In n exact-enough steps BFGS has the inverse Hessian of a parabola: the predicted decrement is exact."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    matrix = root @ root.T + np.eye(4)

    def parabola(x):
        return float(0.5 * x @ matrix @ x), matrix @ x

    x = rng.normal(size=4)
    found = list(bfgs(parabola, Point(x, *parabola(x)), np.eye(4), 60))
    assert found[-1][0].value < 1e-18
    late = [(point.value, decrement) for point, decrement in found if point.value > 1e-12][-1]
    assert late[1] == pytest.approx(late[0], rel=0.2), "½ gᵀHg is what is left of the value"


def test_a_wall_of_nan_is_stepped_back_from():
    def walled(x):
        if x[0] < 0.5:
            return float("nan"), np.full(1, np.nan)
        return float((x[0] - 0.6) ** 2), 2 * (x - 0.6)

    x = np.array([2.0])
    values = [point.value for point, _ in bfgs(walled, Point(x, *walled(x)), np.eye(1), 50)]
    assert values and values[-1] < 1e-10 and np.all(np.diff(values) <= 0)


def test_the_damped_inverse_by_hand():
    matrix = np.array([[4.0, 1.0], [1.0, 2.0]])
    np.testing.assert_allclose(
        damped_inverse(matrix, 0.1), np.linalg.inv(matrix + 0.1 * np.diag([4.0, 2.0])), rtol=1e-12
    )
    null = damped_inverse(np.diag([1.0, 0.0]), 0.5)
    assert null[0, 0] == pytest.approx(1 / 1.5) and np.isfinite(null).all() and null[0, 1] == 0.0


def test_energies_alone_give_the_gauss_newton_matrix_exactly(small, cells):
    made = cells[:3]
    loss = Loss(small, make_samples(small, made, Weights(2.0, 0, 0, 0)))
    found = gauss_newton_matrix(loss, small.parameters, np.random.default_rng(0))
    rows = [small.energy_parameter_gradient(atoms, moments=atoms.calc.results["magmoms"]) for atoms in made]
    expected = sum(2 * 2.0 / len(atoms) * np.outer(row, row) for atoms, row in zip(made, rows, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


def test_each_term_has_its_probes(small, cells):
    """The mean over many probes is the exact matrix of each quantity alone, along a direction."""
    made = cells[:1]
    direction = np.random.default_rng(3).normal(size=small.n_parameters)
    for weights in (Weights(0, 1, 0, 0), Weights(0, 0, 1, 0), Weights(0, 0, 0, 1)):
        loss = Loss(small, make_samples(small, made, weights))
        probes = 600 / small.n_parameters
        found = gauss_newton_matrix(loss, small.parameters, np.random.default_rng(1), probes)
        step, slopes = 1e-4, []
        for sign in (1, -1):
            moved = small.copy()
            moved.parameters = small.parameters + sign * step * direction
            slopes.append(moved.evaluate(made[0]))
        up, down = slopes
        n, volume = len(made[0]), made[0].get_volume()
        change = {
            "forces": (up.forces - down.forces).ravel(),
            "magnetic": up.magnetic_forces - down.magnetic_forces,
            "stress": volume * (up.stress - down.stress) * np.sqrt([1, 1, 1, 2, 2, 2]) / np.sqrt(n),
        }[
            {1: "forces", 2: "stress", 3: "magnetic"}[
                [weights.energy, weights.forces, weights.stress, weights.magnetic_forces].index(1)
            ]
        ]
        exact = 2 * float(np.sum((change / (2 * step)) ** 2))
        assert direction @ found @ direction == pytest.approx(exact, rel=0.25)


def test_the_linear_solution_is_that_of_least_squares(small, cells):
    """Energies alone, divided by √n: ξ and s by numpy's least squares give the same loss."""
    made = cells[:8]
    loss = Loss(small, make_samples(small, made, Weights(1.0, 0, 0, 0)))
    solved = solve_linear(loss, small.parameters)
    count = linear_count(small)
    rows, energies = [], []
    for atoms in made:
        row = small.energy_parameter_gradient(atoms, moments=atoms.calc.results["magmoms"])[:count]
        rows.append(row / np.sqrt(len(atoms)))
        energies.append(atoms.calc.results["energy"] / np.sqrt(len(atoms)))
    residuals = np.array(rows) @ np.linalg.lstsq(np.array(rows), np.array(energies), rcond=1e-10)[0] - energies
    assert loss.value_and_gradient(solved)[0] == pytest.approx(residuals @ residuals, rel=1e-3, abs=1e-9)
    np.testing.assert_array_equal(solved[count:], small.parameters[count:])
    again = solve_linear(loss, solved)
    assert loss.value_and_gradient(again)[0] <= loss.value_and_gradient(solved)[0]


def test_calls_and_shares_of_a_loss(small, cells):
    made = cells[:5]
    loss = Loss(small, make_samples(small, made), threads=2)
    assert loss.calls == 0
    value, _ = loss.value_and_gradient(small.parameters)
    loss.value_and_gradient(small.parameters)
    assert loss.calls == 2
    shares = loss.per_configuration(small.parameters)
    alone = [loss_and_gradient(small, [atoms])[0] for atoms in made]
    np.testing.assert_allclose(shares, alone, rtol=1e-9)
    assert shares.sum() == pytest.approx(value)


# Fits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "factor", "expected"),
    [
        ([1.0] * 9 + [99.0], 30.0, [9]),
        ([1.0] * 8 + [99.0], 30.0, []),
        ([1.0] * 9 + [30.0], 30.0, []),
        ([1.0] * 9 + [30.1], 30.0, [9]),
        ([50.0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 80.0, 60.0], 30.0, [10, 11, 0]),
        ([0.0] * 11 + [1.0], 30.0, [11]),
        ([2.0] * 6 + [1.0] * 4 + [29.0], 10.0, [10]),
    ],
)
def test_suspects_are_far_from_the_median(losses, factor, expected):
    assert find_suspects(np.array(losses), factor) == expected


def test_random_starts_are_of_radial_coefficients_alone(small):
    one, two, other = (random_start(small, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    radial = small.parameter_slices["radial"]
    assert not np.any(one[: radial.start]) and np.all(one[radial] != other[radial])
    width = (4.5 - 1.9) ** 2 * np.sqrt(5) * 2 * small.scaling
    assert one[radial].std() * width == pytest.approx(1.0, rel=0.2)


def test_a_given_start_is_followed_and_a_random_one_never_looks(small, cells):
    made = cells[:4]
    other = small.copy()
    other.parameters = small.parameters * 1.7
    random = FitSettings(max_iterations=3, threads=1, start="random", seed=5)
    one, two = (fit(form, made, settings=random) for form in (small, other))
    np.testing.assert_array_equal(one.potential.parameters, two.potential.parameters)
    assert one.decision == "best of 1 random start"
    elsewhere = fit(small, made, settings=FitSettings(max_iterations=3, threads=1, start="random", seed=6))
    assert not np.allclose(elsewhere.potential.parameters, one.potential.parameters)
    given = fit(
        small, made, settings=FitSettings(max_iterations=3, threads=1, start="given", fallback_factor=1e-9, starts=4)
    )
    assert "random" not in given.decision and "from the given parameters" in given.decision


def test_a_trained_parent_needs_no_random_starts_and_a_fresh_one_has_them(small, cells):
    made = cells[:4]
    settings = FitSettings(max_iterations=8, threads=1, starts=2)
    fresh = fit(small, made, settings=settings)
    assert "best of 2 random starts" in fresh.decision
    again = fit(fresh.potential, made, settings=settings)
    assert "random start" not in again.decision and again.decision.startswith("from the given parameters")
    alone = fit(small, made, settings=FitSettings(max_iterations=8, threads=1))
    assert alone.decision == "best of 1 random start", "parameters that know nothing are no start"


def test_history_iterations_and_limits(small, cells):
    told, before = [], small.parameters.copy()
    settings = FitSettings(max_iterations=7, threads=1, start="given", tolerance=0.0)
    result = fit(small, cells[:4], settings=settings, progress=told.append)
    assert result.iterations == 7 and not result.converged
    assert [k for k, _ in result.history] == list(range(8))
    assert [p.iteration for p in told] == list(range(8)) and {p.max_iterations for p in told} == {7}
    assert {p.stage for p in told} == {"given start"}
    assert [p.loss for p in told] == [loss for _, loss in result.history]
    assert result.message.startswith("stopped at max_iterations after 7 iterations, loss ")
    np.testing.assert_array_equal(small.parameters, before), "the given potential is not changed"
    assert result.validation_errors == {} and result.suspects == result.left_out == []
    assert result.wall_seconds > 0 and result.gradient_calls >= 8
    assert len(result.loss_by_configuration) == 4


def test_random_starts_are_tried_for_a_quarter_and_the_best_goes_on(small, cells):
    told = []
    settings = FitSettings(max_iterations=8, threads=1, start="random", starts=3, tolerance=0.0)
    result = fit(small, cells[:3], settings=settings, progress=told.append)
    stages = [p.stage for p in told]
    assert list(dict.fromkeys(stages)) == [*(f"random start {k}/3" for k in (1, 2, 3)), "refine"]
    limits = {p.stage: p.max_iterations for p in told}
    assert limits["random start 1/3"] == 2 and limits["refine"] == 6
    ends = {stage: [p.loss for p in told if p.stage == stage][-1] for stage in limits}
    best = min(ends[f"random start {k}/3"] for k in (1, 2, 3))
    assert next(p.loss for p in told if p.stage == "refine") == pytest.approx(best)
    assert result.iterations == 12 and result.history[-1][1] == pytest.approx(ends["refine"])
    assert len(result.history) == 3 + 7, "the way that led to the result"


def test_a_fit_converges_where_nothing_is_gained(small, cells):
    settings = FitSettings(max_iterations=400, threads=1, start="given", tolerance=0.99, metric_interval=2)
    result = fit(small, cells[:2], settings=settings)
    assert result.converged and result.iterations < 400
    assert result.message.startswith("converged after ")


def test_findings_may_be_allowed(small, cells):
    made = copies(cells, 4)
    made[1].arrays["magnetic_forces"][0] = 150.0
    with pytest.raises(InputError, match="configuration 1"):
        fit(small, made, settings=QUICK)
    result = fit(small, made, settings=FitSettings(max_iterations=1, threads=1, allow_findings=True))
    assert np.isfinite(result.loss)


def test_a_loss_that_is_not_finite(small, cells):
    made = copies(cells, 2)
    made[0].calc.results["energy"] = np.nan
    with pytest.raises(FitError, match="not finite"):
        fit(small, made, settings=FitSettings(max_iterations=1, threads=1, allow_findings=True))


# Checkpoints ------------------------------------------------------------------------------------------------------


def test_checkpoints_come_back_or_are_refused(tmp_path):
    path = tmp_path / "fit.checkpoint"
    assert read_checkpoint(path, "p") is None
    Checkpoint("p", np.array([1.0, 2.0]), 7, np.array([[0, 3.0], [7, 1.0]])).write(path)
    back = read_checkpoint(path, "p")
    assert (back.problem, back.iteration) == ("p", 7)
    np.testing.assert_array_equal(back.parameters, [1, 2])
    np.testing.assert_array_equal(back.history, [[0, 3], [7, 1]])
    assert [item.name for item in tmp_path.iterdir()] == ["fit.checkpoint"]
    with pytest.raises(InputError, match="another potential, training set or weights"):
        read_checkpoint(path, "q")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="not a checkpoint"):
        read_checkpoint(path, "p")


def test_checkpoints_are_written_every_so_many_steps(small, cells, tmp_path):
    path = tmp_path / "fit.checkpoint"
    seen = []

    def look(progress):
        seen.append((progress.iteration, path.exists()))

    settings = FitSettings(
        max_iterations=4, threads=1, start="given", tolerance=0.0, checkpoint=path, checkpoint_interval=3
    )
    result = fit(small, cells[:3], settings=settings, progress=look)
    assert seen == [(0, False), (1, False), (2, False), (3, True), (4, True)]
    problem = problem_digest(small, make_samples(small, cells[:3], Weights()))
    back = read_checkpoint(path, problem)
    assert back.iteration == 4, "and at the end"
    np.testing.assert_array_equal(back.parameters, result.potential.parameters)


def test_a_problem_is_its_form_its_labels_and_its_weights(small, cells):
    def digest(potential=small, made=cells[:2], weights=None):
        return problem_digest(potential, make_samples(potential, made, weights))

    first = digest()
    assert first == digest(small.copy())
    moved = small.copy()
    moved.parameters = small.parameters * 2
    assert first == digest(moved), "not the parameters: they are what is looked for"
    others = [digest(weights=Weights(forces=0.02)), digest(made=cells[:3]), digest(made=cells[1::-1])]
    for key, delta in (("energy", 1.0), ("forces", 0.1), ("stress", 0.1), ("magmoms", 0.1)):
        made = copies(cells, 2)
        made[0].calc.results[key] = made[0].calc.results[key] + delta
        others.append(digest(made=made))
    made = copies(cells, 2)
    made[1].arrays["magnetic_forces"] += 0.1
    others.append(digest(made=made))
    made = copies(cells, 2)
    made[1].positions[0] += 0.01
    others.append(digest(made=made))
    made = copies(cells, 2)
    made[1].set_chemical_symbols(list(reversed(made[1].get_chemical_symbols())))
    others.append(digest(made=made))
    for form in ({"r_min": 1.8}, {"r_cut": 4.4}, {"max_moment": 4.5}, {"symmetrized": False}):
        options = {"r_min": 1.9, "r_cut": 4.5, "radial_size": 5, "magnetic_size": 2, "seed": 3} | form
        others.append(digest(Potential.from_level(6, ["Fe", "Pd"], **options)))
    assert len({first, *others}) == len(others) + 1


# Stability --------------------------------------------------------------------------------------------------------


def test_the_closest_pairs_are_those_of_the_cells(small, cells):
    found = check_stability(small, cells)
    shortest = dict.fromkeys(("Fe-Fe", "Fe-Pd", "Pd-Pd"), np.inf)
    for atoms in cells:
        distances = atoms.get_all_distances(mic=True)
        for i in range(len(atoms)):
            for j in range(i):
                name = "-".join(sorted((atoms.symbols[i], atoms.symbols[j])))
                shortest[name] = min(shortest[name], distances[i, j])
    assert found.shortest == pytest.approx({k: v for k, v in shortest.items() if v < 4.5})
    assert set(found.holes) <= set(found.shortest) and found.stable == (not found.holes)
