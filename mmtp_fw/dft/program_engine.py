"""Base of the engines that run a program: all that is the same whatever the program is."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.checks import check_structure
from mmtp_fw.dft.engine import ConstraintKind, ScfRequest, ScfResult
from mmtp_fw.dft.folder import FINISHED, INTERRUPTED, CalculationFolder
from mmtp_fw.dft.machine import Dataset
from mmtp_fw.dft.moments import LARGER_START, lost_magnetization
from mmtp_fw.dft.processes import run_program
from mmtp_fw.dft.program_settings import ProgramSettings
from mmtp_fw.dft.registry import EngineDescription, checked_settings
from mmtp_fw.dft.walltime import stop_test
from mmtp_fw.errors import EngineError, InputError

SettingsT = TypeVar("SettingsT", bound=ProgramSettings)
DatasetT = TypeVar("DatasetT", bound=Dataset)


@dataclass
class ProgramRun:
    """One calculation on its way.

    Attributes
    ----------
    request : ScfRequest
    folder : CalculationFolder
    should_stop : callable
        True when the worker asks to stop, or the batch job is nearly over.
    remarks : dict
        What the notes in the folder hold beside the state, for whoever goes on.
    """

    request: ScfRequest
    folder: CalculationFolder
    should_stop: Callable[[], bool]
    remarks: dict[str, Any] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """Where the program runs."""
        return self.folder.path

    @property
    def before(self) -> Path | None:
        """Where the calculation that this one restarts from ran, None for one from scratch."""
        return self.folder.before(self.request)

    def note(self, state: str) -> None:
        """Note in the folder how far this has come ("running", "interrupted", "finished")."""
        self.folder.write_note(state, **self.remarks)


class ProgramEngine(ABC, Generic[SettingsT, DatasetT]):
    """An engine whose calculations are runs of a program.

    Parameters
    ----------
    **settings
        As the description's settings have them.

    Attributes
    ----------
    description : EngineDescription
        Of the class: name, settings, programs, datasets.
    document_version : int or None
        Of the class: to be raised when the same settings begin to mean another label; part of the document.
    settings : ProgramSettings

    Notes
    -----
    A subclass says what the program needs and what it answers: `command`, `_compute` and `_kept`, where it must
    `refuse` and `_details`. The base refuses impossible targets, finds datasets, keeps the folder and its notes,
    goes on after a stop, hands over what a process that died had finished, and removes restart files nobody needs.
    """

    description: ClassVar[EngineDescription]
    document_version: ClassVar[int | None] = None
    name: str
    final_definition: str
    adjustable_radii: bool = False

    def __init__(self, **settings: Any) -> None:
        self.name = self.description.name
        self.settings = cast(SettingsT, checked_settings(self.description, settings))
        self._known: dict[str, DatasetT] = {}

    # -- what defines a label, and whether it can be computed here -------------------------------------

    def settings_document(self) -> dict[str, Any]:
        """Return what defines a label. Datasets enter by name; `datasets` tells what is in them."""
        version = {} if self.document_version is None else {"version": self.document_version}
        return {"engine": self.name, **version, **self.settings.document()}

    def check(self, atoms: Atoms) -> None:
        """Refuse what this engine can't compute.

        Raises
        ------
        InputError
            Impossible targets and what else `refuse` knows: a verdict on the structure.
        EngineError
            Dataset or program missing here: a matter of this machine; another may have it.
        """
        targets: FloatArray = atoms.get_initial_magnetic_moments()
        largest = int(np.argmax(np.abs(targets)))
        if abs(targets[largest]) > self.settings.max_moment_muB:
            raise InputError(
                f"atom {largest} ({atoms.symbols[largest]}): target {targets[largest]:.2f} μB is impossible",
                f"dft.settings.max_moment_muB is {self.settings.max_moment_muB}",
            )
        self.refuse(atoms)
        self.datasets(atoms)
        self.command()

    def largest_moment(self, species: str) -> float:
        """Return the largest target (μB) that the settings allow, of whatever species."""
        return self.settings.max_moment_muB

    def refuse(self, atoms: Atoms) -> None:
        """Raise `InputError` for structures that this program can't compute; most programs take every one."""

    def dataset(self, species: str) -> DatasetT:
        """Return the dataset of a species, looked for once.

        Raises
        ------
        EngineError
            None on this machine.
        """
        search = self.description.datasets
        if search is None:
            raise TypeError(f"engine '{self.name}' has no datasets")
        if species not in self._known:
            self._known[species] = cast(DatasetT, search.find(species, self.settings))
        return self._known[species]

    def datasets(self, atoms: Atoms) -> dict[str, str]:
        """Return the digest of every species' dataset, as this machine has it; empty where the engine has none."""
        if self.description.datasets is None:
            return {}
        return {species: self.dataset(species).digest for species in sorted(set(atoms.symbols))}

    @abstractmethod
    def command(self) -> list[str]:
        """Return the words that start the program; `EngineError` where it is not on this machine."""

    # -- one calculation -------------------------------------------------------------------------------

    def scf(self, request: ScfRequest) -> ScfResult:
        """Carry out one calculation: from the files of the stage before, or on from its own after a stop."""
        if request.kind is not ConstraintKind.NONE and request.kind.value not in self.description.constraints:
            raise EngineError(f"the engine '{self.name}' knows no {request.kind.value} constraint")
        folder = CalculationFolder(
            request, self.settings_document(), self._details(request), self.settings.work_directory
        )
        folder.path.mkdir(parents=True, exist_ok=True)
        run = ProgramRun(request, folder, stop_test(request.should_stop, self.settings.wall_time_margin_s))
        note = folder.note()
        if note.get("state") == FINISHED:
            # The process that computed this ended before it could hand the result on.
            kept = self._kept(run, note)
            if kept is not None:
                return kept
        if run.should_stop():
            return self._interrupted(run)
        result = self._compute(run, goes_on=note.get("state") == INTERRUPTED)
        if result.interrupted:
            return result
        run.note(FINISHED)
        if result.converged and not self.settings.keep_restart_files:
            for file in self._no_longer_needed(run):
                file.unlink(missing_ok=True)
        return result

    def unconstrained(self, atoms: Atoms, directory: Path | None = None) -> Atoms:
        """Return `atoms` labelled without constraint, started from its initial moments.

        Where that falls to the non-magnetic state, larger moments are tried, and the lower state is returned.

        Raises
        ------
        InputError, EngineError
            As in `check`; also where self-consistency is not reached.
        """
        check_structure(atoms)
        self.check(atoms)
        with tempfile.TemporaryDirectory(prefix=f"mmtp-{self.name}-") as scratch:
            target = Path(scratch) if directory is None else directory
            start = atoms.get_initial_magnetic_moments()
            result = self.scf(ScfRequest(atoms, "unconstrained", start, target / "00_unconstrained"))
            if lost_magnetization(start, result.moments.get(self.final_definition)):
                again = self.scf(ScfRequest(atoms, "unconstrained", LARGER_START * start, target / "01_unconstrained"))
                result = min(result, again, key=lambda r: np.inf if not r.converged else r.energy_eV or 0.0)
        if not result.converged:
            raise EngineError(f"{self.description.title} found no self-consistent state: {result.message}")
        labelled: Atoms = atoms.copy()
        labelled.set_array("magnetic_forces", np.zeros(len(atoms)))
        labelled.calc = SinglePointCalculator(
            labelled,
            energy=result.energy_eV,
            forces=result.forces,
            magmoms=result.moments[self.final_definition],
            **({} if result.stress is None else {"stress": result.stress}),
        )
        return labelled

    def _details(self, request: ScfRequest) -> dict[str, Any]:
        """Return what an answer depends on beside the request and the settings."""
        return {"datasets": self.datasets(request.atoms)}

    @abstractmethod
    def _compute(self, run: ProgramRun, goes_on: bool) -> ScfResult:
        """Write the input, note that it is running, run the program, and read what it found.

        Parameters
        ----------
        run : ProgramRun
        goes_on : bool
            Whether the folder holds files of this very calculation, interrupted, to go on from.

        Returns
        -------
        ScfResult
            With ``interrupted`` where it was stopped; "interrupted" is then noted where a later call can go on.

        Raises
        ------
        EngineError
            The program did not come to its end: nothing is known about the configuration.
        """

    @abstractmethod
    def _kept(self, run: ProgramRun, note: Mapping[str, Any]) -> ScfResult | None:
        """Return the result of a folder that is noted as finished, None where its files are no longer all there."""

    def _run_program(self, run: ProgramRun, stop_file: str) -> bool:
        """Run a program that ends in order where it finds a file; return whether it was told to."""
        # It is asked to end after its electronic step where a later launch can find what it then writes.
        patience = self.settings.stop_grace_s if self.settings.work_directory is not None else 0.0
        ask = (run.directory / stop_file).touch
        return run_program(self.command(), run.directory, run.should_stop, ask, patience)

    def _interrupted(self, run: ProgramRun, message: str = "stopped on request") -> ScfResult:
        """Return the result of a calculation that was stopped."""
        return ScfResult(
            converged=False,
            moments={},
            energy_eV=None,
            energy_with_penalty_eV=None,
            penalty_eV=0.0,
            forces=None,
            stress=None,
            radii_A={},
            scf_steps=0,
            interrupted=True,
            message=message,
        )

    def _no_longer_needed(self, run: ProgramRun) -> Iterable[Path]:
        """Return the restart files of the stage before, which no one needs once this one has converged."""
        return ()
