"""What a trajectory is asked for, and how it may end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ase import Atoms
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mmtp_fw.arrays import FloatArray


class MdSettings(BaseModel):
    """Settings of one trajectory (NVT; NPT with a pressure; NVE without a thermostat).

    Attributes
    ----------
    temperature_K : float
    steps : int
    timestep_fs : float
    thermostat_damping_fs : float
        Damping time of the Nosé–Hoover chain; 0 runs NVE.
    pressure_GPa : float or None
        Pressure that a Nosé–Hoover barostat holds by scaling the cell; None keeps the volume.
    barostat_damping_fs : float
    seed : int
        Of the initial velocities.
    relax_interval : int
        Moments are relaxed every so many steps; 0 keeps them fixed.
    relax_tolerance : float
        Largest magnetic force after a relaxation (eV/μB).
    flip_interval, flip_attempts : int
        Every so many steps so many Metropolis attempts to reverse one moment, at the set temperature; 0: none.
    grade_interval : int
        Steps between two looks at the extrapolation grade.
    candidate_interval : int
        Fewest steps between two saved configurations: neighbours in time hardly differ.
    gamma_select, gamma_break : float
        Grade above which configurations are saved, and above which the trajectory stops.
    max_candidates : int
        Saved configurations after which the trajectory stops: more would tell nothing new.
    sample_interval : int
        Steps between two records of thermodynamics and trajectory.
    max_temperature_factor : float
        A temperature above this multiple of the set one is an explosion.
    wall_seconds : float
        Wall time after which the trajectory stops; 0 for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature_K: float = Field(default=300.0, gt=0)
    steps: int = Field(default=1000, ge=1)
    timestep_fs: float = Field(default=2.0, gt=0)
    thermostat_damping_fs: float = Field(default=100.0, ge=0)
    pressure_GPa: float | None = None
    barostat_damping_fs: float = Field(default=1000.0, gt=0)
    seed: int = Field(default=1, ge=0)
    relax_interval: int = Field(default=1, ge=0)
    relax_tolerance: float = Field(default=1e-4, gt=0)
    flip_interval: int = Field(default=0, ge=0)
    flip_attempts: int = Field(default=1, ge=1)
    grade_interval: int = Field(default=1, ge=1)
    candidate_interval: int = Field(default=5, ge=1)
    gamma_select: float = Field(default=2.0, gt=0)
    gamma_break: float = Field(default=10.0, gt=0)
    max_candidates: int = Field(default=200, ge=1)
    sample_interval: int = Field(default=10, ge=1)
    max_temperature_factor: float = Field(default=20.0, gt=1)
    wall_seconds: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _barostat_has_a_thermostat(self) -> MdSettings:
        if self.pressure_GPa is not None and self.thermostat_damping_fs == 0:
            raise ValueError("pressure_GPa needs a thermostat: thermostat_damping_fs above 0")
        return self


class MdState(StrEnum):
    """How a trajectory ended."""

    COMPLETED = "completed"
    EXTRAPOLATED = "extrapolated"
    TOO_MANY_CANDIDATES = "too_many_candidates"
    MOMENTS_AT_BOUND = "moments_at_bound"
    MOMENTS_NOT_RELAXED = "moments_not_relaxed"
    EXPLODED = "exploded"
    NOT_A_NUMBER = "nan"
    LOST_ATOMS = "lost_atoms"
    CRASHED = "crashed"
    WALL_TIME = "wall_time"
    INTERRUPTED = "interrupted"


@dataclass
class MdResult:
    """A trajectory up to where it ended.

    Attributes
    ----------
    state : MdState
    steps_done : int
    max_grade : float
        Largest grade seen; 0 without an active set.
    candidates : list of Atoms
        Configurations above γ_select, or beyond what the potential was trained in, with their moments; info has step
        and grade, and outside, in words.
    thermo : dict of str to ndarray
        Columns step, temperature_K, potential_energy_eV, total_energy_eV, pressure_GPa,
        magnetization_muB_per_atom, absolute_moment_muB_per_atom (the mean of |m|), grade.
    frames : list of Atoms
        Sampled configurations with moments and velocities; info has step.
    last : Atoms or None
        The configuration that a continuation starts from.
    moment_evaluations : float
        Mean evaluations of the potential per step.
    wall_seconds : float
    message : str
        One line on how it ended.
    outside : int
        Looks at which moments, or at which sampled distances, were beyond those that the potential was trained in.
    """

    state: MdState = MdState.COMPLETED
    steps_done: int = 0
    max_grade: float = 0.0
    candidates: list[Atoms] = field(default_factory=list)
    thermo: dict[str, FloatArray] = field(default_factory=dict)
    frames: list[Atoms] = field(default_factory=list)
    last: Atoms | None = None
    moment_evaluations: float = 1.0
    wall_seconds: float = 0.0
    message: str = ""
    outside: int = 0
