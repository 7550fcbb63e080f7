"""The page on what is in the database, written from the declarations of its collections.

``python -m mmtp_fw.database.schema > docs/schema.md`` brings the page up to date; a test compares both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from types import UnionType
from typing import Any, get_args, get_origin

from pymongo import ASCENDING, IndexModel

from mmtp_fw.database.collections import BLOBS, DECLARED, FIREWORKS, Declared
from mmtp_fw.database.records import SCHEMA_VERSION, Document

_HEAD = f"""# What is in the database

Schema {SCHEMA_VERSION}. Every document has `_id`, and those marked ✓ `schema_version`, `created` (UTC) and
`code_version`. FireWorks' own collections are beside these. Large things are in GridFS, `{BLOBS}.files` and
`{BLOBS}.chunks`: zstd-compressed, each content once, found by its sha256.

An action's key is `campaign/round/kind/subject`, for example `fe-pd-demo/003/md/a3.75-T300-ferromagnetic-0`.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    return "\n".join([_HEAD, *_overview(), *(part for declared in DECLARED.values() for part in _section(declared))])


def _overview() -> Iterator[str]:
    rows = ["| Collection | A document is | `_id` | Campaign in | |", "|---|---|---|---|---|"]
    for name, declared in DECLARED.items():
        versioned = "✓" if issubclass(declared.model, Document) else ""
        rows.append(
            f"| [`{name}`](#{name}) | {_about(declared)} | {declared.key} | {_code(declared.campaign)} | {versioned} |"
        )
    yield "\n".join(rows) + "\n"
    indexes = "; ".join(f"`{name}` {', '.join(map(_index, models))}" for name, models in FIREWORKS.items() if models)
    yield f"Indexed in FireWorks' collections, beside its own indexes: {indexes}.\n"


def _about(declared: Declared) -> str:
    return " ".join((declared.model.__doc__ or "").split("\n\n")[0].split()).rstrip(".")


def _section(declared: Declared) -> Iterator[str]:
    yield f"## `{declared.name}`\n\n{_about(declared)}.\n"
    links = {link.field: link for link in declared.links}
    rows = ["| Field | Type | Meaning |", "|---|---|---|"]
    for name, field in declared.model.model_fields.items():
        if name == "id" or name in Document.model_fields:
            continue
        meaning = [" ".join((field.description or "").split())]
        if name in declared.blobs:
            meaning.append("a blob")
        elif name in links:
            meaning.append(f"`_id` in `{links[name].to}`")
        rows.append(f"| `{name}` | {_type(field.annotation)} | {'; '.join(part for part in meaning if part)} |")
    yield "\n".join(rows) + "\n"
    inside = [link for link in declared.links if "." in link.field]
    if inside:
        told = (f"`{link.field}` is `{link.by}` in `{link.to}`" for link in inside)
        yield f"Inside them, {', '.join(told)}.\n"
    if declared.indexes:
        yield f"Indexed: {', '.join(map(_index, declared.indexes))}.\n"


def _type(annotation: Any) -> str:
    names: dict[Any, str] = {datetime: "date", type(None): "null", Any: "any"}
    if isinstance(annotation, UnionType):
        return " or ".join(_type(part) for part in get_args(annotation))
    if get_origin(annotation) is list:
        return f"list of {_type(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return "document"
    return names.get(annotation) or str(annotation.__name__)


def _index(model: IndexModel) -> str:
    keys = model.document["key"].items()
    kinds = [
        name
        for name, option in (("unique", "unique"), ("sparse", "sparse"), ("expires", "expireAfterSeconds"))
        if option in model.document
    ]
    fields = " + ".join(f"`{name}`" + ("" if order == ASCENDING else " descending") for name, order in keys)
    return fields + (f" ({', '.join(kinds)})" if kinds else "")


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    print(page(), end="")
