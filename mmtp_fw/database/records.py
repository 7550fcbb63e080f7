"""What is in the database: one document class per collection.

Documents are written once and, calculations and actions aside, never changed. Every one carries the version
of its schema, the time it was made and the version of the code that made it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

import mmtp_fw

SCHEMA_VERSION = 1


class Document(BaseModel):
    """What all documents have.

    Attributes
    ----------
    id : str or int
        ``_id`` in MongoDB.
    schema_version : int
    created : datetime
        UTC.
    code_version : str
    """

    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    id: Any = Field(alias="_id")
    schema_version: int = SCHEMA_VERSION
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    code_version: str = mmtp_fw.__version__

    def to_mongo(self) -> dict[str, Any]:
        """Return the document as MongoDB takes it."""
        return self.model_dump(by_alias=True)


class CampaignDocument(Document):
    """A campaign; its id is its name.

    Attributes
    ----------
    convergence : dict or None
        What its engine's settings leave open: `mmtp_fw.dft.converge.Convergence`.
    """

    name: str
    settings: dict[str, Any]
    finished: datetime | None = None
    stop: str | None = None
    convergence: dict[str, Any] | None = None


class ConfigurationDocument(Document):
    """A structure with target moments; its id is its content hash.

    Attributes
    ----------
    number : int
        Short id for people.
    atoms : dict
        See `mmtp_fw.database.atoms_codec`; its moments are the targets.
    formula : str
    n_atoms : int
    origin : dict
        Where it came from: campaign and action; for selected ones also md_run, step, potential and grade, for
        generated ones the generator.
    hash_rule : str
        How the content hash was made.
    """

    number: int
    atoms: dict[str, Any]
    formula: str
    n_atoms: int
    origin: dict[str, Any]
    hash_rule: str


class CalculationDocument(Document):
    """A label in the making or made; its id is "<configuration>/<settings hash>".

    Attributes
    ----------
    configuration : str
        Content hash.
    engine : str
    engine_settings : dict
        All that defines the label.
    status : str
        "running", "accepted", "rejected" or "failed".
    stages : list of dict
        Every stage with λ, targets, constrained and achieved moments, energies …
    label : dict or None
    quality : dict or None
    reason, rule : str or None
        Why it was rejected, or accepted with reserve.
    owners : list of str
        The processes that worked on it.
    finished : datetime or None
    """

    configuration: str
    engine: str
    engine_settings: dict[str, Any]
    status: str = "running"
    stages: list[dict[str, Any]] = Field(default_factory=list)
    label: dict[str, Any] | None = None
    quality: dict[str, Any] | None = None
    reason: str | None = None
    rule: str | None = None
    owners: list[str] = Field(default_factory=list)
    finished: datetime | None = None


class TrainingSetDocument(Document):
    """An immutable list of labels; its id is the hash of the list.

    Attributes
    ----------
    calculations : list of str
        Keys of the calculations, sorted; those of the validation set are in `validation`, too.
    validation : list of str
    """

    calculations: list[str]
    validation: list[str] = Field(default_factory=list)


class PotentialDocument(Document):
    """A version of the potential; its id is a whole number that counts up in the database.

    Attributes
    ----------
    campaign : str or None
    iteration : int or None
    action : str or None
        Key of the action that made it.
    role : str
        "version": molecular dynamics may run with it; "member": of the ensemble that measures uncertainty.
    member_of : int or None
        The version whose training set and ensemble it shares.
    parent : int or None
    level : int or None
    species : list of str
    n_parameters : int
    text : str
        The `.mmtp` file.
    content_hash : str
    training_set : str or None
    weights, errors, validation_errors, fit : dict
        How it was fitted and how well it fits.
    active_set : str or None
        Blob (sha256) of the active set.
    """

    campaign: str | None = None
    iteration: int | None = None
    action: str | None = None
    role: str = "version"
    member_of: int | None = None
    parent: int | None = None
    level: int | None = None
    species: list[str] = Field(default_factory=list)
    n_parameters: int = 0
    text: str
    content_hash: str
    training_set: str | None = None
    weights: dict[str, Any] = Field(default_factory=dict)
    errors: dict[str, Any] = Field(default_factory=dict)
    validation_errors: dict[str, Any] = Field(default_factory=dict)
    fit: dict[str, Any] = Field(default_factory=dict)
    active_set: str | None = None


class MdRunDocument(Document):
    """A trajectory; its id is the key of its action.

    Attributes
    ----------
    number : int
        Short id for people.
    campaign, iteration, potential
    params : dict
        Lattice parameter, temperature, seed …
    state : str
        How it ended.
    steps : int
    max_grade : float or None
    message : str
    wall_seconds : float
    thermo : str or None
        Blob (sha256) of the recorded columns.
    candidates : str or None
        Blob of the saved configurations.
    n_candidates : int
    trajectory : str or None
        Blob of the sampled frames, the last step at the end; see `mmtp_fw.database.trajectories`.
    continues : str or None
        Key of the run whose last step it started from.
    host : str
    """

    number: int
    campaign: str
    iteration: int
    potential: int
    params: dict[str, Any]
    state: str
    steps: int
    max_grade: float | None = None
    message: str = ""
    wall_seconds: float = 0.0
    thermo: str | None = None
    candidates: str | None = None
    n_candidates: int = 0
    trajectory: str | None = None
    continues: str | None = None
    host: str = ""


class PropertyDocument(Document):
    """Averages at one lattice parameter; its id is the key of its action.

    Attributes
    ----------
    campaign, iteration, source, potential, params, values
    trajectory : str or None
        Blob of some frames after equilibration; see `mmtp_fw.database.trajectories`.
    """

    campaign: str
    iteration: int
    source: str
    potential: int | None = None
    params: dict[str, Any]
    values: dict[str, Any]
    trajectory: str | None = None


class ClaimDocument(Document):
    """Who works on what; its id is the key of the action. See `mmtp_fw.database.claims`."""

    owner: str
    fence: int
    lease_until: datetime


class ActionDocument(Document):
    """A planned step of a campaign; its id is its key, which makes planning idempotent.

    Attributes
    ----------
    campaign, kind, category, iteration, params, after, priority
        See `mmtp_fw.loop.facts.Action`.
    result : dict or None
        The fact; None until the action is finished.
    finished : datetime or None
    errors : list of dict
        Failed attempts.
    not_here : dict or None
        owner and reason of the last worker whose machine could not do it.
    """

    campaign: str
    kind: str
    category: str
    iteration: int
    params: dict[str, Any] = Field(default_factory=dict)
    after: list[str] = Field(default_factory=list)
    priority: int = 0
    result: dict[str, Any] | None = None
    finished: datetime | None = None
    errors: list[dict[str, Any]] = Field(default_factory=list)
    not_here: dict[str, str] | None = None
