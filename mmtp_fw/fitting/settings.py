"""Settings and results of a fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from mmtp_fw.errors import InputError
from mmtp_fw.fitting.holes import Hole
from mmtp_fw.fitting.statistics import Errors
from mmtp_fw.potential import Potential
from mmtp_fw.potential.threads import thread_count

Method = Literal["auto", "levenberg-marquardt", "metric-bfgs", "bfgs"]


@dataclass(frozen=True)
class FitSettings:
    """How a fit is done.

    Attributes
    ----------
    max_iterations : int
        Most steps of the optimiser, from each start.
    tolerance : float
        Converged when the loss has fallen by less than this fraction over 8 steps of Levenberg-Marquardt, or 50
        of BFGS, or, where a validation set has not been pleased for as many, by less than 35 %.
    method : {"auto", "levenberg-marquardt", "metric-bfgs", "bfgs"}
        Levenberg-Marquardt with all rows of the Jacobian, BFGS from a Gauss-Newton metric that is renewed now and
        then, or the paper's: BFGS from the unit matrix. "auto" is the first as far as `rows_per_parameter` allows,
        else the second.
    rows_per_parameter : float
        Most labelled numbers, in units of the number of parameters, whose rows "auto" makes at each step.
    prior : float
        Strength of a ridge, prior · [Σ ξ² + Σ (c/width)²], that is added to the loss: it settles what the labels
        leave open; the larger, the smoother. width is the size of radial coefficients that makes a radial function
        of order 1. 0: none.
    starts : int
        Random starts of a cold fit; each is followed for a while, at most 8 steps of Levenberg-Marquardt, and the
        best one to the end.
    shakes : int
        Of random starts by Levenberg-Marquardt: how often, where the way down has become slow, all radial
        coefficients are changed by a fraction of themselves, `shake_size`, and what is found from there is kept if it
        is better. 0: never.
    shake_size : float
    seed : int
        Of random starts, of shakes and of the metric's probes.
    start : {"auto", "given", "random"}
        "given" begins at the potential's parameters and nowhere else; "random" never looks at them;
        "auto" begins there and falls back to random starts when the result is worse than before.
    fallback_factor : float
        Worse means: the loss of the configurations that the given potential described best has
        grown by this factor.
    damping : float
        Of the metric of "metric-bfgs", relative to its diagonal.
    metric_interval : int
        Steps between renewals of the metric.
    probes_per_parameter : float
        See `mmtp_fw.fitting.metric`.
    threads : int or None
        None: see `mmtp_fw.potential.threads.thread_count` (``NUMBA_NUM_THREADS``).
    checkpoint : str, Path or None
        File that is written every `checkpoint_interval` steps and on Ctrl-C, and gone on from when it is
        there.
    checkpoint_interval : int
    suspect_factor : float
        A configuration is suspect when its loss exceeds this many times the median.
    leave_out_suspects : bool
        Fit again without suspects.
    allow_findings : bool
        Fit even where `check_training_set` finds fatal problems that can be computed with.
    """

    max_iterations: int = 400
    tolerance: float = 0.02
    method: Method = "auto"
    rows_per_parameter: float = 8.0
    prior: float = 1e-12
    starts: int = 1
    shakes: int = 3
    shake_size: float = 0.2
    seed: int = 0
    start: Literal["auto", "given", "random"] = "auto"
    fallback_factor: float = 4.0
    damping: float = 3e-3
    metric_interval: int = 50
    probes_per_parameter: float = 6.0
    threads: int | None = None
    checkpoint: str | Path | None = None
    checkpoint_interval: int = 10
    suspect_factor: float = 30.0
    leave_out_suspects: bool = False
    allow_findings: bool = False

    def __post_init__(self) -> None:
        choices = {"method": get_args(Method), "start": ("auto", "given", "random")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} = {getattr(self, name)!r}", f"one of {', '.join(allowed)}")
        for name in ("max_iterations", "starts", "metric_interval", "checkpoint_interval"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)} must be at least 1")
        if not (math.isfinite(self.prior) and self.prior >= 0):
            raise InputError(f"prior = {self.prior} must be a finite number, not negative")
        if self.shakes < 0:
            raise InputError(f"shakes = {self.shakes} must not be negative")
        for name in (
            "shake_size",
            "damping",
            "probes_per_parameter",
            "rows_per_parameter",
            "fallback_factor",
            "suspect_factor",
        ):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} = {getattr(self, name)} must be positive")

    @property
    def thread_count(self) -> int:
        """Threads over configurations."""
        return self.threads if self.threads is not None else thread_count()


@dataclass(frozen=True)
class Progress:
    """What a progress callback is told after each step.

    Attributes
    ----------
    stage : str
        "start 1/3", "refine", …
    iteration, max_iterations : int
    loss : float
    wall_seconds : float
    """

    stage: str
    iteration: int
    max_iterations: int
    loss: float
    wall_seconds: float


@dataclass(frozen=True, eq=False)
class FitResult:
    """The outcome of a fit.

    Attributes
    ----------
    potential : Potential
    loss : float
        On the training set, as `Weights` writes it, without the prior.
    converged : bool
        Whether the tolerance was met.
    iterations : int
        Steps of the optimiser, over all starts.
    history : list of (int, float)
        Iteration and loss with the prior along the way that led to the result; a shake goes up.
    errors, validation_errors : dict
        See `errors_by_quantity`; empty without a validation set.
    wall_seconds : float
    message : str
        One line.
    decision : str
        Which start was taken and why.
    loss_by_configuration : list of float
    suspects : list of int
        Indices of configurations that fit much worse than the rest: look at their labels.
    left_out : list of int
        Those that were left out on request.
    warnings : list of str
        Of the training set and of the potential's stability.
    gradient_calls : int
    validation_loss : float or None
        Of the validation set, at the parameters that are kept: those that did best on it.
    method : str
        How it was minimised; see `FitSettings`.
    prior : float
    threads : int
        Over configurations; BLAS works on one.
    holes : list of Hole
        Where the potential falls beyond what it was trained for; each has its warning. Not in the document.
    """

    potential: Potential
    loss: float
    converged: bool
    iterations: int
    history: list[tuple[int, float]]
    errors: Errors
    validation_errors: Errors
    wall_seconds: float
    message: str
    decision: str = ""
    loss_by_configuration: list[float] = field(default_factory=list)
    suspects: list[int] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    gradient_calls: int = 0
    validation_loss: float | None = None
    method: str = ""
    prior: float = 0.0
    threads: int = 1
    holes: list[Hole] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return everything but potential and holes as JSON-able values."""
        names = (
            "loss",
            "converged",
            "iterations",
            "history",
            "errors",
            "validation_errors",
            "wall_seconds",
            "message",
            "decision",
            "loss_by_configuration",
            "suspects",
            "left_out",
            "warnings",
            "gradient_calls",
            "validation_loss",
            "method",
            "prior",
            "threads",
        )
        return {name: getattr(self, name) for name in names}
