"""The command as a user meets it: exit codes, one-line errors, no needless imports."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mmtp_fw.cli import main


def mmtp(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    return int(ended.value.code), captured.out, captured.err


COMMANDS = (
    "",
    "run",
    "submit",
    "status",
    "retry",
    "pause",
    "delete",
    "clean",
    "set",
    "resume",
    "cancel",
    "report",
    "find",
    "worker",
    "doctor",
    "dft",
    "dft converge",
    "show",
    "show configuration",
    "show potential",
    "show md",
    "show campaign",
    "export",
    "export potential",
    "export active-set",
    "export training-set",
    "export trajectory",
    "potential",
    "potential fit",
    "potential evaluate",
    "potential grade",
    "potential relax",
    "lammps build",
    "lammps pack",
    "db",
    *(f"db {name}" for name in ("start", "stop", "status", "check", "backup", "restore")),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys, command):
    code, out, _ = mmtp(capsys, *command.split(), "--help")
    assert code == 0 and "Usage: mmtp" in out


def test_help_loads_nothing_heavy():
    heavy = ("numpy", "pymongo", "fireworks", "matplotlib", "numba", "ase", "pydantic")
    code = (
        "import sys, mmtp_fw.cli\n"
        "try: mmtp_fw.cli.main(['--help'])\n"
        f"except SystemExit: sys.stderr.write(repr([m for m in {heavy} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == "[]"


def test_version(capsys):
    assert mmtp(capsys, "--version")[:2] == (0, "mmtp 0.1.0\n")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["frobnicate"], "frobnicate"),
        (["run", "--workers", "0"], "workers"),
        (["run", "missing.yaml"], "missing.yaml"),
        (["run", "--dry-run", "bad.yaml"], "line 3"),
        (["run", "--dry-run", "noyaml.yaml"], "noyaml.yaml, line"),
        (["-l", "missing.yaml", "status"], "missing.yaml"),
        (["status", "-l", "bad.yaml"], "bad.yaml"),
        (["find", "--status", "fine"], "fine"),
        (["export", "training-set", "1", "set.pdf"], "set.pdf"),
        (["export", "potential", "1", "p.mmtp", "--dialect", "klingon"], "klingon"),
        (["potential", "evaluate", "missing.mmtp", "x.xyz"], "missing.mmtp"),
        (["potential", "evaluate", "bad.yaml", "x.xyz"], "bad.yaml"),
        (["potential", "fit", "missing.xyz", "p.mmtp"], "missing.xyz"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("name: x\nsystem:\n  supercel: [1, 1, 1]\n")
    (tmp_path / "noyaml.yaml").write_text("name: [\n")
    code, out, err = mmtp(capsys, *arguments)
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and err.startswith("mmtp: ") and named in err


def test_a_wrong_key_is_explained(capsys, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("name: x\nsystem:\n  supercel: [1, 1, 1]\n")
    assert "did you mean 'supercell'?" in mmtp(capsys, "run", "--dry-run", str(path))[2]


def test_debug_shows_the_traceback(capsys):
    code, _, err = mmtp(capsys, "run", "missing.yaml", "--debug")
    assert code == 2 and "Traceback" in err


def test_dry_run(capsys):
    code, out, _ = mmtp(capsys, "run", "--dry-run", "--json")
    plan = json.loads(out)
    assert code == 0 and plan["campaign"] == "fe-pd-demo"
    assert "fe-pd-demo/000/pretrain" in plan["first_actions"]
    assert plan["cost"]["labels"][0] <= plan["cost"]["labels"][1]
    assert "nothing was started" in mmtp(capsys, "run", "--dry-run")[1]


def test_dry_run_of_every_example(capsys):
    from pathlib import Path

    examples = Path(__file__).parents[2] / "fireworks_specs" / "campaigns"
    for path in sorted(examples.glob("*.yaml")):
        assert mmtp(capsys, "run", "--dry-run", str(path))[0] == 0


def test_doctor(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MMTP_HOME", str(tmp_path))
    code, out, _ = mmtp(capsys, "doctor", "--json")
    found = {item["name"]: item for item in json.loads(out)}
    assert code == 0
    assert found["LAMMPS"]["ok"] and found["Python packages"]["ok"] and found["mongod"]["ok"]
    assert all(item["remedy"] for item in found.values() if not item["ok"])
    assert not list(tmp_path.iterdir()), "it only looks"


def test_doctor_without_programs(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MMTP_HOME", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    code, out, _ = mmtp(capsys, "doctor")
    assert code == 0 and "apt-get install abinit" in out and "apt-get install g++" in out
