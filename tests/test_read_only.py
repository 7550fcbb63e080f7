"""An installation and a home that nothing can be written to: the whole package can be imported and computes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mmtp_fw

PROGRAM = """
import importlib, pkgutil
import numpy as np
from ase.build import bulk

import mmtp_fw

for module in pkgutil.walk_packages(mmtp_fw.__path__, "mmtp_fw."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

from mmtp_fw.dft.hamiltonian_model import ReferenceHamiltonian
from mmtp_fw.selection import maxvol

iron = bulk("Fe", "fcc", a=3.7, cubic=True)
assert ReferenceHamiltonian().evaluate(iron, np.full(4, 2.0)).energy < 0
assert len(maxvol(np.random.default_rng(0).normal(size=(9, 3))).labels) == 3
print(mmtp_fw.__file__)
"""


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A copy of the package with files where numba's directories would be: even root can't write there."""
    place = tmp_path / "installation"
    shutil.copytree(Path(mmtp_fw.__file__).parent, place / "mmtp_fw", ignore=shutil.ignore_patterns("__pycache__"))
    for directory in {path.parent for path in place.rglob("*.py")}:
        (directory / "__pycache__").write_text("")
    return place


def test_every_module_is_imported_and_compiled_code_runs(installation, tmp_path):
    home = tmp_path / "home"
    home.write_text("")
    environment = {**os.environ, "PYTHONPATH": str(installation), "HOME": str(home), "XDG_CACHE_HOME": str(home)}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": "", "MMTP_HOME": str(home / "mmtp")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(installation / "mmtp_fw" / "__init__.py")
    assert home.read_text() == ""
