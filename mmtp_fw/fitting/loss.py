"""The loss of a training set and its gradient over all parameters.

With residuals ΔE, Δf, V Δσ, ΔT the gradient of a configuration's loss is

    2 w_e ΔE ∂E/∂θ − 2 w_f Σ Δf·∂²E/∂r∂θ + 2 w_s Σ V Δσ ∂²E/∂ε∂θ − 2 w_t Σ ΔT ∂²E/∂m∂θ,

that is ∂/∂θ of a E + D E with D the derivative along displacements −2 w_f Δf, a strain 2 w_s V Δσ and
changes of moments −2 w_t ΔT: one evaluation and one directional pass, whatever the number of parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from mmtp_fw.fitting.samples import Sample, make_samples
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Evaluation, Potential
from mmtp_fw.potential.threads import each, thread_count
from mmtp_fw.potential.threads import threads as use_threads

T = TypeVar("T")
_Chunk = list[Sample]


@dataclass(frozen=True, eq=False)
class Residuals:
    """What a potential gives less what the label says; zero (or None) where the label lacks it."""

    energy: float
    forces: np.ndarray | None
    virial: np.ndarray | None
    magnetic_forces: np.ndarray | None


def residuals_of(sample: Sample, evaluation: Evaluation) -> Residuals:
    """Return the residuals of one sample (eV, eV/Å, eV, eV/μB)."""
    virial = None
    if sample.virial is not None:
        virial = sample.system.volume * voigt_6_to_full_3x3_stress(evaluation.stress) - sample.virial
    return Residuals(
        0.0 if sample.energy is None else evaluation.energy - sample.energy,
        None if sample.forces is None else evaluation.forces - sample.forces,
        virial,
        None if sample.magnetic_forces is None else evaluation.magnetic_forces - sample.magnetic_forces,
    )


class Loss:
    """The loss of a training set, evaluated by threads over its configurations.

    Parameters
    ----------
    potential : Potential
        Its form; parameters are given at each call.
    samples : sequence of Sample
    threads : int
        The kernels leave the interpreter lock, so threads work in parallel.
    """

    def __init__(self, potential: Potential, samples: Sequence[Sample], threads: int = 1) -> None:
        self._potential = potential.copy()
        self.samples = list(samples)
        self._threads = max(1, min(threads, len(self.samples)))
        self.calls = 0

    def potential(self, parameters: np.ndarray) -> Potential:
        """Return the potential with these parameters (independent of the loss)."""
        potential = self._potential.copy()
        potential.parameters = parameters
        return potential

    def value_and_gradient(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient, shape (p,)."""
        potential = self.potential(parameters)
        self.calls += 1
        parts = self.over_chunks(lambda chunk: _value_and_gradient(potential, chunk))
        return sum(value for value, _ in parts), np.sum([gradient for _, gradient in parts], axis=0)

    def per_configuration(self, parameters: np.ndarray) -> np.ndarray:
        """Return each configuration's share of the loss, shape (K,)."""
        potential = self.potential(parameters)

        def losses(chunk: _Chunk) -> list[float]:
            return [_value(s, residuals_of(s, potential.evaluate_system(s.system, s.moments))) for s in chunk]

        order = [id(s) for chunk in self._chunks() for s in chunk]
        by_id = dict(zip(order, (x for part in self.over_chunks(losses) for x in part), strict=True))
        return np.array([by_id[id(s)] for s in self.samples])

    def over_chunks(self, work: Callable[[_Chunk], T]) -> list[T]:
        """Apply `work` to one part of the training set per thread, always in the same order."""

        def alone(chunk: _Chunk) -> T:
            with use_threads(1):  # the cores are busy with other configurations
                return work(chunk)

        chunks = self._chunks()
        return each(alone, chunks) if len(chunks) > 1 else [work(chunk) for chunk in chunks]

    def _chunks(self) -> list[_Chunk]:
        """Deal the samples out by turns, the largest first, so that threads end together."""
        order = sorted(range(len(self.samples)), key=lambda k: -len(self.samples[k].system.neighbors))
        chunks: list[_Chunk] = [[] for _ in range(self._threads)]
        load = [0] * self._threads
        for k in order:
            least = load.index(min(load))
            chunks[least].append(self.samples[k])
            load[least] += len(self.samples[k].system.neighbors) + 1
        return [chunk for chunk in chunks if chunk]


def _value(sample: Sample, residuals: Residuals) -> float:
    w_e, w_f, w_s, w_t = sample.weights
    value = w_e * residuals.energy**2
    for weight, residual in (
        (w_f, residuals.forces),
        (w_s, residuals.virial),
        (w_t, residuals.magnetic_forces),
    ):
        if residual is not None:
            value += weight * float(np.vdot(residual, residual))
    return float(value)


def _value_and_gradient(potential: Potential, chunk: _Chunk) -> tuple[float, np.ndarray]:
    loss, gradient = 0.0, np.zeros(potential.n_parameters)
    for sample in chunk:
        found = residuals_of(sample, potential.evaluate_system(sample.system, sample.moments))
        w_e, w_f, w_s, w_t = sample.weights
        loss += _value(sample, found)
        gradient += potential.directional_parameter_gradient(
            sample.system,
            sample.moments,
            2.0 * w_e * found.energy,
            None if found.forces is None else -2.0 * w_f * found.forces,
            None if found.virial is None else 2.0 * w_s * found.virial,
            None if found.magnetic_forces is None else -2.0 * w_t * found.magnetic_forces,
        )[1]
    return loss, gradient


def loss_and_gradient(
    potential: Potential, configurations: Sequence[Atoms], weights: Weights | None = None
) -> tuple[float, np.ndarray]:
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
