"""All that the report shows, as plain data: the page and the figures see no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from mmtp_fw.campaign.experiment import ExperimentSettings
from mmtp_fw.compared import NEEDED
from mmtp_fw.database import Database, queries, views
from mmtp_fw.database.summary import summarize
from mmtp_fw.labelling import FAILED
from mmtp_fw.loop.conclusion import conclusion, ensemble_of
from mmtp_fw.loop.gather import campaign_settings, gather
from mmtp_fw.loop.planner import locate
from mmtp_fw.loop.stop import explain
from mmtp_fw.spectra import curve_of, curves_of, difference_of
from mmtp_fw.statepoints import StatePoint, is_held_out


def gather_report(database: Database, campaign_id: str) -> dict[str, Any]:
    """Read everything that the report of a campaign shows; it need not be finished.

    Parameters
    ----------
    database : Database
    campaign_id : str
        The campaign's name.

    Returns
    -------
    dict
        campaign (name, times, stop reason, settings), iterations, potentials, labels, properties, md_runs,
        cells (atoms of each point of comparison), failures: lists of flat dicts; experiment: list of
        `mmtp_fw.campaign.experiment.ExperimentSettings`; calibration, see `mmtp_fw.loop.calibrated`; conclusion, see
        `mmtp_fw.loop.conclusion`; and summary.

    Raises
    ------
    InputError
        There is no such campaign.
    """
    document = queries.campaign(database, campaign_id)
    actions = list(database.actions.find({"campaign": campaign_id}).sort("_id", 1))
    held_out = set(document["settings"]["system"]["held_out_lattice_parameters_A"])
    iterations = views.rounds(database, campaign_id, actions)
    ensemble = ensemble_of(database, campaign_id)
    concluded = conclusion(database, campaign_id, ensemble=ensemble)
    calibration = concluded["calibration"]
    properties = _properties(database, actions, held_out, ensemble)
    spectra = _spectra(properties)
    return {
        "campaign": _campaign(campaign_id, document),
        "potentials": views.potentials(database, campaign_id),
        "calibration": calibration,
        "labels": [_label(row) for row in views.campaign_labels(database, campaign_id)],
        "md_runs": views.md_runs(database, {"campaign": campaign_id}),
        "properties": properties,
        "spectra": spectra,
        "cells": _cells(database, campaign_id, properties),
        "experiment": _measured(document["settings"]),
        "failures": [row | {"message": row["message"][:300]} for row in views.failures(actions)],
        "iterations": iterations,
        "unusable": _unusable(actions),
        "conclusion": concluded,
        "summary": summarize(database, campaign_id)
        | {
            "headline": concluded["headline"],
            "verdict": concluded["verdict"],
            "iterations": len(iterations),
            "stop": document.get("stop"),
            "potential": locate(gather(database, campaign_id)).potential,
            "campaign": campaign_id,
            "ensemble": ensemble,
            "volumes": concluded["volumes"],
            "calibration": calibration,
            "spectra": spectra,
        },
    }


def _measured(settings: Mapping[str, Any]) -> list[ExperimentSettings]:
    return [ExperimentSettings.model_validate(one) for one in settings["properties"].get("experiment", ())]


def _campaign(campaign_id: str, document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": campaign_id,
        "created": document["created"],
        "finished": document.get("finished"),
        "stop": document.get("stop"),
        "explanation": explain(document.get("stop")),
        "settings": document["settings"],
        "code_version": document["code_version"],
        "convergence": document.get("convergence"),
    }


def _label(row: views.CampaignLabelRow) -> dict[str, Any]:
    """Return a label's row under the names that the page and the figures use."""
    origin = row["origin"] or {}
    bias = row["bias_eV_per_atom"]
    same = {"configuration", "iteration", "formula", "status", "reason", "rule", "scf_runs", "wall_seconds"}
    same |= {"lambda_eV_per_muB2", "mae_muB", "max_deviation_muB"}
    return {
        **{name: value for name, value in row.items() if name in same},
        "origin": describe_origin(origin),
        "grade_at_selection": origin.get("grade"),
        "quality": row["grade"],
        "bias_meV_per_atom": None if bias is None else 1000.0 * bias,
        "symbols": [chemical_symbols[number] for number in row["numbers"] or ()],
        "target_muB": row["targets"] or [],
        "moments_muB": row["achieved"] or [],
    }


