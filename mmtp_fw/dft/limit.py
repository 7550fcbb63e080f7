"""The hard-constraint limit of a label: the energy at its own target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.engine import ConstraintKind
from mmtp_fw.dft.quality import constrained_stages
from mmtp_fw.dft.stages import Extrapolation, Stage

# ∂²E/∂m² (eV/μB²) where nothing was measured; measured ones beyond the largest are not believed. They may be negative:
# a constraint also holds what would not stay by itself.
_TYPICAL, _LARGEST = 0.3, 10.0
# What is open of it: a share, for it is measured along other ways and by atom, and at least so much.
_OPEN_SHARE, _OPEN = 0.3, 0.1


def extrapolate(stages: Sequence[Stage], label: Stage) -> Extrapolation:
    """Continue the energy of a label from its moments to its target.

    E(target) = E − T·way + ½ way·K·way. A fit of a + b/λ through the stages of one constraint has the limit of *that*
    constraint, which is another state as soon as constraints are refined or shifted.

    Parameters
    ----------
    stages : sequence of Stage
    label : Stage
        The calculation that is the label.
    """
    target = np.array(label.target)
    way = target - label.final_moments()
    force = np.array(label.magnetic_forces)
    stiffness = _stiffness(stages, label)
    second = 0.5 * float(way @ (stiffness * way))
    open_stiffness = np.maximum(_OPEN_SHARE * np.abs(stiffness), _OPEN)
    open_second = 0.5 * float(way @ (open_stiffness * way))
    assert label.energy_eV is not None
    soft = label.kind is ConstraintKind.SOFT
    return Extrapolation(
        method="taylor",
        energy_eV=label.energy_eV - float(force @ way) + second,
        energy_uncertainty_eV=float(np.hypot(open_second, label.energy_noise_eV)),
        moments=target.tolist(),
        moments_uncertainty=np.abs(way).tolist(),
        lambdas=[label.lambda_eV_per_muB2 or 0.0] if soft else [],
    )


def _stiffness(stages: Sequence[Stage], label: Stage) -> FloatArray:
    """Return ∂²E/∂m² of every atom from the label and the nearest calculation that moved it; eV/μB², shape (n,)."""
    stiffness = np.full(len(label.target), _TYPICAL)
    others = [s for s in constrained_stages(stages) if s.key != label.key and s.radii_A == label.radii_A]
    nearest = sorted(others, key=lambda s: float(np.max(np.abs(s.final_moments() - label.final_moments()))))
    for other in reversed(nearest):
        moved = label.final_moments() - other.final_moments()
        change = np.array(label.magnetic_forces) - np.array(other.magnetic_forces)
        seen = np.abs(moved) > 0.01
        stiffness[seen] = np.clip(-change[seen] / moved[seen], -_LARGEST, _LARGEST)
    return stiffness
