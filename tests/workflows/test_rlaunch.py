"""Stock rlaunch workers that pull different categories finish a campaign between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from small_campaign import check_finished, labels_of, small

from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate
from mmtp_fw.workflows.submit import submit_campaign

SPECS = Path(__file__).parents[2] / "fireworks_specs"


def rlaunch(launchpad: Path, fworker: str, directory: Path) -> subprocess.Popen:
    directory.mkdir()
    command = [str(Path(sys.executable).parent / "rlaunch"), "-l", str(launchpad)]
    command += [
        "-w",
        str(SPECS / "fworkers" / fworker),
        "rapidfire",
        "--nlaunches",
        "infinite",
        "--sleep",
        "1",
    ]
    environment = {**os.environ, "MMTP_LOG": "json:info"}
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=directory, stdout=log, stderr=subprocess.STDOUT, env=environment)


def test_two_rlaunch_workers_of_different_categories(database, tmp_path):
    submit_campaign(database, small())
    launchpad = database.launchpad_file()
    workers = [
        rlaunch(launchpad, "university_cpu.yaml", tmp_path / "cpu"),
        rlaunch(launchpad, "national_center_dft.yaml", tmp_path / "dft"),
    ]
    try:
        end = time.monotonic() + 240
        while time.monotonic() < end and not _closed(database):
            assert all(worker.poll() is None for worker in workers), (tmp_path / "cpu" / "log").read_text()[-2000:]
            time.sleep(0.5)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(30)
    check_finished(database, "small")
    assert labels_of(database, "small")
    by_worker: dict[str, set[str]] = {}
    for launch in database.launchpad.launches.find():
        firework = database.launchpad.fireworks.find_one({"fw_id": launch["fw_id"]})
        by_worker.setdefault(launch["fworker"]["name"], set()).add(firework["spec"]["_category"])
    records = [json.loads(line) for line in (tmp_path / "dft" / "log").read_text().splitlines() if line[:1] == "{"]
    done = {record["action"] for record in records if record["message"] == "done"}
    assert done == {action["_id"] for action in database.actions.find({"category": "dft"})}
    assert len({record["worker"] for record in records}) == 1
    assert by_worker == {"university_cpu": {"md", "fit", "light"}, "national_center_dft": {"dft"}}


def _closed(database) -> bool:
    running = database.launchpad.fireworks.count_documents({"state": {"$ne": "COMPLETED"}})
    return running == 0 and locate(gather(database, "small")).finished
