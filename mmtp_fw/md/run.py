"""Trajectories for workers: in a process of their own, watched."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.md import driver
from mmtp_fw.md.settings import MdResult, MdSettings, MdState
from mmtp_fw.potential import Potential
from mmtp_fw.processes import end_program

if TYPE_CHECKING:
    from mmtp_fw.selection import ActiveSet

STOP_SECONDS = 20.0
"""Time that a trajectory gets to end cleanly before it is killed."""
START_SECONDS = 120.0
"""Time beyond its wall time that it gets for starting, compiling and writing before it counts as frozen."""

_CHILD = "import sys, pathlib; from mmtp_fw.md.driver import main; main(pathlib.Path(sys.argv[1]))"


def run_md(
    potential: Potential,
    active_set: ActiveSet | None,
    atoms: Atoms,
    settings: MdSettings,
    directory: str | Path,
    should_stop: Callable[[], bool] | None = None,
) -> MdResult:
    """Run molecular dynamics of a potential in LAMMPS: NVT, NPT or NVE as `settings` say.

    Parameters
    ----------
    potential : Potential
    active_set : ActiveSet, optional
        For grades; without it nothing is saved or stopped for extrapolation.
    atoms : Atoms
        n atoms with three cell vectors and initial magnetic moments, which the relaxation starts from.
    settings : MdSettings
    directory : str or Path
        For the child process' files.
    should_stop : callable, optional
        Asked several times a second; True ends the trajectory with state INTERRUPTED.

    Returns
    -------
    MdResult
        However it ended, everything up to there; a child process that dies, or that is still there long
        after its wall time, gives CRASHED.

    Raises
    ------
    InputError
        A cell without volume; an element that the potential does not know; parameters that are not numbers;
        all moments zero though they are to be relaxed, or fixed ones outside the potential's range.
    """
    _check(potential, atoms, settings)
    directory = Path(directory).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    for name in (driver.RESULT, driver.STOP):
        (directory / name).unlink(missing_ok=True)
    task = {
        "potential": potential.dumps(),
        "species": potential.species,
        "active_set": active_set.to_bytes() if active_set is not None else None,
        "atoms": atoms,
        "settings": settings,
    }
    driver.save(directory / driver.TASK, task)
    started = time.monotonic()
    child = _start(directory)
    code, why = _wait(child, directory, should_stop, settings.wall_seconds)
    result = _collect(directory, code, why)
    result.wall_seconds = time.monotonic() - started
    for name in (driver.TASK, driver.RESULT, driver.STOP):
        (directory / name).unlink(missing_ok=True)
    return result


def _start(directory: Path) -> subprocess.Popen[bytes]:
    with (directory / "md.log").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            # An own session: Ctrl-C reaches us, and we ask the trajectory to end in order.
            start_new_session=True,
        )


def _check(potential: Potential, atoms: Atoms, settings: MdSettings) -> None:
    if atoms.cell.rank < 3:
        raise InputError("MD needs a cell of three vectors", "put a molecule or cluster into a large box")
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(potential.species))
    if unknown:
        raise InputError(
            f"the potential knows {', '.join(potential.species)}, not {', '.join(unknown)}",
            "train or choose a potential that covers them",
        )
    if not np.all(np.isfinite(potential.parameters)):
        raise InputError("a parameter of the potential is not a finite number", "repeat the fit")
    if settings.pressure_GPa is not None and not all(atoms.pbc):
        raise InputError("pressure_GPa: a surface or cluster has no pressure to hold", "set pressure_GPa to null")
    if potential.magnetic:
        _check_moments(potential, atoms.get_initial_magnetic_moments(), settings)


def _check_moments(potential: Potential, moments: FloatArray, settings: MdSettings) -> None:
    if settings.relax_interval and not np.any(moments):
        raise InputError(
            "all initial magnetic moments are zero, where the energy is always stationary",
            "set_initial_magnetic_moments to a collinear pattern",
        )
    low, high = potential.min_moment, potential.max_moment
    if not settings.relax_interval and np.any((moments < low) | (moments > high)):
        raise InputError(
            f"fixed magnetic moments outside the potential's range of {low:g} to {high:g} μB",
            "a potential means nothing there; train one with a larger max_moment",
        )


def _wait(
    child: subprocess.Popen[bytes],
    directory: Path,
    should_stop: Callable[[], bool] | None,
    wall_seconds: float,
) -> tuple[int, str]:
    """Watch the child to its end; return its exit code and why it was killed, if it was."""
    asked: float | None = None
    why = ""
    started = time.monotonic()
    try:
        while True:
            try:
                return child.wait(timeout=0.2), why
            except subprocess.TimeoutExpired:
                pass
            # The child keeps its own wall time; one that is here so much later no longer runs.
            if 0 < wall_seconds < time.monotonic() - started - START_SECONDS:
                end_program(child, 0.0)
                why = f"killed, for it no longer answered {START_SECONDS:g} s after its wall time"
            if asked is None and should_stop is not None and should_stop():
                (directory / driver.STOP).touch()
                asked = time.monotonic()
            if asked is not None and time.monotonic() - asked > STOP_SECONDS:
                end_program(child, 0.0)
                why = f"killed, for it did not end within {STOP_SECONDS:g} s of being asked to"
    except BaseException:
        end_program(child, 0.0)
        raise


def _collect(directory: Path, code: int, why: str) -> MdResult:
    complete, result = False, MdResult()
    path = directory / driver.RESULT
    if path.exists():
        complete, result = pickle.loads(path.read_bytes())
    if not complete:
        lines = (directory / "md.log").read_text(errors="replace").strip().splitlines()
        told = [line for line in lines if "ERROR" in line] or lines[-1:]  # LAMMPS adds its last input line
        result.state = MdState.CRASHED
        why = why or (told[-1][:300] if told else "no message")
        result.message = f"exit code {code}: {why}"
    return result
