"""`mmtp import`: labels that were computed elsewhere, into a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmtp_fw.cli.files import DerivativesOption
from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import print_json

if TYPE_CHECKING:
    from mmtp_fw.fitting import DerivativeSign
    from mmtp_fw.workflows.imports import Imported

app = typer.Typer(help="Bring labels that were computed elsewhere into a campaign.", no_args_is_help=True)
CampaignOption = Annotated[str, typer.Option("-c", "--campaign", help="Name of a campaign that is in the database.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be imported, write nothing.")]
SHOWN = 10
"""Labels kept apart that are named."""


@app.command()
def labels(
    files: Annotated[list[Path], typer.Argument(help="Extended XYZ, cfg, OUTCAR, vasprun.xml, ABINIT's output.")],
    campaign: CampaignOption,
    dry_run: DryOption = False,
    magnetic_derivatives: DerivativesOption = "detect",
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import files of labels; a campaign fits them in its next round and never computes them again."""
    _import(files, campaign, dry_run, launchpad, as_json, magnetic_derivatives)


@app.command()
def vasp(
    context: typer.Context,
    folders: Annotated[list[Path], typer.Argument(help="Folders of finished runs, or folders of such.")],
    campaign: CampaignOption,
    dry_run: DryOption = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import every ionic step of finished VASP runs, with or without a constraint."""
    _import_runs(context, folders, campaign, dry_run, launchpad, as_json)


@app.command()
def abinit(
    context: typer.Context,
    folders: Annotated[list[Path], typer.Argument(help="Folders of finished runs, or folders of such.")],
    campaign: CampaignOption,
    dry_run: DryOption = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import finished ABINIT calculations at fixed positions, with or without a constraint."""
    _import_runs(context, folders, campaign, dry_run, launchpad, as_json)


def _import_runs(
    context: typer.Context, folders: list[Path], campaign: str, dry_run: bool, launchpad: str | None, as_json: bool
) -> None:
    """Import finished runs of the engine that the command is called by."""
    from mmtp_fw.dft.finished import runs_in

    _import(list(runs_in(folders, str(context.info_name))), campaign, dry_run, launchpad, as_json)


def _import(
    paths: list[Path],
    campaign: str,
    dry_run: bool,
    launchpad: str | None,
    as_json: bool,
    sign: DerivativeSign = "detect",
) -> None:
    from mmtp_fw.errors import InputError
    from mmtp_fw.workflows.imports import import_labels
    from mmtp_fw.workflows.submit import advance

    missing = [path for path in paths if not path.exists()]
    if missing:
        raise InputError(f"{missing[0]}: there is no such file", "check the path")
    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} others"
    with open_database(launchpad) as database:
        result = import_labels(database, campaign, paths, name, dry_run, sign)
        if not dry_run:
            advance(database, campaign)
    if as_json:
        print_json({"campaign": campaign, "written": not dry_run, **result.document()})
        return
    _show(result, campaign, dry_run)


def _show(result: Imported, campaign: str, dry_run: bool) -> None:
    done = "would be imported" if dry_run else "imported"
    print(
        f"{result.file}: {result.accepted} labels {done}, {result.duplicates} were there, "
        f"{len(result.apart)} kept apart"
    )
    if result.without_magnetic_forces:
        print(f"  {result.without_magnetic_forces} of them without magnetic forces: the fit has no such term for them")
    for where, why in result.apart[:SHOWN]:
        print(f"  apart: {where}: {why}")
    if len(result.apart) > SHOWN:
        print(f"  and {len(result.apart) - SHOWN} others: --json lists all")
    if result.accepted and not dry_run:
        print(f"{campaign} fits them in its next round; `mmtp worker` works on it")
