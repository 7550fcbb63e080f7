"""The embedded server: found again, raced for, killed, and clear about what it can't do."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from mmtp_fw.database import Database, server
from mmtp_fw.errors import DatabaseError
from tests.conftest import require


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """A data directory whose server a test may kill."""
    if server.find_mongod() is None:
        require("mongod")
    monkeypatch.setenv("MMTP_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    status = server.status()
    if status.running:
        psutil.Process(status.pid).kill()


def client(**more):
    settings = server.connection()
    return MongoClient(
        settings["host"], settings["port"], username=settings["username"], password=settings["password"],
        directConnection=True, serverSelectionTimeoutMS=5000, **more,
    )  # fmt: skip


def _start(queue):
    queue.put(server.start()["port"])


def test_concurrent_starts_find_one_server_that_stop_ends(own_home):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    starters = [context.Process(target=_start, args=(queue,)) for _ in range(3)]
    for starter in starters:
        starter.start()
    ports = {queue.get(timeout=120) for _ in starters}
    for starter in starters:
        starter.join()
    assert len(ports) == 1
    status = server.status()
    assert status.running  # its starters have ended, it has not
    command = psutil.Process(status.pid).cmdline()
    assert server.connection()["password"] not in " ".join(command)
    assert "127.0.0.1" in command
    assert (own_home / "mongod" / "password").stat().st_mode & 0o777 == 0o600
    with (
        MongoClient("127.0.0.1", status.port, directConnection=True) as stranger,
        pytest.raises(OperationFailure),
    ):
        stranger.admin.command("listDatabases")
    assert server.stop()
    assert not server.status().running
    assert not server.stop()


def _insert_until_killed(pipe):
    with client(journal=True) as mongo:
        collection = mongo.test.kept
        number = 0
        while True:
            collection.insert_one({"_id": number})
            pipe.send(number)
            number += 1


def _hang_up(listener):
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()


def test_a_killed_server_keeps_every_acknowledged_write(own_home):
    server.start()
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    writer = context.Process(target=_insert_until_killed, args=(sender,))
    writer.start()
    last = -1
    while last < 150:
        last = receiver.recv()
    os.kill(server.status().pid, signal.SIGKILL)
    writer.kill()
    writer.join()
    while receiver.poll(0.2):
        try:
            last = receiver.recv()
        except EOFError:
            break
    old = server.connection()["port"]
    with socket.socket() as thief:  # and its port is taken meanwhile
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", old))
        thief.listen()
        threading.Thread(target=_hang_up, args=(thief,), daemon=True).start()
        server.start()
        thief.shutdown(socket.SHUT_RDWR)
    assert server.connection()["port"] != old
    with client() as mongo:
        kept = {document["_id"] for document in mongo.test.kept.find()}
    assert kept >= set(range(last + 1))

    # A starter killed before it noted the server: the next one adopts it.
    running = server.status().pid
    (own_home / "mongod" / "state.json").unlink()
    server.start()
    assert server.status().pid == running

    # A process id that now belongs to another program is not our server.
    os.kill(running, signal.SIGKILL)
    state = json.loads((own_home / "mongod" / "state.json").read_text())
    (own_home / "mongod" / "state.json").write_text(json.dumps(state | {"pid": os.getpid()}))
    assert not server.status().running
    server.start()
    assert server.status().pid not in (running, os.getpid())

    # A password that is gone is said, and no new one is made up.
    password = own_home / "mongod" / "password"
    right = password.read_text()
    password.write_text("wrong")
    with pytest.raises(DatabaseError, match="is not the one of the data"):
        server.start()
    server.stop()
    password.unlink()
    with pytest.raises(DatabaseError, match="password is missing"):
        server.start()
    password.write_text(right)


def test_no_mongod_for_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("MMTP_HOME", str(tmp_path))
    monkeypatch.setattr(server, "find_mongod", lambda: None)
    with pytest.raises(DatabaseError, match="no mongod for this machine") as caught:
        server.start()
    assert "launchpad.yaml" in caught.value.hint


def test_an_unusable_directory(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMTP_HOME", str(tmp_path / "file"))
    with pytest.raises(DatabaseError, match="can't be created") as caught:
        server.start()
    assert "MMTP_HOME" in caught.value.hint


def test_a_full_disk(tmp_path, monkeypatch):
    if server.find_mongod() is None:
        require("mongod")
    monkeypatch.setenv("MMTP_HOME", str(tmp_path))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**6))
    with pytest.raises(DatabaseError, match="only 1 MB free"):
        server.start()


@pytest.mark.parametrize("damage", ["{", "\x00\x00"])
def test_a_damaged_state_file(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("MMTP_HOME", str(tmp_path))
    (tmp_path / "mongod").mkdir()
    (tmp_path / "mongod" / "state.json").write_text(damage)
    with pytest.raises(DatabaseError, match=r"state\.json is damaged"):
        server.start()


def test_a_directory_in_use_by_another_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("MMTP_HOME", str(tmp_path))
    (tmp_path / "mongod").mkdir()
    (tmp_path / "mongod" / "state.json").write_text(json.dumps({"pid": 1, "port": 1, "host": "elsewhere"}))
    with pytest.raises(DatabaseError, match="runs on elsewhere"):
        server.start()


def test_a_relative_home_is_where_the_command_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMTP_HOME", "data")
    assert server.directory() == tmp_path / "data" / "mongod"


def test_the_server_outlives_an_interrupted_parent(own_home):
    script = (
        "import os, signal; from mmtp_fw.database import server; server.start(); "
        "signal.signal(signal.SIGINT, signal.SIG_DFL); os.killpg(0, signal.SIGINT)"  # a background job ignores it
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        start_new_session=True,
        capture_output=True,
        cwd=Path.cwd(),
        check=False,
    )
    assert ended.returncode != 0
    assert server.status().running
    with Database.open() as database:
        assert database.db.command("ping")["ok"] == 1
