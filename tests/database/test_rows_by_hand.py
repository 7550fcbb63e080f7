"""Rows of documents that were written by hand, so that every number in them can be counted."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mmtp_fw.database import Claim, history, queries, store, views

START = datetime(2026, 1, 2)


def act(database, key, result=None, **params):
    campaign, iteration, kind = key.split("/")[:3]
    document = {"_id": key, "campaign": campaign, "iteration": int(iteration), "kind": kind, "params": params}
    finished = START if result is not None else None
    database.actions.insert_one(document | {"created": START, "finished": finished, "result": result})


def run(database, key, number, state, grade, **more):
    campaign, iteration = key.split("/")[:2]
    params = {"lattice_parameter_A": 3.7, "temperature_K": 300.0, "magnetic_order": "ferromagnetic", "seed": 4}
    database.md_runs.insert_one(
        {
            "_id": key, "number": number, "campaign": campaign, "iteration": int(iteration), "potential": 1,
            "params": params, "state": state, "steps": 10 * number, "max_grade": grade, "n_candidates": 2,
            "message": "told", "wall_seconds": 1.5, **more,
        }
    )  # fmt: skip


@pytest.fixture
def written(database):
    """Two rounds of one campaign, and something of another."""
    for name, days in (("c", 1), ("d", 2), ("b", 0)):
        document = {"_id": name, "name": name, "created": START + timedelta(days=days), "settings": {"x": 1}}
        database.campaigns.insert_one(document | {"stop": "converged" if name == "c" else None, "finished": None})
    act(database, "c/000/pretrain", {"outcome": "done", "configurations": ["x", "y", "z"]})
    for key, outcome in (("x", "accepted"), ("y", "rejected"), ("z", "failed")):
        result = {"outcome": outcome, "reason": f"is {outcome}", "scf_runs": 4}
        act(database, f"c/000/label/{key}", result, configuration=key)
    act(database, "c/000/fit", {"outcome": "done", "potential": 1, "fit": {"loss": 0.2}}, role="version")
    run(database, "c/000/md/a", 1, "extrapolated", 7.0)
    run(database, "c/000/md/b", 2, "completed", 9.0)
    run(database, "c/000/md/c", 3, "completed", None, potential=2)
    run(database, "d/000/md/a", 4, "completed", 99.0, potential=3)
    for name, outcome, candidates in (("a", "extrapolated", 2), ("b", "completed", 3), ("c", "completed", 0)):
        act(database, f"c/000/md/{name}", {"outcome": outcome, "md_steps": 100, "candidates": candidates})
    act(database, "c/000/select", {"outcome": "done", "configurations": ["v", "w"]})
    act(database, "c/001/label/w", configuration="w")
    act(database, "c/001/label/v", {"outcome": "accepted", "scf_runs": 1}, configuration="v")
    act(database, "c/001/md/a")
    act(database, "c/002/property/mmtp-a3.7", {"outcome": "failed", "md_steps": 11})
    act(database, "d/000/label/x", {"outcome": "accepted", "scf_runs": 50}, configuration="x")
    return database


def test_rounds(written):
    actions = list(written.actions.find({"campaign": "c"}, views.ACTION))
    first, second = views.rounds(written, "c", actions)
    assert first == {
        "iteration": 0, "generated": 3, "selected": 2, "accepted": 1, "rejected": 1, "failed": 1, "open": 0,
        "scf_runs": 12, "md_runs": 3, "md_completed": 2, "md_steps": 300, "candidates": 5, "max_grade": 9.0,
        "md_states": {"completed": 2, "extrapolated": 1}, "potential": 1,
    }  # fmt: skip
    nothing = dict.fromkeys(
        ("generated", "selected", "rejected", "failed", "md_completed", "md_steps", "candidates"), 0
    )
    assert second == nothing | {
        "iteration": 1, "accepted": 1, "open": 1, "scf_runs": 1, "md_runs": 1, "md_states": {}, "max_grade": None,
        "potential": None,
    }  # fmt: skip


def test_labels_of_a_campaign_in_the_order_of_rounds(written):
    written.configurations.insert_one({"_id": "x", "number": 7, "formula": "Fe", "origin": {"campaign": "b"}})
    rows = views.campaign_labels(written, "c")
    assert [row["hash"] for row in rows] == ["x", "y", "z", "v", "w"]
    assert [row["status"] for row in rows] == ["accepted", "rejected", "failed", "accepted", "open"]
    assert [row["iteration"] for row in rows] == [0, 0, 0, 1, 1]
    assert [row["scf_runs"] for row in rows] == [4, 4, 4, 1, 0]
    assert [row["reason"] for row in rows] == ["is accepted", "is rejected", "is failed", None, None]
    assert (rows[0]["configuration"], rows[0]["formula"], rows[0]["origin"]) == (7, "Fe", {"campaign": "b"})
    assert rows[4]["configuration"] is None and rows[4]["stages"] == 0


def test_history_of_a_campaign(written):
    claim = Claim.take(written, "c/001/label/w", "me", 60.0)
    Claim.take(written, "d/001/label/w", "you", 60.0)
    found = history.campaign(written, "c")
    claim.release()
    status = found["status"]
    assert (status["campaign"], status["stop"], status["iteration"], status["potential"]) == ("c", "converged", 2, 1)
    assert [(item["key"], item["owner"]) for item in status["running"]] == [("c/001/label/w", "me")]
    assert status["labels"] == {"accepted": 2, "rejected": 1, "failed": 1}
    assert status["counts"]["label"] == {"planned": 5, "finished": 4, "failed": 1}
    assert status["counts"]["property"] == {"planned": 1, "finished": 1, "failed": 1}
    assert (status["scf_runs"], status["md_steps"]) == (13, 311)
    assert [row["selected"] for row in status["iterations"]] == [5, 0], "generated or selected"
    assert status["iterations"][0]["labels"] == {"accepted": 1, "rejected": 1, "failed": 1}
    assert status["iterations"][1]["labels"] == {"accepted": 1}
    assert [row["hash"] for row in found["labels"]] == ["x", "y", "z", "v"], "those that are done"
    assert found["campaign"]["settings"] == {"x": 1}
    assert views.running(written, "c") == [] and len(views.running(written)) == 1


def test_runs(written):
    rows = views.md_runs(written, {"potential": 1})
    assert [row["number"] for row in rows] == [1, 2]
    assert rows[1] == {
        "_id": "c/000/md/b", "number": 2, "iteration": 0, "potential": 1, "state": "completed", "steps": 20,
        "max_grade": 9.0, "n_candidates": 2, "message": "told", "wall_seconds": 1.5,
        "phase": None, "lattice_parameter_A": 3.7, "temperature_K": 300.0, "magnetic_order": "ferromagnetic",
        "params": {"lattice_parameter_A": 3.7, "temperature_K": 300.0, "magnetic_order": "ferromagnetic", "seed": 4},
    }  # fmt: skip


def test_versions(database):
    fields = {"campaign": "c", "iteration": 3, "level": 4, "n_parameters": 12, "errors": {"a": {"rmse": 1.0}}}
    fields |= {"validation_errors": {"a": {"rmse": 2.0}}, "fit": {"loss": 0.5}}
    store.save_potential(database, "t", "h", action="c/3/fit", **fields)
    member = {"role": "member", "member_of": 1, "parent": 1}
    store.save_potential(database, "t", "h", action="c/3/fit/m", **fields | member)
    store.save_potential(database, "t", "h", action="d/3/fit", **fields | {"campaign": "d"})
    first, second = views.potentials(database, "c")
    created = first.pop("created")
    assert isinstance(created, datetime)
    shared = {name: value for name, value in fields.items() if name != "campaign"}
    assert first == shared | {"version": 1, "role": "version", "parent": None, "training": 0, "validation": 0}
    assert (second["version"], second["role"], second["parent"]) == (2, "member", 1)


def test_campaigns_newest_first(written):
    rows = views.campaigns(written)
    assert [row["campaign"] for row in rows] == ["d", "c", "b"]
    assert [(row["actions"], row["open"]) for row in rows] == [(1, 0), (13, 2), (0, 0)]
    assert rows[1]["stop"] == "converged" and rows[1]["created"] == START + timedelta(days=1)
    assert queries.newest_campaign(written) == "d"
    written.campaigns.delete_many({})
    assert queries.newest_campaign(written) is None
    assert views.campaigns(written) == []
