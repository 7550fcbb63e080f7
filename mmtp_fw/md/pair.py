"""A trajectory whose forces come from ``pair_style mmtp``: LAMMPS and the kernel, no Python in between."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.md.cell import LammpsCell
from mmtp_fw.md.lammps import new_lammps
from mmtp_fw.md.models import ModelState, PotentialModel
from mmtp_fw.md.plugin import pack, plugin
from mmtp_fw.md.settings import MdSettings
from mmtp_fw.potential import Potential
from mmtp_fw.potential.threads import thread_count
from mmtp_fw.selection import ActiveSet

# Columns of `compute pair`, as in plugin/pair_mmtp.h.
MAX_GRADE, EVALUATIONS, UNCONVERGED, AT_BOUNDS = 0, 1, 3, 4
SKIN_A = 0.6


class PairRun:
    """A trajectory of n atoms with a potential; the same interface as `mmtp_fw.md.lammps.LammpsRun`.

    Parameters
    ----------
    atoms : Atoms
        Start.
    model : PotentialModel
        The potential, the moments at the start, how often they are relaxed and how well.
    settings : MdSettings
    active_set : ActiveSet, optional
        Its grades are computed inside LAMMPS where that is possible.

    Attributes
    ----------
    state : ModelState
        At the last step; energy, forces and stress are LAMMPS' affair and stay zero.
    grade : float or None
        Of the last step that `MdSettings.grade_interval` divides; None where it isn't computed here.

    Raises
    ------
    EngineError
        The plugin can't be built here.
    """

    def __init__(
        self, atoms: Atoms, model: PotentialModel, settings: MdSettings, active_set: ActiveSet | None = None
    ) -> None:
        if active_set is not None and not _can_grade(active_set, model.potential):
            active_set = None
        self._grades = active_set is not None
        self.grade: float | None = None
        self.state: ModelState | None = None
        self._counts: list[float] = []
        self._missed = 0.0  # relaxations so far that found no minimum
        self._moments = model.moments.copy()
        self._magnetic = model.potential.magnetic
        path = plugin()
        self.cell = LammpsCell(new_lammps(), atoms, str(path))
        if self._magnetic:
            self.cell.commands("fix mom all property/atom d_mag ghost yes")
            self._own_moments()[:] = self._moments[self._order()]
        self._pair_style(model, settings, active_set)
        self.cell.start(settings)
        if settings.flip_interval:
            self.cell.commands(
                f"fix flips all mmtp/mc {settings.flip_interval} {settings.flip_attempts} "
                f"{settings.temperature_K:.10g} {settings.seed % 900000000 + 1}"
            )

    def _pair_style(self, model: PotentialModel, settings: MdSettings, active_set: ActiveSet | None) -> None:
        moments = f"moments relax every {model.relax_interval}" if model.relax_interval else "moments fixed"
        with tempfile.TemporaryDirectory(prefix="mmtp-") as folder:
            packed = Path(folder) / "potential.packed"
            packed.write_bytes(pack(model.potential, self.cell.species, active_set))
            self.cell.commands(
                f"pair_style mmtp {moments} tolerance {model.tolerance:.10g} threads {thread_count()}"
                + (f" grade {settings.grade_interval}" if active_set is not None else ""),
                f"pair_coeff * * {packed} {' '.join(self.cell.species)}",
            )
        # LAMMPS' own skin of 2 Å would nearly triple the pairs that are looked at.
        self.cell.commands(f"neighbor {SKIN_A} bin", "compute pair all pair mmtp")

    def _order(self) -> IntArray:
        """Return the place in `atoms` of every atom of LAMMPS, shape (n,)."""
        lmp = self.cell.lmp
        return np.asarray(lmp.numpy.extract_atom("id")[: lmp.get_natoms()], dtype=np.int64) - 1

    def _own_moments(self) -> FloatArray:
        """Return LAMMPS' own moments, shape (n,), to read and write (μB)."""
        moments: FloatArray = self.cell.lmp.numpy.extract_atom("d_mag")[: self.cell.lmp.get_natoms()]
        return moments

    @property
    def evaluations(self) -> float:
        """Mean evaluations of the potential in the steps that were looked at."""
        return float(np.mean(self._counts)) if self._counts else 1.0

    def advance(self, steps: int) -> None:
        """Run some steps; raise what went wrong in them."""
        try:
            self.cell.advance(steps, first=self.state is None)
        except Exception as error:
            raise _translated(error) from error
        if self._magnetic:
            self._moments[self._order()] = self._own_moments()
        columns = self.cell.lmp.extract_compute("pair", 0, 1)
        if self.state is not None:
            self._counts.append(columns[EVALUATIONS])
        if self._grades:
            self.grade = columns[MAX_GRADE]
        n = len(self._moments)
        missed, self._missed = columns[UNCONVERGED] - self._missed, columns[UNCONVERGED]
        self.state = ModelState(
            0.0, np.zeros((n, 3)), np.zeros(6), self._moments.copy(), columns[AT_BOUNDS] > 0, missed == 0
        )

    def thermo(self) -> dict[str, float]:
        """Return temperature (K), energies (eV) and pressure (GPa) of the last step."""
        return self.cell.thermo()

    def snapshot(self) -> Atoms:
        """Return the last step's configuration, with moments and velocities."""
        atoms = self.cell.snapshot()
        atoms.set_initial_magnetic_moments(self._moments)
        return atoms

    def close(self) -> None:
        """End LAMMPS."""
        self.cell.close()


def _can_grade(active_set: ActiveSet, potential: Potential) -> bool:
    return active_set.sites_only and active_set.state.potential_hash == potential.content_hash


def _translated(error: Exception) -> Exception:
    """Return what `mmtp_fw.md.dynamics` understands."""
    text = str(error).splitlines()[0]
    if "is not finite" in text or "Non-numeric" in text:
        return FloatingPointError(text)
    if "two atoms coincide" in text:
        return InputError(text)
    if "Lost atoms" in text or "out of range" in text:
        return error
    return EngineError(text)
