"""`mmtp run` and `mmtp submit`: campaigns from settings to report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, launchpad_file, open_database
from mmtp_fw.cli.output import console, duration, pairs, print_json

if TYPE_CHECKING:
    from mmtp_fw.campaign import Campaign
    from mmtp_fw.database import Database
    from mmtp_fw.firetasks.foresee import Outlook
    from mmtp_fw.loop.cost import Cost
    from mmtp_fw.structures import Phase

OnEndOption = Annotated[
    str | None, typer.Option("--on-end", help="Command that is run when it ends, stalls or fails: notify.command.")
]
CampaignArgument = Annotated[
    Path | None, typer.Argument(metavar="[CAMPAIGN.yaml]", help="Settings; default: the Fe-Pd demonstration.")
]


def run(
    campaign_file: CampaignArgument = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Local workers; default: workers.local.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and its cost.")] = False,
    report: Annotated[Path, typer.Option(help="Directory of the report.")] = Path("report"),
    directory: Annotated[Path, typer.Option(help="Where workers make their launch directories.")] = Path("runs"),
    on_end: OnEndOption = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a campaign on this machine, to the report. The same command goes on after a stop."""
    campaign = _load(campaign_file, on_end)
    if dry_run:
        _show_plan(campaign, workers or campaign.workers.local, launchpad, as_json, _folder(campaign_file))
        return
    from mmtp_fw.cli.progress import Progress
    from mmtp_fw.firetasks.start import check_engine
    from mmtp_fw.report import gather_report, write_report
    from mmtp_fw.workflows.local import LocalRun
    from mmtp_fw.workflows.submit import submit_campaign

    _check_writable(report)
    check_engine(campaign, here=True)
    with open_database(launchpad) as database:
        submit_campaign(database, campaign, _folder(campaign_file))
        place = directory / campaign.name
        local = LocalRun(database, campaign.name, workers or campaign.workers.local, place, launchpad_file(launchpad))
        with Progress(database, campaign.name, quiet=as_json) as progress:
            finished = local.run(on_progress=progress.update)
        if not finished:
            _refuse_cancelled(database, campaign.name)
            _say_how_to_go_on(campaign_file, campaign.name)
            raise typer.Exit(130)
        data = gather_report(database, campaign.name)
        page = write_report(data, report)
    _show_end(data, page, as_json)


