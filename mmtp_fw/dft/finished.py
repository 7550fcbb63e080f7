"""Calculations that others have finished, as labels: files of labelled configurations, runs of engines' programs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.engine import ConstraintKind
from mmtp_fw.dft.finished_runs import FinishedRuns
from mmtp_fw.dft.registry import describe, own_engines
from mmtp_fw.dft.stages import Check, CheckVerdict, Label
from mmtp_fw.errors import InputError
from mmtp_fw.fitting import DerivativeSign, read_configurations
from mmtp_fw.labelling import Grade

UNKNOWN = "imported"
"""The engine of labels whose file does not say what computed them."""
_HEAD_BYTES = 4096
UNNAMED_MOMENT = "as in the file"
"""The definition of a moment that its file does not tell."""


@dataclass(frozen=True)
class Finished:
    """What was found in one file.

    Attributes
    ----------
    file : Path
    digest : str
        blake2b of the file.
    engine : str
        Its name, or `UNKNOWN`.
    settings : mapping
        What the file says of how it was computed, by the names of that engine's settings.
    moment : str
        Definition of its moments.
    configurations : list of Atoms
        With their results as single-point calculators and ``arrays["magnetic_forces"]`` (eV/μB) where there are any.
    """

    file: Path
    digest: str
    engine: str
    settings: Mapping[str, Any]
    moment: str
    configurations: list[Atoms] = field(repr=False)

    @property
    def name(self) -> str:
        """The file's name, of a program's output with its folder's: runs differ by that."""
        return self.file.name if self.engine == UNKNOWN else "/".join(self.file.absolute().parts[-2:])


def read_finished(
    path: Path, species: Sequence[str] | None = None, magnetic_derivatives: DerivativeSign = "detect"
) -> Finished:
    """Read one file of labels.

    Parameters
    ----------
    path : Path
        The output of an engine's program; what `mmtp_fw.fitting.read_configurations` reads. Of a folder, the output of
        the run in it.
    species : sequence of str, optional
        Names of the types in MLIP's cfg.
    magnetic_derivatives : {"detect", "force", "derivative"}
        See `mmtp_fw.fitting.read_configurations`.

    Raises
    ------
    InputError
        The file can't be read, or its calculation did not come to its end.
    """
    if path.is_dir():
        path = output_in(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}", "check the path") from error
    digest = hashlib.blake2b(raw, digest_size=16).hexdigest()
    for engine, runs in _readers().items():
        if runs.recognises(path, raw[:_HEAD_BYTES]):
            configurations, settings, moment = runs.read(path)
            return Finished(path, digest, engine, settings, moment, configurations)
    found = read_configurations(path, species, magnetic_derivatives)
    return Finished(path, digest, UNKNOWN, {}, UNNAMED_MOMENT, found)


def runs_in(folders: Iterable[Path], engine: str) -> Iterator[Path]:
    """Yield the folders in and below the given ones that hold an output of an engine's program, each once.

    Parameters
    ----------
    folders : iterable of Path
    engine : str

    Raises
    ------
    InputError
        There is no such folder, or nothing of that program in it.
    """
    runs = _readers()[engine]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: is no folder", "name folders of finished runs; files are for `import labels`")
        found = sorted({path.parent for name in runs.files for path in folder.rglob(name) if _is_of(runs, path)})
        if not found:
            names = ", ".join(runs.files)
            raise InputError(f"{folder}: no output of {engine} in it or below", f"one of {names}")
        yield from found


def output_in(folder: Path) -> Path:
    """Return the output of the finished run in a folder.

    Raises
    ------
    InputError
        There is none, or more than one that fits a pattern.
    """
    readers = _readers().values()
    for runs in readers:
        for name in runs.files:
            found = [path for path in sorted(folder.glob(name)) if _is_of(runs, path)]
            if len(found) == 1:
                return found[0]
            if found:
                raise InputError(
                    f"{folder}: several outputs: {', '.join(path.name for path in found)}", "name the file"
                )
    names = ", ".join(name for runs in readers for name in runs.files)
    raise InputError(f"{folder}: none of {names}", "a folder is taken for one finished run")


def _is_of(runs: FinishedRuns, path: Path) -> bool:
    """Return whether a file is such an output, by its content: others have names of that pattern, too."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return runs.recognises(path, file.read(_HEAD_BYTES))


def _readers() -> dict[str, FinishedRuns]:
    """Return the engines of this package whose programs' outputs are read."""
    found = {name: describe(name).finished for name in own_engines()}
    return {name: reader() for name, reader in found.items() if reader is not None}


