"""Reconcile and advance: what every worker does now and then, so that no campaign needs a keeper."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from mmtp_fw import log
from mmtp_fw.database import Database, queries
from mmtp_fw.database.claims import release_dead
from mmtp_fw.database.collections import upserted
from mmtp_fw.errors import InputError
from mmtp_fw.loop.gather import campaign_settings
from mmtp_fw.loop.planner import Position
from mmtp_fw.loop.reconcile import Mended, reconcile
from mmtp_fw.workflows.notify import notify_stall
from mmtp_fw.workflows.submit import add_workflows, advance, stored_action

_LOG = log.logger(__name__)


def mend(database: Database, campaign_id: str, grace_seconds: float = 60.0) -> tuple[list[Mended], Position]:
    """Mend one campaign and plan what is due; one that is paused or cancelled is left as it is.

    Parameters
    ----------
    database : Database
        An open database.
    campaign_id : str
        The campaign's name.
    grace_seconds : float
        See `mmtp_fw.loop.reconcile.reconcile`; 0 only while no worker is alive.

    Returns
    -------
    list of Mended
        What was mended.
    Position
        Where the campaign stands.
    """

    def resubmit(key: str) -> None:
        add_workflows(database, campaign_id, [stored_action(database, key)])

    release_dead(database)
    if queries.held(database, campaign_id) is not None:
        return [], advance(database, campaign_id)
    with log.about(campaign=campaign_id):
        mended = reconcile(database, campaign_id, resubmit, grace_seconds)
        for item in mended:
            _LOG.warning("mended: %s (%s)", item.damage.value, item.key, extra={"damage": item.damage.name})
        return mended, advance(database, campaign_id)


def mend_all(database: Database, grace_seconds: float = 60.0) -> list[Mended]:
    """Mend every campaign that is neither finished nor held; return what was mended.

    One whose settings this version does not understand is left to others.
    """
    mended: list[Mended] = []
    for document in database.campaigns.find({"finished": None, "held": None}, {"_id": 1}):
        try:
            notify_stall(database, campaign_settings(database, document["_id"]))
            mended += mend(database, document["_id"], grace_seconds)[0]
        except InputError as error:
            _LOG.warning("not mended: %s", error, extra={"campaign": document["_id"]})
    return mended


def is_our_turn(database: Database, pause_seconds: float) -> bool:
    """Return whether to call `mend_all` now: one worker does it for all, by the server's clock.

    Parameters
    ----------
    database : Database
    pause_seconds : float
        How long nobody else is to do it (s): a worker that dies at it keeps the others from it no longer than that.
    """
    turn = uuid.uuid4().hex
    over = {"$lte": [{"$ifNull": ["$until", datetime.fromtimestamp(0, UTC)]}, "$$NOW"]}
    until = {"$add": ["$$NOW", round(1000 * pause_seconds)]}
    ours = {"until": {"$cond": [over, until, "$until"]}, "value": {"$cond": [over, turn, "$value"]}}
    return bool(upserted(database.meta, "mending", [{"$set": ours}])["value"] == turn)
