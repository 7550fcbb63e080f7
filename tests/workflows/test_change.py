"""Settings may change while a campaign runs: what was done stays, and the planner goes on with the new ones."""

from __future__ import annotations

import json

import pytest
from played_campaign import play, played, usual
from ruamel.yaml import YAML
from small_campaign import check_documents

from mmtp_fw.campaign.changes import differences, settable, with_changes
from mmtp_fw.errors import InputError
from mmtp_fw.loop.gather import gather, settings_of
from mmtp_fw.loop.planner import locate
from mmtp_fw.workflows.change import change_settings
from mmtp_fw.workflows.submit import advance, stored_action, submit_campaign


@pytest.fixture
def campaign(database, tmp_path, monkeypatch):
    """A database with a submitted campaign named change."""
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, played("change"))
    return database


def runs(database, iteration):
    found = database.actions.find({"kind": "md", "iteration": iteration}).sort("_id", 1)
    return [(run["params"]["lattice_parameter_A"], run["params"]["steps"]) for run in found]


def clean(found):
    """Return a result with which no trajectory selects anything."""
    steps = found["params"].get("steps", 0)
    return {"outcome": "completed", "md_steps": steps} if found["kind"] == "md" else usual(found)


def test_a_round_that_was_begun_is_finished_as_it_was_begun(campaign, call):
    key = play(campaign, "change", until="md")
    assert runs(campaign, 0) == [(3.72, 20), (3.78, 20)]
    told = json.loads(call("set", "change", "md.steps=50", "system.lattice_parameters_A=[3.72, 3.75]", "--json"))
    assert told["from_iteration"] == 1
    assert told["changed"]["md.steps"] == [20, 50]
    assert settings_of(campaign, stored_action(campaign, key)).md.steps == 20
    play(campaign, "change", until="select")
    assert settings_of(campaign, stored_action(campaign, "change/000/select")).system.lattice_parameters_A == [
        3.72,
        3.78,
    ]
    while locate(gather(campaign, "change")).iteration == 0 or not runs(campaign, 1):
        play_one(campaign)
    assert runs(campaign, 0) == [(3.72, 20), (3.78, 20)] and runs(campaign, 1) == [(3.72, 50), (3.75, 50)]
    play(campaign, "change")
    averaged = {row["params"]["lattice_parameter_A"] for row in campaign.actions.find({"kind": "property"})}
    assert averaged == {3.66, 3.72, 3.75}
    shown = call("show", "campaign", "change")
    assert "md.steps" in shown and "Changes of the settings" in shown
    (entry,) = json.loads(call("show", "campaign", "change", "--json"))["campaign"]["history"]
    assert entry["user"] and entry["when"] and entry["before"]["md"]["steps"] == 20
    check_documents(campaign)


def play_one(database):
    todo = database.actions.find_one({"result": None, "withdrawn": None}, sort=[("iteration", 1), ("_id", 1)])
    database.actions.update_one({"_id": todo["_id"]}, {"$set": {"result": dict(usual(todo))}})
    advance(database, "change")


def test_a_round_whose_trajectories_wait_begins_with_the_new_ones(campaign):
    play(campaign, "change", until="fit")
    assert change_settings(campaign, "change", ["md.steps=70"])["from_iteration"] == 0
    play(campaign, "change", until="md")
    assert {steps for _, steps in runs(campaign, 0)} == {70}


def test_a_converged_campaign_explores_again_and_finishes_again(campaign, call):
    play(campaign, "change", clean)
    first = campaign.campaigns.find_one({"_id": "change"})
    before = locate(gather(campaign, "change"))
    assert first["stop"] == "converged" and before.iteration == 1
    out = call("set", "change", "md.steps=50", "budget.max_iterations=6")
    assert "md.steps: 20 → 50" in out and "from round 2 on" in out and "is at iteration 2, md" in out
    play(campaign, "change", clean)
    again = campaign.campaigns.find_one({"_id": "change"})
    assert again["stop"] == "converged" and again["finished"] > first["finished"]
    assert [{steps for _, steps in runs(campaign, k)} for k in range(4)] == [{20}, {20}, {50}, {50}]
    assert locate(gather(campaign, "change")).iteration == 3, "two clean rounds with the new settings"


def test_limits_hold_at_once_and_do_not_undo_what_was_decided(campaign, call):
    play(campaign, "change", until="select")
    change_settings(campaign, "change", ["budget.max_labels=6"])
    play(campaign, "change")
    assert campaign.campaigns.find_one({"_id": "change"})["stop"] == "max_iterations"
    assert "it only ends anew" in call("set", "change", "budget.max_scf_runs=1")
    play(campaign, "change")
    assert locate(gather(campaign, "change")).iteration == 2, "rounds that were explored stay"


def test_the_old_file_is_taken_and_another_is_explained(campaign, tmp_path, call, caplog):
    play(campaign, "change", until="md")
    change_settings(campaign, "change", ["md.steps=50"])
    submit_campaign(campaign, played("change"))
    assert "goes on with settings changed since: md.steps=50" in caplog.text
    submit_campaign(campaign, played("change", md={"steps": 50}))
    with pytest.raises(InputError) as refused:
        submit_campaign(campaign, played("change", md={"steps": 60}))
    assert "md.steps: 60 in the file, 50 in the database" in str(refused.value)
    assert "`mmtp set change 'md.steps=60'`" in refused.value.hint
    with (tmp_path / "c.yaml").open("w") as stream:
        YAML().dump(played("change", seed=4).document(), stream)
    told = call("submit", "c.yaml", code=2)
    assert "seed: 4 in the file, 3 in the database" in told and "another name" in told


def test_a_raised_budget_is_history_too(campaign):
    submit_campaign(campaign, played("change", budget={"max_iterations": 5, "max_labels": 20, "max_attempts": 2}))
    (entry,) = campaign.campaigns.find_one({"_id": "change"})["history"]
    assert ["budget.max_labels", 10, 20] in entry["changed"]


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("md.steps", "no KEY=VALUE"),
        ("steps=5", "did you mean md.steps"),
        ("md.step=5", "did you mean md.steps"),
        ("seed=4", "seed can't change"),
        ("dft.engine=vasp", "dft.engine can't change"),
        ("potential.level=6", "potential.level can't change"),
        ("system.supercell=[2,2,2]", "system.supercell can't change"),
        ("selection.mode=site", "selection.mode can't change"),
        ("md.steps=many", "md.steps: input should be a valid integer"),
        ("md.steps=-1", "md.steps"),
        ("md.steps=[", "no value of YAML"),
        ("md.settings.nonsense=3", "nonsense"),
        ("budget.max_labels=2", "doesn't even cover"),
        ("md.steps=20", "has these settings"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(campaign, call, assignment, words):
    before = campaign.campaigns.find_one({"_id": "change"})
    assert words in call("set", "change", assignment, code=2)
    assert campaign.campaigns.find_one({"_id": "change"}) == before


def test_differences_are_by_key():
    one = played("one")
    other = with_changes(one, ["md.settings.ensemble=npt", "fit.ensemble=3"])
    assert differences(one, other)["fit.ensemble"] == [1, 3]
    assert differences(one, other)["md.settings.ensemble"] == [None, "npt"]
    assert differences(one, one) == {}
    assert settable("md.steps") and not settable("md") and not settable("system.species")
