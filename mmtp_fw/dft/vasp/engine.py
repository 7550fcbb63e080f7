"""The VASP engine: one run of the program, under custodian, for each calculation of the protocol."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from custodian.custodian import Custodian, CustodianError

from mmtp_fw import log
from mmtp_fw.arrays import FloatArray, IntArray
from mmtp_fw.collinear import TURNED_muB, across
from mmtp_fw.dft.engine import FINAL, SMOOTHED, UNSMOOTHED, ScfRequest, ScfResult
from mmtp_fw.dft.folder import INTERRUPTED, RUNNING, filled
from mmtp_fw.dft.program_engine import ProgramEngine, ProgramRun
from mmtp_fw.dft.vasp.description import ENGINE
from mmtp_fw.dft.vasp.handlers import handlers_for
from mmtp_fw.dft.vasp.inputs import MagneticInput, incar, species_of, species_order, write_inputs
from mmtp_fw.dft.vasp.outputs import IncompleteOutputError, VaspOutput
from mmtp_fw.dft.vasp.potcars import PotcarFile
from mmtp_fw.dft.vasp.run import OUTPUT_FILES, RESTART_FILES, STANDARD_OUTPUT, Correction, Symptom, VaspJob, VaspRun
from mmtp_fw.dft.vasp.settings import VaspSettings, program
from mmtp_fw.errors import EngineError, InputError, RefusedInputError
from mmtp_fw.vaspio.oszicar import sharpened

_MOST_CORRECTIONS = 8
# The axis of targets and moments here.
_Z = np.array([0.0, 0.0, 1.0])

_LOG = log.logger(__name__)
logging.getLogger("custodian").addHandler(logging.NullHandler())


class VaspEngine(ProgramEngine[VaspSettings, PotcarFile]):
    """Soft-constrained non-collinear calculations by VASP (``I_CONSTRAINED_M = 2``, moments along z).

    Parameters
    ----------
    **settings
        See `VaspSettings`.

    Notes
    -----
    "sWS" is ``MW_int``, "WS" is ``M_int`` of OSZICAR, "PAW" the table ``magnetization (z)`` of OUTCAR. The
    energy is F − E_p. Each calculation leaves its files in the request's directory, or in a folder of
    `work_directory` that belongs to the structure and its targets, where a later launch finds them; but
    POTCAR, which is removed when VASP has ended. POTCARs enter what defines a label by family and symbol, and by
    checksum where one is set.
    """

    description = ENGINE
    document_version = 1
    final_definition = FINAL
    adjustable_radii = True

    def refuse(self, atoms: Atoms) -> None:
        """Refuse left-handed cells."""
        if np.linalg.det(np.asarray(atoms.cell)) < 0:
            raise InputError("the cell is left-handed, which VASP refuses", "exchange two lattice vectors")

    def command(self) -> list[str]:
        """Return the words that start VASP, as MMTP_VASP_COMMAND or the settings have them."""
        return program(self.settings)

    # -- one calculation -------------------------------------------------------------------------------

    def _details(self, request: ScfRequest) -> dict[str, Any]:
        return super()._details(request) | {"radii": dict(self._magnetic(request).radii_A)}

    def _kept(self, run: ProgramRun, note: Mapping[str, Any]) -> ScfResult | None:
        vasp, magnetic = self._vasp_run(run)
        try:
            corrections = [Correction(*correction) for correction in note["corrections"]]
            return self._result(run.request, vasp, magnetic, vasp.read(), corrections)
        except (IncompleteOutputError, KeyError, TypeError):
            return None

    def _compute(self, run: ProgramRun, goes_on: bool) -> ScfResult:
        vasp, magnetic = self._vasp_run(run)
        files = self._prepare(vasp, goes_on)
        potcars = {species: self.dataset(species) for species in species_of(run.request.atoms)}
        run.remarks["corrections"] = []
        run.note(RUNNING)
        try:
            write_inputs(run.directory, run.request.atoms, self.settings, potcars, magnetic, files)
            self._run(vasp)
        finally:
            vasp.terminate()
            (run.directory / "POTCAR").unlink(missing_ok=True)
        run.remarks["corrections"] = _corrections(vasp)
        if vasp.stopping is not None and not _converged(vasp):
            run.note(INTERRUPTED)
            return self._interrupted(run)
        return self._result(run.request, vasp, magnetic, self._output(vasp), vasp.corrections)

    def _interrupted(self, run: ProgramRun, message: str = "stopped on request") -> ScfResult:
        wave = filled(run.directory / "WAVECAR")
        return super()._interrupted(run, f"{message}, {'to go on from WAVECAR' if wave else 'to begin again'}")

    def _no_longer_needed(self, run: ProgramRun) -> Iterable[Path]:
        return _sources(run.before).values()

    # -- before ----------------------------------------------------------------------------------------

    def _vasp_run(self, run: ProgramRun) -> tuple[VaspRun, MagneticInput]:
        """Return the state of one run of VASP, and the magnetic part of its input."""
        atoms, magnetic = run.request.atoms, self._magnetic(run.request)
        constraint = None if magnetic.constraint is None else magnetic.constraint[species_order(atoms)]
        vasp = VaspRun(
            directory=run.directory,
            command=self.command(),
            n=len(atoms),
            constraint=constraint,
            penalised="LAMBDA" in incar(atoms, self.settings, magnetic),
            sources=_sources(run.before),
            should_stop=run.should_stop,
            stop_grace_s=self.settings.stop_grace_s,
            frozen_after_s=self.settings.frozen_after_s,
        )
        return vasp, magnetic

    def _magnetic(self, request: ScfRequest) -> MagneticInput:
        radii = {
            species: float(
                request.radii_A.get(species) or self.settings.rwigs_A.get(species) or self.dataset(species).radius_A
            )
            for species in species_of(request.atoms)
        }
        start = np.asarray(request.start_moments, dtype=float)
        constraint = None if request.constraint is None else np.asarray(request.constraint, dtype=float)
        return MagneticInput(start, constraint, request.lambda_eV_per_muB2, radii)

    def _prepare(self, run: VaspRun, goes_on: bool) -> list[str]:
        """Bring the directory into the state to start from; return which restart files are in it."""
        files = [name for name in RESTART_FILES if goes_on and filled(run.directory / name)]
        for name in (*OUTPUT_FILES, *RESTART_FILES):
            if name not in files:
                (run.directory / name).unlink(missing_ok=True)
        if "WAVECAR" in files:
            return files
        files = [name for name, source in run.sources.items() if filled(source)]
        for name in files:
            shutil.copyfile(run.sources[name], run.directory / name)
        return files

    # -- run and after ---------------------------------------------------------------------------------

    def _run(self, run: VaspRun) -> None:
        """Run VASP under custodian until it is done, or nothing more can be done."""
        custodian = Custodian(
            handlers_for(run, self.settings.mixing_retries),
            [VaspJob(run)],
            max_errors=_MOST_CORRECTIONS,
            polling_time_step=self.settings.poll_s,
            monitor_freq=1,
            terminate_on_nonzero_returncode=False,  # the files say more than a launcher's exit status
            directory=str(run.directory),
        )
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "subprocess returned a non-zero return code")
                custodian.run()  # type: ignore[no-untyped-call]  # custodian's
        except CustodianError as error:
            _LOG.info("custodian gave up in %s: %s", run.directory, error)

    def _output(self, run: VaspRun) -> VaspOutput:
        try:
            return run.read()
        except EngineError as error:
            if run.symptom() == Symptom.REFUSED:
                raise RefusedInputError(
                    f"VASP refuses its input: {run.refusal()}", f"see {run.directory / STANDARD_OUTPUT}"
                ) from error
            tried = "; ".join(map(str, run.corrections))
            raise EngineError(
                f"{error.message}; VASP's last words: {run.last_words()}" + (f"; tried: {tried}" if tried else ""),
                error.hint,
            ) from error

    def _result(
        self,
        request: ScfRequest,
        run: VaspRun,
        magnetic: MagneticInput,
        found: VaspOutput,
        corrections: list[Correction],
    ) -> ScfResult:
        """Return what was found, in the order of the atoms."""
        order = species_order(request.atoms)
        converged, message = found.converged, found.message or "converged"
        turned = max(across(moments, _Z) for moments in (found.final, found.smoothed))
        if converged and turned > TURNED_muB:
            converged, message = False, f"moments have turned away from z by {turned:.2f} μB"
        smoothed = found.smoothed[:, 2]
        if run.constraint is not None and found.residual is not None:
            written = np.reshape(run.incar()["M_CONSTR"], (-1, 3))[:, 2]
            # λ as it was given: OSZICAR prints three digits of it.
            smoothed = sharpened(smoothed, written, found.residual[:, 2], magnetic.lambda_eV_per_muB2)
        if corrections:
            message += f"; corrected: {'; '.join(map(str, corrections))}"
        penalty = found.penalty_eV if np.isfinite(found.penalty_eV) else 0.0
        if run.constraint is not None:
            # E_p also counts what has turned away from z, which the moments here don't show.
            penalty -= magnetic.lambda_eV_per_muB2 * float(np.sum(found.smoothed[:, :2] ** 2))
        moments = {FINAL: found.final[:, 2], UNSMOOTHED: found.unsmoothed[:, 2], SMOOTHED: smoothed}
        restart: dict[str, Any] = {"folder": request.directory.name} if converged else {}
        if corrections:
            restart["corrections"] = [[c.handler, c.symptom, list(c.changes)] for c in corrections]
        return ScfResult(
            converged=converged,
            moments={name: _unsorted(values, order) for name, values in moments.items()},
            energy_eV=_finite(found.energy_eV),
            energy_with_penalty_eV=_finite(found.free_energy_eV),
            penalty_eV=penalty,
            forces=_unsorted(found.forces, order) if np.all(np.isfinite(found.forces)) else None,
            stress=found.stress if found.stress is not None and np.all(np.isfinite(found.stress)) else None,
            radii_A=dict(magnetic.radii_A),
            scf_steps=found.steps,
            restart=restart,
            message=message,
        )


def _converged(run: VaspRun) -> bool:
    try:
        return run.read().converged
    except EngineError:
        return False


def _sources(before: Path | None) -> dict[str, Path]:
    """Return where the stage before may have left its restart files."""
    return {} if before is None else {name: before / name for name in RESTART_FILES}


def _corrections(run: VaspRun) -> list[list[Any]]:
    return [[c.handler, c.symptom, list(c.changes)] for c in run.corrections]


def _unsorted(values: FloatArray, order: IntArray) -> FloatArray:
    """Return values in the order of the atoms from those in the order of POSCAR."""
    result = np.empty_like(values)
    result[order] = values
    return result


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
