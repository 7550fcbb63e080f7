"""A small campaign through the command alone, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from ruamel.yaml import YAML
from small_campaign import SMALL

MMTP = [sys.executable, "-c", "from mmtp_fw.cli import main; main()"]


def call(place, *arguments, ok=True):
    done = subprocess.run([*MMTP, *arguments], cwd=place, capture_output=True, text=True, timeout=400)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


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


def test_a_campaign_by_command(place):
    stopped = interrupted(place)
    assert stopped.returncode == 130
    assert "`mmtp run c.yaml` goes on" in stopped.stdout
    assert "Traceback" not in stopped.stdout

    out = call(place, "run", "c.yaml")
    page = place / "report" / "index.html"
    assert out.strip().splitlines()[-1] == str(page)
    summary = json.loads((place / "report" / "summary.json").read_text())
    assert summary["labels_accepted"] >= 4 and summary["iterations"] >= 1

    status = json.loads(call(place, "status", "small", "--json"))
    assert status["complete"] and status["labels"]["accepted"] == summary["labels_accepted"]
    assert "small" in call(place, "status")

    version = status["potential"]["version"]
    history = json.loads(call(place, "show", "potential", str(version), "--json"))
    number = history["labels"][0]["configuration"]
    shown = json.loads(call(place, "show", "configuration", str(number), "--json"))
    assert version in [item["_id"] for item in shown["potentials"]]
    assert shown["calculations"][0]["stages"]
    assert json.loads(call(place, "find", "--status", "accepted", "--json"))
    for what in (["potential", str(version)], ["configuration", str(number)], ["md", "1"], ["campaign"]):
        assert "small" in call(place, "show", *what)

    call(place, "export", "potential", str(version), "p.mmtp")
    for name in ("set.xyz", "set.cfg"):
        call(place, "export", "training-set", str(version), name)
        found = call(place, "potential", "evaluate", "p.mmtp", name, "--species", "Fe,Pd", "--json")
        assert len(json.loads(found)) == len(history["labels"])
    assert "0 problems" in call(place, "db", "check")
    call(place, "db", "backup", "all.bak")
    assert "exists" in call(place, "db", "backup", "all.bak", ok=False)
    assert "is not empty" in call(place, "db", "restore", "all.bak", ok=False)


def test_unknown_things(place):
    for arguments in (["status", "x"], ["report", "x"], ["show", "md", "99"], ["show", "potential", "one"]):
        assert call(place, *arguments, ok=False).startswith("mmtp: ")


def test_a_changed_campaign_is_refused(place):
    call(place, "submit", "c.yaml")
    (place / "c.yaml").write_text((place / "c.yaml").read_text().replace("seed: 3", "seed: 4"))
    assert "seed" in call(place, "submit", "c.yaml", ok=False)


def test_a_worker_ends_when_asked(place):
    worker = subprocess.Popen(
        [*MMTP, "worker", "--category", "light"], cwd=place, stdout=subprocess.PIPE, text=True
    )
    assert "light" in worker.stdout.readline()
    time.sleep(0.5)
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(60) == 0
    worker.stdout.close()
