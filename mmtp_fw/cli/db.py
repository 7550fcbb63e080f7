"""`mmtp db`: the embedded server, checks, backups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import console, pairs, print_json

app = typer.Typer(help="The database: embedded server, checks, backups.", no_args_is_help=True)


@app.command()
def start(as_json: JsonOption = False) -> None:
    """Start the embedded database unless it runs; write a launchpad file for FireWorks' own commands."""
    from mmtp_fw.database import Database, server

    server.start()
    with Database.open() as database:
        _show({**server.describe(), "launchpad_file": str(database.launchpad_file())}, as_json)


@app.command()
def stop(as_json: JsonOption = False) -> None:
    """Stop the embedded database; nothing is lost."""
    from mmtp_fw.database import server

    stopped = server.stop()
    if as_json:
        print_json({"stopped": stopped})
    else:
        print("stopped" if stopped else "it was not running")


@app.command()
def status(launchpad: LaunchpadOption = None, as_json: JsonOption = False) -> None:
    """Tell whether the embedded database runs and where it is; with -l, whether that database answers."""
    from mmtp_fw.cli.options import launchpad_file
    from mmtp_fw.database import server

    if launchpad_file(launchpad) is None:
        _show(server.describe(), as_json)
        return
    with open_database(launchpad) as database:
        _show(
            {"database": repr(database).strip("<>"), "campaigns": database.campaigns.count_documents({})},
            as_json,
        )


@app.command("launchpad")
def private_launchpad(launchpad: LaunchpadOption = None, as_json: JsonOption = False) -> None:
    """Write a private launchpad file with the password for lpad, rlaunch and qlaunch; print its name."""
    with open_database(launchpad) as database:
        path = str(database.launchpad_file())
    if as_json:
        print_json({"launchpad_file": path})
    else:
        print(path)


@app.command()
def check(launchpad: LaunchpadOption = None, as_json: JsonOption = False) -> None:
    """Mend what crashes left, then look for damage: missing references, contents that changed."""
    from mmtp_fw.database.check import check as look
    from mmtp_fw.workflows.mend import mend_all

    with open_database(launchpad) as database:
        mended = [{"what": item.damage.value, "key": item.key} for item in mend_all(database)]
        problems = look(database)
    if as_json:
        print_json({"mended": mended, "problems": problems})
    else:
        for item in mended:
            print(f"mended: {item['what']}: {item['key']}")
        for problem in problems:
            print(f"problem: {problem}")
        print(f"{len(mended)} mended, {len(problems)} problems")
    if problems:
        raise typer.Exit(1)


@app.command()
def backup(
    path: Annotated[Path, typer.Argument(help="File to write; must not exist.")],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write everything, FireWorks' own collections included, into one compressed file."""
    from mmtp_fw.database.backup import backup as write

    with open_database(launchpad) as database:
        counts = write(database, path)
    _show_counts("written", path, counts, as_json)


@app.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A backup.")],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a backup into a database without campaigns."""
    from mmtp_fw.database.backup import restore as read

    with open_database(launchpad) as database:
        counts = read(database, path)
    _show_counts("restored", path, counts, as_json)


def _show(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        console().print(pairs({name.replace("_", " "): value for name, value in facts.items()}))


def _show_counts(verb: str, path: Path, counts: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json({"path": str(path), "documents": counts})
    else:
        print(f"{verb}: {sum(counts.values())} documents of {len(counts)} collections, {path}")
