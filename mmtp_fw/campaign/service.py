"""Settings that are about carrying a campaign out, and none of what it computes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from mmtp_fw.campaign.section import Count, Positive, Section

Event = Literal["end", "stall", "failure", "fault"]


class WorkersSettings(Section):
    """How work is claimed."""

    local: Count = Field(default=2, description="Workers that `mmtp run` starts on this machine")
    lease_seconds: Positive = Field(
        default=600.0, description="Time (s) after which work of a silent worker is taken by another"
    )


class NotifySettings(Section):
    """Who is told when a person may want to look."""

    command: str | None = Field(
        default=None,
        description="Run by the shell of the worker that notices, with MMTP_CAMPAIGN, MMTP_EVENT and MMTP_MESSAGE in "
        "its environment",
    )
    url: str | None = Field(default=None, description="http(s) address that gets campaign, event and message as JSON")
    events: list[Event] = Field(
        default=["end", "stall", "failure", "fault"],
        description="end: the report is made; stall: nothing was finished for an hour, and nobody is at work; failure: "
        "an action failed in all its attempts; fault: a machine can't go on, as with a full disk. The last three at "
        "most once an hour",
    )

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"'{value}' is no address that begins with http:// or https://")
        return value
