"""Settings of the staged protocol, each with its default."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ProtocolSettings(BaseModel):
    """What the protocol decides by; every default is this project's choice.

    Examples
    --------
    >>> ProtocolSettings(adaptive=False).lambda_max
    50.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    constraint: Literal["auto", "hard", "soft"] = Field(
        default="auto", description="How moments are held; auto: as the engine does it best"
    )
    hard_tolerance_muB: float = Field(
        default=1e-3, gt=0, description="Hard: largest deviation from target of a calculation that held its moments"
    )
    hard_from_lambda_eV_per_muB2: float = Field(
        default=1.0, gt=0, description="Hard: λ of the soft calculation to start from where a cold start fails"
    )
    check_first: int = Field(
        default=10, ge=0, description="So many labels of a campaign, the first, are checked by calculations made for it"
    )
    check_every: int = Field(default=10, ge=0, description="Every so manieth (0: suspects only)")
    check_step_muB: float = Field(
        default=0.03, gt=0, description="Mean change of the moments at a check's second point"
    )
    adaptive: bool = Field(default=True, description="Choose λ from the measured response")
    lambda_series: tuple[float, ...] = Field(
        default=(1.0, 5.0, 10.0, 25.0, 50.0),
        description="λ of the ramp in eV/μB²; adaptive: only its first and last are used, as bounds",
    )
    mae_limit_muB: float = Field(default=0.05, gt=0, description="Largest mean deviation from target")
    max_limit_muB: float = Field(default=0.15, gt=0, description="Largest deviation of one atom from target")
    refine_limit_mae_muB: float = Field(default=0.01, ge=0, description="Refine while the mean is above")
    refine_runs: int = Field(default=2, ge=0, description="Most refinements")
    useful_mae_limit_muB: float = Field(default=0.25, gt=0, description="Off target, still a label: mean")
    useful_max_limit_muB: float = Field(default=0.6, gt=0, description="Off target, still a label: one atom")
    flip_threshold_muB: float = Field(default=0.3, gt=0, description="Targets above it must keep their sign")
    radii_lambda_eV_per_muB2: float = Field(default=0.5, gt=0, description="λ of the radii stage")
    radii_tolerance: float = Field(default=0.02, gt=0, description="|m^PAW/m^WS − 1| that ends radii")
    radii_tolerance_muB: float = Field(
        default=0.02, gt=0, description="Mean |m^PAW − m^WS| of a species that ends it as well"
    )
    radii_runs: int = Field(default=3, ge=1, description="Most calculations of the radii stage")
    step_backs: int = Field(default=5, ge=0, description="Most steps back after failures")
    ramp_runs: int = Field(default=15, ge=1, description="Adaptive: most calculations of the ramp")
    growth_limit: float = Field(default=10.0, gt=1, description="Adaptive: largest λ ratio between two steps")
    aim: float = Field(default=0.7, gt=0, le=1, description="Adaptive: aim at this fraction of the limits")
    integration_tolerance_eV_per_atom: float = Field(
        default=0.0005, gt=0, description="|ΔE + ∫T dm| beyond the error of both that is taken as agreement"
    )
    hard_integration_tolerance_eV_per_atom: float = Field(
        default=0.0001, gt=0, description="The same between hard calculations, which are as exact as self-consistency"
    )
    integration_tolerance_relative: float = Field(
        default=0.05, ge=0, description="Soft: the same, of Σ|T dm|, for the slope in T is a fit"
    )

    @model_validator(mode="after")
    def _series_rises(self) -> ProtocolSettings:
        series = self.lambda_series
        if not series or series[0] <= 0 or any(b <= a for a, b in pairwise(series)):
            raise ValueError("lambda_series must be positive and rising")
        return self

    @property
    def lambda_max(self) -> float:
        """Largest λ of the ramp, eV/μB²."""
        return self.lambda_series[-1]

    def checks(self, number: int) -> bool:
        """Return whether the label with that number in its campaign, from 0, is to be checked."""
        return number < self.check_first or (self.check_every > 0 and number % self.check_every == 0)
