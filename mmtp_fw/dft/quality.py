"""Energies against the work of the magnetic forces: what agrees, and how well the work itself is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.engine import SMOOTHED, ConstraintKind
from mmtp_fw.dft.settings import ProtocolSettings
from mmtp_fw.dft.stages import Stage
from mmtp_fw.labelling import Grade, StageName

# Magnetic forces that are wrong by so much on every atom are to be found.
WRONG_FORCE_EV_PER_MUB = 0.03
# The integral over a longer way than this (μB on one atom) is not tried.
LONGEST_STEP_MUB = 0.4
# A printed penalty and that of the printed moments differ by rounding: eV/atom, and relative.
_PENALTY_ROUNDING_EV, _PENALTY_ROUNDING = 1e-4, 0.001
# Penalties must differ by this factor: a part of them that is left in the energies cancels between equal ones.
_PENALTY_RATIO = 2.0
# Three points on a detour longer than this (the cubes of its parts over the cube of the direct way) tell only how far
# both ways disagree.
_LONGEST_DETOUR = 0.8


@dataclass(frozen=True)
class Judged:
    """ΔE + ∫T·dm along a way that ends at the label, per atom, in eV.

    Attributes
    ----------
    stages : tuple of Stage
        The way, the label last.
    residual : float
        Positive where the label's energy is higher than the work says.
    error : float or None
        What integral and self-consistency leave open; None where two points don't tell.
    tolerance : float
        What else is taken as agreement.
    """

    stages: tuple[Stage, ...]
    residual: float
    error: float | None
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether energy and work are the same within error and tolerance."""
        return abs(self.residual) <= self.tolerance + (self.error or 0.0)

    @property
    def shows_forces(self) -> bool:
        """Whether magnetic forces that are wrong on every atom would show."""
        way = np.mean(np.abs(self.stages[-1].final_moments() - self.stages[0].final_moments()))
        return bool(WRONG_FORCE_EV_PER_MUB * way >= self.tolerance + (self.error or 0.0))

    @property
    def shows_penalty(self) -> bool:
        """Whether a part of the penalty that is left in the energies would show."""
        label = self.stages[-1]
        if label.kind is ConstraintKind.HARD:
            return True
        one, two = sorted(abs(s.penalty_eV or 0.0) for s in (self.stages[0], self.stages[-1]))
        # Half of a penalty below this is no error worth finding.
        negligible = two <= self.tolerance * len(label.target)
        return two >= _PENALTY_RATIO * one or negligible


def constrained_stages(stages: Sequence[Stage]) -> list[Stage]:
    """Return the converged calculations under a constraint, in their order."""
    return [s for s in stages if s.converged and s.magnetic_forces is not None and s.energy_eV is not None]


def work(moments: Sequence[FloatArray], forces: Sequence[FloatArray]) -> tuple[float, float | None]:
    """Return ∫T·dm along points, and its error.

    T derives from an energy, so the way doesn't matter but for the error of the trapezoid, which grows with the cube of
    a step. Leaving out a point in the middle shows it; with three points it is corrected (Simpson's rule, where the
    middle one is in the middle). Twice the correction is the error that is stated: a T with a bend is off by more than
    the smooth one that Simpson's rule thinks of.

    Parameters
    ----------
    moments, forces : sequence of ndarray, shape (n,)
        μB and eV/μB, two points or more.

    Returns
    -------
    work : float
        eV.
    error : float or None
        None for two points.
    """

    def trapezoid(i: int, j: int) -> float:
        return float(0.5 * (forces[i] + forces[j]) @ (moments[j] - moments[i]))

    def cube(i: int, j: int) -> float:
        return float(np.linalg.norm(moments[j] - moments[i])) ** 3

    last = len(moments) - 1
    total = sum(trapezoid(i, i + 1) for i in range(last))
    if last < 2:
        return total, None
    error = 0.0
    for i in range(1, last):
        by_detour = trapezoid(i - 1, i) + trapezoid(i, i + 1) - trapezoid(i - 1, i + 1)
        direct = cube(i - 1, i + 1)
        detour = (cube(i - 1, i) + cube(i, i + 1)) / direct if direct > 0 else np.inf
        if detour > _LONGEST_DETOUR:
            error += abs(by_detour)
            continue
        correction = by_detour * detour / (1.0 - detour)
        error += 2.0 * abs(correction)
        if last == 2:
            total += correction
    return total, error


