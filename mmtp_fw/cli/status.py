"""`mmtp status`: where campaigns stand."""

from __future__ import annotations

from typing import Annotated

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, only_campaign, open_database
from mmtp_fw.cli.output import console, print_json, table


def status(
    campaign: Annotated[str | None, typer.Argument(help="Name; default: all, and the newest in detail.")] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell where a campaign stands: iteration, running work, selections, errors, labels spent."""
    from mmtp_fw.database import views
    from mmtp_fw.report.snapshot import snapshot

    with open_database(launchpad) as database:
        lines = views.campaigns(database) if campaign is None else []
        if campaign is None and not lines:
            if as_json:
                print_json({"campaigns": []})
            else:
                print("no campaigns in this database; `mmtp run` starts one")
            return
        state = snapshot(database, only_campaign(database, campaign))
    if as_json:
        print_json({"campaigns": lines, "newest": state} if campaign is None else state)
        return
    from mmtp_fw.cli.progress import panel

    screen = console()
    if len(lines) > 1:
        rows = [
            (
                line["campaign"],
                line["created"],
                line["held"] or line["stop"] or "under way",
                line["actions"] - line["open"],
                line["open"],
            )
            for line in lines
        ]
        screen.print(table(["Campaign", "Started", "State", ">Done", ">Open"], rows))
        screen.print()
    screen.print(panel(state))
