"""The report's files: `index.html`, which needs nothing beside it, and `summary.json`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mmtp_fw.errors import InputError, MmtpError
from mmtp_fw.files import write_whole
from mmtp_fw.report.page import render


def write_report(data: dict[str, Any], directory: str | Path) -> Path:
    """Write the report of gathered data; the same data give the same files.

    Parameters
    ----------
    data : dict
        From `mmtp_fw.report.gather_report`.
    directory : str or Path
        Made if it isn't there; each file in it is replaced as a whole.

    Returns
    -------
    Path
        Of ``index.html``.

    Raises
    ------
    InputError
        The directory can't be made.
    MmtpError
        A file can't be written.
    """
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{directory}: {error.strerror}", "name another directory with --report") from error
    page = directory / "index.html"
    summary = json.dumps(_finite(data["summary"]), indent=2, ensure_ascii=False, allow_nan=False)
    _replace(directory / "summary.json", summary + "\n")
    _replace(page, render(data))
    return page


def _finite(value: Any) -> Any:
    """Return nested data as JSON takes it: null for what is not a number."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _replace(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise MmtpError(f"{path}: can't be written: {error.strerror}", "is the disk full or read-only?") from error
