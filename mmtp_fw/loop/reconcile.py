"""Mending what a crash left between facts, claims and FireWorks' own bookkeeping.

Facts are right by construction (each is one transaction); what can be left wrong is everything around them.
Each kind of damage is recognised by a state that must not last, seen twice at least `grace_seconds` apart by
the database's own clock: no worker's clock is trusted, and nothing that is merely in progress is touched. The
mending is idempotent and may run anywhere, any number of times at once.

What is unfinished is read, by indexes, and nothing else: in actions, in Fireworks and in workflows. A Firework that
fizzled with a failed action stays like that for ever; it is marked ``settled``, and read no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from mmtp_fw.database import Database, queries
from mmtp_fw.database.collections import upserted
from mmtp_fw.labelling import FAILED

MOST_RERUNS = 10
"""Launches after which a Firework that fizzles without noting a failure is left alone."""
NOT_OURS = {"PAUSED", "DEFUSED", "ARCHIVED"}
"""States that a person has set: they are left alone."""
_OPEN = ["WAITING", "READY", "RESERVED", "RUNNING", *sorted(NOT_OURS - {"ARCHIVED"})]
"""States of Fireworks and workflows that something is still to happen to."""
_UNSETTLED = {"state": "FIZZLED", "settled": None}
_FIREWORK = {
    "fw_id": 1, "state": 1, "launches": 1, "archived_launches": 1, "updated_on": 1, "spec.action": 1, "_id": 0
}  # fmt: skip
_T = TypeVar("_T")
_AT_ONCE = 10_000
"""Most keys in one query."""


class Damage(StrEnum):
    """What was found and mended."""

    STALE_LOCK = "workflow locked by nobody"
    ORPHAN_RESERVED = "firework reserved but never launched"
    LOST_RUN = "firework running without a worker"
    STALE_STATES = "workflow disagrees with its fireworks"
    NO_WORKFLOW = "planned action without a firework"
    DONE_WITHOUT_FACT = "firework ended but its fact doesn't exist"
    FACT_NOT_NOTED = "fact exists but its firework doesn't know"


@dataclass(frozen=True)
class Mended:
    """One thing that was mended.

    Attributes
    ----------
    damage : Damage
        What it was.
    key : str
        The action, or the workflow's Firework, concerned.
    """

    damage: Damage
    key: str


def reconcile(
    database: Database,
    campaign_id: str,
    resubmit: Callable[[str], None],
    grace_seconds: float = 60.0,
) -> list[Mended]:
    """Bring facts, claims and FireWorks of one campaign together.

    Parameters
    ----------
    database : Database
        An open database.
    campaign_id : str
        The campaign's name.
    resubmit : callable
        Adds a workflow for the action of that key.
    grace_seconds : float
        How long a state that must not last has to last (s) before it is mended; 0 where it is known that no
        worker is alive.

    Returns
    -------
    list of Mended
        What was mended; `mmtp_fw.workflows.mend` logs it.
    """
    looked = _Look(database, campaign_id, grace_seconds)
    return [
        *looked.locks(),
        *looked.states(),
        *looked.actions(resubmit),
    ]


class _Look:
    """One pass over a campaign."""

    def __init__(self, database: Database, campaign_id: str, grace_seconds: float) -> None:
        self.database = database
        self.launchpad = database.launchpad
        self.campaign = campaign_id
        self.grace = grace_seconds
        self.live = set(live_claims(database))

    def lasts(self, damage: Damage, key: str, *fingerprint: object) -> bool:
        """Whether the same state was seen long enough ago; remembers it if not."""
        if self.grace <= 0:
            return True
        name = "/".join([self.campaign, damage.name, key, *map(str, fingerprint)])
        fresh = {"$lt": [{"$subtract": ["$$NOW", "$seen"]}, int(self.grace * 10_000)]}
        since = {"$cond": [fresh, {"$ifNull": ["$since", "$$NOW"]}, "$$NOW"]}
        document = upserted(self.database.suspicions, name, [{"$set": {"since": since, "seen": "$$NOW"}}])
        age: float = (document["seen"] - document["since"]).total_seconds()
        return age >= self.grace

    def locks(self) -> Iterator[Mended]:
        """Break workflow locks; they have neither owner nor time, but are held for milliseconds only."""
        locked = self.launchpad.workflows.find(
            {"metadata.campaign": self.campaign, "locked": True}, {"nodes": 1, "updated_on": 1}
        )
        for workflow in locked:
            key = str(workflow["nodes"][0])
            if self.lasts(Damage.STALE_LOCK, key, workflow.get("updated_on")):
                same = {"_id": workflow["_id"], "updated_on": workflow.get("updated_on")}
                self.launchpad.workflows.update_one(same, {"$unset": {"locked": ""}})
                yield Mended(Damage.STALE_LOCK, key)

    def states(self) -> Iterator[Mended]:
        """Rewrite cached states of workflows that are not those of their Fireworks: one side at least is unfinished."""
        workflows, actual = self._unfinished_workflows()
        for workflow in workflows:
            wrong = _wrong_states(workflow, actual)
            node = str(workflow["nodes"][0])
            if wrong and self.lasts(Damage.STALE_STATES, node, sorted(wrong.items()), workflow["state"]):
                self.launchpad.workflows.update_one({"_id": workflow["_id"]}, {"$set": wrong})
                yield Mended(Damage.STALE_STATES, node)

    def _unfinished_workflows(self) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Return workflows that are unfinished, or whose Fireworks are, and the states of all their Fireworks."""
        pad, unfinished = self.launchpad, {"$or": [{"state": {"$in": _OPEN}}, _UNSETTLED]}
        wanted = {"fw_states": 1, "nodes": 1, "state": 1, "locked": 1}
        workflows = list(pad.workflows.find({"metadata.campaign": self.campaign, **unfinished}, wanted))
        seen = {node for workflow in workflows for node in workflow["nodes"]}
        fireworks = pad.fireworks.find({"spec.campaign": self.campaign, **unfinished}, {"fw_id": 1, "_id": 0})
        others = [firework["fw_id"] for firework in fireworks if firework["fw_id"] not in seen]
        for some in _in_parts(others):
            workflows += pad.workflows.find({"nodes": {"$in": some}}, wanted)
        workflows = [workflow for workflow in workflows if "locked" not in workflow]
        actual: dict[str, str] = {}
        for some in _in_parts([node for workflow in workflows for node in workflow["nodes"]]):
            found = pad.fireworks.find({"fw_id": {"$in": some}}, {"fw_id": 1, "state": 1, "_id": 0})
            actual |= {str(firework["fw_id"]): firework["state"] for firework in found}
        return workflows, actual

    def actions(self, resubmit: Callable[[str], None]) -> Iterator[Mended]:
        """Give every unfinished action a Firework that will run, and close those of finished ones."""
        fireworks, actions = self.launchpad.fireworks, self.database.actions
        stuck = {"$or": [{"state": {"$in": ["RESERVED", "RUNNING"]}}, _UNSETTLED]}
        at_work = _by_action(fireworks.find({"spec.campaign": self.campaign, **stuck}, _FIREWORK))
        todo = queries.unfinished(self.campaign)
        unfinished = [
            document["_id"] for document in actions.find(todo, {"_id": 1}) if document["_id"] not in self.live
        ]
        for some in _in_parts(unfinished):
            of_action = _by_action(fireworks.find({"spec.action": {"$in": some}}, _FIREWORK))
            for key in some:
                yield from self._unfinished(key, of_action.get(key, []), resubmit)
        for some in _in_parts(sorted(at_work.keys() - set(unfinished) - self.live - {""})):
            for document in actions.find({"_id": {"$in": some}}, {"result.outcome": 1, "withdrawn": 1}):
                outcome = (document.get("result") or {}).get("outcome")
                if outcome is not None or document.get("withdrawn") is not None:
                    yield from self._finished(document["_id"], at_work[document["_id"]], outcome == FAILED)
        for firework in at_work.get("", []):  # advance tasks
            yield from self._stuck("advance", firework)

    def _finished(self, key: str, fireworks: list[Mapping[str, Any]], failed: bool) -> Iterator[Mended]:
        for firework in fireworks:
            if failed and firework["state"] == "FIZZLED":
                self._settle(firework["fw_id"])
            elif self._rerun(Damage.FACT_NOT_NOTED, key, firework):
                yield Mended(Damage.FACT_NOT_NOTED, key)

    def _settle(self, number: int) -> None:
        """Leave a Firework that fizzled with a failed action as it is, for ever: it shows the traceback.

        FireWorks replaces its documents when they are run again, and so takes the mark away.
        """
        same = {"state": "FIZZLED", "locked": {"$exists": False}}
        done = self.launchpad.workflows.update_one({"nodes": number, **same}, {"$set": {"settled": True}})
        if done.matched_count:
            self.launchpad.fireworks.update_one({"fw_id": number, "state": "FIZZLED"}, {"$set": {"settled": True}})

    def _unfinished(
        self, key: str, fireworks: list[Mapping[str, Any]], resubmit: Callable[[str], None]
    ) -> Iterator[Mended]:
        states = {firework["state"] for firework in fireworks}
        if states & ({"READY", "WAITING"} | NOT_OURS):
            return
        if not fireworks:
            if self.lasts(Damage.NO_WORKFLOW, key):
                # A bulk insertion that was cut short may have left the workflow without its Firework.
                self.launchpad.workflows.delete_many({"metadata.key": key})
                resubmit(key)
                yield Mended(Damage.NO_WORKFLOW, key)
            return
        newest = max(fireworks, key=lambda firework: int(firework["fw_id"]))
        if states <= {"COMPLETED", "FIZZLED"}:
            if self._rerun(Damage.DONE_WITHOUT_FACT, key, newest):
                yield Mended(Damage.DONE_WITHOUT_FACT, key)
            return
        for firework in fireworks:
            yield from self._stuck(key, firework)

    def _stuck(self, key: str, firework: Mapping[str, Any]) -> Iterator[Mended]:
        # RESERVED with a launch waits in a queue; without one its worker died between two writes.
        if firework["state"] == "RESERVED" and not firework["launches"]:
            damage = Damage.ORPHAN_RESERVED
        elif firework["state"] == "RUNNING":
            damage = Damage.LOST_RUN
        else:
            return
        if self._rerun(damage, key, firework):
            yield Mended(damage, key)

    def _rerun(self, damage: Damage, key: str, firework: Mapping[str, Any]) -> bool:
        number = firework["fw_id"]
        if firework["state"] == "RESERVED" and firework["launches"]:
            return False  # waits in a queue
        if firework["state"] == "FIZZLED" and len(firework["archived_launches"]) >= MOST_RERUNS:
            return False  # it doesn't even come to its claim: a broken installation, for a person to see
        if not self.lasts(damage, key, number, firework["state"], firework["launches"]):
            return False
        if self.launchpad.workflows.find_one({"nodes": number, "locked": True}, {"_id": 1}):
            return False  # unlocked first, by `locks`
        self.launchpad.rerun_fw(number)
        return True


def _by_action(fireworks: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return Fireworks by the key of their action; "" for those that have none."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for firework in fireworks:
        found.setdefault(firework["spec"].get("action", ""), []).append(firework)
    return found


def _in_parts(everything: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield what one query can take."""
    return (everything[k : k + _AT_ONCE] for k in range(0, len(everything), _AT_ONCE))


def _wrong_states(workflow: Mapping[str, Any], actual: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of a workflow that must be rewritten, with the states that its Fireworks have."""
    cached = workflow["fw_states"]
    wrong = {f"fw_states.{n}": actual[n] for n in cached if actual.get(n, cached[n]) != cached[n]}
    # A workflow of one Firework, as all of ours are, has that Firework's state.
    own = actual.get(str(workflow["nodes"][0])) if len(cached) == 1 else None
    if own is not None and own != workflow["state"]:
        wrong["state"] = own
    return wrong


def live_claims(database: Database) -> Iterator[str]:
    """Iterate over the keys of all claims whose lease runs, by the database's clock."""
    running = {"$expr": {"$gt": ["$lease_until", "$$NOW"]}}
    return (document["_id"] for document in database.claims.find(running, {"_id": 1}))
