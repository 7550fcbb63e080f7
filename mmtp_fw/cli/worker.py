"""`mmtp worker`: carries out work of any campaign, and mends what crashed workers left."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmtp_fw.cli.options import LaunchpadOption, open_database


class WorkKind(StrEnum):
    """Kinds of work; see `mmtp_fw.loop.facts.Category`."""

    MD = "md"
    DFT = "dft"
    FIT = "fit"
    LIGHT = "light"


def worker(
    category: Annotated[list[WorkKind] | None, typer.Option(help="Kind of work; repeat; default: all.")] = None,
    campaign: Annotated[str | None, typer.Option(help="End when this campaign is finished.")] = None,
    directory: Annotated[Path, typer.Option(help="Where launch directories are made.")] = Path("runs"),
    launchpad: LaunchpadOption = None,
) -> None:
    """Pull and carry out work until Ctrl-C (or SIGTERM, as batch systems send it)."""
    from mmtp_fw.cli.options import launchpad_file, only_campaign
    from mmtp_fw.workflows.reconnect import opener
    from mmtp_fw.workflows.worker import Stop, run_worker

    stop = Stop()
    with open_database(launchpad) as database:
        if campaign is not None:
            only_campaign(database, campaign)
        stop.listen()
        kinds = ", ".join(kind.value for kind in category or ()) or "all"
        told = f"worker on {repr(database).strip('<>')} for {kinds} work; Ctrl-C ends it after the task at hand"
        print(told, flush=True)  # a batch system's file would have it at the end only
        reopen = opener(launchpad_file(launchpad))
        run_worker(database, [kind.value for kind in category or ()], directory, campaign, stop, reopen=reopen)
