"""What others know of Elk as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmtp_fw.dft.elk.settings import INSTALL, ElkSettings, find_species, species_folders
from mmtp_fw.dft.machine import DatasetSearch, Program
from mmtp_fw.dft.registry import EngineCosts, EngineDescription

if TYPE_CHECKING:
    from mmtp_fw.dft.engine import Engine


def _engine(**settings: Any) -> Engine:
    from mmtp_fw.dft.elk.engine import ElkEngine

    return ElkEngine(**settings)


ENGINE = EngineDescription(
    name="elk",
    title="Elk",
    about="Elk (all-electron, collinear, LAPW)",
    settings=ElkSettings,
    engine=_engine,
    costs=EngineCosts(scf_seconds=36000.0),
    constraints=("hard",),
    lacks=("stress",),
    programs=(Program("elk-lapw", f"{INSTALL} (engine 'elk')"),),
    datasets=DatasetSearch("species files", species_folders, find_species, INSTALL),
    page="docs/elk.md",
)
