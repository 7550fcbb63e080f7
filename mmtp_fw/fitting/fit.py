"""Fit a potential to labelled configurations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import FitError
from mmtp_fw.fitting.checkpoint import Checkpoint, problem_digest, read_checkpoint
from mmtp_fw.fitting.linear import solve_linear
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.metric import damped_inverse, gauss_newton_matrix
from mmtp_fw.fitting.minimise import Point, bfgs
from mmtp_fw.fitting.samples import Sample, called, make_samples, name_of
from mmtp_fw.fitting.settings import FitResult, FitSettings, Progress
from mmtp_fw.fitting.stability import check_stability
from mmtp_fw.fitting.statistics import errors_of
from mmtp_fw.fitting.validate import Report, check_training_set
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Potential, Systems, TrainedRange

Callback = Callable[[Progress], None]

_WINDOW = 50
_TRIAL_FRACTION = 0.25


def fit(
    potential: Potential,
    configurations: Sequence[Atoms],
    weights: Weights | None = None,
    validation: Sequence[Atoms] | None = None,
    settings: FitSettings | None = None,
    progress: Callback | None = None,
    report: Report | None = None,
    systems: Systems | None = None,
) -> FitResult:
    """Fit all parameters of a potential to labelled configurations.

    The linear parameters are solved for exactly, then all are minimised together by BFGS in a Gauss-Newton
    metric; gauge modes have no effect and are damped. A potential that was trained before is a warm start:
    the fit goes on from it, and only when the configurations that it described well come out worse (see
    `FitSettings.start`) random starts are tried as well, and the better result is taken.

    Parameters
    ----------
    potential : Potential
        Form and start; it is not changed. Fresh from `Potential.from_level` its random parameters are the
        first random start.
    configurations : sequence of Atoms
        The training set.
    weights : Weights, optional
    validation : sequence of Atoms, optional
        Labelled configurations that only errors are computed on.
    settings : FitSettings, optional
    progress : callable, optional
        Called with `Progress` after each step.
    report : Report, optional
        Of `check_training_set` for these configurations and weights, where it was made already.
    systems : Systems, optional
        Where others look at the same configurations: every neighbour list is made once.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError
        A training set that can't be used: one message, naming the configuration.
    FitError
        A loss that isn't finite at any start.
    KeyboardInterrupt
        After the checkpoint, where one is asked for, has been written.
    """
    weights = Weights() if weights is None else weights
    systems = Systems(potential) if systems is None else systems.serving(potential)
    work = _Work(settings or FitSettings(), configurations, systems, time.perf_counter())
    work.check(potential, weights, report)
    samples = make_samples(potential, configurations, weights, systems)
    held_out = make_samples(potential, validation, systems=systems) if validation else []
    return work.done(*work.search(potential, samples, progress), samples, held_out)


def fit_ensemble(
    potential: Potential,
    configurations: Sequence[Atoms],
    count: int = 5,
    weights: Weights | None = None,
    validation: Sequence[Atoms] | None = None,
    settings: FitSettings | None = None,
    progress: Callback | None = None,
) -> list[FitResult]:
    """Fit the same form from `count` different random starts: their spread is an uncertainty; see `fit`."""
    settings = FitSettings() if settings is None else settings
    weights = Weights() if weights is None else weights
    systems = Systems(potential)
    report = check_training_set(potential, configurations, weights, systems)
    return [
        fit(
            potential,
            configurations,
            weights,
            validation,
            replace(settings, start="random", starts=1, seed=settings.seed + 1000 * member, checkpoint=None),
            progress,
            report,
            systems,
        )
        for member in range(count)
    ]


def random_start(potential: Potential, seed: int) -> FloatArray:
    """Return parameters (p,) to start from: random radial coefficients, of every parity, ξ and s zero."""
    parameters = np.zeros(potential.n_parameters)
    radial = potential.parameter_slices["radial"]
    size = max(1, potential.magnetic_size)
    width = (potential.r_cut - potential.r_min) ** 2 * np.sqrt(potential.radial_size) * size * potential.scaling
    rng = np.random.default_rng([seed, 77])
    parameters[radial] = rng.normal(size=radial.stop - radial.start) / width
    return parameters


def find_suspects(losses: FloatArray, factor: float) -> list[int]:
    """Return indices of losses, shape (K,), beyond `factor` times the median, the largest first."""
    if len(losses) < 10:
        return []
    usual = np.median(losses)
    return [int(k) for k in np.argsort(-losses) if losses[k] > factor * max(usual, 1e-300)]


@dataclass
class _Work:
    """What happens around a search: checks before, suspects and warnings after."""

    settings: FitSettings
    configurations: Sequence[Atoms]
    systems: Systems
    began: float
    warnings: list[str] = field(default_factory=list)

    def check(self, potential: Potential, weights: Weights, report: Report | None) -> None:
        """Refuse what can't be fitted; `report` is the check, where it was made already."""
        if report is None:
            report = check_training_set(potential, self.configurations, weights, self.systems)
        if not self.settings.allow_findings:
            report.raise_first()
        self.warnings += report.warnings

    def search(
        self, potential: Potential, samples: list[Sample], progress: Callback | None
    ) -> tuple[_Fit, list[int], list[int]]:
        """Search, and again without the suspects where that is asked for; return them, and those left out."""
        run = _Fit(potential, samples, self.settings, progress)
        run.search()
        suspects = find_suspects(run.best_losses(), self.settings.suspect_factor)
        if not suspects or not self.settings.leave_out_suspects:
            return run, suspects, []
        found, kept = run, [sample for k, sample in enumerate(samples) if k not in set(suspects)]
        run = _Fit(found.potential, kept, replace(self.settings, start="given", checkpoint=None), progress)
        run.search()
        run.iterations += found.iterations
        run.decision = f"{found.decision}; then without {len(suspects)} suspect labels"
        return run, suspects, suspects

    def done(
        self, run: _Fit, suspects: list[int], left_out: list[int], samples: list[Sample], held_out: list[Sample]
    ) -> FitResult:
        """Return the result, with errors and warnings."""
        fitted = run.potential
        for k in suspects:
            self.warnings.append(f"{called(k, name_of(self.configurations[k]))}: fits much worse than the rest")
        training = [atoms for k, atoms in enumerate(self.configurations) if k not in set(left_out)]
        fitted.trained = TrainedRange.of(fitted, training, self.systems.of)
        self.warnings += check_stability(fitted, training, systems=self.systems).messages
        state = "converged" if run.converged else "stopped at max_iterations"
        return FitResult(
            potential=fitted,
            loss=run.point.value,
            converged=run.converged,
            iterations=run.iterations,
            history=run.history,
            errors=errors_of(fitted, [sample for k, sample in enumerate(samples) if k not in set(left_out)]),
            validation_errors=errors_of(fitted, held_out),
            wall_seconds=time.perf_counter() - self.began,
            message=f"{state} after {run.iterations} iterations, loss {run.point.value:.6g}; {run.decision}",
            decision=run.decision,
            loss_by_configuration=[float(value) for value in run.best_losses()],
            suspects=suspects,
            left_out=left_out,
            warnings=self.warnings,
            gradient_calls=run.calls,
        )


