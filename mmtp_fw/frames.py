"""A campaign of a database as tables of pandas, for questions that no command answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from mmtp_fw.database import Database, queries, views
from mmtp_fw.database.spent import spent
from mmtp_fw.plain import flattened

_STAGE = (
    "name", "index", "kind", "converged", "lambda_eV_per_muB2", "mae_muB", "max_deviation_muB", "energy_eV",
    "energy_with_penalty_eV", "penalty_eV", "energy_noise_eV", "scf_steps", "wall_seconds", "started", "ended", "host",
    "which_definition", "reused_from", "message",
)  # fmt: skip
_EXECUTION = ("environment", "user", "cores", "threads", "nodes")
_RUN = ("params", "_id")
_POINT = ("phase", "magnetic_order", "lattice_parameter_A")


class Campaign:
    """One campaign, read only; every table is asked for when it is used.

    Units are in the names of columns: eV, Å, μB, GPa, K, seconds. What is not known is missing (NaN or None).

    Parameters
    ----------
    name : str, optional
        By default the campaign that was begun last.
    launchpad : str or Path, optional
        Launchpad file; by default FireWorks' own, else the embedded database.

    Raises
    ------
    InputError
        There is no such campaign.

    Examples
    --------
    ::

        from mmtp_fw import Campaign

        with Campaign("fe-pd-demo") as campaign:
            print(campaign.labels.groupby("grade").mae_muB.describe())
    """

    def __init__(self, name: str | None = None, launchpad: str | Path | Database | None = None) -> None:
        self._own = not isinstance(launchpad, Database)
        self.database = launchpad if isinstance(launchpad, Database) else Database.open(launchpad)
        try:
            document = queries.campaign(self.database, name or queries.newest_campaign(self.database) or "")
        except Exception:
            self.close()
            raise
        self.name: str = document["_id"]
        self.settings: dict[str, Any] = document["settings"]

    def __enter__(self) -> Campaign:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, where this object has opened it."""
        if self._own:
            self.database.close()

    @property
    def labels(self) -> pd.DataFrame:
        """Every label that the campaign asked for, open and rejected ones included: a row each.

        `md_run`, `md_step` and `potential` tell where a selected configuration came from, `selection_grade` by which
        grade it was chosen.
        """
        rows = []
        for row in views.campaign_labels(self.database, self.name):
            origin = row["origin"] or {}
            chosen = {"md_run": origin.get("md_run"), "md_step": origin.get("step")}
            chosen |= {"potential": origin.get("potential"), "selection_grade": origin.get("grade")}
            rows.append({**{k: v for k, v in row.items() if k != "origin"}, **chosen})
        return _frame(rows, (*views.LabelRow.__annotations__, "iteration", "md_run", "md_step"))

    @property
    def stages(self) -> pd.DataFrame:
        """Every SCF run and decision behind the campaign's labels, with who computed it: a row each."""
        keys = [row["calculation"] for row in views.campaign_labels(self.database, self.name) if row["calculation"]]
        wanted = {name: f"$stages.{name}" for name in _STAGE}
        wanted |= {name: f"$stages.execution.{name}" for name in _EXECUTION}
        pipeline: list[dict[str, Any]] = [
            {"$match": {"_id": {"$in": sorted(set(keys))}}},
            {"$project": {"configuration": 1, "engine": 1} | {f"stages.{name}": 1 for name in (*_STAGE, "execution")}},
            {"$unwind": "$stages"},
            {"$project": {"_id": 0, "calculation": "$_id", "configuration": 1, "engine": 1} | wanted},
        ]
        found = self.database.calculations.aggregate(pipeline, allowDiskUse=True)
        frame = _frame(found, ("calculation", "configuration", "engine", *_STAGE, *_EXECUTION))
        return frame.sort_values(["calculation", "index"], ignore_index=True)

    @property
    def versions(self) -> pd.DataFrame:
        """Every version of the potential, and every member of an ensemble, with its errors: a row each."""
        rows = views.potentials(self.database, self.name)
        return _frame(
            (flattened(_without(row, ("fit",))) | {"loss": row["fit"].get("loss")} for row in rows), ("version",)
        )

    @property
    def runs(self) -> pd.DataFrame:
        """Every MD run: a row each; its other settings are in the campaign's."""
        rows = views.md_runs(self.database, {"campaign": self.name})
        columns = ("number", "iteration", "potential", "state", "steps", "max_grade", "n_candidates")
        return _frame(({"key": row["_id"], **_without(row, _RUN)} for row in rows), ("key", *columns))

    @property
    def properties(self) -> pd.DataFrame:
        """Averages of the potential and of the reference at every lattice parameter: a row each."""
        rows = (
            {"source": row["source"], "potential": row["potential"], "iteration": row["iteration"]}
            | {name: row["params"].get(name) for name in _POINT}
            | {name: value for name, value in row["values"].items() if not isinstance(value, list | dict)}
            for row in queries.properties(self.database, self.name)
        )
        return _frame(rows, ("source", "potential", "iteration", *_POINT))

    @property
    def costs(self) -> pd.DataFrame:
        """Core hours by stage, engine, site and user: a row each."""
        columns = ("campaign", "stage", "engine", "site", "user", "count", "core_hours")
        return _frame(spent(self.database, self.name)["rows"], columns)

    @property
    def environments(self) -> pd.DataFrame:
        """The environments that the campaign's stages were computed in, by their hash."""
        keys = sorted(set(self.stages["environment"].dropna()))
        found = self.database.environments.find({"_id": {"$in": keys}})
        return _frame((flattened(document) for document in found), ("_id",)).set_index("_id")


def _frame(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> pd.DataFrame:
    """Return a table; it has those columns also without rows."""
    made = pd.DataFrame([dict(row) for row in rows])
    return made if len(made) else pd.DataFrame(columns=list(columns))


def _without(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in set(names)}
