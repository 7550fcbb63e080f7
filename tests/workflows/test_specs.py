"""The example specs: FireWorks takes each file as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fireworks import FWorker
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
from ruamel.yaml import YAML

from mmtp_fw.loop.facts import CATEGORIES, Kind
from mmtp_fw.workflows.build import TASKS

SPECS = Path(__file__).parents[2] / "fireworks_specs"
FIREWORKS = sorted((SPECS / "fireworks").glob("*.yaml"))


def program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def test_lpad_takes_every_spec(database):
    command = [program("lpad"), "-l", str(database.launchpad_file()), "add", *map(str, FIREWORKS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert database.launchpad.workflows.count_documents({}) == len(FIREWORKS)
    assert database.launchpad.fireworks.count_documents({"state": "READY"}) == len(FIREWORKS)


@pytest.mark.parametrize("path", FIREWORKS, ids=lambda path: path.stem)
def test_the_tasks_exist_and_have_their_category(path):
    firework = YAML(typ="safe").load(path.read_text())["fws"][0]
    name = firework["spec"]["_tasks"][0]["_fw_name"]
    module, _, cls = name.strip("{}").rpartition(".")
    assert hasattr(__import__(module, fromlist=[cls]), cls)
    assert firework["spec"]["_add_launchpad_and_fw_id"] is True
    if "kind" in firework["spec"]:
        kind = Kind(firework["spec"]["kind"])
        assert TASKS[kind] == name
        assert CATEGORIES[kind] == firework["spec"]["_category"]


def test_a_submitted_campaign_is_planned_by_a_stock_worker(database, tmp_path):
    launchpad = str(database.launchpad_file())
    spec = SPECS / "fireworks" / "submit_campaign.yaml"
    subprocess.run([program("lpad"), "-l", launchpad, "add", str(spec)], check=True, capture_output=True)
    command = [program("rlaunch"), "-l", launchpad, "singleshot"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, timeout=120)
    assert database.campaigns.find_one({"_id": "fe-pd-submitted"}) is not None
    assert database.launchpad.fireworks.find_one({"spec.action": "fe-pd-submitted/000/pretrain"}) is not None


def test_fworkers_and_queue_adapters_load():
    categories = set()
    for path in (SPECS / "fworkers").glob("*.yaml"):
        worker = FWorker.from_file(str(path))
        categories.update([worker.category] if isinstance(worker.category, str) else worker.category)
    assert categories == {"md", "dft", "fit", "light"}
    for path in (SPECS / "qadapters").glob("*.yaml"):
        adapter = CommonAdapter.from_file(str(path))
        script = adapter.get_script_str("/somewhere")
        early = 900 if "dft" in path.stem else 120  # VASP needs time to end an electronic step
        assert f"#SBATCH --signal=B:TERM@{early}" in script
        assert "mmtp worker" in script
