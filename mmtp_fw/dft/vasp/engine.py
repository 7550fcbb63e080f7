"""The VASP engine: one run of the program, under custodian, for each calculation of the protocol."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from custodian.custodian import Custodian, CustodianError
from pydantic import ValidationError

from mmtp_fw.collinear import TURNED_muB, across
from mmtp_fw.dft.checks import check_structure
from mmtp_fw.dft.engine import FINAL, SMOOTHED, UNSMOOTHED, ConstraintKind, ScfRequest, ScfResult
from mmtp_fw.dft.folder import FINISHED, INTERRUPTED, RUNNING, CalculationFolder, filled
from mmtp_fw.dft.vasp.handlers import handlers_for
from mmtp_fw.dft.vasp.inputs import MagneticInput, incar, species_of, species_order, write_inputs
from mmtp_fw.dft.vasp.outputs import IncompleteOutputError, VaspOutput
from mmtp_fw.dft.vasp.potcars import PotcarFile, find_potcar
from mmtp_fw.dft.vasp.run import OUTPUT_FILES, RESTART_FILES, STANDARD_OUTPUT, Correction, Symptom, VaspJob, VaspRun
from mmtp_fw.dft.vasp.settings import VaspSettings, program
from mmtp_fw.dft.walltime import stop_test
from mmtp_fw.errors import EngineError, InputError, RefusedInputError
from mmtp_fw.vaspio.oszicar import sharpened

_MOST_CORRECTIONS = 8
# The axis of targets and moments here.
_Z = np.array([0.0, 0.0, 1.0])

logging.getLogger("custodian").addHandler(logging.NullHandler())


class VaspEngine:
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
    POTCAR, which is removed when VASP has ended.
    """

    name = "vasp"
    final_definition = FINAL
    adjustable_radii = True
    constraints = (ConstraintKind.SOFT,)

    def __init__(self, **settings: Any) -> None:
        try:
            self.settings = VaspSettings(**settings)
        except ValidationError as error:
            raise _refusal(error) from error
        self._potcars: dict[str, PotcarFile] = {}

    def settings_document(self) -> dict[str, Any]:
        """Return what defines a label. POTCARs enter by family and symbol, and by checksum where one is set."""
        return {"engine": self.name, "version": 1, **self.settings.document()}

    def check(self, atoms: Atoms) -> None:
        """Refuse what VASP can't compute.

        Raises
        ------
        InputError
            Unknown element, impossible target, left-handed cell: a verdict on the structure.
        EngineError
            POTCAR or program missing here, wrong checksum: a matter of this machine; another may have it.
        """
        targets = atoms.get_initial_magnetic_moments()
        largest = int(np.argmax(np.abs(targets)))
        if abs(targets[largest]) > self.settings.max_moment_muB:
            raise InputError(
                f"atom {largest} ({atoms.symbols[largest]}): target {targets[largest]:.2f} μB is impossible",
                f"dft.settings.max_moment_muB is {self.settings.max_moment_muB}",
            )
        if np.linalg.det(np.asarray(atoms.cell)) < 0:
            raise InputError("the cell is left-handed, which VASP refuses", "exchange two lattice vectors")
        for species in species_of(atoms):
            self._potcar(species)
        program(self.settings)

    def datasets(self, atoms: Atoms) -> dict[str, str]:
        """Return the SHA-256 of the POTCAR of every species, as this machine has it."""
        return {species: self._potcar(species).sha256 for species in species_of(atoms)}

    def scf(self, request: ScfRequest) -> ScfResult:
        """Carry out one calculation: from the files of the stage before, or on from its own after a stop."""
        atoms, magnetic = request.atoms, self._magnetic(request)
        details = {"radii": dict(magnetic.radii_A), "datasets": self.datasets(atoms)}
        folder = CalculationFolder(request, self.settings_document(), details, self.settings.work_directory)
        directory = folder.path
        directory.mkdir(parents=True, exist_ok=True)
        should_stop = stop_test(request.should_stop, self.settings.wall_time_margin_s)
        note = folder.note()
        run = VaspRun(
            directory=directory,
            command=program(self.settings),
            n=len(atoms),
            constraint=None if request.constraint is None else magnetic.constraint[species_order(atoms)],
            penalised="LAMBDA" in incar(atoms, self.settings, magnetic),
            sources=_sources(folder.before(request)),
            should_stop=should_stop,
            stop_grace_s=self.settings.stop_grace_s,
            frozen_after_s=self.settings.frozen_after_s,
        )
        if note.get("state") == FINISHED:
            try:  # the process that computed this ended before it could hand the result on
                return self._result(request, run, magnetic, run.read(), [Correction(*c) for c in note["corrections"]])
            except (IncompleteOutputError, KeyError, TypeError):
                pass
        if should_stop():
            return self._interrupted(run, magnetic)
        files = self._prepare(run, goes_on=note.get("state") == INTERRUPTED)
        potcars = {species: self._potcar(species) for species in species_of(atoms)}
        folder.write_note(RUNNING, corrections=_corrections(run))
        try:
            write_inputs(directory, atoms, self.settings, potcars, magnetic, files)
            self._run(run)
        finally:
            run.terminate()
            (directory / "POTCAR").unlink(missing_ok=True)
        if run.stopping is not None and not _converged(run):
            folder.write_note(INTERRUPTED, corrections=_corrections(run))
            return self._interrupted(run, magnetic)
        result = self._result(request, run, magnetic, self._output(run), run.corrections)
        folder.write_note(FINISHED, corrections=_corrections(run))
        if result.converged and not self.settings.keep_restart_files:
            for source in run.sources.values():
                source.unlink(missing_ok=True)
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
        with tempfile.TemporaryDirectory(prefix="mmtp-vasp-") as scratch:
            target = (Path(scratch) if directory is None else directory) / "00_unconstrained"
            result = self.scf(ScfRequest(atoms, "unconstrained", atoms.get_initial_magnetic_moments(), target))
        if not result.converged:
            raise EngineError(f"VASP found no self-consistent state: {result.message}")
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

    # -- before ----------------------------------------------------------------------------------------

    def _potcar(self, species: str) -> PotcarFile:
        if species not in self._potcars:
            self._potcars[species] = find_potcar(species, self.settings)
        return self._potcars[species]

    def _magnetic(self, request: ScfRequest) -> MagneticInput:
        radii = {
            species: float(
                request.radii_A.get(species) or self.settings.rwigs_A.get(species) or self._potcar(species).radius_A
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
                custodian.run()
        except CustodianError as error:
            logging.getLogger(__name__).info("custodian gave up in %s: %s", run.directory, error)

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

    def _interrupted(self, run: VaspRun, magnetic: MagneticInput) -> ScfResult:
        wave = filled(run.directory / "WAVECAR")
        return ScfResult(
            converged=False,
            moments={},
            energy_eV=None,
            energy_with_penalty_eV=None,
            penalty_eV=0.0,
            forces=None,
            stress=None,
            radii_A=dict(magnetic.radii_A),
            scf_steps=0,
            interrupted=True,
            message=f"stopped on request, {'to go on from WAVECAR' if wave else 'to begin again'}",
        )


def _refusal(error: ValidationError) -> InputError:
    """Return the first thing that is wrong with the settings as one line."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        near = get_close_matches(key, VaspSettings.model_fields, n=1, cutoff=0.5)
        meant = f"did you mean '{near[0]}'? " if near else ""
        return InputError(f"engine 'vasp': dft.settings has no key '{key}'", f"{meant}see docs/vasp.md")
    return InputError(f"engine 'vasp': dft.settings.{key}: {first['msg']}", "see docs/vasp.md")


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


def _unsorted(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return values in the order of the atoms from those in the order of POSCAR."""
    result = np.empty_like(values)
    result[order] = values
    return result


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
