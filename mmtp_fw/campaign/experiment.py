"""What was measured, from CSV files that a campaign or a command names, to be drawn beside what is computed."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from ase import units
from pydantic import Field

from mmtp_fw.campaign.section import Positive, Section
from mmtp_fw.errors import InputError
from mmtp_fw.spectra import TOTAL, Curve, curve_of

Measurable = Literal["magnetization", "pressure", "spectrum"]
AVERAGES: dict[str, str] = {"magnetization": "magnetization_muB_per_atom", "pressure": "pressure_GPa"}
"""What averages call the quantities that are measured against the lattice parameter."""
_THZ_PER_MEV = 1e-15 * units._e / units._hplanck
_LENGTHS = {"a": 1.0, "angstrom": 1.0, "nm": 10.0, "pm": 0.01, "bohr": units.Bohr}
_FREQUENCIES = {"thz": 1.0, "mev": _THZ_PER_MEV, "cm-1": 1e-10 * units._c}
_UNITS: dict[str, dict[str, float]] = {
    "magnetization": {"mub/atom": 1.0},
    "pressure": {"gpa": 1.0, "mpa": 1e-3, "pa": 1e-9, "kbar": 0.1, "bar": 1e-4, "ev/a^3": 1.0 / units.GPa},
    "spectrum": dict.fromkeys(("arbitrary", "1/thz", "1/mev", "1/cm-1"), 1.0),  # its area is made 1
}
_AXES = {"magnetization": _LENGTHS, "pressure": _LENGTHS, "spectrum": _FREQUENCIES}
_NUMBERS = {"lattice_parameter_A", "temperature_K", "resolution_meV"}
_KEYS = (
    "quantity", "species", "unit", "x_unit", "source", "phase", "order", *sorted(_NUMBERS),
)  # fmt: skip
_SPELLINGS = str.maketrans({"μ": "mu", "µ": "mu", "Å": "A", "³": "^3", "⁻": "-", "¹": "1", " ": "", "−": "-"})
_EXAMPLE = "begin it with lines as `# quantity: magnetization`, `# unit: muB/atom`, `# x_unit: A`, `# source: …`"


class ExperimentSettings(Section):
    """One measured curve, in the units of the figures."""

    file: str = Field(description="The CSV file, beside the campaign's file. Its numbers are kept in the database")
    quantity: Measurable = Field(description="magnetization, pressure (against lattice parameter) or spectrum")
    species: str = Field(default=TOTAL, description="Whose spectrum: a species, or total")
    x: list[float] = Field(min_length=1, description="Lattice parameters (Å) or frequencies (THz)")
    y: list[float] = Field(min_length=1, description="μB/atom, GPa, or a density of states of area 1 (1/THz)")
    error: list[float] | None = Field(default=None, description="One standard deviation of each y, where it is known")
    unit: str = Field(description="Of y in the file")
    x_unit: str = Field(description="Of x in the file")
    source: str = Field(min_length=1, description="Citation; stands in the captions")
    phase: str | None = Field(default=None, description="Name of the campaign's phase, where it has named ones")
    order: str | None = Field(default=None, description="Magnetic order of the sample, as a word in the legend")
    lattice_parameter_A: Positive | None = Field(default=None, description="At which a spectrum was measured (Å)")
    temperature_K: float | None = Field(default=None, ge=0, description="Of the sample (K)")
    resolution_meV: Positive | None = Field(
        default=None, description="The instrument's full width at half maximum in a spectrum (meV)"
    )

    @property
    def name(self) -> str:
        """What a legend calls it: experiment, with order and temperature where they are known."""
        words = ["experiment", self.order or "", "" if self.temperature_K is None else f"{self.temperature_K:g} K"]
        return ", ".join(filter(None, words))

    def curve(self) -> Curve:
        """Return a spectrum, of area 1; errors of its points are independent."""
        spacing = (self.x[-1] - self.x[0]) / (len(self.x) - 1)
        spectrum = {"frequency_THz": self.x, "total": self.y, "total_error": self.error, "width_THz": spacing}
        return curve_of(spectrum)


def with_measurements(settings: dict[str, Any], folder: Path, source: str) -> dict[str, Any]:
    """Return settings in which every file of ``properties.experiment`` has its numbers.

    Parameters
    ----------
    settings : dict
        Of a campaign, not checked yet.
    folder : Path
        Where relative names begin.
    source : str
        The campaign's file, for messages.

    Raises
    ------
    InputError
        A file is missing, or is not understood.
    """
    section = settings.get("properties")
    if not isinstance(section, Mapping) or not isinstance(files := section.get("experiment"), list):
        return settings
    read = [
        read_experiment(folder / one, f"{source}: properties.experiment.{number}: ", one)
        if isinstance(one, str)
        else one
        for number, one in enumerate(files)
    ]
    return {**settings, "properties": {**section, "experiment": read}}


def read_experiment(path: Path, place: str = "", name: str = "") -> dict[str, Any]:
    """Return the settings of a measured curve, as `ExperimentSettings` takes them.

    Parameters
    ----------
    path : Path
        Comment lines ``# key: value`` (quantity, unit, x_unit, source; for a spectrum species, lattice_parameter_A,
        resolution_meV; phase, order, temperature_K), then lines of x, y and perhaps one standard deviation of y, with
        commas; a line of column names is taken for one.
    place : str
        What messages begin with.
    name : str
        What the file is called in the settings; by default its path.

    Raises
    ------
    InputError
        Naming file and line: what is missing, unknown, or no number.
    """
    place = f"{place}{path}"
    lines = _lines(path, place)
    head = _head(lines, place)
    made: dict[str, Any] = {**head, "file": name or str(path), **_converted(head, _numbers(lines, place), place)}
    for key in _NUMBERS & head.keys():
        made[key] = _number(head[key], f"{place}: {key}")
    return made


def _converted(head: Mapping[str, str], rows: Sequence[Sequence[float]], place: str) -> dict[str, list[float] | None]:
    """Return x, y and error in the units of the figures."""
    quantity = head["quantity"]
    y_factor = _factor(_UNITS[quantity], head["unit"], f"{place}: unit", quantity)
    x_factor = _factor(_AXES[quantity], head["x_unit"], f"{place}: x_unit", quantity)
    x = [_product(x_factor, row[0]) for row in rows]
    if any(after <= before for before, after in pairwise(x)):
        raise InputError(f"{place}: x does not rise from line to line", "sort the lines by x, each x once")
    if quantity == "spectrum":
        y_factor /= _area(x, [row[1] for row in rows], place)
    elif x[0] <= 0:
        raise InputError(f"{place}: a lattice parameter is not above 0")
    columns = [[_product(y_factor, value) for value in column] for column in list(zip(*rows, strict=True))[1:]]
    return {"x": x, "y": columns[0], "error": columns[1] if len(columns) > 1 else None}


def _lines(path: Path, place: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{place}: there is no such file", "give its path from the campaign file's folder") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{place}: can't be read: {getattr(error, 'strerror', None) or error}") from error


def _head(lines: Sequence[str], place: str) -> dict[str, str]:
    head: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        found = re.match(r"\s*#\s*([A-Za-z_]+)\s*:\s*(.*\S)\s*$", line)
        if found is None:
            continue
        known = {key.lower(): key for key in _KEYS}
        key = known.get(found.group(1).lower())
        if key is None:
            raise InputError(
                f"{place}, line {number}: '{found.group(1)}' is no key of a measurement",
                f"there are {', '.join(_KEYS)}; write a remark without a colon after its first word",
            )
        if key in head:
            raise InputError(f"{place}, line {number}: {key} is given twice")
        head[key] = found.group(2)
    _check_head(head, place)
    return head


def _check_head(head: dict[str, str], place: str) -> None:
    """Refuse a file that does not say what it holds, or says what means nothing for its quantity."""
    for key in ("quantity", "unit", "x_unit", "source"):
        if key not in head:
            raise InputError(f"{place}: a line `# {key}: …` is missing", _EXAMPLE)
    head["quantity"] = head["quantity"].lower()
    if head["quantity"] not in _UNITS:
        raise InputError(f"{place}: quantity '{head['quantity']}' is unknown", f"there are {', '.join(_UNITS)}")
    of_spectra = [key for key in ("species", "lattice_parameter_A", "resolution_meV") if key in head]
    if of_spectra and head["quantity"] != "spectrum":
        raise InputError(f"{place}: {', '.join(of_spectra)} belongs to a spectrum, not to {head['quantity']}")


def _factor(table: Mapping[str, float], word: str, place: str, quantity: str) -> float:
    known = table.get(word.translate(_SPELLINGS).lower())
    if known is None:
        why = "; what needs a density or volume is not converted" if quantity == "magnetization" else ""
        raise InputError(f"{place} '{word}' of {quantity} is not known", f"one of {', '.join(table)}{why}")
    return known


def _numbers(lines: Sequence[str], place: str) -> list[list[float]]:
    rows: list[list[float]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        if not rows and not _finite(cells) and all(re.match(r"[A-Za-z(]", cell) for cell in cells):
            continue  # names of the columns
        rows.append(_row(cells, len(rows[0]) if rows else None, f"{place}, line {number}"))
    if not rows:
        raise InputError(f"{place}: has no numbers", "lines of x, y and perhaps an error")
    return rows


def _row(cells: Sequence[str], columns: int | None, place: str) -> list[float]:
    if not _finite(cells) or len(cells) not in ((2, 3) if columns is None else (columns,)):
        raise InputError(
            f"{place}: not x, y and perhaps an error: {','.join(cells)[:60]}",
            "numbers with a decimal point, with commas between them, as many in every line",
        )
    row = [float(cell) for cell in cells]
    if len(row) == 3 and row[2] < 0:
        raise InputError(f"{place}: an error below 0")
    return row


def _finite(cells: Sequence[str]) -> bool:
    return all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell) for cell in cells)


def _number(word: str, place: str) -> float:
    if not _finite([word]):
        raise InputError(f"{place} '{word}' is no number")
    return float(word)


def _product(factor: float, value: float) -> float:
    """Return a converted number without the digits that only the conversion made."""
    return float(f"{factor * value:.12g}")


def _area(x: Sequence[float], y: Sequence[float], place: str) -> float:
    if len(x) < 2:
        raise InputError(f"{place}: one point is no spectrum")
    area = sum(0.5 * (b - a) * (u + v) for (a, b), (u, v) in zip(pairwise(x), pairwise(y), strict=True))
    if not area > 0:
        raise InputError(f"{place}: the spectrum has no area above 0")
    return area
