"""Does recorded work once more, from the database alone, and says what is equal: nothing is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mmtp_fw.database import Database, blobs, environment, history, store, trajectories
from mmtp_fw.dft import get_engine, run_protocol
from mmtp_fw.dft.checks import check_request
from mmtp_fw.errors import DatabaseError, InputError
from mmtp_fw.execution import Execution
from mmtp_fw.firetasks import executions
from mmtp_fw.firetasks.base import Context
from mmtp_fw.firetasks.fit import FitWork
from mmtp_fw.firetasks.label import configuration_of, number_of
from mmtp_fw.firetasks.md import MdWork
from mmtp_fw.firetasks.properties import PropertyWork
from mmtp_fw.labelling import DECISIONS
from mmtp_fw.loop.facts import Kind
from mmtp_fw.loop.gather import settings_of
from mmtp_fw.plain import flattened, plain
from mmtp_fw.potential import Potential
from mmtp_fw.workflows.submit import stored_action

_OF_STAGES = {
    "energies (eV)": "energy_eV",
    "forces (eV/Å)": "forces",
    "stress (eV/Å³)": "stress",
    "magnetic forces (eV/μB)": "magnetic_forces",
    "digests of datasets": "datasets",
}
_NOT_OF_A_PROPERTY = ("frames",)


@dataclass(frozen=True)
class Compared:
    """One quantity, recorded and computed anew.

    Attributes
    ----------
    what : str
        With its unit.
    equal : bool
        To the last bit.
    difference : float or None
        The largest, where both are numbers of the same shape.
    """

    what: str
    equal: bool
    difference: float | None = None


@dataclass(frozen=True)
class Reproduction:
    """What came out of doing it again.

    Attributes
    ----------
    key : str
        Of the action.
    rows : sequence of Compared
    environment : mapping
        What the recorded environment and this one differ in, both values by name; None where none was recorded.
    """

    key: str
    rows: Sequence[Compared]
    environment: Mapping[str, tuple[Any, Any]] | None

    @property
    def equal(self) -> bool:
        """Whether everything is equal."""
        return all(row.equal for row in self.rows)


def reproduce(database: Database, which: str) -> Reproduction:
    """Repeat a label, a fit, an MD run or a property, and compare.

    Parameters
    ----------
    database : Database
    which : str
        An action's key, a calculation's key, or ``label:NUMBER``, ``potential:VERSION``, ``md:NUMBER``.

    Raises
    ------
    InputError
        There is no such thing, it has no result yet, or it is not of a kind that can be repeated.
    EngineError
        What it takes is not on this machine.
    """
    action = stored_action(database, action_of(database, which))
    campaign = settings_of(database, action)
    repeat = _REPEAT.get(action.kind)
    if repeat is None:
        raise InputError(
            f"{action.key}: a {action.kind.value} can't be repeated", "labels, fits, MD runs and properties can"
        )
    here, found = executions.describe(database, campaign, action)
    with tempfile.TemporaryDirectory(prefix="mmtp-reproduce-") as directory:
        context = Context(database, campaign, action, Path(directory), lambda: False, here)
        rows, recorded = repeat(context)
    return Reproduction(action.key, rows, _environment(database, recorded, here, found))


def action_of(database: Database, which: str) -> str:
    """Return the key of the action that made something; see `reproduce`.

    Raises
    ------
    InputError
        There is no such thing.
    """
    kind, colon, name = which.partition(":")
    if colon and kind == "potential":
        return _made_by(history.version(database, name).get("action"), which)
    if colon and kind == "md":
        return str(history.md_run(database, name)["md_run"]["_id"])
    wanted: dict[str, Any] = {"result.calculation": which}
    if colon and kind == "label":
        wanted = {
            "kind": "label",
            "params.configuration": history.configuration(database, name)["configuration"]["_id"],
        }
    elif database.actions.find_one({"_id": which}, {"_id": 1}) is not None:
        return which
    found = database.actions.find_one(wanted, {"_id": 1}, sort=[("finished", 1)])
    return _made_by(None if found is None else found["_id"], which)


def _made_by(key: str | None, which: str) -> str:
    if key is None:
        raise InputError(
            f"'{which}': no action in this database made it", "an action's key, label:17, potential:5 or md:22"
        )
    return key


def _label(context: Context) -> tuple[list[Compared], Any]:
    database, dft = context.database, context.campaign.dft
    action = database.actions.find_one({"_id": context.action.key}, {"result": 1}) or {}
    document = _there(context, database.calculations.find_one({"_id": (action.get("result") or {}).get("calculation")}))
    engine = get_engine(dft.engine, **dft.settings)
    atoms = configuration_of(database, document["configuration"])
    check_request(engine, atoms)
    checked = dft.protocol.checks(number_of(context))
    outcome = run_protocol(engine, atoms, dft.protocol, context.directory, check=checked)
    again = [stage.model_dump(mode="json") for stage in outcome.stages]
    decided = document.get("overruled") or document  # what a person decided later is no matter of the protocol
    verdicts = [decided["status"], decided["rule"]], [outcome.status.value, outcome.rule.value]
    label = None if outcome.label is None else outcome.label.model_dump(mode="json")
    rows = [
        *_stages(document["stages"], again),
        compare("verdict", *verdicts),
        compare("label", document["label"], label),
    ]
    return rows, next((stage.get("execution") for stage in document["stages"]), None)


def _stages(*both: Sequence[Mapping[str, Any]]) -> list[Compared]:
    computed = [[stage for stage in stages if stage["name"] not in DECISIONS] for stages in both]

    def row(what: str, name: str) -> Compared:
        return compare(what, *([stage.get(name) for stage in stages] for stages in computed))

    return [
        row("stages", "name"),
        row("what was asked of them", "key"),
        row("moments by definition (μB)", "achieved"),
        *(row(what, name) for what, name in _OF_STAGES.items()),
    ]


def _fit(context: Context) -> tuple[list[Compared], Any]:
    database = context.database
    document = _there(context, database.potentials.find_one({"action": context.action.key}))
    training = database.training_sets.find_one({"_id": document["training_set"]})
    if training is None:
        raise DatabaseError(f"the training set of potential {document['_id']} is not in this database")
    fitted = FitWork().again(context, training)
    assert fitted is not None, "nobody asks it to stop"
    species = document["species"] or None
    before, again = Potential.loads(document["text"], species), Potential.loads(fitted.text, species)
    rows = [
        compare("training and validation labels", sorted(training["calculations"]), sorted(fitted.calculations)),
        compare("file of the potential", document["text"], fitted.text),
        compare("parameters", before.parameters, again.parameters),
        compare("loss", document["fit"].get("loss"), fitted.fields["fit"]["loss"]),
        compare("errors on training labels", document["errors"], fitted.fields["errors"]),
    ]
    if document["active_set"] is not None:
        rows.append(compare("active set", blobs.get(database, document["active_set"]), fitted.active_set))
    return rows, document.get("execution")


def _md(context: Context) -> tuple[list[Compared], Any]:
    database = context.database
    document = _there(context, database.md_runs.find_one({"_id": context.action.key}))
    again = MdWork().compute(context)
    assert again is not None, "nobody asks it to stop"
    thermo = blobs.get_json(database, document["thermo"])
    before = store.candidates_of(database, document["_id"])
    rows = [
        compare("end", [document["state"], document["steps"]], [again["state"], again["steps"]]),
        compare("largest grade", document["max_grade"], again["max_grade"]),
        *(compare(f"thermo: {name}", thermo.get(name), again["thermo"].get(name)) for name in sorted(thermo)),
        compare("candidates (Å, μB)", *(list(map(_frame, frames)) for frames in (before, again["candidates"]))),
    ]
    if document["trajectory"] is not None:
        frames = (store.frames_of(database, document["_id"]), trajectories.unpack(again["trajectory"]))
        rows.append(compare("frames (Å, μB)", *(list(map(_frame, some)) for some in frames)))
    return rows, document.get("execution")


def _property(context: Context) -> tuple[list[Compared], Any]:
    document = _there(context, context.database.properties.find_one({"_id": context.action.key}))
    again = PropertyWork().compute(context) or {}
    # What an earlier version did not average is no difference.
    new = {name for name in again if name.startswith("absolute_moment") and name not in document["values"]}
    names = sorted((set(document["values"]) | set(again)) - set(_NOT_OF_A_PROPERTY) - new)
    rows = [compare(name, document["values"].get(name), again.get(name)) for name in names]
    return rows, document.get("execution")


_REPEAT: Mapping[Kind, Callable[[Context], tuple[list[Compared], Any]]] = {
    Kind.LABEL: _label,
    Kind.FIT: _fit,
    Kind.MD: _md,
    Kind.PROPERTY: _property,
}


def _there(context: Context, document: dict[str, Any] | None) -> dict[str, Any]:
    if document is None:
        raise InputError(f"{context.action.key} has no result to compare with", "`mmtp status` says what is done")
    return document


def compare(what: str, before: Any, again: Any) -> Compared:
    """Compare two values: numbers, at the same places in mappings and lists, by their largest difference.

    All else, what is missing on one side included, is equal or not; a number that is none is equal to another such.
    """
    left, right = (flattened(plain(value), lists=True) for value in (before, again))
    if set(left) != set(right):
        return Compared(what, False)
    pairs = [(left[name], right[name]) for name in left if not _same(left[name], right[name])]
    if not pairs:
        return Compared(what, True)
    if not all(_is_number(value) for pair in pairs for value in pair):
        return Compared(what, False)
    difference = max(abs(one - other) for one, other in pairs)
    return Compared(what, False, difference if np.isfinite(difference) else None)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other or (_is_number(one) and _is_number(other) and np.isnan(one) and np.isnan(other)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _frame(atoms: Atoms) -> list[Any]:
    return [atoms.positions.tolist(), np.asarray(atoms.cell).tolist(), atoms.get_initial_magnetic_moments().tolist()]


def _environment(
    database: Database, recorded: Mapping[str, Any] | None, here: Execution, found: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]] | None:
    if recorded is None:
        return None
    differ = environment.differences(database.environments.find_one({"_id": recorded["environment"]}) or {}, found)
    for name in ("cores", "threads", "user"):
        if recorded[name] != getattr(here, name):
            differ[name] = (recorded[name], getattr(here, name))
    return differ
