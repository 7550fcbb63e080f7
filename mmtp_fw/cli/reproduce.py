"""`mmtp reproduce`: recorded work once more."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import console, print_json, table


def reproduce(
    key: Annotated[str, typer.Argument(help="Key of an action or of a calculation, or label:17, potential:5, md:22.")],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Repeat a label, fit, MD run or property from the database alone; exit code 1 where something differs."""
    from mmtp_fw.firetasks.reproduce import reproduce as repeat

    with open_database(launchpad) as database:
        found = repeat(database, key)
    if as_json:
        print_json(asdict(found) | {"equal": found.equal})
    else:
        rows = [(row.what, "equal" if row.equal else "differs", row.difference) for row in found.rows]
        console().print(table([found.key, "", ">Largest difference"], rows))
        if found.environment is None:
            print("\nno environment was recorded with it: it is of an earlier version of mmtp_fw")
        elif found.environment:
            print()
            differing = [(name, *values) for name, values in found.environment.items()]
            console().print(table(["Environment", "then", "here"], differing))
        print("\nall equal" if found.equal else "\nnot equal")
    if not found.equal:
        raise typer.Exit(1)
