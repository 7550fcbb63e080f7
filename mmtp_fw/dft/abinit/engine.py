"""The ABINIT engine: one run of the program for each calculation of the protocol."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
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
from mmtp_fw.dft.engine import FINAL, SMOOTHED, UNSMOOTHED, ConstraintKind, ScfRequest, ScfResult
from mmtp_fw.dft.folder import FINISHED, INTERRUPTED, RUNNING, CalculationFolder, filled
from mmtp_fw.dft.processes import end_with_parent
from mmtp_fw.dft.walltime import stop_test
from mmtp_fw.errors import EngineError, InputError

_POLL_SECONDS = 0.2
# Endings of the files that ABINIT restarts from, and the file that asks it to end (chkexit 1).
_RESTART_FILES = {"density": "o_DEN", "wavefunction": "o_WFK"}
_EXIT = "abinit.exit"


class AbinitEngine:
    """Collinear calculations by ABINIT, moments held by ``constraint_kind 1`` (hard) or by ``magconon 2`` (soft).

    Parameters
    ----------
    **settings
        See `AbinitSettings`.

    Notes
    -----
    ABINIT has one definition of the moment, the integral over atomic spheres of the PAW radius, and
    penalises just that; the radii and map stages therefore have nothing to do. The penalty is
    λ Σ (m − m^constr)², as the protocol's; under a hard constraint it prints the gradient of the energy by the moments,
    whose negative are the magnetic forces. Each run leaves its input, output, log, density and
    wavefunction in the request's directory, or in a folder of `work_directory` that belongs to the structure
    and its targets, where a later launch finds them; a later run restarts from these where they still exist.
    """

    name = "abinit"
    final_definition = UNSMOOTHED
    adjustable_radii = False
    constraints = (ConstraintKind.HARD, ConstraintKind.SOFT)

    def __init__(self, **settings: Any) -> None:
        try:
            self.settings = AbinitSettings(**settings)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise InputError(f"engine 'abinit': {key}: {first['msg']}") from error
        self._datasets: dict[str, PawDataset] = {}

    def settings_document(self) -> dict[str, Any]:
        """Return what defines a label. Datasets enter by name; `datasets` tells what is in them."""
        return {"engine": self.name, **self.settings.document()}

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

    def datasets(self, atoms: Atoms) -> dict[str, str]:
        """Return the digest of every species' PAW dataset, as this machine has it."""
        return {symbol: self._dataset(symbol).digest for symbol in sorted(set(atoms.symbols))}

    def scf(self, request: ScfRequest) -> ScfResult:
        """Run ABINIT once, or on from where it was stopped, and read what it found."""
        details = {"datasets": self.datasets(request.atoms)}
        folder = CalculationFolder(request, self.settings_document(), details, self.settings.work_directory)
        directory = folder.path
        directory.mkdir(parents=True, exist_ok=True)
        should_stop = stop_test(request.should_stop, self.settings.wall_time_margin_s)
        state = folder.note().get("state")
        if state == FINISHED and _read(directory).completed:
            # The process that computed this ended before it could hand the result on.
            return self._result(request, _read(directory), finished=True)
        if should_stop():
            return self._result(request, parse_output("", ""), finished=False)
        before = folder.before(request)
        restart = self._prepare(directory, before, goes_on=state == INTERRUPTED)
        self._write(request, directory, restart)
        folder.write_note(RUNNING)
        stopped = self._run(directory, should_stop)
        output = _read(directory)
        if stopped and not (output.completed and output.converged):
            # After a request that was heeded, density and wavefunction are there to go on from.
            folder.write_note(INTERRUPTED if output.completed else RUNNING)
            return self._result(request, output, finished=False)
        if not output.completed:
            # Killed, out of memory, a full disk …: nothing is known about the configuration.
            why = output.error or _last_words(directory)
            raise EngineError(f"ABINIT did not come to its end in {directory}: {why}")
        _check_constraint(request, output, directory)
        result = self._result(request, output, finished=True)
        folder.write_note(FINISHED)
        if result.converged and before is not None and not self.settings.keep_restart_files:
            for name in _RESTART_FILES.values():
                (before / f"run{name}").unlink(missing_ok=True)
        return result

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

    def _radius(self, symbol: str) -> float:
        return self.settings.ratsph_bohr.get(symbol, self._dataset(symbol).radius_bohr)

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

    def _prepare(self, directory: Path, before: Path | None, goes_on: bool) -> dict[str, str]:
        """Clear what an earlier try left, but what it goes on from; return the files to restart from, by kind.

        ABINIT gives its output another name where one is there already.
        """
        for name in _RESTART_FILES.values():
            if goes_on and filled(directory / f"run{name}"):
                (directory / f"run{name}").replace(directory / f"resume{name}")
            elif not goes_on:
                (directory / f"resume{name}").unlink(missing_ok=True)
        for old in (*directory.glob("run*"), *directory.glob("__ABI_MPIABORTFILE__"), directory / _EXIT):
            old.unlink(missing_ok=True)
        found = {}
        for kind, name in _RESTART_FILES.items():
            if filled(directory / f"resume{name}"):
                found[kind] = f"resume{name}"
            elif before is not None and filled(before / f"run{name}"):
                found[kind] = f"../{before.name}/run{name}"
        return found

    def _write(self, request: ScfRequest, directory: Path, restart: Mapping[str, str]) -> None:
        moments = request.constraint if request.constraint is not None else request.start_moments
        datasets = {symbol: self._dataset(symbol) for symbol in sorted(set(request.atoms.symbols))}
        for dataset in datasets.values():
            dataset.install(directory)
        text = input_text(
            request.atoms,
            self.settings,
            {symbol: dataset.valence for symbol, dataset in datasets.items()},
            {symbol: self._radius(symbol) for symbol in datasets},
            np.asarray(moments, dtype=float),
            request.kind,
            request.lambda_eV_per_muB2,
            restart.get("density"),
            restart.get("wavefunction"),
        )
        (directory / "run.abi").write_text(text)

    def _run(self, directory: Path, should_stop: Callable[[], bool]) -> bool:
        """Start ABINIT and wait; return whether it was told to stop.

        It is asked to end after its electronic step where a later launch can find what it then writes.
        """
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if os.geteuid() == 0:
            environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        patience = self.settings.stop_grace_s if self.settings.work_directory is not None else 0.0
        told: float | None = None
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                self._command(),
                cwd=directory,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
            try:
                while process.poll() is None:
                    if told is None and should_stop():
                        told = time.monotonic()
                        (directory / _EXIT).touch()
                    if told is not None and time.monotonic() - told >= patience:
                        break
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
        return told is not None

    def _result(self, request: ScfRequest, output: AbinitOutput, finished: bool) -> ScfResult:
        n = len(request.atoms)
        moments = output.moments if output.moments is not None and len(output.moments) == n else None
        complete = moments is not None and output.forces is not None and output.stress is not None
        converged = finished and output.converged and complete
        energy = output.energy_eV
        restart = {"folder": request.directory.name} if converged else {}
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
            magnetic_forces=-output.torques if converged and output.torques is not None else None,
            magnetic_forces_definition=self.final_definition,
            energy_noise_eV=output.energy_noise_eV,
            scf_steps=output.steps,
            restart=restart,
            interrupted=not finished,
            message=state if finished else "stopped on request",
        )


def _check_constraint(request: ScfRequest, output: AbinitOutput, directory: Path) -> None:
    """Refuse output that lacks what its constraint is to yield: another version of ABINIT prints other words."""
    version = "a version of ABINIT other than 9?"
    if request.kind is ConstraintKind.SOFT and (output.lvp_eV is None or output.penalty_eV is None):
        raise EngineError(
            f"{directory / 'log'} tells neither lVp nor penalty: the energy without it is unknown", version
        )
    if request.kind is ConstraintKind.HARD and output.converged:
        n = 0 if output.torques is None else len(output.torques)
        if n != len(request.atoms):
            raise EngineError(f"{directory / 'run.abo'} has no gradient by the moment of every atom", version)


def _last_words(directory: Path) -> str:
    lines = [line.strip() for line in _text(directory / "log").splitlines() if line.strip()]
    return f"its last words: {lines[-1][:200]}" if lines else "it said nothing"


def _read(directory: Path) -> AbinitOutput:
    return parse_output(_text(directory / "run.abo"), _text(directory / "log"))


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
