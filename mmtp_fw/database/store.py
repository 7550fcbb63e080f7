"""The writes: each is idempotent, and those that take a session take part in the claim's transaction."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ase import Atoms
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from mmtp_fw.database import atoms_codec, blobs, trajectories
from mmtp_fw.database.collections import upserted
from mmtp_fw.database.records import (
    CalculationDocument,
    ConfigurationDocument,
    Document,
    MdRunDocument,
    PotentialDocument,
    PropertyDocument,
    TrainingSetDocument,
)
from mmtp_fw.errors import DatabaseError
from mmtp_fw.labelling import FAILED, REFUSED_INPUT, REJECTED, RUNNING
from mmtp_fw.plain import plain

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database


def keep_convergence(database: Database, campaign: str, convergence: Mapping[str, Any]) -> bool:
    """Keep with a campaign what its engine's settings leave open; return whether there is such a campaign."""
    done = database.campaigns.update_one({"_id": campaign}, {"$set": {"convergence": dict(convergence)}})
    return done.matched_count == 1


def next_number(database: Database, counter: str, session: ClientSession | None = None) -> int:
    """Return the next number of a counter, from 1."""
    return int(upserted(database.counters, counter, {"$inc": {"value": 1}}, session)["value"])


def add_configuration(
    database: Database, atoms: Atoms, origin: Mapping[str, Any], session: ClientSession | None = None
) -> str:
    """Store a configuration unless it is there; return its content hash.

    Parameters
    ----------
    database : Database
    atoms : Atoms
        Its initial magnetic moments are the targets.
    origin : mapping
        Where it came from; kept from the first time.
    """
    key = atoms_codec.content_hash(atoms)
    if database.configurations.find_one({"_id": key}, {"_id": 1}, session=session) is None:
        bare = atoms.copy()
        bare.info = {}
        document = ConfigurationDocument(
            _id=key,
            number=next_number(database, "configurations", session),
            atoms=atoms_codec.to_document(bare),
            formula=atoms.get_chemical_formula(),
            n_atoms=len(atoms),
            origin=plain(origin),
            hash_rule=atoms_codec.HASH_RULE,
        )
        _insert_once(database.configurations, document, session)
    return key


NOT_OF_THE_CONFIGURATION = {"$or": [{"status": FAILED}, {"status": REJECTED, "rule": REFUSED_INPUT}]}
"""Finished calculations that are tried again when they are asked for again: the engine failed, or refused the target
under a limit that is no part of the settings."""


def begin_calculation(
    database: Database,
    key: str,
    configuration: str,
    engine: str,
    engine_settings: Mapping[str, Any],
    owner: str,
) -> None:
    """Note that `owner` works on a calculation; what is there of it stays.

    A verdict that was about a machine or a limit, not about the configuration, is taken back.
    """
    document = CalculationDocument(
        _id=key, configuration=configuration, engine=engine, engine_settings=dict(engine_settings)
    ).to_mongo()
    del document["owners"]
    database.calculations.update_one(
        {"_id": key}, {"$setOnInsert": document, "$addToSet": {"owners": owner}}, upsert=True
    )
    open_again = {"status": RUNNING, "reason": None, "rule": None, "finished": None}
    database.calculations.update_one({"_id": key, **NOT_OF_THE_CONFIGURATION}, {"$set": open_again})


def agreed_datasets(database: Database, settings: str, datasets: Mapping[str, str]) -> dict[str, str]:
    """Return the dataset of every species that labels of some engine settings are made with.

    Parameters
    ----------
    database : Database
    settings : str
        Hash of the engine's settings.
    datasets : mapping of str to str
        Digest by species, as the asking machine has them: the first to ask decides for all.
    """
    missing = {species: {"$ifNull": [f"$species.{species}", digest]} for species, digest in datasets.items()}
    document = upserted(database.meta, f"datasets/{settings}", [{"$set": {"species": missing}}])
    return {species: document["species"][species] for species in datasets}


def save_stage(database: Database, key: str, stage: Mapping[str, Any]) -> None:
    """Add a finished stage to a calculation, once: stages are told apart by their ``index``."""
    database.calculations.update_one(
        {"_id": key, "stages.index": {"$ne": stage["index"]}}, {"$push": {"stages": dict(stage)}}
    )


def finish_calculation(
    database: Database,
    key: str,
    status: str,
    reason: str,
    verdict: Mapping[str, Any],
    session: ClientSession | None = None,
) -> None:
    """Write the verdict on a calculation; the first one stands."""
    label = verdict.get("label")
    database.calculations.update_one(
        {"_id": key, "finished": None},
        {
            "$set": {
                "status": status,
                "reason": reason,
                "rule": verdict.get("rule"),
                "label": label,
                "quality": quality_of(label),
                "finished": datetime.now(UTC),
            }
        },
        session=session,
    )


