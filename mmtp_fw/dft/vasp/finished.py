"""Finished runs of VASP, whoever made them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase import Atoms

from mmtp_fw.dft.finished_runs import FinishedRuns
from mmtp_fw.vaspio import is_vasp_output, read_vasp_output
from mmtp_fw.vaspio.text import read_text

_FUNCTIONALS = {"--": "of the POTCAR", "PE": "PBE", "PS": "PBEsol", "RP": "RPBE", "91": "PW91", "CA": "LDA"}


def _settings(path: Path) -> dict[str, Any]:
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


def _read(path: Path) -> tuple[list[Atoms], dict[str, Any], str]:
    return read_vasp_output(path), _settings(path), "PAW projections of LORBIT = 11"


def _implied(settings: Mapping[str, Any]) -> dict[str, str]:
    return {"functional": str(settings.get("potcar_functional", "PBE")).split("_")[0]}


RUNS = FinishedRuns(
    ("vasprun.xml", "vasprun.xml.gz", "OUTCAR", "OUTCAR.gz"),
    lambda path, head: is_vasp_output(path),
    _read,
    _implied,
)
