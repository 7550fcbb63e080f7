"""What every section of ``campaign.yaml`` is, and numbers that many of them have."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values can't be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
