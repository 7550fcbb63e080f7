"""What a result was computed with: one document for each environment, found by the hash of what is in it.

Stages, fits, MD runs, properties and attempts hold the hash; `mmtp cost` and `mmtp reproduce` read it.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mmtp_fw
from mmtp_fw.database.records import Document, EnvironmentDocument
from mmtp_fw.plain import flattened

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

SITE = "MMTP_SITE"
"""Environment variable with the name of the site; without it the name of the Slurm cluster, else the host's."""
_CONTAINER_FILES = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
_CONTAINER_VARIABLES = ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER")


def content(database: Database, programs: Mapping[str, str]) -> dict[str, Any]:
    """Return what this process computes with, as `EnvironmentDocument` has it.

    Parameters
    ----------
    database : Database
    programs : mapping of str to str
        Versions of the programs that are used, by their names.
    """
    return dict(_here()) | {"programs": dict(sorted(programs.items())), "mongod": _mongod(database)}


def keep(database: Database, found: Mapping[str, Any]) -> str:
    """Store an environment unless it is there; return its hash."""
    key = digest(found)
    document = EnvironmentDocument(_id=key, **found).to_mongo()
    database.environments.update_one({"_id": key}, {"$setOnInsert": document}, upsert=True)
    return key


def digest(found: Mapping[str, Any]) -> str:
    """Return the hash of an environment's content."""
    text = json.dumps(found, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what two environments differ in: by the name of the fact, both values (None where it is unknown)."""
    left, right = _facts(one), _facts(other)
    names = sorted(set(left) | set(right))
    return {name: (left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)}


def user() -> str:
    """Return the name of the user of this process, or their number where there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def nodes() -> int:
    """Return how many nodes the batch system gave this process: 1 outside of it."""
    given = os.environ.get("SLURM_JOB_NUM_NODES", "1")
    return int(given) if given.isdigit() and int(given) > 0 else 1


def _facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an environment tells, without what every document has, but for the version of the code."""
    of_documents = {"_id", *Document.model_fields} - {"code_version"}
    return flattened({name: value for name, value in found.items() if name not in of_documents})


@functools.cache
def _here() -> Mapping[str, Any]:
    commit, changed = code()
    return {
        "code_version": mmtp_fw.__version__,
        "commit": commit,
        "changed": changed,
        "python": platform.python_version(),
        "packages": _packages(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu(),
        "host": socket.gethostname(),
        "site": os.environ.get(SITE) or os.environ.get("SLURM_CLUSTER_NAME") or socket.gethostname(),
        "container": _container(),
    }


def code() -> tuple[str | None, bool | None]:
    """Return the commit of the code that runs, and whether files differ from it; None where that is not known.

    It is known of a git checkout, and of what pip installed from a repository.
    """
    place = Path(mmtp_fw.__file__).resolve().parent
    try:
        ask = functools.partial(subprocess.run, capture_output=True, text=True, timeout=20, cwd=place, check=True)
        tracked = ask(["git", "ls-files", "--error-unmatch", "__init__.py"])  # not of a repository around site-packages
        commit = ask(["git", "rev-parse", "HEAD"]).stdout.strip()
        changed = ask(["git", "status", "--porcelain", "--untracked-files=no", "--", "."]).stdout.strip()
        return (commit, bool(changed)) if tracked.stdout else (None, None)
    except (OSError, subprocess.SubprocessError):
        pass
    try:
        text = importlib.metadata.distribution("mmtp_fw").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None, None
    commit = json.loads(text or "{}").get("vcs_info", {}).get("commit_id")
    return commit, None if commit is None else False


def _packages() -> dict[str, str]:
    """Return the versions of the packages that mmtp_fw names as its needs, those of its extras left out."""
    found = {}
    for line in importlib.metadata.requires("mmtp_fw") or []:
        requirement, _, marker = line.partition(";")
        name = re.split(r"[<>=!~\[ ]", requirement.strip(), maxsplit=1)[0]
        if "extra" not in marker:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
    return dict(sorted(found.items()))


def _cpu() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or None
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named.group(1).strip() if named else platform.machine() or None


def _container() -> str | None:
    image = next((os.environ[name] for name in _CONTAINER_VARIABLES if os.environ.get(name)), None)
    return image or next((kind for file, kind in _CONTAINER_FILES.items() if Path(file).exists()), None)


def _mongod(database: Database) -> str | None:
    version = database.launchpad.connection.server_info().get("version")
    return None if version is None else str(version)
