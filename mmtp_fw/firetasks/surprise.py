"""What new labels say of the potential that had not seen them: its errors there, beside the uncertainties it stated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase import Atoms

from mmtp_fw.database import Database
from mmtp_fw.firetasks.potentials import load_potential
from mmtp_fw.firetasks.uncertainties import trained_on
from mmtp_fw.fitting import Weights
from mmtp_fw.potential import Systems
from mmtp_fw.selection import Uncertainty, stated


def surprise(
    database: Database, parent: int | None, labels: Mapping[str, Atoms], weights: Weights, systems: Systems
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
    systems : Systems
        Holds the neighbour lists of the labels.

    Returns
    -------
    dict or None
        of (the version), labels (calculation keys), pairs: by quantity, errors and uncertainties, see
        `mmtp_fw.selection.stated`. None where there is no version, or nothing that is new to it.
    """
    if parent is None:
        return None
    seen = set(trained_on(database, parent))
    trained = [atoms for key, atoms in labels.items() if key in seen]
    new = {key: atoms for key, atoms in labels.items() if key not in seen}
    if not new or not trained:
        return None
    uncertainty = Uncertainty.from_configurations(load_potential(database, parent), trained, weights, systems=systems)
    pairs = stated(uncertainty, list(new.values()), systems)
    return {
        "of": parent,
        "labels": list(new),
        "pairs": {key: {"errors": off.tolist(), "uncertainties": u.tolist()} for key, (off, u) in pairs.items()},
    }
