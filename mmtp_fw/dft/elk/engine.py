"""The Elk engine: one run of the program for each calculation of the protocol."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from ase.units import Bohr

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.elk.description import ENGINE
from mmtp_fw.dft.elk.inputs import input_text, species_of, species_order
from mmtp_fw.dft.elk.outputs import ElkOutput, parse_output
from mmtp_fw.dft.elk.settings import INSTALL, ElkSettings, ElkSpecies, muffin_tin_bohr
from mmtp_fw.dft.engine import FINAL, SMOOTHED, UNSMOOTHED, ScfRequest, ScfResult
from mmtp_fw.dft.folder import INTERRUPTED, RUNNING, filled, last_words, text_of
from mmtp_fw.dft.processes import command_words
from mmtp_fw.dft.program_engine import ProgramEngine, ProgramRun
from mmtp_fw.errors import EngineError, InputError, RefusedInputError

_STATE, _INFO = "STATE.OUT", "INFO.OUT"
# Asks Elk to end after its electronic step, with its state written.
_STOP = "STOP"
# Elk keeps as much between two muffin-tins (rmtdelta), and shrinks them where it is less.
_GAP_bohr = 0.05


class ElkEngine(ProgramEngine[ElkSettings, ElkSpecies]):
    """All-electron collinear calculations by Elk, moments in the muffin-tins held by ``fsmtype 2``.

    Parameters
    ----------
    **settings
        See `ElkSettings`.

    Notes
    -----
    Elk moves a field in each muffin-tin until its moment is the target, and prints it: that field is the magnetic
    force. There is one definition of the moment, and a hard constraint only. Elk computes no stress: labels have none.
    """

    description = ENGINE
    document_version = 1
    final_definition = UNSMOOTHED
    adjustable_radii = False

    def command(self) -> list[str]:
        """Return the words that start Elk."""
        return command_words(self.settings.command, INSTALL)

    def refuse(self, atoms: Atoms) -> None:
        """Refuse structures in which muffin-tins overlap: Elk would shrink them, and with them what a moment is."""
        radii = {species: self._radius(species) * Bohr for species in species_of(atoms)}
        reach = 2 * max(radii.values()) + _GAP_bohr * Bohr
        i, j, distance = neighbor_list("ijd", atoms, reach)
        room = distance - np.array(
            [radii[atoms.symbols[a]] + radii[atoms.symbols[b]] for a, b in zip(i, j, strict=True)]
        )
        if len(room) and room.min() < _GAP_bohr * Bohr:
            k = int(np.argmin(room))
            raise InputError(
                f"atoms {i[k]} and {j[k]} are {distance[k]:.3f} Å apart, nearer than their muffin-tins allow",
                "dft.settings.muffin_tin_bohr sets smaller ones, for a whole campaign",
            )

    def _radius(self, species: str) -> float:
        return muffin_tin_bohr(self.dataset(species), self.settings)

    # -- one calculation -------------------------------------------------------------------------------

    def _kept(self, run: ProgramRun, note: Mapping[str, object]) -> ScfResult | None:
        output = _read(run)
        return self._result(run.request, output) if output.completed else None

    def _compute(self, run: ProgramRun, goes_on: bool) -> ScfResult:
        request, directory = run.request, run.directory
        restart = self._prepare(run, goes_on)
        species = {symbol: self.dataset(symbol) for symbol in species_of(request.atoms)}
        files = {symbol: one.install(directory, self._radius(symbol)) for symbol, one in species.items()}
        targets = None if request.constraint is None else np.asarray(request.constraint, dtype=float)
        start = np.asarray(request.start_moments if targets is None else targets, dtype=float)
        (directory / "elk.in").write_text(input_text(request.atoms, self.settings, files, start, targets, restart))
        run.note(RUNNING)
        stopped = self._run_program(run, _STOP)
        output = _read(run)
        for left in directory.glob("EVEC*.OUT"):  # large, and of no use to a restart
            left.unlink()
        if stopped and not (output.completed and output.converged):
            run.note(INTERRUPTED if output.completed else RUNNING)
            return self._interrupted(run)
        if not output.completed:
            if output.error and not output.steps:
                raise RefusedInputError(f"Elk refuses its input: {output.error}", f"see {directory / 'log'}")
            why = output.error or last_words(directory / "log", "runtime error")
            raise EngineError(f"Elk did not come to its end in {directory}: {why}")
        return self._result(request, output)

    def _prepare(self, run: ProgramRun, goes_on: bool) -> bool:
        """Clear what an earlier try left; return whether there is a state to restart from."""
        directory = run.directory
        own, before = directory / _STATE, None if run.before is None else run.before / _STATE
        for old in (*directory.glob("*.OUT"), directory / _STOP, directory / "RUNNING"):
            if not (goes_on and old == own):
                old.unlink(missing_ok=True)
        if filled(own):
            return True
        if before is not None and filled(before):
            shutil.copyfile(before, own)
            return True
        return False

    def _no_longer_needed(self, run: ProgramRun) -> Iterable[Path]:
        return () if run.before is None else [run.before / _STATE]

    def _result(self, request: ScfRequest, output: ElkOutput) -> ScfResult:
        back = np.argsort(species_order(request.atoms))
        moments, forces, fields = (
            None if values is None else values[back] for values in (output.moments, output.forces, output.fields)
        )
        why = self._lack(request, output, moments, forces, fields)
        return ScfResult(
            converged=not why,
            moments={} if moments is None else {FINAL: moments, UNSMOOTHED: moments, SMOOTHED: moments},
            energy_eV=output.energy_eV,
            energy_with_penalty_eV=output.energy_eV,
            penalty_eV=0.0,
            forces=forces,
            stress=None,
            radii_A={species: self._radius(species) * Bohr for species in species_of(request.atoms)},
            scf_steps=output.steps,
            restart={"folder": request.directory.name} if output.completed else {},
            message=why or "converged",
            magnetic_forces=None if why or request.constraint is None else fields,
            magnetic_forces_definition=self.final_definition,
            energy_noise_eV=output.energy_noise_eV,
        )

    def _lack(
        self,
        request: ScfRequest,
        output: ElkOutput,
        moments: FloatArray | None,
        forces: FloatArray | None,
        fields: FloatArray | None,
    ) -> str:
        """Return why a calculation is no converged one, empty where it is."""
        if not output.converged:
            return f"not converged in {output.steps} steps"
        numbers = [output.energy_eV, moments, forces]
        if request.constraint is not None:
            numbers.append(fields)
        if any(value is None or not np.all(np.isfinite(value)) for value in numbers):
            return "energy, moments, forces or fields are not there or not finite"
        if request.constraint is not None and moments is not None:
            off = float(np.max(np.abs(moments - request.constraint)))
            if off > self.settings.tolerance_muB:
                return f"moments are {off:.4f} μB off their targets after {output.steps} steps"
        return ""


def _read(run: ProgramRun) -> ElkOutput:
    directory = run.directory
    return parse_output(text_of(directory / _INFO), text_of(directory / "log"), len(run.request.atoms))