def describe_origin(origin: Mapping[str, Any]) -> str:
    """Return in a few words where a configuration came from.

    Examples
    --------
    >>> describe_origin({"md_run": 7, "step": 40, "potential": 2, "grade": 3.14})
    'MD run 7, step 40, potential 2, grade 3.14'
    """
    if "imported" in origin:
        return f"imported from {origin['file']}, configuration {origin['index']}"
    if "step" in origin:
        parts = [f"MD run {origin.get('md_run', '?')}", f"step {origin['step']}"]
        parts += [f"potential {origin['potential']}"] if "potential" in origin else []
        parts += [f"grade {origin['grade']:.3g}"] if origin.get("grade") is not None else []
        return ", ".join(parts)
    made = origin.get("generator")
    if isinstance(made, Mapping):
        return ", ".join(
            f"{made[name]:g} Å" if name.endswith("_A") else str(made[name])
            for name in ("phase", "structure", "lattice_parameter_A", "magnetic_order")
            if name in made
        )
    return str(made or "generated")


def _properties(
    database: Database,
    actions: Iterable[Mapping[str, Any]],
    held_out: set[float],
    ensemble: Iterable[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return the averages of the newest round of each source and point."""
    asked = [action for action in actions if action["kind"] == "property" and action.get("result")]
    values = _by_id(database.properties.find({"_id": {"$in": [action["_id"] for action in asked]}}))
    spreads = {StatePoint.of(row): row for row in ensemble}
    newest: dict[tuple[str, StatePoint], dict[str, Any]] = {}
    for action in sorted(asked, key=lambda item: int(item["iteration"])):
        params, result = action["params"], action["result"]
        if result.get("outcome") == FAILED or any(result.get(name) is None for name in NEEDED):
            continue
        point = StatePoint.of(params)
        newest[params["source"], point] = {
            **result,
            **_shown(values.get(action["_id"], {}).get("values", {})),
            "source": params["source"],
            **point.columns(),
            "held_out": is_held_out(params, held_out),
            "potential": params.get("potential"),
            "spread": spreads.get(point, {}) if params["source"] == "mmtp" else {},
        }
    return [newest[key] for key in sorted(newest)]


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored values without a spectrum that is zero everywhere: of atoms that stood still."""
    spectrum = values.get("phonon_dos")
    return {**values, "phonon_dos": spectrum if spectrum and any(spectrum["total"]) else None}


def _cells(database: Database, campaign_id: str, properties: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the number of atoms in the cell of every point of comparison."""
    campaign = campaign_settings(database, campaign_id)
    points = sorted({StatePoint.of(row) for row in properties})
    first = {point.phase: point for point in reversed(points)}
    atoms = {
        phase: len(campaign.phase(phase).cell(point.lattice_parameter_A, np.random.default_rng(0)))
        for phase, point in first.items()
    }
    return [point.columns() | {"atoms": atoms[point.phase]} for point in points]


def _spectra(properties: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return how far the potential's spectrum is from the reference's at every volume that has both, curve by curve."""
    found = {(row["source"], StatePoint.of(row)): row for row in properties if row.get("phonon_dos")}
    rows = []
    for source, point in sorted(found):
        reference = found.get(("reference", point))
        if source != "mmtp" or reference is None:
            continue
        mine = found[source, point]
        for name in curves_of(mine["phonon_dos"]):
            one, other = (curve_of(row["phonon_dos"], name) for row in (mine, reference))
            told = difference_of(one, other).document()
            means: dict[str, float | None] = {}
            for side, curve in (("mmtp", one), ("reference", other)):
                means |= {f"{side}_mean_THz": curve.mean_THz, f"{side}_mean_error_THz": curve.mean_error_THz}
                means |= {f"{side}_rms_THz": curve.rms_THz, f"{side}_rms_error_THz": curve.rms_error_THz}
            rows.append(point.columns() | {"curve": name, "held_out": mine["held_out"]} | told | means)
    return rows


def _unusable(actions: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line on every average that gave no numbers."""
    found = []
    for action in actions:
        result = action.get("result")
        if action["kind"] == "property" and result and any(result.get(name) is None for name in NEEDED):
            params = action["params"]
            reason = result.get("reason") or result.get("state") or result.get("outcome")
            found.append(f"{params['source']} at {StatePoint.of(params).words}: {reason}")
    return found


def _by_id(documents: Iterable[Mapping[str, Any]]) -> dict[Any, Mapping[str, Any]]:
    return {document["_id"]: document for document in documents}
