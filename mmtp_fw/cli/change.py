"""`mmtp set`: other settings for a campaign that is there."""

from __future__ import annotations

from typing import Annotated

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import print_json


def set_(
    campaign: Annotated[str, typer.Argument(help="Name of the campaign.")],
    assignments: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE…", help="As md.steps=5000 or system.lattice_parameters_A=[3.7,3.8]."),
    ],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change settings of a campaign: from its next round on, limits at once; a finished one goes on."""
    from mmtp_fw.database import queries
    from mmtp_fw.workflows.change import change_settings
    from mmtp_fw.workflows.submit import advance

    with open_database(launchpad) as database:
        entry = change_settings(database, campaign, assignments)
        position = advance(database, campaign)
        held = queries.held(database, campaign)
    if as_json:
        print_json(
            {"campaign": campaign, **{name: entry[name] for name in ("when", "user", "from_iteration", "changed")}}
        )
        return
    for key, (old, new) in entry["changed"].items():
        print(f"{key}: {old} → {new}")
    print(f"from round {entry['from_iteration']} on; limits at once")
    if held is not None:
        print(f"{campaign} is {queries.held_words(held)}: `mmtp resume {campaign}` goes on")
    elif position.stop is not None:
        from mmtp_fw.loop.stop import explain

        print(f"it only ends anew: {explain(position.stop)}")
    else:
        print(f"{campaign} is at iteration {position.iteration}, {position.phase.value}; `mmtp worker` works on it")