def judge(stages: Sequence[Stage], settings: ProtocolSettings) -> Judged:
    """Compare the energies at both ends of a way with the work along it; they never enter the work.

    Parameters
    ----------
    stages : sequence of Stage
        Converged, two or more; the label last.
    settings : ProtocolSettings
    """
    first, label = stages[0], stages[-1]
    moments, forces = [s.final_moments() for s in stages], [_forces(s) for s in stages]
    done, error = work(moments, forces)
    n = len(label.target)
    noise = first.energy_noise_eV + label.energy_noise_eV
    hard = label.kind is ConstraintKind.HARD and first.kind is ConstraintKind.HARD
    tolerance = noise / n + (
        settings.hard_integration_tolerance_eV_per_atom if hard else settings.integration_tolerance_eV_per_atom
    )
    if label.kind is ConstraintKind.SOFT:
        mean = [0.5 * np.abs(a + b) for a, b in pairwise(forces)]
        size = sum(float(force @ np.abs(b - a)) for force, (a, b) in zip(mean, pairwise(moments), strict=True))
        tolerance += settings.integration_tolerance_relative * size / n
    residual = (_energy(label) - _energy(first) + done) / n
    return Judged(tuple(stages), residual, None if error is None else error / n, tolerance)


def ways(stages: Sequence[Stage], label: Stage) -> list[tuple[Stage, ...]]:
    """Return the ways along finished calculations that end at a soft label, nearest first.

    From every other one under a constraint in the same spheres, and from the state without constraint, where penalty
    and forces vanish in any spheres; by way of the calculation between, where there is one.
    """
    mine = [s for s in constrained_stages(stages) if s.radii_A == label.radii_A and s.key != label.key]
    free = [s for s in stages if s.name is StageName.EQUILIBRIUM and s.converged and s.energy_eV is not None]
    found: list[tuple[float, tuple[Stage, ...]]] = []
    for start in (*free, *mine):
        far = distance(start, label)
        if far > LONGEST_STEP_MUB:
            continue
        between = [s for s in mine if s is not start and max(distance(start, s), distance(s, label)) < far]
        middle = min(between, key=lambda s: abs(distance(start, s) - distance(s, label)), default=None)
        found.append((far, (start, label) if middle is None else (start, middle, label)))
    return [way for _, way in sorted(found, key=lambda item: item[0])]


def penalty_mismatch(stage: Stage) -> float:
    """Return by how much the engine's penalty differs from λ Σ (m^sWS − m^constr)², per atom, in eV; 0 within rounding.

    Moments of another step than the energy differ so, at no cost.
    """
    if stage.kind is not ConstraintKind.SOFT or stage.penalty_eV is None or stage.constrained is None:
        return 0.0
    far = np.array(stage.achieved[SMOOTHED]) - np.array(stage.constrained)
    expected = (stage.lambda_eV_per_muB2 or 0.0) * float(far @ far)
    difference = abs(stage.penalty_eV - expected) / len(far)
    rounding = _PENALTY_ROUNDING_EV + _PENALTY_ROUNDING * expected / len(far)
    return difference if difference > rounding else 0.0


def inside(stage: Stage, settings: ProtocolSettings) -> bool:
    """Return whether a calculation converged with its deviations from target inside both limits."""
    mae, largest = stage.mae_muB, stage.max_deviation_muB
    if not stage.converged or mae is None or largest is None:
        return False
    return mae <= settings.mae_limit_muB and largest <= settings.max_limit_muB


def grade(on_target: bool, confirmed: bool) -> Grade:
    """Return the grade of a label (see `Grade`)."""
    if not on_target:
        return Grade.C
    return Grade.A if confirmed else Grade.B


def distance(one: Stage, two: Stage) -> float:
    """Return the largest difference between two calculations' moments, in μB."""
    return float(np.max(np.abs(one.final_moments() - two.final_moments())))


def _forces(stage: Stage) -> FloatArray:
    """Return the magnetic forces, which vanish without constraint."""
    return np.zeros(len(stage.target)) if stage.magnetic_forces is None else np.array(stage.magnetic_forces)


def _energy(stage: Stage) -> float:
    assert stage.energy_eV is not None
    return stage.energy_eV
