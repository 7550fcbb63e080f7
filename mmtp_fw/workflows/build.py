"""Actions become FireWorks workflows: one small workflow each, everything large by reference.

FireWorks' cost per Firework grows with the size of its workflow, and its locks with the number of its
children; hence never a workflow for a whole campaign. Order comes from the planner, not from links.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fireworks import Firework, Workflow

from mmtp_fw.loop.facts import Action, Category, Kind

TASKS: Mapping[Kind, str] = {
    Kind.PRETRAIN: "{{mmtp_fw.firetasks.tasks.PretrainTask}}",
    Kind.LABEL: "{{mmtp_fw.firetasks.tasks.LabelTask}}",
    Kind.FIT: "{{mmtp_fw.firetasks.tasks.FitTask}}",
    Kind.MD: "{{mmtp_fw.firetasks.tasks.MdTask}}",
    Kind.SELECT: "{{mmtp_fw.firetasks.tasks.SelectTask}}",
    Kind.PROPERTY: "{{mmtp_fw.firetasks.tasks.PropertyTask}}",
    Kind.REPORT: "{{mmtp_fw.firetasks.tasks.ReportTask}}",
}
ADVANCE_TASK = "{{mmtp_fw.firetasks.tasks.AdvanceTask}}"


def build(campaign_id: str, action: Action) -> Workflow:
    """Return the workflow of one action.

    Parameters
    ----------
    campaign_id : str
        The campaign that it belongs to.
    action : Action
        What the planner wants done.

    Returns
    -------
    Workflow
        One Firework named ``<campaign> it<i> <kind> <subject>``; its spec has ``_category``, ``_priority``,
        campaign, iteration, kind and the action's key, its metadata the last four. The arguments stay in the
        database under that key.
    """
    metadata = {
        "campaign": campaign_id,
        "iteration": action.iteration,
        "key": action.key,
        "kind": action.kind.value,
    }
    spec = {
        "_category": action.category.value,
        "_priority": action.priority,
        "_add_launchpad_and_fw_id": True,
        "campaign": campaign_id,
        "iteration": action.iteration,
        "kind": action.kind.value,
        "action": action.key,
    }
    subject = action.key.split("/")[3:]
    name = " ".join([campaign_id, f"it{action.iteration}", action.kind.value, *(s[:24] for s in subject)])
    return _workflow(TASKS[action.kind], name, spec, metadata)


def build_advance(campaign_id: str) -> Workflow:
    """Return a workflow that only calls the planner: it sets a campaign going again on any cluster."""
    spec = {
        "_category": Category.LIGHT.value,
        "_priority": 100,
        "_add_launchpad_and_fw_id": True,
        "campaign": campaign_id,
    }
    metadata = {"campaign": campaign_id, "kind": "advance"}
    return _workflow(ADVANCE_TASK, f"{campaign_id} advance", spec, metadata)


def _workflow(task: str, name: str, spec: Mapping[str, Any], metadata: Mapping[str, Any]) -> Workflow:
    # By name, not by import: the tasks lie above this package.
    firework = Firework.from_dict({"spec": {**spec, "_tasks": [{"_fw_name": task}]}, "fw_id": -1, "name": name})
    return Workflow([firework], metadata=dict(metadata), name=name)
