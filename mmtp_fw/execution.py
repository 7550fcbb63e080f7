"""Who computed something, where and with what: the record that stages, fits, MD runs, properties and attempts share."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field


class Execution(BaseModel):
    """One piece of work in one process; times by the clock of the machine that computed.

    Core hours are cores × (ended − started), of a stage cores × its own wall time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: str = Field(description="Hash; `_id` in `environments`")
    action: str = Field(description="Key of the action that it was computed for, which begins with the campaign's name")
    fence: int = Field(description="Number of the claim under which it was computed")
    engine: str = Field(description="What computed: the name of a DFT engine, lammps or mmtp")
    owner: str = Field(description="host:process")
    user: str
    cores: int = Field(description="Occupied: by all processes and threads, or by the batch job where that is known")
    threads: int = Field(description="Of each process")
    nodes: int
    started: datetime = Field(description="UTC")
    ended: datetime | None = Field(default=None, description="Null while it runs, and where the process was killed")
    exit: str | None = Field(default=None, description="done, failed, interrupted, not here, lease lost …")

    def ended_now(self, how: str) -> Execution:
        """Return it with its end."""
        return self.model_copy(update={"ended": datetime.now(UTC), "exit": how})
