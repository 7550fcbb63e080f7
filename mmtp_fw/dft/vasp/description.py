"""What others know of VASP as an engine."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtp_fw.dft.machine import Check, DatasetSearch, Program
from mmtp_fw.dft.registry import EngineCosts, EngineDescription, rungs
from mmtp_fw.dft.vasp.settings import COMMAND_VARIABLE, VaspSettings, program
from mmtp_fw.errors import EngineError, MmtpError

if TYPE_CHECKING:
    from ase import Atoms

    from mmtp_fw.dft.engine import Engine
    from mmtp_fw.dft.finished_runs import FinishedRuns
    from mmtp_fw.dft.vasp.potcars import PotcarFile
    from mmtp_fw.dft.work import ScfWork

_REMEDY = f"needs a licence; load its module, or export {COMMAND_VARIABLE}='srun vasp_ncl'"


def check_program() -> Check:
    """Look for the command that the engine would start, launcher and program."""
    name = "VASP"
    try:
        words = program(VaspSettings())
    except EngineError as error:
        others = [other for other in ("vasp_std", "vasp_gam") if shutil.which(other)]
        there = f"; {' and '.join(others)} can't compute non-collinear moments" if others else ""
        return Check(name, False, f"{error.message}{there}", _REMEDY)
    if len(words) > 1 and not words[-1].startswith("-") and shutil.which(words[-1]) is None:
        return Check(name, False, f"{words[0]} is there, '{words[-1]}' is not on PATH", _REMEDY)
    return Check(name, True, " ".join(words))


def check_potcars() -> Check:
    """Look for pymatgen's POTCAR directory, and in it for the POTCARs of the case study."""
    name, settings = "VASP POTCARs", VaspSettings()
    try:
        (directory,) = _folders()
        titles = [_find(species, settings).title for species in ("Fe", "Pd")]
    except MmtpError as error:
        return Check(name, False, error.message, error.hint)
    return Check(name, True, f"{', '.join(titles)} ({settings.potcar_functional}) in {directory}")


def _finished() -> FinishedRuns:
    from mmtp_fw.dft.vasp.finished import RUNS

    return RUNS


def _engine(**settings: Any) -> Engine:
    from mmtp_fw.dft.vasp.engine import VaspEngine

    return VaspEngine(**settings)


def _folders() -> Sequence[Path]:
    from mmtp_fw.dft.vasp.potcars import potcar_directory

    return [potcar_directory()]


def _find(species: str, settings: VaspSettings) -> PotcarFile:
    from mmtp_fw.dft.vasp.potcars import find_potcar

    return find_potcar(species, settings)


def _work(settings: Mapping[str, Any], atoms: Atoms) -> ScfWork:
    """Count the work with guessed electrons: a POTCAR is read by pymatgen, which a plan does without."""
    from ase.units import Hartree

    from mmtp_fw.dft.work import guessed_valence, plane_wave_work

    chosen = VaspSettings.model_validate(dict(settings))
    electrons = float(sum(guessed_valence(symbol) for symbol in atoms.symbols))
    bands = math.ceil(electrons) + len(atoms)  # of spinors
    cutoff, species = chosen.encut_eV / Hartree, tuple(sorted(set(atoms.symbols)))
    return plane_wave_work(atoms, electrons, bands, cutoff, chosen.kspacing_per_A, spinors=True, assumed=species)


ENGINE = EngineDescription(
    name="vasp",
    title="VASP",
    about="VASP (non-collinear, PAW)",
    settings=VaspSettings,
    engine=_engine,
    finished=_finished,
    costs=EngineCosts(scf_seconds=3600.0, work=_work, seconds_per_operation=1.6e-10, run_seconds=10.0),
    ladders={
        "cut-off": partial(rungs, names=("encut_eV",), factors=(1.2, 1.45)),
        "k-mesh": partial(rungs, names=("kspacing_per_A",), factors=(0.75, 0.55)),
    },
    programs=(Program("vasp_ncl", _REMEDY),),
    datasets=DatasetSearch("POTCARs", _folders, _find, "see docs/vasp.md"),
    checks={"VASP": check_program, "VASP POTCARs": check_potcars},
    page="docs/vasp.md",
    functional=lambda settings: f"that of the POTCARs, {VaspSettings.model_validate(dict(settings)).potcar_functional}",
)
