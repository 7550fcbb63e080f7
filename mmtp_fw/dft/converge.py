"""What cut-offs and k-mesh leave open: one typical label at settings that get finer.

>>> from mmtp_fw.dft.converge import converge
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from pydantic import BaseModel, ConfigDict, Field, create_model

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.protocol import run_protocol
from mmtp_fw.dft.registry import checked_settings, describe, engines_with_ladders, get_engine
from mmtp_fw.dft.settings import ProtocolSettings
from mmtp_fw.dft.stages import Label
from mmtp_fw.errors import EngineError, InputError
from mmtp_fw.files import write_whole
from mmtp_fw.quantities import QUANTITIES


class _Differences(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def in_order(self) -> list[float | None]:
        """Return them in the order of `QUANTITIES`."""
        return [getattr(self, row.shown_key) for row in QUANTITIES.values()]


if TYPE_CHECKING:  # the fields come from a table, which no type checker reads
    _OfQuantities = _Differences
else:
    _OfQuantities = create_model(
        "_OfQuantities",
        __base__=_Differences,
        **{
            row.shown_key: (float | None, Field(default=None, description=f"Largest difference in {row.unit}"))
            for row in QUANTITIES.values()
        },
    )


class Differences(_OfQuantities):
    """How far a label is from the finest of its ladder; None of a quantity that the engine's labels lack.

    Energies differ by a constant between cut-offs, which is no error of what is trained on them; forces, stress and
    magnetic forces, their derivatives, show what is.
    """


class Rung(BaseModel):
    """One label of a ladder."""

    model_config = ConfigDict(extra="forbid")

    settings: dict[str, Any] = Field(description="What differs from the chosen settings; nothing for these themselves")
    scf_steps: int
    wall_seconds: float
    differences: Differences


class Convergence(BaseModel):
    """What the chosen settings of an engine leave open, by ladder."""

    model_config = ConfigDict(extra="forbid")

    engine: str
    settings: dict[str, Any] = Field(description="The chosen ones")
    formula: str
    targets_muB: list[float]
    ladders: dict[str, list[Rung]] = Field(description="From the chosen settings, or coarser, to the finest")

    def left_open(self) -> Differences:
        """Return what the chosen settings leave open, all ladders taken together (root of the sum of squares)."""
        chosen = [rung.differences for ladder in self.ladders.values() for rung in ladder if not rung.settings]
        columns = zip(*(differences.in_order() for differences in chosen), strict=True)
        totals = [_together(column) for column in columns]
        return Differences(**dict(zip((row.shown_key for row in QUANTITIES.values()), totals, strict=True)))


def _together(differences: Iterable[float | None]) -> float | None:
    known = [value for value in differences if value is not None]
    return float(np.sqrt(np.sum(np.square(known)))) if known else None


def converge(
    engine: str,
    settings: Mapping[str, Any],
    atoms: Atoms,
    protocol: ProtocolSettings | None = None,
    directory: Path | str = "converge",
    on_rung: Callable[[str, dict[str, Any]], None] | None = None,
) -> Convergence:
    """Label one configuration at the chosen settings and at finer ones.

    Parameters
    ----------
    engine : str
        Name of an engine whose description has ladders.
    settings : mapping
        The chosen settings.
    atoms : Atoms
        A typical configuration, with its target moments as initial magnetic moments.
    protocol : ProtocolSettings, optional
    directory : path
        A folder for every rung; a label that is there already is not made again.
    on_rung : callable, optional
        Called with the ladder's name and the settings before a label is made.

    Raises
    ------
    InputError
        An engine that has no cut-off or k-mesh to converge.
    EngineError
        A rung that gave no label.
    """
    description = describe(engine)
    chosen = checked_settings(description, settings).model_dump(mode="json")
    if not description.ladders:
        raise InputError(
            f"the engine '{engine}' has no cut-off or k-mesh to converge", f"one of {', '.join(engines_with_ladders())}"
        )
    root = Path(directory)
    ladders: dict[str, list[Rung]] = {}
    for name, finer in description.ladders.items():
        rungs = [{}, *finer(chosen)]
        labels = []
        for changes in rungs:
            if on_rung is not None:
                on_rung(name, changes)
            labels.append(_label(engine, {**settings, **changes}, atoms, protocol or ProtocolSettings(), root))
        finest = labels[-1][0]
        ladders[name] = [
            Rung(settings=changes, scf_steps=steps, wall_seconds=seconds, differences=_differences(label, finest))
            for changes, (label, steps, seconds) in zip(rungs, labels, strict=True)
        ]
    return Convergence(
        engine=engine,
        settings=dict(settings),
        formula=atoms.get_chemical_formula(),
        targets_muB=atoms.get_initial_magnetic_moments().tolist(),
        ladders=ladders,
    )


def _label(
    engine: str, settings: Mapping[str, Any], atoms: Atoms, protocol: ProtocolSettings, root: Path
) -> tuple[Label, int, float]:
    """Return the label at some settings with its electronic steps and seconds, made or read from its folder."""
    maker = get_engine(engine, **settings)
    asked = {
        "engine": maker.settings_document(),
        "protocol": protocol.model_dump(mode="json"),
        "symbols": list(atoms.symbols),
        "positions": atoms.positions.tolist(),
        "cell": np.asarray(atoms.cell).tolist(),
        "targets": atoms.get_initial_magnetic_moments().tolist(),
    }
    digest = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=8).hexdigest()
    folder = root / digest
    kept = folder / "label.json"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        outcome = run_protocol(maker, atoms, protocol, folder, check=False)
        if outcome.label is None:
            raise EngineError(f"no label at {dict(settings)}: {outcome.reason}", f"its files are in {folder}")
        steps, seconds = (
            sum(getattr(stage, name) for stage in outcome.stages) for name in ("scf_steps", "wall_seconds")
        )
        document = {"label": outcome.label.model_dump(mode="json"), "scf_steps": steps, "wall_seconds": seconds}
        write_whole(kept, json.dumps(document))
    found = json.loads(kept.read_text())
    return Label.model_validate(found["label"]), int(found["scf_steps"]), float(found["wall_seconds"])


def _differences(label: Label, finest: Label) -> Differences:
    own, best = _compared(label), _compared(finest)
    return Differences(
        **{
            row.shown_key: row.factor * float(np.max(np.abs(own[name] - best[name])))
            for name, row in QUANTITIES.items()
            if name in own and name in best
        }
    )


def _compared(label: Label) -> dict[str, FloatArray]:
    """Return what a label holds of every quantity, as errors are counted in it; the energy is that at its target."""
    atoms = label.to_atoms()
    assert label.extrapolation is not None, "only an imported label lacks it"
    results = atoms.calc.results | {"energy": label.extrapolation.energy_eV}
    found = {name: row.label(results, atoms) for name, row in QUANTITIES.items()}
    return {
        name: QUANTITIES[name].compared(np.asarray(value, dtype=float), len(atoms))
        for name, value in found.items()
        if value is not None
    }
