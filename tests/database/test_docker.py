"""The container files, as far as a machine without a container engine can tell."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mmtp_fw.database.launchpad import read_launchpad_file

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"


@pytest.fixture(scope="module")
def compose():
    return YAML(typ="safe").load((DOCKER / "compose.yaml").read_text())


def test_everything_that_is_referred_to_is_declared(compose):
    services = compose["services"]
    for service in services.values():
        for secret in service.get("secrets", []):
            assert (secret if isinstance(secret, str) else secret["source"]) in compose["secrets"]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DOCKER / source).exists()
        assert set(service.get("depends_on", {})) <= set(services)
        if "build" in service:
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).exists()


def test_database_asks_for_a_password_and_listens_on_loopback_only(compose):
    assert compose["services"]["mongodb"]["environment"]["MONGO_INITDB_ROOT_USERNAME"]
    start = (DOCKER / "mongod").read_text()
    assert "MONGO_INITDB_ROOT_PASSWORD_FILE=" in start
    assert "--keyFile" in start
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_image_copies_what_exists():
    for line in (DOCKER / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            sources = [word for word in line.split()[1:-1] if not word.startswith("--")]
            assert all((ROOT / source).exists() for source in sources), line


@pytest.mark.parametrize("script", ["entrypoint", "mongod"])
def test_scripts_are_sound(script):
    assert (DOCKER / script).stat().st_mode & stat.S_IXUSR
    assert subprocess.run(["sh", "-n", DOCKER / script], check=False).returncode == 0


@pytest.mark.parametrize("command", [["worker"], ["db", "launchpad"], ["submit"]])
def test_entry_calls_commands_that_exist(command):
    program = [sys.executable, "-c", "from mmtp_fw.cli import main; main()"]
    mmtp = [*program, "-l", str(DOCKER / "launchpad.yaml"), *command, "--help"]
    done = subprocess.run(mmtp, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_launchpad_files_of_containers_and_outside_name_the_same_database():
    inside, outside = (read_launchpad_file(path / "launchpad.yaml") for path in (DOCKER, ROOT))
    assert {**inside, "host": 0, "mongoclient_kwargs": 0} == {**outside, "host": 0, "mongoclient_kwargs": 0}
    # Outside nobody can resolve the name by which the replica set knows its only member.
    assert outside["mongoclient_kwargs"]["directConnection"]


def test_no_secret_is_kept():
    kept = [path.name for path in (DOCKER / "secrets").iterdir()]
    ignored = (DOCKER / "secrets" / ".gitignore").read_text()
    assert ignored.splitlines()[0] == "*"
    assert ".gitignore" in kept
