"""Whole campaigns with local worker processes on a real mongod."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from small_campaign import SMALL, check_finished, labels_of, small

from mmtp_fw.database import Database, store
from mmtp_fw.errors import InputError
from mmtp_fw.loop.facts import Kind
from mmtp_fw.workflows.local import LocalRun
from mmtp_fw.workflows.submit import submit_campaign


def run(database, tmp_path, name="small", during=None, **sections):
    campaign = small(name, **sections)
    submit_campaign(database, campaign)
    seen = []
    local = LocalRun(database, campaign.name, 2, tmp_path / name)

    def watch(position):
        seen.append((position.iteration, position.phase))
        if during is not None:
            during(local, position)

    assert local.run(watch, interval=0.2)
    return local, seen


def workers_of(local: LocalRun) -> list[psutil.Process]:
    return [psutil.Process(slot.process.pid) for slot in local._slots if slot.process is not None]


def test_a_campaign_end_to_end(database, tmp_path):
    _, seen = run(database, tmp_path)
    check_finished(database, "small")
    assert len(labels_of(database, "small")) >= 6
    assert database.potentials.count_documents({}) >= 1
    assert [phase for _, phase in seen][-1] == "report"
    summary = database.actions.find_one({"kind": "report"})["result"]["summary"]
    assert summary["labels_accepted"] + summary["labels_rejected"] == len(labels_of(database, "small"))
    assert summary["scf_runs"] > 0 and summary["md_steps"] > 0
    assert database.campaigns.find_one({"_id": "small"})["finished"] is not None

    # The same command again: nothing is left to do, nothing changes.
    before = {name: database.db[name].count_documents({}) for name in database.db.list_collection_names()}
    run(database, tmp_path)
    after = {name: database.db[name].count_documents({}) for name in database.db.list_collection_names()}
    assert {n: c for n, c in after.items() if n != "suspicions"} == {
        n: c for n, c in before.items() if n != "suspicions"
    }


def test_trajectories_go_on_after_their_wall_time_and_static_cells_are_compared(database, tmp_path):
    intervals = {"sample_interval": 10, "grade_interval": 10}
    run(
        database,
        tmp_path,
        "parts",
        system=SMALL["system"] | {"lattice_parameters_A": [3.72], "held_out_lattice_parameters_A": []},
        potential=SMALL["potential"] | {"level": 6, "magnetic_size": 3},  # moments at rest have a minimum
        pretraining={"structures": 12},
        fit={"max_iterations": 200, "ensemble": 1},
        selection={"gamma_select": 1e8, "gamma_break": 1e9},
        budget=SMALL["budget"] | {"max_labels": 16},
        properties={"mode": "static"},
        md={"steps": 30, "settings": {"wall_seconds": 1e-3, "relax_interval": 0} | intervals},
    )
    check_finished(database, "parts")
    parts = list(database.md_runs.find().sort("number", 1))
    assert [part["state"] for part in parts] == ["wall_time", "wall_time", "completed"]
    assert [part["steps"] for part in parts] == [10, 10, 10]
    assert [part["continues"] for part in parts] == [None, parts[0]["_id"], parts[1]["_id"]]
    for one, other in itertools.pairwise(parts):
        end, start = store.frames_of(database, one["_id"])[-1], store.frames_of(database, other["_id"])[0]
        assert np.allclose(end.get_scaled_positions(), start.get_scaled_positions(), atol=1e-12)
        assert np.allclose(end.get_velocities(), start.get_velocities(), rtol=1e-6)
        assert np.allclose(end.get_initial_magnetic_moments(), start.get_initial_magnetic_moments(), atol=1e-3)

    (static,) = database.properties.find({"source": "mmtp"})
    (frame,) = store.frames_of(database, static["_id"])
    assert static["values"]["magnetization_muB_per_atom"] == pytest.approx(
        np.mean(frame.get_initial_magnetic_moments())
    )
    reference = database.properties.find_one({"source": "reference"})
    assert reference["values"]["magnetization_muB_per_atom"] > 0.5, "relaxed from the ferromagnetic start"


def test_killed_workers_change_nothing(database, tmp_path):
    killed = []

    def kill(local, position):
        """Kill one worker in each phase, its children with it, while it works."""
        if position.phase in (*killed, Kind.REPORT) or position.finished:
            return
        busy = {claim["process"]["pid"] for claim in database.claims.find({"process": {"$exists": True}})}
        for worker in [one for one in workers_of(local) if one.pid in busy][:1]:
            for process in [*worker.children(recursive=True), worker]:
                process.kill()
            killed.append(position.phase)

    sections = {"pretraining": {"structures": 12}, "budget": {"max_iterations": 0 + 1, "max_labels": 12}}
    local, _ = run(database, tmp_path, "killed", kill, **sections)
    replaced = [phase for phase in killed if phase != Kind.PROPERTY]  # after that the other one may end it alone
    assert replaced and local.restarts >= len(replaced)
    check_finished(database, "killed")
    disturbed = labels_of(database, "killed")
    stages = {c["_id"]: len(c["stages"]) for c in database.calculations.find()}

    database.reset()
    run(database, tmp_path, "killed", **sections)
    assert labels_of(database, "killed") == disturbed
    assert {c["_id"]: len(c["stages"]) for c in database.calculations.find()} == stages


def test_interrupted_and_gone_on_with(database, tmp_path):
    def interrupt(local, position):
        if position.phase == "label":
            os.kill(os.getpid(), signal.SIGINT)

    campaign = small("again")
    submit_campaign(database, campaign)
    local = LocalRun(database, "again", 2, tmp_path)
    assert not local.run(lambda position: interrupt(local, position), interval=0.2)
    assert all(slot.process.poll() is not None for slot in local._slots if slot.process)
    run(database, tmp_path, "again")
    check_finished(database, "again")


@pytest.mark.slow
def test_mongod_killed_during_a_campaign(database, tmp_path):
    from mmtp_fw.database import server

    def kill_server():
        time.sleep(6)
        os.kill(server.status().pid, signal.SIGKILL)

    thread = threading.Thread(target=kill_server)
    thread.start()
    local, _ = run(database, tmp_path, "outage")
    thread.join()
    check_finished(local.database, "outage")


def test_an_unreachable_database_is_one_line(tmp_path):
    launchpad = tmp_path / "launchpad.yaml"
    launchpad.write_text("host: 127.0.0.1\nport: 1\nname: nothing\nstrm_lvl: ERROR\n")
    command = [sys.executable, "-m", "mmtp_fw.workflows.worker", "-l", str(launchpad)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "127.0.0.1:1 does not answer" in line
    assert "Traceback" not in ended.stdout


def test_other_settings_under_the_same_name_are_refused(database):

    submit_campaign(database, small("one"))
    submit_campaign(database, small("one", workers={"local": 7}))
    with pytest.raises(InputError, match="other settings: md"):
        submit_campaign(database, small("one", md={"steps": 77}))
    assert isinstance(database, Database)


def test_a_larger_budget_goes_on_with_a_finished_campaign(database, tmp_path):
    budget = {"max_iterations": 1, "max_labels": 6}
    fit = {"max_iterations": 20, "ensemble": 1}
    run(database, tmp_path, "more", budget=budget, fit=fit)
    first = labels_of(database, "more")
    assert len(first) == 6 and database.campaigns.find_one({"_id": "more"})["stop"] == "max_labels"
    with pytest.raises(InputError, match="other settings: budget"):
        submit_campaign(database, small("more", budget=budget | {"max_attempts": 1}, fit=fit))
    run(database, tmp_path, "more", budget=budget | {"max_labels": 8}, fit=fit)
    check_finished(database, "more")
    more = labels_of(database, "more")
    assert first.items() <= more.items(), "labels that were there stay"
    assert database.actions.count_documents({"kind": "md"}) > 0
    assert database.campaigns.find_one({"_id": "more"})["finished"] is not None
