"""The container files, as far as a machine without a container engine can tell."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ruamel.yaml import YAML

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
    mongodb = compose["services"]["mongodb"]
    assert mongodb["environment"]["MONGO_INITDB_ROOT_PASSWORD_FILE"].startswith("/run/secrets/")
    assert "--keyFile" in mongodb["command"]
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_image_copies_what_exists_and_its_entry_runs():
    for line in (DOCKER / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            sources = [word for word in line.split()[1:-1] if not word.startswith("--")]
            assert all((ROOT / source).exists() for source in sources), line
    assert (DOCKER / "entrypoint").stat().st_mode & stat.S_IXUSR


def test_no_secret_is_kept():
    kept = [path.name for path in (DOCKER / "secrets").iterdir()]
    ignored = (DOCKER / "secrets" / ".gitignore").read_text()
    assert ignored.splitlines()[0] == "*"
    assert ".gitignore" in kept
