"""The numbers that sum a campaign up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtp_fw.compared import COMPARED, Compared
from mmtp_fw.database import queries, views
from mmtp_fw.labelling import LABEL_STATES
from mmtp_fw.statepoints import StatePoint, is_held_out

if TYPE_CHECKING:
    from mmtp_fw.database.database import Database


def summarize(database: Database, campaign: str) -> dict[str, Any]:
    """Return the summary of a campaign from its finished actions.

    Returns
    -------
    dict
        magnetization_mae_muB_per_atom, absolute_moment_mae_muB_per_atom and pressure_mae_GPa (None where
        nothing can be compared), the same for
        held-out volumes only, labels_accepted, labels_rejected, labels_failed, scf_runs, md_steps,
        wall_seconds (from the first planned action to the last finished one).

    Raises
    ------
    InputError
        No such campaign.
    """
    settings = queries.campaign(database, campaign, "settings.system")["settings"]
    held_out = set(settings["system"]["held_out_lattice_parameters_A"])
    wanted = views.ACTION | {f"result.{name}": 1 for name in COMPARED}
    actions = list(database.actions.find({"campaign": campaign}, wanted))
    results = [(action, action["result"]) for action in actions if action.get("result") is not None]
    labels = views.verdicts(actions)
    averages = [(action["params"], result) for action, result in results if action["kind"] == "property"]
    started = min((action["created"] for action in actions), default=None)
    ended = max((action["finished"] for action, _ in results if action.get("finished")), default=None)
    return {
        **_errors(averages, None, ""),
        **_errors(averages, held_out, "held_out_"),
        **{f"labels_{verdict}": labels[verdict] for verdict in LABEL_STATES},
        "scf_runs": sum(result.get("scf_runs", 0) for _, result in results),
        "md_steps": sum(result.get("md_steps", 0) for _, result in results),
        "wall_seconds": (ended - started).total_seconds() if started and ended else 0.0,
    }


def _errors(
    averages: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]], volumes: set[float] | None, prefix: str
) -> dict[str, float | None]:
    """Return mean absolute errors of the potential against the reference where both have averages.

    Zero against zero is left out: it can't fail.
    """
    found: dict[str, dict[StatePoint, Mapping[str, Any]]] = {"mmtp": {}, "reference": {}}
    for params, result in averages:
        if result["outcome"] == "done" and (volumes is None or is_held_out(params, volumes)):
            found[params["source"]][StatePoint.of(params)] = result
    pairs = [(found["mmtp"][point], found["reference"][point]) for point in found["mmtp"].keys() & found["reference"]]
    return {prefix + row.mean_error: _mean_error(row, pairs) for row in COMPARED.values()}


def _mean_error(row: Compared, pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> float | None:
    both = [(one[row.name], other[row.name]) for one, other in pairs if row.name in one and row.name in other]
    differences = sorted(abs(one - other) for one, other in both if not row.both_zero(one, other))
    return float(np.mean(differences)) if differences else None
