"""What others know of ABINIT as an engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from mmtp_fw.dft.abinit.settings import AbinitSettings, dataset_folders, find_dataset
from mmtp_fw.dft.machine import DatasetSearch, Program
from mmtp_fw.dft.registry import EngineCosts, EngineDescription, rungs

if TYPE_CHECKING:
    from ase import Atoms

    from mmtp_fw.dft.engine import Engine
    from mmtp_fw.dft.finished_runs import FinishedRuns
    from mmtp_fw.dft.work import ScfWork

INSTALL = "apt-get install abinit"


def _finished() -> FinishedRuns:
    from mmtp_fw.dft.abinit.finished import RUNS

    return RUNS


def _engine(**settings: Any) -> Engine:
    from mmtp_fw.dft.abinit.engine import AbinitEngine

    return AbinitEngine(**settings)


def _work(settings: Mapping[str, Any], atoms: Atoms) -> ScfWork:
    from mmtp_fw.dft.abinit.inputs import number_of_bands
    from mmtp_fw.dft.work import plane_wave_work, valence_electrons

    chosen = AbinitSettings.model_validate(dict(settings))
    electrons, assumed = valence_electrons(atoms, lambda species: find_dataset(species, chosen).valence)
    bands = number_of_bands(electrons)
    return plane_wave_work(atoms, electrons, bands, chosen.ecut_Ha, chosen.kspacing_per_A, assumed=assumed)


ENGINE = EngineDescription(
    name="abinit",
    title="ABINIT",
    about="ABINIT (collinear, PAW)",
    settings=AbinitSettings,
    engine=_engine,
    finished=_finished,
    costs=EngineCosts(
        scf_seconds=1200.0,
        work=_work,
        seconds_per_operation=1.6e-10,
        electronic_steps=40.0,
        run_seconds=1.0,
        rests_on="labels of iron and iron-palladium of two to four atoms at 12 Ha (benchmarks/scf_cost.py)",
    ),
    constraints=("hard", "soft"),
    ladders={
        "cut-off": partial(rungs, names=("ecut_Ha", "pawecutdg_Ha"), factors=(1.2, 1.45)),
        "k-mesh": partial(rungs, names=("kspacing_per_A",), factors=(0.75, 0.55)),
    },
    programs=(Program("abinit", f"{INSTALL} (engine 'abinit')", "--version"),),
    datasets=DatasetSearch("PAW datasets", dataset_folders, find_dataset, "apt-get install abinit-data gpaw-data"),
    functional=lambda settings: "that of the PAW datasets",
)
