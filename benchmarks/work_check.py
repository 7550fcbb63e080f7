"""What the work check of labels lets through and what it finds, on the reference Hamiltonian, where the truth is known.

    python benchmarks/work_check.py --targets 1000

Labels of an engine that answers rightly must all be accepted. Then the engine answers wrongly in one of five ways, as
engines and readers of their files have done; a label is wrong when its energy is off by more than 3 meV/atom at its own
moments, or its magnetic forces by more than 30 meV/μB (root mean square over the atoms).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from mmtp_fw.dft import ProtocolSettings, Rule, ScfRequest, ScfResult, Stage, StageName, run_protocol
from mmtp_fw.dft.hamiltonian import HamiltonianEngine

CONTRADICTED = Rule.INCONSISTENT_ENERGY.value
LABELS = (StageName.HARD, StageName.RAMP, StageName.REFINE)
WRONG_ENERGY, WRONG_FORCE = 0.003, 0.030  # eV/atom, eV/μB


Fault = Callable[[ScfRequest, ScfResult, "Faulty"], ScfResult]


class Faulty(HamiltonianEngine):
    """The reference Hamiltonian with wrong answers.

    Parameters
    ----------
    fault : callable
        Takes the request, the right result and this configuration's random numbers, returns the wrong result.
    seed : int
    jump_limit_scale : float
        Of the right engine.
    """

    def __init__(self, fault: Fault, seed: int, **settings: float) -> None:
        super().__init__(**settings)
        self.fault = fault
        self.random = np.random.default_rng([7, seed])
        self.calculations = 0
        self.onset = int(self.random.integers(1, 4))
        self.offset = self.random.uniform(0.003, 0.03)
        self.tilt = self.random.normal(0, 0.03, 64)

    def scf(self, request: ScfRequest) -> ScfResult:
        """Answer wrongly where the fault says so."""
        self.calculations += request.constraint is not None
        return self.fault(request, super().scf(request), self)


def right(request: ScfRequest, result: ScfResult, engine: Faulty) -> ScfResult:
    """Answer rightly."""
    return result


def half_a_penalty(request: ScfRequest, result: ScfResult, engine: Faulty) -> ScfResult:
    """Leave half of the constraint's energy in: of the penalty, or of the multipliers' T·m."""
    left = 0.5 * result.penalty_eV
    if request.hard and result.magnetic_forces is not None:
        left = 0.5 * float(result.magnetic_forces @ result.moments["PAW"])
    return replace(result, energy_eV=(result.energy_eV or 0.0) + left)


def wrong_sign(request: ScfRequest, result: ScfResult, engine: Faulty) -> ScfResult:
    """Take gradients for forces."""
    return _scaled(request, result, -1.0)


def wrong_slope(request: ScfRequest, result: ScfResult, engine: Faulty) -> ScfResult:
    """Give forces of another definition of the moment, 20 % larger or smaller."""
    return _scaled(request, result, 1.2 if engine.onset % 2 else 0.8)


def another_branch(request: ScfRequest, result: ScfResult, engine: Faulty) -> ScfResult:
    """End in a higher state of the electrons: from a cold hard start, or from some calculation of the ladder on."""
    inherited = request.restart.get("branch", False)
    enters = not request.restart if request.hard else bool(request.restart) and engine.calculations >= engine.onset
    if request.constraint is None or not result.converged or not (inherited or enters):
        return result
    moments = result.moments["PAW"]
    tilt = engine.tilt[: len(moments)]
    target = request.atoms.get_initial_magnetic_moments()
    energy = (result.energy_eV or 0.0) + engine.offset * len(moments) + float(tilt @ (moments - target))
    forces = _forces(request, result)
    return replace(
        result, energy_eV=energy, restart=result.restart | {"branch": True},
        magnetic_forces=forces - tilt, magnetic_forces_definition="PAW",
    )  # fmt: skip


def moments_of_the_step_before(request: ScfRequest, result: ScfResult, engine: Faulty) -> ScfResult:
    """Read moments from the table before the last, and the penalty's forces from these."""
    if request.constraint is None:
        return result
    lag = engine.random.normal(0, 0.03, len(request.atoms))
    moments = {name: m + lag * (m / result.moments["PAW"]) for name, m in result.moments.items()}
    return replace(result, moments=moments)


