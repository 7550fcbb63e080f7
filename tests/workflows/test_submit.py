from __future__ import annotations

import threading

import pytest
from small_campaign import small

from mmtp_fw.campaign import parse_campaign
from mmtp_fw.database import Database
from mmtp_fw.errors import InputError
from mmtp_fw.loop import Facts, plan
from mmtp_fw.loop.facts import Action, Category, Kind
from mmtp_fw.workflows import add_workflows, advance, build, submit_campaign
from mmtp_fw.workflows.submit import advance_after, record, stored_action


def test_a_workflow_is_one_small_firework():
    campaign = small()
    for action in plan(Facts(campaign)):
        workflow = build(campaign.name, action)
        (firework,) = workflow.fws
        assert firework.spec["_category"] == action.category
        assert firework.spec["_priority"] == action.priority
        assert firework.spec["action"] == workflow.metadata["key"] == action.key
        assert workflow.metadata["campaign"] == "small"
        assert workflow.metadata["kind"] == action.kind
        assert workflow.metadata["iteration"] == action.iteration
        assert workflow.name.startswith(f"small it{action.iteration} {action.kind}")
        assert len(str(firework.to_dict())) < 2000, "nothing large travels in specs"


def test_submitting_and_advancing_again_adds_nothing(database):
    for _ in range(3):
        submit_campaign(database, small())
        advance(database, "small")
    planned = database.actions.count_documents({})
    assert planned == len(plan(Facts(small())))
    assert database.launchpad.fireworks.count_documents({}) == planned
    assert database.launchpad.workflows.count_documents({}) == planned


def test_many_at_once_add_each_action_once(database):
    submit_campaign(database, small())
    database.actions.delete_many({})
    database.launchpad.fireworks.delete_many({})
    database.launchpad.workflows.delete_many({})
    barrier = threading.Barrier(8)

    def work():
        with Database.open() as own:
            barrier.wait()
            advance(own, "small")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {action.key for action in plan(Facts(small()))}
    keys = [firework["spec"]["action"] for firework in database.launchpad.fireworks.find()]
    assert sorted(keys) == sorted(expected)


def test_two_campaigns_share_a_database(database):
    submit_campaign(database, small("one"))
    submit_campaign(database, small("two"))
    campaigns = set(database.launchpad.fireworks.distinct("spec.campaign"))
    assert campaigns == {"one", "two"}


def test_unknown_names(database):
    with pytest.raises(InputError, match="no campaign 'nothing'"):
        advance(database, "nothing")
    with pytest.raises(InputError, match="no action"):
        stored_action(database, "nothing/000/fit")


BCC = """
name: bcc
system: {species: [Fe], structure: bcc, lattice_parameters_A: [2.72, 2.87], typical_moments_muB: {Fe: 2.2}}
"""


@pytest.mark.parametrize(
    ("stored", "refused"),
    [
        ({"system": {"held_out_lattice_parameters_A": [3.6]}, "potential": {"r_min_A": 1.9}}, None),
        ({"system": {"held_out_lattice_parameters_A": [2.8]}}, "system"),
        ({"potential": {"r_min_A": 2.0}}, "potential"),
    ],
)
def test_a_file_goes_on_with_what_an_earlier_version_took_where_it_left_something_open(database, stored, refused):
    campaign = parse_campaign(BCC)
    earlier = {name: getattr(campaign, name).model_copy(update=values) for name, values in stored.items()}
    submit_campaign(database, campaign.model_copy(update=earlier))
    if refused is None:
        submit_campaign(database, campaign)
        settings = database.campaigns.find_one({"_id": "bcc"})["settings"]
        assert settings["system"]["held_out_lattice_parameters_A"] == [3.6], "what was submitted stays"
        return
    with pytest.raises(InputError, match=rf"with other settings: {refused}\."):
        submit_campaign(database, campaign)


def test_the_last_label_of_a_round_plans_and_others_need_not(database):
    submit_campaign(database, small("last"))
    labels = [Action(f"last/000/label/x{n}", Kind.LABEL, Category.DFT, 0) for n in range(3)]
    assert record(database, "last", labels) == labels and record(database, "last", labels) == []
    result = {"outcome": "done", "configurations": ["x0", "x1", "x2"]}
    done = [{"$set": {"result": {"$literal": result}, "finished": "$$NOW"}}]
    database.actions.update_one({"_id": "last/000/pretrain"}, done)
    for label in labels:
        advance_after(database, label)
        assert database.actions.find_one({"kind": "fit"}) is None
        accepted = [{"$set": {"result": {"outcome": "accepted"}, "finished": "$$NOW"}}]
        database.actions.update_one({"_id": label.key}, accepted)
    advance_after(database, labels[1])
    assert database.actions.find_one({"kind": "fit"})["_id"] == "last/000/fit"


def test_thousands_of_actions_are_stored_in_a_few_writes(database):
    submit_campaign(database, small("many"))
    labels = [Action(f"many/000/label/x{n}", Kind.LABEL, Category.DFT, 0) for n in range(2500)]
    database.db["system.profile"].drop()
    database.db.command("profile", 2)
    assert record(database, "many", labels[::2]) == labels[::2]
    assert record(database, "many", labels) == labels[1::2], "what was there is no news"
    add_workflows(database, "many", labels)
    database.db.command("profile", 0)
    commands = database.db["system.profile"].count_documents({})
    database.db["system.profile"].drop()
    assert commands < 30
    assert database.launchpad.fireworks.count_documents({"spec.kind": "label"}) == 2500
