"""The collections, each declared once: what is in it, what it refers to, what is indexed.

Indexes, `mmtp db check`, what restoring calls empty and ``docs/schema.md`` are read from here; a collection that is not
here can't be asked for by `Database`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, overload

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database as MongoDatabase

from mmtp_fw.database import records
from mmtp_fw.database.records import Record

KEY = "_id"


@dataclass(frozen=True)
class Link:
    """A field that holds ids of another collection's documents.

    Attributes
    ----------
    field : str
        Path of the field; a list holds several.
    to : str
        Name of the other collection.
    by : str
        What of the other documents it holds.
    """

    field: str
    to: str
    by: str = KEY


class Declared:
    """A collection; as an attribute of an open `Database` it is pymongo's.

    Parameters
    ----------
    model : type of Record
        What its documents hold.
    key : str
        What ``_id`` is, for people.
    campaign : str, optional
        The field with the name of the campaign that a document belongs to; "_id" where the key begins with it.
    links : sequence of Link
        Beside the campaign.
    blobs : sequence of str
        Fields that hold the digest of a blob.
    indexes : sequence of IndexModel
    content : bool
        Whether a document in it means that somebody has used the database; otherwise it is bookkeeping.
    """

    def __init__(
        self,
        model: type[Record],
        key: str,
        *,
        campaign: str | None = None,
        links: tuple[Link, ...] = (),
        blobs: tuple[str, ...] = (),
        indexes: tuple[IndexModel, ...] = (),
        content: bool = True,
    ) -> None:
        self.name = ""
        self.model = model
        self.key = key
        self.campaign = campaign
        self.links = links
        self.blobs = blobs
        self.indexes = indexes
        self.content = content

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Declared: ...

    @overload
    def __get__(self, instance: Collections, owner: type) -> Collection[dict[str, Any]]: ...

    def __get__(self, instance: Collections | None, owner: type) -> Declared | Collection[dict[str, Any]]:
        return self if instance is None else instance.db[self.name]

    def __set__(self, instance: Collections, value: object) -> None:
        raise AttributeError(f"'{self.name}' is a collection")

    def of_campaign(self, campaign: str) -> dict[str, Any]:
        """Return the query for what belongs to a campaign.

        Raises
        ------
        ValueError
            Documents of this collection belong to none.
        """
        if self.campaign is None:
            raise ValueError(f"documents of '{self.name}' belong to no campaign")
        if self.campaign == KEY:
            return {KEY: {"$gte": f"{campaign}/", "$lt": f"{campaign}0"}}  # "0" follows "/"
        return {self.campaign: campaign}


def upserted(
    collection: Collection[dict[str, Any]],
    key: str,
    update: Mapping[str, Any] | list[dict[str, Any]],
    session: ClientSession | None = None,
) -> dict[str, Any]:
    """Update the document of that key, which is made if it isn't there; return what it is then."""
    document = collection.find_one_and_update(
        {KEY: key}, update, upsert=True, return_document=ReturnDocument.AFTER, session=session
    )
    assert document is not None, "an upsert always has one"
    return document


def _up(*fields: str) -> IndexModel:
    return IndexModel([(field, ASCENDING) for field in fields])


def _unique(field: str) -> IndexModel:
    return IndexModel([(field, ASCENDING)], unique=True)


def _sparse(field: str) -> IndexModel:
    return IndexModel([(field, ASCENDING)], sparse=True)


