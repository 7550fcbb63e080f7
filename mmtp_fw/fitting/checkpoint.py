"""Checkpoints of a fit: parameters on disk, whole or not at all."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.files import replacing
from mmtp_fw.fitting.levenberg import FIRST_DAMPING
from mmtp_fw.fitting.samples import Sample
from mmtp_fw.potential import Potential
from mmtp_fw.quantities import QUANTITIES


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a fit was.

    Attributes
    ----------
    problem : str
        Digest of the potential's form, the training set and the weights.
    parameters : ndarray, shape (p,)
    iteration : int
    history : ndarray, shape (iterations, 2)
        Iteration, loss.
    best : ndarray, shape (p,), optional
        The parameters that did best on the validation set, where there is one.
    damping : float
        Of the last step, by Levenberg-Marquardt.
    """

    problem: str
    parameters: FloatArray
    iteration: int
    history: FloatArray
    best: FloatArray | None = None
    damping: float = FIRST_DAMPING

    def write(self, path: Path) -> None:
        """Write the file; an older one stays whole until the new one is."""
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                problem=np.array(self.problem),
                parameters=self.parameters,
                iteration=self.iteration,
                history=self.history,
                best=np.zeros(0) if self.best is None else self.best,
                damping=self.damping,
            )


def read_checkpoint(path: Path, problem: str) -> Checkpoint | None:
    """Read a checkpoint of this very problem; None where there is no file.

    Raises
    ------
    InputError
        For a file that is none, or of another problem.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            best = file["best"] if len(file["best"]) else None
            found = Checkpoint(
                str(file["problem"]), file["parameters"], int(file["iteration"]), file["history"], best,
                float(file["damping"]),
            )  # fmt: skip
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a checkpoint of a fit", "remove it to start anew") from error
    if found.problem != problem:
        raise InputError(
            f"{path}: the checkpoint is of another potential, training set or weights",
            "remove it to start anew",
        )
    return found


def problem_digest(potential: Potential, samples: Sequence[Sample]) -> str:
    """Return what identifies a fit: the potential's form and the training set with its weights."""
    digest = hashlib.blake2b(digest_size=16)
    form = (
        potential.species,
        potential.n_parameters,
        potential.radial_size,
        potential.magnetic_size,
        potential.r_min,
        potential.r_cut,
        potential.min_moment,
        potential.max_moment,
        potential.symmetrized,
    )
    digest.update(repr(form).encode())
    for sample in samples:
        weights = np.array([sample.weights.get(name, 0.0) for name in QUANTITIES])
        targets = [sample.targets[name] for name in QUANTITIES if name in sample.targets]
        for array in (sample.system.types, sample.system.vectors, sample.moments, weights, *targets):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
