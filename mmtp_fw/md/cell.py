"""A configuration in LAMMPS: box, atoms, velocities, integrator; and back again."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.lammps import Prism

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import EngineError
from mmtp_fw.md.settings import MdSettings

_PER_PS = 1000.0 * units.fs  # ASE's unit of velocity in Å/ps


class LammpsCell:
    """n atoms in a LAMMPS instance of their own; ids follow the order of `atoms`.

    Parameters
    ----------
    lmp : lammps.lammps
        An empty instance.
    atoms : Atoms
        Three cell vectors.
    plugin : str, optional
        Path of a plugin that is loaded first.

    Attributes
    ----------
    species : list of str
        Element of every atom type.
    """

    def __init__(self, lmp: Any, atoms: Atoms, plugin: str | None = None) -> None:
        self.lmp = lmp
        self.atoms = atoms.copy()
        self.prism = Prism(np.array(atoms.cell), pbc=atoms.pbc)
        self.species = sorted(set(atoms.get_chemical_symbols()))
        masses = dict(zip(atoms.get_chemical_symbols(), atoms.get_masses(), strict=True))
        xx, yy, zz, xy, xz, yz = self.prism.get_lammps_prism()
        if plugin is not None:
            self.commands(f"plugin load {plugin}")
        self.commands(
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0.0",
            "boundary " + " ".join("p" if p else "s" for p in atoms.pbc),
            "box tilt large",
            f"region cell prism 0 {xx:.16g} 0 {yy:.16g} 0 {zz:.16g} {xy:.16g} {xz:.16g} {yz:.16g}",
            f"create_box {len(self.species)} cell",
        )
        positions = self.prism.vector_to_lammps(atoms.get_positions(), wrap=True)
        types = [self.species.index(s) + 1 for s in atoms.get_chemical_symbols()]
        n = len(types)
        made = lmp.create_atoms(n, list(range(1, n + 1)), types, positions.ravel().tolist(), shrinkexceed=True)
        if made != n:
            raise EngineError(f"LAMMPS took {made} of {n} atoms", "are all atoms inside the cell?")
        self.commands(*(f"mass {i + 1} {masses[s]:.10g}" for i, s in enumerate(self.species)))

    def commands(self, *commands: str) -> None:
        """Give commands of LAMMPS' input language."""
        for command in commands:
            self.lmp.command(command)

    def start(self, settings: MdSettings) -> None:
        """Set velocities (those of the atoms, unless all are zero), time step and integrator."""
        self.commands(f"timestep {settings.timestep_fs * 1e-3:.16g}")
        velocities, n = self.atoms.get_velocities(), len(self.atoms)
        temperature = f"{settings.temperature_K:.10g}"
        if np.any(velocities):
            v = self.prism.vector_to_lammps(velocities) * _PER_PS
            self.lmp.scatter_atoms("v", 1, 3, (ctypes.c_double * (3 * n))(*v.ravel()))
        elif n > 1:
            seed = settings.seed % 900000000 + 1
            self.commands(f"velocity all create {temperature} {seed} dist gaussian mom yes rot no")
        thermostat = f"temp {temperature} {temperature} {settings.thermostat_damping_fs * 1e-3:.10g}"
        if settings.pressure_GPa is not None:
            bars = f"{settings.pressure_GPa * 1e4:.10g}"
            damping = f"{settings.barostat_damping_fs * 1e-3:.10g}"
            self.commands(f"fix move all npt {thermostat} iso {bars} {bars} {damping}")
        else:
            self.commands("fix move all " + (f"nvt {thermostat}" if settings.thermostat_damping_fs > 0 else "nve"))
        self.commands("thermo_style custom step temp pe etotal press")

    def advance(self, steps: int, first: bool) -> None:
        """Run some steps; `first` sets LAMMPS up anew."""
        self.commands(f"thermo {max(steps, 1)}", f"run {steps} pre {'yes' if first else 'no'} post no")

    def thermo(self) -> dict[str, float]:
        """Return temperature (K), energies (eV) and pressure (GPa) of the last step."""
        get = self.lmp.get_thermo
        return {
            "temperature_K": get("temp"),
            "potential_energy_eV": get("pe"),
            "total_energy_eV": get("etotal"),
            "pressure_GPa": get("press") * 1e-4,
        }

    def volume(self) -> float:
        """Return the volume of the box (Å³) as it is now."""
        return float(self.lmp.get_thermo("vol"))

    def gather(self, name: str) -> FloatArray:
        """Return a vector per atom (x, v or f) in LAMMPS' axes and units, shape (n, 3)."""
        return np.array(self.lmp.gather_atoms(name, 1, 3)).reshape(-1, 3)

    def snapshot(self) -> Atoms:
        """Return the atoms where they are now, in the cell as it is now, with velocities."""
        atoms: Atoms = self.atoms.copy()
        low, high, xy, yz, xz, *_ = self.lmp.extract_box()
        lengths = np.array(high) - np.array(low)
        cell = np.diag(lengths)
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
        positions = self.gather("x") - np.array(low)
        if all(atoms.pbc):
            atoms.set_cell(self.prism.vector_to_ase(cell))
        else:  # shrink-wrapped boundaries are LAMMPS' own affair
            positions += np.array(low)
        atoms.set_positions(self.prism.vector_to_ase(positions))
        atoms.set_velocities(self.prism.vector_to_ase(self.gather("v") / _PER_PS))
        return atoms

    def close(self) -> None:
        """End LAMMPS."""
        self.lmp.close()
