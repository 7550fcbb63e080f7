"""Histories as text: what `mmtp show` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from mmtp_fw.campaign.changes import leaves
from mmtp_fw.cli.output import pairs, table
from mmtp_fw.report.gather import describe_origin
from mmtp_fw.statepoints import StatePoint

History = Mapping[str, Any]


def configuration(history: History) -> Iterator[Any]:
    """Yield what is printed of `mmtp_fw.database.history.configuration`."""
    document = history["configuration"]
    yield _title(f"Configuration {document['number']}")
    yield pairs(
        {
            "Formula": f"{document['formula']}, {document['n_atoms']} atoms",
            "Hash": document["_id"],
            "Made": document["created"],
            "Origin": describe_origin(history["origin"]),
            "Planned by": history["origin"].get("action"),
        }
    )
    run = history["origin"].get("md")
    if run:
        where = f"MD run {run['number']} of iteration {run['iteration']}"
        yield Text(f"Found by {where} with potential {run['potential']}")
    for calculation in history["calculations"]:
        yield Text("")
        yield _title(f"{calculation['engine']}: {calculation['status']}")
        yield pairs({"Calculation": calculation["_id"], "Reason": calculation["reason"], "Rule": calculation["rule"]})
        yield table(
            [
                ">#",
                "Stage",
                ">λ",
                ">MAE",
                ">Max",
                ">Energy (eV)",
                ">Penalty (eV)",
                ">SCF steps",
                ">Seconds",
                "Host",
                "",
            ],
            [
                (
                    stage["index"],
                    stage["name"],
                    stage.get("lambda_eV_per_muB2"),
                    stage.get("mae_muB"),
                    stage.get("max_deviation_muB"),
                    _fixed(stage.get("energy_eV"), 5),
                    stage.get("penalty_eV"),
                    stage.get("scf_steps"),
                    stage.get("wall_seconds"),
                    f"{stage.get('host')}, for another label" if stage.get("reused_from") else stage.get("host"),
                    stage.get("message"),
                )
                for stage in calculation["stages"]
            ],
        )
    yield Text("")
    versions = ", ".join(str(item["_id"]) for item in history["potentials"] if not item["validation"])
    yield Text(f"Potentials trained on it: {versions or 'none yet'}")
    versions = ", ".join(str(item["_id"]) for item in history["potentials"] if item["validation"])
    if versions:
        yield Text(f"Potentials that kept it for validation: {versions}")


def potential(history: History) -> Iterator[Any]:
    """Yield what is printed of `mmtp_fw.database.history.potential`."""
    document = history["potential"]
    yield _title(f"Potential {document['_id']}")
    yield pairs(
        {
            "Campaign": document["campaign"],
            "Iteration": document["iteration"],
            "Species": ", ".join(document["species"]),
            "Form": f"level {document['level']}, {document['n_parameters']} parameters",
            "Made": document["created"],
            "Descends from": ", ".join(map(str, history["parents"])) or None,
            "Children": ", ".join(map(str, history["children"])) or None,
            "Ensemble": _ensemble(history),
            "Labels": f"{len(history['labels'])}, {sum(row['validation'] for row in history['labels'])} of them kept "
            "for validation",
            "Against parent": f"{len(history['added'])} added, {len(history['removed'])} removed",
            **{f"Fit: {name}": value for name, value in document["fit"].items() if not isinstance(value, dict | list)},
        }
    )
    for item in document["fit"].get("excluded", ()):
        yield Text(f"Left out: {item['calculation']}: {item['reason']}")
    for key in document["fit"].get("suspects", ()):
        left = " and was left out" if key in document["fit"].get("left_out", ()) else ": look at the label"
        yield Text(f"Suspect: {key} fits far worse than the rest{left}")
    yield errors_table(document)
    yield table(
        [">No.", "Formula", "Verdict", "Quality", ">λ", ">MAE", "For", "Origin"],
        [
            (
                row["configuration"],
                row["formula"],
                row["status"],
                row["grade"],
                row["lambda_eV_per_muB2"],
                row["mae_muB"],
                "validation" if row["validation"] else "training",
                describe_origin(row["origin"] or {}),
            )
            for row in history["labels"]
        ],
        title="Trained on",
    )
    yield _runs(history["md_runs"])
    yield _properties(history["properties"])


def _ensemble(history: History) -> str | None:
    of = history["potential"].get("member_of")
    if of is not None:
        return f"a member of that of potential {of}"
    return ", ".join(map(str, history["members"])) or None


_OF_A_RUN = (
    "campaign",
    "iteration",
    "potential",
    "state",
    "message",
    "steps",
    "max_grade",
    "n_candidates",
    "continues",
    "wall_seconds",
    "host",
    "created",
)


def _expected(origin: Mapping[str, Any]) -> Any:
    """Return the error of the energy that the potential expected where it selected; its verdict where it has none."""
    known = origin.get("uncertainty") or {}
    size = known.get("energy_meV_per_atom")
    return known.get("verdict") if size is None else size


def md_run(history: History) -> Iterator[Any]:
    """Yield what is printed of `mmtp_fw.database.history.md_run`."""
    run = history["md_run"]
    yield _title(f"MD run {run['number']}")
    facts = {name.replace("_", " "): run.get(name) for name in _OF_A_RUN}
    yield pairs(facts | {f"set: {name}": value for name, value in run["params"].items()})
    yield table(
        [">No.", "Formula", ">Step", ">Grade", ">Expected error (meV/atom)"],
        [
            (
                item["number"],
                item["formula"],
                item["origin"].get("step"),
                item["origin"].get("grade"),
                _expected(item["origin"]),
            )
            for item in history["selected"]
        ],
        title="Selected from it",
    )


def campaign(history: History) -> Iterator[Any]:
    """Yield what is printed of `mmtp_fw.database.history.campaign`."""
    status = history["status"]
    yield _title(f"Campaign {status['campaign']}")
    yield pairs({"Started": status["created"], "Finished": status["finished"], "Ended because": status["stop"]})
    yield _settings(history["campaign"])
    yield _changes(history["campaign"])
    yield table(
        [">It.", "Labels", ">Potential", ">Largest grade", ">Saved", ">Generated or selected", "MD"],
        [
            (
                row["iteration"],
                _counts(row["labels"]),
                row["potential"],
                row["max_grade"],
                row["candidates"],
                row["selected"],
                _counts(row["md_states"]),
            )
            for row in status["iterations"]
        ],
        title="Rounds",
    )
    yield table(
        [">No.", ">It.", "Formula", "Verdict", "Quality", ">λ", ">MAE", ">SCF", "Reason"],
        [
            [row[name] for name in ("configuration", "iteration", "formula", "status", "grade", "lambda_eV_per_muB2")]
            + [row["mae_muB"], row["scf_runs"], row["reason"]]
            for row in history["labels"]
        ],
        title="Labels",
    )
    yield _properties(history["properties"])


def _settings(document: Mapping[str, Any]) -> Any:
    return table(["Key", "Value"], [(key, str(value)) for key, value in leaves(document["settings"])], title="Settings")


def _changes(document: Mapping[str, Any]) -> Any:
    """Return how the settings have changed, a row for every key."""
    rows = [
        (change["when"], change["user"], change["from_iteration"], key, str(old), str(new))
        for change in document.get("history", ())
        for key, old, new in change["changed"]
    ]
    if not rows:
        return Text("Settings never changed", style="dim")
    return table(["Changed", "By", ">From it.", "Key", "Before", "Since"], rows, title="Changes of the settings")


def _title(text: str) -> Text:
    return Text(text, style="bold")


def errors_table(document: Mapping[str, Any]) -> Any:
    """Return the errors on training and validation labels as a table."""
    rows = []
    for part, name in (("errors", "training"), ("validation_errors", "validation")):
        for quantity, values in (document.get(part) or {}).items():
            rows.append((name, quantity, values.get("mae"), values.get("rmse"), values.get("max"), values.get("r2")))
    return table(["Set", "Quantity", ">MAE", ">RMSE", ">Max", ">R²"], rows, title="Errors")


def _runs(runs: list[Mapping[str, Any]]) -> Any:
    return table(
        [">No.", ">It.", "Point", "State", ">Steps", ">Largest grade", ">Saved"],
        [
            (
                run["number"],
                run["iteration"],
                StatePoint.of(run).words,
                run["state"],
                run["steps"],
                run["max_grade"],
                run["n_candidates"],
            )
            for run in runs
        ],
        title="MD runs with it",
    )


def _properties(items: list[Mapping[str, Any]]) -> Any:
    return table(
        ["Source", "Point", ">Magnetization (μB/atom)", ">Mean |m| (μB)", ">Pressure (GPa)"],
        [
            (
                item["source"],
                StatePoint.of(item["params"]).words,
                _fixed(item["values"].get("magnetization_muB_per_atom"), 4),
                _fixed(item["values"].get("absolute_moment_muB_per_atom"), 4),
                _fixed(item["values"].get("pressure_GPa"), 3),
            )
            for item in items
        ],
        title="Properties",
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "–"


def _fixed(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
