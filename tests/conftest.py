"""What all tests share: the switch that turns a missing real part into a failure."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest

REQUIRE_ALL = os.environ.get("MMTP_REQUIRE_ALL") == "1"


def require(part: str) -> None:
    """Skip the calling test where `part` is missing; fail it under ``MMTP_REQUIRE_ALL=1``.

    Parameters
    ----------
    part : str
        Name of a program on PATH, or ``python:NAME`` for an importable package.
    """
    if part.startswith("python:"):
        found = importlib.util.find_spec(part.removeprefix("python:")) is not None
    else:
        found = shutil.which(part) is not None
    if found:
        return
    if REQUIRE_ALL:
        pytest.fail(f"{part} is missing and MMTP_REQUIRE_ALL=1 forbids to skip")
    pytest.skip(f"{part} is not installed")
