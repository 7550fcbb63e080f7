"""Options that many commands share, and the database they name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmtp_fw.database import Database


@dataclass
class Defaults:
    """What was given before the command's name."""

    launchpad: str | None = None


defaults = Defaults()

LaunchpadOption = Annotated[
    str | None,
    typer.Option("-l", "--launchpad", help="Launchpad file; default: FireWorks' own, else embedded."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def launchpad_file(given: str | None) -> str | None:
    """Return the launchpad file named after or before the command, if any."""
    return given or defaults.launchpad


@contextmanager
def open_database(given: str | None) -> Iterator[Database]:
    """Open the database that the options name, and close it in the end.

    Raises
    ------
    InputError, DatabaseError
        As `Database.open`; a server that is lost on the way is a `DatabaseError`, too.
    """
    from pymongo.errors import PyMongoError

    from mmtp_fw.database import Database
    from mmtp_fw.errors import DatabaseError

    try:
        with Database.open(launchpad_file(given)) as database:
            yield database
    except PyMongoError as error:
        raise DatabaseError(
            f"the database failed: {str(error).splitlines()[0][:300]}",
            "`mmtp db status` and `mmtp doctor` look",
        ) from error


def only_campaign(database: Database, name: str | None) -> str:
    """Return the campaign's name, or that of the newest one where none was given.

    Raises
    ------
    InputError
        There is no such campaign, or none at all.
    """
    from mmtp_fw.database import queries
    from mmtp_fw.errors import InputError

    if name is not None:
        return str(queries.campaign(database, name, "_id")["_id"])
    newest = queries.newest_campaign(database)
    if newest is None:
        raise InputError("no campaign in this database", "`mmtp run` or `mmtp submit` starts one")
    return newest
