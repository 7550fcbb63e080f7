"""Notes who takes an action in hand, where and with what, and how that ended."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import PyMongoError

from mmtp_fw.campaign import Campaign
from mmtp_fw.database import Database, environment
from mmtp_fw.database.process import owner_name
from mmtp_fw.dft import registry
from mmtp_fw.dft.machine import version_of
from mmtp_fw.execution import Execution
from mmtp_fw.loop.facts import Action, Kind
from mmtp_fw.potential.threads import thread_count

OWN, MD = "mmtp", "lammps"
"""What computes where no DFT engine does."""
_RANKS = ("-n", "-np", "--np", "--ntasks")


def begin(database: Database, campaign: Campaign, action: Action, fence: int) -> Execution:
    """Note with an action that this process has taken it in hand; return the note."""
    execution, found = describe(database, campaign, action, fence)
    environment.keep(database, found)
    database.actions.update_one({"_id": action.key}, {"$push": {"attempts": execution.model_dump()}})
    return execution


def end(database: Database, action: Action, fence: int, how: str) -> None:
    """Note how it ended; where the database is away, the note stays without an end."""
    with contextlib.suppress(PyMongoError):
        database.actions.update_one(
            {"_id": action.key, "attempts.fence": fence},
            {"$set": {"attempts.$.ended": datetime.now(UTC), "attempts.$.exit": how}},
        )


def describe(
    database: Database, campaign: Campaign, action: Action, fence: int = 0
) -> tuple[Execution, dict[str, Any]]:
    """Return who works on an action in this process, and the content of the environment."""
    engine = engine_of(campaign, action)
    dft = engine not in (OWN, MD)
    runs_program = dft and bool(registry.describe(engine).programs)
    threads = 1 if runs_program else thread_count()  # programs of engines are parallel by processes
    ranks = _ranks(engine, campaign.dft.settings) if runs_program else 1
    found = environment.content(database, dict(_programs(engine)) if dft else {})
    execution = Execution(
        environment=environment.digest(found),
        action=action.key,
        fence=fence,
        engine=engine,
        owner=owner_name(),
        user=environment.user(),
        cores=_job_cores() or ranks * threads,
        threads=threads,
        nodes=environment.nodes(),
        started=datetime.now(UTC),
    )
    return execution, found


def engine_of(campaign: Campaign, action: Action) -> str:
    """Return what computes an action: the campaign's DFT engine, LAMMPS, or this package itself."""
    reference = action.kind is Kind.PROPERTY and action.params.get("source") == "reference"
    if action.kind is Kind.LABEL or reference:
        return campaign.dft.engine
    dynamics = action.kind is Kind.PROPERTY and campaign.properties.mode != "static"
    return MD if action.kind is Kind.MD or dynamics else OWN


@functools.cache
def _programs(engine: str) -> tuple[tuple[str, str], ...]:
    found = ((program.name, version_of(program)) for program in registry.describe(engine).programs)
    return tuple((name, version) for name, version in found if version is not None)


def _ranks(engine: str, settings: Mapping[str, Any]) -> int:
    """Return the processes of one calculation: as the settings say, else as mpirun or srun is told; 1 if none says."""
    chosen = registry.describe(engine).settings.model_validate(dict(settings))
    said = getattr(chosen, "mpi_processes", None)
    words = shlex.split(str(getattr(chosen, "command", "")))
    named = (value for option, value in itertools.pairwise(words) if option in _RANKS and value.isdigit())
    return int(said if said is not None else next(named, 1))


def _job_cores() -> int | None:
    """Return the cores of the batch job that this process has to itself; None outside of one."""
    given = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return int(given) * environment.nodes() if os.environ.get("SLURM_JOB_ID") and given.isdigit() else None
