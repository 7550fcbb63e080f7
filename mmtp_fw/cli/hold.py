"""`mmtp pause`, `mmtp cancel`, `mmtp resume`: nothing new of a campaign starts, until it is to go on."""

from __future__ import annotations

from typing import Annotated

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import print_json

CampaignArgument = Annotated[str, typer.Argument(help="Name of the campaign.")]
WhyOption = Annotated[str, typer.Option(help="For those who wonder; kept.")]


def pause(
    campaign: CampaignArgument, why: WhyOption = "", launchpad: LaunchpadOption = None, as_json: JsonOption = False
) -> None:
    """Let nothing new of a campaign start; running tasks end by themselves, its workers wait."""
    _hold(campaign, "paused", why, launchpad, as_json)


def cancel(
    campaign: CampaignArgument, why: WhyOption = "", launchpad: LaunchpadOption = None, as_json: JsonOption = False
) -> None:
    """Stop a campaign: nothing new starts, running tasks end by themselves, its workers end; nothing is deleted."""
    _hold(campaign, "cancelled", why, launchpad, as_json)


def resume(campaign: CampaignArgument, launchpad: LaunchpadOption = None, as_json: JsonOption = False) -> None:
    """Go on with a campaign that was paused or cancelled."""
    from mmtp_fw.workflows.hold import resume as go_on

    with open_database(launchpad) as database:
        position = go_on(database, campaign)
    if as_json:
        print_json({"campaign": campaign, "due": [action.key for action in position.due]})
    else:
        print(
            f"{campaign} goes on at iteration {position.iteration}, {position.phase.value}; `mmtp worker` works on it"
        )


def _hold(campaign: str, state: str, why: str, launchpad: str | None, as_json: bool) -> None:
    from mmtp_fw.workflows.hold import hold

    with open_database(launchpad) as database:
        running = hold(database, campaign, state, why)
    if as_json:
        print_json({"campaign": campaign, "state": state, "running": running})
    else:
        print(f"{campaign} is {state}; {running} running tasks end by themselves; `mmtp resume {campaign}` goes on")
