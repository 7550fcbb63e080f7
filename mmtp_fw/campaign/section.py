"""What every section of a campaign's settings is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mmtp_fw.structures.lattices import Lattice
from mmtp_fw.structures.magnetic_orders import MagneticOrder

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values can't be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def listed(table: Mapping[str, Lattice | MagneticOrder]) -> str:
    """Return every row of a table in words, for a key's description."""
    return "; ".join(f"{name}: {row.about}" for name, row in table.items())
