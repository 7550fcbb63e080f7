"""What new labels say of the potential that had not seen them: its errors there, beside the uncertainties it stated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase import Atoms

from mmtp_fw.database import Database
from mmtp_fw.firetasks.potentials import load_potential
from mmtp_fw.fitting import Weights
from mmtp_fw.selection import Uncertainty, stated


def surprise(
    database: Database, parent: int | None, labels: Mapping[str, Atoms], weights: Weights
) -> dict[str, Any] | None:
    """Return errors and stated uncertainties of a version at the labels that it was not trained on.

    Parameters
    ----------
    database : Database
    parent : int or None
        The version.
    labels : mapping of str to Atoms
        All that can be fitted, by calculation key.
    weights : Weights
        Of the fits.

    Returns
    -------
    dict or None
        of (the version), labels (calculation keys), pairs: by quantity, errors and uncertainties, see
        `mmtp_fw.selection.stated`. None where there is no version, or nothing that is new to it.
    """
    if parent is None:
        return None
    seen = _trained_on(database, parent)
    trained = [atoms for key, atoms in labels.items() if key in seen]
    new = {key: atoms for key, atoms in labels.items() if key not in seen}
    if not new or not trained:
        return None
    uncertainty = Uncertainty.from_configurations(load_potential(database, parent), trained, weights)
    pairs = stated(uncertainty, list(new.values()))
    return {
        "of": parent,
        "labels": list(new),
        "pairs": {key: {"errors": off.tolist(), "uncertainties": u.tolist()} for key, (off, u) in pairs.items()},
    }


def _trained_on(database: Database, version: int) -> set[str]:
    document = database.potentials.find_one({"_id": version}, {"training_set": 1, "fit.left_out": 1}) or {}
    found = database.training_sets.find_one({"_id": document.get("training_set")}) or {}
    left_out = {*found.get("validation", ()), *(document.get("fit") or {}).get("left_out", ())}
    return set(found.get("calculations", ())) - left_out
