"""Two versions of the potential beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmtp_fw.database import history, views
from mmtp_fw.plain import flattened

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database

_FACTS = ("campaign", "iteration", "role", "parent", "level", "species", "n_parameters", "content_hash", "created")


def potentials(database: Database, one: str | int, other: str | int) -> dict[str, Any]:
    """Compare two versions of the potential.

    Returns
    -------
    dict
        versions (the two numbers), same (whether they are the same potential), facts, weights, errors and
        validation_errors (by name, the values of both; only the first of them with what is equal, too), only_first and
        only_second (rows of labels of one training set only), shared (number of labels of both), moved (keys of labels
        that one trained on and the other kept for validation).

    Raises
    ------
    InputError
        No such version.
    """
    documents = [history.version(database, which) for which in (one, other)]
    first, second = documents
    (ours, ours_held), (theirs, theirs_held) = (history.training(database, document) for document in documents)
    both = ours & theirs
    return {
        "versions": [first["_id"], second["_id"]],
        "same": first["content_hash"] == second["content_hash"],
        "facts": {name: (first.get(name), second.get(name)) for name in _FACTS},
        "weights": _differing(first["weights"], second["weights"]),
        "errors": _beside(first["errors"], second["errors"]),
        "validation_errors": _beside(first["validation_errors"], second["validation_errors"]),
        "loss": (first["fit"].get("loss"), second["fit"].get("loss")),
        "shared": len(both),
        "only_first": views.labels_of(database, ours - theirs),
        "only_second": views.labels_of(database, theirs - ours),
        "moved": sorted(key for key in both if (key in ours_held) != (key in theirs_held)),
    }


def _beside(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    left, right = flattened(one), flattened(other)
    return {name: (left.get(name), right.get(name)) for name in sorted(set(left) | set(right))}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: values for name, values in _beside(one, other).items() if values[0] != values[1]}
