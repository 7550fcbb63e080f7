"""VASP's files as text: packed or not, and never with holes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mmtp_fw.errors import MmtpError

PACKED: dict[bytes, Callable[..., IO[Any]]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


class VaspFileError(MmtpError):
    """A file of VASP is missing, cut off, damaged, or not of the run that it is said to be of."""


def opened(path: Path) -> IO[bytes]:
    """Open a file to read its bytes, unpacked."""
    with path.open("rb") as file:
        magic = file.read(6)
    for start, opener in PACKED.items():
        if magic.startswith(start):
            unpacked: IO[bytes] = opener(path, "rb")
            return unpacked
    return path.open("rb")


def read_text(path: Path) -> str:
    """Return what is in a file.

    Raises
    ------
    VaspFileError
        Not there, empty, or with NUL bytes: what a full disk or a crashed node leaves in the middle of a file whose
        end may look right.
    """
    try:
        with opened(path) as file:
            data = file.read()
    except FileNotFoundError as error:
        raise VaspFileError(f"VASP wrote no {path}") from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise VaspFileError(f"{path} can't be read: {error}") from error
    if not data.strip():
        raise VaspFileError(f"{path} is empty: VASP ended at once", "see vasp.out beside it")
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise VaspFileError(f"{path}, line {line}: NUL bytes: the file is damaged", "a full disk, a node that crashed?")
    return data.decode("utf-8", errors="replace")


def number(text: str) -> float:
    """Return a number as Fortran prints it: stars and NaN are NaN.

    Raises
    ------
    ValueError
        Not a number at all.
    """
    if "*" in text or "nan" in text.lower():
        return float("nan")
    return float(text.upper().replace("D", "E"))
