"""Where mmtp_fw keeps what belongs to this user and machine: the embedded database and launchpad files."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import platformdirs

from mmtp_fw.errors import DatabaseError


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
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DatabaseError(f"{path}: can't be written: {error.strerror}", "is the disk full or read-only?") from error
