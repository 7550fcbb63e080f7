"""The report's files: `index.html`, which needs nothing beside it, `summary.json`, every figure and every table."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mmtp_fw.errors import InputError, MmtpError
from mmtp_fw.files import write_whole
from mmtp_fw.report.captions import captions
from mmtp_fw.report.page import draw, render
from mmtp_fw.report.tables import tables


def write_report(data: dict[str, Any], directory: str | Path) -> Path:
    """Write the report of gathered data; the same data give the same files.

    Parameters
    ----------
    data : dict
        From `mmtp_fw.report.gather_report`.
    directory : str or Path
        Made if it isn't there; each file in it is replaced as a whole. Where it holds the report of another campaign,
        that one stays, and ``DIRECTORY-NAME`` is written instead. Beside the page: ``summary.json``, ``figures`` as
        SVG and PNG, each with its caption as text, ``tables`` as CSV.

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
    directory = _own(Path(directory), str(data["campaign"]["name"]))
    try:
        for part in (directory, directory / "figures", directory / "tables"):
            part.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{directory}: {error.strerror}", "name another directory with --report") from error
    page, images, told = directory / "index.html", draw(data), captions(data)
    summary = json.dumps(_finite(data["summary"]), indent=2, ensure_ascii=False, allow_nan=False)
    _replace(directory / "summary.json", summary + "\n")
    for name, image in images.items():
        _replace(directory / "figures" / f"{name}.svg", image.svg)
        _replace(directory / "figures" / f"{name}.png", image.png)
        _replace(directory / "figures" / f"{name}.txt", told[name] + "\n")
    for name, text in tables(data).items():
        _replace(directory / "tables" / f"{name}.csv", text)
    _replace(page, render(data, images))
    return page


def _own(directory: Path, campaign: str) -> Path:
    """Return where a campaign's report goes: not over another campaign's."""
    try:
        other = json.loads((directory / "summary.json").read_text(encoding="utf-8")).get("campaign")
    except (OSError, ValueError, AttributeError):
        return directory
    return directory if other in (None, campaign) else directory.with_name(f"{directory.name}-{campaign}")


def _finite(value: Any) -> Any:
    """Return nested data as JSON takes it: null for what is not a number."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _replace(path: Path, text: str | bytes) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise MmtpError(f"{path}: can't be written: {error.strerror}", "is the disk full or read-only?") from error
