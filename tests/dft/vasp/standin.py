#!/usr/bin/env python
"""A test double for VASP, which cannot be had here: its files are VASP's, its physics is not.

Reads INCAR, POSCAR, KPOINTS (and looks at POTCAR) in its working directory, computes with the reference
Hamiltonian of mmtp_fw, and writes OSZICAR, OUTCAR, vasprun.xml, CONTCAR, and WAVECAR and CHGCAR as mere
markers: WAVECAR holds the moments and fields that a later run starts from. It obeys STOPCAR.

Environment:

- ``VASP_STANDIN_FAIL``: ``KIND[@STAGE][:N]``, several separated by commas. Fails as VASP fails, in
  directories whose name ends in STAGE, in the first N runs there (always without N). Some are cured by
  what cures VASP:

  - ``no_convergence``: not with AMIX ≤ 0.1
  - ``zbrent``: not with ALGO = Normal
  - ``edddav``: not with ALGO = All and a fresh start
  - ``flipped``: the first moment has the wrong sign, unless started afresh from MAGMOM
  - ``nan``: forces are NaN, unless started afresh
  - ``flipped_always``, ``killed``, ``truncated``, ``wrong_ions``, ``segfault``, ``refused``, ``hang`` (deaf to
    STOPCAR), ``frozen`` (for ever): always

- ``VASP_STANDIN_STEP_SECONDS``: how long an electronic step takes.
- ``VASP_STANDIN_JUMP_SCALE``: `jump_limit_scale` of the Hamiltonian.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import standin_files as files

REFUSED = """ -----------------------------------------------------------------------------
|                                                                             |
|     Error reading item LAMBDA from file INCAR.                              |
|                                                                             |
|       ---->  I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!! <----       |
|                                                                             |
 -----------------------------------------------------------------------------
