"""`mmtp report`: the page and the summary of a campaign, finished or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, only_campaign, open_database
from mmtp_fw.cli.output import print_json


def report(
    campaign: Annotated[str | None, typer.Argument(help="Name; default: the newest.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory of the report.")] = Path("report"),
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a campaign's report: index.html, which needs nothing beside it, summary.json, figures, tables."""
    from mmtp_fw.report import gather_report, write_report

    with open_database(launchpad) as database:
        data = gather_report(database, only_campaign(database, campaign))
    page = write_report(data, output)
    if as_json:
        print_json({**data["summary"], "report": str(page.resolve())})
    else:
        print(data["conclusion"]["headline"])
        print(page.resolve())
