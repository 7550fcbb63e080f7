"""One run of VASP in its directory: the process, what became of it, and the changes that handlers may make."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from custodian.custodian import Job
from pymatgen.io.vasp.inputs import Incar

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.processes import end_with_parent
from mmtp_fw.dft.vasp.inputs import write_incar
from mmtp_fw.dft.vasp.outputs import IncompleteOutputError, VaspOutput, read_output
from mmtp_fw.dft.vasp.said import last_words, refusal
from mmtp_fw.errors import EngineError
from mmtp_fw.processes import end_program

RESTART_FILES = ("WAVECAR", "CHGCAR")
STANDARD_OUTPUT, STANDARD_ERROR = "vasp.out", "vasp.err"
OUTPUT_FILES = (
    "OUTCAR", "OSZICAR", "vasprun.xml", "CONTCAR", "EIGENVAL", "DOSCAR", "PROCAR", "XDATCAR", "IBZKPT", "PCDAT",
    "CHG", "REPORT", "STOPCAR", "vaspout.h5", STANDARD_OUTPUT, STANDARD_ERROR,
)  # fmt: skip

CHANGEABLE_INCAR = frozenset({"ALGO", "AMIX", "BMIX", "AMIX_MAG", "BMIX_MAG", "ISTART", "ICHARG"})
"""INCAR tags that a correction may change: the way to the answer, never what the answer means."""

# A moment that small has no sign to lose.
_SIGNED_ABOVE_muB = 0.2
# The line of an electronic step in OSZICAR.
_STEP = re.compile(r"^\s*[A-Z]{3}\s*:\s*\d+\s", re.MULTILINE)


class Symptom(StrEnum):
    """What is wrong with a run that has ended, in the order in which it is looked for."""

    STOPPED = "stopped on request"
    ZBRENT = "ZBRENT: the line minimisation failed"
    EDDDAV = "EDDDAV: the diagonalisation failed"
    FROZEN = "VASP has written nothing for too long"
    REFUSED = "VASP refuses its input"
    CUT_OFF = "VASP did not come to its end"
    NOT_FINITE = "energy, forces or moments are not finite"
    NOT_CONVERGED = "no convergence"
    FLIPPED = "a moment has the wrong sign"


@dataclass(frozen=True)
class Correction:
    """What a handler saw and did: its name, the symptom, and the changes in words."""

    handler: str
    symptom: str
    changes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.symptom} ({', '.join(self.changes)})"


@dataclass
class VaspRun:
    """The state that job, handlers and engine share during one calculation.

    Attributes
    ----------
    directory : Path
        With all input files in it.
    command : sequence of str
    n : int
        Number of ions.
    constraint : ndarray, shape (n,), or None
        m^constr along z in the order of POSCAR (μB); None without constraint.
    penalised : bool
        Whether INCAR has a penalty, if only one that measures.
    sources : mapping of str to Path
        Where WAVECAR and CHGCAR came from, to come from there again.
    should_stop : callable
    stop_grace_s, frozen_after_s : float
    corrections : list of Correction
        Made so far.
    """

    directory: Path
    command: Sequence[str]
    n: int
    constraint: FloatArray | None
    penalised: bool
    sources: Mapping[str, Path] = field(default_factory=dict)
    should_stop: Callable[[], bool] = lambda: False
    stop_grace_s: float = 0.0
    frozen_after_s: float = float("inf")
    corrections: list[Correction] = field(default_factory=list)
    stopping: float | None = None
    process: subprocess.Popen[bytes] | None = None
    _seen: tuple[Symptom | None] | None = None

    # -- the process -----------------------------------------------------------------------------------

    def start(self) -> subprocess.Popen[bytes]:
        """Start VASP in a session of its own, after the traces of an earlier try are gone."""
        for name in OUTPUT_FILES:
            (self.directory / name).unlink(missing_ok=True)
        self._seen = None
        output, error = self.directory / STANDARD_OUTPUT, self.directory / STANDARD_ERROR
        with output.open("wb") as standard, error.open("wb") as errors:
            try:
                self.process = subprocess.Popen(
                    list(self.command), cwd=self.directory, stdin=subprocess.DEVNULL, stdout=standard, stderr=errors,
                    start_new_session=True, preexec_fn=end_with_parent,
                )  # fmt: skip
            except OSError as failure:
                raise EngineError(f"VASP can't be started: {failure}", "see MMTP_VASP_COMMAND") from failure
        return self.process

    @property
    def running(self) -> bool:
        """Whether VASP is still there."""
        return self.process is not None and self.process.poll() is None

    def silence(self) -> float:
        """Return for how many seconds VASP has written to none of the files that show its progress."""
        files = (self.directory / name for name in ("OSZICAR", "OUTCAR", STANDARD_OUTPUT))
        return time.time() - max((file.stat().st_mtime for file in files if file.exists()), default=time.time())

    def call_frozen(self) -> None:
        """Take the symptom of the running program to be that it is frozen."""
        self._seen = (Symptom.FROZEN,)

    def request_stop(self) -> None:
        """Ask VASP to stop at the next electronic step, writing WAVECAR and CHGCAR."""
        if self.stopping is None:
            self.stopping = time.monotonic()
            (self.directory / "STOPCAR").write_text("LABORT = .TRUE.\n")

    def terminate(self) -> None:
        """End VASP and every process that it has started."""
        if self.process is not None:
            end_program(self.process)

    # -- what became of it -----------------------------------------------------------------------------

    def read(self) -> VaspOutput:
        """Return what it found; `EngineError` where the files are of no use."""
        return read_output(self.directory, self.n, self.penalised)

    def symptom(self) -> Symptom | None:
        """Return what is wrong after VASP has ended, the same until it is started again."""
        if self._seen is None:
            self._seen = (self._symptom(),)
        return self._seen[0]

    def _symptom(self) -> Symptom | None:
        said = self.said()
        found: VaspOutput | None
        try:
            found = self.read()
        except IncompleteOutputError:
            found = None
        if self.stopping is not None and (found is None or not found.converged):
            return Symptom.STOPPED
        if found is not None and found.converged:
            return Symptom.FLIPPED if self._flipped(found) else None
        if "ZBRENT" in said:
            return Symptom.ZBRENT
        if re.search(r"Error EDDDAV|EDDDAV: Call to ZHEGV", said):
            return Symptom.EDDDAV
        if found is None:
            return Symptom.REFUSED if self.refusal() else Symptom.CUT_OFF
        return Symptom.NOT_FINITE if "not finite" in found.message else Symptom.NOT_CONVERGED

    def _flipped(self, found: VaspOutput) -> bool:
        if self.constraint is None:
            return False
        moments = found.unsmoothed[:, 2]
        return bool(np.any((np.abs(self.constraint) > _SIGNED_ABOVE_muB) & (moments * self.constraint < 0)))

    def said(self) -> str:
        """Return what VASP wrote to its standard output and error."""
        return _text(self.directory / STANDARD_OUTPUT) + _text(self.directory / STANDARD_ERROR)

    def last_words(self) -> str:
        """Return why it ended, as far as VASP or the system said so."""
        return last_words(self.said())

    def refusal(self) -> str | None:
        """Return the error for which VASP did not even begin; None where it began, or the input is not to blame."""
        if _STEP.search(_text(self.directory / "OSZICAR")):
            return None
        return refusal(self.said())

    # -- corrections -----------------------------------------------------------------------------------

    def change_incar(self, **tags: Any) -> list[str]:
        """Change INCAR and return the changes in words.

        Raises
        ------
        ValueError
            A tag that no correction may touch: it would change what the label means.
        """
        forbidden = sorted(set(tags) - CHANGEABLE_INCAR)
        if forbidden:
            raise ValueError(f"a correction must not change {', '.join(forbidden)}")
        path = self.directory / "INCAR"
        incar = Incar.from_file(path)
        words = [f"{tag} {incar.get(tag)} → {value}" for tag, value in tags.items() if incar.get(tag) != value]
        incar.update(tags)
        write_incar(incar, path)
        return words

    def incar(self) -> Incar:
        """Return INCAR as it is now."""
        return Incar.from_file(self.directory / "INCAR")

    def start_afresh(self, **tags: Any) -> list[str]:
        """Begin from MAGMOM and atomic charges, without WAVECAR and CHGCAR."""
        for name in RESTART_FILES:
            (self.directory / name).unlink(missing_ok=True)
        return ["from MAGMOM", *self.change_incar(ISTART=0, ICHARG=2, **tags)]

    def start_again(self, **tags: Any) -> list[str]:
        """Begin where this calculation began, from the files of the stage before it."""
        there = [name for name, source in self.sources.items() if source.is_file()]
        if not there:
            return self.start_afresh(**tags)
        for name in RESTART_FILES:
            (self.directory / name).unlink(missing_ok=True)
        for name in there:
            shutil.copyfile(self.sources[name], self.directory / name)
        words = self.change_incar(**restart_tags(there), **tags)
        return [f"from the last stage's {' and '.join(there)}", *words]


class VaspJob(Job):
    """The job that custodian runs: VASP in the directory of a `VaspRun`."""

    def __init__(self, run: VaspRun) -> None:
        self._run = run

    def setup(self, directory: str = "./") -> None:
        """Do nothing: the engine has written the inputs."""

    def run(self, directory: str = "./") -> subprocess.Popen[bytes]:
        """Start VASP."""
        return self._run.start()

    def postprocess(self, directory: str = "./") -> None:
        """Do nothing: the engine reads the outputs."""

    def terminate(self, directory: str = "./") -> None:
        """End VASP with all its processes."""
        self._run.terminate()

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian.json keeps of it."""
        return {"job": "vasp", "command": list(self._run.command)}


def restart_tags(files: Sequence[str]) -> dict[str, int]:
    """Return ISTART and ICHARG for the restart files that are there."""
    wave, charge = "WAVECAR" in files, "CHGCAR" in files
    return {"ISTART": 1 if wave else 0, "ICHARG": 1 if charge else 0 if wave else 2}


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""
