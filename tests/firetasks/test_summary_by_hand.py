"""Summaries, cells and the pretraining set of campaigns that were written down by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recorded_campaign import BEGIN, Recorded, averages, cell, context, save, stored
from small_campaign import small

from mmtp_fw.database import store
from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.firetasks.pretrain import PretrainWork
from mmtp_fw.firetasks.report import ReportWork, summarize, uncertainties
from mmtp_fw.firetasks.start import check_engine, starting_cell
from mmtp_fw.loop.facts import Kind, seed_of
from mmtp_fw.potential import Potential
from mmtp_fw.properties import ensemble_spread
from mmtp_fw.structures import generate

FILE = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"


@pytest.fixture(scope="module")
def fepd() -> Potential:
    return Potential.read(FILE)


# The summary ------------------------------------------------------------------------------------------------------


def test_the_summary_by_hand(database):
    made = Recorded(database)
    assert summarize(database, "c")["wall_seconds"] == 0.0
    made.action(Kind.PRETRAIN, 0, result={"outcome": "done"}, begun=10, ended=20)
    for k, outcome in enumerate(["accepted"] * 4 + ["rejected"] * 2 + ["failed"]):
        made.label(0, f"x{k}", {"outcome": outcome, "scf_runs": k + 1}, begun=4, ended=30 + k)
    made.label(0, "open", begun=5)
    made.md(0, "a", "completed", 100, 0)
    for a, mine, its in (
        (3.66, (1.0, 4.0), (1.5, 7.0)),
        (3.72, (1.0, 4.0), (1.25, 5.0)),
        (3.78, (2.0, 1.0), (1.875, 1.5)),
    ):
        size = {"absolute_moment_muB_per_atom": 2.0} if a > 3.7 else {}  # an earlier version did not average it
        made.property(1, "mmtp", a, averages(*mine, md_steps=40) | dict.fromkeys(size, 2.25))
        made.property(0, "reference", a, averages(*its, md_steps=60) | size)
    made.action(Kind.REPORT, 1, begun=500)
    found = summarize(database, "c")
    assert found == {
        "magnetization_mae_muB_per_atom": pytest.approx((0.5 + 0.25 + 0.125) / 3),
        "absolute_moment_mae_muB_per_atom": 0.25,
        "held_out_absolute_moment_mae_muB_per_atom": None,
        "pressure_mae_GPa": pytest.approx((3 + 1 + 0.5) / 3),
        "held_out_magnetization_mae_muB_per_atom": 0.5,
        "held_out_pressure_mae_GPa": 3.0,
        "labels_accepted": 4,
        "labels_rejected": 2,
        "labels_failed": 1,
        "scf_runs": 28,
        "md_steps": 100 + 3 * 40 + 3 * 60,
        "wall_seconds": 36.0,
    }
    assert database.actions.find_one(sort=[("created", 1)])["created"] == BEGIN.replace(tzinfo=None)


def test_only_volumes_with_both_averages_are_compared(database):
    made = Recorded(database)
    made.property(1, "mmtp", 3.66, {"outcome": "exploded", "md_steps": 3})
    made.property(0, "reference", 3.66, averages(1.0, 1.0))
    made.property(1, "mmtp", 3.72, averages(2.0, 2.0))
    made.property(0, "reference", 3.72, {"outcome": "failed"})
    nothing = summarize(database, "c")
    names = ("magnetization_mae_muB_per_atom", "pressure_mae_GPa")
    assert [nothing[name] for name in names] == [None, None]
    assert [nothing[f"held_out_{name}"] for name in names] == [None, None]
    made.property(1, "mmtp", 3.78, averages(2.0, 2.0))
    made.property(0, "reference", 3.78, averages(1.5, 3.0))
    found = summarize(database, "c")
    assert [found[name] for name in names] == [0.5, 1.0] and found["held_out_pressure_mae_GPa"] is None


def test_a_report_ends_its_campaign_once(database, tmp_path):
    made = Recorded(database)
    at = context(made, tmp_path, Kind.REPORT, 3, params={"stop": "max_labels", "potential": None})
    summary = ReportWork().compute(at)
    assert (summary["stop"], summary["potential"], summary["iterations"], summary["ensemble"]) == (
        "max_labels",
        None,
        4,
        [],
    )
    assert stored(ReportWork(), at, summary) == {"summary": summary}
    ended = database.campaigns.find_one({"_id": "c"})
    assert ended["stop"] == "max_labels" and ended["finished"] is not None
    stored(ReportWork(), at, summary | {"stop": "converged"})
    assert database.campaigns.find_one({"_id": "c"})["stop"] == "max_labels", "the first end stands"


def test_the_spread_is_of_a_versions_own_members_and_frames(database, tmp_path, fepd):
    made, other = Recorded(database), Recorded(database, small("other"))
    members = [fepd]
    for factor in (1.01, 0.98, 1.05, 1.2):
        changed = fepd.copy()
        changed.parameters = factor * fepd.parameters
        members.append(changed)
    version = save(made, members[0], action="a")
    one = save(made, members[1], action="b", role="member", member_of=version)
    save(made, members[3], action="c", role="member", member_of=one)
    refused = {"member": {"refused": "its loss is 7 times the best potential's"}}
    save(made, members[4], action="e", role="member", member_of=version, fit=refused)
    for k in (1, 2, 3):  # the third one's fit failed
        made.action(Kind.FIT, 0, f"member-{k}", params={"role": "member", "of": version})
    save(other, members[4], action="d", role="member", member_of=version)
    frames = {a: [cell(a), cell(a)] for a in (3.72, 3.66)}
    for pair in frames.values():
        pair[1].rattle(0.02, seed=1)

    def averaged(a, source="mmtp", potential=version, campaign="c", frames=frames):
        store.save_property(
            database, f"{campaign}/{source}/{a}/{potential}", campaign=campaign, iteration=0, source=source,
            potential=potential, params={"lattice_parameter_A": a}, values={}, frames=frames.get(a, ()),
        )  # fmt: skip

    for a in (3.72, 3.66, 3.8):
        averaged(a)
    averaged(3.72, source="reference")
    averaged(3.66, potential=one)
    averaged(3.66, campaign="other")
    at = context(made, tmp_path, Kind.REPORT, params={"potential": version, "stop": "converged"})
    found = uncertainties(at)
    assert [row["lattice_parameter_A"] for row in found] == [3.66, 3.72]
    for row in found:
        expected = ensemble_spread(members[:2], frames[row["lattice_parameter_A"]])
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-6)
        assert (row["members"], row["members_refused"]) == (1.0, 2.0)
    database.potentials.update_one({"action": "b"}, {"$set": {"fit.member.refused": "a hole"}})
    nothing = {"members_refused": 3.0, "members": 0.0}
    assert uncertainties(at) == [{"lattice_parameter_A": a} | nothing for a in (3.66, 3.72)]
    alone = context(made, tmp_path, Kind.REPORT, params={"potential": 99, "stop": "converged"})
    assert uncertainties(alone) == []


# Cells ------------------------------------------------------------------------------------------------------------


def test_starting_cells():
    campaign = small("c", system={**small().system.model_dump(), "supercell": [2, 2, 2]})
    up = starting_cell(campaign, 3.5, "ferromagnetic", 4)
    assert len(up) == 32 and up.info == {} and np.asarray(up.cell)[0, 0] == pytest.approx(7.0)
    typical = np.where(up.symbols == "Fe", 2.6, 0.3)
    np.testing.assert_allclose(up.get_initial_magnetic_moments(), typical)
    assert list(up.symbols) == list(starting_cell(campaign, 3.5, "ferromagnetic", 4).symbols)
    assert list(up.symbols) != list(starting_cell(campaign, 3.5, "ferromagnetic", 5).symbols)
    planes = starting_cell(campaign, 3.5, "antiferromagnetic", 4)
    assert list(planes.symbols) == list(up.symbols)
    np.testing.assert_allclose(np.abs(planes.get_initial_magnetic_moments()), typical)
    heights = np.round(2 * planes.positions / 3.5).astype(int) % 2
    signs = np.sign(planes.get_initial_magnetic_moments())
    assert any(np.array_equal(signs, np.where(heights[:, axis], -1, 1)) for axis in range(3))
    random = starting_cell(campaign, 3.5, "random", 4).get_initial_magnetic_moments()
    np.testing.assert_allclose(np.abs(random), typical)
    assert 8 <= np.sum(random < 0) <= 24
    other = starting_cell(campaign, 3.5, "random", 5).get_initial_magnetic_moments()
    assert not np.array_equal(np.sign(random), np.sign(other))


def test_an_engine_is_asked_for_here_and_for_elsewhere(monkeypatch):
    from mmtp_fw.dft.hamiltonian import HamiltonianEngine

    check_engine(small(), here=True)
    asked = []

    def missing(self, atoms):
        asked.append(atoms)
        raise EngineError("no program")

    monkeypatch.setattr(HamiltonianEngine, "check", missing)
    check_engine(small(), here=False)
    with pytest.raises(EngineError, match="no program"):
        check_engine(small(), here=True)
    assert asked[0].cell[0, 0] == pytest.approx(3.72), "the first lattice parameter's cell"

    def refuse(self, atoms):
        raise InputError("no such moments")

    monkeypatch.setattr(HamiltonianEngine, "check", refuse)
    for here in (True, False):
        with pytest.raises(InputError, match="no such moments"):
            check_engine(small(), here)


def test_pretraining_generates_what_the_settings_say(database, tmp_path):
    bcc = {"structure": "bcc", "supercell": [2, 1, 1], "lattice_parameters_A": [2.8, 2.9]}
    sections = {
        "pretraining": {
            "structures": 4, "displacement_A": 0.05, "strain": 0.01, "moment_scale": 0.4, "flipped_fraction": 0.6,
        },
        "system": small().system.model_dump() | bcc,
    }  # fmt: skip
    made = Recorded(database, small("c", **sections))
    at = context(made, tmp_path, Kind.PRETRAIN)
    found = PretrainWork().compute(at)
    expected = generate(
        {"Fe": 0.75, "Pd": 0.25}, [2.8, 2.9], {"Fe": 2.6, "Pd": 0.3}, structures=4, structure="bcc",
        supercell=(2, 1, 1), displacement_A=0.05, strain=0.01, moment_scale=0.4, flipped_fraction=0.6,
        seed=seed_of(made.campaign, "c/000/pretrain"),
    )  # fmt: skip
    for one, two in zip(found, expected, strict=True):
        assert one == two and one.info == two.info
        np.testing.assert_array_equal(one.get_initial_magnetic_moments(), two.get_initial_magnetic_moments())
    result = stored(PretrainWork(), at, [*found, found[0]])
    assert len(result["configurations"]) == 4, "each once"
    documents = {d["_id"]: d for d in database.configurations.find()}
    assert list(result["configurations"]) == sorted(documents, key=lambda key: documents[key]["number"])
    origin = documents[result["configurations"][1]]["origin"]
    assert (origin["campaign"], origin["action"]) == ("c", "c/000/pretrain")
    assert origin["generator"]["index"] == 1
