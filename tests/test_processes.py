"""Programs are ended with all that they have started."""

from __future__ import annotations

import os
import subprocess
import time

import psutil
import pytest

from mmtp_fw.processes import end_program, end_programs

# What a program does at SIGTERM, and what its child does; the child's pid is written once both listen.
LAUNCHER = "trap '{own}' TERM; sh -c 'trap \"{childs}\" TERM; echo $$ > child; while :; do sleep 0.05; done' & {wait}"
WAIT = "while :; do sleep 0.05; done"


def start(directory, own, childs, **how):
    command = LAUNCHER.format(own=own, childs=childs, wait=WAIT)
    process = subprocess.Popen(["sh", "-c", command], cwd=directory, **how)
    while not (directory / "child").exists() or not (directory / "child").read_text().strip():
        assert process.poll() is None
        time.sleep(0.02)
    return process, int((directory / "child").read_text())


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("own", ["exit 3", ":"], ids=["leader ends", "leader is deaf"])
@pytest.mark.parametrize("childs", ["exit 0", ":"], ids=["child ends", "child is deaf"])
def test_nothing_of_a_session_is_left(tmp_path, own, childs):
    process, child = start(tmp_path, own, childs, start_new_session=True)
    end_program(process, 0.5)
    assert process.returncode == (3 if own == "exit 3" else -9)
    while not gone(child):  # init reaps it
        time.sleep(0.02)


def test_a_program_in_our_own_group_is_ended_alone(tmp_path):
    process, child = start(tmp_path, "exit 3", ":")
    try:
        end_program(process, 5.0)
        assert process.returncode == 3
        assert not gone(child)
    finally:
        os.kill(child, 9)


def test_a_program_that_ends_its_own_is_asked_alone(tmp_path):
    process, _ = start(tmp_path, "exit 3", "touch told", start_new_session=True)
    end_programs([process], 5.0, ask_group=False)
    assert process.returncode == 3
    assert not (tmp_path / "told").exists()


def test_without_patience_nobody_is_asked(tmp_path):
    process, _ = start(tmp_path, "touch asked", "exit 0", start_new_session=True)
    end_program(process, 0.0)
    assert process.returncode == -9
    assert not (tmp_path / "asked").exists()


def test_many_are_ended_and_the_dead_are_left_alone(tmp_path):
    places = [tmp_path / str(k) for k in range(3)]
    for place in places:
        place.mkdir()
    dead = subprocess.Popen(["true"])
    dead.wait()
    deaf = [start(place, ":", ":", start_new_session=True)[0] for place in places]
    end_programs([dead, *deaf], 0.5)
    assert dead.returncode == 0 and [process.returncode for process in deaf] == [-9] * 3
