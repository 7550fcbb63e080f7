"""Settings that every engine has that runs a program."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class ProgramSettings(BaseModel):
    """How the program of an engine is started and stopped; an engine adds what defines its labels.

    Attributes
    ----------
    not_of_a_label : frozenset of str
        Settings that change neither the answer nor whether it is found. An engine adds its own of that kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    not_of_a_label: ClassVar[frozenset[str]] = frozenset(
        {
            "command",
            "work_directory",
            "wall_time_margin_s",
            "stop_grace_s",
            "keep_restart_files",
            "max_moment_muB",
        }
    )

    max_moment_muB: float = Field(default=5.0, gt=0, description="Targets beyond it are refused")
    command: str = Field(description="The program")
    work_directory: str | None = Field(
        default=None,
        description="Where the program runs ($VARIABLES allowed), a folder per label, found again by a later launch; "
        "the launch's own folder when not given",
    )
    wall_time_margin_s: float = Field(
        default=600.0, ge=0, description="The program is told to stop so long before the job's end, where that is known"
    )
    stop_grace_s: float = Field(
        # less than the margin above, and than the 900 s of the queue adapter's signal
        default=480.0,
        ge=0,
        description="It is ended when it has not stopped so long after it was told to",
    )
    keep_restart_files: bool = Field(
        default=False, description="Keep the files to restart from of every stage, not of the last converged one only"
    )

    def document(self) -> dict[str, Any]:
        """Return what defines a label: everything but how, where and how long the program runs."""
        return self.model_dump(mode="json", exclude=set(self.not_of_a_label))
