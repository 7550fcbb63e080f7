"""What others know of Elk as an engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmtp_fw.dft.elk.settings import INSTALL, ElkSettings, find_species, muffin_tin_bohr, species_folders
from mmtp_fw.dft.machine import DatasetSearch, Program
from mmtp_fw.dft.registry import EngineCosts, EngineDescription
from mmtp_fw.errors import EngineError

if TYPE_CHECKING:
    from ase import Atoms

    from mmtp_fw.dft.engine import Engine
    from mmtp_fw.dft.work import ScfWork


def _engine(**settings: Any) -> Engine:
    from mmtp_fw.dft.elk.engine import ElkEngine

    return ElkEngine(**settings)


# Of a species whose file is not on this machine.
_USUAL_RADIUS_BOHR = 1.9


def _work(settings: Mapping[str, Any], atoms: Atoms) -> ScfWork:
    from mmtp_fw.dft.work import augmented_wave_work, guessed_valence

    chosen = ElkSettings.model_validate(dict(settings))
    radii = []
    for species in set(atoms.symbols):
        try:
            radii.append(muffin_tin_bohr(find_species(species, chosen), chosen))
        except EngineError:
            radii.append(_USUAL_RADIUS_BOHR)
    electrons = sum(guessed_valence(symbol) + 8 for symbol in atoms.symbols)  # and the s and p shells below
    bands = round(electrons / 2 + chosen.nempty * len(atoms))
    return augmented_wave_work(atoms, bands, 0.5 * (chosen.rgkmax / min(radii)) ** 2, chosen.kspacing_per_A)


ENGINE = EngineDescription(
    name="elk",
    title="Elk",
    about="Elk (all-electron, collinear, LAPW)",
    settings=ElkSettings,
    engine=_engine,
    costs=EngineCosts(
        scf_seconds=36000.0,
        work=_work,
        seconds_per_operation=3.8e-10,
        electronic_steps=70.0,
        run_seconds=5.0,
        rests_on="constrained iron of two atoms (benchmarks/elk_against_abinit.py)",
    ),
    constraints=("hard",),
    lacks=("stress",),
    programs=(Program("elk-lapw", f"{INSTALL} (engine 'elk')"),),
    datasets=DatasetSearch("species files", species_folders, find_species, INSTALL),
    page="docs/elk.md",
    functional=lambda settings: "PBE (xctype 20)",
)
