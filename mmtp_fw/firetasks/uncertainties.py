"""What a version knows of configurations, learnt again from the labels that it was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

from mmtp_fw.campaign import Campaign
from mmtp_fw.database import Database
from mmtp_fw.dft.stages import Label
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.potentials import load_potential
from mmtp_fw.fitting import Weights
from mmtp_fw.loop.gather import campaign_settings
from mmtp_fw.selection import PredictionUncertainty, Uncertainty


def as_label(document: dict[str, Any], campaign: Campaign | None) -> Atoms:
    """Return a stored label as the fits of a campaign take it: with the weight of its quality."""
    label = Label.model_validate(document)
    atoms = label.to_atoms()
    if campaign is not None:
        atoms.info["weight"] = campaign.fit.quality_weights[label.grade]
    return atoms


def trained_on(database: Database, version: int) -> list[str]:
    """Return the keys of the labels that a version was trained on, in their order; empty where nothing is known."""
    document = database.potentials.find_one({"_id": version}, {"training_set": 1, "fit.left_out": 1}) or {}
    found = database.training_sets.find_one({"_id": document.get("training_set")}) or {}
    left_out = {*found.get("validation", ()), *(document.get("fit") or {}).get("left_out", ())}
    return [key for key in found.get("calculations", ()) if key not in left_out]


def uncertainty_of(database: Database, version: int) -> Uncertainty:
    """Return what the labels of a version determine.

    Raises
    ------
    InputError
        No such version, or none of its labels is in this database.
    """
    potential = load_potential(database, version)
    document = database.potentials.find_one({"_id": version}, {"campaign": 1, "weights": 1}) or {}
    keys = {"_id": {"$in": trained_on(database, version)}, "label": {"$ne": None}}
    found = list(database.calculations.find(keys, {"label": 1}).sort("_id", 1))
    if not found:
        raise InputError(f"potential {version} has no labels in this database", "its uncertainty can't be known")
    name = document.get("campaign")
    campaign = campaign_settings(database, name) if name else None
    labels = [as_label(row["label"], campaign) for row in found]
    return Uncertainty.from_configurations(potential, labels, Weights(**document.get("weights") or {}))


def told(found: PredictionUncertainty) -> dict[str, Any]:
    """Return what is said of a configuration as a document: median errors to be expected; None: undetermined."""
    sizes = {
        "energy_meV_per_atom": 1000.0 * found.energy_per_atom,
        "forces_meV_per_A": 1000.0 * float(np.sqrt(np.mean(found.forces**2))),
        "magnetic_forces_meV_per_muB": 1000.0 * float(np.sqrt(np.mean(found.magnetic_forces**2))),
    }
    finite = {name: value if np.isfinite(value) else None for name, value in sizes.items()}
    return {"verdict": found.verdict.value, "extrapolation": found.extrapolation, **finite}


def annotate(atoms: Atoms, found: PredictionUncertainty) -> None:
    """Write uncertainties into a configuration: of each atom as arrays, of the whole into its `info`.

    Arrays: ``forces_uncertainty`` (n, 3) in eV/Å, ``magnetic_forces_uncertainty`` (n,) in eV/μB, both the median error
    to be expected of each component, infinite where undetermined.
    """
    atoms.set_array("forces_uncertainty", found.forces)
    atoms.set_array("magnetic_forces_uncertainty", found.magnetic_forces)
    atoms.info["energy_uncertainty_eV_per_atom"] = found.energy_per_atom
    atoms.info["knowledge"] = found.verdict.value