def submit(
    campaign_file: CampaignArgument = None,
    on_end: OnEndOption = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a campaign into the database; workers anywhere (`mmtp worker`, rlaunch, qlaunch) carry it out."""
    campaign = _load(campaign_file, on_end)
    from mmtp_fw.firetasks.start import check_engine
    from mmtp_fw.workflows.submit import submit_campaign

    check_engine(campaign, here=False)

    with open_database(launchpad) as database:
        position = submit_campaign(database, campaign, _folder(campaign_file))
        where = repr(database).strip("<>")
        answer = {
            "campaign": campaign.name,
            "database": repr(database),
            "iteration": position.iteration,
            "due": [action.key for action in position.due],
            "finished": position.finished,
        }
    if as_json:
        print_json(answer)
        return
    state = "is finished" if position.finished else f"is at iteration {position.iteration}, {position.phase.value}"
    print(f"{campaign.name} {state} in {where}; `mmtp worker` works on it")


def _load(path: Path | None, on_end: str | None) -> Campaign:
    from mmtp_fw.campaign import demo_campaign_path, load_campaign

    campaign = load_campaign(path if path is not None else demo_campaign_path())
    if on_end is None:
        return campaign
    return campaign.model_copy(update={"notify": campaign.notify.model_copy(update={"command": on_end})})


def _folder(path: Path | None) -> Path:
    """Return where the names in a campaign's file begin."""
    return path.parent if path is not None else Path()


def _check_writable(report: Path) -> None:
    """Refuse before the work, not after it."""
    from mmtp_fw.errors import InputError

    try:
        report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{report}: {error.strerror}", "name another directory with --report") from error


def _foresee(campaign: Campaign, launchpad: str | None) -> Outlook:
    """Look into the database where one is named or runs: a plan starts none."""
    from fireworks import fw_config

    from mmtp_fw.database import server
    from mmtp_fw.firetasks.foresee import foresee

    if launchpad_file(launchpad) is None and not fw_config.LAUNCHPAD_LOC and not server.status().running:
        return foresee(campaign, None)
    with open_database(launchpad) as database:
        return foresee(campaign, database)


def _already_there(outlook: Outlook) -> str:
    """Return in words which labels a database has."""
    if outlook.first_labelled is None:
        return "not looked for: no database runs (`mmtp db start`, or name one with -l)"
    found = f"{outlook.first_labelled} of the first {outlook.first} configurations"
    if outlook.labels is not None:
        found += f"; the campaign is there, with {outlook.labels} labels"
    return found


def _work(cost: Cost, engine: str) -> dict[str, str]:
    """Return what a calculation takes, and what that rests on."""
    low, usual, high = cost.scf_seconds
    shown = {"One SCF run": f"{duration(usual)} on one core ({duration(low)} to {duration(high)})"}
    shown["Estimated from"] = cost.rests_on
    if (work := cost.work) is not None:
        shown["Work of a step"] = (
            f"{work.k_points} k-points × {work.bands} bands × {work.basis_functions:,} basis functions; "
            f"{work.atoms} atoms, {work.electrons:g} electrons"
        )
        if work.assumed:
            shown["Work of a step"] += f" (guessed for {', '.join(work.assumed)}: {engine}'s datasets were not read)"
    return shown


def _brought(campaign: Campaign, folder: Path) -> dict[str, str]:
    """Say what would be imported, file by file; files without a label of the campaign are refused here as there."""
    from mmtp_fw.workflows.imports import judge_start

    told = {}
    for one in judge_start(campaign, folder):
        apart = f", {len(one.apart)} kept apart ({one.apart[0][1]}, …)" if one.apart else ""
        bare = f", {one.without_magnetic_forces} without magnetic forces" if one.without_magnetic_forces else ""
        told[f"Labels of {one.file}"] = f"{one.accepted} labels{bare}{apart}"
    potential = campaign.start_from.potential
    return told | ({"Fits begin from": potential.file} if potential else {})


def _show_plan(campaign: Campaign, workers: int, launchpad: str | None, as_json: bool, folder: Path) -> None:
    from mmtp_fw.loop.facts import Facts
    from mmtp_fw.loop.planner import plan

    brought = _brought(campaign, folder) if campaign.start_from != type(campaign.start_from)() else {}
    outlook = _foresee(campaign, launchpad)
    cost = outlook.cost
    first = [action.key for action in plan(Facts(campaign))]
    if as_json:
        told = {"campaign": campaign.name, "workers": workers, "first_actions": first, "start_from": brought}
        print_json({**told, **asdict(outlook)})
        return

    def span(low: float, high: float, unit: str = "") -> str:
        numbers = f"{low:,.4g} to {high:,.4g}" if isinstance(low, float) else f"{low:,} to {high:,}"
        return f"{numbers}{unit}"

    screen = console()
    screen.print(f"Campaign {campaign.name}: nothing was started.", style="bold")
    screen.print(
        pairs(
            {
                **_cells(campaign),
                "Engine": campaign.dft.engine,
                **brought,
                "Labels": span(*cost.labels),
                "Radial range": f"{campaign.potential.r_min_A:g} to {campaign.potential.r_cut_A:g} Å",
                "SCF runs": span(*cost.scf_runs),
                "MD runs": span(*cost.md_runs),
                "MD steps": span(*cost.md_steps),
                "Labels that exist": _already_there(outlook),
                **_work(cost, campaign.dft.engine),
                "Core hours": f"{span(*cost.core_hours)} (with the range of an SCF run {span(*cost.core_hours_range)})",
                "On this machine": f"about {duration(3600 * cost.core_hours[0] / workers)} to "
                f"{duration(3600 * cost.core_hours[1] / workers)} with {workers} workers",
                "Starts with": f"{len(first)} actions: {first[0]}" + (" …" if len(first) > 1 else ""),
                **({"This machine lacks": outlook.lacks} if outlook.lacks else {}),
            }
        )
    )
    screen.print("From the case that the first potential selects nothing, to the whole budget spent.", style="dim")


def _cells(campaign: Campaign) -> dict[str, str]:
    """Return what the campaign is about: a few rows for its only phase, or a row for each."""
    if not campaign.system.phases:
        (phase,) = campaign.phases
        return {
            "Cells": f"{phase.number_of_atoms} atoms, {phase.structure}",
            "Trained at": f"{_list(phase.lattice_parameters_A)} Å",
            "Held out": f"{_list(phase.held_out_lattice_parameters_A) or 'no'} Å",
        } | _off_order(phase)
    told: dict[str, str] = {}
    for phase in campaign.phases:
        told |= _off_order(phase)
    return told | {
        f"Phase {phase.name}": f"{phase.number_of_atoms} atoms"
        + (f", {phase.structure}" if phase.structure else " from a file")
        + f", {', '.join(phase.orders)}, at {_list(phase.lattice_parameters_A)} Å"
        + (f", held out {_list(phase.held_out_lattice_parameters_A)} Å" if phase.held_out_lattice_parameters_A else "")
        for phase in campaign.phases
    }


def _off_order(phase: Phase) -> dict[str, str]:
    """Say where a composition contradicts the order that the lattice's name promises."""
    if phase.off_order == 0:
        return {}
    name = f"Order{' of ' + phase.name if phase.name else ''}"
    return {name: f"{100 * phase.off_order:.3g} % of the sites are off the order of {phase.structure}: see composition"}


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _refuse_cancelled(database: Database, name: str) -> None:
    from mmtp_fw.database import queries
    from mmtp_fw.errors import MmtpError

    held = queries.held(database, name)
    if held is not None:
        raise MmtpError(f"campaign '{name}' is {queries.held_words(held)}", f"`mmtp resume {name}` goes on with it")


def _say_how_to_go_on(path: Path | None, name: str) -> None:
    command = f"mmtp run {path}" if path is not None else "mmtp run"
    print(
        f"Stopped. All finished work of {name} is kept: `{command}` goes on, "
        f"`mmtp status {name}` tells where it stands, `mmtp db stop` stops the embedded database."
    )


def _show_end(data: dict[str, Any], page: Path, as_json: bool) -> None:
    summary = data["summary"]
    if as_json:
        print_json({**summary, "report": str(page.resolve())})
        return
    from mmtp_fw.cli.output import cell

    screen = console()
    screen.print(
        pairs(
            {
                "Verdict": data["conclusion"]["headline"],
                "Ended": data["campaign"]["explanation"],
                "Magnetization MAE": f"{cell(summary['magnetization_mae_muB_per_atom'])} μB/atom",
                "Pressure MAE": f"{cell(summary['pressure_mae_GPa'])} GPa",
                "Labels": f"{summary['labels_accepted']} accepted, {summary['labels_rejected']} rejected, "
                f"{summary['labels_failed']} failed",
                "Iterations": summary["iterations"],
                "Time": duration(summary["wall_seconds"]),
            }
        )
    )
    print(page.resolve())
