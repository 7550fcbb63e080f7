"""What a campaign may claim in the end: the rules of `mmtp_fw.verdicts` on what the database holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmtp_fw.compared import COMPARED
from mmtp_fw.database import Database, queries, views
from mmtp_fw.loop.calibrated import calibrated, uncalibrated
from mmtp_fw.loop.stop import StopReason, explain
from mmtp_fw.statepoints import StatePoint, is_held_out
from mmtp_fw.verdicts import Averages, Judgement, conclude, headline, judge

_VALUES = {
    "params": 1,
    "potential": 1,
    **{f"values.{name}{suffix}": 1 for name in COMPARED for suffix in ("", "_error")},
    "values.max_grade": 1,
}


def conclusion(
    database: Database, campaign_id: str, stop: str | None = None, ensemble: Iterable[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the verdict on a campaign, as the report and ``summary.json`` give it.

    Parameters
    ----------
    database : Database
    campaign_id : str
        The campaign's name.
    stop : str, optional
        Why the learning ended, where that isn't written down yet.
    ensemble : iterable of mapping, optional
        The ensemble's spread by lattice parameter, where it isn't written down yet.

    Returns
    -------
    dict
        headline, verdict, reasons; calibration, see `mmtp_fw.loop.calibrated`;
        volumes: a row for every point of comparison (lattice_parameter_A; phase and
        magnetic_order where phases have names), with held_out, verdict, reason,
        max_grade, and for every compared number its difference from the reference, the statistical and the model
        uncertainty (None: not known), the largest difference that is allowed, inside and can_fail.

    Raises
    ------
    InputError
        There is no such campaign.
    """
    document = queries.campaign(database, campaign_id, "settings", "stop")
    settings, stop = document["settings"], stop or document.get("stop")
    if ensemble is None:
        ensemble = ensemble_of(database, campaign_id)
    spreads = {StatePoint.of(row): row for row in ensemble}
    found = _averages(database, campaign_id, settings)
    gamma_select = float(settings.get("selection", {}).get("gamma_select", 2.0))
    volumes: list[tuple[StatePoint, bool, Judgement, float | None]] = []
    for point in sorted({point for _, point in found}):
        mine, grade, held = found.get(("mmtp", point), (None, None, False))
        reference, _, also_held = found.get(("reference", point), (None, None, False))
        one = judge(mine, reference, spreads.get(point), grade, gamma_select)
        volumes.append((point, held or also_held, one, grade))
    converged = None if stop is None else stop == StopReason.CONVERGED
    verdict, reasons = conclude(converged, explain(stop) or "", [(point, one) for point, _, one, _ in volumes])
    rows = [_row(*row) for row in volumes]
    calibration = calibrated(views.potentials(database, campaign_id), rows)
    return {
        "headline": headline(verdict, reasons, uncalibrated(calibration)),
        "verdict": verdict,
        "reasons": reasons,
        "calibration": calibration,
        "volumes": rows,
    }


def ensemble_of(database: Database, campaign_id: str) -> list[dict[str, Any]]:
    """Return the ensemble's spread by lattice parameter, which the newest report action computed."""
    query = {"campaign": campaign_id, "kind": "report", "result": {"$ne": None}}
    newest = database.actions.find_one(query, {"result.summary.ensemble": 1}, sort=[("iteration", -1)])
    return list(((newest or {}).get("result") or {}).get("summary", {}).get("ensemble", ()))


def _averages(
    database: Database, campaign_id: str, settings: Mapping[str, Any]
) -> dict[tuple[str, StatePoint], tuple[Averages, float | None, bool]]:
    """Return the newest averages of each source and point, their largest grade, and whether the point is held out."""
    asked = {"campaign": campaign_id, "kind": "property", "result": {"$ne": None}}
    actions = list(database.actions.find(asked, {"params": 1, "result": 1}).sort([("iteration", 1), ("created", 1)]))
    wanted = {"_id": {"$in": [action["_id"] for action in actions]}}
    values = {row["_id"]: row["values"] for row in database.properties.find(wanted, _VALUES)}
    held_out = {float(a) for a in settings["system"]["held_out_lattice_parameters_A"]}
    at_rest = settings.get("properties", {}).get("mode") == "static"
    found = {}
    for action in actions:
        params, told = action["params"], {**action["result"], **values.get(action["_id"], {})}
        held = is_held_out(params, held_out)
        found[params["source"], StatePoint.of(params)] = _told(told, at_rest), told.get("max_grade"), held
    return found


def _told(result: Mapping[str, Any], at_rest: bool) -> Averages:
    """Return the averages of a result; at rest there is no statistical error."""
    errors = {name: result.get(f"{name}_error", 0.0 if at_rest else None) for name in COMPARED}
    return Averages(
        str(result.get("outcome", "done")),
        {name: result[name] for name in COMPARED if result.get(name) is not None},
        {name: error for name, error in errors.items() if error is not None},
        str(result.get("message") or result.get("reason") or ""),
    )


def _row(point: StatePoint, held_out: bool, one: Judgement, max_grade: float | None) -> dict[str, Any]:
    differences = {
        name: {
            "difference": found.difference,
            "statistical": found.statistical,
            "model": found.model,
            "allowed": found.allowed,
            "inside": found.inside,
            "can_fail": found.can_fail,
        }
        for name, found in one.differences.items()
    }
    row = point.columns() | {"held_out": held_out, "verdict": one.verdict.value, "reason": one.reason}
    return row | {"max_grade": max_grade, "differences": differences}
