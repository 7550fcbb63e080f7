"""What an electronic step of ABINIT costs, beside what `mmtp run --dry-run` would say without any label.

    python benchmarks/scf_cost.py            # short runs, a line of JSON each, appended to scf_cost.jsonl
    python benchmarks/scf_cost.py summary    # measured and estimated, and what labels of constraint.py took

Seconds are processor time, so that a busy machine matters little. What has its line is not computed again.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import constraint
import numpy as np
from ase import Atoms
from ase.build import bulk

from mmtp_fw.dft import get_engine
from mmtp_fw.dft.engine import ScfRequest
from mmtp_fw.dft.registry import describe

RESULTS = Path(__file__).with_name("scf_cost.jsonl")
STEPS = 6
# Cell, cut-off (Ha), cut-off of the fine grid (Ha), spacing of k-points (1/Å).
CASES = [
    ("Fe2", 12, 24, 0.75),
    ("Fe2", 12, 24, 0.45),
    ("Fe2", 24, 48, 0.75),
    ("FePd", 12, 24, 0.75),
    ("FePd-4", 12, 24, 0.75),
    ("Fe2", 40, 80, 0.75),
    ("Fe8", 12, 24, 0.75),
    ("CrN-8", 14, 28, 0.75),
]


def cell(name: str) -> Atoms:
    """Return one of the cells."""
    if name.startswith("Fe2"):
        atoms = bulk("Fe", "bcc", a=2.85, cubic=True)
    elif name == "Fe8":
        atoms = bulk("Fe", "bcc", a=2.85, cubic=True) * (2, 2, 1)
    elif name == "CrN-8":
        atoms = bulk("CrN", "rocksalt", a=4.15, cubic=True)
    else:
        b = 3.8 / np.sqrt(2)
        atoms = Atoms("FePd", [[0, 0, 0], [b / 2, b / 2, 1.85]], cell=[b, b, 3.7], pbc=True)
        if name == "FePd-4":
            atoms *= (1, 1, 2)
    atoms.set_initial_magnetic_moments([{"Fe": 2.2, "Cr": 2.5, "Pd": 0.3}.get(s, 0.0) for s in atoms.symbols])
    return atoms


def finished() -> list[dict[str, Any]]:
    """Return what has been measured so far."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def measure() -> None:
    """Run what has no line yet."""
    done = {(row["cell"], row["ecut_Ha"], row["kspacing_per_A"]) for row in finished()}
    for name, ecut, fine, spacing in CASES:
        if (name, ecut, spacing) in done:
            continue
        settings = {"ecut_Ha": ecut, "pawecutdg_Ha": fine, "kspacing_per_A": spacing, "nstep": STEPS, "tolvrs": 1e-18}
        atoms = cell(name)
        moments = atoms.get_initial_magnetic_moments()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryDirectory() as folder:
            result = get_engine("abinit", **settings).scf(ScfRequest(atoms, "equilibrium", moments, Path(folder)))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        row = {"cell": name, **settings, "steps": result.scf_steps, "cpu_s": round(seconds, 2)}
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def summary() -> None:
    """Print seconds of a step, measured and estimated, and what an operation takes; labels of constraint.jsonl, too."""
    costs = describe("abinit").costs
    assert costs.work is not None
    print("| cell | cut-off | k-spacing | operations | s per step | estimated |\n|---|---|---|---|---|---|")
    for row in finished():
        work = costs.work({key: row[key] for key in ("ecut_Ha", "pawecutdg_Ha", "kspacing_per_A")}, cell(row["cell"]))
        step = (row["cpu_s"] - costs.run_seconds) / row["steps"]
        print(
            f"| {row['cell']} | {row['ecut_Ha']} | {row['kspacing_per_A']} | {work.operations:.2e} | {step:.2f} | "
            f"{work.operations * costs.seconds_per_operation:.2f} |"
        )
    made, labels = constraint.requests(), []
    for row in constraint.finished():
        work = costs.work(constraint.SETTINGS, made[row["number"]][1])
        labels.append(row["wall_s"] / (row["steps"] + row["check_steps"]) / work.operations)
    if labels:
        low, middle, high = np.quantile(labels, [0.1, 0.5, 0.9])
        print(f"{len(labels)} labels: {middle:.2e} s per operation, from {low:.2e} to {high:.2e}")


if __name__ == "__main__":
    summary() if "summary" in sys.argv else measure()
