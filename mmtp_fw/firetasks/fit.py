"""Fits: a potential and its active set from every label accepted so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw.campaign import Campaign
from mmtp_fw.database import store
from mmtp_fw.dft.stages import Label
from mmtp_fw.errors import FitError, InputError
from mmtp_fw.firetasks.base import INTERRUPTED, Context
from mmtp_fw.firetasks.fit_checkpoint import KeptFit
from mmtp_fw.firetasks.potentials import load_potential
from mmtp_fw.fitting import FitResult, FitSettings, Progress, Report, Weights, check_training_set, fit
from mmtp_fw.loop.facts import ACCEPTED, seed_of
from mmtp_fw.loop.fits import VERSION
from mmtp_fw.potential import Potential, Systems
from mmtp_fw.quantities import QUANTITIES
from mmtp_fw.selection import ActiveSet


@dataclass(frozen=True)
class _Fitted:
    """What fitting hands from `compute` to `store`."""

    text: str
    parent: int | None
    calculations: list[str]
    validation: list[str]
    active_set: bytes | None
    fields: dict[str, Any]


@dataclass(frozen=True)
class _Sets:
    """The labels of a fit, by calculation key, looked through once and each with one neighbour list.

    Attributes
    ----------
    labels : dict
        All that can be fitted.
    excluded : dict
        Reasons why others can't.
    training, validation : list of str
    report : Report
        On the training set.
    systems : Systems
    """

    labels: dict[str, Atoms]
    excluded: dict[str, str]
    training: list[str]
    validation: list[str]
    report: Report
    systems: Systems


class _StoppedError(Exception):
    """The worker was asked to end in the middle of a fit."""


class FitWork:
    """`Work` of a fit action."""

    def compute(self, context: Context) -> _Fitted | None:
        """Fit from the parent potential, or from random starts; stop between two steps when asked, and go on later."""
        start = _start(context, context.campaign, context.action.params["parent"])
        sets = _sets(context, start)
        kept = KeptFit(context.database, context.action.key, context.directory / "fit.checkpoint")
        kept.fetch()
        try:
            try:
                best = _fit(context, start, sets, kept)
            except InputError as error:
                if str(kept.path) not in error.message:
                    raise
                kept.path.unlink()  # a checkpoint of something else: without it
                best = _fit(context, start, sets, kept)
        except _StoppedError:
            kept.keep(now=True)
            return INTERRUPTED
        kept.path.unlink(missing_ok=True)  # who has to fit again begins with the copy in the database
        if not np.isfinite(best.loss):
            raise FitError(f"the loss is {best.loss}", "look at the labels: `mmtp find`")
        return _fitted(context, sets, best)

    def store(self, context: Context, payload: _Fitted, session: ClientSession) -> Mapping[str, Any]:
        """Store training set and potential."""
        KeptFit.drop(context.database, context.action.key, session)
        training_set = store.add_training_set(context.database, payload.calculations, payload.validation, session)
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
        summary = {name: payload.fields["fit"][name] for name in ("loss", "converged", "iterations", "message")}
        return {"potential": version, "labels": len(payload.calculations), "fit": summary}


def _sets(context: Context, start: Potential) -> _Sets:
    found, systems = accepted_labels(context), Systems(start)
    report = check_training_set(start, list(found.values()), Weights(**_weights(context.campaign)), systems)
    labels, excluded = usable(start, found, report)
    if not labels:
        raise FitError(f"no label can be fitted: {next(iter(excluded.values()))}", "look at them: `mmtp find`")
    training, validation = split(list(labels), context.campaign.fit.validation_fraction)
    chosen = set(training)
    part = report.of_part([index for index, key in enumerate(found) if key in chosen])
    return _Sets(labels, excluded, training, validation, part, systems)


def _fit(context: Context, start: Potential, sets: _Sets, kept: KeptFit) -> FitResult:
    def look_up(progress: Progress) -> None:
        kept.keep()
        if context.should_stop():
            raise _StoppedError

    return fit(
        start,
        [sets.labels[key] for key in sets.training],
        Weights(**_weights(context.campaign)),
        [sets.labels[key] for key in sets.validation] or None,
        replace(_settings(context), checkpoint=kept.path),
        look_up,
        sets.report,
        sets.systems,
    )


def _fitted(context: Context, sets: _Sets, best: FitResult) -> _Fitted:
    campaign, params, potential = context.campaign, context.action.params, best.potential
    role, active = params.get("role", VERSION), None
    if role == VERSION:  # the others never drive a trajectory
        active = ActiveSet.from_configurations(
            potential, list(sets.labels.values()), mode=campaign.selection.mode, systems=sets.systems
        ).to_bytes()
    fields = {
        "role": role,
        "member_of": params.get("of"),
        "content_hash": potential.content_hash,
        "level": campaign.potential.level,
        "species": potential.species,
        "n_parameters": potential.n_parameters,
        "weights": _weights(campaign),
        "errors": best.errors,
        "validation_errors": best.validation_errors or {},
        "fit": {
            **{k: v for k, v in best.document().items() if k not in ("errors", "validation_errors")},
            "suspects": [sets.training[k] for k in best.suspects],
            "left_out": [sets.training[k] for k in best.left_out],
            "excluded": [{"calculation": key, "reason": reason} for key, reason in sets.excluded.items()],
        },
    }
    return _Fitted(potential.dumps(), params["parent"], list(sets.labels), sets.validation, active, fields)


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
    labels = {}
    for document in found:
        label = Label.model_validate(document["label"])
        labels[document["_id"]] = label.to_atoms()
        labels[document["_id"]].info["weight"] = context.campaign.fit.quality_weights[label.grade.value]
    return {key: labels[key] for key in sorted(labels)}


def usable(
    potential: Potential, labels: Mapping[str, Atoms], report: Report | None = None
) -> tuple[dict[str, Atoms], dict[str, str]]:
    """Divide labels into those that can be fitted and the others, with the reason for each.

    A label just past the magnetic range, say, is a correct label: it may serve another potential. `report` is the
    check of these labels, where it was made already.
    """
    keys = list(labels)
    if report is None:
        report = check_training_set(potential, list(labels.values()))
    excluded = {keys[finding.index]: finding.message for finding in reversed(report.fatal)}
    return {key: labels[key] for key in keys if key not in excluded}, excluded


def split(keys: Sequence[str], fraction: float) -> tuple[list[str], list[str]]:
    """Divide keys into training and validation.

    A configuration is in validation by its own hash, so that it never changes sides when others are added.
    """
    validation = [key for key in keys if int(key[:8], 16) / 2**32 < fraction]
    training = [key for key in keys if key not in validation]
    return (training, validation) if training else (list(keys), [])


def _start(context: Context, campaign: Campaign, parent: int | None) -> Potential:
    if parent is not None:
        return load_potential(context.database, parent)
    form = campaign.potential
    return Potential.from_level(
        form.level,
        campaign.system.species,
        r_min=form.r_min_A,
        r_cut=form.r_cut_A,
        radial_size=form.radial_size,
        max_moment=form.max_moment_muB,
        magnetic_size=form.magnetic_size,
        seed=seed_of(campaign, context.action.key),
        symmetrized=form.symmetrized,
    )


def _weights(campaign: Campaign) -> dict[str, float]:
    weights = {name: float(getattr(campaign.fit, f"{name}_weight")) for name in QUANTITIES}
    return weights | {"moment_deviation_muB": campaign.fit.moment_deviation_muB}


def _settings(context: Context) -> FitSettings:
    section = context.campaign.fit
    own = {
        "max_iterations": section.max_iterations,
        "seed": seed_of(context.campaign, context.action.key),
        "shakes": 0,  # a campaign fits anew with each round's labels: minima are left that way
    }
    return FitSettings(**own | section.settings)
