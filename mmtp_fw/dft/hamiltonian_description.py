"""What others know of the reference Hamiltonian as an engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from mmtp_fw.dft.registry import EngineCosts, EngineDescription

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from mmtp_fw.dft.engine import Engine


class HamiltonianSettings(BaseModel):
    """Settings of the reference Hamiltonian as an engine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jump_limit_scale: float = Field(
        default=1.0, gt=0, description="Scales the field jump that self-consistency survives; infinite: it never fails"
    )


def _engine(**settings: Any) -> Engine:
    from mmtp_fw.dft.hamiltonian import HamiltonianEngine

    return HamiltonianEngine(**settings)


def _calculator(settings: Mapping[str, Any]) -> Calculator:
    """Return the Hamiltonian itself: its settings concern self-consistency only."""
    from mmtp_fw.dft.hamiltonian_calculator import HamiltonianCalculator

    return HamiltonianCalculator()


ENGINE = EngineDescription(
    name="hamiltonian",
    title="Hamiltonian",
    about="the built-in reference Hamiltonian, a model that plays the electrons",
    settings=HamiltonianSettings,
    engine=_engine,
    costs=EngineCosts(scf_seconds=0.3, step_seconds_per_atom=2e-4),
    constraints=("soft", "hard"),
    dynamics=_calculator,
    functional=lambda settings: "none: a model",
)
