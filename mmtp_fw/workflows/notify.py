"""Telling a person: a command or a web address is called when a campaign ends, stalls, or fails again and again."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from datetime import UTC, datetime

from mmtp_fw import log
from mmtp_fw.campaign import Campaign, NotifySettings
from mmtp_fw.database import Database, views
from mmtp_fw.loop.gather import campaign_settings

_LOG = log.logger(__name__)

PAUSE_SECONDS = 3600
"""Least time between two calls for the same event, the end apart; and how long nothing may be finished (s)."""
COMMAND_SECONDS, URL_SECONDS = 60.0, 10.0


def notify(database: Database, campaign_id: str, event: str, message: str) -> bool:
    """Call what a campaign's settings name for an event; return whether something was called.

    At most once by whoever comes first. What is called may fail: that is logged, and nothing else.

    Parameters
    ----------
    database : Database
        An open database.
    campaign_id : str
        The campaign's name.
    event : str
        "end", "stall", "failure" or "fault".
    message : str
        One line.
    """
    settings = campaign_settings(database, campaign_id).notify
    if event not in settings.events or not (settings.command or settings.url):
        return False
    if not _is_first(database, campaign_id, event):
        return False
    _call(settings, campaign_id, event, message)
    return True


def notify_stall(database: Database, campaign: Campaign) -> bool:
    """Tell that nothing of a campaign is finished any more, if so; return whether that was told."""
    if not (campaign.notify.command or campaign.notify.url) or views.running(database, campaign.name):
        return False
    newest = database.actions.find_one(
        {"campaign": campaign.name}, {"finished": 1, "created": 1}, sort=[("finished", -1)]
    )
    if newest is None:
        return False
    last = (newest.get("finished") or newest["created"]).replace(tzinfo=UTC)
    now: datetime = database.db.command("hello")["localTime"].replace(tzinfo=UTC)
    idle = (now - last).total_seconds()
    if idle < PAUSE_SECONDS:
        return False
    return notify(database, campaign.name, "stall", f"nothing was finished for {idle / 3600:.1f} h, nobody is at work")


def _is_first(database: Database, campaign_id: str, event: str) -> bool:
    """Note the call by the server's clock; return False where another call for the event was too short a time ago."""
    query: dict[str, object] = {"_id": campaign_id}
    if event != "end":
        last = {"$ifNull": [f"$notified.{event}", datetime.fromtimestamp(0, UTC)]}
        query["$expr"] = {"$gt": [{"$subtract": ["$$NOW", last]}, 1000 * PAUSE_SECONDS]}
    done = database.campaigns.update_one(query, [{"$set": {f"notified.{event}": "$$NOW"}}])
    return done.matched_count == 1


def _call(settings: NotifySettings, campaign_id: str, event: str, message: str) -> None:
    told = {"campaign": campaign_id, "event": event, "message": message}
    if settings.command:
        environment = {f"MMTP_{name.upper()}": value for name, value in told.items()}
        try:
            subprocess.run(
                ["/bin/sh", "-c", settings.command],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                timeout=COMMAND_SECONDS,
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            _LOG.warning("notify.command failed: %s", error)
    if settings.url:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(settings.url, json.dumps(told).encode(), headers)
        try:
            urllib.request.urlopen(request, timeout=URL_SECONDS).close()
        except (OSError, ValueError) as error:
            _LOG.warning("notify.url failed: %s", error)
