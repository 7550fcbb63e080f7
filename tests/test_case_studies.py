"""The labels, potentials and tables of docs/case-studies belong together."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from mmtp_fw.fitting import check_training_set, read_configurations
from mmtp_fw.fitting.cfg import derivative_sign
from mmtp_fw.potential import Potential

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "case-studies" / "data"
CASES = ("bcc-iron", "fe3pd")


@pytest.fixture(scope="module")
def scripts() -> Iterator[Any]:
    """Return the modules of benchmarks/case_studies, which are no package."""
    before, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(ROOT / "benchmarks" / "case_studies"))
    import asked
    import study
    import tables

    yield SimpleNamespace(asked=asked, study=study, tables=tables)
    sys.path[:] = before
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(ROOT / "benchmarks")):
            del sys.modules[name]


def hard(case: str) -> list[Atoms]:
    frames = read_configurations(DATA / f"{case}.xyz")
    return [atoms for atoms in frames if atoms.info["label_constraint"] == "hard" and atoms.calc is not None]


@pytest.mark.parametrize("case", CASES)
def test_labels_are_complete_and_at_their_targets(case: str) -> None:
    for atoms in hard(case):
        moments = atoms.calc.results["magmoms"]
        assert np.abs(moments - atoms.get_initial_magnetic_moments()).max() <= 1e-3
        assert atoms.get_forces().shape == (len(atoms), 3)
        assert atoms.get_stress().shape == (6,)
        assert atoms.arrays["magnetic_forces"].shape == (len(atoms),)


@pytest.mark.parametrize("case", CASES)
def test_magnetic_forces_have_the_sign_of_the_card(case: str) -> None:
    labels = hard(case)
    assert derivative_sign(labels) == 1.0
    for atoms in labels:
        atoms.arrays["magnetic_forces"] *= -1
    assert derivative_sign(labels) == -1.0  # so the first was no default of the undecided


@pytest.mark.parametrize("case", CASES)
def test_kept_labels_are_what_the_scripts_ask_for(case: str, scripts: Any) -> None:
    asked = {request.name: request for request in scripts.asked.CASES[case]()}
    asked |= {
        f"constraint-{number}": scripts.asked.Request(f"constraint-{number}", kind, atoms)
        for number, kind, atoms in scripts.asked.reused(case)
        if scripts.asked.has_mesh(atoms)
    }
    frames = read_configurations(DATA / f"{case}.xyz")
    names = [atoms.info["name"] for atoms in frames]
    assert len(set(names)) == len(names)
    for atoms in frames:
        request = asked[atoms.info["name"]]
        assert np.allclose(atoms.positions, request.atoms.positions, atol=1e-7)
        assert np.allclose(atoms.cell, request.atoms.cell, atol=1e-7)
        assert atoms.info["k_mesh"] == "x".join(map(str, request.mesh))
        assert (atoms.info["label_constraint"] == "none") == request.free


@pytest.mark.parametrize("case", CASES)
def test_labels_pass_the_check_of_training_sets(case: str) -> None:
    labels = hard(case)
    potential = Potential.from_level(2, sorted({s for a in labels for s in a.symbols}), r_min=1.9, max_moment=4.0)
    assert check_training_set(potential, labels).fatal == []


@pytest.mark.parametrize("case", CASES)
def test_errors_are_those_of_the_kept_potentials(case: str, scripts: Any) -> None:
    results = scripts.study.load(case)
    assert results or case == "fe3pd"  # which has too few labels yet
    for name, result in results.items():
        for title, errors in scripts.tables.recomputed(case, name).items():
            for key, error in errors.items():
                for measure, value in error.items():
                    stored = result["rows"][title]["errors"][key][measure]
                    assert value == pytest.approx(stored, rel=1e-4, abs=1e-8, nan_ok=True), (name, title, key)


@pytest.mark.parametrize("case", CASES)
def test_pages_hold_the_tables_of_the_kept_results(case: str, scripts: Any) -> None:
    page = (ROOT / "docs" / "case-studies" / f"{case}.md").read_text()
    assert "<!-- errors -->" in page
    assert scripts.tables.rewritten(page, case) == page
