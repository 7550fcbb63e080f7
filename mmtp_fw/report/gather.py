"""All that the report shows, as plain data: the page and the figures see no database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ase.data import chemical_symbols

from mmtp_fw.database import Database
from mmtp_fw.errors import InputError
from mmtp_fw.loop.facts import Fact
from mmtp_fw.loop.fits import MEMBER, best_of
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate
from mmtp_fw.loop.stop import EXPLANATIONS, StopReason

QUANTITIES = ("magnetization_muB_per_atom", "pressure_GPa")


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
        failures: lists of flat dicts; and summary.

    Raises
    ------
    InputError
        There is no such campaign.
    """
    from mmtp_fw.firetasks.report import summarize  # its science is loaded for reports only

    document = database.campaigns.find_one({"_id": campaign_id})
    if document is None:
        raise InputError(f"no campaign '{campaign_id}' in this database", "`mmtp status` lists the campaigns")
    actions = list(database.actions.find({"campaign": campaign_id}).sort("_id", 1))
    held_out = set(document["settings"]["system"]["held_out_lattice_parameters_A"])
    data: dict[str, Any] = {
        "campaign": {
            "name": campaign_id,
            "created": document["created"],
            "finished": document.get("finished"),
            "stop": document.get("stop"),
            "explanation": explain(document.get("stop")),
            "settings": document["settings"],
            "code_version": document["code_version"],
            "convergence": document.get("convergence"),
        },
        "potentials": _potentials(database, campaign_id),
        "labels": _labels(database, actions),
        "md_runs": _md_runs(database, campaign_id),
        "properties": _properties(database, actions, held_out),
        "failures": _failures(actions),
    }
    data["iterations"] = _iterations(actions, data)
    data["unusable"] = _unusable(actions)
    data["summary"] = summarize(database, campaign_id) | {
        "iterations": len(data["iterations"]),
        "stop": document.get("stop"),
        "potential": locate(gather(database, campaign_id)).potential,
        "campaign": campaign_id,
        "ensemble": _ensemble(actions),
    }
    return data


def explain(stop: str | None) -> str | None:
    """Return one line on a reason to stop."""
    try:
        return EXPLANATIONS[StopReason(stop)] if stop else None
    except ValueError:
        return stop


def _potentials(database: Database, campaign_id: str) -> list[dict[str, Any]]:
    found = []
    for document in database.potentials.find({"campaign": campaign_id}, {"text": 0}).sort("_id", 1):
        training = database.training_sets.find_one({"_id": document.get("training_set")}) or {}
        found.append(
            {
                "version": document["_id"],
                "iteration": document.get("iteration"),
                "role": document.get("role", "version"),
                "parent": document.get("parent"),
                "level": document.get("level"),
                "n_parameters": document.get("n_parameters"),
                "training": len(set(training.get("calculations", ())) - set(training.get("validation", ()))),
                "validation": len(training.get("validation", ())),
                "errors": document.get("errors") or {},
                "validation_errors": document.get("validation_errors") or {},
                "fit": document.get("fit") or {},
                "created": document["created"],
            }
        )
    return found