def _forces(request: ScfRequest, result: ScfResult) -> np.ndarray:
    """Return the right magnetic forces of the final moments."""
    if result.magnetic_forces is not None:
        return result.magnetic_forces
    slopes = result.moments["sWS"] / result.moments["PAW"]
    return np.asarray(2 * request.lambda_eV_per_muB2 * (result.moments["sWS"] - request.constraint) * slopes)


def _scaled(request: ScfRequest, result: ScfResult, factor: float) -> ScfResult:
    if request.constraint is None or not result.converged:
        return result
    return replace(result, magnetic_forces=factor * _forces(request, result), magnetic_forces_definition="PAW")


FAULTS = (half_a_penalty, wrong_sign, wrong_slope, another_branch, moments_of_the_step_before)


def random_request(rng: np.random.Generator) -> Atoms:
    """Return a distorted Fe11Pd5 cell with random targets: scaled, with random signs, or disordered."""
    atoms = bulk("Fe", "fcc", a=rng.uniform(3.55, 3.9), cubic=True) * (2, 2, 1)
    atoms.symbols[rng.permutation(16)[:5]] = "Pd"
    atoms.positions += rng.normal(0, 0.06, (16, 3))
    full = np.where(atoms.symbols == "Fe", 2.7, 0.35)
    kind = rng.integers(3)
    if kind == 0:
        moments = full * rng.uniform(0.3, 1.15)
    elif kind == 1:
        moments = full * rng.choice([-1, 1], 16) * rng.uniform(0.5, 1.1, 16)
    else:
        moments = full * rng.uniform(-1, 1.2, 16)
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def errors(engine: HamiltonianEngine, atoms: Atoms, stage: Stage) -> tuple[float, float]:
    """Return the errors of a calculation at its own moments: eV/atom, and eV/μB (root mean square)."""
    exact = engine.model.evaluate(atoms, stage.final_moments())
    force = np.array(stage.magnetic_forces) - exact.magnetic_forces
    return abs((stage.energy_eV or 0.0) - exact.energy) / len(atoms), float(np.sqrt(np.mean(force**2)))


def one(way: str, fault: Fault, seed: int) -> dict[str, Any]:
    """Label one random target by an engine with a fault; say whether the label was wrong without the check, and is."""
    atoms = random_request(np.random.default_rng(seed))
    # What is judged is the hard way, not how often the Hamiltonian makes it fall back to the ladder.
    engine = Faulty(fault, seed, jump_limit_scale=np.inf if way == "hard" else 1.0)
    outcome = run_protocol(engine, atoms, ProtocolSettings(constraint=way))
    made = [s for s in outcome.stages if s.converged and s.name in LABELS]
    label = min(made, key=lambda s: s.mae_muB or 0.0, default=None)
    kept = next((s for s in outcome.stages if outcome.label is not None and s.key == outcome.label.stage_key), None)
    was, now = (None if stage is None else errors(engine, atoms, stage) for stage in (label, kept))
    return {
        "seed": seed,
        "rule": outcome.rule.value,
        "accepted": outcome.label is not None,
        "was_wrong": was is not None and (was[0] > WRONG_ENERGY or was[1] > WRONG_FORCE),
        "is_wrong": now is not None and (now[0] > WRONG_ENERGY or now[1] > WRONG_FORCE),
        "errors": now,
        "runs": outcome.scf_runs,
    }


def main() -> None:
    """Print the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--list", action="store_true", help="also list the wrong labels that were let through")
    arguments = parser.parse_args()
    table: dict[str, dict[str, float]] = {}
    for way in ("soft", "hard"):
        for fault in (right, *FAULTS):
            # The faults share the targets.
            share = arguments.targets if fault is right else arguments.targets // len(FAULTS)
            rows = [one(way, fault, seed) for seed in range(share)]
            wrong, missed = ([row for row in rows if row[key]] for key in ("was_wrong", "is_wrong"))
            table[f"{way}: {fault.__name__}"] = {
                "labels": share,
                "accepted": sum(row["accepted"] for row in rows),
                "wrong_without_check": len(wrong),
                "wrong_with_check": len(missed),
                "found_fraction": round(1 - len(missed) / max(len(wrong), 1), 4),
                "right_and_rejected": sum(
                    not row["was_wrong"] and row["rule"] == "inconsistent_energy" for row in rows
                ),
                "scf_runs_per_label": round(float(np.mean([row["runs"] for row in rows])), 2),
            }
            if arguments.list:
                print(fault.__name__, json.dumps(missed), flush=True)
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
