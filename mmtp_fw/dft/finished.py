"""Calculations that others have finished, as labels: files of labelled configurations, runs of VASP and ABINIT."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.abinit.outputs import AbinitOutput, parse_output
from mmtp_fw.dft.engine import ConstraintKind
from mmtp_fw.dft.stages import Check, CheckVerdict, Label
from mmtp_fw.errors import InputError
from mmtp_fw.fitting import read_configurations
from mmtp_fw.labelling import Grade
from mmtp_fw.vaspio import is_vasp_output
from mmtp_fw.vaspio.text import read_text

UNKNOWN = "imported"
"""The engine of labels whose file does not say what computed them."""
UNNAMED_MOMENT = "as in the file"
"""The definition of a moment that its file does not tell."""
_FUNCTIONALS = {"--": "of the POTCAR", "PE": "PBE", "PS": "PBEsol", "RP": "RPBE", "91": "PW91", "CA": "LDA"}
_OCCOPT = {3: "Fermi-Dirac", 4: "cold", 5: "cold (monotonic)", 6: "Methfessel-Paxton", 7: "Gaussian"}
_IXC = {1: "LDA", 7: "LDA", 11: "PBE", 23: "WC", -1012: "LDA", -101130: "PBE", -116133: "PBEsol"}
_VASP_FILES = ("vasprun.xml", "vasprun.xml.gz", "OUTCAR", "OUTCAR.gz")
_ABINIT_VARIABLES = {
    "ecut_Ha": "ecut", "pawecutdg_Ha": "pawecutdg", "tsmear_Ha": "tsmear",
}  # fmt: skip
_ABINIT_FILES = ("*.abo", "*.out")


@dataclass(frozen=True)
class Finished:
    """What was found in one file.

    Attributes
    ----------
    file : Path
    digest : str
        blake2b of the file.
    engine : str
        vasp, abinit, or `UNKNOWN`.
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


def read_finished(path: Path, species: Sequence[str] | None = None) -> Finished:
    """Read one file of labels.

    Parameters
    ----------
    path : Path
        OUTCAR or vasprun.xml; ABINIT's main output; what `mmtp_fw.fitting.read_configurations` reads. Of a folder, the
        output of the run in it.
    species : sequence of str, optional
        Names of the types in MLIP's cfg.

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
    if b"ABINIT" in raw[:3000]:
        return _abinit(path, digest, raw.decode(errors="replace"))
    found = read_configurations(path, species)
    if is_vasp_output(path):
        return Finished(path, digest, "vasp", _vasp_settings(path), "PAW projections of LORBIT = 11", found)
    return Finished(path, digest, UNKNOWN, {}, UNNAMED_MOMENT, found)


def runs_in(folders: Iterable[Path], program: str) -> Iterator[Path]:
    """Yield the folders in and below the given ones that hold an output of a program, each once.

    Parameters
    ----------
    folders : iterable of Path
    program : str
        vasp or abinit.

    Raises
    ------
    InputError
        There is no such folder, or nothing of that program in it.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: is no folder", "name folders of finished runs; files are for `import labels`")
        names = _VASP_FILES if program == "vasp" else _ABINIT_FILES
        found = sorted({path.parent for name in names for path in folder.rglob(name)})
        if not found:
            raise InputError(f"{folder}: no output of {program} in it or below", f"one of {', '.join(names)}")
        yield from found


def output_in(folder: Path) -> Path:
    """Return the output of the finished run in a folder.

    Raises
    ------
    InputError
        There is none, or of ABINIT more than one.
    """
    for name in _VASP_FILES:
        if (folder / name).is_file():
            return folder / name
    found = [path for name in _ABINIT_FILES for path in sorted(folder.glob(name)) if path.is_file()]
    if len(found) == 1:
        return found[0]
    why = "several outputs: name the file" if found else f"none of {', '.join((*_VASP_FILES, *_ABINIT_FILES))}"
    raise InputError(f"{folder}: {why}", "a folder is taken for one finished run of VASP or ABINIT")


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
    told = []
    for name, value in found.settings.items():
        wanted = settings.get(name, _implied(engine, settings).get(name))
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