def _labels(database: Database, actions: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    asked = [action for action in actions if action["kind"] == "label"]
    configurations = _by_id(
        database.configurations.find(
            {"_id": {"$in": [action["params"]["configuration"] for action in asked]}},
            {"number": 1, "origin": 1, "formula": 1, "atoms.numbers": 1},
        )
    )
    keys = [(action.get("result") or {}).get("calculation") for action in asked]
    calculations = _by_id(database.calculations.find({"_id": {"$in": [key for key in keys if key]}}))
    return [
        _label(action, configurations.get(action["params"]["configuration"], {}), calculations.get(key, {}))
        for action, key in zip(asked, keys, strict=True)
    ]


def _label(
    action: Mapping[str, Any], configuration: Mapping[str, Any], calculation: Mapping[str, Any]
) -> dict[str, Any]:
    result, label = action.get("result") or {}, calculation.get("label") or {}
    stages = calculation.get("stages", [])
    last = next((stage for stage in reversed(stages) if stage.get("mae_muB") is not None), {})
    origin = configuration.get("origin", {})
    return {
        "configuration": configuration.get("number"),
        "iteration": action["iteration"],
        "formula": configuration.get("formula"),
        "origin": describe_origin(origin),
        "grade_at_selection": origin.get("grade"),
        "status": result.get("outcome", "open"),
        "reason": result.get("reason") or calculation.get("reason"),
        "rule": calculation.get("rule"),
        "quality": label.get("grade"),
        "lambda_eV_per_muB2": label.get("lambda_eV_per_muB2", last.get("lambda_eV_per_muB2")),
        "mae_muB": label.get("mae_muB", last.get("mae_muB")),
        "max_deviation_muB": label.get("max_deviation_muB", last.get("max_deviation_muB")),
        "bias_meV_per_atom": _times(label.get("bias_eV_per_atom"), 1000.0),
        "scf_runs": sum(stage.get("name") not in ("map", "accept") for stage in stages),
        "wall_seconds": sum(stage.get("wall_seconds") or 0.0 for stage in stages),
        "symbols": label.get("symbols") or _symbols(configuration),
        "target_muB": label.get("target") or last.get("target") or [],
        "moments_muB": label.get("moments") or _achieved(last),
    }


def _achieved(stage: Mapping[str, Any]) -> list[float]:
    return list((stage.get("achieved") or {}).get(stage.get("which_definition"), []))


def _symbols(configuration: Mapping[str, Any]) -> list[str]:
    return [chemical_symbols[number] for number in (configuration.get("atoms") or {}).get("numbers", ())]


def describe_origin(origin: Mapping[str, Any]) -> str:
    """Return in a few words where a configuration came from.

    Examples
    --------
    >>> describe_origin({"md_run": 7, "step": 40, "potential": 2, "grade": 3.14})
    'MD run 7, step 40, potential 2, grade 3.14'
    """
    if "step" in origin:
        parts = [f"MD run {origin.get('md_run', '?')}", f"step {origin['step']}"]
        parts += [f"potential {origin['potential']}"] if "potential" in origin else []
        parts += [f"grade {origin['grade']:.3g}"] if origin.get("grade") is not None else []
        return ", ".join(parts)
    made = origin.get("generator")
    if isinstance(made, Mapping):
        return ", ".join(
            f"{made[name]:g} Å" if name.endswith("_A") else str(made[name])
            for name in ("structure", "lattice_parameter_A", "magnetic_order")
            if name in made
        )
    return str(made or "generated")


def _md_runs(database: Database, campaign_id: str) -> list[dict[str, Any]]:
    runs = database.md_runs.find({"campaign": campaign_id}).sort("number", 1)
    fields = (
        "number",
        "iteration",
        "potential",
        "state",
        "steps",
        "max_grade",
        "n_candidates",
        "message",
        "wall_seconds",
    )
    return [
        {name: run.get(name) for name in fields}
        | {
            "lattice_parameter_A": run["params"].get("lattice_parameter_A"),
            "temperature_K": run["params"].get("temperature_K"),
            "magnetic_order": run["params"].get("magnetic_order"),
        }
        for run in runs
    ]


def _properties(database: Database, actions: Iterable[Mapping[str, Any]], held_out: set[float]) -> list[dict[str, Any]]:
    """Return the averages of the newest round of each source and volume."""
    asked = [action for action in actions if action["kind"] == "property" and action.get("result")]
    values = _by_id(database.properties.find({"_id": {"$in": [action["_id"] for action in asked]}}))
    spreads = {row["lattice_parameter_A"]: row for row in _ensemble(actions)}
    newest: dict[tuple[str, float], dict[str, Any]] = {}
    for action in sorted(asked, key=lambda item: int(item["iteration"])):
        params, result = action["params"], action["result"]
        if result.get("outcome") == "failed" or any(result.get(name) is None for name in QUANTITIES):
            continue
        a = float(params["lattice_parameter_A"])
        newest[params["source"], a] = {
            **result,
            **values.get(action["_id"], {}).get("values", {}),
            "source": params["source"],
            "lattice_parameter_A": a,
            "held_out": a in held_out,
            "potential": params.get("potential"),
            "spread": spreads.get(a, {}) if params["source"] == "mmtp" else {},
        }
    return [newest[key] for key in sorted(newest)]


def _ensemble(actions: Iterable[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Return the ensemble's spread by lattice parameter, which the report action computed."""
    results = [action["result"] for action in actions if action["kind"] == "report" and action.get("result")]
    return list(results[-1].get("summary", {}).get("ensemble", ())) if results else []  # keys sort by round


def _unusable(actions: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line on every average that gave no numbers."""
    found = []
    for action in actions:
        result = action.get("result")
        if action["kind"] == "property" and result and any(result.get(name) is None for name in QUANTITIES):
            params = action["params"]
            reason = result.get("reason") or result.get("state") or result.get("outcome")
            found.append(f"{params['source']} at {params['lattice_parameter_A']:g} Å: {reason}")
    return found


def _failures(actions: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for action in actions:
        for error in action.get("errors", ()):
            lines = str(error.get("text", "")).strip().splitlines()
            found.append(
                {
                    "action": action["_id"],
                    "owner": error.get("owner"),
                    "message": (lines[-1] if lines else "no message")[:300],
                    "given_up": (action.get("result") or {}).get("outcome") == "failed",
                }
            )
    return found


def _iterations(actions: Iterable[Mapping[str, Any]], data: Mapping[str, Any]) -> list[dict[str, Any]]:
    rounds: dict[int, dict[str, Any]] = {}
    fits = [
        Fact.from_result(action["_id"], action["kind"], action["iteration"], action["result"])
        for action in actions
        if action["kind"] == "fit" and action.get("result") and action["params"].get("role") != MEMBER
    ]
    for action in actions:
        if action["kind"] in ("property", "report"):
            continue
        row = rounds.setdefault(int(action["iteration"]), _empty_round(int(action["iteration"])))
        result = action.get("result") or {}
        if action["kind"] == "pretrain":
            row["generated"] = len(result.get("configurations", ()))
        elif action["kind"] == "select":
            row["selected"] = len(result.get("configurations", ()))
        elif action["kind"] == "label":
            row[result.get("outcome", "open")] = row.get(result.get("outcome", "open"), 0) + 1
            row["scf_runs"] += result.get("scf_runs", 0)
        elif action["kind"] == "md":
            row["md_runs"] += 1
            row["md_completed"] += result.get("outcome") == "completed"
            row["md_steps"] += result.get("md_steps", 0)
            row["candidates"] += result.get("candidates", 0)
    for number, row in rounds.items():
        row["potential"] = best_of([fit for fit in fits if fit.iteration == number])
    for run in data["md_runs"]:
        row = rounds.get(run["iteration"])
        if row is not None and run["max_grade"] is not None:
            row["max_grade"] = max(row["max_grade"] or 0.0, run["max_grade"])
    return [rounds[number] for number in sorted(rounds)]


def _empty_round(number: int) -> dict[str, Any]:
    counts = ("generated", "selected", "accepted", "rejected", "failed", "open", "scf_runs")
    counts += ("md_runs", "md_completed", "md_steps", "candidates")
    return {"iteration": number, **dict.fromkeys(counts, 0), "max_grade": None, "potential": None}


def _by_id(documents: Iterable[Mapping[str, Any]]) -> dict[Any, Mapping[str, Any]]:
    return {document["_id"]: document for document in documents}


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
