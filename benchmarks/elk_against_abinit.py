"""An all-electron referee: ten labels of bcc iron by Elk and by ABINIT, the same targets in spheres of the same radius.

    python benchmarks/elk_against_abinit.py abinit     # a line of JSON each, appended to elk_against_abinit.jsonl
    python benchmarks/elk_against_abinit.py elk
    python benchmarks/elk_against_abinit.py summary

What has its line is not computed again: it can be ended and started as one likes. Settings are coarse, and as alike as
the two programs allow: spheres of 2.15 bohr, the same k-points, PBE. They differ in smearing (cold in ABINIT,
Fermi-Dirac in Elk, narrow because its energies change with the square of its width), in the cut-off, and in what a
moment is: ABINIT smears the surface of its spheres and sees the magnetization of a PAW dataset, Elk all electrons. A
state without constraint in both gives the ratio of the two moments; `summary` says what it explains.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from mmtp_fw.dft import ScfRequest, get_engine

RESULTS = Path(__file__).with_name("elk_against_abinit.jsonl")
RADIUS_bohr = 2.15
SETTINGS: dict[str, dict[str, Any]] = {
    "abinit": {
        "ecut_Ha": 15,
        "pawecutdg_Ha": 30,
        "ecutsm_Ha": 0,
        "kspacing_per_A": 0.75,
        "nstep": 300,
        "ratsph_bohr": {"Fe": RADIUS_bohr},
    },
    "elk": {
        "rgkmax": 6.5,
        "kspacing_per_A": 0.75,
        "muffin_tin_bohr": {"Fe": RADIUS_bohr},
        "nempty": 12,
        "symmetry": True,
        "swidth_Ha": 0.0025,
        "maxscl": 600,
    },
}
REFERENCE = "ferromagnetic"
FREE = "free"
_DISPLACED = np.array([[0.04, 0.02, -0.01], [-0.02, 0.0, 0.02]])

# Name: lattice constant (Å), targets (μB; None without constraint), whether atoms are displaced.
LABELS: dict[str, tuple[float, tuple[float, float] | None, bool]] = {
    REFERENCE: (2.866, (2.2, 2.2), False),
    "antiferromagnetic": (2.866, (2.0, -2.0), False),
    "unequal": (2.866, (2.2, 1.5), False),
    FREE: (2.866, None, False),
    "large": (2.866, (2.5, 2.5), False),
    "weak antiferromagnetic": (2.866, (1.5, -1.5), False),
    "mixed": (2.866, (2.2, -1.0), False),
    "small": (2.866, (0.8, 0.8), False),
    "compressed": (2.76, (2.0, 2.0), False),
    "displaced": (2.866, (2.2, 1.9), True),
    "expanded": (2.95, (2.5, 2.3), True),
}


def structure(name: str) -> Atoms:
    """Return the cell of a label; its targets (or what the free state starts from) are its initial moments."""
    a, targets, displaced = LABELS[name]
    atoms = bulk("Fe", "bcc", a=a, cubic=True)
    if displaced:
        atoms.positions += _DISPLACED
    atoms.set_initial_magnetic_moments([2.3, 2.3] if targets is None else targets)
    return atoms


def finished() -> dict[tuple[str, str], dict[str, Any]]:
    """Return what has been computed so far, by engine and label."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {(row["engine"], row["label"]): row for row in map(json.loads, lines)}


def compute(engine: str) -> None:
    """Compute the labels of an engine that are not there."""
    for name in LABELS:
        if (engine, name) in finished():
            continue
        atoms = structure(name)
        moments = atoms.get_initial_magnetic_moments()
        free = LABELS[name][1] is None
        with tempfile.TemporaryDirectory() as folder:
            request = ScfRequest(
                atoms, "hard", moments, Path(folder) / "run", constraint=None if free else moments, hard=not free
            )
            started = time.time()
            found = get_engine(engine, **SETTINGS[engine]).scf(request)
        forces = found.magnetic_forces
        row = {
            "engine": engine,
            "label": name,
            "converged": found.converged,
            "message": found.message,
            "steps": found.scf_steps,
            "wall_s": round(time.time() - started, 1),
            "energy_eV": found.energy_eV,
            "moments_muB": found.moments["WS"].tolist() if found.moments else None,
            "magnetic_forces_eV_per_muB": None if forces is None else forces.tolist(),
            "forces_eV_per_A": None if found.forces is None else found.forces.tolist(),
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{engine} {name}: {found.message}, {found.scf_steps} steps, {row['wall_s']:.0f} s", flush=True)


def summary() -> None:
    """Print what both have of each label, and their differences."""
    rows = finished()
    both = [name for name in LABELS if all(rows.get((e, name), {}).get("converged") for e in SETTINGS)]
    if REFERENCE not in both:
        print(f"the reference ('{REFERENCE}') is not there in both")
        return
    ratio = 1.0
    if FREE in both:
        ratio = float(np.mean(rows["elk", FREE]["moments_muB"]) / np.mean(rows["abinit", FREE]["moments_muB"]))
        print(f"moments of the free state: Elk's are {ratio:.4f} of ABINIT's")
    print("| label | ΔE ABINIT | ΔE Elk | apart | explained | T ABINIT | T Elk | apart | forces apart |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in both:
        if name == FREE:
            continue
        one, other = rows["abinit", name], rows["elk", name]
        first, second = (_relative(rows, engine, name) for engine in ("abinit", "elk"))
        explained = _explained(one, ratio) - _explained(rows["abinit", REFERENCE], ratio)
        fields = [1000 * np.array(row["magnetic_forces_eV_per_muB"]) for row in (one, other)]
        pull = np.abs(np.array(one["forces_eV_per_A"]) - np.array(other["forces_eV_per_A"])).max()
        shown = [" ".join(f"{x:.0f}" for x in field) for field in fields]
        print(
            f"| {name} | {first:.1f} | {second:.1f} | {second - first:+.1f} | {explained:+.1f} | {shown[0]} | "
            f"{shown[1]} | {np.abs(fields[1] - fields[0]).max():.0f} | {1000 * pull:.0f} |"
        )
    print("energies in meV/atom against the ferromagnetic label, T in meV/μB, forces in meV/Å")


def _relative(rows: dict[tuple[str, str], dict[str, Any]], engine: str, name: str) -> float:
    """Return the energy of a label against the reference, meV/atom."""
    return 500 * float(rows[engine, name]["energy_eV"] - rows[engine, REFERENCE]["energy_eV"])


def _explained(row: dict[str, Any], ratio: float) -> float:
    """Return by how much Elk's energy differs because its moment m is ABINIT's m / ratio: −T·δm, meV/atom."""
    change = np.array(row["moments_muB"]) * (1 / ratio - 1)
    return -500 * float(np.array(row["magnetic_forces_eV_per_muB"]) @ change)


def main() -> None:
    """Compute what is asked for, or show what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=[*SETTINGS, "summary"])
    what = parser.parse_args().what
    summary() if what == "summary" else compute(what)


if __name__ == "__main__":
    main()
