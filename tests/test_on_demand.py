"""Packages that import their names on demand give what they say, to programs and to type checkers."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import mmtp_fw

ROOT = Path(mmtp_fw.__file__).parent
PACKAGES = [path.parent.name for path in ROOT.glob("*/__init__.py") if "on_demand(" in path.read_text()]


def for_checkers(package):
    """Return module and name of everything that is imported for type checkers alone."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)]
    return {(line.module, name.name) for block in blocks for line in block.body for name in line.names}


def test_some_packages_do():
    assert {"dft", "md", "report"} <= set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there_and_is_the_one_that_a_checker_sees(package):
    module = importlib.import_module(f"mmtp_fw.{package}")
    found = for_checkers(package)
    for place, name in found:
        assert getattr(module, name) is getattr(importlib.import_module(place), name)
    assert {name for _, name in found} <= set(module.__all__)
    for name in module.__all__:
        getattr(module, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_in_whatever_order_modules_are_imported(package):
    """A module of the same name would take the place of what is asked for."""
    modules = sorted({place for place, _ in for_checkers(package)})
    code = f"import importlib; [importlib.import_module(m) for m in {modules}]; import mmtp_fw.{package} as p\n"
    code += "print(*[n for n in p.__all__ if type(getattr(p, n)).__name__ == 'module'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
