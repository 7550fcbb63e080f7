"""Read and write the text format of Moment Tensor Potentials (`.mmtp`, `.mtp`).

Three spellings of the magnetic block are in use: spin-MLIP's flat keys (``min_mag`` …), MLIP-3's block behind
the radial sizes (``magnetic_basis_type`` with ``min_val`` …) and motep's grouped blocks (``min``, ``max``,
``size``). All are read; the one asked for is written. The format has no place for the names of the species
nor for the symmetrization, so ``potential_tag``, a free text, carries them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mmtp_fw.arrays import FloatArray, Int32Array
from mmtp_fw.errors import InputError
from mmtp_fw.potential.tables import Tables

Dialect = Literal["spin-mlip", "mlip3", "motep"]
DIALECTS: tuple[Dialect, ...] = ("spin-mlip", "mlip3", "motep")

_RADIAL_KEYS = {"min_dist": "r_min", "max_dist": "r_cut", "radial_basis_size": "radial_size"}
_MAGNETIC_KEYS = {"min_mag": "min_moment", "max_mag": "max_moment", "mag_basis_size": "magnetic_size"}
_GROUPED = {"min": 0, "min_val": 0, "max": 1, "max_val": 1, "size": 2, "basis_size": 2}
_SECTIONS = {
    "radial_basis_type": ("r_min", "r_cut", "radial_size"),
    "magnetic_basis_type": ("min_moment", "max_moment", "magnetic_size"),
}
_BASIS_TYPES = {"radial_basis_type": "RBChebyshev", "magnetic_basis_type": "BChebyshev"}
_KNOWN = frozenset(
    {
        *_RADIAL_KEYS.values(), *_MAGNETIC_KEYS.values(), *_BASIS_TYPES, "version", "potential_name", "scaling",
        "species_count", "potential_tag", "radial_funcs_count", "alpha_moments_count", "alpha_index_basic_count",
        "alpha_index_basic", "alpha_index_times_count", "alpha_index_times", "alpha_scalar_moments",
        "alpha_moment_mapping", "species_coeffs", "moment_coeffs",
    }
)  # fmt: skip
_TOO_MANY = 10**7
"""No size or index of a potential is as large: level 28 has some 10⁵."""
_OTHER_FORM = "the energy would be another one without it: this form of potential can't be read"


@dataclass(frozen=True, eq=False)
class PotentialFile:
    """What a potential file holds.

    Attributes
    ----------
    scaling : float
    species_count : int
    tag : str
        Free text of ``potential_tag``.
    r_min, r_cut : float
        Å.
    min_moment, max_moment : float
        μB; ignored without a magnetic basis.
    magnetic_size : int
        Number of magnetic basis functions; 0 in a non-magnetic potential.
    radial_coefficients : ndarray, shape (species, species, K, radial_size, M, M)
        M = max(1, magnetic_size).
    tables : Tables
    species_coefficients : ndarray, shape (species,)
        eV.
    moment_coefficients : ndarray, shape (n_scalars,)
    name : str
        ``potential_name``.
    """

    scaling: float
    species_count: int
    tag: str
    r_min: float
    r_cut: float
    min_moment: float
    max_moment: float
    magnetic_size: int
    radial_coefficients: FloatArray
    tables: Tables
    species_coefficients: FloatArray
    moment_coefficients: FloatArray
    name: str = "mmtp_fw"


def read_potential(path: str | Path) -> PotentialFile:
    """Read a file; see `parse_potential` for what it raises."""
    path = Path(path)
    try:
        text = _without_selection_state(path.read_bytes()).decode("utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such potential file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read as a potential file: {error}") from error
    return parse_potential(text, source=str(path))


def _without_selection_state(content: bytes) -> bytes:
    """Return what comes before the selection state of MLIP-3 (.almtp): binary, behind a line that begins with #."""
    return re.split(rb"^[ \t]*#", content, maxsplit=1, flags=re.MULTILINE)[0]


