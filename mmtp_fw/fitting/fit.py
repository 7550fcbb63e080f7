"""Fit a potential to labelled configurations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.samples import Sample, called, make_samples, name_of
from mmtp_fw.fitting.search import Callback, Search, random_start
from mmtp_fw.fitting.settings import FitResult, FitSettings
from mmtp_fw.fitting.stability import check_stability
from mmtp_fw.fitting.statistics import errors_of
from mmtp_fw.fitting.validate import Report, check_training_set
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Potential, Systems, TrainedRange
from mmtp_fw.potential.threads import one_blas_thread

__all__ = ["find_suspects", "fit", "random_start"]


def fit(
    potential: Potential,
    configurations: Sequence[Atoms],
    weights: Weights | None = None,
    validation: Sequence[Atoms] | None = None,
    settings: FitSettings | None = None,
    progress: Callback | None = None,
    report: Report | None = None,
    systems: Systems | None = None,
    counts: FloatArray | None = None,
) -> FitResult:
    """Fit all parameters of a potential to labelled configurations.

    The linear parameters are solved for exactly, then all are minimised together (see `FitSettings.method`); gauge
    modes have no effect and are damped. A potential that was trained before is a warm start: the fit goes on from it,
    and only when the configurations that it described well come out worse (see `FitSettings.start`) random starts are
    tried as well, and the better result is taken. One that describes less than the species' constants is no start.

    Same data and settings, same result, to the last bit, whatever the number of threads (on one kind of processor).

    Parameters
    ----------
    potential : Potential
        Form and start; it is not changed.
    configurations : sequence of Atoms
        The training set.
    weights : Weights, optional
    validation : sequence of Atoms, optional
        Labelled, and no step looks at them; of all parameters on the way those are kept that do best on them.
    settings : FitSettings, optional
    progress : callable, optional
        Called with `Progress` after each step.
    report : Report, optional
        Of `check_training_set` for these configurations and weights, where it was made already.
    systems : Systems, optional
        Where others look at the same configurations: every neighbour list is made once.
    counts : ndarray, shape (K,), optional
        A bag: how much each counts in what is minimised. The result's numbers are of all, once each; none is left out.

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
    held_out = make_samples(potential, validation, weights, systems) if validation else []
    with one_blas_thread():
        return work.result(potential, samples, held_out, progress, counts)


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

    def count(self, potential: Potential, samples: list[Sample]) -> None:
        """Say it where there are fewer numbers than parameters."""
        numbers = sum(sample.numbers for sample in samples)
        if numbers < potential.n_parameters:
            self.warnings.append(
                f"the {len(samples)} configurations hold {numbers} numbers, fewer than the {potential.n_parameters} "
                "parameters: what they don't fix is left to chance; give more labels, or a smaller form"
            )

    def search(
        self, potential: Potential, samples: list[Sample], held_out: list[Sample], progress: Callback | None
    ) -> tuple[Search, list[int], list[int]]:
        """Search, and again without the suspects where that is asked for; return them, and those left out."""
        run = Search(potential, samples, held_out, self.settings, progress)
        run.run()
        suspects = find_suspects(run.losses(), self.settings.suspect_factor)
        if not suspects or not self.settings.leave_out_suspects:
            return run, suspects, []
        found, kept = run, [sample for k, sample in enumerate(samples) if k not in set(suspects)]
        settings = replace(self.settings, start="given", checkpoint=None)
        run = Search(found.potential, kept, held_out, settings, progress)
        run.run()
        run.iterations += found.iterations
        run.decision = f"{found.decision}; then without {len(suspects)} suspect labels"
        return run, suspects, suspects

    def result(
        self,
        potential: Potential,
        samples: list[Sample],
        held_out: list[Sample],
        progress: Callback | None,
        counts: FloatArray | None,
    ) -> FitResult:
        """Search with all samples, or with a bag of them."""
        self.count(potential, samples)
        if counts is not None:
            return self.bagged(potential, samples, counts, held_out, progress)
        run, suspects, left_out = self.search(potential, samples, held_out, progress)
        return self.done(run, run.losses(), suspects, left_out, samples, held_out)

    def bagged(
        self,
        potential: Potential,
        samples: list[Sample],
        counts: FloatArray,
        held_out: list[Sample],
        progress: Callback | None,
    ) -> FitResult:
        """Search with each sample counted so much; the result's numbers are of all samples, once each."""
        drawn = [sample.repeated(n) for sample, n in zip(samples, counts, strict=True) if n > 0]
        run = Search(potential, drawn, held_out, self.settings, progress)
        run.run()
        losses = Loss(potential, samples, self.settings.thread_count).per_configuration(run.trail.point.x)
        return self.done(run, losses, find_suspects(losses, self.settings.suspect_factor), [], samples, held_out)

    def done(
        self,
        run: Search,
        losses: FloatArray,
        suspects: list[int],
        left_out: list[int],
        samples: list[Sample],
        held_out: list[Sample],
    ) -> FitResult:
        """Return the result, with errors and warnings."""
        fitted = run.potential
        for k in suspects:
            self.warnings.append(f"{called(k, name_of(self.configurations[k]))}: fits much worse than the rest")
        training = [atoms for k, atoms in enumerate(self.configurations) if k not in set(left_out)]
        fitted.trained = TrainedRange.of(fitted, training, self.systems.of)
        stability = check_stability(fitted, training, systems=self.systems)
        self.warnings += stability.messages
        trail = run.trail
        loss, state = float(losses.sum()), "converged" if trail.converged else "stopped at max_iterations"
        text = f"{state} after {run.iterations} iterations, loss {loss:.6g}"
        if trail.history[-1][0] < run.iterations and held_out:
            text += f", kept from iteration {trail.history[-1][0]}, which did best on the validation set"
        return FitResult(
            potential=fitted,
            loss=loss,
            converged=trail.converged,
            iterations=run.iterations,
            history=trail.history,
            errors=errors_of(fitted, [sample for k, sample in enumerate(samples) if k not in set(left_out)]),
            validation_errors=errors_of(fitted, held_out),
            wall_seconds=time.perf_counter() - self.began,
            message=f"{text}; {run.decision}",
            decision=run.decision,
            loss_by_configuration=[float(value) for value in losses],
            suspects=suspects,
            left_out=left_out,
            warnings=self.warnings,
            gradient_calls=run.calls,
            validation_loss=trail.validation if held_out else None,
            method=run.method,
            prior=self.settings.prior,
            threads=self.settings.thread_count,
            holes=stability.all_holes,
        )
