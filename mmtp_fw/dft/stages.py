"""The records of the protocol: a `Stage` the moment it ends, a `Label`, and the `Outcome` of it all."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pydantic import BaseModel, ConfigDict, Field


class StageName(StrEnum):
    """The six stages of the soft-constrained protocol, in their order."""

    EQUILIBRIUM = "equilibrium"
    RADII = "radii"
    MAP = "map"
    RAMP = "ramp"
    REFINE = "refine"
    ACCEPT = "accept"


DECISIONS = (StageName.MAP, StageName.ACCEPT)
"""Stages without a calculation."""


class OutcomeStatus(StrEnum):
    """How the protocol ended for one configuration."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Rule(StrEnum):
    """The rule that decided an outcome."""

    CRITERIA_MET = "criteria_met"
    SMALLEST_MAE_USEFUL = "smallest_mae_useful"
    MOMENTS_TOO_FAR = "moments_too_far"
    MOMENT_FLIPPED = "moment_flipped"
    NO_CONVERGED_STAGE = "no_converged_stage"
    INCONSISTENT_ENERGY = "inconsistent_energy"
    ENGINE_FAILED = "engine_failed"
    INPUT_REFUSED = "input_refused"
    STOPPED = "stopped"


class Grade(StrEnum):
    """Quality of a label.

    A: inside both limits, energies agree with the magnetic forces along the ramp and from the unconstrained state.
    B: inside both limits; the unconstrained state is too far away to tell, or does not agree (another branch, or an
       energy that still holds some penalty), or there is one constrained stage only.
    C: moments off target but near enough to be useful; the label is exact at its own moments.

    Where energies along the ramp disagree with the magnetic forces there is no label.
    """

    A = "A"
    B = "B"
    C = "C"


class Stage(BaseModel):
    """One finished calculation (or decision: map, accept) of the protocol.

    Lists over atoms have length n; moments in μB and signed, energies in eV, forces in eV/Å, stress in
    eV/Å³ (ASE sign, Voigt), magnetic forces −∂E/∂m in eV/μB of the moment `which_definition`.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")

    name: StageName
    index: int = Field(description="Place in the order of all stages, from 0")
    key: str = Field(description="Digest of what was asked for: the same key is never computed twice")
    lambda_eV_per_muB2: float | None = None
    target: list[float]
    constrained: list[float] | None = None
    achieved: dict[str, list[float]] = Field(default_factory=dict)
    which_definition: str
    mae_muB: float | None = None
    max_deviation_muB: float | None = None
    energy_eV: float | None = Field(default=None, description="Without the penalty")
    energy_with_penalty_eV: float | None = None
    penalty_eV: float | None = None
    forces: list[list[float]] | None = None
    stress: list[float] | None = None
    magnetic_forces: list[float] | None = None
    scf_steps: int = 0
    converged: bool
    wall_seconds: float = 0.0
    host: str = ""
    started: datetime
    ended: datetime
    radii_A: dict[str, float] | None = None
    slope: dict[str, float] | None = Field(
        default=None, description="d m^sWS / d m^final by species, as measured in this stage"
    )
    datasets: dict[str, str] = Field(
        default_factory=dict, description="Digest of every species' pseudopotential or PAW dataset that was used"
    )
    restart: dict[str, Any] = Field(default_factory=dict)
    reused_from: str | None = Field(
        default=None, description="The calculation that computed it, where another one than this did"
    )
    message: str = ""

    def final_moments(self) -> np.ndarray:
        """Return the moments of `which_definition`, shape (n,), in μB."""
        return np.array(self.achieved[self.which_definition])


class Extrapolation(BaseModel):
    """The hard-constraint limit λ → ∞ of a label, from its ramp.

    `method` is "a+b/λ" (least squares over the stages of one constraint) or "taylor" (from the label's
    moments to the target along its magnetic forces, when one stage is all there is).
    """

    model_config = ConfigDict(extra="forbid")

    method: str
    energy_eV: float
    energy_uncertainty_eV: float
    moments: list[float]
    moments_uncertainty: list[float]
    lambdas: list[float] = Field(description="The stages used")


class Label(BaseModel):
    """The result that a potential is trained on, with what is known of its quality.

    The moments are those that were reached, in `which_definition`, never the targets.
    """

    model_config = ConfigDict(extra="forbid")

    symbols: list[str]
    positions: list[list[float]]
    cell: list[list[float]]
    pbc: list[bool]
    energy_eV: float
    forces: list[list[float]]
    stress: list[float]
    moments: list[float]
    magnetic_forces: list[float]
    which_definition: str
    target: list[float]
    lambda_eV_per_muB2: float
    mae_muB: float
    max_deviation_muB: float
    grade: Grade
    extrapolation: Extrapolation
    integration_residual_eV_per_atom: float | None = Field(
        default=None,
        description="Largest |ΔE + ∫T dm| between neighbouring constrained stages; None if not testable",
    )
    bias_eV_per_atom: float = Field(description="Energy of the λ→∞ limit minus the label's")
    engine: str
    settings_hash: str
    scf_runs: int
    stage_key: str = Field(description="Key of the stage that is the label")

    def to_atoms(self) -> Atoms:
        """Return the labelled configuration.

        Returns
        -------
        Atoms
            With a single-point calculator (energy, forces, stress, magmoms), the targets as initial
            moments, ``arrays["magnetic_forces"]`` in eV/μB, and in ``info`` the grade, λ and deviations.
        """
        atoms = Atoms(self.symbols, positions=self.positions, cell=self.cell, pbc=self.pbc)
        atoms.set_initial_magnetic_moments(self.target)
        atoms.set_array("magnetic_forces", np.array(self.magnetic_forces))
        atoms.info.update(
            label_grade=self.grade.value,
            label_lambda_eV_per_muB2=self.lambda_eV_per_muB2,
            label_mae_muB=self.mae_muB,
            label_max_deviation_muB=self.max_deviation_muB,
        )
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=self.energy_eV,
            forces=np.array(self.forces),
            stress=np.array(self.stress),
            magmoms=np.array(self.moments),
        )
        return atoms


class Outcome(BaseModel):
    """How it ended: a verdict is data, whatever it is."""

    model_config = ConfigDict(extra="forbid")

    status: OutcomeStatus
    reason: str
    rule: Rule
    stages: list[Stage]
    label: Label | None = None

    @property
    def scf_runs(self) -> int:
        """Number of self-consistent calculations made for it, failed ones included, those of others not."""
        return sum(stage.name not in DECISIONS and stage.reused_from is None for stage in self.stages)
