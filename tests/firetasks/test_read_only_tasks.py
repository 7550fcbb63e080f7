"""Every Firetask runs where nothing can be written but its launch directory and the place for temporary files."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from small_campaign import SMALL, check_finished

from mmtp_fw.database import server
from mmtp_fw.loop import Kind

# Every process imports it first: for Python, everything outside is a read-only file system, also for root.
READ_ONLY = """
import errno, os, sys

WRITABLE = os.environ["WRITABLE"].split(":") + ["/dev", "/proc"]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

def refuse(event, arguments):
    if event == "open":
        if not arguments[2] & WRITES:
            return
        path = arguments[0]
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.chmod"):
        path = arguments[0]
    elif event in ("os.rename", "os.link", "os.symlink"):
        path = arguments[1]
    else:
        return
    if not isinstance(path, int):
        path = os.path.abspath(os.fsdecode(path))
        if not any(path == place or path.startswith(place + "/") for place in WRITABLE):
            raise OSError(errno.EROFS, "Read-only file system", path)

sys.addaudithook(refuse)
"""
WORKER = """
import json, sys
from mmtp_fw.campaign import Campaign
from mmtp_fw.database import Database
from mmtp_fw.workflows.submit import submit_campaign
from mmtp_fw.workflows.worker import run_worker

campaign = Campaign.model_validate(json.loads(sys.argv[1]))
with Database.open("launchpad.yaml") as database:
    submit_campaign(database, campaign)
    run_worker(database, directory="launches", campaign_id=campaign.name)
"""
ONE_OF_EACH = SMALL | {
    "name": "read-only",
    "system": {
        "supercell": [1, 1, 1],
        "composition": {"Fe": 0.75, "Pd": 0.25},
        "lattice_parameters_A": [3.72],
        "held_out_lattice_parameters_A": [],
    },
    "pretraining": {"structures": 4},
    "fit": {"max_iterations": 10, "ensemble": 1, "starts": 1},
    "md": {"steps": 10, "temperatures_K": [300.0], "magnetic_orders": ["ferromagnetic"]},
    "properties": {"steps": 10, "equilibration_steps": 2, "phonon_dos": False},
}


def test_one_of_each(database, tmp_path):
    place, temporary, customized = (tmp_path / name for name in ("place", "tmp", "customized"))
    for directory in (place, temporary, customized):
        directory.mkdir()
    (customized / "sitecustomize.py").write_text(READ_ONLY)
    settings = server.connection()
    (place / "launchpad.yaml").write_text(json.dumps(settings))
    home = tmp_path / "home"
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "OMP_NUM_THREADS") if name in os.environ}
    environment = kept | {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(customized),
        "WRITABLE": f"{place}:{temporary}",
        "MMTP_LOG": "warning",
    }
    done = subprocess.run(
        [sys.executable, "-c", WORKER, json.dumps(ONE_OF_EACH)], cwd=place, env=environment, text=True,
        capture_output=True, timeout=580, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert not home.exists()
    assert "no journal, set MMTP_HOME" in done.stderr
    logs = [path.read_text() for path in place.rglob("md.log")]
    assert logs and all("the LAMMPS plugin is built anew by every process, set MMTP_CACHE" in text for text in logs)
    check_finished(database, "read-only")
    outcomes = {(action["kind"], action["result"]["outcome"]) for action in database.actions.find()}
    assert {kind for kind, _ in outcomes} == {kind.value for kind in Kind}
    assert ("label", "accepted") in outcomes
    assert not {outcome for _, outcome in outcomes} & {"failed", "crashed"}
    assert database.actions.count_documents({"errors": {"$ne": []}}) == 0
