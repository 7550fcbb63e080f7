"""What `potential_tag` carries: names of the species, the mark of a symmetrized potential, the trained range."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmtp_fw.potential.trained import TrainedRange

SYMMETRIZED = "mmtp_fw-symmetrized"


def make_tag(species: Sequence[str], symmetrized: bool, trained: TrainedRange | None = None) -> str:
    """Return the tag, for example ``species:Fe,Pd;mmtp_fw-symmetrized``; see `TrainedRange.tag` for its last part.

    No spaces and no equals signs: MLIP reads one word, and motep splits lines there.
    """
    parts = [] if all(name.isdigit() for name in species) else ["species:" + ",".join(species)]
    parts += [SYMMETRIZED] * symmetrized
    return ";".join(parts if trained is None else [*parts, trained.tag()])


def parse_tag(tag: str) -> tuple[list[str] | None, bool]:
    """Return the species' names, if the tag has them, and whether the potential is symmetrized."""
    parts = tag.split(";")
    names = next((part[8:].split(",") for part in parts if re.fullmatch(r"species[:=][\w,]+", part)), None)
    return names, SYMMETRIZED in parts
