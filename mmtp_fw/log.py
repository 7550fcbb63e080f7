"""Logging: what campaigns mend, retry, give back and refuse, and why workers start and end.

All records are of loggers below ``mmtp_fw`` and have the attributes `campaign`, `action` and `worker` ("" where there
is none). A library call writes nothing; `configure`, which the programs call, writes to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from mmtp_fw.errors import InputError

ROOT = "mmtp_fw"
VARIABLE = "MMTP_LOG"
"""Environment variable: a level, or ``json:`` and a level."""
LEVELS = ("debug", "info", "warning", "error")
FIELDS = ("campaign", "action", "worker")

_context: ContextVar[Mapping[str, str]] = ContextVar("mmtp_fw_log", default=MappingProxyType({}))


@dataclass(frozen=True)
class LogSettings:
    """What is written, and how.

    Attributes
    ----------
    level : str
        The least that is written: "debug", "info", "warning" or "error".
    as_json : bool
        A line of JSON for each record.
    """

    level: str = "warning"
    as_json: bool = False

    @classmethod
    def parse(cls, text: str) -> LogSettings:
        """Read the value of ``MMTP_LOG``: ``info``, ``json:info``, ``json``.

        Raises
        ------
        InputError
            It is none of these.
        """
        form, colon, level = text.strip().lower().rpartition(":")
        if level == "json" and not colon:
            form, level = "json", cls.level
        if form not in ("", "json") or (colon and not form) or level not in LEVELS:
            raise InputError(
                f"{VARIABLE}={text}: not understood", f"a level ({', '.join(LEVELS)}), or json: and a level"
            )
        return cls(level, form == "json")

    def __str__(self) -> str:
        return ("json:" if self.as_json else "") + self.level


class _Context(logging.Filter):
    """Gives a record what it is about, unless it says so itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        known = _context.get()
        for field in FIELDS:
            if not hasattr(record, field):
                setattr(record, field, known.get(field, ""))
        return True


_FILTER = _Context()


def logger(name: str) -> logging.Logger:
    """Return the logger of a module (its ``__name__``), whose records say what they are about."""
    found = logging.getLogger(name)
    found.addFilter(_FILTER)  # adds it once
    return found


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Let all records inside the block, of this thread, be about a campaign, an action, a worker."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


class JsonFormatter(logging.Formatter):
    """One line of JSON for each record: time (UTC), level, logger, message, what it is about, and its `extra`."""

    _OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", *FIELDS}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        data: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        data |= {field: getattr(record, field, "") for field in FIELDS}
        data |= {name: value for name, value in vars(record).items() if name not in self._OWN}
        if record.exc_info:
            data["traceback"] = self.formatException(record.exc_info)
        return json.dumps(data, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """One line for people: local time, level, worker, the action or its campaign, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(sep=" ", timespec="seconds")[:19]
        subject = getattr(record, "action", "") or getattr(record, "campaign", "")
        parts = [time, record.levelname.lower(), getattr(record, "worker", ""), subject]
        line = " ".join(part for part in parts if part) + f": {' '.join(record.getMessage().split())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Handler(logging.Handler):
    """Writes to what standard error is at that moment, as a live display may have replaced it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def configure(settings: LogSettings) -> None:
    """Write records to standard error from now on, instead of what was configured here before."""
    root = logging.getLogger(ROOT)
    for handler in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler()
    handler.addFilter(_FILTER)
    handler.setFormatter(JsonFormatter() if settings.as_json else TextFormatter())
    root.addHandler(handler)
    root.setLevel(settings.level.upper())


def ensure() -> None:
    """Write records as ``MMTP_LOG`` says, warnings by default, where nobody has configured logging.

    For tasks that a program of others (rlaunch) runs: a value that can't be understood is told, and fails no task.
    """
    handlers = [*logging.getLogger(ROOT).handlers, *logging.getLogger().handlers]
    if any(not isinstance(handler, logging.NullHandler) for handler in handlers):
        return
    try:
        configure(from_environment() or LogSettings())
    except InputError as error:
        configure(LogSettings())
        logger(__name__).warning("%s", error)


def from_environment() -> LogSettings | None:
    """Return what ``MMTP_LOG`` asks for, None where it says nothing.

    Raises
    ------
    InputError
        It can't be understood.
    """
    text = os.environ.get(VARIABLE, "").strip()
    return LogSettings.parse(text) if text else None


def chosen(level: str | None, as_json: bool) -> LogSettings | None:
    """Return what was asked for by options or else by the environment; None where nothing was.

    Raises
    ------
    InputError
        An unknown level, or a value of ``MMTP_LOG`` that can't be understood.
    """
    given = from_environment()
    if level is None and not as_json:
        return given
    if level is not None and level not in LEVELS:
        raise InputError(f"--log-level {level}: no such level", f"one of {', '.join(LEVELS)}")
    before = given or LogSettings()
    return LogSettings(level or before.level, as_json or before.as_json)