class _Fit:
    """One search for the minimum: starts, steps, checkpoints."""

    def __init__(
        self, potential: Potential, samples: list[Sample], settings: FitSettings, progress: Callback | None
    ) -> None:
        self._form, self._samples, self._settings, self._progress = potential, samples, settings, progress
        self._rng = np.random.default_rng([settings.seed, 1])
        self._path = Path(settings.checkpoint) if settings.checkpoint else None
        self._problem = problem_digest(potential, samples) if self._path else ""
        self._began = time.perf_counter()
        self.iterations, self.calls = 0, 0
        self.history: list[tuple[int, float]] = []
        self.converged, self.decision = False, ""
        self.point: Point
        self._losses: FloatArray | None = None

    @property
    def potential(self) -> Potential:
        """The potential at the best point."""
        best = self._form.copy()
        best.parameters = self.point.x
        return best

    def best_losses(self) -> FloatArray:
        """Each configuration's loss at the best point, shape (K,)."""
        if self._losses is None:
            loss = Loss(self._form, self._samples)
            self._losses = loss.per_configuration(self.point.x)
        return self._losses

    def search(self) -> None:
        """Find the minimum, from the checkpoint, the given parameters or random ones."""
        loss = Loss(self._form, self._samples, self._settings.thread_count)
        saved = read_checkpoint(self._path, self._problem) if self._path else None
        if saved is not None:
            self.iterations = saved.iteration
            self.history = [(int(k), float(value)) for k, value in saved.history]
            self.decision = f"continued from iteration {saved.iteration} of {self._path}"
            self.point = self._descend(loss, self._at(loss, saved.parameters), "continue", 1.0)
        elif self._settings.start == "random":
            self._cold(loss, [])
        else:
            self._warm(loss)
        self.calls = loss.calls
        if not np.isfinite(self.point.value):
            raise FitError("the loss is not finite at any start", "check r_min, the moments and the weights")

    def _warm(self, loss: Loss) -> None:
        given = self._form.parameters
        before = loss.per_configuration(given)
        start = self._at(loss, solve_linear(loss, given))
        self.point = self._descend(loss, start, "given start", 1.0)
        after = loss.per_configuration(self.point.x)
        # What the given potential knew already: new configurations must not count against it.
        known = before <= np.quantile(before, 0.5)
        worse = float(after[known].sum()) / max(float(before[known].sum()), 1e-300)
        self.decision = f"from the given parameters (known configurations: loss changed by a factor {worse:.3g})"
        if self._settings.start == "auto":
            fresh = worse < 0.05
            if worse > self._settings.fallback_factor or (fresh and self._settings.starts > 1):
                self._cold(loss, [self.point])

    def _cold(self, loss: Loss, others: list[Point]) -> None:
        """Follow random starts for a while, the best to its end; `others` are ends that compete."""
        settings = self._settings
        count = max(1, settings.starts - len(others))
        fraction = 1.0 if count == 1 else _TRIAL_FRACTION
        trials = []
        history, converged = self.history, self.converged
        for number in range(count):
            self.history = []
            x = solve_linear(loss, random_start(self._form, settings.seed + number))
            point = self._descend(loss, self._at(loss, x), f"random start {number + 1}/{count}", fraction)
            trials.append((point, self.history, self.converged))
        best, self.history, self.converged = min(trials, key=lambda trial: trial[0].value)
        if fraction < 1.0:
            best = self._descend(loss, best, "refine", 1.0 - fraction)
        text = f"best of {count} random start{'s' if count > 1 else ''}"
        better = min(others, key=lambda point: point.value, default=None)
        if better is not None and better.value <= best.value:
            self.history, self.converged = history, converged
            text = f"{self.decision}; kept, {text} is no better ({best.value:.4g} against {better.value:.4g})"
            best = better
        elif better is not None:
            text = f"cold start: {text}, {best.value:.4g} against {better.value:.4g} from the given parameters"
        self.point, self.decision = best, text

    def _at(self, loss: Loss, x: FloatArray) -> Point:
        return Point(x, *loss.value_and_gradient(x))

    def _descend(self, loss: Loss, start: Point, stage: str, fraction: float) -> Point:
        """Minimise from a point; a metric holds for some steps, then comes a new one."""
        settings = self._settings
        limit = max(1, round(settings.max_iterations * fraction))
        point, done = start, 0
        values = [start.value]
        self.converged = False
        self._note(stage, point, limit, 0)
        try:
            while done < limit and np.isfinite(point.value):
                interval = limit if settings.method == "bfgs" else settings.metric_interval
                steps = 0
                for following, _ in bfgs(
                    loss.value_and_gradient, point, self._metric(loss, point), min(interval, limit - done)
                ):
                    point = following
                    steps += 1
                    values.append(point.value)
                    self._note(stage, point, limit, done + steps)
                    if self._settled(values):
                        self.converged = True
                        return point
                done += steps
                if steps == 0:
                    # No step lowers the loss in a fresh metric: the minimum within rounding.
                    self.converged = True
                    break
        except BaseException:  # Ctrl-C, or whatever the caller of `progress` ends it with
            self._save(point)
            raise
        self._save(point)
        return point

    def _settled(self, values: list[float]) -> bool:
        """Return whether the last steps have gained nothing to speak of."""
        if values[-1] < 1e-14:
            return True
        window = max(_WINDOW, self._settings.metric_interval)
        if len(values) <= window:
            return False
        return values[-1 - window] - values[-1] < self._settings.tolerance * values[-1 - window]

    def _metric(self, loss: Loss, point: Point) -> FloatArray:
        if self._settings.method == "bfgs":
            return np.eye(len(point.x)) / max(1.0, float(np.linalg.norm(point.gradient)))
        matrix = gauss_newton_matrix(loss, point.x, self._rng, self._settings.probes_per_parameter)
        return damped_inverse(matrix, self._settings.damping)

    def _note(self, stage: str, point: Point, limit: int, step: int) -> None:
        if step > 0:
            self.iterations += 1
        self.history.append((self.iterations, point.value))
        if step > 0 and step % self._settings.checkpoint_interval == 0:
            self._save(point)
        if self._progress is not None:
            wall = time.perf_counter() - self._began
            self._progress(Progress(stage, step, limit, point.value, wall))

    def _save(self, point: Point) -> None:
        if self._path is not None:
            history = np.array(self.history, dtype=np.float64).reshape(-1, 2)
            Checkpoint(self._problem, point.x, self.iterations, history).write(self._path)
