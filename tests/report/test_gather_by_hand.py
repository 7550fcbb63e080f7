"""What is gathered of documents that were written down by hand: every number can be counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from recorded_campaign import BEGIN, Recorded, averages, stage
from small_campaign import small

from mmtp_fw.database import Claim, store
from mmtp_fw.database.views import campaigns as list_campaigns
from mmtp_fw.loop.facts import Kind
from mmtp_fw.loop.stop import explain
from mmtp_fw.report import gather_report, snapshot
from mmtp_fw.report.gather import describe_origin

LABEL = {
    "grade": "B",
    "lambda_eV_per_muB2": 5.0,
    "mae_muB": 0.02,
    "max_deviation_muB": 0.07,
    "bias_eV_per_atom": 0.0015,
    "symbols": ["Pd", "Fe", "Fe", "Fe"],
    "target": [0.3, 2.6, 2.5, -2.4],
    "moments": [0.31, 2.61, 2.48, -2.41],
}


@pytest.fixture
def recorded(database) -> Recorded:
    """Three rounds: the third is in the middle of its labels."""
    made = Recorded(database, small("c", fit={"starts": 2}, md={"steps": 100}))
    first = [made.configuration(0.01 * k, generator={"structure": "fcc", "seed": k}) for k in range(4)]
    made.action(Kind.PRETRAIN, 0, result={"outcome": "done", "configurations": first}, begun=0, ended=3)
    stages = [
        stage(0, "equilibrium", wall_seconds=1.5),
        stage(1, "map"),
        stage(2, "ramp", wall_seconds=2.0, mae_muB=0.5),
        stage(3, "ramp", wall_seconds=4.0, mae_muB=0.02),
        stage(4, "accept"),
    ]
    accepted = {"outcome": "accepted", "reason": "inside both limits", "scf_runs": 3}
    made.label(0, first[0], accepted, {"stages": stages, "rule": "criteria_met", "label": LABEL})
    made.label(0, first[1], accepted | {"scf_runs": 4})
    made.label(0, first[2], {"outcome": "rejected", "reason": "too far", "scf_runs": 5})
    made.label(
        0,
        first[3],
        {"outcome": "failed", "reason": "lost", "scf_runs": 2},
        errors=[{"owner": "a:1", "text": "Traceback\nOSError: disk\n"}, {"owner": "b:2", "text": "  "}],
    )
    errors = {"energy_per_atom_eV": {"rmse": 0.01}}
    key = store.add_training_set(database, ["x", "y", "z"], ["z"])
    made.fit(0, "start-0", loss=2.0, errors=errors, training_set=key)
    made.fit(0, "start-1", loss=1.0, errors=errors, validation_errors={"forces_eV_per_A": {"rmse": 0.2}})
    made.md(0, "a3.72-T300-ferromagnetic-0", "completed", 100, 0, max_grade=1.5)
    made.md(0, "a3.78-T300-ferromagnetic-0", "wall_time", 40, 2, max_grade=12.0)
    made.md(0, "a3.78-T300-ferromagnetic-0-part1", "failed", 0, 0)
    second = [made.configuration(0.2 + 0.01 * k, md_run=2, step=40, potential=2, grade=3.5) for k in range(2)]
    made.action(Kind.SELECT, 0, result={"outcome": "done", "configurations": second})
    made.label(1, second[0], accepted | {"scf_runs": 1}, begun=5, ended=65)
    made.label(1, second[1], errors=[{"owner": "c:3", "text": "ValueError: no\n"}], begun=5)
    return made


def test_rounds_are_counted(recorded):
    rows = gather_report(recorded.database, "c")["iterations"]
    nothing = {"md_runs": 0, "md_completed": 0, "md_states": {}, "md_steps": 0, "candidates": 0}
    nothing |= {"selected": 0, "generated": 0}
    assert rows == [
        {
            "iteration": 0,
            "generated": 4,
            "selected": 2,
            "accepted": 2,
            "rejected": 1,
            "failed": 1,
            "open": 0,
            "scf_runs": 14,
            "md_runs": 3,
            "md_completed": 1,
            "md_states": {"completed": 1, "failed": 1, "wall_time": 1},
            "md_steps": 140,
            "candidates": 2,
            "max_grade": 12.0,
            "potential": 2,
        },
        {
            "iteration": 1,
            "accepted": 1,
            "rejected": 0,
            "failed": 0,
            "open": 1,
            "scf_runs": 1,
            "max_grade": None,
            "potential": None,
            **nothing,
        },
    ]


def test_labels_tell_their_calculation(recorded):
    labels = gather_report(recorded.database, "c")["labels"]
    assert len(labels) == 6
    (one,) = [label for label in labels if label["quality"]]
    expected = {
        "configuration": 1,
        "iteration": 0,
        "formula": "Fe3Pd",
        "origin": "fcc",
        "grade_at_selection": None,
        "status": "accepted",
        "reason": "inside both limits",
        "rule": "criteria_met",
        "quality": "B",
        "lambda_eV_per_muB2": 5.0,
        "mae_muB": 0.02,
        "max_deviation_muB": 0.07,
        "bias_meV_per_atom": 1.5,
        "scf_runs": 3,
        "wall_seconds": 7.5,
        "symbols": LABEL["symbols"],
        "target_muB": LABEL["target"],
        "moments_muB": LABEL["moments"],
    }
    assert {name: one[name] for name in expected} == expected
    (open_,) = [label for label in labels if label["status"] == "open"]
    assert (open_["iteration"], open_["mae_muB"], open_["quality"], open_["bias_meV_per_atom"]) == (1, None, None, None)
    assert open_["origin"] == "MD run 2, step 40, potential 2, grade 3.5" and open_["grade_at_selection"] == 3.5
    assert open_["symbols"] == ["Pd", "Fe", "Fe", "Fe"] and open_["moments_muB"] == []
    assert {label["reason"] for label in labels} == {"inside both limits", "too far", "lost", None}


def test_potentials_tell_their_training(recorded):
    one, two = gather_report(recorded.database, "c")["potentials"]
    assert (one["version"], one["iteration"], one["role"], one["level"], one["n_parameters"]) == (1, 0, "version", 2, 9)
    assert (one["training"], one["validation"]) == (2, 1), "those for validation are no training"
    assert one["errors"] == {"energy_per_atom_eV": {"rmse": 0.01}} and one["validation_errors"] == {}
    assert two["validation_errors"] == {"forces_eV_per_A": {"rmse": 0.2}}
    assert (two["training"], two["validation"], two["parent"]) == (0, 0, None)


def test_trajectories_tell_their_conditions(recorded):
    runs = gather_report(recorded.database, "c")["md_runs"]
    assert [(run["number"], run["state"], run["steps"], run["max_grade"]) for run in runs] == [
        (1, "completed", 100, 1.5),
        (2, "wall_time", 40, 12.0),
        (3, "failed", 0, None),
    ]
    for run in runs:
        wanted = {"lattice_parameter_A": 3.72, "temperature_K": 300.0, "magnetic_order": "ferromagnetic"}
        assert wanted.items() <= run.items()
        assert (run["iteration"], run["potential"], run["wall_seconds"], run["message"]) == (0, 1, 1.0, "")
    assert [run["n_candidates"] for run in runs] == [0, 2, 0]


def test_failed_attempts_are_told_with_their_last_line(recorded):
    found = gather_report(recorded.database, "c")["failures"]
    told = {(item["owner"], item["message"], item["given_up"]) for item in found}
    assert told == {
        ("a:1", "OSError: disk", True),
        ("b:2", "no message", True),
        ("c:3", "ValueError: no", False),
    }
    assert len({item["action"] for item in found}) == 2


def test_averages_are_the_newest_of_each_source_and_volume(recorded):
    recorded.property(0, "reference", 3.72, averages(1.0, 2.0), magnetization_muB_per_atom_error=0.01)
    recorded.property(1, "mmtp", 3.72, averages(1.5, 2.5))
    recorded.property(10, "mmtp", 3.72, averages(1.6, 2.6), phonon_dos={"total": [1.0]})
    recorded.property(2, "mmtp", 3.66, averages(0.9, 1.9))
    recorded.property(2, "mmtp", 3.78, {"outcome": "moments_at_bound", "message": "x"})
    recorded.property(2, "reference", 3.78, {"outcome": "failed", "reason": "no way"})
    recorded.property(2, "reference", 3.66, {"outcome": "exploded"})
    spread = [{"lattice_parameter_A": 3.72, "pressure_GPa": 0.4}, {"lattice_parameter_A": 3.66, "pressure_GPa": 0.7}]
    recorded.action(Kind.REPORT, 1, result={"outcome": "done", "summary": {"ensemble": spread[:1]}})
    recorded.action(Kind.REPORT, 10, result={"outcome": "done", "summary": {"ensemble": spread}})
    data = gather_report(recorded.database, "c")
    found = {(item["source"], item["lattice_parameter_A"]): item for item in data["properties"]}
    assert list(found) == [("mmtp", 3.66), ("mmtp", 3.72), ("reference", 3.72)]
    newest = found["mmtp", 3.72]
    assert (newest["magnetization_muB_per_atom"], newest["pressure_GPa"]) == (1.6, 2.6)
    assert newest["phonon_dos"] == {"total": [1.0]} and newest["potential"] == 1
    assert newest["spread"]["pressure_GPa"] == 0.4 and found["mmtp", 3.66]["spread"]["pressure_GPa"] == 0.7
    assert [item["held_out"] for item in found.values()] == [True, False, False]
    reference = found["reference", 3.72]
    assert reference["spread"] == {} and reference["magnetization_muB_per_atom_error"] == 0.01
    assert sorted(data["unusable"]) == [
        "mmtp at 3.78 Å: moments_at_bound",
        "reference at 3.66 Å: exploded",
        "reference at 3.78 Å: no way",
    ]
    assert data["summary"]["ensemble"] == spread
    assert len(data["iterations"]) == data["summary"]["iterations"] == 2, "averages and reports are no rounds"


def test_members_are_no_version_of_their_round(recorded):
    member = recorded.fit(0, "member-1", loss=0.001, role="member", member_of=2)
    data = gather_report(recorded.database, "c")
    assert data["iterations"][0]["potential"] == 2
    assert [item["role"] for item in data["potentials"]] == ["version", "version", "member"]
    assert data["potentials"][-1]["version"] == member


def test_the_campaign_itself(recorded):
    data = gather_report(recorded.database, "c")
    campaign = data["campaign"]
    assert (campaign["name"], campaign["finished"], campaign["stop"], campaign["explanation"]) == (
        "c",
        None,
        None,
        None,
    )
    assert campaign["settings"] == recorded.campaign.document() and campaign["code_version"]
    ended = {"finished": BEGIN + timedelta(seconds=90), "stop": "max_labels"}
    recorded.database.campaigns.update_one({"_id": "c"}, {"$set": ended})
    data = gather_report(recorded.database, "c")
    assert data["campaign"]["stop"] == data["summary"]["stop"] == "max_labels"
    assert data["campaign"]["explanation"] == "budget.max_labels is spent"
    assert data["summary"]["campaign"] == "c" and data["summary"]["potential"] == 2
    assert data["summary"]["labels_accepted"] == 3 and data["summary"]["scf_runs"] == 15


def test_nothing_of_other_campaigns(recorded):
    before = gather_report(recorded.database, "c")
    other = Recorded(recorded.database, small("other"))
    cell = other.configuration(0.5)
    other.action(Kind.PRETRAIN, 0, result={"outcome": "done", "configurations": [cell]})
    other.label(0, cell, {"outcome": "accepted", "scf_runs": 9}, errors=[{"owner": "z", "text": "no"}])
    other.fit(0)
    other.md(0, "a", "completed", 10, 1, max_grade=99.0)
    other.property(0, "mmtp", 3.72, averages(1.0, 1.0))
    assert gather_report(recorded.database, "c") == before
    state = snapshot(recorded.database, "other")
    assert state["labels"]["accepted"] == 1 and state["scf_runs"] == 9 and state["failures"] == 1


# The snapshot -----------------------------------------------------------------------------------------------------


def test_a_snapshot_counts(recorded):
    state = snapshot(recorded.database, "c")
    expected = {
        "campaign": "c",
        "finished": None,
        "iteration": 1,
        "phase": "label",
        "complete": False,
        "stop": None,
        "explanation": None,
        "due": {"label": 1},
        "running": [],
        "labels": {"accepted": 3, "rejected": 1, "failed": 1, "open": 1, "budget": 10, "imported": 0, "refused": 0},
        "scf_runs": 15,
        "md_steps": 140,
        "selected": {0: 2},
        "failures": 3,
        "not_here": [],
    }
    assert {name: state[name] for name in expected} == expected
    assert state["started"] == BEGIN.replace(tzinfo=state["started"].tzinfo)
    assert state["potential"] == {
        "version": 2,
        "iteration": 0,
        "n_parameters": 9,
        "errors": {"energy_per_atom_eV": {"rmse": 0.01}},
        "validation_errors": {"forces_eV_per_A": {"rmse": 0.2}},
    }
    assert state["newest_failure"].endswith(": ValueError: no")


def test_a_snapshot_tells_who_is_at_what(recorded):
    database = recorded.database
    open_label = database.actions.find_one({"kind": "label", "result": None})["_id"]
    database.actions.update_one({"_id": open_label}, {"$set": {"not_here": {"owner": "n:1", "reason": "no abinit"}}})
    done = database.actions.find_one({"kind": "pretrain"})["_id"]
    md = recorded.action(Kind.MD, 1, "a", None, {"lattice_parameter_A": 3.72})
    average = recorded.action(Kind.PROPERTY, 0, "r", None, {"lattice_parameter_A": 3.66, "source": "reference"})
    claims = [Claim.take(database, key, f"node:{k}", 60) for k, key in enumerate((open_label, md, average, done))]
    gone = recorded.action(Kind.MD, 1, "b", None, {"lattice_parameter_A": 3.78})
    with Claim.take(database, gone, "node:9", 60):
        pass
    state = snapshot(database, "c")
    assert all(claims)
    running = {item["action"]: item for item in state["running"]}
    assert list(running) == sorted([open_label, md, average]), "what is finished or given back is not running"
    configuration = database.actions.find_one({"_id": open_label})["params"]["configuration"]
    assert (running[md]["subject"], running[md]["owner"], running[md]["kind"]) == ("a = 3.72 Å", "node:1", "md")
    assert running[average]["subject"] == "a = 3.66 Å reference"
    assert running[open_label]["subject"] == configuration[:10]
    assert all(0 <= item["seconds"] < 60 for item in running.values())
    assert state["due"] == {"label": 1, "md": 2, "property": 1}
    assert state["not_here"] == [f"{open_label}: no abinit (n:1)"]
    for claim in claims:
        with claim:
            pass


def test_a_snapshot_of_the_end(database):
    made = Recorded(database)
    made.action(Kind.PRETRAIN, 0, result={"outcome": "failed"}, ended=1)
    state = snapshot(database, "c")
    assert (state["stop"], state["phase"], state["complete"]) == ("pretraining_failed", "report", False)
    assert state["explanation"] == "the pretraining set could not be generated" and state["potential"] is None
    made.action(Kind.REPORT, 0, result={"outcome": "done"})
    assert snapshot(database, "c")["complete"] and snapshot(database, "c")["newest_failure"] is None


def test_campaigns_are_listed_the_newest_first(recorded):
    database = recorded.database
    assert len(list_campaigns(database)) == 1
    Recorded(database, small("newer"))
    later = {"created": datetime(2026, 4, 1, tzinfo=UTC), "finished": datetime(2026, 4, 2, tzinfo=UTC), "stop": "x"}
    database.campaigns.update_one({"_id": "newer"}, {"$set": later})
    newer, older = list_campaigns(database)
    assert (newer["campaign"], newer["stop"], newer["actions"], newer["open"]) == ("newer", "x", 0, 0)
    assert newer["finished"] is not None and newer["created"].month == 4
    total = database.actions.count_documents({})
    assert (older["campaign"], older["actions"], older["finished"], older["stop"]) == ("c", total, None, None)
    # Of the recorded ones, three were given an end.
    unfinished = database.actions.count_documents({"finished": None})
    assert older["open"] == unfinished == total - 2


# Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({"md_run": 7, "step": 40, "potential": 2, "grade": 3.14159}, "MD run 7, step 40, potential 2, grade 3.14"),
        ({"step": 0}, "MD run ?, step 0"),
        ({"md_run": 7, "step": 40, "grade": None}, "MD run 7, step 40"),
        ({"generator": {"structure": "bcc", "lattice_parameter_A": 2.87}}, "bcc, 2.87 Å"),
        ({"generator": {"magnetic_order": "scaled", "structure": "fcc"}}, "fcc, scaled"),
        ({"generator": "by hand"}, "by hand"),
        ({"campaign": "c"}, "generated"),
    ],
)
def test_origins_in_words(origin, words):
    assert describe_origin(origin) == words


def test_reasons_in_words():
    assert explain(None) is None and explain("") is None
    assert explain("converged") == "no trajectory selects anything any more"
    assert explain("of another version") == "of another version"
