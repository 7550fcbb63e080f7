"""Time a full MD step with relaxed moments in LAMMPS against the same MD by motep's ASE calculator.

    python benchmarks/md.py [--atoms 54 2000] [--steps 200] [--peer-seconds 60]
    python benchmarks/md.py --ranks      # 10⁵ atoms on one and two ranks

One potential (docs/examples/fe-pd.mmtp, symmetrized; motep reads the doubled tables), one start, NVE, 1 fs,
|T| < 1e-4 eV/μB. "kernel" is our evaluation of one configuration from Python, without neighbour list; the overhead
is all time of a step that is not spent in the kernel on LAMMPS' lists, over the time that is. Times are medians over
pieces of the trajectory, µs per atom and step, one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet

from mmtp_fw.md import MdSettings, PotentialModel
from mmtp_fw.md.pair import PairRun
from mmtp_fw.md.plugin import plugin
from mmtp_fw.potential import Potential, engine
from mmtp_fw.potential.threads import threads

FILE = Path(__file__).parents[1] / "docs" / "examples" / "fe-pd.mmtp"
PIECES = 9
KERNEL_SECONDS = 6  # column of `compute pair`


def configuration(n: int) -> Atoms:
    """Return about n atoms of fcc Fe-Pd with ferromagnetic moments and thermal velocities."""
    size = max(1, round((n / 4) ** (1 / 3)))
    one, shape = (bulk("Fe", "fcc", 3.75), (3, 3, 6)) if n == 54 else (bulk("Fe", "fcc", 3.75, cubic=True), (size,) * 3)
    atoms = one * shape
    rng = np.random.default_rng(1)
    atoms.set_chemical_symbols(rng.choice(["Fe", "Pd"], len(atoms), p=[0.68, 0.32]).tolist())
    atoms.set_initial_magnetic_moments([2.6 if s == "Fe" else 0.3 for s in atoms.symbols])
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * np.sqrt(atoms.get_masses() * 600 * units.kB)[:, None])
    return atoms


def ours(atoms: Atoms, potential: Potential, relax: int, steps: int) -> tuple[float, float, float]:
    """Return seconds per step, the part of it outside the kernel over that inside, and evaluations per step."""
    settings = MdSettings(thermostat_damping_fs=0.0, timestep_fs=1.0)
    with threads(1):
        run = PairRun(atoms, PotentialModel(potential, atoms.get_initial_magnetic_moments(), relax), settings)
    columns = run.cell.lmp.extract_compute
    run.advance(max(10, steps // 10))
    times, overheads = [], []
    for _ in range(PIECES):
        before = columns("pair", 0, 1)[KERNEL_SECONDS]
        begin = time.perf_counter()
        run.advance(steps)
        spent = time.perf_counter() - begin
        inside = columns("pair", 0, 1)[KERNEL_SECONDS] - before
        times.append(spent / steps)
        overheads.append(spent / inside - 1)
    evaluations = run.evaluations
    run.close()
    return statistics.median(times), statistics.median(overheads), evaluations


def kernel(atoms: Atoms, potential: Potential) -> float:
    """Return seconds of one evaluation without neighbour list."""
    system, moments = potential.system(atoms), atoms.get_initial_magnetic_moments()
    times = []
    with threads(1):
        for _ in range(25):
            begin = time.perf_counter()
            engine.evaluate(potential.form, system, moments)
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def motep(atoms: Atoms, name: str, limit: float) -> float:
    """Return seconds per step of ASE's Verlet with motep's calculator, as many steps as `limit` seconds allow."""
    from motep.calculator import MMTP
    from motep.io.mlip.mtp import read_mmtp

    atoms = atoms.copy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.mmtp"
        Potential.read(FILE).write(path, "motep")
        data = read_mmtp(path)
    data.species = [26, 46]
    atoms.calc = MMTP(data, engine=name, relax_magmoms=True)
    dynamics = VelocityVerlet(atoms, units.fs)
    dynamics.run(1)
    times, start = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - start < limit and len(times) < 30):
        begin = time.perf_counter()
        dynamics.run(1)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def compare(sizes: list[int], steps: int, limit: float) -> None:
    """Print the table."""
    potential = Potential.read(FILE)
    heads = ("atoms", "kernel", "step, fixed moments", "overhead", "step, relaxed", "overhead", "evaluations")
    heads += ("motep C", "motep numba", "ratio")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for wanted in sizes:
        atoms = configuration(wanted)
        n = len(atoms)
        count = max(2, round(steps * 54 / n))
        bare = kernel(atoms, potential)
        fixed, overhead, _ = ours(atoms, potential, 0, count)
        relaxed, more, evaluations = ours(atoms, potential, 1, count)
        peers = [motep(atoms, name, limit) for name in ("cext", "numba")]
        micro = [1e6 * x / n for x in (bare, fixed, relaxed, *peers)]
        print(
            f"| {n} | {micro[0]:.2f} | {micro[1]:.2f} | {100 * overhead:.1f} % | {micro[2]:.2f} | "
            f"{100 * more:.1f} % | {evaluations:.2f} | {micro[3]:.0f} | {micro[4]:.0f} | {min(peers) / relaxed:.0f} |",
            flush=True,
        )


def ranks(cells: int = 29, steps: int = 10) -> None:
    """Print the speed-up of two ranks on 4 cells³ atoms."""
    lines = f"""units metal
atom_style atomic
fix mom all property/atom d_mag ghost yes
lattice fcc 3.75
region box block 0 {cells} 0 {cells} 0 {cells}
create_box 2 box
create_atoms 1 box
set group all type/fraction 2 0.32 7
mass 1 55.845
mass 2 106.42
set type 1 d_mag 2.6
set type 2 d_mag 0.3
pair_style mmtp moments relax
pair_coeff * * {FILE} Fe Pd
neighbor 0.6 bin
velocity all create 600 1
timestep 0.001
fix 1 all nve
run 2
run {steps}
"""
    bin_ = Path(sys.executable).parent
    environment = {**os.environ, "LAMMPS_PLUGIN_PATH": str(plugin().parent), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.ranks").write_text(lines)
        seconds = {}
        for count in (1, 2):
            command = [str(bin_ / "mpirun"), "-n", str(count), str(bin_ / "lmp"), "-in", "in.ranks"]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
            out = done.stdout
            seconds[count] = float(out.rsplit("Loop time of", 1)[1].split()[0]) / steps
    n = 4 * cells**3
    print(f"{n} atoms, relaxed moments: {1e6 * seconds[1] / n:.2f} µs per atom and step on one rank, "
          f"{1e6 * seconds[2] / n:.2f} on two: {seconds[1] / seconds[2]:.2f} times")  # fmt: skip


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, nargs="+", default=[54, 2000])
    parser.add_argument("--steps", type=int, default=200, help="steps of a piece, for 54 atoms")
    parser.add_argument("--peer-seconds", type=float, default=30.0)
    parser.add_argument("--ranks", action="store_true")
    options = parser.parse_args()
    if options.ranks:
        ranks()
    else:
        compare(options.atoms, options.steps, options.peer_seconds)


if __name__ == "__main__":
    main()