"""


def main() -> int:
    incar = read_incar()
    complaint = wrong_input(incar)
    if complaint:
        print(f" ERROR: {complaint}")
        return 1
    failures = wanted_failures(incar)
    if "zbrent" in failures:
        print("ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF, or copy CONTCAR")
        return 1
    if "refused" in failures:
        print(REFUSED)
        return 1
    if "edddav" in failures:
        print(" Error EDDDAV: Call to ZHEGV failed. Returncode =   7 1  16")
        return 1
    if "segfault" in failures:
        print("forrtl: severe (174): SIGSEGV, segmentation fault occurred", file=sys.stderr)
        return 174
    if "frozen" in failures:
        time.sleep(600)
    return write(compute(incar, failures), failures)


def read_incar() -> dict[str, str]:
    text = Path("INCAR").read_text()
    if max(len(line) for line in text.splitlines()) > 255:
        sys.exit("a line of INCAR has more than 255 characters, of which VASP 5 would not read the rest")
    pairs = (line.split("=", 1) for line in text.replace("\\\n", " ").splitlines() if "=" in line)
    return {key.strip().upper(): value.strip() for key, value in pairs}


def floats(text: str) -> np.ndarray:
    return np.array([float(word) for word in text.split()])


def is_true(text: str) -> bool:
    return text.strip(". ").upper().startswith("T")


def wrong_input(incar: dict[str, str]) -> str:
    """Say what VASP, or anybody who knows it, would not accept."""
    atoms = files.read_poscar()
    if titles() is None or [t.split()[1].split("_")[0] for t in titles()] != list(dict.fromkeys(atoms.symbols)):
        return "POTCAR and POSCAR have other species"
    if not is_true(incar["LNONCOLLINEAR"]) or len(floats(incar["MAGMOM"])) != 3 * len(atoms):
        return "a non-collinear calculation is wanted"
    if not Path("KPOINTS").read_text().splitlines()[2].startswith(("G", "g")):
        return "a grid around Gamma is wanted"
    if incar["ISYM"] != "-1" or not is_true(incar["LASPH"]) or incar["LORBIT"] != "11":
        return "ISYM = -1, LASPH, LORBIT = 11 are wanted"
    if "I_CONSTRAINED_M" in incar:
        constraint = floats(incar["M_CONSTR"]).reshape(-1, 3)
        if incar["I_CONSTRAINED_M"] != "2" or len(constraint) != len(atoms):
            return "size and direction of every moment are wanted"
        if np.any(constraint[:, :2]) or not np.all(constraint[:, 2]):
            return "M_CONSTR = 0 0 0 constrains nothing, and moments are along z here"
        if len(floats(incar["RWIGS"])) != len(set(atoms.symbols)):
            return "RWIGS of every species is wanted"
    if int(incar["ISTART"]) == 1 and not Path("WAVECAR").is_file():
        return "WAVECAR not found"
    return ""


def titles() -> list[str] | None:
    if not Path("POTCAR").is_file():
        return None
    lines = Path("POTCAR").read_text().splitlines()
    return [line.split("=", 1)[1].strip() for line in lines if "TITEL" in line]


def wanted_failures(incar: dict[str, str]) -> set[str]:
    runs = Path(".standin-runs")
    earlier = len(runs.read_text()) if runs.is_file() else 0
    runs.write_text("." * (earlier + 1))
    fresh = incar["ISTART"] == "0" and incar["ICHARG"] == "2"
    cured = {
        "no_convergence": float(incar["AMIX"]) <= 0.1,
        "zbrent": incar["ALGO"].lower() == "normal",
        "edddav": incar["ALGO"].lower() == "all" and fresh,
        "flipped": fresh,
        "nan": fresh,
    }
    wanted = set()
    for entry in filter(None, os.environ.get("VASP_STANDIN_FAIL", "").split(",")):
        rest, _, most = entry.partition(":")
        kind, _, stage = rest.partition("@")
        if Path.cwd().name.endswith(stage) and (not most or earlier < int(most)) and not cured.get(kind, False):
            wanted.add(kind)
    return wanted


def compute(incar: dict[str, str], failures: set[str]) -> files.State:
    # Here, since it takes a second: who fails at once shall not wait for it.
    from mmtp_fw.dft.engine import FINAL, SMOOTHED, UNSMOOTHED, ScfRequest
    from mmtp_fw.dft.hamiltonian import MAX_STEPS, HamiltonianEngine

    atoms = files.read_poscar()
    Path(".standin-restart").unlink(missing_ok=True)
    engine = HamiltonianEngine(float(os.environ.get("VASP_STANDIN_JUMP_SCALE", "1")))
    restart = {}
    if incar["ISTART"] == "1" and Path("WAVECAR").stat().st_size:
        restart = json.loads(Path("WAVECAR").read_text())
    constraint = strength = None
    radii = {}
    if "I_CONSTRAINED_M" in incar:
        constraint, strength = floats(incar["M_CONSTR"])[2::3], float(incar["LAMBDA"])
        radii = dict(zip(dict.fromkeys(atoms.symbols), floats(incar["RWIGS"]), strict=True))
    start = floats(incar["MAGMOM"])[2::3]
    found = engine.scf(ScfRequest(atoms, "", start, Path.cwd(), strength or 0.0, constraint, radii, restart))
    if found.converged:
        Path(".standin-restart").write_text(json.dumps(found.restart))
    final, smooth, plain = (np.array(found.moments[key]) for key in (FINAL, SMOOTHED, UNSMOOTHED))
    converged, forces, penalty = found.converged and "no_convergence" not in failures, found.forces, found.penalty_eV
    if failures & {"flipped", "flipped_always"}:
        final[0], smooth[0], plain[0] = -final[0], -smooth[0], -plain[0]
        penalty = 0.0 if strength is None else float(strength * np.sum((smooth - constraint) ** 2))
    if "wrong_ions" in failures:
        forces = forces[:-1]
    if "nan" in failures:
        forces = np.full_like(forces, np.nan)
    return files.State(
        atoms=atoms,
        incar=incar,
        grid=tuple(int(n) for n in Path("KPOINTS").read_text().splitlines()[3].split()),
        titles=titles() or [],
        free_energy=found.energy_eV + penalty,
        penalty=penalty,
        strength=strength,
        constraint=constraint,
        forces=forces,
        stress=found.stress,
        final=final,
        unsmoothed=plain,
        smoothed=smooth,
        steps=found.scf_steps if found.converged else int(incar["NELM"]),
        converged=converged and min(found.scf_steps, MAX_STEPS - 1) <= int(incar["NELM"]),
    )


def write(state: files.State, failures: set[str]) -> int:
    """Write the files as the steps go by; return the exit status."""
    pause = float(os.environ.get("VASP_STANDIN_STEP_SECONDS", "0"))
    print(" running on    1 total cores\n entering main loop", flush=True)
    with Path("OSZICAR").open("w") as oszicar, Path("OUTCAR").open("w") as outcar:
        oszicar.write(files.OSZICAR_HEAD)
        outcar.write(files.outcar_head(state))
        for step in range(1, state.steps + 1):
            time.sleep(pause)
            oszicar.write(files.oszicar_step(state, step))
            outcar.write(files.outcar_step(state, step))
            oszicar.flush()
            outcar.flush()
            if "killed" in failures and step > state.steps // 2:
                Path("vasprun.xml").write_text(files.vasprun(state)[:1500])
                Path("WAVECAR").write_text("")
                os.kill(os.getpid(), signal.SIGKILL)
            if "hang" not in failures and stop_wanted() and step < state.steps:
                state.aborted, state.converged, state.steps = True, False, step
                break
        oszicar.write(files.oszicar_end(state))
        outcar.write(files.outcar_end(state))
    Path("vasprun.xml").write_text(files.vasprun(state))
    Path("CONTCAR").write_bytes(Path("POSCAR").read_bytes())
    restart = Path(".standin-restart")
    Path("WAVECAR").write_text(restart.read_text() if restart.is_file() else "{}")
    Path("CHGCAR").write_text("stand-in: no charge density\n")
    restart.unlink(missing_ok=True)
    Path("STOPCAR").unlink(missing_ok=True)
    if "truncated" in failures:
        for name in ("OUTCAR", "vasprun.xml"):
            text = Path(name).read_text()
            Path(name).write_text(text[: 2 * len(text) // 3])
    return 0


def stop_wanted() -> bool:
    stopcar = Path("STOPCAR")
    return stopcar.is_file() and "LABORT" in stopcar.read_text().upper()


if __name__ == "__main__":
    sys.exit(main())