class Collections:
    """mmtp_fw's own collections in a database; FireWorks' are beside them."""

    def __init__(self, db: MongoDatabase[dict[str, Any]]) -> None:
        self.db = db

    environments = Declared(records.EnvironmentDocument, "hash of what is in it", content=False)
    campaigns = Declared(records.CampaignDocument, "name", indexes=(IndexModel([("created", DESCENDING)]),))
    configurations = Declared(
        records.ConfigurationDocument,
        "content hash",
        campaign="origin.campaign",
        links=(Link("origin.md_run", "md_runs", by="number"), Link("origin.potential", "potentials")),
        indexes=(_unique("number"), _up("origin.campaign"), _up("origin.md_run"), _up("formula")),
    )
    calculations = Declared(
        records.CalculationDocument,
        "configuration/settings hash",
        links=(Link("configuration", "configurations"), Link("stages.execution.environment", "environments")),
        indexes=(
            _up("configuration"),
            _up("quality.grade"),
            IndexModel(
                [
                    ("engine", ASCENDING),
                    ("status", ASCENDING),
                    ("quality.grade", ASCENDING),
                    ("created", DESCENDING),
                    (KEY, DESCENDING),
                ]
            ),
        ),
    )
    training_sets = Declared(
        records.TrainingSetDocument,
        "hash of the list",
        links=(Link("calculations", "calculations"), Link("validation", "calculations")),
        indexes=(_up("calculations"),),
    )
    potentials = Declared(
        records.PotentialDocument,
        "1, 2, 3 …",
        campaign="campaign",
        links=(
            Link("training_set", "training_sets"),
            Link("parent", "potentials"),
            Link("member_of", "potentials"),
            Link("execution.environment", "environments"),
        ),
        blobs=("active_set",),
        indexes=(
            _up("campaign", "iteration"),
            _up("training_set"),
            _up("content_hash"),
            IndexModel([("action", ASCENDING)], unique=True, partialFilterExpression={"action": {"$type": "string"}}),
            _up("parent"),
            _up("member_of"),
        ),
    )
    md_runs = Declared(
        records.MdRunDocument,
        "action key",
        campaign="campaign",
        links=(
            Link("potential", "potentials"),
            Link("continues", "md_runs"),
            Link("execution.environment", "environments"),
        ),
        blobs=("thermo", "candidates", "trajectory"),
        indexes=(_unique("number"), _up("campaign", "iteration"), _up("potential")),
    )
    properties = Declared(
        records.PropertyDocument,
        "action key",
        campaign="campaign",
        links=(Link("potential", "potentials"), Link("execution.environment", "environments")),
        blobs=("trajectory",),
        indexes=(_up("campaign", "iteration"), _up("potential")),
    )
    actions = Declared(
        records.ActionDocument,
        "campaign/round/kind/subject",
        campaign="campaign",
        links=(
            Link("params.configuration", "configurations"),
            Link("params.potential", "potentials"),
            Link("result.calculation", "calculations"),
            Link("result.configurations", "configurations"),
            Link("result.potential", "potentials"),
            Link("attempts.environment", "environments"),
        ),
        indexes=(
            _up("campaign", "iteration", "kind"),
            _up("campaign", "finished", "iteration"),
            _sparse("params.configuration"),
            _sparse("params.potential"),
        ),
    )
    claims = Declared(
        records.ClaimRecord,
        "action key, or calculation/configuration/settings hash",
        campaign=KEY,
        indexes=(_up("lease_until"), _up("owner"), _sparse("process.machine")),
    )
    workers = Declared(
        records.WorkerRecord,
        "host:process",
        indexes=(IndexModel([("seen", ASCENDING)], expireAfterSeconds=7 * 86400),),
        content=False,
    )
    fit_checkpoints = Declared(records.FitCheckpointRecord, "action key", campaign=KEY)
    counters = Declared(records.CounterRecord, "what is counted", content=False)
    meta = Declared(records.MetaRecord, "what of", content=False)
    suspicions = Declared(
        records.SuspicionRecord,
        "what is suspected of what",
        campaign=KEY,
        indexes=(IndexModel([("seen", ASCENDING)], expireAfterSeconds=86400),),
        content=False,
    )


DECLARED: Mapping[str, Declared] = {
    name: declared for name, declared in vars(Collections).items() if isinstance(declared, Declared)
}
"""All collections by name."""

FIREWORKS: Mapping[str, tuple[IndexModel, ...]] = {
    "workflows": (
        _up("metadata.campaign", "state", "settled"),
        IndexModel([("metadata.campaign", ASCENDING)], name="locked", partialFilterExpression={"locked": True}),
    ),
    "fireworks": (
        _up("spec.action", "state"),
        _up("spec.campaign", "state", "settled"),
        # What a worker that takes some kinds of work looks for: it reads none of the others.
        IndexModel([("state", ASCENDING), ("spec._category", ASCENDING), ("spec._priority", DESCENDING)]),
    ),
    "launches": (),
}
"""FireWorks' collections, and what mmtp_fw indexes in them beside FireWorks' own."""

BLOBS = "blobs"
"""GridFS bucket of what is too large for a document."""
