"""The ABINIT engine: one run of the program for each calculation of the protocol."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pydantic import ValidationError

from mmtp_fw.dft.abinit.inputs import input_text
from mmtp_fw.dft.abinit.outputs import AbinitOutput, parse_output
from mmtp_fw.dft.abinit.settings import AbinitSettings, PawDataset, find_dataset
from mmtp_fw.dft.checks import check_structure
from mmtp_fw.dft.engine import FINAL, SMOOTHED, UNSMOOTHED, ScfRequest, ScfResult
from mmtp_fw.dft.processes import end_with_parent
from mmtp_fw.errors import EngineError, InputError

_POLL_SECONDS = 0.2


class AbinitEngine:
    """Soft-constrained collinear calculations by ABINIT (``magconon 2``).

    Parameters
    ----------
    **settings
        See `AbinitSettings`.

    Notes
    -----
    ABINIT has one definition of the moment, the integral over atomic spheres of the PAW radius, and
    penalises just that; the radii and map stages therefore have nothing to do. The penalty is
    λ Σ (m − m^constr)², as the protocol's. Each run leaves its input, output, log, density and
    wavefunction in the request's directory; a later one restarts from these where they still exist.
    """

    name = "abinit"
    final_definition = UNSMOOTHED
    adjustable_radii = False

    def __init__(self, **settings: Any) -> None:
        try:
            self.settings = AbinitSettings(**settings)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise InputError(f"engine 'abinit': {key}: {first['msg']}") from error
        self._datasets: dict[str, PawDataset] = {}

    def settings_document(self) -> dict[str, Any]:
        """Return what defines a label. The datasets enter by name; their content is checked by `check`."""
        return {"engine": self.name, "pseudos": self.settings.pseudos, **self.settings.document()}

    def check(self, atoms: Atoms) -> None:
        """Refuse species without dataset and impossible targets; a missing program is an `EngineError`."""
        for symbol in sorted(set(atoms.symbols)):
            self._dataset(symbol)
        targets = atoms.get_initial_magnetic_moments()
        largest = int(np.argmax(np.abs(targets)))
        if abs(targets[largest]) > self.settings.max_moment_muB:
            raise InputError(
                f"atom {largest} ({atoms.symbols[largest]}): target {targets[largest]:.2f} μB is impossible",
                f"max_moment_muB is {self.settings.max_moment_muB}",
            )
        self._command()

    def scf(self, request: ScfRequest) -> ScfResult:
        """Run ABINIT once, and read what it found."""
        directory = request.directory
        directory.mkdir(parents=True, exist_ok=True)
        self._clear(directory)
        constrained = request.constraint is not None
        moments = request.constraint if request.constraint is not None else request.start_moments
        species = sorted(set(request.atoms.symbols))
        valence = {symbol: self._dataset(symbol).valence for symbol in species}
        for symbol in species:
            self._dataset(symbol).install(directory)
        text = input_text(
            request.atoms,
            self.settings,
            valence,
            np.asarray(moments, dtype=float),
            request.lambda_eV_per_muB2 if constrained else None,
            _existing(request, "density"),
            _existing(request, "wavefunction"),
        )
        (directory / "run.abi").write_text(text)
        finished = self._run(directory, request.should_stop)
        output = parse_output(_read(directory / "run.abo"), _read(directory / "log"))
        if finished and not output.completed:
            # Killed, out of memory, a full disk …: nothing is known about the configuration.
            why = output.error or _last_words(directory)
            raise EngineError(f"ABINIT did not come to its end in {directory}: {why}")
        if finished and constrained and (output.lvp_eV is None or output.penalty_eV is None):
            raise EngineError(
                f"{directory / 'log'} tells neither lVp nor penalty: the energy without it is unknown",
                "a version of ABINIT other than 9?",
            )
        return self._result(request, output, finished)

    def unconstrained(self, atoms: Atoms, directory: Path | None = None) -> Atoms:
        """Return `atoms` labelled without constraint, started from its initial moments.

        Raises
        ------
        InputError, EngineError
            As in `check`; also where self-consistency is not reached.
        """
        check_structure(atoms)
        self.check(atoms)
        with tempfile.TemporaryDirectory(prefix="mmtp-abinit-") as scratch:
            target = Path(scratch) if directory is None else directory
            start = atoms.get_initial_magnetic_moments()
            result = self.scf(ScfRequest(atoms, "unconstrained", start, target))
        if not result.converged:
            raise EngineError(f"ABINIT found no self-consistent state: {result.message}")
        labelled = atoms.copy()
        labelled.set_array("magnetic_forces", np.zeros(len(atoms)))
        labelled.calc = SinglePointCalculator(
            labelled,
            energy=result.energy_eV,
            forces=result.forces,
            stress=result.stress,
            magmoms=result.moments[self.final_definition],
        )
        return labelled

    def _dataset(self, symbol: str) -> PawDataset:
        if symbol not in self._datasets:
            self._datasets[symbol] = find_dataset(symbol, self.settings)
        return self._datasets[symbol]

    def _command(self) -> list[str]:
        program = shutil.which(self.settings.command)
        if program is None:
            raise EngineError(f"'{self.settings.command}' is not installed", "apt-get install abinit")
        if self.settings.mpi_processes == 1:
            return [program, "run.abi"]
        # ABINIT is linked to Open MPI; the plain mpirun may be MPICH's, which LAMMPS needs.
        launcher = shutil.which(self.settings.mpi_command)
        if launcher is None:
            raise EngineError(f"'{self.settings.mpi_command}' is not installed", "or set mpi_processes: 1")
        processes = str(self.settings.mpi_processes)
        return [launcher, "-n", processes, "--oversubscribe", program, "run.abi"]

    def _run(self, directory: Path, should_stop: Callable[[], bool] | None) -> bool:
        """Start ABINIT and wait; return False where it was stopped on request."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if os.geteuid() == 0:
            environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                self._command(), cwd=directory, env=environment, stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=end_with_parent,
            )
            try:
                while process.poll() is None:
                    if should_stop is not None and should_stop():
                        return False
                    time.sleep(_POLL_SECONDS)
            finally:
                # Whatever happens here, no process of ours may go on computing.
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)
                    try:
                        process.wait(timeout=10)
                    except subprocess.TimeoutExpired:
                        os.killpg(process.pid, signal.SIGKILL)
                        process.wait()
        return True

    def _clear(self, directory: Path) -> None:
        """Remove what an earlier try left: ABINIT renames its output where one is there already."""
        for old in (*directory.glob("run*"), *directory.glob("__ABI_MPIABORTFILE__")):
            old.unlink()

    def _result(self, request: ScfRequest, output: AbinitOutput, finished: bool) -> ScfResult:
        n = len(request.atoms)
        moments = output.moments if output.moments is not None and len(output.moments) == n else None
        complete = moments is not None and output.forces is not None and output.stress is not None
        converged = finished and output.converged and complete
        energy = output.energy_eV
        restart = {}
        if converged:
            folder = request.directory.name
            restart = {"density": f"{folder}/runo_DEN", "wavefunction": f"{folder}/runo_WFK"}
        state = "converged" if converged else output.error or f"not converged in {output.steps} steps"
        return ScfResult(
            converged=converged,
            moments={} if moments is None else {FINAL: moments, UNSMOOTHED: moments, SMOOTHED: moments},
            energy_eV=energy,
            energy_with_penalty_eV=None if energy is None else energy + (output.penalty_eV or 0.0),
            penalty_eV=output.penalty_eV or 0.0,
            forces=output.forces,
            stress=output.stress,
            radii_A={},
            scf_steps=output.steps,
            restart=restart,
            interrupted=not finished,
            message=state if finished else "stopped on request",
        )


def _existing(request: ScfRequest, kind: str) -> str | None:
    """Return the path of a restart file relative to the calculation's directory, where it still exists."""
    name = request.restart.get(kind)
    if not name or not (request.directory.parent / name).is_file():
        return None
    return f"../{name}"


def _last_words(directory: Path) -> str:
    lines = [line.strip() for line in _read(directory / "log").splitlines() if line.strip()]
    return f"its last words: {lines[-1][:200]}" if lines else "it said nothing"


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
