"""`mmtp taint` and `mmtp reject`: what rests on a label, and taking one back. `mmtp compare`: two potentials."""

from __future__ import annotations

from typing import Annotated

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import console, pairs, print_json, table

compare = typer.Typer(help="Put two things of a kind beside each other.", no_args_is_help=True)
LabelArgument = Annotated[
    str, typer.Argument(metavar="LABEL", help="Number or start of the hash of its configuration, or its key.")
]


def taint(which: LabelArgument, launchpad: LaunchpadOption = None, as_json: JsonOption = False) -> None:
    """List everything that rests on a label: potentials, MD runs, configurations, labels, properties."""
    from mmtp_fw.database.taint import taint as closure

    with open_database(launchpad) as database:
        found = closure(database, which)
    if as_json:
        print_json(found)
        return
    told = {"configuration": found["configuration"], "its labels": ", ".join(found["calculations"])}
    for name in ("versions", "members", "md_runs", "configurations", "labels", "properties"):
        items = found[name]
        told[name.replace("_", " ")] = f"{len(items)}" + (f": {', '.join(map(str, items))}" if items else "")
    console().print(pairs(told))


def reject(
    which: LabelArgument,
    why: Annotated[str, typer.Option(help="The reason, which is kept.")],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an accepted label back: no later fit uses it; its numbers, and who rejected it, stay."""
    from mmtp_fw.database.taint import reject as take_back
    from mmtp_fw.database.taint import taint as closure

    with open_database(launchpad) as database:
        rejected = take_back(database, which, why)
        found = closure(database, which)
    if as_json:
        print_json({"rejected": rejected, "taint": found})
        return
    for key in rejected:
        print(f"rejected: {key}")
    resting = [
        f"{len(found['versions'])} versions",
        f"{len(found['md_runs'])} MD runs",
        f"{len(found['labels'])} labels",
    ]
    print(f"resting on it: {', '.join(resting)}")


@compare.command("potential")
def potential(
    first: Annotated[str, typer.Argument(metavar="A", help="Version.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Version.")],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: form, weights, errors, and which labels only one was trained on."""
    from mmtp_fw.database import comparison

    with open_database(launchpad) as database:
        found = comparison.potentials(database, first, second)
    if as_json:
        print_json(found)
        return
    rows = [(name, *values) for name, values in found["facts"].items()] + [("loss", *found["loss"])]
    for part in ("weights", "errors", "validation_errors"):
        rows += [(f"{part.replace('_', ' ')}: {name}", *values) for name, values in found[part].items()]
    screen = console()
    screen.print(table(["", f">{found['versions'][0]}", f">{found['versions'][1]}"], rows))
    print(
        f"\n{found['shared']} labels of both; {len(found['moved'])} of them on other sides of training and validation"
    )
    for version, part in zip(found["versions"], ("only_first", "only_second"), strict=True):
        numbers = ", ".join(str(row["configuration"]) for row in found[part])
        print(f"{len(found[part])} labels of {version} only" + (f": {numbers}" if numbers else ""))
