"""What all Firetasks have in common: find the fact done, claim, compute, journal, write once, advance.

A task that is killed anywhere in between leaves nothing half done: before the write there is at most a
journal entry and a lease that runs out, after it the fact stands and any process may advance.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pymongo.client_session import ClientSession

from mmtp_fw import log
from mmtp_fw.campaign import Campaign
from mmtp_fw.database import Claim, Database, queries
from mmtp_fw.database.collections import upserted
from mmtp_fw.database.process import owner_name
from mmtp_fw.errors import LeaseLostError
from mmtp_fw.execution import Execution
from mmtp_fw.firetasks import executions
from mmtp_fw.firetasks.faults import fault_of
from mmtp_fw.firetasks.giving_back import leave_to_another, note_fault, note_not_here
from mmtp_fw.firetasks.journal import Journal
from mmtp_fw.firetasks.signals import graceful_stop
from mmtp_fw.loop.facts import FAILED, Action, Kind
from mmtp_fw.loop.gather import settings_of
from mmtp_fw.loop.stop import explain
from mmtp_fw.workflows.health import HEALTH
from mmtp_fw.workflows.notify import notify
from mmtp_fw.workflows.submit import add_workflows, advance_after, stored_action

_LOG = log.logger(__name__)


@dataclass(frozen=True)
class Context:
    """What a piece of work may use.

    Attributes
    ----------
    database : Database
        To read from; results are written by `Work.store` only.
    campaign : Campaign
        The settings.
    action : Action
        What is to be done.
    directory : Path
        An empty directory of this launch.
    should_stop : callable
        True when the worker was asked to end or its lease is lost: return `INTERRUPTED` then.
    execution : Execution, optional
        Who computes, where and with what; in `Work.store` with its end. None where nobody asks for it.
    """

    database: Database
    campaign: Campaign
    action: Action
    directory: Path
    should_stop: Callable[[], bool]
    execution: Execution | None = None

    @property
    def executed(self) -> dict[str, Any] | None:
        """The execution as documents hold it."""
        return None if self.execution is None else self.execution.model_dump()


@dataclass(frozen=True)
class Computed:
    """What the journal keeps: the payload of `Work.compute`, and who computed it."""

    payload: Any
    execution: Execution | None = None


INTERRUPTED = None
"""What `Work.compute` returns when it stopped because `Context.should_stop` said so."""


_SAID = {
    "done": "done",
    "found done": "its fact is there already",
    "claimed by another": "left alone: another worker has it",
    "interrupted": "given back, for this worker was asked to end: another goes on with it",
    "not here": "given back",
    "machine fault": "given back, for this machine failed: no attempt is counted",
    "left to another": "given back: all its attempts were this worker's, and there is another",
    "withdrawn": "left alone: it is no longer wanted",
    "held": "left alone: its campaign is paused or cancelled",
}


_OFFERED_AGAIN = ("interrupted", "not here", "machine fault", "left to another")


class ClaimedElsewhereError(Exception):
    """`Work.compute` found that another action is at the very same calculation: come back later."""


class NotHereError(Exception):
    """`Work.compute` found that this machine lacks what it takes, a program or its data: another one may have it."""


class Work(Protocol):
    """The two halves of a task: everything long in `compute`, everything that lasts in `store`."""

    def compute(self, context: Context) -> Any:
        """Return a payload that can be pickled, or `INTERRUPTED`."""
        ...

    def store(self, context: Context, payload: Any, session: ClientSession) -> Mapping[str, Any]:
        """Write `payload` in the transaction of `session`; return the result for the planner."""
        ...


def run_action(database: Database, key: str, work: Work) -> str:
    """Carry out the action `key` unless its fact is there, and advance its campaign.

    Parameters
    ----------
    database : Database
        An open database.
    key : str
        Key of a planned action.
    work : Work
        What does it.

    Returns
    -------
    str
        "done", "found done", "claimed by another", "interrupted", "not here", "machine fault", "left to another",
        "withdrawn" or "held".

    Raises
    ------
    Exception
        Whatever `work` raised, after it was noted; the last permitted attempt also writes a failed fact, so
        that the campaign goes on without it.
    """
    action = stored_action(database, key)
    campaign_id = key.split("/", 1)[0]
    with log.about(campaign=campaign_id, action=key, worker=owner_name()):
        closed = _closed(database, key)
        if closed == "found done":
            _journal(database, key).clear()  # whoever wrote the fact may have died before it could
        ended = closed or _attempt(database, campaign_id, action, work)
        if ended in _OFFERED_AGAIN:
            add_workflows(database, campaign_id, [action])
        _LOG.info(_SAID[ended])
        if ended in ("done", "found done"):
            advance_after(database, action)
        if ended == "done" and action.kind is Kind.REPORT:
            notify(database, campaign_id, "end", f"campaign {campaign_id} has ended: {explain(action.params['stop'])}")
    return ended


def _attempt(database: Database, campaign_id: str, action: Action, work: Work) -> str:
    campaign = settings_of(database, action)
    claim = Claim.take(database, action.key, owner_name(), campaign.workers.lease_seconds)
    if claim is None:
        return "claimed by another"
    with graceful_stop() as stop, claim:
        context = Context(database, campaign, action, Path.cwd(), should_stop=lambda: stop() or claim.lost)
        if (closed := _closed(database, action.key)) is not None:  # between our first look and the claim
            return closed
        if leave_to_another(database, action, campaign.budget.max_attempts, context.should_stop):
            return "left to another"
        ended = "failed"
        try:
            context = replace(context, execution=executions.begin(database, campaign, action, claim.fence))
            ended = _compute_and_store(context, claim, work)
        except LeaseLostError as error:
            _LOG.warning("nothing is written: %s", error)
            ended = "lease lost"
            return "claimed by another"
        except ClaimedElsewhereError:
            ended = "claimed by another"
            return ended
        except NotHereError as error:
            note_not_here(database, action, str(error), context.should_stop)
            ended = "not here"
        except Exception as error:
            fault = fault_of(error, context.directory)
            if fault is None:
                HEALTH.done(action.category.value)
                _note_failure(context, claim, traceback.format_exc())
                raise
            note_fault(database, action, fault, error, context.should_stop)
            ended = "machine fault"
        finally:
            executions.end(context.database, action, claim.fence, ended)
    return ended


def _compute_and_store(context: Context, claim: Claim, work: Work) -> str:
    key = context.action.key
    journal = _journal(context.database, key)
    found = journal.load()
    computed = found if found is None or isinstance(found, Computed) else Computed(found)  # by an earlier release
    if computed is None:
        _LOG.info("begun")
        payload = work.compute(context)
        if payload is INTERRUPTED:
            return "interrupted"
        execution = None if context.execution is None else context.execution.ended_now("done")
        computed = Computed(payload, execution)
        journal.save(computed)
    else:
        _LOG.warning("its result is in the journal of this machine, and is only written")

    at_end = replace(context, execution=computed.execution)

    def write(session: ClientSession) -> None:
        result = dict(work.store(at_end, computed.payload, session))
        _write_fact(context.database, key, {"outcome": "done"} | result, session)

    claim.commit(write)
    journal.clear()
    HEALTH.done(context.action.category.value)
    return "done"


def _note_failure(context: Context, claim: Claim, text: str) -> None:
    """Record an exception; try again in another launch, or write the failed fact after the last attempt."""
    database, action = context.database, context.action
    _journal(database, action.key).clear()  # a payload that can't be stored is of no use
    note = {"owner": owner_name(), "text": text[-8000:]}
    document = database.actions.find_one_and_update(
        {"_id": action.key}, {"$push": {"errors": note}}, projection={"errors": 1}, return_document=True
    )
    campaign_id = action.key.split("/", 1)[0]
    attempts, most = len((document or {}).get("errors", ())), context.campaign.budget.max_attempts
    reason = text.strip().splitlines()[-1][:500]
    if attempts < most:
        _LOG.warning("attempt %d of %d failed, tried again: %s", attempts, most, reason)
        add_workflows(database, campaign_id, [action])
        return
    _LOG.error("failed in all of its %d attempts: %s", most, reason)
    claim.commit(lambda session: _write_fact(database, action.key, {"outcome": FAILED, "reason": reason}, session))
    advance_after(database, action)
    notify(database, campaign_id, "failure", f"{action.key} failed in all of its {most} attempts: {reason}")


def _write_fact(database: Database, key: str, result: Mapping[str, Any], session: ClientSession) -> None:
    database.actions.update_one(
        {"_id": key, "result": None},
        [{"$set": {"result": {"$literal": dict(result)}, "finished": "$$NOW"}}],
        session=session,
    )


def _journal(database: Database, key: str) -> Journal:
    """Return the journal of an action of this very database: one that is deleted takes its journals along."""
    document = upserted(database.meta, "instance", {"$setOnInsert": {"value": uuid.uuid4().hex}})
    return Journal(document["value"], key)


def _closed(database: Database, key: str) -> str | None:
    """Return why nothing is to be done about an action; None where something is."""
    document = database.actions.find_one({"_id": key}, {"result.outcome": 1, "withdrawn": 1}) or {}
    if document.get("withdrawn") is not None:
        return "withdrawn"
    if document.get("result") is not None:
        return "found done"
    return "held" if queries.held(database, key.split("/", 1)[0]) is not None else None
