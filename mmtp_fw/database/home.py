"""Where mmtp_fw keeps what belongs to this user and machine: the embedded database and launchpad files."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from mmtp_fw.errors import DatabaseError
from mmtp_fw.files import write_whole


def home() -> Path:
    """Return the data directory: ``MMTP_HOME``, or the user's data directory of the platform."""
    configured = os.environ.get("MMTP_HOME")
    place = Path(configured).expanduser() if configured else Path(platformdirs.user_data_dir("mmtp_fw"))
    return place.absolute()


def make_private(directory: Path) -> Path:
    """Create a directory that only the user may read.

    Raises
    ------
    DatabaseError
        It can't be created or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
    except OSError as error:
        raise DatabaseError(
            f"{directory}: can't be created or written: {error.strerror}",
            "set MMTP_HOME to a directory on a local disk that you may write",
        ) from error
    return directory


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, complete or not at all."""
    try:
        write_whole(path, text, durable=True, private=True)
    except OSError as error:
        raise DatabaseError(f"{path}: can't be written: {error.strerror}", "is the disk full or read-only?") from error
