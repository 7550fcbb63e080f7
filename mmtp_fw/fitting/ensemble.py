"""Members of an ensemble: fits around the best potential that differ by data and noise; their spread is a measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import FitError
from mmtp_fw.fitting.fit import fit
from mmtp_fw.fitting.loss import Loss
from mmtp_fw.fitting.samples import make_samples
from mmtp_fw.fitting.search import Callback
from mmtp_fw.fitting.settings import FitResult, FitSettings
from mmtp_fw.fitting.stability import check_stability
from mmtp_fw.fitting.validate import Report, check_training_set
from mmtp_fw.fitting.weights import Weights
from mmtp_fw.potential import Potential, Systems

PERTURBATION = 0.05
"""Standard deviation of the noise on a member's start, relative to each parameter."""
LARGEST_LOSS = 3.0
"""A member whose loss on all training labels is more than so many times the best potential's is refused."""


@dataclass(frozen=True, eq=False)
class Member:
    """A member of an ensemble, passed or refused.

    Attributes
    ----------
    result : FitResult
        Loss, errors and suspects are of all training labels, each counted once.
    seed : int
        Of its bag and noise.
    loss_ratio : float
        Its loss on all training labels over the best potential's.
    refused : str
        Why it measures nothing; empty for one that passed.
    """

    result: FitResult
    seed: int
    loss_ratio: float
    refused: str = ""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The best fit and the members around it.

    Attributes
    ----------
    best : FitResult
    members : list of Member
        Those that passed.
    refused : list of str
        Of each other one, its number and why.
    """

    best: FitResult
    members: list[Member]
    refused: list[str]

    @property
    def potentials(self) -> list[Potential]:
        """The best potential, and those of the members that passed."""
        return [self.best.potential, *(member.result.potential for member in self.members)]


def fit_ensemble(
    potential: Potential,
    configurations: Sequence[Atoms],
    count: int = 5,
    weights: Weights | None = None,
    validation: Sequence[Atoms] | None = None,
    settings: FitSettings | None = None,
    progress: Callback | None = None,
    temperature_K: float = 300.0,
) -> Ensemble:
    """Fit a potential, then `count` - 1 members from it, see `fit` and `fit_member`."""
    settings = FitSettings() if settings is None else settings
    systems = Systems(potential)
    report = check_training_set(potential, configurations, weights or Weights(), systems)
    best = fit(potential, configurations, weights, validation, settings, progress, report, systems)
    kept = [k for k in range(len(configurations)) if k not in set(best.left_out)]
    members, refused = [], []
    for number in range(1, count):
        try:
            member = fit_member(
                best.potential,
                [configurations[k] for k in kept],
                weights,
                validation,
                replace(settings, seed=settings.seed + 1000 * number, checkpoint=None),
                progress,
                report.of_part(kept),
                systems,
                temperature_K,
            )
        except FitError as error:
            refused.append(f"member {number}: {error.message}")
            continue
        if member.refused:
            refused.append(f"member {number}: {member.refused}")
        else:
            members.append(member)
    return Ensemble(best, members, refused)


def fit_member(
    best: Potential,
    configurations: Sequence[Atoms],
    weights: Weights | None = None,
    validation: Sequence[Atoms] | None = None,
    settings: FitSettings | None = None,
    progress: Callback | None = None,
    report: Report | None = None,
    systems: Systems | None = None,
    temperature_K: float = 300.0,
) -> Member:
    """Fit a member of an ensemble: from the best potential, with noise, to a bag of its training set.

    Each label counts by a random weight, see `bag`; each parameter is changed by `PERTURBATION` of itself at random.
    `settings.seed` decides on both. Labels of validation are in no bag.

    A member is refused, never averaged, whose loss on all training labels is not finite or more than `LARGEST_LOSS`
    times the best potential's, or which is unstable: at moments beyond the trained ones it has a hole of a species that
    the best potential has none of, behind a barrier that `temperature_K` gets over.

    Parameters
    ----------
    best : Potential
        Fitted to the same configurations; it is not changed.
    configurations, weights, validation, settings, progress, report, systems
        See `fit`. Labels that the best fit left out are left to the caller to leave out.
    temperature_K : float
    """
    settings = FitSettings() if settings is None else settings
    systems = Systems(best) if systems is None else systems.serving(best)
    counts = bag(len(configurations), settings.seed)
    result = fit(
        perturbed(best, settings.seed),
        configurations,
        weights,
        validation,
        replace(settings, start="given", leave_out_suspects=False),
        progress,
        report,
        systems,
        counts,
    )
    samples = make_samples(best, configurations, weights, systems)
    reached = float(Loss(best, samples, settings.thread_count).per_configuration(best.parameters).sum())
    ratio = result.loss / reached if reached > 0 else math.inf
    refused = too_bad(ratio) or unstable(best, result.potential, configurations, systems, temperature_K)
    return Member(result, settings.seed, ratio, refused)


def bag(count: int, seed: int) -> FloatArray:
    """Return how much each of `count` labels counts, 1 in the mean, shape (count,).

    The Bayesian bootstrap (D. B. Rubin, Ann. Statist. 9, 130 (1981)): exponential weights instead of draws with
    repetition, which leave out a third. A set that active learning chose needs each of its labels.
    """
    drawn = np.random.default_rng([seed, 311]).exponential(size=count)
    return np.asarray(drawn / drawn.mean())


def perturbed(potential: Potential, seed: int) -> Potential:
    """Return a copy whose parameters are each changed by `PERTURBATION` of themselves at random."""
    changed = potential.copy()
    noise = np.random.default_rng([seed, 312]).normal(size=potential.n_parameters)
    changed.parameters = potential.parameters * (1.0 + PERTURBATION * noise)
    return changed


def too_bad(ratio: float) -> str:
    """Return what is wrong with a loss of so many times the best potential's; empty: nothing."""
    if not math.isfinite(ratio):
        return "its loss is not finite"
    return f"its loss is {ratio:.3g} times the best potential's" if ratio > LARGEST_LOSS else ""


def unstable(
    best: Potential, member: Potential, configurations: Sequence[Atoms], systems: Systems, temperature_K: float
) -> str:
    """Return what hole a member has that the best potential hasn't; empty: none."""
    own, usual = (
        check_stability(one, configurations, systems=systems).within_reach(temperature_K) for one in (member, best)
    )
    known = {hole.species for hole in usual}
    return next((hole.message for hole in own if hole.species not in known), "")
