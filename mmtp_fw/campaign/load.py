"""Reading ``campaign.yaml``: every error names file, line and key, and what was probably meant."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from mmtp_fw.campaign.experiment import with_measurements
from mmtp_fw.campaign.settings import Campaign
from mmtp_fw.campaign.start_from import with_start
from mmtp_fw.campaign.structure_files import with_atoms
from mmtp_fw.campaign.system import SystemSettings
from mmtp_fw.errors import InputError
from mmtp_fw.plain import plain
from mmtp_fw.structures.lattices import NEAREST_FRACTION
from mmtp_fw.structures.typical_moments import typical_moment_muB


def load_campaign(path: str | Path) -> Campaign:
    """Read and check a campaign file.

    Parameters
    ----------
    path : str or Path
        A YAML file with the keys of `Campaign`.

    Returns
    -------
    Campaign
        The settings, defaults filled in.

    Raises
    ------
    InputError
        The file can't be read, is no YAML, or a key or value is wrong; the message has file, line and key of
        every error, the hint says what may have been meant.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: {reason}", "give the path of a campaign YAML file") from error
    return parse_campaign(text, str(path), path.parent)


def parse_campaign(text: str, source: str = "campaign", folder: str | Path = ".") -> Campaign:
    """Check the text of a campaign file.

    Parameters
    ----------
    text : str
        YAML.
    source : str
        What messages call the text, usually a file name.
    folder : str or Path
        Where files that the text names are looked for.

    Raises
    ------
    InputError
        As `load_campaign`.

    Examples
    --------
    >>> parse_campaign("name: demo").name
    'demo'
    """
    try:
        data = YAML(typ="rt").load(StringIO(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InputError(
            f"{source}, line {line}: no valid YAML: {error.problem}",
            "indent with spaces; quote text that contains ': '",
        ) from error
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{source}: no valid YAML: {error}", "see fireworks_specs for examples") from error
    if not isinstance(data, Mapping):
        raise InputError(f"{source}: holds no mapping of keys to values", "begin with `name: ...`")
    try:
        settings = with_atoms(plain(data), Path(folder), source)
        settings = with_start(with_measurements(settings, Path(folder), source), Path(folder), source)
        return _of_one_material(settings, data, source)
    except ValidationError as error:
        problems = error.errors()
        lines = [_describe(problem, data, source) for problem in problems]
        hints = [hint for hint in map(_suggest, problems) if hint]
        raise InputError("; ".join(lines), "; ".join(dict.fromkeys(hints))) from error


def _of_one_material(settings: dict[str, Any], data: Any, source: str) -> Campaign:
    """Return the campaign of a file, without the demonstration's numbers where it describes a material of its own.

    What is derived here does not count as given (``model_fields_set``): an earlier version had other numbers for it.

    Raises
    ------
    InputError
        Species or structure are given, and no lattice parameters.
    ValidationError
        Something else is wrong.
    """
    given = settings.get("system")
    if not isinstance(given, dict):
        return Campaign.model_validate(settings)
    system = _derived(given)
    campaign = Campaign.model_validate({**settings, "system": system | given})
    if given.get("lattice_parameters_A") or given.get("phases"):
        return _with_its_distances(campaign, system.keys() - given.keys())
    default = SystemSettings()
    if campaign.system.species != default.species or campaign.system.structure != default.structure:
        raise InputError(
            f"{source}, line {_line(data, ('system',))}: system.lattice_parameters_A: is missing: the default is "
            "that of the demonstration, fcc Fe-Pd, and no other material's",
            "give the volumes to train at, as lattice_parameters_A: [2.80, 2.87]",
        )
    return campaign


def _derived(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what follows from the keys of ``system`` that a file gives, instead of the demonstration's numbers."""
    system: dict[str, Any] = {}
    species = given.get("species")
    named = isinstance(species, list) and all(isinstance(one, str) for one in species)
    if named and species is not None and set(species) != set(SystemSettings().species):
        system["typical_moments_muB"] = {one: typical_moment_muB(one) for one in species}
    if given.get("phases"):
        return system
    if named and species is not None and len(species) == 1:
        system["composition"] = {species[0]: 1.0}
    if "lattice_parameters_A" in given:
        system["held_out_lattice_parameters_A"] = []
    return system


def _with_its_distances(campaign: Campaign, derived: Iterable[str]) -> Campaign:
    """Let the radial range begin below the distances that pretraining makes; forget that it and `derived` were set."""
    form, system = campaign.potential, campaign.system
    if "r_min_A" not in form.model_fields_set:
        nearest = min(one.nearest_A(one.all_lattice_parameters_A[0]) for one in campaign.phases)
        least = min(form.r_min_A, math.floor(100 * NEAREST_FRACTION * nearest) / 100)
        form = form.model_copy(update={"r_min_A": least})
        form.model_fields_set.discard("r_min_A")
    system.model_fields_set.difference_update(derived)
    return campaign.model_copy(update={"potential": form})


def stored_campaign(settings: Mapping[str, Any]) -> Campaign:
    """Return the campaign of settings that a database holds.

    Raises
    ------
    InputError
        They are not understood here, as where the package that brings the campaign's engine is not installed.
    """
    try:
        return Campaign.model_validate(_as_submitted(settings))
    except ValidationError as error:
        source = f"campaign '{settings.get('name')}' of the database"
        hint = "install here what it was submitted with: this version of mmtp_fw, the package of its engine"
        raise InputError(problems_of(error, source), hint) from error


def problems_of(error: ValidationError, source: str) -> str:
    """Return in one line what is wrong with settings that come from no file."""
    return "; ".join(_describe(problem, None, source).replace(", line 1:", ":") for problem in error.errors())


def _as_submitted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored settings with what did not exist when they were stored: such campaigns keep their rules."""
    selection = {"clean_rounds": 1} | dict(settings.get("selection") or {})
    properties = {"magnetic_order": "ferromagnetic"} | dict(settings.get("properties") or {})
    return {**settings, "selection": selection, "properties": properties}


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a campaign file, for editors that complete and check while typing."""
    return Campaign.model_json_schema()


def demo_campaign_path() -> Path:
    """Return the path of the packaged demonstration campaign (Fe-Pd on the reference Hamiltonian)."""
    return Path(str(files("mmtp_fw.campaign").joinpath("demo.yaml")))


def _line(data: Any, location: Sequence[int | str]) -> int:
    """Return the 1-based line of the deepest part of `location` that the file holds."""
    line = 0
    for key in location:
        places = getattr(data, "lc", None)
        if places is None:
            break
        if isinstance(data, Mapping) and key in data:
            line = places.key(key)[0]
        elif isinstance(data, Sequence) and isinstance(key, int) and key < len(data):
            line = places.item(key)[0]
        else:
            break
        data = data[key]
    return int(line) + 1


def _describe(problem: ErrorDetails, data: Any, source: str) -> str:
    """Return one problem in words: where in the file, which key, what is wrong."""
    location = problem["loc"]
    key = ".".join(str(part) for part in location) or "campaign"
    kind, text = problem["type"], problem["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        text = "unknown key"
    elif kind == "missing":
        text = "is missing"
    else:
        text = text[:1].lower() + text[1:]
        given = problem.get("input")
        told = kind == "value_error" and f"'{given}'" in text
        if not told and not isinstance(given, dict | list | BaseModel):
            text += f", not {json.dumps(given, default=str)}"
    return f"{source}, line {_line(data, location)}: {key}: {text}"


_A_FILE = "write phases: [{name: mine, file: POSCAR}] under system (docs/phases.md)"
_EXISTING = "what exists already is named at the top: start_from: {labels: [FILE], potential: FILE} (docs/import.md)"
_OTHER_WORDS = {
    "training_set": _EXISTING,
    "files": _EXISTING,
    "start_from": _EXISTING,
    "structure_file": _A_FILE,
    "structures": _A_FILE,
    "poscar": _A_FILE,
    "ensemble": "molecular dynamics of a campaign is at fixed volume; give several lattice_parameters_A",
    "pressure_GPa": "molecular dynamics of a campaign is at fixed volume; give several lattice_parameters_A",
    "kpoints": "give the density of the mesh as kspacing_per_A, which serves cells of every size",
}
"""What keys that people expect are called here."""


def _suggest(problem: ErrorDetails) -> str:
    if problem["type"] != "extra_forbidden":
        return ""
    *sections, wrong = (str(part) for part in problem["loc"])
    if wrong in _OTHER_WORDS:
        return f"'{wrong}': {_OTHER_WORDS[wrong]}"
    known = _keys(sections)
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    if not close:  # the unit was left out, or the word stands inside a longer key
        close = [key for key in known if key.startswith(wrong) or wrong in key][:1]
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known keys here: {', '.join(known)}" if known else ""


def _keys(sections: Sequence[str]) -> list[str]:
    model: Any = Campaign
    for name in sections:
        if name.isdigit():  # a place in a list
            continue
        field = model.model_fields.get(name)
        inside = [] if field is None else [field.annotation, *get_args(field.annotation)]
        models = [one for one in inside if isinstance(one, type) and issubclass(one, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)