def parse_potential(text: str, source: str = "potential") -> PotentialFile:
    """Parse the text of a potential file.

    Parameters
    ----------
    text : str
    source : str
        Name for messages.

    Raises
    ------
    InputError
        With the file's name, the line and what is wrong there: also a key or a basis type that isn't understood, for
        it would change the energy.
    """
    return _Parser(text, source).parse()


class _Parser:
    """One pass over the lines; sizes are checked against each other at the end."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.lines = enumerate(text.splitlines(), start=1)
        self.values: dict[str, str] = {}
        self.where: dict[str, int] = {}
        self.names: dict[str, str] = {}  # as the file calls them
        self.radial: list[list[float]] = []

    def fail(self, message: str, line: int | None = None, hint: str = "") -> InputError:
        place = f"{self.source}, line {line}" if line else self.source
        return InputError(f"{place}: {message}", hint or "the file is damaged or not a potential file")

    def parse(self) -> PotentialFile:
        number, first = next(self.lines, (1, ""))
        if first.strip() != "MTP":
            raise self.fail("does not begin with 'MTP'", number)
        section: tuple[str, ...] = ()
        for number, raw in self.lines:
            line = raw.strip()
            if line.startswith("#"):
                break  # the selection state of MLIP-3 (.almtp): binary, not ours
            if not line:
                continue
            if line == "radial_coeffs":
                self._radial_coefficients()
                continue
            key, equals, value = (part.strip() for part in line.partition("="))
            if not equals:
                raise self.fail(f"expected 'key = value', found '{line[:40]}'", number)
            section = _SECTIONS.get(key, section)
            key_in_file = key
            if key in _GROUPED and section:
                key = section[_GROUPED[key]]
            key = _RADIAL_KEYS.get(key, _MAGNETIC_KEYS.get(key, key))
            self._take(key, value, number, key_in_file)
        return self._assemble()

    def _take(self, key: str, value: str, number: int, key_in_file: str) -> None:
        """Keep a key that is understood, and there once."""
        if key not in _KNOWN:
            raise self.fail(f"'{key_in_file}' is not understood", number, _OTHER_FORM)
        if key in self.values:
            raise self.fail(f"'{key_in_file}' is there again, after line {self.where[key]}", number)
        if value != _BASIS_TYPES.get(key, value):
            raise self.fail(f"{key_in_file} '{value}' is not understood, only {_BASIS_TYPES[key]}", number, _OTHER_FORM)
        self.values[key], self.where[key], self.names[key] = value, number, key_in_file

    def _radial_coefficients(self) -> None:
        species, count = self._integer("species_count"), self._integer("radial_funcs_count")
        for pair in range(species * species):
            number, line = next(self.lines, (0, ""))
            if not re.fullmatch(r"\d+-\d+", line.strip()):
                raise self.fail(f"expected a species pair like '0-0', found '{line.strip()[:40]}'", number)
            if line.strip() != f"{pair // species}-{pair % species}":
                raise self.fail(f"species pair {line.strip()} is out of order", number)
            for _ in range(count):
                number, line = next(self.lines, (0, ""))
                self.radial.append(self._floats(line.strip(), number))

    def _floats(self, text: str, line: int | None) -> list[float]:
        if not (text.startswith("{") and text.endswith("}")):
            raise self.fail("expected a list in braces", line)
        try:
            numbers = [float(word) for word in text[1:-1].split(",") if word.strip()]
        except ValueError as error:
            raise self.fail(f"not a list of numbers: {error}", line) from error
        if not np.all(np.isfinite(numbers)):
            raise self.fail("a number is not finite", line)
        return numbers

    def _value(self, key: str) -> str:
        if key not in self.values:
            raise self.fail(f"'{key}' is missing")
        return self.values[key]

    def _integer(self, key: str) -> int:
        text = self._value(key)
        if not text.isdigit():
            raise self.fail(f"{self.names[key]}: '{text[:40]}' is not a whole number", self.where[key])
        if int(text) >= _TOO_MANY:
            raise self.fail(f"{self.names[key]}: {text[:20]} is too many", self.where[key])
        return int(text)

    def _float(self, key: str) -> float:
        text = self._value(key)
        try:
            value = float(text)
        except ValueError as error:
            raise self.fail(f"{self.names[key]}: '{text[:40]}' is not a number", self.where[key]) from error
        if not np.isfinite(value):
            raise self.fail(f"{self.names[key]} is not finite", self.where[key])
        return value

    def _rows(self, key: str, n: int) -> Int32Array:
        text, line = self._value(key), self.where[key]
        if not re.fullmatch(r"[\s{},0-9]*", text):
            raise self.fail(f"{key}: expected whole numbers in braces", line)
        numbers = [int(word) for word in re.findall(r"\d+", text)]
        if numbers and max(numbers) >= _TOO_MANY:
            raise self.fail(f"{key}: {max(numbers)} is no index", line)
        if len(numbers) != 4 * n or text.count("{") != text.count("}"):
            raise self.fail(f"{key}: expected {n} rows of 4, found {len(numbers)} numbers", line)
        return np.array(numbers, dtype=np.int32).reshape(n, 4)

    def _mapping(self) -> Int32Array:
        mapping = self._floats(self._value("alpha_moment_mapping"), self.where["alpha_moment_mapping"])
        if any(number != int(number) or not 0 <= number < _TOO_MANY for number in mapping):
            raise self.fail("alpha_moment_mapping: an entry is no index", self.where["alpha_moment_mapping"])
        return np.array(mapping, dtype=np.int32)

    def _tables(self) -> Tables:
        basic = self._rows("alpha_index_basic", self._integer("alpha_index_basic_count"))
        times = self._rows("alpha_index_times", self._integer("alpha_index_times_count"))
        n_moments, n_scalars = self._integer("alpha_moments_count"), self._integer("alpha_scalar_moments")
        scalars = self._mapping()
        if len(scalars) != n_scalars:
            raise self.fail(f"alpha_moment_mapping has {len(scalars)} entries, alpha_scalar_moments says {n_scalars}")
        if len(basic) == 0 or len(basic) > n_moments:
            raise self.fail("alpha_index_basic does not fit alpha_moments_count")
        indices = np.concatenate([times[:, [0, 1, 3]].ravel(), scalars])
        if indices.size and (indices.min() < 0 or indices.max() >= n_moments):
            raise self.fail("an index of the tables is not below alpha_moments_count")
        if len(times) and np.any(times[:, 3] <= np.maximum(times[:, 0], times[:, 1])):
            raise self.fail("alpha_index_times uses a product before it is complete")
        if basic[:, 0].max() >= self._integer("radial_funcs_count"):
            raise self.fail("alpha_index_basic asks for more radial functions than radial_funcs_count")
        return Tables(basic, times, scalars, n_moments)

    def _assemble(self) -> PotentialFile:
        if not self.radial and "moment_coeffs" not in self.values:
            raise self.fail(
                "an untrained template, without coefficients",
                hint="a new potential of the same level: mmtp potential fit --level",
            )
        if not self.radial:
            raise self.fail("'radial_coeffs' are missing")
        species, count = self._integer("species_count"), self._integer("radial_funcs_count")
        size = self._integer("radial_size")
        magnetic = self._integer("magnetic_size") if "magnetic_size" in self.values else 0
        m = max(1, magnetic)
        if {len(row) for row in self.radial} != {size * m * m}:
            lengths = sorted({len(row) for row in self.radial})
            raise self.fail(f"rows of radial_coeffs have {lengths} numbers, the basis sizes ask for {size * m * m}")
        tables = self._tables()
        constants = np.array(self._floats(self._value("species_coeffs"), None))
        xi = np.array(self._floats(self._value("moment_coeffs"), None))
        if len(constants) != species or len(xi) != len(tables.scalars):
            raise self.fail("species_coeffs or moment_coeffs have the wrong length")
        result = PotentialFile(
            self._float("scaling") if "scaling" in self.values else 1.0,
            species,
            self.values.get("potential_tag", ""),
            self._float("r_min"),
            self._float("r_cut"),
            self._float("min_moment") if magnetic else -1.0,
            self._float("max_moment") if magnetic else 1.0,
            magnetic,
            np.array(self.radial).reshape(species, species, count, size, m, m),
            tables,
            constants,
            xi,
            self.values.get("potential_name", "") or "mmtp_fw",
        )
        if not result.r_cut > result.r_min >= 0.0:
            raise self.fail(f"min_dist {result.r_min} and max_dist {result.r_cut} are no range")
        if magnetic and not result.max_moment > result.min_moment:
            raise self.fail("min_mag and max_mag are no range")
        return result


def format_potential(file: PotentialFile, dialect: Dialect = "spin-mlip") -> str:
    """Return the text of a file in a dialect.

    Raises
    ------
    InputError
        Unknown dialect.
    """
    if dialect not in DIALECTS:
        raise InputError(f"unknown dialect '{dialect}'", f"one of {', '.join(DIALECTS)}")
    return "\n".join(_lines(file, dialect)) + "\n"


def _lines(file: PotentialFile, dialect: Dialect) -> Iterator[str]:
    species, _, count, size = file.radial_coefficients.shape[:4]
    tables = file.tables
    yield "MTP"
    yield "version = 1.1.0"
    yield f"potential_name = {file.name}"
    yield f"scaling = {file.scaling:.17e}"
    yield f"species_count = {species}"
    yield f"potential_tag = {file.tag}"
    yield from _basis_lines(file, dialect, size)
    yield f"\tradial_funcs_count = {count}"
    yield "\tradial_coeffs"
    for a in range(species):
        for b in range(species):
            yield f"\t\t{a}-{b}"
            for mu in range(count):
                yield f"\t\t\t{_braces(file.radial_coefficients[a, b, mu].ravel())}"
    yield f"alpha_moments_count = {tables.n_moments}"
    yield f"alpha_index_basic_count = {len(tables.basic)}"
    yield f"alpha_index_basic = {_brace_rows(tables.basic)}"
    yield f"alpha_index_times_count = {len(tables.times)}"
    yield f"alpha_index_times = {_brace_rows(tables.times)}"
    yield f"alpha_scalar_moments = {len(tables.scalars)}"
    yield "alpha_moment_mapping = {" + ", ".join(map(str, tables.scalars.tolist())) + "}"
    yield f"species_coeffs = {_braces(file.species_coefficients)}"
    yield f"moment_coeffs = {_braces(file.moment_coefficients)}"


def _basis_lines(file: PotentialFile, dialect: Dialect, size: int) -> Iterator[str]:
    yield "radial_basis_type = RBChebyshev"
    magnetic = [f"{file.min_moment:.17e}", f"{file.max_moment:.17e}", f"{file.magnetic_size}"]
    radial = [f"{file.r_min:.17e}", f"{file.r_cut:.17e}", f"{size}"]
    if dialect == "spin-mlip" and file.magnetic_size:
        yield from _keys(("min_mag", "max_mag", "mag_basis_size"), magnetic)
    if dialect == "motep" and file.magnetic_size:
        yield from _keys(("min", "max", "size"), radial)
        yield "magnetic_basis_type = BChebyshev"
        yield from _keys(("min", "max", "size"), magnetic)
        return
    yield from _keys(("min_dist", "max_dist", "radial_basis_size"), radial)
    if dialect == "mlip3" and file.magnetic_size:
        yield "\tmagnetic_basis_type = BChebyshev"
        yield from _keys(("min_val", "max_val", "basis_size"), magnetic)


def _keys(names: tuple[str, str, str], values: list[str]) -> Iterator[str]:
    for name, value in zip(names, values, strict=True):
        yield f"\t{name} = {value}"


def _braces(values: FloatArray) -> str:
    # 17 digits: what is read back is what was written, to the last bit.
    return "{" + ", ".join(f"{value:.16e}" for value in values) + "}"


def _brace_rows(rows: Int32Array) -> str:
    return "{" + ", ".join("{" + ", ".join(map(str, row)) + "}" for row in rows.tolist()) + "}"
