"""What mmtp_fw knows of the toy engine."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from pydantic import Field

from mmtp_fw.dft.machine import DatasetSearch, Program
from mmtp_fw.dft.program_settings import ProgramSettings
from mmtp_fw.dft.registry import EngineCosts, EngineDescription
from mmtp_fw.errors import EngineError


class ToySettings(ProgramSettings):
    """Settings of the toy engine."""

    command: str = Field(default="toy-scf", description="The program")
    cutoff_A: float = Field(default=3.4, gt=0, description="Where pairs end")


class ToyDataset:
    """Parameters of one species."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parameters = json.loads(path.read_text())
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()


def folders() -> list[Path]:
    named = os.environ.get("MMTP_TOY_DATA", "")
    return [*map(Path, filter(None, named.split(os.pathsep))), Path(__file__).with_name("data")]


def find(species: str, settings: ToySettings) -> ToyDataset:
    for folder in folders():
        if (folder / f"{species}.json").is_file():
            return ToyDataset(folder / f"{species}.json")
    raise EngineError(f"no toy parameters of {species}")


def _engine(**settings):
    from mmtp_toy.engine import ToyEngine

    return ToyEngine(**settings)


def _calculator(settings):
    from mmtp_toy.engine import ToyCalculator

    return ToyCalculator(ToySettings(**settings))


ENGINE = EngineDescription(
    name="toy",
    title="Toy",
    about="a toy of Morse pairs",
    settings=ToySettings,
    engine=_engine,
    costs=EngineCosts(scf_seconds=36000.0, step_seconds_per_atom=1e-4),
    dynamics=_calculator,
    programs=(Program("toy-scf", "pip install mmtp-toy", "--version"),),
    datasets=DatasetSearch("toy parameters", folders, find, "name their folder in MMTP_TOY_DATA"),
)
