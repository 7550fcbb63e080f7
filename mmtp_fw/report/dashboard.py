"""The pages of `mmtp dashboard`: read only, on this machine only, nothing from outside of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, request
from jinja2 import Environment, PackageLoader, select_autoescape

from mmtp_fw.database import Database, history, queries, views
from mmtp_fw.database.spent import BY, spent, totals
from mmtp_fw.database.taint import taint
from mmtp_fw.errors import InputError
from mmtp_fw.statepoints import StatePoint

_MOST_ROWS = 500
_DRAWING = Lock()  # matplotlib draws one figure at a time


@dataclass(frozen=True)
class Cell:
    """Text of a table, with where it leads; numbers stand at the right."""

    text: str
    href: str | None = None
    number: bool = False


@dataclass(frozen=True)
class Part:
    """A section of a page: a table, or a picture by its address."""

    title: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    picture: str | None = None


@dataclass(frozen=True)
class Page:
    """A page; one that is `live` loads itself again."""

    title: str
    parts: Sequence[Part]
    live: bool = False


def application(database: Database) -> Flask:
    """Return the dashboard of a database as a WSGI application; every page is asked for when it is looked at."""
    app = Flask("mmtp_fw.report")
    draw = Environment(loader=PackageLoader("mmtp_fw", "report"), autoescape=select_autoescape(default=True))
    template = draw.get_template("dashboard.html.j2")

    def show(page: Page) -> str:
        return template.render(page=page)

    app.add_url_rule("/", "campaigns", lambda: show(campaigns(database)))
    app.add_url_rule("/campaign/<name>", "campaign", lambda name: show(campaign(database, name)))
    app.add_url_rule("/label/<which>", "label", lambda which: show(label(database, which)))
    app.add_url_rule("/label/<which>/figure.svg", "figure", lambda which: _figure(database, which))
    app.add_url_rule("/potential/<which>", "potential", lambda which: show(potential(database, which)))
    app.add_url_rule("/potential/<which>/potential.mmtp", "file", lambda which: _file(database, which))
    app.add_url_rule("/md/<which>", "md", lambda which: show(md(database, which)))
    app.add_url_rule("/find", "find", lambda: show(found(database, request.args)))
    app.add_url_rule("/workers", "workers", lambda: show(workers(database)))
    app.add_url_rule("/costs", "costs", lambda: show(costs(database)))

    def missing(error: InputError) -> tuple[str, int]:
        return show(Page("Not found", [_facts({"what": error.message, "hint": error.hint})])), 404

    app.register_error_handler(InputError, missing)
    return app


def campaigns(database: Database) -> Page:
    """Return the page of all campaigns."""
    rows = []
    for row in views.campaigns(database):
        state = row["stop"] or "under way", row["actions"] - row["open"], row["open"], row["created"], row["finished"]
        rows.append([_campaign(row["campaign"]), *_cells(*state)])
    return Page("Campaigns", [Part("", ("Name", "State", "Done", "Open", "Begun", "Finished"), rows)], live=True)


def campaign(database: Database, name: str) -> Page:
    """Return the page of one campaign: rounds, versions, labels, averages."""
    known = history.campaign(database, name)
    status = known["status"]
    facts = {"state": status["stop"] or "under way", "SCF runs": status["scf_runs"], "MD steps": status["md_steps"]}
    facts |= {f"labels {verdict}": number for verdict, number in status["labels"].items()}
    wanted = ("iteration", "generated", "selected", "scf_runs", "md_runs", "candidates", "max_grade")
    rounds = [[*_cells(*(row[k] for k in wanted)), _potential(row["potential"])] for row in status["iterations"]]
    columns = ("Round", "Generated", "Selected", "SCF runs", "MD runs", "Candidates", "Largest grade", "Potential")
    running = [_cells(item["key"], item["owner"], item.get("taken")) for item in status["running"]]
    runs = views.md_runs(database, {"campaign": name})
    return Page(
        f"Campaign {name}",
        [
            _facts(facts),
            Part("Rounds", columns, rounds),
            Part("At work", ("Action", "Worker", "Since"), running),
            _versions(views.potentials(database, name)),
            _runs(runs),
            _labels(views.campaign_labels(database, name)),
            _properties(known["properties"]),
        ],
        live=status["finished"] is None,
    )


def label(database: Database, which: str) -> Page:
    """Return the page of a configuration and its labels, with what rests on them."""
    known = history.configuration(database, which)
    about, origin = known["configuration"], known["origin"]
    parts = [_facts({"formula": about["formula"], "hash": about["_id"], "campaign": origin.get("campaign")})]
    if origin.get("md_run"):
        source = [
            [
                _run(origin["md_run"]),
                *_cells(origin.get("step"), origin.get("grade")),
                _potential(origin.get("potential")),
            ]
        ]
        parts.append(Part("Selected from", ("MD run", "Step", "Grade", "Potential"), source))
    if any(calculation["label"] for calculation in known["calculations"]):
        parts.append(Part("Energy and moments against the constraint", picture=f"/label/{about['number']}/figure.svg"))
    wanted = (
        "index",
        "name",
        "lambda_eV_per_muB2",
        "mae_muB",
        "max_deviation_muB",
        "energy_eV",
        "scf_steps",
        "wall_seconds",
    )
    columns = ("", "Stage", "λ (eV/μB²)", "MAE (μB)", "Largest (μB)", "Energy (eV)", "SCF steps", "Seconds")
    for item in known["calculations"]:
        stages = [_cells(*(stage.get(name) for name in wanted)) for stage in item["stages"]]
        parts.append(Part(f"{item['engine']}: {item['status']}. {item['reason'] or ''}", columns, stages))
    trained = [
        [_potential(version["_id"]), *_cells("validation" if version["validation"] else "training")]
        for version in known["potentials"]
    ]
    parts.append(Part("Used by", ("Potential", "For"), trained))
    parts += [_resting(database, about["number"])] if known["calculations"] else []
    return Page(f"Configuration {about['number']}", parts)


def _resting(database: Database, number: int) -> Part:
    resting = taint(database, str(number))
    counts = {name: len(found) for name, found in resting.items() if isinstance(found, list) and name != "calculations"}
    return _facts({name.replace("_", " "): count for name, count in counts.items()}, "What rests on it")


def potential(database: Database, which: str) -> Page:
    """Return the page of a version: errors, labels, runs, parents; with the file."""
    known = history.potential(database, which)
    document = known["potential"]
    facts = {name: document.get(name) for name in ("role", "iteration", "level", "n_parameters", "content_hash")}
    kin = [[Cell("parent"), _potential(number)] for number in known["parents"][:1]]
    kin += [[Cell("child"), _potential(number)] for number in known["children"]]
    kin += [[Cell("member"), _potential(number)] for number in known["members"]]
    errors = [
        _cells(quantity, *(values.get(name) for name in ("mae", "rmse", "max")))
        for quantity, values in document["errors"].items()
        if isinstance(values, Mapping)
    ]
    return Page(
        f"Potential {document['_id']}",
        [
            _facts(facts),
            Part(
                "",
                (),
                [[_campaign(document["campaign"]), Cell("file", f"/potential/{document['_id']}/potential.mmtp")]],
            ),
            Part("Kin", ("", "Potential"), kin),
            Part("Errors on training labels", ("Quantity", "MAE", "RMSE", "Largest"), errors),
            _labels(known["labels"]),
            _runs(known["md_runs"]),
            _properties(known["properties"]),
        ],
    )


def md(database: Database, which: str) -> Page:
    """Return the page of an MD run, and what was selected from it."""
    known = history.md_run(database, which)
    run = known["md_run"]
    facts = {name: run[name] for name in ("state", "steps", "max_grade", "n_candidates", "wall_seconds", "message")}
    chosen = [
        [
            _configuration(item["number"]),
            *_cells(item["formula"], item["origin"].get("step"), item["origin"].get("grade")),
        ]
        for item in known["selected"]
    ]
    return Page(
        f"MD run {run['number']}",
        [
            Part("", (), [[_campaign(run["campaign"]), _potential(run["potential"])]]),
            _facts(facts | run["params"]),
            Part("Selected from it", ("Configuration", "Formula", "Step", "Grade"), chosen),
        ],
    )


def found(database: Database, asked: Mapping[str, str]) -> Page:
    """Return the page of the newest labels that fulfil conditions of the address: ``/find?status=rejected``."""
    known = ("campaign", "formula", "status", "engine", "quality")
    conditions = {name: asked[name] for name in known if asked.get(name)}
    title = "Labels" + "".join(f", {name} {value}" for name, value in conditions.items())
    choices = [[Cell(f"{name} {value}", f"/find?{name}={value}") for name, value in _CHOICES]]
    rows = queries.find_configurations(database, limit=_MOST_ROWS, **conditions)
    return Page(title, [Part("", (), choices), _labels(rows)])


_CHOICES = (
    ("status", "accepted"), ("status", "rejected"), ("status", "failed"), ("quality", "A"), ("quality", "B"),
    ("quality", "C"),
)  # fmt: skip


def workers(database: Database) -> Page:
    """Return the page of who holds what now, and of the last attempts that did not end well."""
    held = [
        _cells(item["owner"], item["key"], item.get("taken"), item["lease_until"]) for item in views.running(database)
    ]
    bad: list[dict[str, Any]] = [
        {"$match": {"errors.0": {"$exists": True}}},
        {"$project": {"error": {"$last": "$errors"}, "created": 1}},
        {"$sort": {"created": -1}},
        {"$limit": 50},
    ]
    failed = [
        _cells(item["error"].get("owner"), item["_id"], (item["error"].get("text") or "").strip().rpartition("\n")[2])
        for item in database.actions.aggregate(bad)
    ]
    return Page(
        "Workers",
        [
            Part("At work", ("Worker", "Holds", "Since", "Until"), held),
            Part("Failed attempts, the last of each action", ("Worker", "Action", "Said"), failed),
        ],
        live=True,
    )


def costs(database: Database) -> Page:
    """Return the page of core hours by stage, engine, site, campaign and user."""
    known = spent(database)
    parts = [_facts({"core hours": known["core_hours"], "without an end": known["without_end"]})]
    for name in BY:
        rows = [_cells(row[name], row["count"], row["core_hours"]) for row in totals(known["rows"], name)]
        parts.append(Part(f"By {name}", (name.capitalize(), "Count", "Core hours"), rows))
    return Page("Costs", parts)


def _figure(database: Database, which: str) -> Response:
    from mmtp_fw.report.label_figure import write_label_figure

    known = history.configuration(database, which)
    labelled = [calculation for calculation in known["calculations"] if calculation["label"]]
    if not labelled:
        raise InputError(f"configuration {which} has no label to draw")
    with _DRAWING, TemporaryDirectory() as directory:
        path = Path(directory) / "label.svg"
        write_label_figure(labelled[-1], path, f"Configuration {which}")
        return Response(path.read_bytes(), mimetype="image/svg+xml")


def _file(database: Database, which: str) -> Response:
    return Response(history.version(database, which)["text"], mimetype="text/plain")


def _facts(values: Mapping[str, Any], title: str = "") -> Part:
    return Part(title, (), [_cells(name, value) for name, value in values.items() if value is not None])


def _versions(rows: Iterable[views.PotentialRow]) -> Part:
    names = ("role", "iteration", "training", "validation")
    made = [[_potential(row["version"]), *_cells(*(row[name] for name in names))] for row in rows]  # type: ignore[literal-required]
    return Part("Potentials", ("Version", "Role", "Round", "Training", "Validation"), made)


def _runs(rows: Iterable[Mapping[str, Any]]) -> Part:
    names = (
        "iteration",
        "state",
        "steps",
        "max_grade",
        "phase",
        "lattice_parameter_A",
        "temperature_K",
        "magnetic_order",
    )
    made = [[_run(row["number"]), *_cells(*(row[name] for name in names))] for row in rows]
    return Part("MD runs", ("Run", "Round", "End", "Steps", "Largest grade", "Phase", "a (Å)", "T (K)", "Order"), made)


def _labels(rows: Iterable[Mapping[str, Any]]) -> Part:
    names = ("formula", "status", "grade", "lambda_eV_per_muB2", "mae_muB", "reason")
    made = [[_configuration(row["configuration"]), *_cells(*(row[name] for name in names))] for row in rows]
    return Part("Labels", ("Configuration", "Formula", "Verdict", "Quality", "λ (eV/μB²)", "MAE (μB)", "Reason"), made)


def _properties(rows: Iterable[Mapping[str, Any]]) -> Part:
    names = ("magnetization_muB_per_atom", "absolute_moment_muB_per_atom", "pressure_GPa")
    made = [
        _cells(row["source"], StatePoint.of(row["params"]).words, *(row["values"].get(name) for name in names))
        for row in rows
    ]
    headings = ("Source", "Point", "Magnetization (μB/atom)", "Mean |m| (μB)", "Pressure (GPa)")
    return Part("Averages", headings, made)


def _campaign(name: str | None) -> Cell:
    return Cell("–") if name is None else Cell(name, f"/campaign/{quote(name)}")


def _potential(number: int | None) -> Cell:
    return Cell("–") if number is None else Cell(str(number), f"/potential/{number}", number=True)


def _run(number: int) -> Cell:
    return Cell(str(number), f"/md/{number}", number=True)


def _configuration(number: int | None) -> Cell:
    return Cell("–") if number is None else Cell(str(number), f"/label/{number}", number=True)


def _cells(*values: Any) -> list[Cell]:
    return [_cell(value) for value in values]


def _cell(value: Any) -> Cell:
    if value is None:
        return Cell("–")
    if isinstance(value, float):
        return Cell(f"{value:.4g}", number=True)
    if isinstance(value, datetime):
        return Cell(value.strftime("%Y-%m-%d %H:%M:%S"))
    return Cell(str(value), number=isinstance(value, int))
