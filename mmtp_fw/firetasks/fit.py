"""Fits: a potential and its active set from every label accepted so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from pymongo.client_session import ClientSession

from mmtp_fw.campaign import Campaign
from mmtp_fw.campaign.form import untrained
from mmtp_fw.database import store
from mmtp_fw.errors import FitError, InputError
from mmtp_fw.firetasks.base import INTERRUPTED, Context
from mmtp_fw.firetasks.configurations import store_configurations
from mmtp_fw.firetasks.fit_checkpoint import KeptFit, UnkeptFit
from mmtp_fw.firetasks.holes import closing, documents
from mmtp_fw.firetasks.potentials import load_potential
from mmtp_fw.firetasks.surprise import surprise
from mmtp_fw.firetasks.uncertainties import as_label
from mmtp_fw.fitting import (
    FitResult,
    FitSettings,
    Progress,
    Report,
    Weights,
    check_training_set,
    fit,
    fit_member,
    within_reach,
)
from mmtp_fw.fitting.ensemble import PERTURBATION
from mmtp_fw.loop.facts import ACCEPTED, seed_of
from mmtp_fw.loop.fits import MEMBER, VERSION
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
    holes: tuple[Atoms | None, ...] = ()


@dataclass(frozen=True)
class _Best:
    """The outcome of a fit, and the record of what makes it a member of an ensemble; None of a version."""

    result: FitResult
    member: dict[str, Any] | None = None


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
        """Fit from the parent potential, or from random starts; stop between two steps when asked, and go on later.

        A member of an ensemble starts from the version that it belongs to.
        """
        kept = KeptFit(context.database, context.action.key, context.directory / "fit.checkpoint")
        kept.fetch()
        return _computed(context, _recorded(context), kept)

    def again(self, context: Context, training_set: Mapping[str, Any]) -> _Fitted | None:
        """Fit once more to the labels of a recorded training set, whatever became of them; nothing is written."""
        validation = frozenset(training_set["validation"])
        every = frozenset(training_set["calculations"])
        recorded = replace(_recorded(context), training=every - validation, validation=validation, only=True)
        return _computed(context, recorded, UnkeptFit(context.directory / "fit.checkpoint"))

    def store(self, context: Context, payload: _Fitted, session: ClientSession) -> Mapping[str, Any]:
        """Store training set and potential."""
        KeptFit.drop(context.database, context.action.key, session)
        holes = payload.fields["fit"]["holes"]
        for hole, candidate in zip(holes, payload.holes, strict=True):
            if candidate is not None:
                (hole["configuration"],) = store_configurations(context, [candidate], session)["configurations"]
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
            execution=context.executed,
            **payload.fields,
        )
        summary = {name: payload.fields["fit"][name] for name in ("loss", "converged", "iterations", "message")}
        closed_by = [hole["configuration"] for hole in holes if hole["configuration"] is not None]
        told = {"holes": len(holes), "configurations": list(dict.fromkeys(closed_by))} if holes else {}
        return {"potential": version, "labels": len(payload.calculations), "fit": summary, **told}


def _computed(context: Context, recorded: _Recorded, kept: KeptFit) -> _Fitted | None:
    """Fit to the labels that `recorded` has; go on from a checkpoint where there is one."""
    params = context.action.params
    start = _start(context, context.campaign, params.get("of") or params["parent"])
    sets = _sets(context, start, recorded)
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
    if not np.isfinite(best.result.loss):
        raise FitError(f"the loss is {best.result.loss}", "look at the labels: `mmtp find`")
    return _fitted(context, sets, best)


def _sets(context: Context, start: Potential, recorded: _Recorded) -> _Sets:
    chosen_keys = recorded.training | recorded.validation if recorded.only else _accepted(context)
    found = _labels(context, chosen_keys)
    systems = Systems(start)
    report = check_training_set(start, list(found.values()), Weights(**_weights(context.campaign)), systems)
    labels, excluded = usable(start, found, report)
    if not labels:
        raise FitError(f"no label can be fitted: {next(iter(excluded.values()))}", "look at them: `mmtp find`")
    training, validation = split(
        list(labels), context.campaign.fit.validation_fraction, recorded.training, recorded.validation
    )
    training = [key for key in training if key not in recorded.left_out]
    chosen = set(training)
    part = report.of_part([index for index, key in enumerate(found) if key in chosen])
    return _Sets(labels, excluded, training, validation, part, systems)


def _fit(context: Context, start: Potential, sets: _Sets, kept: KeptFit) -> _Best:
    def look_up(progress: Progress) -> None:
        kept.keep()
        if context.should_stop():
            raise _StoppedError

    common = (
        start,
        [sets.labels[key] for key in sets.training],
        Weights(**_weights(context.campaign)),
        [sets.labels[key] for key in sets.validation] or None,
        replace(_settings(context), checkpoint=kept.path),
        look_up,
        sets.report,
        sets.systems,
    )
    if context.action.params.get("role") != MEMBER:
        return _Best(fit(*common))
    member = fit_member(*common, temperature_K=_hottest(context.campaign))
    return _Best(
        member.result,
        {
            "seed": member.seed,
            "perturbation": PERTURBATION,
            "loss_ratio": member.loss_ratio,
            "refused": member.refused,
        },
    )


def _hottest(campaign: Campaign) -> float:
    return max(*campaign.md.temperatures_K, campaign.properties.temperature_K)


def _fitted(context: Context, sets: _Sets, found: _Best) -> _Fitted:
    best = found.result
    campaign, params, potential = context.campaign, context.action.params, best.potential
    role, active, holes, told = params.get("role", VERSION), None, [], None
    if role == VERSION:  # the others never drive a trajectory
        active = ActiveSet.from_configurations(
            potential, _fitted_to(sets, best), mode=campaign.selection.mode, systems=sets.systems
        ).to_bytes()
        holes = within_reach(best.holes, _hottest(campaign))
        told = surprise(context.database, params["parent"], sets.labels, Weights(**_weights(campaign)), sets.systems)
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
            **_begun(params, campaign),
            "suspects": [sets.training[k] for k in best.suspects],
            "left_out": [sets.training[k] for k in best.left_out],
            "holes": documents(holes),
            "surprise": told,
            "excluded": [{"calculation": key, "reason": reason} for key, reason in sets.excluded.items()],
            **({} if found.member is None else {"member": found.member}),
        },
    }
    closed_by = closing(campaign, potential, holes)
    return _Fitted(potential.dumps(), params["parent"], list(sets.labels), sets.validation, active, fields, closed_by)


def _fitted_to(sets: _Sets, best: FitResult) -> list[Atoms]:
    """Return the labels that had a say in the potential: what it never saw must not count as known."""
    left_out = {sets.training[k] for k in best.left_out}
    chosen = (sets.labels[key] for key in sets.training if key not in left_out)
    return [atoms for atoms in chosen if atoms.info.get("weight", 1.0) > 0]


def accepted_labels(context: Context) -> dict[str, Atoms]:
    """Return the labelled configurations of this and earlier rounds by calculation key, in key order."""
    return _labels(context, _accepted(context))


def _accepted(context: Context) -> frozenset[str]:
    query = {
        "campaign": context.campaign.name,
        "kind": "label",
        "result.outcome": ACCEPTED,
        "iteration": {"$lte": context.action.iteration},
    }
    found = context.database.actions.find(query, {"result.calculation": 1})
    return frozenset(action["result"]["calculation"] for action in found)


def _labels(context: Context, keys: Collection[str]) -> dict[str, Atoms]:
    found = context.database.calculations.find({"_id": {"$in": sorted(keys)}}, {"label": 1})
    labels = {document["_id"]: as_label(document["label"], context.campaign) for document in found}
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


def split(
    keys: Sequence[str],
    fraction: float,
    trained: Collection[str] = frozenset(),
    held_out: Collection[str] = frozenset(),
) -> tuple[list[str], list[str]]:
    """Divide keys into training and validation.

    A configuration that earlier versions have divided stays on its side: one that was held out is never trained on,
    and one that was trained on measures nothing any more. A new one is in validation by its own hash.

    Raises
    ------
    FitError
        All of them were held out before.
    """
    open_ones = [key for key in keys if key not in held_out]
    if not open_ones:
        raise FitError("every label that can be fitted is kept for validation", "more labels are needed")
    training = [key for key in open_ones if key in trained or int(key[:8], 16) / 2**32 >= fraction]
    chosen = set(training or open_ones)  # there must be something to train on
    return [key for key in keys if key in chosen], [key for key in keys if key not in chosen]


@dataclass(frozen=True)
class _Recorded:
    """How earlier versions have divided labels; `only`: no other label is to be used.

    `left_out`: the version whose ensemble is joined left them out as suspects.
    """

    training: frozenset[str] = frozenset()
    validation: frozenset[str] = frozenset()
    only: bool = False
    left_out: frozenset[str] = frozenset()


def _recorded(context: Context) -> _Recorded:
    """Return the division that a fit goes on with: of earlier rounds, or of the version whose ensemble it joins.

    Fits of the same round don't look at each other: they come out the same in whatever order they run.
    """
    database, version = context.database, context.action.params.get("of")
    query: dict[str, Any] = {"campaign": context.campaign.name}
    query |= {"iteration": {"$lt": context.action.iteration}} if version is None else {"_id": version}
    made = list(database.potentials.find(query, {"training_set": 1, "fit.left_out": 1}))
    keys = sorted({document["training_set"] for document in made if document.get("training_set")})
    found = list(database.training_sets.find({"_id": {"$in": keys}}, {"calculations": 1, "validation": 1}))
    validation = frozenset(key for document in found for key in document["validation"])
    every = frozenset(key for document in found for key in document["calculations"])
    if version is None:
        return _Recorded(every - validation, validation)
    left_out = frozenset(key for document in made for key in document.get("fit", {}).get("left_out", ()))
    return _Recorded(every - validation, validation, bool(found), left_out)


def _start(context: Context, campaign: Campaign, parent: int | None) -> Potential:
    if parent is not None:
        return load_potential(context.database, parent)
    given = campaign.start_from.potential
    if given is not None:
        return Potential.loads(given.text, species=campaign.system.species)
    return untrained(campaign.potential, campaign.system.species, seed_of(campaign, context.action.key))


def _begun(params: Mapping[str, Any], campaign: Campaign) -> dict[str, Any]:
    """Return which file's potential a fit without a parent began from, where there is one."""
    given = campaign.start_from.potential
    if params["parent"] is not None or given is None:
        return {}
    digest = Potential.loads(given.text, species=campaign.system.species).content_hash
    return {"started_from": {"file": given.file, "content_hash": digest}}


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
