"""What all tests share: the switch that turns a missing real part into a failure."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_ALL = os.environ.get("MMTP_REQUIRE_ALL") == "1"


def require(part: str) -> None:
    """Skip the calling test where `part` is missing; fail it under ``MMTP_REQUIRE_ALL=1``.

    Parameters
    ----------
    part : str
        Name of a program on PATH, or ``python:NAME`` for an importable package.
    """
    if part.startswith("python:"):
        found = importlib.util.find_spec(part.removeprefix("python:")) is not None
    else:
        found = shutil.which(part) is not None
    if found:
        return
    if REQUIRE_ALL:
        pytest.fail(f"{part} is missing and MMTP_REQUIRE_ALL=1 forbids to skip")
    pytest.skip(f"{part} is not installed")


@pytest.fixture(autouse=True)
def clean_repository():
    """Fail a test that leaves a file in the root of the repository: tests write into `tmp_path`."""
    before = set(ROOT.iterdir())
    yield
    new = [path.name for path in ROOT.iterdir() if path not in before]
    if new:
        ignored = subprocess.run(["git", "check-ignore", *new], cwd=ROOT, capture_output=True, text=True, check=False)
        left = sorted(set(new) - set(ignored.stdout.split()))
        assert not left, f"left in the repository: {', '.join(left)}"


@pytest.fixture(scope="session")
def server_home(tmp_path_factory):
    """A data directory of its own with a running embedded mongod: ``MMTP_HOME`` for the whole session."""
    from mmtp_fw.database import server

    if server.find_mongod() is None:
        require("mongod")
    home = tmp_path_factory.mktemp("mmtp_home")
    before = os.environ.get("MMTP_HOME")
    os.environ["MMTP_HOME"] = str(home)
    server.start()
    yield home
    server.stop()
    if before is None:
        del os.environ["MMTP_HOME"]
    else:
        os.environ["MMTP_HOME"] = before


@pytest.fixture
def database(server_home, monkeypatch):
    """An empty database on the session's embedded mongod."""
    from mmtp_fw.database import Database

    monkeypatch.setenv("MMTP_HOME", str(server_home))
    opened = Database.open()
    opened.reset()
    yield opened
    opened.close()


@pytest.fixture
def call(capsys):
    """Run `mmtp` in this process; return what it printed, or its complaint where bad input (2) is expected."""
    from mmtp_fw.cli import main

    def run(*arguments, code=0):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert ended.value.code == code, out + err
        return err if code == 2 else out

    return run
