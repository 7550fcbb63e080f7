"""Launch directories that are no longer of use: what was computed in them is in the database."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtp_fw.database import Database
from mmtp_fw.errors import InputError
from mmtp_fw.loop.reconcile import live_claims

_AT_WORK = {"RUNNING", "RESERVED"}


@dataclass(frozen=True)
class LaunchDirectory:
    """A launch directory of this database.

    Attributes
    ----------
    path : Path
    size : int
        Bytes of its files.
    action : str
        Key of the action that it was for; "" of others.
    kept : str
        Why it is not to be removed; "" where it may be.
    """

    path: Path
    size: int
    action: str
    kept: str


def launch_directories(database: Database, below: Path, everything: bool = False) -> list[LaunchDirectory]:
    """Return the launch directories of a database below a directory; nothing is removed.

    Parameters
    ----------
    database : Database
        An open database.
    below : Path
        Where workers make them.
    everything : bool
        Also offer those of tasks that fizzled, which show why.

    Raises
    ------
    InputError
        There is no such directory.
    """
    if not below.is_dir():
        raise InputError(f"{below}: no such directory", "name the one that workers were given, as `mmtp clean runs`")
    live = set(live_claims(database))
    found = []
    for path in sorted(_launchers(below.resolve())):
        launch = _launch(database, path)
        if launch is not None:
            action, state = launch
            kept = "runs" if action in live or state in _AT_WORK else ""
            kept = kept or ("fizzled: --all takes it, too" if state == "FIZZLED" and not everything else "")
            size = sum(file.lstat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())
            found.append(LaunchDirectory(path, size, action, kept))
    return found


def remove(database: Database, found: LaunchDirectory) -> bool:
    """Remove a launch directory, unless it is at work by now; return whether it was removed."""
    launch = _launch(database, found.path)
    if found.kept or launch is None or launch[1] in _AT_WORK or found.action in set(live_claims(database)):
        return False
    shutil.rmtree(found.path)
    return True


def _launchers(below: Path) -> Iterator[Path]:
    """Yield directories of FireWorks' form; what lies in one of them is part of it, and links are not followed."""
    for path in below.iterdir():
        if path.is_symlink() or not path.is_dir():
            continue
        if path.name.startswith("launcher_"):
            yield path
        else:
            yield from _launchers(path)


def _launch(database: Database, path: Path) -> tuple[str, str] | None:
    """Return action and state of the Firework that was launched in a directory; None where it is another database's."""
    try:
        told: dict[str, Any] = json.loads((path / "FW.json").read_text())
        number = told["fw_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    launched = database.launchpad.launches.find_one({"fw_id": number, "launch_dir": str(path)}, {"_id": 1})
    firework = database.launchpad.fireworks.find_one({"fw_id": number}, {"state": 1, "spec.action": 1})
    if launched is None or firework is None:
        return None
    return str(firework["spec"].get("action", "")), str(firework["state"])
