"""Questions to a campaign: every one of docs/queries.md is asked in its three ways; taint, rejection, comparison."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
from small_campaign import check_documents, run_until, small

import mmtp_fw
from mmtp_fw import schemas
from mmtp_fw.cli.output import plain
from mmtp_fw.database import comparison, history, taint
from mmtp_fw.database.collections import DECLARED
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.reproduce import reproduce
from mmtp_fw.workflows.submit import submit_campaign

DOCS = Path(__file__).parents[1] / "docs"
FEW = {"pretraining": {"structures": 3}, "fit": {"max_iterations": 10}, "md": {"steps": 10}}


@pytest.fixture
def recorded(database, tmp_path, monkeypatch):
    """The first round of a campaign, and its second fit."""
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("fe-pd-demo", **FEW))
    run_until(database, "fit", iteration=1)
    yield database
    database.reset()  # the name is the demonstration's, which other tests look for


def questions() -> dict[str, str]:
    text = (DOCS / "queries.md").read_text(encoding="utf-8")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: part for part in parts}


def block(part: str, kind: str) -> str | None:
    found = re.search(rf"^```{kind}\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
    return found.group(1) if found else None


def test_every_question_is_answered_alike_in_all_three_ways(recorded, call, monkeypatch):
    opened = mmtp_fw.Campaign("fe-pd-demo", recorded)
    monkeypatch.setattr("mmtp_fw.frames.Campaign", lambda name: opened)
    setup = block((DOCS / "queries.md").read_text(encoding="utf-8"), "python setup")
    asked = questions()
    answered = {}
    for question, part in asked.items():
        for line in re.findall(r"^ {4}mmtp (.*)$", part, re.MULTILINE):
            assert call(*shlex.split(line)).strip(), question
        query = block(part, "mongodb")
        if query is None:
            continue
        there = list(eval(query, {"db": recorded.db}))
        names: dict = {}
        exec(setup + (block(part, "python") or ""), names)
        answered[question] = (len(there), len(names["rows"]))
    assert len(answered) >= 12
    assert not {question: pair for question, pair in answered.items() if pair[0] != pair[1]}
    empty = [question for question, pair in answered.items() if pair[0] == 0]
    assert len(empty) <= 3, empty  # nothing failed here


def test_tables_hold_what_the_database_holds(recorded):
    campaign = mmtp_fw.Campaign(launchpad=recorded)
    assert campaign.name == "fe-pd-demo" and campaign.settings["seed"] == 3
    labels = campaign.labels
    assert len(labels) == recorded.actions.count_documents({"kind": "label"})
    assert campaign.stages.groupby("calculation").size().sum() == sum(
        len(document["stages"]) for document in recorded.calculations.find()
    )
    assert set(campaign.versions.version) == {document["_id"] for document in recorded.potentials.find()}
    assert campaign.versions.loss.notna().all()
    runs = campaign.runs.set_index("number")
    for document in recorded.md_runs.find():
        assert runs.loc[document["number"]].max_grade == document["max_grade"]
    assert campaign.costs.core_hours.sum() > 0 and len(campaign.environments) == 1
    assert isinstance(campaign.properties, pd.DataFrame)


def test_an_empty_campaign_has_tables_too(database):
    with pytest.raises(InputError, match="no campaign"):
        mmtp_fw.Campaign("nope", database)
    submit_campaign(database, small("c"))
    campaign = mmtp_fw.Campaign("c", database)
    for name in ("labels", "stages", "versions", "runs", "properties", "costs", "environments"):
        assert len(getattr(campaign, name)) == 0
    assert not hasattr(mmtp_fw, "Campagne")


def test_taint_follows_a_label_to_its_last_consequence(recorded, call):
    asked = recorded.actions.find({"kind": "label", "iteration": 0, "result.outcome": "accepted"})
    first = asked.sort("_id", 1)[0]["params"]["configuration"]
    number = recorded.configurations.find_one({"_id": first})["number"]
    found = taint.taint(recorded, str(number))
    every = [document["_id"] for document in recorded.potentials.find()]
    assert sorted(found["versions"] + found["members"]) == every, "all were trained on it"
    assert found["md_runs"] == sorted(document["number"] for document in recorded.md_runs.find())
    selected = recorded.configurations.find({"origin.md_run": {"$ne": None}})
    assert found["configurations"] == sorted(document["number"] for document in selected)
    last = max(recorded.configurations.find({"origin.md_run": {"$ne": None}}), key=lambda item: item["number"])
    rests = taint.taint(recorded, str(last["number"]))
    second = [document["_id"] for document in recorded.potentials.find({"iteration": 1})]
    assert set(rests["versions"] + rests["members"]) <= set(second) and rests["md_runs"] == []
    assert str(number) in call("taint", str(number)) and "mmtp find" in call("taint", "999", code=2)


def test_a_rejected_label_is_used_by_no_later_fit(recorded, call):
    before = history.potential(recorded, 1)["labels"]
    label = next(row for row in before if row["rule"] == "criteria_met")
    told = json.loads(call("reject", label["calculation"], "--why", "too small a cell", "--json"))
    assert told["rejected"] == [label["calculation"]] and 1 in told["taint"]["versions"]
    document = recorded.calculations.find_one({"_id": label["calculation"]})
    assert (document["status"], document["rule"], document["quality"]) == ("rejected", "by_hand", None)
    assert document["overruled"]["why"] == "too small a cell" and document["label"]["energy_eV"]
    (row,) = [row for row in json.loads(call("find", "--status", "rejected", "--json")) if row["rule"] == "by_hand"]
    assert row["reason"] == "rejected by hand: too small a cell" and row["grade"] is None
    assert document["overruled"]["status"] == "accepted" and document["overruled"]["rule"].startswith("criteria")
    assert reproduce(recorded, label["calculation"]).equal, "the numbers are what they were"
    check_documents(recorded)
    recorded.actions.update_many({"iteration": 1, "kind": "fit"}, {"$set": {"result": None}})
    recorded.potentials.delete_many({"iteration": 1})
    key = run_until(recorded, "fit", iteration=1)
    version = recorded.potentials.find_one({"action": key})
    keys = recorded.training_sets.find_one({"_id": version["training_set"]})["calculations"]
    assert label["calculation"] not in keys and len(keys) >= 2
    assert "no accepted label" in call("reject", str(label["configuration"]), "--why", "again", code=2)
    assert "reason" in call("reject", str(label["configuration"]), "--why", " ", code=2)


def test_two_versions_are_compared(recorded, call):
    one, other = (recorded.potentials.find_one({"iteration": number})["_id"] for number in (0, 1))
    found = comparison.potentials(recorded, one, other)
    sets = [history.training(recorded, history.version(recorded, number))[0] for number in (one, other)]
    assert {row["calculation"] for row in found["only_second"]} == sets[1] - sets[0]
    assert found["shared"] == len(sets[0] & sets[1]) and not found["same"]
    errors = recorded.potentials.find_one({"_id": other})["errors"]
    assert any(values[1] in _values(errors) for values in found["errors"].values())
    assert "labels of both" in call("compare", "potential", str(one), str(other))
    assert comparison.potentials(recorded, one, one)["same"]


def _values(document) -> list:
    return [x for item in document.values() for x in (_values(item) if isinstance(item, dict) else [item])]


def test_the_schema_for_programs_is_up_to_date_and_true(recorded):
    text = (DOCS / "schema.json").read_text(encoding="utf-8")
    assert text == schemas.text(), "python -m mmtp_fw.schemas > docs/schema.json"
    found = {
        name: [plain(document) for document in recorded.db[name].find()]
        for name in DECLARED
        if name != "fit_checkpoints"
    }
    schema = json.loads(text)
    jsonschema.Draft202012Validator(schema).validate(found)
    found["calculations"][0]["stages"][0]["energy_eV"] = "low"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(found)


@pytest.mark.parametrize("name", ["Stage", "Label"])
def test_every_number_of_a_label_has_its_unit(name):
    without = {"index", "scf_steps", "scf_runs", "numbers", "pbc", "converged"}
    for field, described in schemas.schema()["$defs"][name]["properties"].items():
        if '"number"' in json.dumps(described) and field not in without:
            assert described.get("unit"), field
