"""Frames of a trajectory as bytes for GridFS, and back."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from ase import Atoms


def pack(frames: Sequence[Atoms]) -> bytes:
    """Return the frames of one trajectory as an uncompressed ``.npz``, which `numpy.load` reads.

    Parameters
    ----------
    frames : sequence of Atoms
        F frames of the same n atoms with initial magnetic moments, velocities and ``info["step"]``.

    Returns
    -------
    bytes
        Arrays numbers (n,), pbc (3,), steps (F,), cells (F, 3, 3) and positions (F, n, 3) in Å, moments (F, n)
        in μB, velocities (F, n, 3) in ASE's unit; velocities of all frames but the last in single precision.
    """
    if not frames:
        return b""
    velocities = np.array([frame.get_velocities() for frame in frames])
    buffer = io.BytesIO()
    np.savez(
        buffer,
        numbers=frames[0].numbers,
        pbc=frames[0].pbc,
        steps=np.array([frame.info.get("step", k) for k, frame in enumerate(frames)]),
        cells=np.array([np.array(frame.cell) for frame in frames]),
        positions=np.array([frame.positions for frame in frames]),
        moments=np.array([frame.get_initial_magnetic_moments() for frame in frames]),
        velocities=velocities.astype(np.float32),
        last_velocities=velocities[-1],
    )
    return buffer.getvalue()


def unpack(content: bytes) -> list[Atoms]:
    """Return the frames that `pack` packed; the last one is exact and can be continued."""
    if not content:
        return []
    data = np.load(io.BytesIO(content), allow_pickle=False)
    frames = []
    for k, step in enumerate(data["steps"]):
        atoms = Atoms(data["numbers"], data["positions"][k], cell=data["cells"][k], pbc=data["pbc"])
        atoms.set_initial_magnetic_moments(data["moments"][k])
        atoms.set_velocities(data["velocities"][k].astype(float))
        atoms.info["step"] = int(step)
        frames.append(atoms)
    frames[-1].set_velocities(data["last_velocities"])
    return frames
