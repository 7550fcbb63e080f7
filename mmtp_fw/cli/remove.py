"""`mmtp delete` and `mmtp clean`: say what would go, ask, and remove it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import console, print_json, table

if TYPE_CHECKING:
    from mmtp_fw.workflows.clean import LaunchDirectory

YesOption = Annotated[bool, typer.Option("--yes", help="Do it, without a question.")]


def delete(
    campaign: Annotated[str, typer.Argument(help="Name of a finished or cancelled campaign.")],
    yes: YesOption = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a campaign with all that only it uses; labels that another campaign shares stay."""
    from mmtp_fw.database.deletion import delete as carry_out
    from mmtp_fw.database.deletion import deletion_of

    with open_database(launchpad) as database:
        found = deletion_of(database, campaign)
        if not as_json:
            console().print(table(["Goes", ">Documents"], list(found.counts.items())))
            print(f"{len(found.handed_on)} configurations stay with their labels, for other campaigns use them")
            if not yes:
                typer.confirm(f"Delete {campaign}? `mmtp archive create` would keep a copy.", abort=True)
        if yes or not as_json:
            carry_out(database, found)
    told = {"campaign": campaign, "documents": found.counts, "stay": len(found.handed_on)}
    if as_json:
        print_json(told | {"deleted": yes})
    else:
        print(f"deleted: {campaign}")


def clean(
    below: Annotated[Path, typer.Argument(metavar="[DIRECTORY]", help="Where workers make them.")] = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also those of tasks that fizzled.")] = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """List launch directories of this database that are no longer of use; remove them with --yes."""
    from mmtp_fw.workflows.clean import launch_directories, remove

    with open_database(launchpad) as database:
        found = launch_directories(database, below, everything)
        removed = [one for one in found if yes and remove(database, one)]
    if as_json:
        rows = [{"path": one.path, "bytes": one.size, "action": one.action, "kept": one.kept} for one in found]
        print_json({"directories": rows, "removed": [one.path for one in removed]})
    else:
        _show(found, removed, yes)


def _show(found: Sequence[LaunchDirectory], removed: Sequence[LaunchDirectory], yes: bool) -> None:
    for one in found:
        print(f"{one.size / 1e6:9.1f} MB  {one.path}" + (f"  stays: {one.kept}" if one.kept else ""))
    going = removed if yes else [one for one in found if not one.kept]
    told = f"{sum(one.size for one in going) / 1e6:.1f} MB; {len(found) - len(going)} stay"
    print(f"{len(going)} removed, {told}" if yes else f"{len(going)} may go, {told}; --yes removes them")