def label_of(atoms: Atoms, found: Finished, where: str) -> Label:
    """Return a configuration's results as a label.

    Where the file has targets (initial moments beside the moments reached, as mmtp_fw writes them) they are kept; else
    the moments reached stand for them. Grade and check are those that mmtp_fw wrote; without them it is unchecked.

    Parameters
    ----------
    atoms : Atoms
        n atoms.
    found : Finished
        Where it comes from.
    where : str
        What messages begin with.

    Raises
    ------
    InputError
        No energy, forces or moments, one that is not finite, or no crystal.
    """
    results = _results(atoms, where)
    info = atoms.info
    moments = np.asarray(results["magmoms"], dtype=float)
    kept = info.get("label_mae_muB") is not None and "initial_magmoms" in atoms.arrays
    target = np.asarray(atoms.arrays["initial_magmoms"], dtype=float) if kept else moments
    deviation = np.abs(moments - target)
    forces, stress = atoms.arrays.get("magnetic_forces"), results.get("stress")
    told = json.dumps([found.engine, dict(found.settings)], sort_keys=True)
    return Label(
        symbols=list(atoms.symbols),
        positions=atoms.positions.tolist(),
        cell=np.asarray(atoms.cell).tolist(),
        pbc=[bool(one) for one in atoms.pbc],
        energy_eV=float(results["energy"]),
        forces=np.asarray(results["forces"], dtype=float).tolist(),
        stress=None if stress is None else _voigt(np.asarray(stress, dtype=float)),
        moments=moments.tolist(),
        magnetic_forces=None if forces is None else np.asarray(forces, dtype=float).tolist(),
        which_definition=found.moment,
        target=target.tolist(),
        constraint=_one_of(ConstraintKind, info.get("label_constraint"), ConstraintKind.NONE),
        lambda_eV_per_muB2=info.get("label_lambda_eV_per_muB2"),
        mae_muB=float(deviation.mean()),
        max_deviation_muB=float(deviation.max()),
        grade=_one_of(Grade, info.get("label_grade"), Grade.B),
        check=Check(
            verdict=_one_of(CheckVerdict, info.get("label_check"), CheckVerdict.UNCHECKED),
            note="imported, not checked here",
        ),
        engine=found.engine,
        settings_hash=hashlib.blake2b(told.encode(), digest_size=8).hexdigest(),
        scf_runs=0,
        stage_key="",
    )


def _results(atoms: Atoms, where: str) -> dict[str, Any]:
    """Return a configuration's results; refuse one that lacks what every label has."""
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    for name, words in (("energy", "energy"), ("forces", "forces"), ("magmoms", "magnetic moments")):
        if results.get(name) is None:
            raise InputError(f"{where}: has no {words}", "docs/files.md lists the names that are read")
        if not np.all(np.isfinite(np.asarray(results[name], dtype=float))):
            raise InputError(f"{where}: its {words} are not finite")
    if atoms.cell.rank < 3 or not np.all(atoms.pbc):
        raise InputError(f"{where}: is not periodic along three directions")
    return results


def contradictions(found: Finished, engine: str, settings: Mapping[str, Any]) -> list[str]:
    """Return in words why a file's labels do not mix with those of a campaign's engine; empty where nothing says so.

    Parameters
    ----------
    found : Finished
    engine : str
        Of the campaign.
    settings : mapping
        That engine's, defaults included.
    """
    if found.engine not in (UNKNOWN, engine):
        return [f"computed with {found.engine}, the campaign labels with {engine}: their energies do not mix"]
    reader = _readers().get(engine)
    implied = {} if reader is None else reader.implied(settings)
    told = []
    for name, value in found.settings.items():
        wanted = settings.get(name, implied.get(name))
        if isinstance(value, Mapping):
            wanted = wanted or {}
            told += [
                f"{name} of {key}: {one}, the campaign's is {wanted[key]}"
                for key, one in value.items()
                if key in wanted and wanted[key] != one
            ]
        elif wanted is not None and not _same(value, wanted):
            told.append(f"{name}: {value}, the campaign's is {wanted}")
    return told


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return bool(np.isclose(float(one), float(other), rtol=1e-6))
    return bool(one == other)


def _one_of(kind: Any, value: Any, default: Any) -> Any:
    try:
        return default if value is None else kind(value)
    except ValueError:
        return default


def _voigt(stress: FloatArray) -> list[float]:
    if stress.shape == (3, 3):
        stress = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return [float(one) for one in stress]
