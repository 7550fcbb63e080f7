"""How commands learn and show what a potential knows of configurations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms

    from mmtp_fw.potential import Evaluation, Potential
    from mmtp_fw.selection import PredictionUncertainty, Uncertainty

COLUMNS = ["Verdict", ">± Energy (meV/atom)", ">± Forces (eV/Å)", ">± Pressure (GPa)"]


def known_to(potential: Potential, training: Path, held_out: Path | None, species: str | None) -> Uncertainty:
    """Return what a potential's labels determine, from their file and one of labels to calibrate by."""
    from mmtp_fw.cli.files import read_labels
    from mmtp_fw.selection import Uncertainty

    new = read_labels(held_out, species, None, potential.magnetic) if held_out is not None else None
    known = read_labels(training, species, None, potential.magnetic)
    return Uncertainty.from_configurations(potential, known, held_out=new)


def shown(values: Any, form: str) -> str:
    """Return the root mean square over atoms and components; a dash where there is no number."""
    import numpy as np

    if values is None or not np.all(np.isfinite(values)):
        return "–"
    return form.format(float(np.sqrt(np.mean(np.square(values)))))


def columns_of(one: PredictionUncertainty) -> tuple[str, ...]:
    """Return verdict, energy, forces and pressure of a configuration, as `COLUMNS`."""
    from ase.units import GPa

    pressure = None if one.pressure is None else one.pressure / GPa
    return (
        one.verdict.value, shown(1e3 * one.energy_per_atom, "{:.2f}"), shown(one.forces, "{:.4f}"),
        shown(pressure, "{:.3f}"),
    )  # fmt: skip


def write_evaluated(
    path: Path,
    configurations: Sequence[Atoms],
    evaluations: Sequence[Evaluation],
    uncertainties: Sequence[PredictionUncertainty] | None,
) -> None:
    """Write what a potential says of configurations, and how sure it is of each atom, as extended XYZ.

    Columns `forces`, `magnetic_forces` and, with uncertainties, `forces_uncertainty`, `magnetic_forces_uncertainty`; in
    the comment line `energy`, `stress`, `verdict`, `energy_uncertainty`, `extrapolation`. What is undetermined is inf.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    made = []
    for index, (atoms, found) in enumerate(zip(configurations, evaluations, strict=True)):
        one = atoms.copy()
        one.calc = SinglePointCalculator(one, energy=found.energy, forces=found.forces, magmoms=found.moments)
        if any(one.pbc):
            one.calc.results["stress"] = found.stress
        one.set_array("magnetic_forces", found.magnetic_forces)
        if uncertainties is not None:
            u = uncertainties[index]
            one.set_array("forces_uncertainty", u.forces)
            one.set_array("magnetic_forces_uncertainty", u.magnetic_forces)
            one.info |= {"verdict": u.verdict.value, "energy_uncertainty": u.energy, "extrapolation": u.extrapolation}
        made.append(one)
    write(path, made, format="extxyz")
