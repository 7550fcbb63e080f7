"""Make the labels of the case studies with ABINIT, one frame of extended XYZ each, in docs/case-studies/data.

    python benchmarks/case_studies/label.py bcc-iron fe3pd      # in turn, a label of each
    python benchmarks/case_studies/label.py bcc-iron --reuse benchmarks/constraint.jsonl --only-reuse

What is in the file is not computed again: it can be ended and started as one likes. Labels of
`benchmarks/constraint.py` that have the mesh of the case studies are taken over from its lines.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mmtp_fw.dft import ProtocolSettings, ScfRequest, get_engine, run_protocol
from mmtp_fw.dft.abinit.settings import AbinitSettings, find_dataset
from mmtp_fw.errors import EngineError
from mmtp_fw.fitting.datasets import read_configurations, write_configurations

sys.path.insert(0, str(Path(__file__).parent))
from asked import CASES, Request, has_mesh, lattice_parameter, reused

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "case-studies" / "data"
SETTINGS = {"ecut_Ha": 12, "pawecutdg_Ha": 24}
MESHES = {
    "bcc-iron": "3×3×3 for cells of two atoms and 3×3×1 for those of six, the very same points, at every volume",
    "fe3pd": "3×3×3 at every volume",
}
SLOW = {"bcc-iron": 1, "fe3pd": 2}  # the part of a case that is done when all of the fastest is: one by this


def kept(case: str) -> list[Atoms]:
    """Return the labels of a case that there are."""
    path = DATA / f"{case}.xyz"
    return read_configurations(path) if path.exists() else []


def keep(case: str, new: Iterable[Atoms]) -> None:
    """Add labels to the file of a case."""
    DATA.mkdir(parents=True, exist_ok=True)
    write_configurations(DATA / f"{case}.xyz", [*kept(case), *new])


def take_over(case: str, lines: Path) -> int:
    """Add the labels of `constraint.py` that are not there yet; return how many."""
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    found = {row["number"]: row for row in rows if row["way"] == "hard" and row["status"] == "accepted"}
    have = {atoms.info["name"] for atoms in kept(case)}
    new = []
    for number, kind, atoms in reused(case):
        row, name = found.get(number), f"constraint-{number}"
        if row is None or name in have or not has_mesh(atoms) or row["constraint"] != "hard":
            continue
        new.append(_frame(Request(name, kind, atoms), row, "hard", row["steps"] + row["check_steps"], row["wall_s"]))
        if row["check"] is not None:
            new[-1].info["label_check"] = row["check"]["verdict"]
    if new:
        keep(case, new)
    return len(new)


def make(request: Request) -> Atoms:
    """Compute one label, or the free state; without one, a frame that says why."""
    engine = get_engine("abinit", **SETTINGS, kspacing_per_A=request.kspacing_per_A)
    used, begun = _processor_seconds(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mmtp-case-") as folder:
        if request.free:
            moments = request.atoms.get_initial_magnetic_moments()
            found = engine.scf(ScfRequest(request.atoms, "equilibrium", moments, Path(folder) / "run"))
            steps, constraint, reason = found.scf_steps, "none", found.message
            row = None
            if found.converged and found.forces is not None and found.stress is not None:
                row = {
                    "energy_eV": found.energy_eV,
                    "forces_eV_per_A": found.forces,
                    "stress_eV_per_A3": found.stress,
                    "moments_muB": found.moments["PAW"],
                }
        else:
            outcome = run_protocol(engine, request.atoms, ProtocolSettings(constraint="hard"), folder, check=False)
            steps, reason = sum(stage.scf_steps for stage in outcome.stages), outcome.reason
            label, row, constraint = outcome.label, None, "hard"
            if label is not None:
                constraint = label.constraint.value
                row = {
                    "energy_eV": label.energy_eV,
                    "forces_eV_per_A": label.forces,
                    "stress_eV_per_A3": label.stress,
                    "moments_muB": label.moments,
                    "magnetic_forces_eV_per_muB": label.magnetic_forces,
                }
    made = _frame(request, row, constraint, steps, time.perf_counter() - begun)
    made.info["processor_s"] = round(_processor_seconds() - used, 1)
    if row is None:
        made.info["not_labelled"] = reason.replace('"', "'")
    return made


def _processor_seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _frame(request: Request, row: dict[str, Any] | None, constraint: str, steps: int, wall_s: float) -> Atoms:
    atoms = request.atoms.copy()
    atoms.info = {
        "name": request.name,
        "group": request.group,
        "lattice_parameter_A": round(lattice_parameter(atoms), 5),
        "k_mesh": "x".join(map(str, request.mesh)),
        "label_constraint": constraint,
        "scf_steps": steps,
        "wall_s": round(wall_s, 1),
    }
    if row is not None:
        if "magnetic_forces_eV_per_muB" in row:
            atoms.set_array("magnetic_forces", np.array(row["magnetic_forces_eV_per_muB"]))
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=row["energy_eV"],
            forces=np.array(row["forces_eV_per_A"]),
            stress=np.array(row["stress_eV_per_A3"]),
            magmoms=np.array(row["moments_muB"]),
        )
    return atoms


def write_card(case: str) -> None:
    """Write what the labels of a case are; leave what is there where ABINIT's datasets are not."""
    path = DATA / f"{case}.card.json"
    atoms = CASES[case]()[0].atoms
    engine = get_engine("abinit", **SETTINGS)
    try:
        digests = engine.datasets(atoms)
        sets = {s: find_dataset(s, AbinitSettings(**SETTINGS)) for s in digests}
    except EngineError:
        return
    said = engine.settings_document()
    shifts = " ".join(map(str, said["kshift"]))
    card = {
        "engine": "ABINIT 9.6.2, collinear, PAW, no symmetry but time reversal",
        "functional": "PBE",
        "datasets": "; ".join(f"{s} {sets[s].path.name} (blake2b {digests[s]})" for s in digests),
        "cut-offs": f"{said['ecut_Ha']:g} Ha, fine grid {said['pawecutdg_Ha']:g} Ha, "
        f"smoothed over {said['ecutsm_Ha']:g} Ha",
        "mesh": f"{MESHES[case]}, shifted by {shifts}",
        "smearing": f"cold (occopt 4), {said['tsmear_Ha']} Ha; energies are free energies, which forces belong to",
        "moments": "`magmoms`, μB, signed, along one axis: integral of the magnetization over a sphere of "
        + ", ".join(f"{sets[s].radius_bohr:g} ({s})" for s in digests)
        + f" bohr with a surface smeared by {said['ratsm_bohr']} bohr",
        "targets": "`initial_magmoms`, μB",
        "constraint": "hard (`constraint_kind 1`), within 0.001 μB; "
        "`label_constraint=none`: free, started ferromagnetic",
        "magnetic forces": "`magnetic_forces` = −∂E/∂m of these moments, eV/μB, as ABINIT gives them; "
        "none in free frames",
        "energy, forces, stress": "eV (of the cell), eV/Å, eV/Å³ (tension positive, as in ASE), without any penalty",
        "electronic convergence": f"squared residual of the potential {said['tolvrs']:g}",
        "also in each frame": "`name`, `group`, `lattice_parameter_A` (of the cube with the same volume per atom), "
        "`k_mesh`, `scf_steps`, `wall_s`, `processor_s`; `label_check` where the label was checked by a second one",
    }
    path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Take over what there is and compute the rest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--reuse", type=Path, default=ROOT / "benchmarks" / "constraint.jsonl")
    parser.add_argument("--only-reuse", action="store_true", help="compute nothing")
    parser.add_argument("--largest", type=int, default=1000, metavar="N", help="only cells of at most N atoms")
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="only those whose names begin so")
    parser.add_argument("--backwards", action="store_true", help="the last first: to meet another process halfway")
    options = parser.parse_args()
    options.cases = options.cases or list(CASES)
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    for case in options.cases:
        if options.reuse.exists():
            print(case, take_over(case, options.reuse), "labels taken over", flush=True)
    if options.only_reuse:
        return
    asked = {case: CASES[case]() for case in options.cases}
    turns = [(k / len(of_one) * SLOW[case], case, r) for case, of_one in asked.items() for k, r in enumerate(of_one)]
    for _, case, request in sorted(turns, key=lambda turn: turn[0], reverse=options.backwards):
        if len(request.atoms) > options.largest or not request.name.startswith(tuple(options.only)):
            continue
        if request.name in {atoms.info["name"] for atoms in kept(case)}:
            continue
        made = make(request)
        keep(case, [made])
        print(case, request.name, made.info.get("not_labelled", ""), made.info["scf_steps"], made.info, flush=True)


if __name__ == "__main__":
    main()
