"""The embedded database: a real mongod of this user's own, on loopback, with a password.

It is started by the first command that needs it, runs on when that command ends, is found again by the next
one and is stopped by `mmtp db stop`. It is a replica set of one, so that transactions work, and journals
every acknowledged write, so that a power cut loses none.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from mmtp_fw.database.home import home, make_private, write_private
from mmtp_fw.database.mongod import find_mongod as find_mongod
from mmtp_fw.database.mongod import runnable
from mmtp_fw.errors import DatabaseError

USER = "mmtp"
REPLICA_SET = "mmtp"
START_SECONDS = 90.0
_UNAUTHORIZED = 13


@dataclass(frozen=True)
class ServerStatus:
    """What is known of the embedded server.

    Attributes
    ----------
    running : bool
    port : int or None
    pid : int or None
    directory : str
        Its data.
    mongod : str or None
        The program that would be started.
    """

    running: bool
    port: int | None
    pid: int | None
    directory: str
    mongod: str | None


def directory() -> Path:
    """Return the directory of the embedded server."""
    return home() / "mongod"


def status() -> ServerStatus:
    """Return whether the embedded server runs, without starting it."""
    state = _state()
    process = _process(state)
    mongod = find_mongod()
    return ServerStatus(
        process is not None,
        state.get("port"),
        process.pid if process else None,
        str(directory()),
        str(mongod) if mongod else None,
    )


def start() -> dict[str, Any]:
    """Start the embedded server unless it runs; return how to connect to it.

    Any number of processes may call this at once.

    Returns
    -------
    dict
        host, port, username, password, authsource, name: arguments of FireWorks' LaunchPad.

    Raises
    ------
    DatabaseError
        No mongod for this platform, a directory that can't be written, or a server that does not come up.
    """
    place = make_private(directory())
    with _locked(place / "lock"):
        state = _state()
        _refuse_another_host(place, state)
        if _process(state) is None:
            state = _adopt(place) or _launch(place, state)
        try:
            _wait_for_primary(place, state)
        except _PortTakenError:  # by another program, between our look and mongod's
            _wait_for_primary(place, _launch(place, {}))
    return connection()


def connection() -> dict[str, Any]:
    """Return how to connect to the embedded server, which may or may not run."""
    place, state = directory(), _state()
    return {
        "host": "127.0.0.1",
        "port": state.get("port"),
        "name": "mmtp_fw",
        "username": USER,
        "password": _read(place / "password"),
        "authsource": "admin",
    }


def stop(timeout: float = 30.0) -> bool:
    """Stop the embedded server cleanly; return whether one was running.

    Raises
    ------
    DatabaseError
        It does not end within `timeout` seconds.
    """
    place = directory()
    if not place.exists():
        return False
    with _locked(place / "lock"):
        state = _state()
        _refuse_another_host(place, state)
        process = _process(state) or _process(_adopt(place) or {})
        if process is None:
            return False
        process.terminate()
        try:
            process.wait(timeout)
        except psutil.TimeoutExpired as error:
            raise DatabaseError(
                f"mongod (process {process.pid}) has not ended after {timeout:g} s", "see " + str(_log())
            ) from error
        write_private(place / "state.json", json.dumps({"port": _state().get("port")}))
        return True


def _launch(place: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Start mongod on the port it had, or another where that is taken."""
    program = runnable(find_mongod(), place)
    if not (place / "password").exists():
        if (place / "db" / "WiredTiger").exists():
            raise DatabaseError(
                f"{place / 'password'} is missing, and the data in {place / 'db'} can't be opened without it",
                f"put it back from a copy, or move {place} aside to begin with an empty database",
            )
        write_private(place / "password", secrets.token_urlsafe(24))
    if not (place / "keyfile").exists():
        write_private(place / "keyfile", base64.b64encode(secrets.token_bytes(96)).decode())
    make_private(place / "db")
    port = state.get("port")
    if not port or not _is_free(port):
        port = _free_port()
    _check_space(place)
    command = [
        str(program), "--dbpath", str(place / "db"), "--port", str(port), "--bind_ip", "127.0.0.1",
        "--nounixsocket", "--replSet", REPLICA_SET, "--auth", "--keyFile", str(place / "keyfile"),
        "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", "--networkMessageCompressors", "disabled",
        "--setParameter", "diagnosticDataCollectionEnabled=false",
        # What a killed process leaves of a transaction blocks its documents until this time is over.
        "--setParameter", "transactionLifetimeLimitSeconds=10",
        # Nobody else is served who would need 15 s to find another server before this one ends.
        "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100",
        "--wiredTigerEngineConfigString", "log=(file_max=8MB,prealloc=false)",
        "--logpath", str(_log()), "--logappend",
    ]  # fmt: skip
    _rotate_log()
    output = (place / "output").open("wb")
    with output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=place
        )
    _children.append(process)
    return _remember(place, psutil.Process(process.pid), port)


def _remember(place: Path, process: psutil.Process, port: int) -> dict[str, Any]:
    state = {"pid": process.pid, "created": process.create_time(), "port": port, "host": socket.gethostname()}
    write_private(place / "state.json", json.dumps(state))
    return state


