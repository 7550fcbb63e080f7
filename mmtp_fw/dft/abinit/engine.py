"""The ABINIT engine: one run of the program for each calculation of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmtp_fw.dft.abinit.description import ENGINE, INSTALL
from mmtp_fw.dft.abinit.inputs import input_text
from mmtp_fw.dft.abinit.outputs import AbinitOutput, parse_output
from mmtp_fw.dft.abinit.settings import AbinitSettings, PawDataset
from mmtp_fw.dft.engine import FINAL, SMOOTHED, UNSMOOTHED, ConstraintKind, ScfRequest, ScfResult
from mmtp_fw.dft.folder import INTERRUPTED, RUNNING, filled, last_words, text_of
from mmtp_fw.dft.processes import command_words
from mmtp_fw.dft.program_engine import ProgramEngine, ProgramRun
from mmtp_fw.errors import EngineError

# Endings of the files that ABINIT restarts from, and the file that asks it to end (chkexit 1).
_RESTART_FILES = {"density": "o_DEN", "wavefunction": "o_WFK"}
_EXIT = "abinit.exit"


class AbinitEngine(ProgramEngine[AbinitSettings, PawDataset]):
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

    description = ENGINE
    final_definition = UNSMOOTHED

    def command(self) -> list[str]:
        """Return the words that start ABINIT, which is linked to Open MPI."""
        settings = self.settings
        return command_words(settings.command, INSTALL, ["run.abi"], settings.mpi_processes, settings.mpi_command)

    def _kept(self, run: ProgramRun, note: Mapping[str, Any]) -> ScfResult | None:
        output = _read(run.directory)
        return self._result(run.request, output) if output.completed else None

    def _compute(self, run: ProgramRun, goes_on: bool) -> ScfResult:
        request, directory = run.request, run.directory
        restart = self._prepare(directory, run.before, goes_on)
        self._write(request, directory, restart)
        run.note(RUNNING)
        stopped = self._run_program(run, _EXIT)
        output = _read(directory)
        if stopped and not (output.completed and output.converged):
            # After a request that was heeded, density and wavefunction are there to go on from.
            run.note(INTERRUPTED if output.completed else RUNNING)
            return self._interrupted(run)
        if not output.completed:
            # Killed, out of memory, a full disk …: nothing is known about the configuration.
            why = output.error or last_words(directory / "log")
            raise EngineError(f"ABINIT did not come to its end in {directory}: {why}")
        _check_constraint(request, output, directory)
        return self._result(request, output)

    def _no_longer_needed(self, run: ProgramRun) -> Iterable[Path]:
        return () if run.before is None else [run.before / f"run{name}" for name in _RESTART_FILES.values()]

    def _radius(self, symbol: str) -> float:
        return self.settings.ratsph_bohr.get(symbol, self.dataset(symbol).radius_bohr)

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
        datasets = {symbol: self.dataset(symbol) for symbol in sorted(set(request.atoms.symbols))}
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

    def _result(self, request: ScfRequest, output: AbinitOutput) -> ScfResult:
        n = len(request.atoms)
        moments = output.moments if output.moments is not None and len(output.moments) == n else None
        complete = moments is not None and output.forces is not None and output.stress is not None
        converged = output.converged and complete
        energy = output.energy_eV
        # One that came to its last step is no result, but a start: the history of the mixing is forgotten with it.
        restart = {"folder": request.directory.name} if converged or output.completed else {}
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
            message=state,
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


def _read(directory: Path) -> AbinitOutput:
    return parse_output(text_of(directory / "run.abo"), text_of(directory / "log"))
