"""Who computed what, where and with what: kept with every result, summed up as core hours, and repeated from it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_campaign import check_documents, run_until, small

from mmtp_fw.database import check, environment, spent
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks import executions, reproduce
from mmtp_fw.firetasks.base import run_action
from mmtp_fw.loop.facts import Facts, Kind
from mmtp_fw.workflows.submit import submit_campaign

FEW = {"pretraining": {"structures": 3}, "fit": {"max_iterations": 10}, "md": {"steps": 10}}


@pytest.fixture(autouse=True)
def fresh():
    environment._here.cache_clear()
    yield
    environment._here.cache_clear()


def test_what_computed_a_round_is_known_and_can_be_repeated(database, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMTP_SITE", "here")
    submit_campaign(database, small("c", **FEW))
    md = run_until(database, "md")
    check_documents(database)
    assert check.check(database) == []

    (where,) = database.environments.find()
    assert where["site"] == "here" and where["packages"]["numpy"] and where["mongod"].count(".") == 2
    assert where["_id"] == environment.digest(
        {name: where[name] for name in where if name not in ("_id", "schema_version", "created")}
    )
    for action in database.actions.find({"finished": {"$ne": None}}):
        (attempt,) = action["attempts"]
        assert attempt["exit"] == "done" and attempt["started"] <= attempt["ended"] and attempt["cores"] >= 1
    run = database.md_runs.find_one({"_id": md})
    potential = database.potentials.find_one({"_id": run["potential"]})
    for document, engine in ((run, "lammps"), (potential, "mmtp")):
        assert document["execution"]["environment"] == where["_id"] and document["execution"]["engine"] == engine
        assert document["execution"]["exit"] == "done"
    calculation = database.calculations.find_one({"status": "accepted"})
    for stage in calculation["stages"]:
        assert bool(stage["execution"]) == (stage["name"] not in ("map", "accept"))

    found = spent.spent(database)
    own = sum(
        stage["wall_seconds"] * stage["execution"]["cores"]
        for document in database.calculations.find()
        for stage in document["stages"]
        if stage["execution"]
    )
    of_stages = sum(row["core_hours"] for row in found["rows"] if row["stage"].startswith("label: "))
    assert of_stages >= own / 3600 > 0
    attempts = [attempt for action in database.actions.find() for attempt in action.get("attempts", ())]
    whole = sum(one["cores"] * (one["ended"] - one["started"]).total_seconds() for one in attempts) / 3600
    assert found["core_hours"] == pytest.approx(whole, rel=0.02), "stages are a part of the attempts at labels"
    told = json.loads(call("cost", "c", "--json"))
    assert told["core_hours"] == pytest.approx(found["core_hours"]) and told["not_recorded"] == 0
    assert {row["site"] for row in told["by"]["site"]} == {"here"}
    assert {row["engine"] for row in told["by"]["engine"]} == {"hamiltonian", "lammps", "mmtp"}
    assert sum(row["core_hours"] for row in told["by"]["stage"]) == pytest.approx(told["core_hours"])
    assert "core hours" in call("cost") and "--by moon" in call("cost", "--by", "moon", code=2)

    monkeypatch.setenv("MMTP_SITE", "there")
    environment._here.cache_clear()
    kept = ("actions", "calculations", "potentials", "md_runs", "environments", "fit_checkpoints", "claims")
    before = {name: list(database.db[name].find()) for name in kept}
    number = database.configurations.find_one({"_id": calculation["configuration"]})["number"]
    for key in (f"label:{number}", calculation["_id"], f"potential:{potential['_id']}", potential["action"], md):
        repeated = reproduce.reproduce(database, key)
        assert repeated.equal, [row for row in repeated.rows if not row.equal]
        assert repeated.environment == {"site": ("here", "there")}
    assert "all equal" in call("reproduce", f"md:{run['number']}")
    assert before == {name: list(database.db[name].find()) for name in before}, "nothing is written"

    average = run_until(database, "property")
    rows = {row.what: row for row in reproduce.reproduce(database, average).rows}
    assert rows["outcome"].equal and len(rows) > 3 and all(row.equal for row in rows.values())
    database.md_runs.update_one({"_id": md}, {"$set": {"max_grade": run["max_grade"] + 0.5, "execution": None}})
    told = call("reproduce", md, code=1)
    assert "not equal" in told and "0.5" in told and "earlier version" in told
    database.calculations.update_one({"_id": calculation["_id"]}, {"$inc": {"stages.0.energy_eV": 1e-3}})
    rows = {row.what: row for row in reproduce.reproduce(database, calculation["_id"]).rows}
    assert rows["energies (eV)"].difference == pytest.approx(1e-3) and rows["forces (eV/Å)"].equal
    assert "can't be repeated" in call("reproduce", "c/000/pretrain", code=2)
    assert "made it" in call("reproduce", "nothing", code=2)


class Fails:
    def compute(self, context):
        raise RuntimeError("nothing works")

    def store(self, context, payload, session):
        return payload


def test_failed_attempts_are_paid_for_and_killed_ones_are_told(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("c"))
    with pytest.raises(RuntimeError):
        run_action(database, "c/000/pretrain", Fails())
    (attempt,) = database.actions.find_one({"_id": "c/000/pretrain"})["attempts"]
    assert attempt["exit"] == "failed" and attempt["ended"] is not None
    assert [row["stage"] for row in spent.spent(database)["rows"]] == ["pretrain"]
    database.actions.update_one({}, {"$set": {"attempts.0.ended": None}})
    assert spent.spent(database, "c") == {"rows": [], "core_hours": 0.0, "without_end": 1, "not_recorded": 0}
    database.actions.update_one({}, {"$set": {"attempts": [], "finished": 1}})
    assert spent.spent(database)["not_recorded"] == 1


def test_cores_are_those_of_the_command_or_of_the_job(database, monkeypatch):
    campaign = small(
        "c",
        dft={"engine": "elk", "settings": {"command": "mpirun -np 6 elk-lapw"}},
        fit={"stress_weight": 0},
        properties={"mode": "static", "reference": False},
    )
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    facts = Facts(campaign)
    label, _ = executions.describe(database, campaign, facts.action(0, Kind.LABEL, "x", {}, ()))
    assert (label.cores, label.threads, label.nodes, label.engine) == (6, 1, 1, "elk")
    abinit = small("c", dft={"engine": "abinit", "settings": {"mpi_processes": 4}}, properties={"mode": "static"})
    assert executions.describe(database, abinit, facts.action(0, Kind.LABEL, "x", {}, ()))[0].cores == 4
    assert executions.describe(database, campaign, facts.action(0, Kind.FIT, "x", {}, ()))[0].engine == "mmtp"
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "32", "SLURM_JOB_NUM_NODES": "2"}.items():
        monkeypatch.setenv(name, value)
    label, _ = executions.describe(database, campaign, facts.action(0, Kind.LABEL, "x", {}, ()))
    assert (label.cores, label.nodes) == (64, 2)


@pytest.mark.parametrize(
    ("before", "again", "expected"),
    [
        ([1.0, None, 2.0], [1.0, 2.0, None], (False, None)),
        ({"a": 1.0}, {"b": 1.0}, (False, None)),
        ([1.0, 2.0], [1.0], (False, None)),
        ([[1.0], [2.5]], [[1.0], [2.0]], (False, 0.5)),
        ({"a": [1.0, "x"]}, {"a": [1.0, "x"]}, (True, None)),
        ([float("nan"), 1.0], np.array([np.nan, 1.0]), (True, None)),
        ([float("nan")], [1.0], (False, None)),
    ],
)
def test_what_is_equal_is_so_place_by_place(before, again, expected):
    found = reproduce.compare("x", before, again)
    assert (found.equal, found.difference) == expected


def test_environments_differ_in_what_they_differ_in():
    one = {"_id": "a", "created": 1, "code_version": "1", "packages": {"numpy": "2.0", "ase": "3"}, "cpu": "x"}
    other = {"_id": "b", "created": 2, "code_version": "2", "packages": {"numpy": "2.1", "ase": "3"}, "cpu": "x"}
    assert environment.differences(one, other) == {"code_version": ("1", "2"), "packages.numpy": ("2.0", "2.1")}
    assert environment.differences({}, {"cpu": "x"}) == {"cpu": (None, "x")}


@pytest.mark.parametrize("kind", ["label:999", "potential:99", "md:9"])
def test_what_is_not_there_can_not_be_repeated(database, kind):
    with pytest.raises(InputError):
        reproduce.reproduce(database, kind)
