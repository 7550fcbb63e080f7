"""One campaign in one file that needs no mmtp_fw to be read, and back: a zip of JSON lines and blobs.

``manifest.json`` names the campaign, the versions of archive and schema, and the sha256 of every other member.
``collections/NAME.jsonl`` has a document a line, in MongoDB's relaxed extended JSON; ``blobs/SHA256`` what is too large
for a document, as it is. Everything that documents refer to is in it, by the links that the collections declare; what
belongs to another campaign, too, but for that campaign's own steps.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bson import json_util
from pydantic import ValidationError

import mmtp_fw
from mmtp_fw.database import blobs, queries
from mmtp_fw.database.archive_import import Imported, write
from mmtp_fw.database.collections import DECLARED, KEY
from mmtp_fw.database.records import SCHEMA_VERSION
from mmtp_fw.errors import InputError
from mmtp_fw.files import replacing

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

ARCHIVE_VERSION = 1
_FORMAT = "mmtp_fw archive"
_MANIFEST = "manifest.json"
_KEPT = (
    "environments", "configurations", "calculations", "training_sets", "potentials", "md_runs", "properties",
    "actions", "campaigns",
)  # fmt: skip
"""What is archived, in the order of importing: the campaign last, so that nobody works on half of one."""
_MANY = 1000
Documents = dict[str, dict[Any, dict[str, Any]]]


def create(database: Database, campaign: str, path: str | Path) -> dict[str, Any]:
    """Write a campaign to a file that must not exist; return the manifest.

    Raises
    ------
    InputError
        No such campaign; the file exists or can't be written.
    """
    document = queries.campaign(database, campaign)
    target = Path(path)
    if target.exists():
        raise InputError(f"{target} exists", "choose another name: archives are never overwritten")
    documents = _collect(database, campaign)
    sums: dict[str, str] = {}
    try:
        with (
            replacing(target, durable=True) as partial,
            zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file,
        ):
            for name in _KEPT:
                lines = (_line(documents[name][key]) for key in sorted(documents[name], key=str))
                _put(file, sums, f"collections/{name}.jsonl", "".join(lines).encode())
            for digest in sorted(_blobs(documents)):
                _put(file, sums, f"blobs/{digest}", blobs.get(database, digest))
            manifest = {
                "format": _FORMAT,
                "archive_version": ARCHIVE_VERSION,
                "schema_version": SCHEMA_VERSION,
                "mmtp_fw": mmtp_fw.__version__,
                "campaign": campaign,
                "finished": document.get("finished") is not None,
                "written": datetime.now(UTC).isoformat(timespec="seconds"),
                "documents": {name: len(documents[name]) for name in _KEPT},
                "sha256": sums,
            }
            file.writestr(_MANIFEST, json.dumps(manifest, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"{target}: can't be written: {error.strerror}") from error
    return manifest


def manifest(path: str | Path) -> dict[str, Any]:
    """Return what an archive says of itself.

    Raises
    ------
    InputError
        No archive, a damaged one, or one of a newer mmtp_fw.
    """
    with _opened(Path(path)) as file:
        return _manifest(file, Path(path))


def verify(path: str | Path) -> dict[str, Any]:
    """Read the whole archive, compare every checksum and look at every document; return the manifest.

    Raises
    ------
    InputError
        No archive, or the first thing that is wrong with it.
    """
    found, _, _ = _read(Path(path))
    return found


def load(database: Database, path: str | Path) -> Imported:
    """Import a campaign; what is there already stays, so that the same archive twice is once.

    Keys are kept. A configuration whose number is taken gets another number; a version of a potential or an MD run
    whose number is another one's there is refused before anything is written.

    Raises
    ------
    InputError
        As `verify`; or the database has something else under a key of the archive.
    """
    _, documents, contents = _read(Path(path))
    return write(database, Path(path), documents, contents, _KEPT)


def _collect(database: Database, campaign: str) -> Documents:
    """Return the documents of a campaign and everything that they refer to."""
    found: Documents = {name: {} for name in _KEPT}
    fresh = _own(database, campaign)
    while any(fresh.values()):
        for name, documents in fresh.items():
            found[name] |= {document[KEY]: document for document in documents}
        fresh = _referred(database, fresh, found)
    return found


def _own(database: Database, campaign: str) -> dict[str, list[dict[str, Any]]]:
    """Return what belongs to a campaign by itself, by collection."""
    own = {"campaigns": [queries.campaign(database, campaign)]}
    for name in _KEPT:
        if DECLARED[name].campaign is not None:
            own[name] = list(database.db[name].find(DECLARED[name].of_campaign(campaign)))
    return own


def _referred(
    database: Database, fresh: Mapping[str, Sequence[dict[str, Any]]], found: Documents
) -> dict[str, list[dict[str, Any]]]:
    """Return what documents refer to and what is not found yet, by collection."""
    more: dict[str, list[dict[str, Any]]] = {}
    links = ((documents, link) for name, documents in fresh.items() for link in DECLARED[name].links)
    for documents, link in links:
        wanted = {value for document in documents for value in _values(document, link.field.split("."))}
        wanted -= {document[link.by] for document in (*found[link.to].values(), *more.get(link.to, ()))}
        more.setdefault(link.to, []).extend(_find(database, link.to, link.by, sorted(wanted, key=str)))
    return more


def _find(database: Database, name: str, by: str, values: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(values), _MANY):
        yield from database.db[name].find({by: {"$in": list(values[start : start + _MANY])}})


def _values(item: Any, path: Sequence[str]) -> Iterator[Any]:
    """Yield what a path leads to, through lists."""
    if isinstance(item, list):
        for one in item:
            yield from _values(one, path)
    elif not path:
        if item is not None:
            yield item
    elif isinstance(item, Mapping):
        yield from _values(item.get(path[0]), path[1:])


def _blobs(documents: Documents) -> set[str]:
    return {
        document[field]
        for name in _KEPT
        for field in DECLARED[name].blobs
        for document in documents[name].values()
        if document.get(field)
    }


def _line(document: Mapping[str, Any]) -> str:
    return json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS) + "\n"


def _put(file: zipfile.ZipFile, sums: dict[str, str], name: str, content: bytes) -> None:
    sums[name] = hashlib.sha256(content).hexdigest()
    file.writestr(name, content)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: not an archive of mmtp_fw, or cut off") from error


def _manifest(file: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read(_MANIFEST))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not an archive of mmtp_fw: no {_MANIFEST}") from error
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise InputError(f"{path}: not an archive of mmtp_fw")
    for name, known in (("archive_version", ARCHIVE_VERSION), ("schema_version", SCHEMA_VERSION)):
        if found[name] > known:
            raise InputError(
                f"{path}: of a newer mmtp_fw ({name} {found[name]}, this one knows {known})", "upgrade mmtp_fw"
            )
    return dict(found)


def _read(path: Path) -> tuple[dict[str, Any], Documents, dict[str, bytes]]:
    """Return manifest, documents and blobs of an archive that is whole."""
    with _opened(path) as file:
        found = _manifest(file, path)
        members = set(file.namelist()) - {_MANIFEST}
        if members != set(found["sha256"]):
            odd = sorted(members ^ set(found["sha256"]))[0]
            raise InputError(f"{path}: '{odd}' is missing, or in the archive without being in its manifest")
        contents: dict[str, bytes] = {}
        for name, digest in found["sha256"].items():
            try:
                contents[name] = file.read(name)
            except (zipfile.BadZipFile, OSError, ValueError) as error:
                raise InputError(f"{path}: '{name}' is damaged") from error
            if hashlib.sha256(contents[name]).hexdigest() != digest:
                raise InputError(f"{path}: '{name}' is not what its checksum says")
    documents = {name: _parsed(path, name, contents.pop(f"collections/{name}.jsonl", b"")) for name in _KEPT}
    kept = {name.removeprefix("blobs/"): content for name, content in contents.items()}
    lost = sorted(_blobs(documents) - set(kept))
    if lost:
        raise InputError(f"{path}: blob {lost[0]} is missing")
    return found, documents, kept


def _parsed(path: Path, name: str, content: bytes) -> dict[Any, dict[str, Any]]:
    documents = {}
    for number, line in enumerate(content.decode().splitlines(), start=1):
        try:
            document = json_util.loads(line)
            DECLARED[name].model.model_validate(document)
        except (ValueError, ValidationError) as error:
            said = str(error).splitlines()
            raise InputError(f"{path}: collections/{name}.jsonl, line {number}: {' '.join(said[:3])}") from error
        documents[document[KEY]] = document
    return documents
