"""A new directory of results, whole or not there."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmtp_fw.errors import InputError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a directory to write into; at the end it takes its name, after an exception nothing is left.

    Raises
    ------
    InputError
        The directory exists, or can't be made.
    """
    if path.exists():
        raise InputError(f"{path} exists", "name another directory, or remove it")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "name another directory") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
