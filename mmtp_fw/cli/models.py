"""Potentials that a command is given: a file, or a version in the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtp_fw.cli.files import read_potential
from mmtp_fw.cli.options import open_database

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential


def model_of(which: Path, species: str | None, launchpad: str | None) -> tuple[Potential, dict[str, Any]]:
    """Return a potential and where it is from.

    Parameters
    ----------
    which : Path
        A file; or, where no file has that name, a version: a whole number.
    species : str, optional
        Names of the numbered species of a file.
    launchpad : str, optional
        Of the database; opened for a version only.

    Returns
    -------
    Potential
    dict
        ``file``; or ``version`` and ``campaign``.

    Raises
    ------
    InputError
        No such file or version, or `species` for a version, which knows its own.
    """
    if which.exists() or not str(which).isdecimal():
        return read_potential(which, species), {"file": str(which)}
    from mmtp_fw.database import history
    from mmtp_fw.errors import InputError
    from mmtp_fw.potential import Potential

    if species:
        raise InputError(f"--species: version {which} of the database knows its species", "leave --species away")
    with open_database(launchpad) as database:
        document = history.version(database, str(which))
    potential = Potential.loads(document["text"], document["species"] or None)
    return potential, {"version": document["_id"], "campaign": document["campaign"]}
