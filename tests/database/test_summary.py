"""The numbers that sum a campaign up, from hand-made actions."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mmtp_fw.database.summary import summarize

START = datetime(2026, 1, 2, 3, 4, 5)


def plan(database, key, kind, params=None, result=None, seconds=0.0):
    finished = START + timedelta(seconds=seconds) if result is not None else None
    database.actions.insert_one(
        {
            "_id": f"c/000/{key}", "campaign": "c", "kind": kind, "iteration": 0, "params": params or {},
            "created": START, "finished": finished, "result": result,
        }
    )  # fmt: skip


def average(database, source, a, magnetization, pressure, outcome="done"):
    result = {"outcome": outcome, "magnetization_muB_per_atom": magnetization, "pressure_GPa": pressure, "md_steps": 7}
    params = {"source": source, "lattice_parameter_A": a}
    plan(database, f"property/{source}-a{a}", "property", params, result, seconds=60.0)


@pytest.fixture
def campaign(database):
    held_out = {"held_out_lattice_parameters_A": [3.6, 3.9]}
    database.campaigns.insert_one({"_id": "c", "name": "c", "settings": {"system": held_out}})
    return database


def test_errors_over_all_volumes_and_over_the_held_out_ones(campaign):
    for a, magnetization, pressure in ((3.6, 0.5, 4.0), (3.7, 0.1, 1.0), (3.8, 0.0, 1.0)):
        average(campaign, "reference", a, 2.0, -1.0)
        average(campaign, "mmtp", a, 2.0 - magnetization, -1.0 + pressure)
    average(campaign, "mmtp", 3.9, 9.0, 9.0)  # held out, but without a reference
    summary = summarize(campaign, "c")
    assert summary["magnetization_mae_muB_per_atom"] == pytest.approx(0.2)
    assert summary["pressure_mae_GPa"] == pytest.approx(2.0)
    assert summary["held_out_magnetization_mae_muB_per_atom"] == pytest.approx(0.5)
    assert summary["held_out_pressure_mae_GPa"] == pytest.approx(4.0)
    assert summary["wall_seconds"] == 60.0


def test_what_cannot_be_compared_has_no_error(campaign):
    average(campaign, "reference", 3.7, 2.0, 0.0)
    average(campaign, "mmtp", 3.7, 2.1, 0.0)
    average(campaign, "mmtp", 3.6, 2.1, 0.0)
    average(campaign, "reference", 3.6, None, None, outcome="failed")
    summary = summarize(campaign, "c")
    assert summary["magnetization_mae_muB_per_atom"] == pytest.approx(0.1)
    assert summary["held_out_magnetization_mae_muB_per_atom"] is None
    assert summary["held_out_pressure_mae_GPa"] is None


def test_what_was_spent(campaign):
    for number, outcome in enumerate(("accepted", "accepted", "rejected", "failed")):
        plan(campaign, f"label/{number}", "label", {}, {"outcome": outcome, "scf_runs": 3}, seconds=number)
    plan(campaign, "label/open", "label")
    plan(campaign, "md/a", "md", {}, {"outcome": "completed", "md_steps": 100}, seconds=90.5)
    summary = summarize(campaign, "c")
    assert [summary[f"labels_{name}"] for name in ("accepted", "rejected", "failed")] == [2, 1, 1]
    assert (summary["scf_runs"], summary["md_steps"], summary["wall_seconds"]) == (12, 100, 90.5)
