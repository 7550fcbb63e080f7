"""The table of batch systems against FireWorks' adapters, the example files, and what a job is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
from ruamel.yaml import YAML

from mmtp_fw.cli.checks import queue as check_queue
from mmtp_fw.errors import EngineError
from mmtp_fw.queues import JOB_END, QUEUES, end_variables, job_end

ADAPTERS = sorted((Path(__file__).parents[1] / "fireworks_specs" / "qadapters").glob("*.yaml"))


@pytest.fixture(autouse=True)
def no_job(monkeypatch):
    for name in end_variables():
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", QUEUES)
def test_fireworks_knows_it_and_submits_alike(name):
    assert CommonAdapter.default_q_commands[name]["submit_cmd"] == QUEUES[name].submit


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.stem)
def test_example_adapters_are_for_known_systems(path):
    assert YAML(typ="safe").load(path.read_text())["_fw_q_type"] in QUEUES


def test_a_job_knows_its_end(monkeypatch):
    assert job_end() is None
    monkeypatch.setenv("SLURM_JOB_END_TIME", "2000.5")
    assert job_end() == 2000.5
    monkeypatch.setenv(JOB_END, "1000")
    assert job_end() == 1000, "what the user says goes before"
    monkeypatch.setenv(JOB_END, "noon")
    with pytest.raises(EngineError, match="MMTP_JOB_END is 'noon'"):
        job_end()


@pytest.mark.parametrize("name", QUEUES)
def test_doctor_finds_each(name, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    lacking = check_queue()
    assert not lacking.ok and QUEUES[name].submit in lacking.found
    (tmp_path / QUEUES[name].submit).write_text("#!/bin/sh\n")
    (tmp_path / QUEUES[name].submit).chmod(0o755)
    found = check_queue()
    assert found.ok and QUEUES[name].title in found.found
