"""A small campaign through the command alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import ase.io
import numpy as np
import pytest
from ruamel.yaml import YAML
from small_campaign import SMALL

from mmtp_fw.cli import main
from mmtp_fw.potential import Potential
from mmtp_fw.selection import ActiveSet

MMTP = [sys.executable, "-c", "from mmtp_fw.cli import main; main()"]


@pytest.fixture
def call(place, capsys, monkeypatch):
    """Run a command here, which saves starting Python; return what it prints."""
    monkeypatch.chdir(place)

    def run(*arguments, ok=True):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        assert (ended.value.code == 0) == ok, out + err
        return out if ok else err

    return run


@pytest.fixture
def place(database, tmp_path):
    """A directory with the small campaign's file, beside an empty database."""
    with (tmp_path / "c.yaml").open("w") as stream:
        YAML().dump(SMALL, stream)
    return tmp_path


def interrupted(place) -> subprocess.CompletedProcess[str]:
    """Run until labels are made, then Ctrl-C."""
    started = subprocess.Popen(
        [*MMTP, "run", "c.yaml"], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = []
    for line in started.stdout:
        lines.append(line)
        if "; label (" in line or "; fit (" in line:
            started.send_signal(signal.SIGINT)
            break
    rest = started.communicate(timeout=120)[0]
    return subprocess.CompletedProcess(started.args, started.returncode, "".join(lines) + rest)


def test_a_campaign_by_command(place, call):
    stopped = interrupted(place)
    assert stopped.returncode == 130
    assert "`mmtp run c.yaml` goes on" in stopped.stdout
    assert "Traceback" not in stopped.stdout

    out = call("run", "c.yaml")
    page = place / "report" / "index.html"
    assert out.strip().splitlines()[-1] == str(page)
    summary = json.loads((place / "report" / "summary.json").read_text())
    assert summary["labels_accepted"] >= 4 and summary["iterations"] >= 1
    assert summary["headline"].startswith(("converged", "not converged")) and summary["headline"] in out
    assert [row["lattice_parameter_A"] for row in summary["volumes"]] == [3.66, 3.72, 3.78]
    for row in summary["volumes"]:
        assert row["verdict"] == "unstable potential" or row["max_grade"] > 0, "the averages are graded"

    status = json.loads(call("status", "small", "--json"))
    assert status["complete"] and status["labels"]["accepted"] == summary["labels_accepted"]
    assert "small" in call("status") and summary["headline"] == status["headline"]

    version = status["potential"]["version"]
    history = json.loads(call("show", "potential", str(version), "--json"))
    number = history["labels"][0]["configuration"]
    shown = json.loads(call("show", "configuration", str(number), "--json"))
    assert version in [item["_id"] for item in shown["potentials"]]
    assert shown["calculations"][0]["stages"]
    assert json.loads(call("find", "--status", "accepted", "--json"))
    grades = {row["grade"] for row in json.loads(call("find", "--status", "accepted", "--json"))}
    for grade in "ABC":
        rows = json.loads(call("find", "--quality", grade, "--json"))
        assert {row["grade"] for row in rows} == grades & {grade}
    assert "--quality D" in call("find", "--quality", "D", ok=False)
    call("show", "configuration", str(number), "--figure", "label.png")
    assert (place / "label.png").stat().st_size > 2000
    for what in (["potential", str(version)], ["configuration", str(number)], ["md", "1"], ["campaign"]):
        assert "small" in call("show", *what)

    call("export", "potential", str(version), "p.mmtp")
    for name in ("set.xyz", "set.cfg"):
        call("export", "training-set", str(version), name)
        found = call("potential", "evaluate", "p.mmtp", name, "--species", "Fe,Pd", "--json")
        held_out = sum(label["validation"] for label in history["labels"])
        assert len(json.loads(found)) == len(history["labels"]) - held_out
    assert len(history["members"]) == 4, "the ensemble is the version and four more"
    call("export", "active-set", str(version), "p.state")
    state = ActiveSet.from_bytes((place / "p.state").read_bytes())
    assert state.potential.content_hash == Potential.read(place / "p.mmtp").content_hash
    call("export", "trajectory", "1", "run.xyz")
    frames = ase.io.read(place / "run.xyz", ":")
    assert len(frames) >= 1 and frames[0].get_initial_magnetic_moments().any()
    call("export", "trajectory", "1", "run.xyz", "--uncertainty")
    known = ase.io.read(place / "run.xyz", ":")
    for frame, plain in zip(known, frames, strict=True):
        np.testing.assert_allclose(frame.positions, plain.positions)
        assert frame.arrays["forces_uncertainty"].shape == (len(plain), 3) and frame.info["knowledge"]
        assert (
            np.all(frame.arrays["magnetic_forces_uncertainty"] > 0) and frame.info["energy_uncertainty_eV_per_atom"] > 0
        )
    assert "run.pdf" in call("export", "trajectory", "1", "run.pdf", ok=False)
    assert "0 problems" in call("db", "check")
    call("db", "backup", "all.bak")
    assert "exists" in call("db", "backup", "all.bak", ok=False)
    assert "is not empty" in call("db", "restore", "all.bak", ok=False)


def test_unknown_things(call):
    for arguments in (["status", "x"], ["report", "x"], ["show", "md", "99"], ["show", "potential", "one"]):
        assert call(*arguments, ok=False).startswith("mmtp: ")


def test_a_changed_campaign_is_refused(place, call):
    call("submit", "c.yaml")
    (place / "c.yaml").write_text((place / "c.yaml").read_text().replace("seed: 3", "seed: 4"))
    assert "seed" in call("submit", "c.yaml", ok=False)


def test_a_worker_ends_when_asked(place):
    worker = subprocess.Popen([*MMTP, "worker", "--category", "light"], cwd=place, stdout=subprocess.PIPE, text=True)
    assert "light" in worker.stdout.readline()
    time.sleep(0.5)
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(60) == 0
    worker.stdout.close()
