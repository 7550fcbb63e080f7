"""Programs that engines start: how they begin, and how they are waited for."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mmtp_fw.errors import MachineError
from mmtp_fw.processes import end_program

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.2


def end_with_parent() -> None:
    """Have Linux end a program with us (a ``preexec_fn``): a second one in the same directory would spoil both."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def command_words(
    command: str, remedy: str, arguments: Sequence[str] = (), mpi_processes: int = 1, mpi_command: str = ""
) -> list[str]:
    """Return the words that start a program of this machine, by MPI where it is to have several processes.

    Parameters
    ----------
    command : str
        Name or path of the program.
    remedy : str
        What to do where it is missing.
    arguments : sequence of str
    mpi_processes : int
    mpi_command : str
        Open MPI's launcher, for more than one process; the plain ``mpirun`` may be MPICH's, which LAMMPS needs.

    Raises
    ------
    MachineError
        The program or the launcher is missing: a matter of this machine.
    """
    program = shutil.which(command)
    if program is None:
        raise MachineError(f"'{command}' is not installed", remedy)
    words = [str(Path(program).absolute()), *arguments]
    if mpi_processes == 1:
        return words
    launcher = shutil.which(mpi_command)
    if launcher is None:
        raise MachineError(f"'{mpi_command}' is not installed", "or set mpi_processes: 1")
    return [launcher, "-n", str(mpi_processes), "--oversubscribe", *words]


def run_program(
    command: Sequence[str],
    directory: Path,
    should_stop: Callable[[], bool],
    ask_to_stop: Callable[[], None],
    patience_s: float,
    log: str = "log",
) -> bool:
    """Run a program to its end, or until it is to stop; nothing of it goes on afterwards.

    Parameters
    ----------
    command : sequence of str
    directory : Path
        Where it runs; its output goes to `log` there.
    should_stop : callable
    ask_to_stop : callable
        Called once when `should_stop` is true: tells the program to end by itself, keeping what it has.
    patience_s : float
        How long it may take to do so.
    log : str

    Returns
    -------
    bool
        Whether it was told to stop.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if os.geteuid() == 0:
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    told: float | None = None
    with (directory / log).open("wb") as output:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=directory,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        except OSError as error:
            raise MachineError(f"'{command[0]}' can't be started: {error}") from error
        try:
            while process.poll() is None:
                if told is None and should_stop():
                    told = time.monotonic()
                    ask_to_stop()
                if told is not None and time.monotonic() - told >= patience_s:
                    break
                time.sleep(_POLL_SECONDS)
        finally:
            end_program(process)
    return told is not None
