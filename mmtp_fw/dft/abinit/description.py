"""What others know of ABINIT as an engine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mmtp_fw.dft.abinit.settings import AbinitSettings, dataset_folders, find_dataset
from mmtp_fw.dft.machine import DatasetSearch, Program
from mmtp_fw.dft.registry import EngineCosts, EngineDescription, rungs

if TYPE_CHECKING:
    from mmtp_fw.dft.engine import Engine

INSTALL = "apt-get install abinit"


def _engine(**settings: Any) -> Engine:
    from mmtp_fw.dft.abinit.engine import AbinitEngine

    return AbinitEngine(**settings)


ENGINE = EngineDescription(
    name="abinit",
    title="ABINIT",
    about="ABINIT (collinear, PAW)",
    settings=AbinitSettings,
    engine=_engine,
    costs=EngineCosts(scf_seconds=1200.0),
    constraints=("hard", "soft"),
    ladders={
        "cut-off": partial(rungs, names=("ecut_Ha", "pawecutdg_Ha"), factors=(1.2, 1.45)),
        "k-mesh": partial(rungs, names=("kspacing_per_A",), factors=(0.75, 0.55)),
    },
    programs=(Program("abinit", f"{INSTALL} (engine 'abinit')", "--version"),),
    datasets=DatasetSearch("PAW datasets", dataset_folders, find_dataset, "apt-get install abinit-data gpaw-data"),
)
