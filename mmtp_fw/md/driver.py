"""The child process that runs a trajectory: LAMMPS and MPI may abort without taking the worker along."""

from __future__ import annotations

import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

from mmtp_fw import log
from mmtp_fw.files import write_whole
from mmtp_fw.md.dynamics import trajectory
from mmtp_fw.md.models import Model, PotentialModel
from mmtp_fw.md.settings import MdResult

TASK, RESULT, STOP = "task.pickle", "result.pickle", "STOP"
SAVE_SECONDS = 5.0


def save(path: Path, data: Any) -> None:
    """Write a pickle, complete or not at all."""
    write_whole(path, pickle.dumps(data))


def main(directory: Path) -> None:
    """Run the task that lies in `directory`; save the result so far every few seconds."""
    log.ensure()
    task = pickle.loads((directory / TASK).read_bytes())
    last = float("-inf")

    def on_progress(result: MdResult) -> None:
        nonlocal last
        if time.monotonic() - last > SAVE_SECONDS:
            save(directory / RESULT, (False, result))
            last = time.monotonic()

    parent = os.getppid()

    def should_stop() -> bool:
        # A parent that is gone has left us to init: nobody would read the rest.
        return (directory / STOP).exists() or os.getppid() != parent

    result = trajectory(_model(task), task["atoms"], task["settings"], _active_set(task), should_stop, on_progress)
    save(directory / RESULT, (True, result))


def _model(task: dict[str, Any]) -> Model:
    from mmtp_fw.potential import Potential

    settings = task["settings"]
    potential = Potential.loads(task["potential"], task["species"])
    start = task["atoms"].get_initial_magnetic_moments()
    return PotentialModel(potential, start, settings.relax_interval, settings.relax_tolerance)


def _active_set(task: dict[str, Any]) -> Any:
    if task["active_set"] is None:
        return None
    from mmtp_fw.selection import ActiveSet

    return ActiveSet.from_bytes(task["active_set"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