def quality_of(label: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what is asked of labels in bulk, beside the label itself."""
    wanted = ("grade", "mae_muB", "max_deviation_muB", "bias_eV_per_atom")
    return {name: label.get(name) for name in wanted} if label else None


def add_training_set(
    database: Database,
    calculations: Iterable[str],
    validation: Iterable[str] = (),
    session: ClientSession | None = None,
) -> str:
    """Store a list of labels unless it is there; return its hash."""
    lists = [sorted(set(calculations)), sorted(set(validation))]
    key = hashlib.blake2b(json.dumps(lists).encode(), digest_size=16).hexdigest()
    if database.training_sets.find_one({"_id": key}, {"_id": 1}, session=session) is None:
        document = TrainingSetDocument(_id=key, calculations=lists[0], validation=lists[1])
        _insert_once(database.training_sets, document, session)
    return key


def save_potential(
    database: Database,
    text: str,
    content_hash: str,
    active_set: bytes | None = None,
    session: ClientSession | None = None,
    **fields: Any,
) -> int:
    """Store a potential as a new version; the same action's potential only once.

    Parameters
    ----------
    database : Database
    text : str
        The `.mmtp` file.
    content_hash : str
    active_set : bytes, optional
    session : ClientSession, optional
    **fields
        Further fields of `PotentialDocument`.

    Returns
    -------
    int
        The version.
    """
    action = fields.get("action")
    if action is not None:
        query = {"campaign": fields.get("campaign"), "iteration": fields.get("iteration"), "action": action}
        known = database.potentials.find_one(query, {"_id": 1}, session=session)
        if known is not None:
            return int(known["_id"])
    # Blobs are stored outside the transaction: by content, so that a second try finds the first one's.
    blob = blobs.put(database, active_set, "active set") if active_set is not None else None
    number = next_number(database, "potentials", session)
    document = PotentialDocument(_id=number, text=text, content_hash=content_hash, active_set=blob, **plain(fields))
    database.potentials.insert_one(document.to_mongo(), session=session)
    return number


def save_md_run(
    database: Database,
    key: str,
    thermo: Mapping[str, Sequence[float]],
    candidates: Sequence[Atoms],
    trajectory: bytes | None = None,
    session: ClientSession | None = None,
    **fields: Any,
) -> int:
    """Store a trajectory under its action's key, once; return its number.

    Parameters
    ----------
    database : Database
    key : str
    thermo : mapping of str to sequence of float
    candidates : sequence of Atoms
    trajectory : bytes, optional
    session : ClientSession, optional
    **fields
        Further fields of `MdRunDocument`.
    """
    known = database.md_runs.find_one({"_id": key}, {"number": 1}, session=session)
    if known is not None:
        return int(known["number"])
    columns = {name: [float(value) for value in column] for name, column in thermo.items()}
    saved = [atoms_codec.to_document(atoms) for atoms in candidates]
    document = MdRunDocument(
        _id=key,
        number=next_number(database, "md_runs", session),
        thermo=blobs.put_json(database, columns, "thermo"),
        candidates=blobs.put_json(database, saved, "candidates") if saved else None,
        n_candidates=len(saved),
        trajectory=blobs.put(database, trajectory, "trajectory") if trajectory else None,
        host=socket.gethostname(),
        **plain(fields),
    )
    database.md_runs.insert_one(document.to_mongo(), session=session)
    return document.number


def candidates_of(database: Database, key: str) -> list[Atoms]:
    """Return the configurations that the trajectory of that key saved."""
    document = database.md_runs.find_one({"_id": key}, {"candidates": 1})
    if document is None or document["candidates"] is None:
        return []
    return [atoms_codec.from_document(item) for item in blobs.get_json(database, document["candidates"])]


def frames_of(database: Database, key: str) -> list[Atoms]:
    """Return the sampled frames of the trajectory of that key, an MD run's or a property's.

    Raises
    ------
    DatabaseError
        There is no such trajectory, or it kept no frames.
    """
    document = database.md_runs.find_one({"_id": key}, {"trajectory": 1})
    document = document or database.properties.find_one({"_id": key}, {"trajectory": 1})
    if document is None or not document.get("trajectory"):
        raise DatabaseError(
            f"no frames of a trajectory '{key}' in this database", "`mmtp status` and `mmtp show campaign` list them"
        )
    return trajectories.unpack(blobs.get(database, document["trajectory"]))


def last_frame(database: Database, key: str) -> Atoms:
    """Return the configuration that the trajectory of that key ended with; see `frames_of`."""
    return frames_of(database, key)[-1]


def save_property(
    database: Database,
    key: str,
    frames: Sequence[Atoms] = (),
    session: ClientSession | None = None,
    **fields: Any,
) -> None:
    """Store averages and some frames under their action's key, once; `fields` are those of `PropertyDocument`."""
    if database.properties.find_one({"_id": key}, {"_id": 1}, session=session) is None:
        blob = blobs.put(database, trajectories.pack(frames), "trajectory") if frames else None
        document = PropertyDocument(_id=key, trajectory=blob, **plain(fields))
        _insert_once(database.properties, document, session)


_DUPLICATE = 11000
"""Code by which MongoDB says that a key is there already."""


def insert_new(collection: Collection[Any], documents: Sequence[Document]) -> set[Any]:
    """Insert those documents whose keys are not there, in few round trips; return the keys that were there already.

    Parameters
    ----------
    collection : Collection
    documents : sequence of Document

    Raises
    ------
    BulkWriteError
        For anything but a key that is there.
    """
    if not documents:
        return set()
    try:
        collection.insert_many([document.to_mongo() for document in documents], ordered=False)
    except BulkWriteError as error:
        faults = (error.details or {}).get("writeErrors", [])
        if not faults or any(fault["code"] != _DUPLICATE for fault in faults):
            raise
        return {documents[fault["index"]].id for fault in faults}
    return set()


def _insert_once(collection: Collection[Any], document: Document, session: ClientSession | None) -> None:
    """Insert what another process may be inserting at this moment under the same content's key.

    Inside a transaction the server notices that and asks for another try, which finds it.
    """
    if session is not None:
        collection.insert_one(document.to_mongo(), session=session)
        return
    with contextlib.suppress(DuplicateKeyError):
        collection.insert_one(document.to_mongo())
