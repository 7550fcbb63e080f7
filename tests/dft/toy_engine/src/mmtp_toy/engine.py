"""The toy engine: one run of ``toy-scf`` for each calculation of the protocol."""

from __future__ import annotations

import json

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mmtp_fw.dft.engine import FINAL, SMOOTHED, UNSMOOTHED, ScfResult
from mmtp_fw.dft.folder import RUNNING
from mmtp_fw.dft.processes import command_words, run_program
from mmtp_fw.dft.program_engine import ProgramEngine
from mmtp_fw.errors import EngineError
from mmtp_toy.description import ENGINE, find
from mmtp_toy.model import atoms_at_rest, moment_at_rest, moment_energy


def voigt(virial, cell):
    stress = np.array(virial) / abs(np.linalg.det(cell))
    return stress.flat[[0, 4, 8, 5, 2, 1]]


class ToyEngine(ProgramEngine):
    description = ENGINE
    final_definition = FINAL

    def command(self):
        return command_words(self.settings.command, "pip install mmtp-toy")

    def _kept(self, run, note):
        return self._result(run) if (run.directory / "out.json").is_file() else None

    def _compute(self, run, goes_on):
        request, atoms = run.request, run.request.atoms
        (run.directory / "out.json").unlink(missing_ok=True)
        asked = {
            "positions": atoms.positions.tolist(),
            "cell": np.asarray(atoms.cell).tolist(),
            "species": list(atoms.symbols),
            "parameters": {symbol: self.dataset(symbol).parameters for symbol in set(atoms.symbols)},
            "cutoff": self.settings.cutoff_A,
            "start": np.asarray(request.start_moments).tolist(),
            "constraint": None if request.constraint is None else np.asarray(request.constraint).tolist(),
            "strength": request.lambda_eV_per_muB2,
        }
        (run.directory / "in.json").write_text(json.dumps(asked))
        run.note(RUNNING)
        if run_program(self.command(), run.directory, run.should_stop, lambda: None, patience_s=0.0):
            return self._interrupted(run)
        if not (run.directory / "out.json").is_file():
            raise EngineError(f"toy-scf did not come to its end: {(run.directory / 'log').read_text()[-200:]}")
        return self._result(run)

    def _result(self, run):
        request, found = run.request, json.loads((run.directory / "out.json").read_text())
        moments, penalty = np.array(found["moments"]), 0.0
        if request.constraint is not None:
            penalty = request.lambda_eV_per_muB2 * float(np.sum((moments - request.constraint) ** 2))
        return ScfResult(
            converged=True,
            moments=dict.fromkeys((FINAL, UNSMOOTHED, SMOOTHED), moments),
            energy_eV=found["energy"],
            energy_with_penalty_eV=found["energy"] + penalty,
            penalty_eV=penalty,
            forces=np.array(found["forces"]),
            stress=voigt(found["virial"], np.asarray(request.atoms.cell)),
            radii_A={},
            scf_steps=1,
            restart={"folder": request.directory.name},
        )


class ToyCalculator(Calculator):
    implemented_properties = ("energy", "free_energy", "forces", "stress", "magmoms", "magmom")

    def __init__(self, settings):
        super().__init__()
        self.settings = settings

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        symbols, cell = list(atoms.symbols), np.asarray(atoms.cell)
        terms = {symbol: find(symbol, self.settings).parameters for symbol in set(symbols)}
        energy, forces, virial = atoms_at_rest(
            atoms.positions.tolist(), cell.tolist(), symbols, terms, self.settings.cutoff_A
        )
        starts = atoms.get_initial_magnetic_moments().tolist()
        moments = [moment_at_rest(terms[z], m, None, 0.0) for z, m in zip(symbols, starts, strict=True)]
        energy += sum(moment_energy(terms[z], m)[0] for z, m in zip(symbols, moments, strict=True))
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": np.array(forces),
            "stress": voigt(virial, cell),
            "magmoms": np.array(moments),
            "magmom": sum(moments),
        }
