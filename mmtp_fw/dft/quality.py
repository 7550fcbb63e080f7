"""What is known of a label's quality: consistency along the ramp, the hard-constraint limit, a grade."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mmtp_fw.dft.settings import ProtocolSettings
from mmtp_fw.dft.stages import Extrapolation, Grade, Stage

# A trapezoid over a longer way than this (μB on one atom) says nothing about the label.
_LONGEST_STEP = 0.4
# A line in 1/λ through strengths nearer than this ratio says nothing about its end.
_SMALLEST_LEVER = 1.2


def constrained_stages(stages: Sequence[Stage]) -> list[Stage]:
    """Return the converged calculations under a constraint, in their order."""
    return [s for s in stages if s.converged and s.magnetic_forces is not None and s.energy_eV is not None]


def integration_residual(stages: Sequence[Stage], settings: ProtocolSettings) -> tuple[float | None, bool]:
    """Compare energy differences along the ramp with the work of the magnetic forces.

    Between two calculations of the same atoms ΔE_DFT = −Σ ∫ T dm, whatever the engine; the trapezoid
    finds an energy that still holds (part of) a penalty, moments of another branch, or forces of the
    wrong definition.

    Parameters
    ----------
    stages : sequence of Stage
    settings : ProtocolSettings

    Returns
    -------
    residual : float or None
        Largest |ΔE + ∫T dm| per atom, eV; None where no two calculations are near enough to tell.
    agrees : bool
        Whether every residual is inside the tolerances.
    """
    return _compare(list(pairwise(constrained_stages(stages))), settings)


def equilibrium_residual(stages: Sequence[Stage], settings: ProtocolSettings) -> tuple[float | None, bool]:
    """Do as `integration_residual`, from the unconstrained state to every calculation under a constraint.

    Neighbours along an adaptive ramp have nearly the same penalty: what of it is left in the energy cancels between
    them, not against the unconstrained state, where penalty and forces vanish. But that one may lie too far away, or on
    another branch of the electrons: to disagree with it is no reason to reject a label, to agree is one to trust it.
    """
    free = [s for s in stages if s.name == "equilibrium" and s.converged and s.energy_eV is not None]
    pairs = [(one, two) for one in free[:1] if one.constrained is None for two in constrained_stages(stages)]
    return _compare(pairs, settings)


def _compare(pairs: Sequence[tuple[Stage, Stage]], settings: ProtocolSettings) -> tuple[float | None, bool]:
    residuals, agrees = [], True
    for one, two in pairs:
        step = two.final_moments() - one.final_moments()
        # Forces in other spheres are others, but for those that vanish in all.
        same = one.radii_A == two.radii_A or one.constrained is None
        if not same or np.max(np.abs(step)) > _LONGEST_STEP:
            continue
        mean_force = 0.5 * (_forces(one) + _forces(two))
        residual = abs(_energy(two) - _energy(one) + mean_force @ step) / len(step)
        work = float(np.sum(np.abs(mean_force * step))) / len(step)
        relative = settings.integration_tolerance_relative * work
        agrees &= bool(residual <= settings.integration_tolerance_eV_per_atom + relative)
        residuals.append(float(residual))
    return (max(residuals) if residuals else None), agrees


def extrapolate(stages: Sequence[Stage], label: Stage) -> Extrapolation:
    """Return the hard-constraint limit λ → ∞ of energy and moments.

    Under one constraint both behave as a + b/λ. Where the label's ramp held only one calculation of each
    constraint, the energy is continued from the label's moments to the target along its magnetic forces.

    Parameters
    ----------
    stages : sequence of Stage
    label : Stage
        The calculation that is the label.
    """
    ramp = [s for s in constrained_stages(stages) if s.name in ("ramp", "refine")]
    families: dict[tuple[float, ...], dict[float, Stage]] = {}
    for stage in ramp:
        families.setdefault(tuple(stage.constrained or ()), {})[stage.lambda_eV_per_muB2 or 0.0] = stage
    own = families.get(tuple(label.constrained or ()), {})
    family = own if len(own) > 1 else max(families.values(), key=len, default={})
    if len(family) > 1 and max(family) >= _SMALLEST_LEVER * min(family):
        return _against_inverse_lambda([family[strength] for strength in sorted(family)])
    return _taylor(label, _stiffness(stages, label))


def grade(inside: bool, confirmed: bool) -> Grade:
    """Return the grade of a label (see `Grade`)."""
    if not inside:
        return Grade.C
    return Grade.A if confirmed else Grade.B


def _against_inverse_lambda(stages: Sequence[Stage]) -> Extrapolation:
    """Fit a + b/λ to two or more calculations under one constraint."""
    strengths = np.array([s.lambda_eV_per_muB2 for s in stages], dtype=float)
    table = np.array([[_energy(s), *s.final_moments()] for s in stages])

    def limit(rows: slice) -> np.ndarray:
        design = np.column_stack([np.ones_like(strengths[rows]), 1.0 / strengths[rows]])
        return np.linalg.lstsq(design, table[rows], rcond=None)[0][0]

    last_two = limit(slice(-2, None))
    if len(stages) > 2:
        uncertainty = np.abs(last_two - limit(slice(None)))
    else:
        # Two points leave no residual; a quarter of the correction is what higher orders may change.
        uncertainty = 0.25 * np.abs(last_two - table[-1])
    return Extrapolation(
        method="a+b/λ",
        energy_eV=float(last_two[0]),
        energy_uncertainty_eV=float(uncertainty[0]),
        moments=last_two[1:].tolist(),
        moments_uncertainty=uncertainty[1:].tolist(),
        lambdas=strengths.tolist(),
    )


def _stiffness(stages: Sequence[Stage], label: Stage) -> np.ndarray:
    """Return ∂²E/∂m² of every atom (eV/μB²) from the label and the constrained calculation before it, shape (n,)."""
    typical = np.ones(len(label.target))  # of Fe in its moment's valley
    before = [s for s in constrained_stages(stages) if s.index < label.index and s.radii_A == label.radii_A]
    if not before:
        return typical
    moved = label.final_moments() - before[-1].final_moments()
    measurable = np.abs(moved) > 0.01
    measured = typical.copy()
    measured[measurable] = np.abs((_forces(label) - _forces(before[-1]))[measurable] / moved[measurable])
    return np.clip(measured, 0.1, 10.0)


def _taylor(label: Stage, stiffness: np.ndarray) -> Extrapolation:
    """Continue the energy of one calculation to its target along the magnetic forces."""
    target = np.array(label.target)
    way = target - label.final_moments()
    force = np.array(label.magnetic_forces)
    uncertainty = 0.5 * float(way @ (stiffness * way))  # the next order
    return Extrapolation(
        method="taylor",
        energy_eV=_energy(label) - float(force @ way),
        energy_uncertainty_eV=uncertainty,
        moments=target.tolist(),
        moments_uncertainty=np.abs(way).tolist(),
        lambdas=[label.lambda_eV_per_muB2 or 0.0],
    )


def _forces(stage: Stage) -> np.ndarray:
    """Return the magnetic forces, which vanish without constraint."""
    return np.zeros(len(stage.target)) if stage.magnetic_forces is None else np.array(stage.magnetic_forces)


def _energy(stage: Stage) -> float:
    assert stage.energy_eV is not None
    return stage.energy_eV
