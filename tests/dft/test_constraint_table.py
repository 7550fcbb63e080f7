"""The tables of hard and soft labels in the docs are those of the kept results."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("constraint", ROOT / "benchmarks" / "constraint.py")
constraint = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(constraint)


def test_the_docs_have_the_tables_of_the_kept_results():
    text = (ROOT / "docs" / "dft.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- constraint: .*? -->\n(.*?)<!-- end -->", text, flags=re.DOTALL)
    assert block.strip() == constraint.table().strip(), "python benchmarks/constraint.py table"


def test_the_docs_have_the_table_of_small_targets(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    small_targets = importlib.import_module("small_targets")
    text = (ROOT / "docs" / "dft.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- small targets: .*? -->\n(.*?)<!-- end -->", text, flags=re.DOTALL)
    assert block.strip() == small_targets.table().strip(), "python benchmarks/small_targets.py table"


def test_accepted_labels_have_their_targets():
    rows = [row for row in constraint.finished() if row["status"] == "accepted" and row["constraint"] == "hard"]
    assert rows
    for row in rows:
        assert np.abs(np.array(row["moments_muB"]) - row["targets_muB"]).max() <= 1e-3, row["number"]


def test_requests_are_the_same_every_time():
    """What stands beside a number must be the configuration of that number."""
    one, other = constraint.requests(), constraint.requests()
    assert len(one) == 120
    for (kind, atoms), (again, same) in zip(one, other, strict=True):
        assert kind == again and np.array_equal(atoms.positions, same.positions)
    for row in constraint.finished():
        kind, atoms = one[row["number"]]
        assert row["kind"] == kind
        assert np.allclose(row["targets_muB"], atoms.get_initial_magnetic_moments(), atol=6e-5)
