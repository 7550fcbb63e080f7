"""What of an engine a machine has, as `mmtp doctor` tells it: programs and datasets."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mmtp_fw.errors import MmtpError

# What is looked for where no campaign says which species it needs: those of the case study.
_EXAMPLES = ("Fe", "Pd")


@dataclass(frozen=True)
class Check:
    """What was found of one thing.

    Attributes
    ----------
    name : str
    ok : bool
    found : str
        What is there: version, path; or why it is not usable.
    remedy : str
        What to do about a lack; empty when nothing is to be done.
    needed : bool
        Whether the demonstration needs it.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = False


class Dataset(Protocol):
    """The pseudopotential or PAW dataset of one species on this machine."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def digest(self) -> str:
        """A digest of its content: two machines may have different files of one name."""
        ...


@dataclass(frozen=True)
class DatasetSearch:
    """Where the datasets of an engine lie: engine and doctor both look here.

    Attributes
    ----------
    what : str
        What they are called: "PAW datasets".
    folders : callable
        Returns the folders in the order in which they are searched, those of environment variables first.
    find : callable
        Takes a species and the engine's settings and returns its `Dataset`.
    remedy : str
        What to do where none is found.
    """

    what: str
    folders: Callable[[], Sequence[Path]]
    find: Callable[[str, Any], Dataset]
    remedy: str


def dataset_folders(variable: str, usual: Sequence[str]) -> list[Path]:
    """Return the folders that an environment variable names, with `os.pathsep` between, and after them the usual."""
    named = os.environ.get(variable, "").split(os.pathsep)
    return [Path(folder) for folder in (*filter(None, named), *usual)]


@dataclass(frozen=True)
class Program:
    """A program that an engine starts.

    Attributes
    ----------
    name : str
        As it is found on PATH.
    remedy : str
        How to get it.
    version_option : str
        What makes it print its version on the last line; empty when nothing does.
    """

    name: str
    remedy: str
    version_option: str = ""


def version_of(program: Program) -> str | None:
    """Return what a program calls itself, or its file's digest where it does not say; None where that is not known."""
    path = shutil.which(program.name)
    if path is None:
        return None
    if not program.version_option:
        return f"sha256 {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]}"
    command = [path, program.version_option]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return None
    said = done.stdout.strip().splitlines()
    return said[-1] if said else None


def check_program(title: str, program: Program) -> Check:
    """Look for a program and its version."""
    path = shutil.which(program.name)
    if path is None:
        return Check(title, False, f"'{program.name}' is not on PATH", program.remedy)
    if not program.version_option:
        return Check(title, True, path)
    return Check(title, True, f"{version_of(program) or 'version unknown'}, {path}")


def check_datasets(title: str, search: DatasetSearch, settings: Any, species: Sequence[str] = _EXAMPLES) -> Check:
    """Look for the datasets of some species, just as the engine would.

    Parameters
    ----------
    title : str
    search : DatasetSearch
    settings : BaseModel
        The engine's settings.
    species : sequence of str
    """
    found, lacking = [], []
    for one in species:
        try:
            found.append(search.find(one, settings).path)
        except MmtpError as error:
            lacking.append(error.message)
    if lacking:
        places = ", ".join(map(str, search.folders()))
        return Check(title, False, f"{'; '.join(lacking)} in {places or 'no folder'}", search.remedy)
    return Check(title, True, ", ".join(map(str, found)))
