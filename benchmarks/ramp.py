"""Compare the adaptive ramp with the fixed λ series, on the reference Hamiltonian or on ABINIT.

Random cells of Fe11Pd5 with random targets (ferromagnetic with scaled moments, antiferromagnetic,
disordered); prints accepted fraction, calculations per accepted label (of the ladder and of the work check)
and the accuracy that was reached.
On ABINIT: bcc Fe, two atoms, the settings of fireworks_specs/campaigns/abinit_iron.yaml, both ways refined.

    python benchmarks/ramp.py [--targets 1000] [--seed 0]
    python benchmarks/ramp.py --engine abinit --targets 4
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

import numpy as np
from ase import Atoms
from ase.build import bulk

from mmtp_fw.dft import Outcome, ProtocolSettings, StageName, get_engine, run_protocol

IRON = {"ecut_Ha": 14, "pawecutdg_Ha": 28, "kspacing_per_A": 0.60, "tsmear_Ha": 0.02, "tolvrs": 1e-7}


def random_request(rng: np.random.Generator) -> Atoms:
    """Return a strained, rattled, chemically disordered cell with random target moments."""
    atoms = bulk("Fe", "fcc", a=rng.uniform(3.55, 3.9), cubic=True) * (2, 2, 1)
    atoms.symbols[rng.permutation(16)[:5]] = "Pd"
    atoms.positions += rng.normal(0, 0.07, (16, 3))
    full = np.where(atoms.symbols == "Fe", 2.7, 0.3)
    kind = rng.integers(3)
    if kind == 0:
        moments = full * rng.uniform(0.3, 1.15)
    elif kind == 1:
        moments = full * rng.choice([-1, 1], 16) * rng.uniform(0.5, 1.1, 16)
    else:
        moments = full * rng.uniform(-1, 1.2, 16)
    atoms.set_initial_magnetic_moments(moments)
    return atoms


def random_iron(rng: np.random.Generator) -> Atoms:
    """Return a distorted cell of two iron atoms with random target moments."""
    atoms = bulk("Fe", "bcc", a=rng.uniform(2.75, 2.95), cubic=True)
    atoms.positions += rng.normal(0, 0.05, (2, 3))
    atoms.set_initial_magnetic_moments(2.2 * rng.uniform(0.5, 1.2, 2) * [1, rng.choice([-1, 1])])
    return atoms


def summary(outcomes: list[Outcome], seconds: float) -> dict[str, float]:
    """Return the figures of one way of ramping."""
    accepted = [o for o in outcomes if o.label is not None]
    inside = [o for o in accepted if o.rule == "criteria_met"]
    stages = [s for o in outcomes for s in o.stages if s.scf_steps]
    ladder = [s for s in stages if s.name is not StageName.CHECK]
    return {
        "targets": len(outcomes),
        "criteria_met_fraction": len(inside) / len(outcomes),
        "accepted_fraction": len(accepted) / len(outcomes),
        "scf_runs_per_accepted_label": len(ladder) / len(accepted),
        "scf_steps_per_accepted_label": sum(s.scf_steps for s in ladder) / len(accepted),
        "check_runs_per_accepted_label": (len(stages) - len(ladder)) / len(accepted),
        "failed_runs_per_label": sum(not s.converged for s in ladder) / len(outcomes),
        "mean_mae_muB": float(np.mean([o.label.mae_muB for o in accepted])),
        "mean_lambda_eV_per_muB2": float(np.mean([o.label.lambda_eV_per_muB2 for o in accepted])),
        "grade_A_fraction": sum(o.label.grade == "A" for o in accepted) / len(accepted),
        "wall_seconds": seconds,
    }


def main() -> None:
    """Run both ways on the same targets and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("hamiltonian", "abinit"), default="hamiltonian")
    arguments = parser.parse_args()
    real = arguments.engine == "abinit"
    engine = get_engine(arguments.engine, **(IRON if real else {}))
    request = random_iron if real else random_request
    ways = {
        "fixed": ProtocolSettings(constraint="soft", adaptive=False),
        "adaptive": ProtocolSettings(constraint="soft", adaptive=True),
        "fixed, not refined": ProtocolSettings(constraint="soft", adaptive=False, refine_runs=0),
        "adaptive, not refined": ProtocolSettings(constraint="soft", adaptive=True, refine_runs=0),
    }
    results = {}
    for name, settings in list(ways.items())[: 2 if real else 4]:
        rng = np.random.default_rng(arguments.seed)
        begun = time.perf_counter()
        outcomes = []
        for _ in range(arguments.targets):
            with tempfile.TemporaryDirectory(prefix="mmtp-ramp-") as directory:
                outcomes.append(run_protocol(engine, request(rng), settings, directory, check=False))
        results[name] = summary(outcomes, time.perf_counter() - begun)
        rules = [o.rule.value for o in outcomes]
        results[name] |= {f"rule_{rule}": rules.count(rule) for rule in sorted(set(rules))}
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
