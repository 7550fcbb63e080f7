"""The engines that there are: one description of each, this package's own and those that other packages bring.

Another package adds one by an entry point of the group ``mmtp_fw.engines`` that names an `EngineDescription`:

    [project.entry-points."mmtp_fw.engines"]
    toy = "toy_engine:ENGINE"

Whatever enumerates engines reads the descriptions: the settings of a campaign, its cost, the planner, `mmtp doctor`,
the report. Descriptions import no engine; `EngineDescription.engine` does when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError

from mmtp_fw.dft.machine import Check, DatasetSearch, Program, check_datasets, check_program
from mmtp_fw.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from mmtp_fw.dft.engine import Engine
    from mmtp_fw.dft.finished_runs import FinishedRuns
    from mmtp_fw.dft.work import ScfWork

GROUP = "mmtp_fw.engines"
DEFAULT = "hamiltonian"
"""The engine of a campaign that names none."""

_OWN = {
    "hamiltonian": "mmtp_fw.dft.hamiltonian_description:ENGINE",
    "abinit": "mmtp_fw.dft.abinit.description:ENGINE",
    "vasp": "mmtp_fw.dft.vasp.description:ENGINE",
    "elk": "mmtp_fw.dft.elk.description:ENGINE",
}


@dataclass(frozen=True)
class EngineCosts:
    """What an engine costs on one core, an order of magnitude; finished labels of a database tell better.

    Attributes
    ----------
    scf_seconds : float
        One self-consistent calculation of a cell of some tens of atoms, where its work is not counted.
    step_seconds_per_atom : float
        One atom in one step of the engine's own molecular dynamics; 0 where there are none.
    work : callable, optional
        Takes the settings and a cell, and counts what one electronic step computes.
    seconds_per_operation : float
        Of that work.
    electronic_steps : float
        Of one self-consistent calculation.
    run_seconds : float
        What a calculation takes beside its electronic steps.
    rests_on : str
        What was measured for these numbers; empty where nothing was.
    """

    scf_seconds: float
    step_seconds_per_atom: float = 0.0
    work: Callable[[Mapping[str, Any], Atoms], ScfWork] | None = None
    seconds_per_operation: float = 0.0
    electronic_steps: float = 40.0
    run_seconds: float = 0.0
    rests_on: str = ""

    def seconds(self, work: ScfWork | None, steps: float | None = None) -> float:
        """Return the seconds of one self-consistent calculation of so many electronic steps, the usual by default."""
        if work is None:
            return self.scf_seconds
        steps = self.electronic_steps if steps is None else steps
        return self.run_seconds + steps * work.operations * self.seconds_per_operation


@dataclass(frozen=True)
class EngineDescription:
    """Everything that others know of an engine.

    Attributes
    ----------
    name : str
        What ``dft.engine`` calls it.
    title : str
        What readers call it: in figures, tables and messages.
    about : str
        What it is, in half a sentence.
    settings : type of BaseModel
        What ``dft.settings`` may hold; unknown keys are to be refused.
    engine : callable
        Takes the settings as keyword arguments and returns the `Engine`; imports it only then.
    costs : EngineCosts
    constraints : tuple of {"hard", "soft"}
        How it can hold moments, the best first: exactly, or by a penalty (`mmtp_fw.dft.engine.ConstraintKind`).
    lacks : tuple of str
        Quantities (`mmtp_fw.quantities.QUANTITIES`) that its labels do not have: no fit may weigh them.
    dynamics : callable, optional
        Takes the settings and returns an ASE calculator with relaxed moments, fast enough for molecular dynamics;
        None for an engine that can only be compared at rest.
    ladders : mapping of str to callable
        What `mmtp dft converge` makes finer, each by a name ("cut-off", "k-mesh"): from the chosen settings the changes
        of every rung above them.
    programs : tuple of Program
        What must be installed where it works. An engine without programs works on any worker.
    datasets : DatasetSearch, optional
    checks : mapping of str to callable
        What `mmtp doctor` looks at, each by the name of its line; by default the programs and the datasets.
    page : str
        The page of the documentation that explains the settings.
    finished : callable, optional
        Returns how finished runs of its program, whoever made them, are read; imports it only then.
    functional : callable
        Takes the settings and returns the exchange-correlation functional, for the card of a dataset.
    """

    name: str
    title: str
    about: str
    settings: type[BaseModel]
    engine: Callable[..., Engine]
    costs: EngineCosts
    constraints: tuple[Literal["hard", "soft"], ...] = ("soft",)
    lacks: tuple[str, ...] = ()
    dynamics: Callable[[Mapping[str, Any]], Calculator] | None = None
    ladders: Mapping[str, Callable[[Mapping[str, Any]], list[dict[str, Any]]]] = field(default_factory=dict)
    programs: tuple[Program, ...] = ()
    datasets: DatasetSearch | None = None
    checks: Mapping[str, Callable[[], Check]] = field(default_factory=dict)
    page: str = "docs/dft.md"
    finished: Callable[[], FinishedRuns] | None = None
    functional: Callable[[Mapping[str, Any]], str] = lambda settings: "not stated"

    def doctor(self) -> list[Check]:
        """Return what this machine has of the engine; a check that fails by itself is a finding, too."""
        found = []
        for name, check in (self.checks or self._usual_checks()).items():
            try:
                found.append(check())
            except Exception as error:
                found.append(Check(name, False, f"can't be checked: {type(error).__name__}: {error}"))
        return found

    def _usual_checks(self) -> dict[str, Callable[[], Check]]:
        checks: dict[str, Callable[[], Check]] = {}
        for program in self.programs:
            name = self.title if len(self.programs) == 1 else f"{self.title} {program.name}"
            checks[name] = lambda name=name, program=program: check_program(name, program)  # type: ignore[misc]
        if (search := self.datasets) is not None:
            name = f"{self.title} datasets"
            checks[name] = lambda name=name: check_datasets(name, search, self.settings())  # type: ignore[misc]
        return checks


def engine_names() -> tuple[str, ...]:
    """Return the names of all engines, this package's own first."""
    return tuple(_entries())


