"""The one tree of exceptions: each carries what is wrong and how to mend it."""

from __future__ import annotations


class MmtpError(Exception):
    """Base of every error that mmtp_fw raises on purpose.

    Parameters
    ----------
    message : str
        One line: what is wrong and where (file, key, record).
    hint : str, optional
        One line: how to mend it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(MmtpError, ValueError):
    """Bad input: a file, a key, a value or an argument that can't be used as it is."""

    exit_code = 2


class DatabaseError(MmtpError):
    """The database can't be started, reached or trusted."""


class LeaseLostError(DatabaseError):
    """A claim's lease could not be renewed, or another owner has taken it: stop, write nothing."""


class EngineError(MmtpError):
    """An external program (DFT engine, LAMMPS, compiler) is missing or failed beyond repair."""


class MachineError(EngineError):
    """A machine can't do what another may: a program that can't be started."""


class RefusedInputError(EngineError):
    """An external program refuses its input for what is in it: a second run would meet the same refusal."""


class FitError(MmtpError):
    """A fit can't be carried out or has produced nothing usable."""


class PotentialWarning(UserWarning):
    """A potential was asked for what it doesn't know: its numbers are extrapolated, and may mean nothing."""
