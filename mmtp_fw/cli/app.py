"""The tree of commands."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mmtp_fw import log
from mmtp_fw.cli import (
    archive,
    change,
    cost,
    dashboard,
    db,
    dft,
    doctor,
    export,
    find,
    hold,
    import_,
    judge,
    lammps,
    magnetization,
    phonons,
    potential,
    remove,
    report,
    reproduce,
    retry,
    run,
    show,
    status,
    worker,
)
from mmtp_fw.cli.options import defaults

app = typer.Typer(
    name="mmtp",
    help="Active learning of magnetic Moment Tensor Potentials from constrained DFT, run by FireWorks.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import mmtp_fw

        print(f"mmtp {mmtp_fw.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    launchpad: Annotated[
        str | None,
        typer.Option("-l", "--launchpad", help="Launchpad file; default: FireWorks' own, else embedded."),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", help="Log from debug, info, warning (default) or error on.")
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log a line of JSON for each record.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    defaults.launchpad = launchpad
    settings = log.chosen(log_level, log_json)
    if settings is not None:
        os.environ[log.VARIABLE] = str(settings)  # the workers that a command starts do the same
    log.configure(settings or log.LogSettings())


app.command()(run.run)
app.command()(run.submit)
app.command()(status.status)
app.command()(retry.retry)
app.command("set")(change.set_)
app.command()(hold.pause)
app.command()(hold.resume)
app.command()(hold.cancel)
app.command()(cost.cost)
app.command()(reproduce.reproduce)
app.command()(report.report)
app.command()(dashboard.dashboard)
app.add_typer(show.app, name="show")
app.command()(find.find)
app.command()(judge.taint)
app.command()(judge.reject)
app.add_typer(judge.compare, name="compare")
app.add_typer(export.app, name="export")
app.add_typer(import_.app, name="import")
app.add_typer(potential.app, name="potential")
app.add_typer(lammps.app, name="lammps")
app.add_typer(dft.app, name="dft")
app.command()(magnetization.magnetization)
app.command()(remove.delete)
app.command()(remove.clean)
app.command()(phonons.phonons)
app.command()(worker.worker)
app.add_typer(db.app, name="db")
app.add_typer(archive.app, name="archive")
app.command()(doctor.doctor)
