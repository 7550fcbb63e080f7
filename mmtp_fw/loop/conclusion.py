"""What a campaign may claim in the end: the rules of `mmtp_fw.verdicts` on what the database holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmtp_fw.compared import COMPARED
from mmtp_fw.database import Database, queries
from mmtp_fw.loop.stop import StopReason, explain
from mmtp_fw.verdicts import Averages, Judgement, conclude, headline, judge

_VALUES = {
    "params": 1,
    "potential": 1,
    **{f"values.{name}{suffix}": 1 for name in COMPARED for suffix in ("", "_error")},
    "values.max_grade": 1,
}


def conclusion(
    database: Database, campaign_id: str, stop: str | None = None, ensemble: Iterable[Mapping[str, float]] | None = None
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
        headline, verdict, reasons; volumes: a row for every lattice parameter, with held_out, verdict, reason,
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
    spreads = {float(row["lattice_parameter_A"]): row for row in ensemble}
    found = _averages(database, campaign_id, settings)
    gamma_select = float(settings.get("selection", {}).get("gamma_select", 2.0))
    held_out = {float(a) for a in settings["system"]["held_out_lattice_parameters_A"]}
    volumes: list[tuple[float, Judgement, float | None]] = []
    for a in sorted({volume for _, volume in found}):
        mine, grade = found.get(("mmtp", a), (None, None))
        reference, _ = found.get(("reference", a), (None, None))
        volumes.append((a, judge(mine, reference, spreads.get(a), grade, gamma_select), grade))
    converged = None if stop is None else stop == StopReason.CONVERGED
    verdict, reasons = conclude(converged, explain(stop) or "", [(a, one) for a, one, _ in volumes])
    return {
        "headline": headline(verdict, reasons),
        "verdict": verdict,
        "reasons": reasons,
        "volumes": [_row(a, a in held_out, one, grade) for a, one, grade in volumes],
    }


def ensemble_of(database: Database, campaign_id: str) -> list[dict[str, float]]:
    """Return the ensemble's spread by lattice parameter, which the newest report action computed."""
    query = {"campaign": campaign_id, "kind": "report", "result": {"$ne": None}}
    newest = database.actions.find_one(query, {"result.summary.ensemble": 1}, sort=[("iteration", -1)])
    return list(((newest or {}).get("result") or {}).get("summary", {}).get("ensemble", ()))


def _averages(
    database: Database, campaign_id: str, settings: Mapping[str, Any]
) -> dict[tuple[str, float], tuple[Averages, float | None]]:
    """Return the newest averages of each source and volume, with the largest grade of what was averaged."""
    asked = {"campaign": campaign_id, "kind": "property", "result": {"$ne": None}}
    actions = list(database.actions.find(asked, {"params": 1, "result": 1}).sort([("iteration", 1), ("created", 1)]))
    wanted = {"_id": {"$in": [action["_id"] for action in actions]}}
    values = {row["_id"]: row["values"] for row in database.properties.find(wanted, _VALUES)}
    at_rest = settings.get("properties", {}).get("mode") == "static"
    found = {}
    for action in actions:
        params, result = action["params"], action["result"]
        told = {**result, **values.get(action["_id"], {})}
        errors = {name: told.get(f"{name}_error", 0.0 if at_rest else None) for name in COMPARED}
        averages = Averages(
            str(result.get("outcome", "done")),
            {name: told[name] for name in COMPARED if told.get(name) is not None},
            {name: error for name, error in errors.items() if error is not None},
            str(result.get("message") or result.get("reason") or ""),
        )
        found[params["source"], float(params["lattice_parameter_A"])] = averages, told.get("max_grade")
    return found


def _row(a: float, held_out: bool, one: Judgement, max_grade: float | None) -> dict[str, Any]:
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
    row = {"lattice_parameter_A": a, "held_out": held_out, "verdict": one.verdict.value, "reason": one.reason}
    return row | {"max_grade": max_grade, "differences": differences}
