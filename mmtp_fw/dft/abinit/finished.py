"""Finished calculations of ABINIT, whoever made them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.dft.abinit.outputs import AbinitOutput, parse_output
from mmtp_fw.dft.engine import ConstraintKind
from mmtp_fw.dft.finished_runs import FinishedRuns
from mmtp_fw.errors import InputError

_OCCOPT = {3: "Fermi-Dirac", 4: "cold", 5: "cold (monotonic)", 6: "Methfessel-Paxton", 7: "Gaussian"}
_IXC = {1: "LDA", 7: "LDA", 11: "PBE", 23: "WC", -1012: "LDA", -101130: "PBE", -116133: "PBEsol"}

_VARIABLES = {
    "ecut_Ha": "ecut", "pawecutdg_Ha": "pawecutdg", "tsmear_Ha": "tsmear",
}  # fmt: skip


def _read(path: Path) -> tuple[list[Atoms], dict[str, Any], str]:
    """Read ABINIT's main output of one data set at fixed positions."""
    from ase.io.abinit import read_abinit_out

    text = path.read_text(encoding="utf-8", errors="replace")
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
    return [atoms], _settings(text), f"sphere of {', '.join(radii)} bohr"


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


def _settings(text: str) -> dict[str, Any]:
    """Return what an output says of how it was computed: ABINIT repeats variables that are not at their defaults."""
    settings: dict[str, Any] = {"tsmear_Ha": 0.01}
    for name, variable in _VARIABLES.items():
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


def _implied(settings: Mapping[str, Any]) -> dict[str, str]:
    return {"smearing": "cold"} | ({} if settings.get("pseudos") else {"functional": "PBE"})


def _recognises(path: Path, head: bytes) -> bool:
    return re.search(rb"Version\s+\S+\s+of ABINIT", head) is not None


RUNS = FinishedRuns(("*.abo", "*.out"), _recognises, _read, _implied)
