"""Fits: a potential and its active set from every label accepted so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw.campaign import Campaign
from mmtp_fw.database import store
from mmtp_fw.dft.stages import Label
from mmtp_fw.errors import FitError
from mmtp_fw.firetasks.base import Context
from mmtp_fw.firetasks.potentials import load_potential
from mmtp_fw.fitting import FitResult, FitSettings, Weights, fit
from mmtp_fw.loop.facts import ACCEPTED, seed_of
from mmtp_fw.potential import Potential
from mmtp_fw.selection import ActiveSet


@dataclass(frozen=True)
class _Fitted:
    """What fitting hands from `compute` to `store`."""

    text: str
    parent: int | None
    calculations: list[str]
    validation: list[str]
    active_set: bytes
    fields: dict[str, Any]


class FitWork:
    """`Work` of a fit action."""

    def compute(self, context: Context) -> _Fitted:
        """Fit from the parent potential, or from the best of several random starts."""
        campaign, parent = context.campaign, context.action.params["parent"]
        labels = accepted_labels(context)
        training, validation = split(list(labels), campaign.fit.validation_fraction)
        training_set = [labels[key] for key in training]
        starts = _starts(context, campaign, parent)
        fits = [_fit(start, training_set, [labels[key] for key in validation], campaign) for start in starts]
        best = min(fits, key=lambda result: result.loss)
        if not np.isfinite(best.loss):
            raise FitError(f"the loss is {best.loss}", "look at the labels: `mmtp find`")
        active = ActiveSet.from_configurations(
            best.potential, list(labels.values()), mode=campaign.selection.mode
        )
        potential = best.potential
        fields = {
            "content_hash": potential.content_hash,
            "level": campaign.potential.level,
            "species": potential.species,
            "n_parameters": potential.n_parameters,
            "weights": _weights(campaign),
            "errors": best.errors,
            "validation_errors": best.validation_errors or {},
            "fit": {
                "loss": float(best.loss),
                "converged": bool(best.converged),
                "iterations": int(best.iterations),
                "wall_seconds": float(best.wall_seconds),
                "message": best.message,
            },
        }
        return _Fitted(potential.dumps(), parent, list(labels), validation, active.to_bytes(), fields)

    def store(self, context: Context, payload: _Fitted, session: ClientSession) -> Mapping[str, Any]:
        """Store training set and potential."""
        training_set = store.add_training_set(
            context.database, payload.calculations, payload.validation, session
        )
        version = store.save_potential(
            context.database,
            payload.text,
            active_set=payload.active_set,
            session=session,
            campaign=context.campaign.name,
            iteration=context.action.iteration,
            action=context.action.key,
            parent=payload.parent,
            training_set=training_set,
            **payload.fields,
        )
        return {"potential": version, "labels": len(payload.calculations), "fit": payload.fields["fit"]}


def accepted_labels(context: Context) -> dict[str, Atoms]:
    """Return the labelled configurations of this and earlier rounds by calculation key, in key order."""
    query = {
        "campaign": context.campaign.name,
        "kind": "label",
        "result.outcome": ACCEPTED,
        "iteration": {"$lte": context.action.iteration},
    }
    keys = {action["result"]["calculation"] for action in context.database.actions.find(query, {"result": 1})}
    found = context.database.calculations.find({"_id": {"$in": sorted(keys)}}, {"label": 1})
    labels = {document["_id"]: Label.model_validate(document["label"]).to_atoms() for document in found}
    return {key: labels[key] for key in sorted(labels)}


def split(keys: Sequence[str], fraction: float) -> tuple[list[str], list[str]]:
    """Divide keys into training and validation.

    A configuration is in validation by its own hash, so that it never changes sides when others are added.
    """
    validation = [key for key in keys if int(key[:8], 16) / 2**32 < fraction]
    training = [key for key in keys if key not in validation]
    return (training, validation) if training else (list(keys), [])


def _starts(context: Context, campaign: Campaign, parent: int | None) -> list[Potential]:
    if parent is not None:
        return [load_potential(context.database, parent)]
    form, seed = campaign.potential, seed_of(campaign, context.action.key)
    return [
        Potential.from_level(
            form.level,
            campaign.system.species,
            r_min=form.r_min_A,
            r_cut=form.r_cut_A,
            radial_size=form.radial_size,
            max_moment=form.max_moment_muB,
            magnetic_size=form.magnetic_size,
            seed=seed + number,
            symmetrized=form.symmetrized,
        )
        for number in range(campaign.fit.starts)
    ]


def _weights(campaign: Campaign) -> dict[str, float]:
    section = campaign.fit
    return {
        "energy": section.energy_weight,
        "forces": section.forces_weight,
        "stress": section.stress_weight,
        "magnetic_forces": section.magnetic_forces_weight,
    }


def _fit(
    start: Potential, training: Sequence[Atoms], validation: Sequence[Atoms], campaign: Campaign
) -> FitResult:
    settings = FitSettings(**{"max_iterations": campaign.fit.max_iterations} | campaign.fit.settings)
    return fit(start, training, Weights(**_weights(campaign)), validation or None, settings)
