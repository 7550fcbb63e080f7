"""The figure of a label against 1/λ, from a label of the reference Hamiltonian."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.dft import ProtocolSettings, get_engine, run_protocol
from mmtp_fw.errors import InputError
from mmtp_fw.report.label_figure import label_figure, write_label_figure


def labelled(folder, **settings):
    atoms = bulk("Fe", "fcc", 3.75, cubic=True)
    atoms.symbols[0] = "Pd"
    atoms.rattle(0.05, seed=2)
    atoms.set_initial_magnetic_moments([0.3, 2.2, -2.0, 2.4])
    engine = get_engine("hamiltonian", jump_limit_scale=float("inf"))
    outcome = run_protocol(engine, atoms, ProtocolSettings(**settings), folder)
    assert outcome.label is not None
    stages = [stage.model_dump(mode="json") for stage in outcome.stages]
    return {"_id": "c/1", "stages": stages, "label": outcome.label.model_dump(mode="json")}


@pytest.fixture(scope="module")
def calculation(tmp_path_factory):
    ladder = {"adaptive": False, "mae_limit_muB": 0.002, "refine_limit_mae_muB": 0.0}
    return labelled(tmp_path_factory.mktemp("label"), **ladder)


def test_every_constrained_stage_and_the_limit_are_drawn(calculation):
    left, right = label_figure(calculation).axes
    used = [s for s in calculation["stages"] if s["lambda_eV_per_muB2"] and s["converged"] and s["scf_steps"]]
    way = [s for s in used if s["name"] != "check"]
    assert len(way) < len(used), "a check's calculations are marked, but are no part of the way"
    assert np.allclose(left.lines[0].get_xdata(), [1 / s["lambda_eV_per_muB2"] for s in way])
    assert sum(len(line.get_xdata()) for line in left.lines if line.get_marker() == "x") == len(used) - len(way)
    limit = calculation["label"]["extrapolation"]
    zero = min(s["energy_eV"] for s in used)
    (marker,) = [line for line in left.lines if list(line.get_xdata()) == [0.0] and line.get_marker() == "D"]
    assert marker.get_ydata()[0] == pytest.approx(1e3 * (limit["energy_eV"] - zero) / 4)
    assert {text.get_text() for text in right.get_legend().get_texts()} == {"Fe", "Pd"}


def test_a_hard_label_stands_at_zero(tmp_path):
    calculation = labelled(tmp_path, constraint="hard")
    left, right = label_figure(calculation).axes
    (star,) = [line for line in left.lines if line.get_marker() == "*"]
    label = calculation["label"]
    zero = min(s["energy_eV"] for s in calculation["stages"] if s["kind"] == "hard")
    assert list(star.get_xdata()) == [0.0]
    assert star.get_ydata()[0] == pytest.approx(1e3 * (label["energy_eV"] - zero) / 4)
    assert all(abs(line.get_ydata()[0]) < 1e-6 for line in right.lines)


def test_files_and_what_is_refused(calculation, tmp_path):
    for ending in ("png", "pdf", "svg"):
        write_label_figure(calculation, tmp_path / f"f.{ending}", "Configuration 1")
        assert (tmp_path / f"f.{ending}").stat().st_size > 2000
    with pytest.raises(InputError, match=r"f\.gif"):
        write_label_figure(calculation, tmp_path / "f.gif")
    with pytest.raises(InputError, match="no converged stage"):
        label_figure(calculation | {"stages": calculation["stages"][:1]})
