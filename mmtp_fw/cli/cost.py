"""`mmtp cost`: core hours that were spent."""

from __future__ import annotations

from typing import Annotated

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, only_campaign, open_database
from mmtp_fw.cli.output import console, print_json, table


def cost(
    campaign: Annotated[str | None, typer.Argument(help="Name; default: all campaigns.")] = None,
    by: Annotated[
        str | None, typer.Option(help="stage, engine, site, campaign or user; default: each of them.")
    ] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the core hours that were spent, by stage of the work, engine, site, campaign and user."""
    from mmtp_fw.database.spent import BY, spent, totals
    from mmtp_fw.errors import InputError

    if by is not None and by not in BY:
        raise InputError(f"--by {by}: core hours are not asked by that", f"one of {', '.join(BY)}")
    with open_database(launchpad) as database:
        found = spent(database, None if campaign is None else only_campaign(database, campaign))
    asked = BY if by is None else (by,)
    if as_json:
        print_json({**found, "by": {name: totals(found["rows"], name) for name in asked}})
        return
    screen = console()
    for name in asked:
        rows = [(row[name], row["count"], row["core_hours"]) for row in totals(found["rows"], name)]
        screen.print(table([name.capitalize(), ">Count", ">Core hours"], rows))
        screen.print()
    print(f"{found['core_hours']:.4g} core hours")
    if found["without_end"]:
        print(f"not in it: {found['without_end']} actions with an attempt that was killed or still computes")
    if found["not_recorded"]:
        print(f"not in it: {found['not_recorded']} actions of earlier versions, which did not note who computed them")