def _adopt(place: Path) -> dict[str, Any] | None:
    """Return the state of a server on our data that nobody noted: its starter was killed too early."""
    try:
        process = psutil.Process(int((place / "db" / "mongod.lock").read_text()))
        command = process.cmdline()
        ours = command[command.index("--dbpath") + 1] == str(place / "db")
        return _remember(place, process, int(command[command.index("--port") + 1])) if ours else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _refuse_another_host(place: Path, state: dict[str, Any]) -> None:
    """Two servers on one directory, shared by network between two machines, would destroy it."""
    host = state.get("host")
    if host and host != socket.gethostname():
        raise DatabaseError(
            f"the database in {place} runs on {host}, and this is {socket.gethostname()}",
            f"`mmtp db stop` there; if that machine is gone, delete {place / 'state.json'}; "
            "for work on several machines use a MongoDB server and -l launchpad.yaml",
        )


class _PortTakenError(DatabaseError):
    """mongod could not listen on the port that was free a moment ago."""


# mongod outlives us, but while we live it is our child and must be waited for when it ends.
_children: list[subprocess.Popen[bytes]] = []


def _check_space(place: Path) -> None:
    free = shutil.disk_usage(place).free
    if free < 100e6:
        raise DatabaseError(
            f"{place}: only {free / 1e6:.0f} MB free on this disk, the database needs 100 MB",
            "free some space or set MMTP_HOME to another disk",
        )


def _wait_for_primary(place: Path, state: dict[str, Any]) -> None:
    """Wait until the server takes writes, setting up the replica set and the user on the first start."""
    deadline = time.monotonic() + START_SECONDS
    password = _read(place / "password")
    while time.monotonic() < deadline:
        if _process(state) is None:
            reason = _reason(place)
            kind = _PortTakenError if "Address already in use" in reason else DatabaseError
            raise kind(f"mongod ended while starting: {reason}", f"see {_log()}")
        try:
            if _is_ready(state["port"], password):
                return
        except OperationFailure as error:
            if error.code == _UNAUTHORIZED:  # a user exists already, and it is not ours
                raise DatabaseError(
                    f"the password in {place / 'password'} is not the one of the data in {place / 'db'}",
                    f"put the right one back, or move {place} aside to begin with an empty database",
                ) from error
        except PyMongoError:
            pass  # not listening yet, or between two states of the replica set
        time.sleep(0.1)
    raise DatabaseError(
        f"mongod on port {state['port']} is not ready after {START_SECONDS:g} s: {_reason(place)}",
        f"see {_log()}; `mmtp db stop`, then try again",
    )


def _is_ready(port: int, password: str) -> bool:
    address = f"127.0.0.1:{port}"
    options: dict[str, Any] = {"directConnection": True, "serverSelectionTimeoutMS": 1000}
    with MongoClient(address, username=USER, password=password, authSource="admin", **options) as client:
        try:
            if client.admin.command("hello").get("isWritablePrimary"):
                client.admin.command("usersInfo", USER)
                return True
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure:
            return _set_up(address, password, options)
        if config["members"][0]["host"] != address:  # the port has changed since the last start
            config["members"][0]["host"] = address
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)
        return False


def _set_up(address: str, password: str, options: dict[str, Any]) -> bool:
    """Use the localhost exception, which holds until the first user exists."""
    with MongoClient(address, **options) as client:
        if not client.admin.command("hello").get("isWritablePrimary"):
            with contextlib.suppress(OperationFailure):  # initiated already: an election is under way
                members = [{"_id": 0, "host": address}]
                # It has nobody to wait for when it takes the lead again after a change of its port.
                quick = {"electionTimeoutMillis": 1000}
                config = {"_id": REPLICA_SET, "members": members, "settings": quick}
                client.admin.command("replSetInitiate", config)
            return False
        client.admin.command("createUser", USER, pwd=password, roles=["root"])
        return False


def _state() -> dict[str, Any]:
    try:
        state = json.loads((directory() / "state.json").read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DatabaseError(
            f"{directory() / 'state.json'} is damaged: {error}", "delete that file; the data are kept"
        ) from error
    return state if isinstance(state, dict) else {}


def _process(state: dict[str, Any]) -> psutil.Process | None:
    """Return the running server; a process id that another program has by now is not it."""
    for child in _children:
        child.poll()
    try:
        process = psutil.Process(state["pid"])
        same = abs(process.create_time() - state["created"]) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (KeyError, psutil.Error):
        return None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        stream = path.open("w")
    except OSError as error:
        raise DatabaseError(f"{path}: can't be written: {error.strerror}", "set MMTP_HOME") from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise DatabaseError(f"{path}: can't be read: {error.strerror}", "`mmtp db start` first") from error


def _log() -> Path:
    return directory() / "mongod.log"


def _rotate_log() -> None:
    with contextlib.suppress(FileNotFoundError):
        if _log().stat().st_size > 10e6:
            _log().replace(_log().with_suffix(".log.1"))


def _reason(place: Path) -> str:
    """Return the last error that mongod logged, in one line."""
    with contextlib.suppress(OSError):
        for line in reversed(_log().read_text(errors="replace").splitlines()[-200:]):
            entry: dict[str, Any] = {}
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
            if entry.get("s") in ("E", "F"):
                return f"{entry.get('msg')} {json.dumps(entry.get('attr', {}))}"[:300]
        output = (place / "output").read_text(errors="replace").strip()
        if output:
            return output.splitlines()[-1][:300]
    return "no reason logged"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def describe() -> dict[str, Any]:
    """Return `status` as plain data."""
    return asdict(status())
