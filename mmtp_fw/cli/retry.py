"""`mmtp retry`: what failed is tried again."""

from __future__ import annotations

from typing import Annotated

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, only_campaign, open_database
from mmtp_fw.cli.output import print_json


def retry(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="Key of a failed action.")] = None,
    campaign: Annotated[str | None, typer.Option(help="All that failed in this campaign.")] = None,
    reason: Annotated[str | None, typer.Option(help="All that failed for a reason with this text.")] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try failed actions again, with all their attempts; what is known of their failure is kept."""
    from mmtp_fw.errors import InputError
    from mmtp_fw.workflows.retry import retry as try_again

    with open_database(launchpad) as database:
        if campaign is not None:
            only_campaign(database, campaign)
        done = try_again(database, key, campaign, reason)
    if as_json:
        print_json({"reopened": done.reopened, "refused": done.refused})
    else:
        for name in done.reopened:
            print(f"tried again: {name}")
        for name, why in done.refused.items():
            print(f"stays failed: {name}: {why}")
    if done.refused and not done.reopened:
        name, why = next(iter(done.refused.items()))
        raise InputError(
            f"{name} can't be tried again: {why}",
            "a campaign of another name finds every label that is there, and computes the rest",
        )
    if not as_json:
        print(f"{len(done.reopened)} tried again, {len(done.refused)} stay; `mmtp worker` works on them")
