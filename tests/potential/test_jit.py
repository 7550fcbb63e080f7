"""The cache of compiled code."""

from __future__ import annotations

import os
import subprocess
import sys

OUTER = """
from mmtp_fw.potential.jit import jit
from {name}.inner import inner

@jit
def outer(x):
    return inner(x) + 1.0

print(outer(1.0), len(outer._cache._cache_file._source_stamp), outer._cache_hits[(__import__("numba").float64,)])
"""
INNER = """
from mmtp_fw.potential.jit import jit

@jit
def inner(x):
    return {factor} * x
"""


def run(place, name: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", f"import {name}.outer"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_change_in_another_module_of_the_package_compiles_anew(tmp_path):
    package = tmp_path / "cached_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "outer.py").write_text(OUTER.format(name="cached_package"))
    (package / "inner.py").write_text(INNER.format(factor=2.0))
    assert run(tmp_path, "cached_package").split() == ["3.0", "2", "0"]
    assert run(tmp_path, "cached_package").split() == ["3.0", "2", "1"], "the second process loads it"
    (package / "inner.py").write_text(INNER.format(factor=5.0))
    assert run(tmp_path, "cached_package").split()[0] == "6.0"


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    package = tmp_path / "read_only_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "outer.py").write_text(OUTER.format(name="read_only_package").split("print")[0] + "print(outer(1.0))")
    (package / "inner.py").write_text(INNER.format(factor=2.0))
    # A file where numba's directories would be: nothing can be written there, even by root.
    (package / "__pycache__").write_text("")
    home = tmp_path / "home"
    home.write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    environment["NUMBA_CACHE_DIR"] = ""
    done = subprocess.run(
        [sys.executable, "-c", "import read_only_package.outer"], env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.split() == ["3.0"], done.stderr
