"""One maker for every row: the same label is the same everywhere, and no whole calculation is read for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ase.build import bulk
from small_campaign import small

from mmtp_fw.cli.options import only_campaign
from mmtp_fw.database import backup, history, queries, store, views
from mmtp_fw.database.summary import summarize
from mmtp_fw.dft import ProtocolSettings, get_engine, run_protocol, stages
from mmtp_fw.dft.engine import ConstraintKind
from mmtp_fw.errors import InputError
from mmtp_fw.labelling import DECISIONS
from mmtp_fw.loop.facts import Fact
from mmtp_fw.loop.fits import best_of
from mmtp_fw.loop.gather import campaign_settings
from mmtp_fw.report import gather_report, snapshot
from tests.database.test_dump import DUMP

START = datetime(2026, 1, 2)
SHARED = ("lambda_eV_per_muB2", "mae_muB", "max_deviation_muB", "scf_runs", "status", "rule", "reason", "formula")


def protocol(others=(), **limits):
    return run_protocol(get_engine("hamiltonian"), iron(), ProtocolSettings(**limits), others=others, check=False)


def iron():
    atoms = bulk("Fe", "fcc", a=3.7, cubic=True)
    atoms.set_initial_magnetic_moments([2.0, 2.3, 2.5, 2.1])
    return atoms


@pytest.fixture
def labelled(database):
    """A campaign with one label, by an outcome of the protocol."""
    settings = small("c").document()
    database.campaigns.insert_one(
        {"_id": "c", "name": "c", "created": START, "settings": settings, "code_version": "0"}
    )

    def save(outcome):
        configuration = store.add_configuration(database, iron(), {"campaign": "c", "generator": "fcc"})
        key = f"{configuration}/s"
        store.begin_calculation(database, key, configuration, "hamiltonian", {}, "me")
        for stage in outcome.stages:
            store.save_stage(database, key, stage.model_dump(mode="json"))
        verdict = outcome.model_dump(mode="json", exclude={"stages"})
        store.finish_calculation(database, key, outcome.status.value, outcome.reason, verdict)
        result = {"outcome": outcome.status.value, "reason": outcome.reason}
        database.actions.insert_one(
            {
                "_id": f"c/000/label/{configuration}", "campaign": "c", "kind": "label", "iteration": 0,
                "params": {"configuration": configuration}, "created": START, "finished": START,
                "result": result | {"scf_runs": outcome.scf_runs, "calculation": key},
            }
        )  # fmt: skip
        training = store.add_training_set(database, [key])
        store.save_potential(database, "t", "h", campaign="c", iteration=0, action="c/000/fit", training_set=training)
        return database

    return save


def everywhere(database):
    """Return the only label as each command gets it."""
    return {
        "find": queries.find_configurations(database)[0],
        "find by status": queries.find_configurations(database, engine="hamiltonian")[0],
        "show potential": history.potential(database, 1)["labels"][0],
        "show campaign": history.campaign(database, "c")["labels"][0],
        "report": gather_report(database, "c")["labels"][0],
    }


def test_a_label_of_which_another_calculation_made_the_first_stages(labelled):
    others = [stage.model_copy(update={"reused_from": "x"}) for stage in protocol().stages]
    outcome = protocol(others, mae_limit_muB=0.04)
    own = [stage for stage in outcome.stages if stage.reused_from is None and stage.name not in DECISIONS]
    assert own and any(stage.reused_from for stage in outcome.stages)
    rows = everywhere(labelled(outcome))
    for where, row in rows.items():
        assert row["scf_runs"] == len(own), where
        assert {name: row[name] for name in SHARED} == {name: rows["find"][name] for name in SHARED}
    found = rows["find"]
    assert found["wall_seconds"] == pytest.approx(sum(stage.wall_seconds for stage in own))
    assert found["lambda_eV_per_muB2"] == outcome.label.lambda_eV_per_muB2
    assert (found["achieved"], found["targets"]) == (outcome.label.moments, outcome.label.target)
    assert found["grade"] == rows["report"]["quality"] == outcome.label.grade.value
    assert rows["report"]["moments_muB"] == found["achieved"]
    assert rows["report"]["bias_meV_per_atom"] == 1000.0 * found["bias_eV_per_atom"]


def test_a_rejected_label_has_the_numbers_of_its_reason_everywhere(labelled):
    outcome = protocol(mae_limit_muB=1e-9, max_limit_muB=1e-9, useful_mae_limit_muB=1e-9, useful_max_limit_muB=1e-9)
    assert outcome.status == "rejected"
    ramp = [s for s in outcome.stages if s.name in ("ramp", "refine") and s.converged]
    best = min(ramp, key=lambda stage: stage.mae_muB)
    rows = everywhere(labelled(outcome))
    for where, row in rows.items():
        assert row["lambda_eV_per_muB2"] == best.lambda_eV_per_muB2, where
        assert (row["mae_muB"], row["max_deviation_muB"]) == (best.mae_muB, best.max_deviation_muB)
        assert f"MAE {row['mae_muB']:.3f}" in row["reason"]
    assert rows["find"]["achieved"] == rows["report"]["moments_muB"] == best.final_moments().tolist()
    assert rows["find"]["grade"] is None and rows["report"]["symbols"] == ["Fe"] * 4


def test_a_rejected_label_has_no_numbers_of_its_check(labelled):
    outcome = protocol(mae_limit_muB=1e-9, max_limit_muB=1e-9, useful_mae_limit_muB=1e-9, useful_max_limit_muB=1e-9)
    best = min((s for s in outcome.stages if s.name in ("ramp", "refine") and s.converged), key=lambda s: s.mae_muB)
    check = best.model_copy(
        update={"name": stages.StageName.CHECK, "index": 99, "mae_muB": 0.5 * best.mae_muB, "lambda_eV_per_muB2": 99.0}
    )
    checked = outcome.model_copy(update={"stages": [*outcome.stages, check]})
    for where, row in everywhere(labelled(checked)).items():
        assert (row["lambda_eV_per_muB2"], row["mae_muB"]) == (best.lambda_eV_per_muB2, best.mae_muB), where


def test_a_label_of_a_hard_constraint_has_no_strength(labelled):
    outcome = protocol()
    label = outcome.label.model_copy(
        update={"constraint": ConstraintKind.HARD, "lambda_eV_per_muB2": None, "mae_muB": 1e-6}
    )
    assert any(stage.lambda_eV_per_muB2 for stage in outcome.stages)
    for where, row in everywhere(labelled(outcome.model_copy(update={"label": label}))).items():
        assert (row["lambda_eV_per_muB2"], row["mae_muB"]) == (None, 1e-6), where


def test_stages_that_say_nothing_give_no_numbers(labelled):
    outcome = protocol()
    before = [stage for stage in outcome.stages if stage.name in ("equilibrium", "radii", "map")]
    failed = before[-2].model_copy(
        update={"name": stages.StageName.RAMP, "converged": False, "mae_muB": 0.001, "index": 9}
    )
    rejected = {"status": stages.OutcomeStatus.REJECTED, "label": None}
    nothing = outcome.model_copy(update=rejected | {"stages": [*before, failed]})
    row = queries.find_configurations(labelled(nothing))[0]
    assert row["stages"] == len(before) + 1
    assert [row[name] for name in ("lambda_eV_per_muB2", "mae_muB", "achieved")] == [None, None, None]


QUESTIONS = {
    "find": queries.find_configurations,
    "find by status": lambda db: queries.find_configurations(db, status="accepted"),
    "show potential": lambda db: history.potential(db, 1),
    "show campaign": lambda db: history.campaign(db, "c"),
    "status": lambda db: snapshot(db, "c"),
    "report": lambda db: gather_report(db, "c"),
}


def test_no_whole_calculation_is_read_for_a_row(labelled):
    database = labelled(protocol())
    heavy = {"index": 99, "name": "ramp", "forces": [[0.1] * 3] * 20_000, "converged": False}
    store.save_stage(database, database.calculations.find_one({}, {"_id": 1})["_id"], heavy)
    database.calculations.update_one({}, {"$set": {"label.forces": heavy["forces"]}})
    database.potentials.update_one({}, {"$set": {"text": "x" * 100_000}})
    sent = {}
    for question, ask in QUESTIONS.items():
        database.db["system.profile"].drop()
        database.db.command("profile", 2)
        try:
            ask(database)
        finally:
            database.db.command("profile", 0)
        sent[question] = sum(entry.get("responseLength", 0) for entry in database.db["system.profile"].find())
    database.db["system.profile"].drop()
    assert sent.pop("show potential") < 140_000, "the potential itself, which it shows, and little else"
    assert max(sent.values()) < 30_000, sent


def test_a_round_has_the_best_of_its_fits_as_the_planner_has_it(database):
    fits = {"start-0": (5, 0.3, "version"), "start-1": (6, 0.1, "version"), "start-2": (7, 0.1, "version")}
    fits |= {"member-1": (8, 0.01, "member"), "start-3": (None, None, "version")}
    actions, facts = [], []
    for subject, (potential, loss, role) in fits.items():
        result = {"outcome": "done", "potential": potential, "fit": {"loss": loss}} if potential else {}
        result = result or {"outcome": "failed", "reason": "x"}
        key = f"c/000/fit/{subject}"
        actions.append({"_id": key, "kind": "fit", "iteration": 0, "params": {"role": role}, "result": result})
        facts += [Fact.from_result(key, "fit", 0, result)] if role == "version" else []
    (row,) = views.rounds(database, "c", actions)
    assert row["potential"] == best_of(facts).potential == 6


def test_rows_of_a_finished_campaign(database):
    backup.restore(database, DUMP)
    actions = list(database.actions.find({"campaign": "small"}, views.ACTION))
    first, last = views.rounds(database, "small", actions)
    assert [first[n] for n in ("generated", "selected", "accepted", "rejected", "failed", "open")] == [6, 2, 5, 1, 0, 0]
    assert (first["scf_runs"], first["md_runs"], first["candidates"], first["potential"]) == (27, 2, 2, 11)
    assert first["md_states"] == {"extrapolated": 2} and first["max_grade"] == pytest.approx(48.35, abs=0.01)
    assert (last["iteration"], last["md_runs"], last["max_grade"], last["potential"]) == (1, 0, None, 12)
    assert views.counts(actions)["label"] == {"planned": 8, "finished": 8, "failed": 0}
    assert views.verdicts(actions) == {"accepted": 6, "rejected": 2}
    versions = {row["version"]: row for row in views.potentials(database, "small")}
    assert (versions[11]["training"], versions[11]["validation"]) == (5, 0)
    assert [row["version"] for row in versions.values() if row["role"] == "version"] == [11, 12]
    runs = views.md_runs(database, {"potential": 11})
    assert [(run["number"], run["lattice_parameter_A"]) for run in runs] == [(25, 3.78), (26, 3.72)]
    assert {row["campaign"]: (row["actions"], row["open"]) for row in views.campaigns(database)} == {
        "small": (25, 0),
        "fe-pd-demo": (20, 0),
    }


def test_training_and_validation_labels_are_counted_apart(database):
    training = store.add_training_set(database, ["a", "b", "c"], ["c"])
    for number in (0, 1):
        fields = {"campaign": "c", "iteration": number, "action": f"c/{number}/fit", "training_set": training}
        store.save_potential(database, "t", "h", **(fields if number == 0 else fields | {"training_set": None}))
    counted = [(row["training"], row["validation"]) for row in views.potentials(database, "c")]
    assert counted == [(2, 1), (0, 0)]


@pytest.mark.parametrize("few", [1, 2000])
def test_find_goes_back_until_it_has_enough(database, monkeypatch, few):
    monkeypatch.setattr(queries, "_FEW", few)
    for number in range(1, 31):
        key = f"{number:032d}"
        configuration = {"_id": key, "number": number, "formula": "Fe", "origin": {"campaign": "ab"[number % 2]}}
        database.configurations.insert_one(configuration)
        status = "accepted" if number % 7 == 0 else "rejected"
        for protocol_ in ("p", "q"):
            store.begin_calculation(database, f"{key}/{protocol_}", key, "hamiltonian", {}, "me")
            store.finish_calculation(database, f"{key}/{protocol_}", status, "", {})
    store.begin_calculation(database, f"{5:032d}/r", f"{5:032d}", "hamiltonian", {}, "me")

    def numbers(**conditions):
        return [row["configuration"] for row in queries.find_configurations(database, **conditions)]

    assert numbers(status="accepted", limit=3) == [28, 28, 21]
    assert numbers(status="accepted") == [28, 28, 21, 21, 14, 14, 7, 7]
    assert numbers(status="accepted", campaign="a") == [28, 28, 14, 14]
    assert numbers(status="running") == [5]
    assert numbers(status="failed") == []
    assert numbers(limit=3) == [30, 30, 29]
    assert numbers(engine="hamiltonian", status="rejected", limit=2) == [30, 30]
    assert numbers(engine="vasp") == numbers(quality="A") == []


QUESTIONS_OF_FIND = (
    {},
    {"status": "accepted"},
    {"engine": "hamiltonian"},
    {"quality": "B"},
    {"engine": "hamiltonian", "status": "accepted", "quality": "B"},
    {"campaign": "c"},
)


@pytest.mark.parametrize("conditions", QUESTIONS_OF_FIND, ids=str)
def test_find_reads_no_more_documents_than_it_shows(database, conditions):
    configurations = [
        {"_id": f"{number:032d}", "number": number, "formula": "Fe", "origin": {"campaign": "c"}}
        for number in range(1, 601)
    ]
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    calculations = [
        {"_id": f"{document['_id']}/s", "configuration": document["_id"], "engine": "hamiltonian", "stages": []}
        | {"status": "accepted", "quality": {"grade": "B"}, "created": begin + timedelta(seconds=document["number"])}
        for document in configurations
    ]
    database.configurations.insert_many(configurations)
    database.calculations.insert_many(calculations)
    database.db["system.profile"].drop()
    database.db.command("profile", 2)
    try:
        rows = queries.find_configurations(database, limit=20, **conditions)
    finally:
        database.db.command("profile", 0)
    assert [row["configuration"] for row in rows] == list(range(600, 580, -1))
    read = {"configurations": 0, "calculations": 0}
    for entry in database.db["system.profile"].find({"docsExamined": {"$exists": True}}):
        collection = entry["ns"].rpartition(".")[2]
        if collection in read:
            read[collection] += entry["docsExamined"]
    database.db["system.profile"].drop()
    assert read == {"configurations": 20, "calculations": 20}


ASKERS = {
    "queries": queries.campaign,
    "show": history.campaign,
    "summary": summarize,
    "status": snapshot,
    "report": gather_report,
    "planner": campaign_settings,
    "option": only_campaign,
}


def test_that_a_campaign_is_not_there_is_said_in_one_way(database):
    said = set()
    for ask in ASKERS.values():
        with pytest.raises(InputError, match="no campaign 'nope'") as caught:
            ask(database, "nope")
        said.add((caught.value.message, caught.value.hint))
    assert len(said) == 1