def own_engines() -> tuple[str, ...]:
    """Return the names of the engines that this package brings."""
    return tuple(_OWN)


def engines_with_ladders() -> tuple[str, ...]:
    """Return the names of the engines that have something to converge; one that can't be loaded has not."""
    found = []
    for name in engine_names():
        with suppress(InputError):
            found += [name] if describe(name).ladders else []
    return tuple(found)


def rungs(settings: Mapping[str, Any], names: Sequence[str], factors: Sequence[float]) -> list[dict[str, Any]]:
    """Return the changes of a ladder's rungs: some settings times each of the factors."""
    return [{name: round(factor * float(settings[name]), 6) for name in names} for factor in factors]


@cache
def describe(name: str) -> EngineDescription:
    """Return the description of an engine.

    Raises
    ------
    InputError
        No engine, or more than one, is called so, or its package can't be loaded.
    """
    entries = _entries().get(name)
    if entries is None:
        raise InputError(f"unknown DFT engine '{name}'", f"known are {', '.join(engine_names())}")
    if len(entries) > 1:
        brought = " and ".join(_origin(entry) for entry in entries)
        raise InputError(f"{len(entries)} DFT engines are called '{name}': {brought} bring one", "uninstall one")
    entry = entries[0]
    try:
        found = entry.load()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"the DFT engine '{name}' of {_origin(entry)} can't be loaded: {reason}") from error
    if not isinstance(found, EngineDescription) or found.name != name:
        raise InputError(
            f"{entry.value} of {_origin(entry)} is no EngineDescription of an engine '{name}'",
            f"what an entry point of {GROUP} must name",
        )
    return found


def engine_title(name: str) -> str:
    """Return what readers call an engine: its name where it isn't installed here."""
    try:
        return describe(name).title
    except InputError:
        return name


def engine_about(name: str) -> str:
    """Return what an engine is, in half a sentence: its name where it isn't installed here."""
    try:
        return describe(name).about
    except InputError:
        return name


def checked_settings(description: EngineDescription, settings: Mapping[str, Any]) -> BaseModel:
    """Return an engine's settings with defaults filled in.

    Raises
    ------
    InputError
        The first thing that is wrong with them, as one line.
    """
    try:
        return description.settings.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    engine, page = f"engine '{description.name}'", f"see {description.page}"
    if first["type"] == "extra_forbidden":
        near = get_close_matches(key, description.settings.model_fields, n=1, cutoff=0.5)
        meant = f"did you mean '{near[0]}'? " if near else ""
        raise InputError(f"{engine}: dft.settings has no key '{key}'", f"{meant}{page}")
    where = f"dft.settings.{key}" if key else "dft.settings"
    raise InputError(f"{engine}: {where}: {first['msg'].removeprefix('Value error, ')}", page)


def get_engine(name: str, **settings: Any) -> Engine:
    """Return the engine of that name.

    Parameters
    ----------
    name : str
        One of `engine_names`.
    **settings
        Settings of that engine; `EngineDescription.settings` has them all.

    Raises
    ------
    InputError
        Unknown name, or a setting that the engine refuses.

    Examples
    --------
    >>> get_engine("hamiltonian").final_definition
    'PAW'
    """
    description = describe(name)
    checked_settings(description, settings)
    return description.engine(**settings)


def doctor() -> list[Check]:
    """Return what this machine has of every engine."""
    found: list[Check] = []
    for name in engine_names():
        try:
            found += describe(name).doctor()
        except InputError as error:
            found.append(Check(f"engine {name}", False, error.message, error.hint or "mend or uninstall that package"))
    return found


@cache
def _entries() -> dict[str, Sequence[EntryPoint]]:
    """Return the entry points by the name of the engine; more than one where packages disagree."""
    entries: dict[str, list[EntryPoint]] = {name: [EntryPoint(name, value, GROUP)] for name, value in _OWN.items()}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        entries.setdefault(entry.name, []).append(entry)
    return dict(entries)


def _origin(entry: EntryPoint) -> str:
    """Return the name of the package that an entry point belongs to."""
    distribution = entry.dist
    return "mmtp_fw" if distribution is None else str(distribution.metadata["Name"])