def _implied(engine: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what calculations of an engine have beside its settings."""
    if engine == "abinit":
        return {"smearing": "cold"} | ({} if settings.get("pseudos") else {"functional": "PBE"})
    if engine == "vasp":
        return {"functional": str(settings.get("potcar_functional", "PBE")).split("_")[0]}
    return {}


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


def _vasp_settings(path: Path) -> dict[str, Any]:
    """Return cut-off and POTCARs of a run, from OUTCAR, where that is there."""
    beside = path if "OUTCAR" in path.name else next(
        (one for name in ("OUTCAR", "OUTCAR.gz") if (one := path.parent / name).is_file()), None
    )  # fmt: skip
    if beside is None:
        return {}
    head = read_text(beside)[:200_000]
    found: dict[str, Any] = {}
    if cut_off := re.search(r"ENCUT\s*=\s*([\d.]+)", head):
        found["encut_eV"] = float(cut_off.group(1))
    titles = re.findall(r"TITEL\s*=\s*(\S+)\s+(\S+)", head)
    if titles:
        found["potcar_symbols"] = {symbol.split("_")[0]: symbol for _, symbol in titles}
        tag = re.search(r"\bGGA\s*=\s*(\S+)", head)
        found["functional"] = _FUNCTIONALS.get(tag.group(1) if tag else "--", tag.group(1) if tag else "")
        if found["functional"] == "of the POTCAR":
            found["functional"] = titles[0][0].removeprefix("PAW_").replace("PAW", "LDA")
    return found


def _abinit(path: Path, digest: str, text: str) -> Finished:
    """Read ABINIT's main output of one data set at fixed positions."""
    from ase.io.abinit import read_abinit_out

    output = _ended(path, text)
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            atoms = read_abinit_out(stream)["atoms"]
    except Exception as error:  # whatever the reader raises, the file is what it can't read
        raise InputError(f"{path}: its structure can't be read: {error}") from error
    results = {
        "energy": output.energy_eV, "forces": output.forces, "stress": output.stress, "magmoms": output.moments,
    }  # fmt: skip
    atoms.calc = SinglePointCalculator(atoms, **{name: one for name, one in results.items() if one is not None})
    if output.torques is not None:
        atoms.set_array("magnetic_forces", -output.torques)
        atoms.info["label_constraint"] = ConstraintKind.HARD.value
    elif output.penalty_eV is not None:
        atoms.info["label_constraint"] = ConstraintKind.SOFT.value
    radii = dict.fromkeys(f"{radius:g}" for radius in _variable(text, "ratsph"))
    return Finished(path, digest, "abinit", _abinit_settings(text), f"sphere of {', '.join(radii)} bohr", [atoms])


def _ended(path: Path, text: str) -> AbinitOutput:
    """Return what ABINIT printed; refuse what is no label."""
    if text.count("== DATASET") > 1 or re.search(r"^[-P ]\s+ionmov\s+[1-9]", text, re.MULTILINE):
        raise InputError(f"{path}: holds several calculations", "one output of one data set at fixed positions")
    log = path.with_suffix(".log")
    output = parse_output(text, log.read_text(errors="replace") if log.is_file() else "")
    if not output.converged or output.energy_eV is None:
        raise InputError(f"{path}: did not converge, or did not come to its end", "its energy and forces are no label")
    if output.density_mixed and output.lvp_eV is None and output.torques is not None:
        raise InputError(f"{path}: mixes the density under a constraint, and its log is not beside it as {log.name}")
    if re.search(r"^[-P ]\s+magconon\s+[12]", text, re.MULTILINE) and output.penalty_eV is None:
        raise InputError(f"{path}: its energy holds a penalty that only the log tells", f"put it beside as {log.name}")
    return output


def _abinit_settings(text: str) -> dict[str, Any]:
    """Return what an output says of how it was computed: ABINIT repeats variables that are not at their defaults."""
    settings: dict[str, Any] = {"tsmear_Ha": 0.01}
    for name, variable in _ABINIT_VARIABLES.items():
        if value := _variable(text, variable):
            settings[name] = value[0]
    for name, variable, words in (("smearing", "occopt", _OCCOPT), ("functional", "ixc", _IXC)):
        if value := _variable(text, variable):
            settings[name] = words.get(int(value[0]), f"{variable} {value[0]:g}")
    return settings


def _variable(text: str, name: str) -> list[float]:
    """Return the last echo of an input variable in ABINIT's output; nothing where there is none."""
    number = r"[-+]?[\d.]+(?:E[-+]\d+)?"
    found = re.findall(rf"^[-P ]\s+{name}((?:\s+{number})+)", text, re.MULTILINE)
    return [float(one) for one in found[-1].split()] if found else []
