"""A campaign of less than a minute on the reference Hamiltonian, with everything that a large one has."""

from __future__ import annotations

from mmtp_fw.campaign import Campaign
from mmtp_fw.database import Database
from mmtp_fw.database.collections import DECLARED
from mmtp_fw.firetasks import tasks
from mmtp_fw.firetasks.base import run_action
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate

WORKS = {
    "pretrain": tasks.PretrainTask,
    "label": tasks.LabelTask,
    "fit": tasks.FitTask,
    "md": tasks.MdTask,
    "select": tasks.SelectTask,
    "property": tasks.PropertyTask,
}
SMALL = {
    "name": "small",
    "seed": 3,
    "system": {
        "supercell": [1, 1, 1],
        "composition": {"Fe": 0.75, "Pd": 0.25},
        "lattice_parameters_A": [3.72, 3.78],
        "held_out_lattice_parameters_A": [3.66],
    },
    "potential": {"level": 4, "r_cut_A": 4.0, "radial_size": 4, "magnetic_size": 2},
    "pretraining": {"structures": 6},
    "fit": {"max_iterations": 30},
    "selection": {"max_per_iteration": 2},
    "md": {"steps": 20},
    "properties": {"steps": 40, "equilibration_steps": 10},
    "budget": {"max_iterations": 1, "max_labels": 10},
    "workers": {"lease_seconds": 20},
}


def small(name: str = "small", **sections) -> Campaign:
    """Return the small campaign, with changed sections."""
    return Campaign.model_validate(SMALL | {"name": name} | sections)


def run_until(database: Database, kind: str, iteration: int = 0) -> str:
    """Carry out what is planned until there is a result of a kind in a round; return its key."""
    wanted = {"kind": kind, "iteration": iteration, "result.outcome": {"$nin": [None, "rejected"]}}
    for _ in range(60):
        found = database.actions.find_one(wanted)
        if found is not None:
            return str(found["_id"])
        open_ones = {"result": None, "kind": {"$in": list(WORKS)}}
        todo = database.actions.find_one(open_ones, sort=[("iteration", 1), ("kind", 1)])
        assert todo is not None, "nothing is left to be done"
        run_action(database, todo["_id"], WORKS[todo["kind"]].work)
    raise AssertionError(f"no {kind} in round {iteration}")


def labels_of(database: Database, campaign_id: str) -> dict[str, str]:
    """Return the outcome of every label by configuration."""
    actions = database.actions.find({"campaign": campaign_id, "kind": "label"})
    return {action["params"]["configuration"]: action["result"]["outcome"] for action in actions}


def check_documents(database: Database) -> None:
    """Assert that every document is what the model of its collection says."""
    for name, declared in DECLARED.items():
        for document in database.db[name].find():
            declared.model.model_validate(document)


def check_finished(database: Database, campaign_id: str) -> None:
    """Assert that a campaign is complete, in its facts and in FireWorks, and nothing was done twice."""
    facts = gather(database, campaign_id)
    assert locate(facts).finished
    assert set(facts.finished) == facts.planned
    states = {f["state"] for f in database.launchpad.fireworks.find({"spec.campaign": campaign_id})}
    assert states == {"COMPLETED"}
    for calculation in database.calculations.find():
        indices = [stage["index"] for stage in calculation["stages"]]
        assert indices == list(range(len(indices))), "every stage once, in order"
    fits = [key for key, fact in facts.finished.items() if fact.kind == "fit"]
    assert database.potentials.count_documents({"campaign": campaign_id}) == len(fits)
    runs = [key for key, fact in facts.finished.items() if fact.kind == "md"]
    assert database.md_runs.count_documents({"campaign": campaign_id}) == len(runs)
    check_documents(database)
