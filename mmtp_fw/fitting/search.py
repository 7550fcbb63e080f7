"""One search for the minimum: starts, steps, what validation says of them, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import FitError
from mmtp_fw.fitting.checkpoint import Checkpoint, problem_digest, read_checkpoint
from mmtp_fw.fitting.levenberg import FIRST_DAMPING, levenberg_marquardt
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.metric import damped_inverse
from mmtp_fw.fitting.minimise import Point, bfgs
from mmtp_fw.fitting.objective import Objective, radial_width, ridge
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.fitting.settings import FitSettings, Progress
from mmtp_fw.potential import Potential

Callback = Callable[[Progress], None]

# Steps over which a gain is looked for: those of BFGS are small, those of Levenberg-Marquardt are not.
_WINDOW, _LEVENBERG_WINDOW = 50, 8
_TRIAL_FRACTION, _LEVENBERG_TRIAL = 0.25, 8
# A start lies in a plain when its loss has not fallen by this fraction over a window; so many steps a shake needs.
_PLAIN, _SHAKE_STEPS = 0.35, 12
_NOTHING = 1e-14  # a loss of exact labels within rounding


def random_start(potential: Potential, seed: int) -> FloatArray:
    """Return parameters (p,) to start from: random radial coefficients, of every parity, ξ and s zero."""
    parameters = np.zeros(potential.n_parameters)
    radial = potential.parameter_slices["radial"]
    rng = np.random.default_rng([seed, 77])
    parameters[radial] = radial_width(potential) * rng.normal(size=radial.stop - radial.start)
    return parameters


@dataclass
class Trail:
    """A way down, and the place on it that is kept.

    Attributes
    ----------
    point : Point
        The last place; with a validation set, the one that did best on it.
    validation : float
        Loss of the validation set there; infinite without one.
    history : list of (int, float)
        Iteration and objective up to there.
    converged : bool
    record : ndarray, shape (validation configurations,), optional
        Their losses at the lowest sum so far.
    """

    point: Point
    validation: float
    history: list[tuple[int, float]]
    converged: bool = False
    record: FloatArray | None = None

    @property
    def merit(self) -> float:
        """What trails are compared by."""
        return self.validation if np.isfinite(self.validation) else self.point.value


def _worse(losses: FloatArray, record: FloatArray) -> bool:
    """Return whether losses, shape (K,), exceed the record by more than the standard error: few labels judge little."""
    if len(losses) < 2 or not np.all(np.isfinite(record)):
        return False
    difference = losses - record
    if not np.all(np.isfinite(difference)):
        return True
    return bool(difference.mean() > difference.std(ddof=1) / np.sqrt(len(difference)))


class Search:
    """A search for the minimum.

    Parameters
    ----------
    potential : Potential
        Form, and start where one is given.
    samples : list of Sample
    held_out : list of Sample
        The validation set; empty: none.
    settings : FitSettings
    progress : callable, optional

    Attributes
    ----------
    trail : Trail
        After `run`: what was found.
    iterations, calls : int
    decision : str
        Which start was taken and why.
    method : str
        How it was minimised.
    """

    trail: Trail

    def __init__(
        self,
        potential: Potential,
        samples: list[Sample],
        held_out: list[Sample],
        settings: FitSettings,
        progress: Callback | None,
    ) -> None:
        self._form, self._samples, self._settings, self._progress = potential, samples, settings, progress
        self._rng = np.random.default_rng([settings.seed, 1])
        self._path = Path(settings.checkpoint) if settings.checkpoint else None
        self._problem = problem_digest(potential, [*samples, *held_out]) if self._path else ""
        self._began = time.perf_counter()
        self._loss = Loss(potential, samples, settings.thread_count)
        self._held_out = Loss(potential, held_out, settings.thread_count) if held_out else None
        self._objective = Objective(self._loss, ridge(potential, settings.prior))
        self._history: list[tuple[int, float]] = []
        self._damping = FIRST_DAMPING
        self.iterations, self.decision = 0, ""
        self.method = settings.method
        if self.method == "auto":
            rows = sum(sample.numbers for sample in samples)
            few = rows <= settings.rows_per_parameter * potential.n_parameters
            self.method = "levenberg-marquardt" if few else "metric-bfgs"

    @property
    def potential(self) -> Potential:
        """The potential that was found."""
        best = self._form.copy()
        best.parameters = self.trail.point.x
        return best

    @property
    def calls(self) -> int:
        """Gradients of the loss."""
        return self._loss.calls

    def losses(self) -> FloatArray:
        """Each configuration's loss at what was found, shape (K,)."""
        return self._loss.per_configuration(self.trail.point.x)

    def run(self) -> None:
        """Find the minimum, from the checkpoint, the given parameters or random ones."""
        saved = read_checkpoint(self._path, self._problem) if self._path else None
        if saved is not None:
            self.trail = self._resume(saved)
        elif self._settings.start == "random":
            self._cold([])
        else:
            self._warm()
        if not np.isfinite(self.trail.point.value):
            raise FitError("the loss is not finite at any start", "check r_min, the moments and the weights")

    def _resume(self, saved: Checkpoint) -> Trail:
        self.iterations, self._damping = saved.iteration, saved.damping
        self._history = [(int(k), float(value)) for k, value in saved.history]
        self.decision = f"continued from iteration {saved.iteration} of {self._path}"
        kept = None
        if saved.best is not None:
            point = self._at(saved.best)
            kept = self._keep(point, None)
            kept.history = [pair for pair in self._history if pair[1] >= point.value]
        return self._descend(self._at(saved.parameters), "continue", self._settings.max_iterations, kept)

    def _warm(self) -> None:
        settings, given = self._settings, self._form.parameters
        before = self._loss.per_configuration(given)
        if settings.start == "auto" and not float(before.sum()) < self._knowing_nothing():
            self._cold([])
            return
        start = self._at(self._objective.solved(given))
        self.trail = self._descend(start, "given start", settings.max_iterations)
        after = self._loss.per_configuration(self.trail.point.x)
        # What the given potential knew already: new configurations must not count against it.
        known = before <= np.quantile(before, 0.5)
        worse = float(after[known].sum()) / max(float(before[known].sum()), 1e-300)
        self.decision = f"from the given parameters (known configurations: loss changed by a factor {worse:.3g})"
        if settings.start == "auto" and worse > settings.fallback_factor:
            self._cold([self.trail])

    def _knowing_nothing(self) -> float:
        """Return the loss of species' constants alone."""
        return float(self._loss.per_configuration(self._objective.solved(np.zeros(self._form.n_parameters))).sum())

    def _cold(self, others: list[Trail]) -> None:
        """Follow random starts for a while, the best to its end; `others` are ends that compete."""
        settings, before = self._settings, self.iterations
        count = max(1, settings.starts - len(others))
        limit = trial = settings.max_iterations
        levenberg = self.method == "levenberg-marquardt"
        shaking = levenberg and settings.shakes > 0 and limit > 3 * _SHAKE_STEPS
        if count > 1:
            trial = max(1, round(limit * _TRIAL_FRACTION))
            trial = min(trial, _LEVENBERG_TRIAL) if levenberg else trial
        best = self._first(count, trial, shaking)
        if shaking:
            if count > 1:
                best = self._descend(best.point, "best start", limit - trial, best, plain=True)
            best = self._shaken(best, limit - (self.iterations - before) + trial * (count - 1))
        elif limit > trial:
            best = self._descend(best.point, "refine", limit - trial, best)
        text = f"best of {count} random start{'s' if count > 1 else ''}"
        better = min(others, key=lambda trail: trail.merit, default=None)
        if better is not None and better.merit <= best.merit:
            text = f"{self.decision}; kept, {text} is no better ({best.merit:.4g} against {better.merit:.4g})"
            best = better
        elif better is not None:
            text = f"cold start: {text}, {best.merit:.4g} against {better.merit:.4g} from the given parameters"
        self.trail, self.decision = best, text

    def _first(self, count: int, limit: int, plain: bool) -> Trail:
        """Follow `count` random starts and return the best."""
        trails = []
        for number in range(count):
            self._history, self._damping = [], FIRST_DAMPING
            x = self._objective.solved(random_start(self._form, self._settings.seed + number))
            name = f"random start {number + 1}/{count}"
            trails.append((self._descend(self._at(x), name, limit, plain=plain), self._damping))
        best, self._damping = min(trails, key=lambda pair: pair[0].merit)
        self._history = list(best.history)
        return best

    def _shaken(self, best: Trail, left: int) -> Trail:
        """Go down to a plain, try whether there are lower ones beside it, and follow the lowest to the end.

        Minima that are not the lowest are close to lower ones: a change of all radial coefficients by some percent of
        themselves, and steps from there, often end in one.
        """
        settings, radial = self._settings, self._form.parameter_slices["radial"]
        for shake in range(settings.shakes):
            if left < 2 * _SHAKE_STEPS or best.point.value < _NOTHING:
                break
            x = best.point.x.copy()
            x[radial] *= 1.0 + settings.shake_size * self._rng.normal(size=radial.stop - radial.start)
            damping, before = self._damping, self.iterations
            self._history, self._damping = list(best.history), 1e-3
            point = self._at(self._objective.solved(x))
            name = f"shake {shake + 1}/{settings.shakes}"
            tried = self._descend(point, name, left - _SHAKE_STEPS, plain=True)
            left -= self.iterations - before
            if tried.merit < best.merit:
                best = tried
            else:
                self._damping = damping
        self._history = list(best.history)
        return self._descend(best.point, "refine", left, best)

    def _at(self, x: FloatArray) -> Point:
        return Point(x, *self._objective.value_and_gradient(x))

    def _descend(self, start: Point, stage: str, limit: int, kept: Trail | None = None, plain: bool = False) -> Trail:
        """Minimise from a point; what is returned did best on the validation set, `kept` among what competes.

        `plain`: no further than to where it goes down slowly.
        """
        point, values, step = start, [start.value], 0
        converged = ended = False
        idle = 0
        self._count(point, 0)
        kept = self._keep(point, kept)
        self._note(stage, point, limit, 0, kept)
        steps = self._steps(point, limit) if np.isfinite(point.value) else iter(())
        try:
            for following in steps:
                point, step = following, step + 1
                values.append(point.value)
                self._count(point, step)
                kept = self._keep(point, kept)
                self._note(stage, point, limit, step, kept)
                idle = 0 if kept.point is point else idle + 1
                told = idle >= self._window()  # by the validation set: it is no better any more
                if self._settled(values, plain or told):
                    converged = True
                    break
            else:
                # No step lowers the loss in a fresh metric: the minimum within rounding.
                ended = step < limit and np.isfinite(point.value)
        except BaseException:  # Ctrl-C, or whatever the caller of `progress` ends it with
            self._save(point, kept)
            raise
        kept.converged = converged or bool(ended)
        self._save(point, kept)
        return kept

    def _steps(self, point: Point, limit: int) -> Iterator[Point]:
        """Yield points on the way down, at most `limit`."""
        if self.method == "levenberg-marquardt":
            for following, damping in levenberg_marquardt(self._objective, point, limit, self._damping):
                self._damping = damping
                yield following
            return
        done = 0
        while done < limit:
            interval = limit if self.method == "bfgs" else self._settings.metric_interval
            steps = 0
            inverse = self._metric(point)
            for following, _ in bfgs(self._objective.value_and_gradient, point, inverse, min(interval, limit - done)):
                point, steps = following, steps + 1
                yield point
            done += steps
            if steps == 0:
                return

    def _keep(self, point: Point, kept: Trail | None) -> Trail:
        """Return the trail to a point, or to the one before that does better on the validation set."""
        if self._held_out is None:
            return Trail(point, np.inf, list(self._history))
        shares = self._held_out.per_configuration(point.x)
        if kept is not None and kept.record is not None:
            if _worse(shares, kept.record):
                return kept
            record = shares if shares.sum() < kept.record.sum() else kept.record
        else:
            record = shares
        return Trail(point, float(shares.sum()), list(self._history), record=record)

    def _settled(self, values: Sequence[float], plain: bool) -> bool:
        """Return whether the last steps have gained nothing to speak of, or, `plain`, little."""
        if values[-1] < _NOTHING:
            return True
        window = self._window()
        if len(values) <= window:
            return False
        return values[-1 - window] - values[-1] < (_PLAIN if plain else self._settings.tolerance) * values[-1 - window]

    def _window(self) -> int:
        """Over how many steps a gain is looked for."""
        if self.method == "levenberg-marquardt":
            return _LEVENBERG_WINDOW
        return max(_WINDOW, self._settings.metric_interval)

    def _metric(self, point: Point) -> FloatArray:
        if self.method == "bfgs":
            return np.eye(len(point.x)) / max(1.0, float(np.linalg.norm(point.gradient)))
        matrix = self._objective.matrix(point.x, self._rng, self._settings.probes_per_parameter)
        return damped_inverse(matrix, self._settings.damping)

    def _count(self, point: Point, step: int) -> None:
        self.iterations += step > 0
        self._history.append((self.iterations, point.value))

    def _note(self, stage: str, point: Point, limit: int, step: int, kept: Trail) -> None:
        if step > 0 and step % self._settings.checkpoint_interval == 0:
            self._save(point, kept)
        if self._progress is not None:
            wall = time.perf_counter() - self._began
            self._progress(Progress(stage, step, limit, point.value, wall))

    def _save(self, point: Point, kept: Trail) -> None:
        if self._path is not None:
            history = np.array(self._history, dtype=np.float64).reshape(-1, 2)
            best = None if self._held_out is None else kept.point.x
            Checkpoint(self._problem, point.x, self.iterations, history, best, self._damping).write(self._path)
