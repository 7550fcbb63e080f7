"""`mmtp find`: configurations and their labels by what they are."""

from __future__ import annotations

from typing import Annotated

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import console, print_json, table
from mmtp_fw.labelling import LABEL_STATES, RUNNING, Grade

_STATES = (*LABEL_STATES, RUNNING)
_QUALITIES = tuple(grade.value for grade in Grade)


def find(
    campaign: Annotated[str | None, typer.Option(help="Campaign that generated or selected it.")] = None,
    formula: Annotated[str | None, typer.Option(help="Chemical formula, as Fe22Pd10.")] = None,
    status: Annotated[str | None, typer.Option(help=f"Of its label: {', '.join(_STATES)}.")] = None,
    engine: Annotated[str | None, typer.Option(help="DFT engine, as campaign.yaml names it.")] = None,
    quality: Annotated[str | None, typer.Option(help="Of the label: A, B or C.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows, the newest first.")] = 50,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """List configurations with their labels; every condition given must hold."""
    from mmtp_fw.database.queries import find_configurations
    from mmtp_fw.errors import InputError

    if status is not None and status not in _STATES:
        raise InputError(f"--status {status}: no such verdict", f"one of {', '.join(_STATES)}")
    if quality is not None and quality not in _QUALITIES:
        raise InputError(
            f"--quality {quality}: no such quality", f"one of {', '.join(_QUALITIES)}; docs/dft.md says what they mean"
        )
    with open_database(launchpad) as database:
        rows = find_configurations(
            database,
            campaign=campaign,
            formula=formula,
            status=status,
            engine=engine,
            quality=quality,
            limit=limit,
        )
    if as_json:
        print_json(rows)
        return
    columns = [">No.", "Formula", "Verdict", "Quality", ">λ", ">MAE", ">Max", ">Stages", "Hash", "Reason"]
    shown = [
        (
            row["configuration"],
            row["formula"],
            row["status"],
            row["grade"],
            row["lambda_eV_per_muB2"],
            row["mae_muB"],
            row["max_deviation_muB"],
            row["stages"],
            str(row["hash"])[:10],
            row["reason"],
        )
        for row in rows
    ]
    console().print(table(columns, shown))
    if not rows:
        print("nothing found")
