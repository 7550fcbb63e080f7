"""What a campaign waits for, and what to type about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mmtp_fw.database import Database, queries, workers
from mmtp_fw.labelling import FAILED

_STATES = ("READY", "RUNNING", "RESERVED", "PAUSED", "DEFUSED")
"""States of a Firework, the one that counts first: an action may have had several Fireworks."""


def waiting(
    database: Database,
    campaign_id: str,
    held: Mapping[str, Any] | None,
    unfinished: Sequence[Mapping[str, Any]],
    running: Sequence[str],
    awaited: Sequence[str] = (),
) -> dict[str, Any]:
    """Return how the unfinished actions of a campaign wait.

    Parameters
    ----------
    database : Database
    campaign_id : str
        The campaign's name.
    held : mapping or None
        Its field of that name.
    unfinished : sequence of mapping
        Its unfinished actions: _id, category.
    running : sequence of str
        Keys of those that are worked on.
    awaited : sequence of str
        Files of labels that the campaign begins with and that were not read yet.

    Returns
    -------
    dict
        fireworks: number of unfinished actions that nobody works on by the state of their Firework, "none" without one;
        nobody: number of actions that are ready by kind of work that no known worker takes; hints: lines that say what
        is wrong and what to type.
    """
    states, numbers = _states(database, [action["_id"] for action in unfinished])
    busy = set(running)
    idle = [action for action in unfinished if action["_id"] not in busy]
    counts = Counter(states.get(action["_id"], "none") for action in idle)
    ready = Counter(action["category"] for action in idle if states.get(action["_id"]) == "READY")
    taken = {action["category"] for action in unfinished if action["_id"] in busy}
    nobody = {} if held is not None else _nobody(database, ready, taken)
    failed = database.actions.count_documents({"campaign": campaign_id, "result.outcome": FAILED})
    hints = list(_hints(campaign_id, held, counts, nobody, numbers, failed))
    if awaited:
        hints.append(f"waits for {', '.join(awaited)}: `mmtp submit` the campaign's file again, from where they are")
    return {"fireworks": dict(counts), "nobody": nobody, "hints": hints}


def _nobody(database: Database, ready: Mapping[str, int], taken: set[str]) -> dict[str, int]:
    """Return the ready work of each kind that nobody is known to take."""
    return {kind: n for kind, n in ready.items() if kind not in taken and not workers.alive(database, kind)}


def _states(database: Database, keys: Sequence[str]) -> tuple[dict[str, str], dict[str, list[int]]]:
    """Return the state of every action's Firework, and the numbers of the Fireworks by state."""
    found: dict[str, set[str]] = defaultdict(set)
    numbers: dict[str, list[int]] = defaultdict(list)
    wanted = {"spec.action": 1, "state": 1, "fw_id": 1, "_id": 0}
    for firework in database.launchpad.fireworks.find({"spec.action": {"$in": list(keys)}}, wanted):
        found[firework["spec"]["action"]].add(firework["state"])
        numbers[firework["state"]].append(firework["fw_id"])
    return {key: next((state for state in _STATES if state in of), "FIZZLED") for key, of in found.items()}, numbers


def _hints(
    campaign_id: str,
    held: Mapping[str, Any] | None,
    counts: Mapping[str, int],
    nobody: Mapping[str, int],
    numbers: Mapping[str, list[int]],
    failed: int,
) -> list[str]:
    """Return a line for each thing that a person may mend."""
    if held is not None:
        return [f"{queries.held_words(held)}: `mmtp resume {campaign_id}` goes on"]
    lines = [
        f"{number} {category} waiting for nobody: no known worker takes it; `mmtp worker --category {category}`"
        for category, number in sorted(nobody.items())
    ]
    told = {
        "RESERVED": "reserved for jobs in a queue; `lpad detect_unreserved --rerun` puts back what no queue has",
        "PAUSED": "set aside by somebody; `lpad resume_fws -i {}`",
        "DEFUSED": "set aside by somebody; `lpad reignite_fws -i {}`",
        "FIZZLED": "fizzled; `mmtp db check` puts them back, `lpad get_fws -i {} -d more` tells why",
        "none": "without a Firework; `mmtp db check` adds them",
    }
    for state, words in told.items():
        if counts.get(state):
            some = " ".join(map(str, sorted(numbers.get(state, []))[-3:]))
            lines.append(f"{counts[state]} {words.format(some)}")
    if failed:
        lines.append(f"{failed} failed; `mmtp retry --campaign {campaign_id}` tries them again")
    return lines
