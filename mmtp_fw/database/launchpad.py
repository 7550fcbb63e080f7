"""Which database is used, and FireWorks' LaunchPad on it.

In this order: the file given with ``-l``, the one that FireWorks' own configuration names, the embedded
server. Passwords never show: the LaunchPad's representations leave them out.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fireworks import LaunchPad, fw_config
from pymongo import timeout
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mmtp_fw.database import server
from mmtp_fw.database.home import home, make_private, write_private
from mmtp_fw.errors import DatabaseError, InputError

# Every acknowledged write is on disk; an unreachable server is reported within seconds.
REACH_SECONDS = 5.0
CLIENT_OPTIONS = {"journal": True, "w": "majority", "serverSelectionTimeoutMS": 8000, "retryWrites": True}


class SafeLaunchPad(LaunchPad):
    """FireWorks' LaunchPad, whose representation has no password."""

    def __repr__(self) -> str:
        return f"<LaunchPad {self.name} at {address(self)}>"

    __str__ = __repr__


def without_password_in_repr(launchpad: LaunchPad) -> SafeLaunchPad:
    """Return the same LaunchPad, on the same connection, as one whose representation has no password."""
    if isinstance(launchpad, SafeLaunchPad):
        return launchpad
    safe = SafeLaunchPad.__new__(SafeLaunchPad)
    safe.__dict__.update(launchpad.__dict__)
    return safe


def address(launchpad: LaunchPad) -> str:
    """Return where a LaunchPad's database is, without user and password."""
    host = str(launchpad.host)
    if "://" in host:
        scheme, _, rest = host.partition("://")
        return f"{scheme}://{rest.rsplit('@', 1)[-1]}"
    return f"{host}:{launchpad.port}"


def open_launchpad(path: str | Path | None = None) -> LaunchPad:
    """Return a LaunchPad whose database answers.

    Parameters
    ----------
    path : str or Path, optional
        A launchpad file; by default FireWorks' own configuration, else the embedded server.

    Raises
    ------
    InputError
        The file is missing or damaged.
    DatabaseError
        The database does not answer or refuses the user.
    """
    path = path or fw_config.LAUNCHPAD_LOC
    settings = read_launchpad_file(Path(path)) if path else server.start()
    launchpad = make_launchpad(settings, str(path) if path else "the embedded database")
    check_reachable(launchpad)
    return launchpad


def make_launchpad(settings: Mapping[str, Any], source: str = "launchpad") -> LaunchPad:
    """Return a LaunchPad for FireWorks' launchpad settings, with mmtp_fw's safe client options."""
    settings = {key: value for key, value in settings.items() if not key.startswith("_")}
    options = CLIENT_OPTIONS | (settings.pop("mongoclient_kwargs", None) or {})
    settings.setdefault("strm_lvl", "WARNING")
    try:
        return SafeLaunchPad(**settings, mongoclient_kwargs=options)
    except (ConfigurationError, InvalidURI, TypeError, ValueError, PyMongoError) as error:
        raise InputError(f"{source}: no usable launchpad settings: {error}") from error


def read_launchpad_file(path: Path) -> dict[str, Any]:
    """Read a launchpad file; user and password may come from MMTP_DB_USER and MMTP_DB_PASSWORD[_FILE].

    Raises
    ------
    InputError
        Missing or damaged file.
    """
    try:
        settings = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such launchpad file", "`lpad init` writes one") from error
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a launchpad file: {str(error).splitlines()[0]}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path}: not a launchpad file: no keys", "`lpad init` writes one")
    user, password = os.environ.get("MMTP_DB_USER"), os.environ.get("MMTP_DB_PASSWORD")
    secret = os.environ.get("MMTP_DB_PASSWORD_FILE")
    if not password and secret:
        try:
            password = Path(secret).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InputError(f"{secret}: can't read the password: {error.strerror}") from error
    if user and not settings.get("username"):
        settings["username"] = user
    if password and not settings.get("password"):
        settings["password"] = password
    return settings


def check_reachable(launchpad: LaunchPad) -> None:
    """Raise a `DatabaseError` in one line when the database does not answer."""
    try:
        patience = launchpad.mongoclient_kwargs.get("serverSelectionTimeoutMS", 1000 * REACH_SECONDS) / 1000
        with timeout(min(REACH_SECONDS, patience)):
            launchpad.db.command("ping")
            launchpad.fireworks.find_one({}, {"_id": 1})
    except OperationFailure as error:
        reason = error.details.get("errmsg") if error.details else error
        raise DatabaseError(
            f"the database at {address(launchpad)} refuses: {reason}",
            "check user, password and authsource of the launchpad file",
        ) from error
    except PyMongoError as error:
        raise DatabaseError(
            f"the database at {address(launchpad)} does not answer",
            "is it running, and may this machine reach it? `mmtp doctor` looks",
        ) from error


def write_launchpad_file(launchpad: LaunchPad) -> Path:
    """Write a private file with which `lpad -l` and `rlaunch -l` open the same database.

    Returns
    -------
    Path
        In mmtp_fw's data directory, mode 0600: it holds the password.
    """
    settings = {
        "host": launchpad.host,
        "port": launchpad.port,
        "name": launchpad.name,
        "username": launchpad.username,
        "password": launchpad.password,
        "authsource": launchpad.authsource,
        "uri_mode": launchpad.uri_mode,
        "logdir": None,
        "strm_lvl": "WARNING",
        "mongoclient_kwargs": {
            key: value for key, value in launchpad.mongoclient_kwargs.items() if key != "socketTimeoutMS"
        },
    }
    # Databases of one name on two servers are two files.
    where = hashlib.blake2b(address(launchpad).encode(), digest_size=4).hexdigest()
    path = make_private(home() / "launchpads") / f"{launchpad.name}-{where}.yaml"
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(settings, text)
    write_private(path, text.getvalue())
    return path
