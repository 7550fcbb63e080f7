"""The folder of one calculation: where it is found again, and the note in it of how far it came."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmtp_fw.dft.engine import ScfRequest, settings_hash
from mmtp_fw.errors import EngineError
from mmtp_fw.files import write_whole

RUNNING, INTERRUPTED, FINISHED = "running", "interrupted", "finished"
_NOTE = "mmtp.json"


class CalculationFolder:
    """Where one calculation of an engine's program leaves its files.

    Parameters
    ----------
    request : ScfRequest
    settings : mapping
        The engine's `settings_document()`.
    details : mapping
        What the answer depends on beside the request and the settings: digests of datasets, radii by default …
    work_directory : str, optional
        A file system that later launches see too, ``$VARIABLES`` allowed; the request's own directory when None.

    Attributes
    ----------
    path : Path
        Absolute; in `work_directory` the calculations of one structure, its targets and settings share a parent.

    Raises
    ------
    EngineError
        `work_directory` names a variable that is not set here.
    """

    def __init__(
        self,
        request: ScfRequest,
        settings: Mapping[str, Any],
        details: Mapping[str, Any],
        work_directory: str | None = None,
    ) -> None:
        atoms = request.atoms
        structure = {
            "symbols": list(atoms.symbols),
            "positions": atoms.positions.tolist(),
            "cell": np.asarray(atoms.cell).tolist(),
        }
        self.path = request.directory.absolute()
        if work_directory is not None:
            root = Path(os.path.expandvars(work_directory)).expanduser()
            if "$" in str(root):
                raise EngineError(f"dft.settings.work_directory: a variable of {root} is not set on this machine")
            targets = {"targets": atoms.get_initial_magnetic_moments().tolist()}
            self.path = root.absolute() / settings_hash(settings, structure | targets) / request.directory.name
        constraint = request.constraint
        asked = {
            "stage": request.stage,
            "kind": request.kind.value,
            "lambda": request.lambda_eV_per_muB2,
            "constraint": None if constraint is None else np.asarray(constraint, dtype=float).tolist(),
            "radii": dict(request.radii_A),
            "restart": request.restart.get("folder"),
        }
        self._digest = settings_hash(settings, structure, asked, details)

    def note(self) -> dict[str, Any]:
        """Return what was noted of this very request, at least its ``state``; empty where nothing was."""
        try:
            note = json.loads((self.path / _NOTE).read_text())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) and note.get("request") == self._digest else {}

    def write_note(self, state: str, **more: Any) -> None:
        """Note a state ("running", "interrupted", "finished") and more of the request."""
        write_whole(self.path / _NOTE, json.dumps({"request": self._digest, "state": state} | more))

    def before(self, request: ScfRequest) -> Path | None:
        """Return the folder of the calculation that the request restarts from, None for one from scratch."""
        name = request.restart.get("folder")
        return self.path.parent / str(name) if name else None


def filled(path: Path) -> bool:
    """Return whether there is a file with something in it."""
    return path.is_file() and path.stat().st_size > 0


def text_of(path: Path) -> str:
    """Return what a program wrote, as far as it is text; nothing where there is no file."""
    return path.read_text(errors="replace") if path.is_file() else ""


def last_words(log: Path, telling: str = "") -> str:
    """Return the last line of a program's log for a message, of those that hold `telling` where there are any."""
    lines = [line.strip() for line in text_of(log).splitlines() if line.strip()]
    chosen = [line for line in lines if telling in line] or lines
    return f"its last words: {chosen[-1][:200]}" if chosen else "it said nothing"
