"""`mmtp dft`: what the engine's settings are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import console, print_json, table

if TYPE_CHECKING:
    from ase import Atoms

    from mmtp_fw.campaign import Campaign
    from mmtp_fw.dft.converge import Convergence, Differences

app = typer.Typer(help="What the settings of a DFT engine are worth.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `converge` a command of its own."""


@app.command()
def converge(
    campaign_file: Annotated[Path, typer.Argument(metavar="CAMPAIGN.yaml", help="Settings of a campaign.")],
    directory: Annotated[Path, typer.Option(help="A folder per label; what is there is not made again.")] = Path(
        "converge"
    ),
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Label one typical configuration at rising cut-off and k-mesh; say what the campaign's settings leave open."""
    from mmtp_fw.campaign import load_campaign
    from mmtp_fw.database import store
    from mmtp_fw.dft.converge import converge as run_ladders
    from mmtp_fw.files import write_whole

    campaign = load_campaign(campaign_file)
    dft = campaign.dft

    def say(ladder: str, changes: dict[str, Any]) -> None:
        if not as_json:
            what = ", ".join(f"{name} {value}" for name, value in changes.items()) or "as in the campaign"
            console().print(f"{ladder}: {what}")

    found = run_ladders(dft.engine, dft.settings, _typical(campaign), dft.protocol, directory, say)
    document = found.model_dump(mode="json") | {"left_open": found.left_open().model_dump()}
    write_whole(directory / "convergence.json", json.dumps(document, indent=2))
    with open_database(launchpad) as database:
        stored = store.keep_convergence(database, campaign.name, document)
    if as_json:
        print_json(document | {"stored": stored})
        return
    _show(found)
    if not stored:
        console().print(
            f"There is no campaign '{campaign.name}' in this database: the same command after `mmtp submit` puts this "
            "into its report, and makes no label again."
        )


def _typical(campaign: Campaign) -> Atoms:
    """Return a distorted configuration with the campaign's typical moments, at its first phase's middle volume."""
    from mmtp_fw.firetasks.start import typical_cells

    phase = campaign.phases[0]
    lattice = sorted(phase.lattice_parameters_A)
    (atoms,) = typical_cells(campaign, phase, [lattice[len(lattice) // 2]], structures=1, seed=campaign.seed)
    return atoms


def _show(found: Convergence) -> None:
    from mmtp_fw.quantities import QUANTITIES

    rows = [
        (name, ", ".join(f"{key} {value}" for key, value in rung.settings.items()) or "as in the campaign",
         rung.scf_steps, *_numbers(rung.differences))
        for name, ladder in found.ladders.items()
        for rung in ladder
    ]  # fmt: skip
    rows.append(("together", "as in the campaign", "", *_numbers(found.left_open())))
    names = ("ladder", "settings", ">SCF steps", *(f">{row.unit}" for row in QUANTITIES.values()))
    console().print(table(names, rows))
    console().print(
        f"{found.formula}, differences from the finest of each ladder. A constant in the energy is no error of a label."
    )


def _numbers(differences: Differences) -> tuple[str | None, ...]:
    return tuple(None if value is None else f"{value:.3g}" for value in differences.in_order())
