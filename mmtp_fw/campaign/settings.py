"""The settings of a campaign: every key of ``campaign.yaml``, its unit, default and meaning.

Units stand in the names: ``_A`` Å, ``_muB`` μB, ``_K`` kelvin, ``_fs`` femtoseconds, ``_eV`` eV. The defaults
are those of the Fe-Pd demonstration. Keys that are not listed here are refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model, field_validator, model_validator

from mmtp_fw.campaign.experiment import ExperimentSettings
from mmtp_fw.campaign.section import Count, Positive, Section, listed
from mmtp_fw.campaign.service import NotifySettings, WorkersSettings
from mmtp_fw.campaign.start_from import StartSettings
from mmtp_fw.campaign.system import SystemSettings
from mmtp_fw.dft import registry
from mmtp_fw.dft.settings import ProtocolSettings
from mmtp_fw.errors import InputError
from mmtp_fw.labelling import Grade
from mmtp_fw.quantities import QUANTITIES
from mmtp_fw.spectra import TOTAL
from mmtp_fw.structures.magnetic_orders import ALSO_CALLED, MAGNETIC_ORDERS, magnetic_order
from mmtp_fw.structures.phases import Phase


class PotentialSettings(Section):
    """The form of the magnetic Moment Tensor Potential."""

    level: int = Field(default=8, ge=2, le=24, description="Level of the potential, even")
    r_min_A: Positive = Field(default=1.9, description="Lower end of the radial range (Å); less at small volumes")
    r_cut_A: Positive = Field(default=5.0, description="Cut-off radius (Å)")
    radial_size: Count = Field(default=8, description="Number of radial Chebyshev functions")
    magnetic_size: Count = Field(default=3, description="Number of Chebyshev functions of a moment")
    max_moment_muB: Positive = Field(default=4.0, description="Largest size of a moment (μB); range is ± this")
    symmetrized: bool = Field(default=True, description="Exact E(M) = E(-M)")

    @model_validator(mode="after")
    def _consistent(self) -> PotentialSettings:
        if self.level % 2:
            raise ValueError(f"level must be even, not {self.level}")
        if self.r_min_A >= self.r_cut_A:
            raise ValueError("r_min_A must be smaller than r_cut_A")
        return self


class PretrainingSettings(Section):
    """The first training set: distorted, strained, disordered cells with various moments."""

    structures: int = Field(
        default=24, ge=0, description="Number of generated configurations; with start_from.labels none where not given"
    )
    displacement_A: Positive = Field(default=0.12, description="Largest standard deviation of displacements (Å)")
    strain: float = Field(default=0.02, ge=0, le=0.3, description="Largest random strain component")
    moment_scale: float = Field(
        default=0.25, ge=0, le=1, description="Standard deviation of moments relative to the typical ones"
    )
    flipped_fraction: float = Field(
        default=0.15, ge=0, le=1, description="Largest fraction of moments reversed in a configuration"
    )


class DftSettings(Section):
    """Where labels come from."""

    engine: str = Field(
        default=registry.DEFAULT,
        description="; ".join(f"{name}: {registry.describe(name).about}" for name in registry.own_engines())
        + "; or an engine that another package brings",
        json_schema_extra=lambda schema: schema.update(enum=list(registry.engine_names())),
    )
    settings: dict[str, Any] = Field(default={}, description="Settings of the engine, by its own names")
    protocol: ProtocolSettings = Field(default=ProtocolSettings(), description="Constraint, limits and checks")

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, value: str) -> str:
        registry.describe(value)
        return value

    @property
    def description(self) -> registry.EngineDescription:
        """What is known of the engine."""
        return registry.describe(self.engine)


if TYPE_CHECKING:  # the fields come from a table, which no type checker reads
    _LossWeights = Section
else:
    _LossWeights = create_model(
        "_LossWeights",
        __base__=Section,
        **{
            f"{row.name}_weight": (float, Field(default=row.weight, ge=0, description=f"Weight of {row.weighed}"))
            for row in QUANTITIES.values()
        },
    )


class FitSettings(_LossWeights):
    """The loss and its minimisation."""

    quality_weights: dict[Grade, float] = Field(
        default=dict.fromkeys(Grade, 1.0),
        description="Weight of a label by its quality (docs/dft.md); 0 leaves it out of the loss",
    )
    moment_deviation_muB: float = Field(
        default=0.0,
        ge=0,
        description="Labels that miss their targets by a mean of this (μB) weigh half; 0: all alike",
    )
    max_iterations: Count = Field(default=400, description="Largest number of optimiser steps")
    validation_fraction: float = Field(
        default=0.1, ge=0, lt=0.5, description="Fraction of labels kept from training, for validation"
    )
    starts: Count = Field(default=1, description="Random starts of the first fit, one Firework each; the best goes on")
    ensemble: Count = Field(
        default=5,
        description="The final potential and members fitted from it, by bags of its labels and noise, one Firework "
        "each; their spread is the uncertainty",
    )
    settings: dict[str, Any] = Field(
        default={}, description="Further settings of the fit, by the names of mmtp_fw.fitting"
    )

    @field_validator("quality_weights")
    @classmethod
    def _weights_of_all_qualities(cls, value: dict[Grade, float]) -> dict[Grade, float]:
        if set(value) != set(Grade) or min(value.values()) < 0 or max(value.values()) <= 0:
            raise ValueError("give A, B and C a weight each, none negative, one positive")
        return value


class SelectionSettings(Section):
    """Active-set rows and thresholds of the extrapolation grade."""

    mode: Literal["configuration", "site"] = Field(
        default="site", description="One row per configuration, or one per atom (large cells, early sets)"
    )
    gamma_select: Positive = Field(default=2.0, description="Grade above which MD saves a configuration")
    gamma_break: Positive = Field(default=10.0, description="Grade above which MD stops")
    max_per_iteration: Count = Field(default=8, description="Most configurations labelled per iteration")
    clean_rounds: Count = Field(
        default=2,
        description="Rounds in a row, each with seeds of its own, in which no trajectory selects anything before a "
        "campaign has converged",
    )

    @model_validator(mode="after")
    def _consistent(self) -> SelectionSettings:
        if self.gamma_select >= self.gamma_break:
            raise ValueError("gamma_select must be smaller than gamma_break")
        return self


class MdSection(Section):
    """Molecular dynamics at fixed volume, for exploration."""

    temperatures_K: list[Positive] = Field(default=[300.0], min_length=1, description="Temperatures (K)")
    steps: Count = Field(default=1000, description="Steps of one trajectory")
    timestep_fs: Positive = Field(default=2.0, description="Time step (fs)")
    replicas: Count = Field(default=1, description="Trajectories per lattice parameter, temperature and order")
    magnetic_orders: list[str] = Field(
        default=["ferromagnetic"],
        min_length=1,
        description="Magnetic orders that trajectories start with, moments of their typical sizes (disordered: either "
        "sign by chance; also called random). " + listed(MAGNETIC_ORDERS),
        json_schema_extra={"items": {"type": "string", "enum": [*MAGNETIC_ORDERS, *ALSO_CALLED]}},
    )
    settings: dict[str, Any] = Field(default={}, description="Further settings of mmtp_fw.md, by their names there")

    @field_validator("magnetic_orders")
    @classmethod
    def _known_orders(cls, value: list[str]) -> list[str]:
        if len({magnetic_order(name) for name in value}) < len(set(value)):
            raise ValueError(f"one order is named by two words: {', '.join(value)}")
        return value


class BudgetSettings(Section):
    """What a campaign may spend; when it is spent, the final properties are computed and it ends."""

    max_iterations: Count = Field(default=10, description="Most rounds of MD, selection, labels and fit")
    max_labels: Count = Field(default=200, description="Most configurations sent to DFT")
    max_scf_runs: Count = Field(default=3000, description="Most self-consistent calculations")
    max_failed_fraction: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Fraction of rejected and failed labels that ends a campaign, looked at from the tenth label on",
    )
    max_stalled_iterations: Count = Field(
        default=2, description="Rounds in a row without a new label after which a campaign ends"
    )
    max_attempts: Count = Field(default=3, description="Attempts at one action before it counts as failed")


class PropertiesSettings(Section):
    """The final comparison, at every lattice parameter, trained or held out."""

    mode: Literal["thermal", "static"] = Field(
        default="thermal",
        description="thermal: averages of molecular dynamics; static: the undistorted ferromagnetic cell with "
        "relaxed moments, which a DFT engine can afford as reference, and its default",
    )
    magnetic_order: str | None = Field(
        default=None,
        description="Magnetic order of the comparison; by default ferromagnetic where md.magnetic_orders has it, else "
        "the first of them. Named phases are compared in their own orders",
        json_schema_extra={"enum": [*MAGNETIC_ORDERS, *ALSO_CALLED, None]},
    )
    temperature_K: Positive = Field(default=300.0, description="Temperature (K)")
    steps: Count = Field(default=2000, description="MD steps of one average")
    equilibration_steps: int = Field(default=400, ge=0, description="Steps left out of the average")
    replicas: Count = Field(default=1, description="Independent trajectories per average")
    reference: bool = Field(default=True, description="Compute the same with the engine itself")
    phonon_dos: bool = Field(default=True, description="Phonon density of states from velocities")
    settings: dict[str, Any] = Field(
        default={}, description="Further settings of mmtp_fw.md for these runs, by their names there"
    )
    experiment: list[ExperimentSettings] = Field(
        default=[],
        description="CSV files of what was measured, drawn beside what is computed: a list of file names "
        "(docs/experiment.md). May be changed at any time: it changes nothing that is computed",
    )

    @field_validator("magnetic_order")
    @classmethod
    def _known_order(cls, value: str | None) -> str | None:
        if value is not None:
            magnetic_order(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> PropertiesSettings:
        if self.equilibration_steps >= self.steps:
            raise ValueError("equilibration_steps must be smaller than steps")
        return self


class Campaign(Section):
    """A whole campaign, as `mmtp run` takes it.

    Examples
    --------
    >>> Campaign(name="fe-pd").system.lattice_parameters_A
    [3.65, 3.7, 3.75, 3.8]
    """

    name: str = Field(description="Identifies the campaign in the database: letters, digits, '-', '_', '.'")
    seed: int = Field(default=0, ge=0, description="Seed of everything random in the campaign")
    system: SystemSettings = Field(default=SystemSettings())
    potential: PotentialSettings = Field(default=PotentialSettings())
    start_from: StartSettings = Field(default=StartSettings())
    pretraining: PretrainingSettings = Field(default=PretrainingSettings())
    dft: DftSettings = Field(default=DftSettings())
    fit: FitSettings = Field(default=FitSettings())
    selection: SelectionSettings = Field(default=SelectionSettings())
    md: MdSection = Field(default=MdSection())
    budget: BudgetSettings = Field(default=BudgetSettings())
    properties: PropertiesSettings = Field(default=PropertiesSettings())
    workers: WorkersSettings = Field(default=WorkersSettings())
    notify: NotifySettings = Field(default=NotifySettings())

    @field_validator("name")
    @classmethod
    def _slug(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
            raise ValueError(
                "a name has 1 to 64 letters, digits, '-', '_' or '.', and starts with one of the first two"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _dft_is_compared_at_rest(cls, data: Any) -> Any:
        """Take the mode that a DFT engine can afford where nothing is said."""
        if not isinstance(data, dict):
            return data
        dft, properties = data.get("dft"), data.get("properties") or {}
        if not isinstance(dft, dict) or not isinstance(properties, dict):
            return data
        engine = dft.get("engine", registry.DEFAULT)
        if "mode" in properties or not properties.get("reference", True) or engine not in registry.engine_names():
            return data
        if registry.describe(engine).dynamics is not None:
            return data
        return data | {"properties": properties | {"mode": "static"}}

    @model_validator(mode="before")
    @classmethod
    def _labels_instead_of_pretraining(cls, data: Any) -> Any:
        """Generate nothing where labels are there and nothing is said."""
        start = data.get("start_from") if isinstance(data, dict) else None
        if not isinstance(start, dict) or not start.get("labels"):
            return data
        pretraining = data.get("pretraining") or {}
        if not isinstance(pretraining, dict) or "structures" in pretraining:
            return data
        return data | {"pretraining": pretraining | {"structures": 0}}

    @model_validator(mode="after")
    def _something_to_fit(self) -> Campaign:
        if not self.pretraining.structures and not self.start_from.labels:
            raise ValueError("pretraining.structures = 0: without start_from.labels there is nothing to fit")
        return self

    @model_validator(mode="after")
    def _reference_can_be_computed(self) -> Campaign:
        possible = self.dft.description.dynamics is not None or self.properties.mode == "static"
        if self.properties.reference and not possible:
            raise ValueError(
                f"properties: {self.dft.engine} has no molecular dynamics to compare with; "
                "set mode: static, or reference: false"
            )
        return self

    @model_validator(mode="after")
    def _labels_have_what_is_asked_of_them(self) -> Campaign:
        """Refuse to weigh or to compare what the engine does not compute: a fit leaves such labels out."""
        engine = self.dft.description
        for name in engine.lacks:
            if getattr(self.fit, f"{name}_weight") > 0:
                raise ValueError(f"fit.{name}_weight: {engine.title}'s labels have no {name}; set it to 0")
        if self.properties.reference and "stress" in engine.lacks:
            raise ValueError(
                f"properties.reference: {engine.title} computes no stress: there is no pressure to compare; "
                "set it to false"
            )
        return self

    @model_validator(mode="after")
    def _engine_has_the_constraint(self) -> Campaign:
        engine, asked = self.dft.description, self.dft.protocol.constraint
        if asked not in ("auto", *engine.constraints):
            offered = " or ".join(engine.constraints)
            raise ValueError(
                f"dft.protocol.constraint: {engine.title} has no {asked} constraint; set auto or {offered}"
            )
        return self

    @model_validator(mode="after")
    def _measurements_have_a_place(self) -> Campaign:
        """Refuse measurements of what the campaign does not compute."""
        named = [phase.name for phase in self.phases if phase.name]
        for number, one in enumerate(self.properties.experiment):
            place = f"properties.experiment.{number} ({one.file})"
            if one.species not in (TOTAL, *self.system.species):
                raise ValueError(f"{place}: {one.species} is no species of the campaign, nor total")
            if one.quantity == "spectrum" and one.lattice_parameter_A is None:
                raise ValueError(f"{place}: a spectrum needs a line `# lattice_parameter_A: …`")
            if named and one.phase not in named:
                raise ValueError(f"{place}: needs a line `# phase: …` with one of {', '.join(named)}")
            if not named and one.phase is not None:
                raise ValueError(f"{place}: phase {one.phase}, but the campaign has no named phases")
        return self

    @model_validator(mode="after")
    def _budget_covers_pretraining(self) -> Campaign:
        if self.budget.max_labels < self.pretraining.structures:
            raise ValueError(
                f"budget.max_labels = {self.budget.max_labels} doesn't even cover "
                f"pretraining.structures = {self.pretraining.structures}"
            )
        largest = max(abs(moment) for moment in self.system.typical_moments_muB.values())
        if largest >= self.potential.max_moment_muB:
            raise ValueError("potential.max_moment_muB must exceed every one of system.typical_moments_muB")
        return self

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What the campaign is about: one phase without a name, or those of ``system.phases``."""
        return self.system.phases_in(self.md.magnetic_orders, self.properties.magnetic_order)

    def phase(self, name: str | None) -> Phase:
        """Return a phase by the name that an action has of it; None: the only one of a campaign without names.

        Raises
        ------
        InputError
            There is none of that name.
        """
        for one in self.phases:
            if one.name == (name or ""):
                return one
        known = ", ".join(one.name for one in self.phases)
        raise InputError(f"campaign '{self.name}' has no phase '{name}'", f"its phases: {known}")

    def document(self) -> dict[str, Any]:
        """Return the settings as JSON-able nested dicts; `Campaign.model_validate` takes them back."""
        return self.model_dump(mode="json")
