"""`mmtp show`: the whole history of one thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, only_campaign, open_database
from mmtp_fw.cli.output import console, print_json
from mmtp_fw.errors import InputError

if TYPE_CHECKING:
    from mmtp_fw.database import Database

app = typer.Typer(help="The whole history of a configuration, potential, MD run or campaign.", no_args_is_help=True)


@app.command()
def configuration(
    which: Annotated[str, typer.Argument(metavar="ID", help="Number, or the start of the hash.")],
    figure: Annotated[
        Path | None, typer.Option(help="Draw energy and moments of its label against 1/λ: .png, .pdf or .svg.")
    ] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a configuration: where it came from, every stage of its labels, every potential trained on it."""
    from mmtp_fw.cli import histories
    from mmtp_fw.database import history

    if figure is None:
        _show(launchpad, lambda db: history.configuration(db, which), histories.configuration, as_json)
        return
    from mmtp_fw.report.label_figure import write_label_figure

    with open_database(launchpad) as database:
        found = history.configuration(database, which)
    if not found["calculations"]:
        raise InputError(f"configuration {which} has no label yet", "`mmtp find --status accepted` lists labels")
    calculation, about = found["calculations"][-1], found["configuration"]
    quality = (calculation.get("quality") or {}).get("grade")
    parts = [f"Configuration {about['number']}", about["formula"], calculation["engine"], calculation["status"]]
    write_label_figure(calculation, figure, ", ".join(parts + ([f"quality {quality}"] if quality else [])))
    if as_json:
        print_json({"path": str(figure.resolve()), "calculation": calculation["_id"]})
    else:
        print(figure)


@app.command()
def potential(
    which: Annotated[str, typer.Argument(metavar="VERSION")],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a version of the potential: parents, training set, errors, and what was done with it."""
    from mmtp_fw.cli import histories
    from mmtp_fw.database import history

    _show(launchpad, lambda db: history.potential(db, which), histories.potential, as_json)


@app.command()
def md(
    which: Annotated[str, typer.Argument(metavar="ID", help="Number, or the start of the key.")],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a trajectory: how it was run, how it ended, what was selected from it."""
    from mmtp_fw.cli import histories
    from mmtp_fw.database import history

    _show(launchpad, lambda db: history.md_run(db, which), histories.md_run, as_json)


@app.command()
def campaign(
    which: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Default: the newest.")] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a campaign: settings, rounds, labels, potentials, properties."""
    from mmtp_fw.cli import histories
    from mmtp_fw.database import history

    _show(launchpad, lambda db: history.campaign(db, only_campaign(db, which)), histories.campaign, as_json)


def _show(
    launchpad: str | None,
    ask: Callable[[Database], dict[str, Any]],
    draw: Callable[[dict[str, Any]], Any],
    as_json: bool,
) -> None:
    with open_database(launchpad) as database:
        answer = ask(database)
    if as_json:
        print_json(answer)
        return
    screen = console()
    for part in draw(answer):
        screen.print(part)
