"""Batch systems, each one row of a table: its commands, its name in queue adapters, and how a job knows its end."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mmtp_fw.errors import EngineError

JOB_END = "MMTP_JOB_END"
"""Environment variable with the end of the job in seconds since 1970, for batch systems that tell none; goes before."""


@dataclass(frozen=True)
class Queue:
    """A batch system.

    Attributes
    ----------
    title : str
        What readers call it.
    submit : str
        The command that submits a job.
    end_variable : str or None
        Environment variable in which a job finds its end in seconds since 1970; None where there is none.
    """

    title: str
    submit: str
    end_variable: str | None = None


QUEUES: dict[str, Queue] = {
    "SLURM": Queue("Slurm", "sbatch", "SLURM_JOB_END_TIME"),
    "PBS": Queue("PBS", "qsub"),
    "LoadSharingFacility": Queue("LSF", "bsub"),
}
"""Every batch system by its name in queue adapters (``_fw_q_type``); another one is another row."""


def end_variables() -> tuple[str, ...]:
    """Return the environment variables with the end of the job; the first that is set counts."""
    return (JOB_END, *(queue.end_variable for queue in QUEUES.values() if queue.end_variable))


def job_end() -> float | None:
    """Return the end of the batch job in seconds since 1970, or None where nothing tells.

    Raises
    ------
    EngineError
        A variable holds something else.
    """
    for name in end_variables():
        text = os.environ.get(name, "").strip()
        if text:
            try:
                return float(text)
            except ValueError as error:
                raise EngineError(f"{name} is '{text}'", "seconds since 1970 are wanted: date +%s") from error
    return None
