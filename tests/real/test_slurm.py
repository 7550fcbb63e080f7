"""A real Slurm on this machine: qlaunch with the shipped adapter, a job that is ended early, and one that goes on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from small_campaign import check_finished, labels_of, small

from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate
from mmtp_fw.workflows.submit import submit_campaign
from tests.conftest import require

SPECS = Path(__file__).parents[2] / "fireworks_specs"
BIN = Path(sys.executable).parent

CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=compute Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A cluster of one node with a partition `compute`; SLURM_CONF names it."""
    for name in ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel"):
        require(name)
    if os.getuid() != 0:
        pytest.skip("only root may start slurmd")
    place = tmp_path_factory.mktemp("slurm")
    for parent in (place, *place.parents[:3]):
        if parent != Path("/tmp"):
            parent.chmod(0o755)  # munge refuses a socket that others can't reach
    for name in ("state", "spool"):
        (place / name).mkdir()
    key = place / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    (place / "slurm.conf").write_text(CONFIGURATION.format(place=place, ports=(free_port(), free_port())))
    started: list[subprocess.Popen] = []

    def start(*command: str) -> subprocess.Popen:
        log = (place / f"{Path(command[0]).name}.log").open("wb")
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        started.append(process)
        return process

    conf = str(place / "slurm.conf")
    before, os.environ["SLURM_CONF"] = os.environ.get("SLURM_CONF"), conf
    try:
        start(
            shutil.which("munged"), "--force", "--foreground", f"--socket={place}/munge.socket", f"--key-file={key}",
            f"--pid-file={place}/munged.pid", f"--log-file={place}/munge.log", f"--seed-file={place}/munge.seed",
        )  # fmt: skip
        wait(lambda: (place / "munge.socket").exists(), 20)
        for version in ("v1", "v2"):
            (place / "cgroup.conf").write_text(f"CgroupPlugin=cgroup/{version}\n")
            controller = start(shutil.which("slurmctld"), "-D", "-f", conf)
            node = start(shutil.which("slurmd"), "-D", "-N", "localhost", "-f", conf)
            if wait(lambda node=node: node.poll() is not None or "idle" in states(), 30) and node.poll() is None:
                break
            for process in (node, controller):
                process.terminate()
                process.wait(20)
        else:
            pytest.skip(f"slurmd can't run on this machine: {(place / 'slurmd.log').read_text()[-300:]}")
        yield place
        # Jobs outlive slurmd: left alone they would work on the campaigns of other tests.
        ask("scancel", "--partition=compute", "--full", "--signal=TERM")
        assert wait(lambda: not ask("squeue", "-h").strip(), 90), "a job does not end"
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


def states() -> str:
    return subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False).stdout


def wait(true, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.2)
    return False


def qlaunch(launchpad: Path, place: Path) -> str:
    """Launch one job with the shipped adapter, its paths replaced by those of this machine; return its number."""
    adapter = yaml.safe_load((SPECS / "qadapters" / "slurm_cpu.yaml").read_text())
    adapter["rocket_launch"] = adapter["rocket_launch"].replace("$HOME/mmtp_fw/launchpad.yaml", str(launchpad))
    adapter["rocket_launch"] = adapter["rocket_launch"].replace("--category light", "--category light --category dft")
    adapter["pre_rocket"] = f"export PATH={BIN}:$PATH MMTP_HOME={os.environ['MMTP_HOME']}"
    adapter["cpus_per_task"] = 1
    place.mkdir(exist_ok=True)
    (place / "adapter.yaml").write_text(yaml.safe_dump(adapter))
    # Without a reservation the job pulls whatever there is.
    command = [str(BIN / "qlaunch"), "-l", str(launchpad), "-w", str(SPECS / "fworkers" / "workstation.yaml")]
    command += ["-q", str(place / "adapter.yaml"), "--launch_dir", str(place), "singleshot"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = ask("squeue", "-h", "-o", "%i").split()
    assert numbers, done.stdout + done.stderr
    return numbers[-1]


def logs(place: Path) -> str:
    files = [*sorted(place.rglob("*.out")), *sorted(place.rglob("*.error"))]
    return "".join(path.read_text(errors="replace")[-1500:] for path in files)


def closed(database) -> bool:
    running = database.launchpad.fireworks.count_documents({"state": {"$ne": "COMPLETED"}})
    return running == 0 and locate(gather(database, "small")).finished


def test_a_campaign_in_the_queue_survives_the_end_of_its_job(slurm, database, tmp_path):
    submit_campaign(database, small())
    launchpad = database.launchpad_file()
    first = qlaunch(launchpad, tmp_path / "jobs")
    assert wait(lambda: database.db.calculations.count_documents({}) > 0, 120), logs(tmp_path)
    ask("scancel", "--batch", "--signal=TERM", first)  # what `--signal=B:TERM@120` sends before the end
    assert wait(lambda: first not in ask("squeue", "-h", "-o", "%i").split(), 60), "the worker did not end"
    begun = {c["_id"] for c in database.db.calculations.find({"status": "accepted"})}
    qlaunch(launchpad, tmp_path / "jobs")
    assert wait(lambda: closed(database), 300), logs(tmp_path)
    check_finished(database, "small")
    assert labels_of(database, "small")
    assert begun <= {c["_id"] for c in database.db.calculations.find({"status": "accepted"})}
