"""Faults of a machine, its network or its database, told from those of the work: they count as no attempt."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from bson.errors import InvalidDocument
from pymongo.errors import (
    BulkWriteError,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
)

from mmtp_fw.errors import DatabaseError, EngineError, LeaseLostError, MachineError
from mmtp_fw.files import write_whole

_OF_THE_MACHINE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO,
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EACCES, errno.EPERM, errno.ENOEXEC,
    errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED,
    errno.ETIMEDOUT, errno.ENOTCONN, errno.ENOLCK,
)  # fmt: skip
"""Disk, limits, memory, rights, programs, network."""
_TOLD = tuple(
    os.strerror(number)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
)
"""How programs tell of them."""
_OF_THE_SERVER = {
    6, 7, 13, 18, 24, 43, 50, 63, 89, 91, 112, 189, 202, 211, 237, 246, 251, 262, 317, 9001, 10107, 11600, 11602, 13388,
    13435, 13436, 14031, 225, 244, 290,
}  # fmt: skip
"""Codes of a server that restarts, steps down, has no room, lost its keys or sessions, or refuses this user."""
_TRANSIENT = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")
_OF_THE_WORK = (BulkWriteError, DocumentTooLarge, DuplicateKeyError, InvalidDocument, InvalidOperation)
_PROBE = 64 * 1024


class Kind(StrEnum):
    """Whose fault it is."""

    MACHINE = "machine"
    DATABASE = "database"


class Fault(NamedTuple):
    """What is wrong, in one line, and with what."""

    kind: Kind
    text: str


def fault_of(error: BaseException, directory: Path) -> Fault | None:
    """Return the fault behind an exception where it is none of the work; None where another machine meets it, too.

    Parameters
    ----------
    error : BaseException
        Also what it was raised from is looked at.
    directory : Path
        Where the work wrote: a program that ends for want of room seldom says so, but nothing can be written there.
    """
    for one in _causes(error):
        if isinstance(one, PyMongoError | DatabaseError) and not isinstance(one, LeaseLostError):
            return Fault(Kind.DATABASE, _line(one)) if _is_servers(one) else None
        if _is_machines(one):
            return Fault(Kind.MACHINE, _line(one))
    trouble = trouble_in(directory)
    return None if trouble is None else Fault(Kind.MACHINE, f"{trouble}, after {_line(error)}")


def trouble_in(directory: Path) -> str | None:
    """Return why nothing can be written in a directory; None where 64 kB can."""
    probe = directory / f".probe-{os.getpid()}"
    try:
        write_whole(probe, b"\0" * _PROBE, durable=True)
        probe.unlink()
    except OSError as error:
        return f"nothing can be written in {directory}: {error.strerror}"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__


def _is_machines(error: BaseException) -> bool:
    if isinstance(error, MemoryError | MachineError):
        return True
    if isinstance(error, OSError):
        return error.errno in _OF_THE_MACHINE or _is_missing_program(error)
    return isinstance(error, EngineError) and any(words in str(error) for words in _TOLD)


def _is_missing_program(error: OSError) -> bool:
    """Return whether it was raised where a program was to be started."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else trace.tb_frame.f_code.co_filename
    return error.errno == errno.ENOENT and where == subprocess.__file__


def _is_servers(error: BaseException) -> bool:
    if isinstance(error, _OF_THE_WORK):
        return False
    if isinstance(error, OperationFailure):
        return error.code in _OF_THE_SERVER or any(map(error.has_error_label, _TRANSIENT))
    return True


def _line(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:500]
