"""The loss of a training set and its gradient over all parameters.

With residuals ΔE, Δf, V Δσ, ΔT the gradient of a configuration's loss is

    2 w_e ΔE ∂E/∂θ − 2 w_f Σ Δf·∂²E/∂r∂θ + 2 w_s Σ V Δσ ∂²E/∂ε∂θ − 2 w_t Σ ΔT ∂²E/∂m∂θ,

that is ∂/∂θ of a E + D E with D the derivative along displacements −2 w_f Δf, a strain 2 w_s V Δσ and
changes of moments −2 w_t ΔT: one evaluation and one directional pass, whatever the number of parameters. Which
direction a quantity's residuals make stands in its row of `mmtp_fw.quantities`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.fitting.samples import Sample, make_samples
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Evaluation, Potential
from mmtp_fw.potential.threads import in_order, thread_count
from mmtp_fw.potential.threads import threads as use_threads
from mmtp_fw.quantities import QUANTITIES, Direction

T = TypeVar("T")
_Chunk = list[Sample]
# Parts that a sum over the training set is made of. Their number is no matter of the threads: sums are the same.
_CHUNKS = 32


def residuals_of(sample: Sample, evaluation: Evaluation) -> dict[str, FloatArray]:
    """Return what a potential gives less what the label says, by quantity, of `Quantity.shape` (eV, eV/Å, eV/μB)."""
    return {name: sample.residual(name, evaluation) for name in sample.targets}


class Loss:
    """The loss of a training set, evaluated by threads over its configurations.

    Parameters
    ----------
    potential : Potential
        Its form; parameters are given at each call.
    samples : sequence of Sample
    threads : int
        The kernels leave the interpreter lock, so threads work in parallel. Numbers don't depend on how many.
    """

    def __init__(self, potential: Potential, samples: Sequence[Sample], threads: int = 1) -> None:
        self._potential = potential.copy()
        self.samples = list(samples)
        self._threads = max(1, threads)
        self.calls = 0

    def potential(self, parameters: FloatArray) -> Potential:
        """Return the potential with these parameters, shape (p,) (independent of the loss)."""
        potential = self._potential.copy()
        potential.parameters = parameters
        return potential

    def value_and_gradient(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        """Return the loss and its gradient, shape (p,)."""
        potential = self.potential(parameters)
        self.calls += 1
        return self._summed(lambda chunk: _value_and_gradient(potential, chunk))

    def curvature(self, parameters: FloatArray, step: FloatArray, fraction: float) -> FloatArray:
        """Return 2 Σ w (∂r/∂θ)ᵀ r″, shape (p,), with r″ the second derivative of the residuals along a step.

        Parameters
        ----------
        parameters, step : ndarray, shape (p,)
        fraction : float
            Of the step, by which differences are taken.
        """
        here, ahead, behind = (self.potential(parameters + k * fraction * step) for k in (0.0, 1.0, -1.0))

        def part(chunk: _Chunk) -> tuple[float, FloatArray]:
            gradient = np.zeros(here.n_parameters)
            for s in chunk:
                r0, r1, r2 = (residuals_of(s, p.evaluate_system(s.system, s.moments)) for p in (here, ahead, behind))
                second = {name: (r1[name] - 2.0 * r0[name] + r2[name]) / fraction**2 for name in r0}
                gradient += _slope(here, s, second)
            return 0.0, gradient

        return self._summed(part)[1]

    def _summed(self, work: Callable[[_Chunk], tuple[float, FloatArray]]) -> tuple[float, FloatArray]:
        value, gradient = 0.0, np.zeros(self._potential.n_parameters)
        for more, slope in self.over_chunks(work):
            value += more
            gradient += slope
        return value, gradient

    def per_configuration(self, parameters: FloatArray) -> FloatArray:
        """Return each configuration's share of the loss, shape (K,)."""
        potential = self.potential(parameters)

        def losses(chunk: _Chunk) -> list[float]:
            return [_value(s, residuals_of(s, potential.evaluate_system(s.system, s.moments))) for s in chunk]

        order = [id(s) for chunk in self._chunks(_CHUNKS) for s in chunk]
        by_id = dict(zip(order, (x for part in self.over_chunks(losses) for x in part), strict=True))
        return np.array([by_id[id(s)] for s in self.samples])

    def over_chunks(self, work: Callable[[_Chunk], T], chunks: int = _CHUNKS) -> Iterator[T]:
        """Apply `work` to parts of the training set, in threads, and yield what it returns in the parts' order."""

        def alone(chunk: _Chunk) -> T:
            with use_threads(1):  # the cores are busy with other configurations, and sums are the same for all counts
                return work(chunk)

        return in_order(alone, self._chunks(chunks), self._threads)

    def _chunks(self, count: int) -> list[_Chunk]:
        """Deal the samples out by turns, the largest first, so that threads end together."""
        order = sorted(range(len(self.samples)), key=lambda k: -len(self.samples[k].system.neighbors))
        chunks: list[_Chunk] = [[] for _ in range(min(count, len(self.samples)))]
        load = [0] * len(chunks)
        for k in order:
            least = load.index(min(load))
            chunks[least].append(self.samples[k])
            load[least] += len(self.samples[k].system.neighbors) + 1
        return [chunk for chunk in chunks if chunk]


def _value(sample: Sample, residuals: Mapping[str, FloatArray]) -> float:
    value = 0.0
    for name, residual in residuals.items():
        square = float(np.vdot(residual, residual)) if residual.ndim else float(residual) ** 2
        value += sample.weights[name] * square
    return value


def _value_and_gradient(potential: Potential, chunk: _Chunk) -> tuple[float, FloatArray]:
    loss, gradient = 0.0, np.zeros(potential.n_parameters)
    for sample in chunk:
        found = residuals_of(sample, potential.evaluate_system(sample.system, sample.moments))
        loss += _value(sample, found)
        gradient += _slope(potential, sample, found)
    return loss, gradient


def _slope(potential: Potential, sample: Sample, residuals: Mapping[str, FloatArray]) -> FloatArray:
    """Return 2 Σ w r ∂r/∂θ of given residuals, shape (p,)."""
    direction = Direction()
    for name, residual in residuals.items():
        quantity = QUANTITIES[name]
        slope = (quantity.sign * 2.0 * sample.weights[name]) * residual
        direction = direction + quantity.along(slope, len(sample))
    return directional_gradient(potential, sample, direction)


def directional_gradient(potential: Potential, sample: Sample, direction: Direction) -> FloatArray:
    """Return ∂/∂θ of a E + D E, shape (p,)."""
    return potential.directional_parameter_gradient(
        sample.system,
        sample.moments,
        direction.energy,
        direction.displacements,
        direction.strain,
        direction.moment_changes,
    )[1]


def loss_and_gradient(
    potential: Potential, configurations: Sequence[Atoms], weights: Weights | None = None
) -> tuple[float, FloatArray]:
    """Return the loss of a training set and its gradient over the potential's parameters.

    Parameters
    ----------
    potential : Potential
    configurations : sequence of Atoms
        Labelled: single-point calculators, ``arrays["magnetic_forces"]`` where known; a quantity that a
        label lacks has no term.
    weights : Weights, optional

    Returns
    -------
    loss : float
        As `Weights` writes it: a sum over configurations, not divided by their number.
    gradient : ndarray, shape (p,)

    Raises
    ------
    InputError
        Naming the configuration that can't be used.
    """
    loss = Loss(potential, make_samples(potential, configurations, weights), thread_count())
    return loss.value_and_gradient(potential.parameters)
