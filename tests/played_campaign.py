"""A campaign whose results are written by hand, so that its whole course takes a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from small_campaign import small

from mmtp_fw.campaign import Campaign
from mmtp_fw.database import Database
from mmtp_fw.firetasks.base import run_action
from mmtp_fw.firetasks.tasks import ReportTask
from mmtp_fw.workflows.submit import advance

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Broken:
    """Work that raises."""

    def __init__(self, text: str = "this can't work") -> None:
        self.text = text

    def compute(self, context):
        raise ValueError(self.text)

    def store(self, context, payload, session):
        raise AssertionError


def played(name: str, **sections) -> Campaign:
    """Return a campaign that may be played: no reference, no ensemble, two attempts."""
    given = {
        "properties": {"reference": False, "steps": 20, "equilibration_steps": 5},
        "fit": {"max_iterations": 5, "ensemble": 1},
        "budget": {"max_iterations": 2, "max_labels": 10, "max_attempts": 2},
    }
    return small(name, **(given | sections))


def usual(action: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a result with which every round selects one configuration."""
    iteration = action["iteration"]
    return {
        "pretrain": {"outcome": "done", "configurations": ["p0", "p1"]},
        "label": {"outcome": "accepted", "scf_runs": 4},
        "fit": {"outcome": "done", "potential": iteration + 1},
        "md": {"outcome": "extrapolated", "candidates": 2, "md_steps": 20},
        "select": {"outcome": "done", "configurations": [f"s{iteration}"]},
        "property": {"outcome": "done"},
    }[action["kind"]]


def fail(database: Database, key: str, text: str = "this can't work", attempts: int = 2) -> None:
    """Let an action fail in all its attempts."""
    for _ in range(attempts):
        with pytest.raises(ValueError, match=text):
            run_action(database, key, Broken(text))
    assert database.actions.find_one({"_id": key})["result"]["outcome"] == "failed"


def play(database: Database, name: str, answer: Answer = usual, until: str | None = None) -> str | None:
    """Answer what is open until an action of the kind `until` is; return its key, or None at the campaign's end."""
    for _ in range(200):
        todo = database.actions.find_one(
            {"campaign": name, "result": None, "withdrawn": None}, sort=[("iteration", 1), ("_id", 1)]
        )
        if todo is None:
            return None
        if todo["kind"] == until:
            return str(todo["_id"])
        if todo["kind"] == "report":
            assert run_action(database, todo["_id"], ReportTask.work) == "done"
            continue
        fact = {"result": dict(answer(todo)), "finished": datetime.now(UTC)}
        database.actions.update_one({"_id": todo["_id"]}, {"$set": fact})
        advance(database, name)
    raise AssertionError("the campaign doesn't end")
