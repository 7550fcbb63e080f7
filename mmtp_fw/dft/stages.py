"""The records of the protocol: a `Stage` the moment it ends, a `Label`, and the `Outcome` of it all."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mmtp_fw.arrays import FloatArray
from mmtp_fw.dft.engine import SMOOTHED, ConstraintKind
from mmtp_fw.execution import Execution
from mmtp_fw.labelling import DECISIONS, Grade, OutcomeStatus, StageName


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
    IMPORTED = "imported"


class CheckVerdict(StrEnum):
    """What the work check of a label said; one that contradicts leaves no label."""

    CONFIRMED = "confirmed"
    UNCHECKED = "unchecked"


class Stage(BaseModel):
    """One finished calculation (or decision: map, accept) of the protocol.

    Lists over atoms have length n; moments in μB and signed, energies in eV, forces in eV/Å, stress in
    eV/Å³ (ASE sign, Voigt), magnetic forces −∂E/∂m in eV/μB of the moment `which_definition`.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")

    name: StageName
    index: int = Field(description="Place in the order of all stages, from 0")
    key: str = Field(description="Digest of what was asked for: the same key is never computed twice")
    kind: ConstraintKind = Field(description="How the moments were held")
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
    energy_noise_eV: float = Field(default=0.0, description="What self-consistency left open in the energy")
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
    execution: Execution | None = Field(
        default=None, description="Who computed it and with what; None of decisions and in records of earlier versions"
    )

    @model_validator(mode="before")
    @classmethod
    def _kind_of_older_records(cls, values: Any) -> Any:
        if isinstance(values, dict) and "kind" not in values:
            soft = values.get("constrained") is not None and values.get("lambda_eV_per_muB2") is not None
            return values | {"kind": ConstraintKind.SOFT if soft else ConstraintKind.NONE}
        return values

    def final_moments(self) -> FloatArray:
        """Return the moments of `which_definition`, shape (n,), in μB."""
        return np.array(self.achieved[self.which_definition])

    def smoothed_force(self) -> FloatArray:
        """Return −∂E/∂m^sWS = 2λ (m^sWS − m^constr), shape (n,), in eV/μB; zero without the penalty."""
        smoothed = np.array(self.achieved[SMOOTHED])
        if self.constrained is None or self.lambda_eV_per_muB2 is None:
            return np.zeros_like(smoothed)
        return np.asarray(2.0 * self.lambda_eV_per_muB2 * (smoothed - np.array(self.constrained)))


class Extrapolation(BaseModel):
    """The hard-constraint limit of a label: the energy at its own target.

    `method` is "taylor": from the label's moments to the target along its magnetic forces. (Records of earlier versions
    may hold "a+b/λ", a fit over stages of one constraint, whose limit was another state.)
    """

    model_config = ConfigDict(extra="forbid")

    method: str
    energy_eV: float
    energy_uncertainty_eV: float
    moments: list[float]
    moments_uncertainty: list[float]
    lambdas: list[float] = Field(description="λ of the label, none for a hard constraint")


class Check(BaseModel):
    """What the work check of a label found, per atom.

    `residual_eV_per_atom` is ΔE + ∫T·dm over the pair that ends at the label, `error_eV_per_atom` what the integral and
    self-consistency leave open; `points` are the keys of the calculations compared, the label's last.
    `other_start_eV_per_atom` is how far above the label a calculation from another density ended.
    """

    model_config = ConfigDict(extra="forbid")

    verdict: CheckVerdict
    residual_eV_per_atom: float | None = None
    error_eV_per_atom: float | None = None
    points: list[str] = Field(default_factory=list)
    other_start_eV_per_atom: float | None = None
    scf_runs: int = Field(default=0, description="Calculations that were made for the check alone")
    note: str = ""


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
    stress: list[float] | None = Field(description="None of an engine that computes none")
    moments: list[float]
    magnetic_forces: list[float] | None = Field(description="None of an imported label whose file has none")
    which_definition: str
    target: list[float]
    constraint: ConstraintKind = ConstraintKind.SOFT
    lambda_eV_per_muB2: float | None = Field(description="Of a soft constraint")
    mae_muB: float
    max_deviation_muB: float
    grade: Grade
    extrapolation: Extrapolation | None = Field(default=None, description="None of an imported label")
    integration_residual_eV_per_atom: float | None = Field(
        default=None,
        description="|ΔE + ∫T·dm| over the pair that the check judged; None where there is none",
    )
    check: Check | None = Field(default=None, description="None in records of earlier versions")
    bias_eV_per_atom: float | None = Field(
        default=None, description="Energy of the hard-constraint limit minus the label's"
    )
    engine: str
    settings_hash: str
    scf_runs: int
    stage_key: str = Field(description="Key of the stage that is the label")

    def to_atoms(self) -> Atoms:
        """Return the labelled configuration.

        Returns
        -------
        Atoms
            With a single-point calculator (energy, forces, stress where there is one, magmoms), the targets as initial
            moments, ``arrays["magnetic_forces"]`` in eV/μB where there are any, and in ``info`` the grade, the kind of
            constraint, λ of a soft one, deviations, and whether it was checked.
        """
        atoms = Atoms(self.symbols, positions=self.positions, cell=self.cell, pbc=self.pbc)
        atoms.set_initial_magnetic_moments(self.target)
        if self.magnetic_forces is not None:
            atoms.set_array("magnetic_forces", np.array(self.magnetic_forces))
        atoms.info.update(
            label_grade=self.grade.value,
            label_constraint=self.constraint.value,
            label_mae_muB=self.mae_muB,
            label_max_deviation_muB=self.max_deviation_muB,
        )
        if self.lambda_eV_per_muB2 is not None:
            atoms.info["label_lambda_eV_per_muB2"] = self.lambda_eV_per_muB2
        if self.check is not None:
            atoms.info["label_check"] = self.check.verdict.value
        stress = {} if self.stress is None else {"stress": np.array(self.stress)}
        atoms.calc = SinglePointCalculator(
            atoms, energy=self.energy_eV, forces=np.array(self.forces), magmoms=np.array(self.moments), **stress
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
