"""The magnetic Moment Tensor Potential: form, files, kernels, calculator, relaxed moments."""

from __future__ import annotations

from mmtp_fw.potential.evaluation import Evaluation
from mmtp_fw.potential.flips import FlipResult, flip_energies, metropolis_flips
from mmtp_fw.potential.moments import MomentVerdict, RelaxedMoments
from mmtp_fw.potential.potential import Potential
from mmtp_fw.potential.skin import ListCache
from mmtp_fw.potential.system import System, has_moments, moments_of
from mmtp_fw.potential.systems import Systems
from mmtp_fw.potential.tracking import MomentTracker
from mmtp_fw.potential.trained import TrainedRange

__all__ = [
    "Evaluation",
    "FlipResult",
    "ListCache",
    "MomentTracker",
    "MomentVerdict",
    "Potential",
    "RelaxedMoments",
    "System",
    "Systems",
    "TrainedRange",
    "flip_energies",
    "has_moments",
    "metropolis_flips",
    "moments_of",
]
