"""Potentials as the plugin's kernel reads them: one binary file, made once for each potential and list of species."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmtp_fw.arrays import FloatArray
from mmtp_fw.errors import InputError
from mmtp_fw.files import write_whole
from mmtp_fw.potential import Potential, cabi, cabi_rows
from mmtp_fw.potential.lanes import W
from mmtp_fw.selection import ActiveSet

MAGIC = b"MMTPPACK"
VERSION = 5


def pack(potential: Potential, types: Sequence[str], active_set: ActiveSet | None = None) -> bytes:
    """Return a potential as the pair style reads it.

    Parameters
    ----------
    potential : Potential
    types : sequence of str
        Element of every LAMMPS atom type; ``"NULL"`` for a type that other pair styles handle.
    active_set : ActiveSet, optional
        Of this very potential, by site: the pair style then knows extrapolation grades.

    Returns
    -------
    bytes
        ``MMTPPACK``; twenty 64-bit integers (`_numbers`); four doubles: cut-off (Å), least and greatest moment (μB),
        whether it is magnetic; of every type the least and greatest moment, and of every two types the shortest
        distance, that are no extrapolation; the array that `mmtp_fw.potential.cabi.pack` describes, without scratch;
        with an active set the targets and weights of `mmtp_fw.potential.cabi_rows.folding` and the matrix that turns
        rows into coefficients of the active rows; the elements of the types, a space between.

    Raises
    ------
    InputError
        An element that the potential doesn't know, or an active set of another potential or mode.
    """
    unknown = [name for name in types if name != "NULL" and name not in potential.species]
    if unknown:
        raise InputError(
            f"the potential knows {', '.join(potential.species)}, not {', '.join(unknown)}",
            "pair_coeff * * FILE and the element of every atom type",
        )
    type_map = [-1 if name == "NULL" else potential.species.index(name) for name in types]
    matrix = np.zeros((0, 0)) if active_set is None else _grade_matrix(potential, active_set)
    grades = b""
    if active_set is not None:
        target, weight = cabi_rows.folding(potential)
        grades = b"".join(part.tobytes() for part in (target.astype("<i8"), weight.astype("<f8"), matrix.astype("<f8")))
    scratch = sum(cabi.scratch_sizes(potential, 0))
    fixed = cabi.pack(potential, type_map, longest=0)
    fixed = fixed[: len(fixed) - scratch]
    low, high = (potential.min_moment, potential.max_moment) if potential.magnetic else (0.0, 0.0)
    names = " ".join(types).encode()
    numbers = _numbers(potential, len(types), len(fixed), matrix.shape, len(names))
    head = MAGIC + struct.pack("<20q", *numbers)
    head += struct.pack("<4d", potential.r_cut, low, high, float(potential.magnetic))
    ranges = _ranges(potential, type_map)
    return head + ranges.astype("<f8").tobytes() + fixed.astype("<f8").tobytes() + grades + names


def _ranges(potential: Potential, type_map: Sequence[int]) -> FloatArray:
    """Return what the atoms of N types may do before it is extrapolation, shape (2 N + N²,): see `pack`."""
    n, trained = len(type_map), potential.trained
    moments = np.tile([-np.inf, np.inf], (n, 1))
    distances = np.zeros((n, n))
    known = np.flatnonzero(np.array(type_map) >= 0)
    kinds = np.array(type_map)[known]
    distances[np.ix_(known, known)] = potential.r_min
    if trained is not None:
        moments[known] = trained.limits[kinds]
        distances[np.ix_(known, known)] = np.maximum(potential.r_min, trained.nearest[np.ix_(kinds, kinds)])
    return np.concatenate([moments.ravel(), distances.ravel()])


def _numbers(potential: Potential, n_types: int, n_fixed: int, matrix: tuple[int, ...], n_names: int) -> list[int]:
    """Return the head of a packed file.

    Version, types, lanes, species, length of the fixed part; scratch of the kernel and then of rows (doubles per
    group of neighbours and besides, integers likewise); the three parts of a row; the number of active rows; the
    length of the elements' names; the number of parameters in a row.
    """
    numbers = [VERSION, n_types, W, len(potential.species), n_fixed]
    groups = len(potential.species) + 1  # those of an empty list
    for sizes in (cabi.scratch_sizes, cabi_rows.scratch_sizes):
        for none, one in zip(sizes(potential, 0), sizes(potential, W), strict=True):
            numbers += [one - none, none - groups * (one - none)]
    numbers += [*cabi_rows.row_parts(potential), matrix[1], n_names, matrix[0]]
    return numbers + [0] * (20 - len(numbers))


def _grade_matrix(potential: Potential, active_set: ActiveSet) -> FloatArray:
    """Return the inverse of the square matrix of an active set, shape (rows, rows)."""
    state = active_set.state
    if state.mode != "site":
        raise InputError("the active set grades configurations", "the pair style grades sites: mode 'site'")
    if state.potential_hash != potential.content_hash:
        raise InputError("the active set belongs to another potential", "write both from one version")
    return state.inverse


def packed_file(path: Path, types: Sequence[str], directory: Path, active: Path | None = None) -> Path:
    """Return a packed file of the potential at `path`, made in `directory` unless it is there.

    Parameters
    ----------
    path : Path
        A .mmtp file.
    types : sequence of str
        See `pack`.
    directory : Path
    active : Path, optional
        A file of `ActiveSet.to_bytes`, as ``mmtp export active-set`` writes it.

    Raises
    ------
    InputError
        The potential can't be read, or lacks an element.
    """
    text = path.read_bytes()
    state = b"" if active is None else active.read_bytes()
    digest = hashlib.blake2b(digest_size=16)
    for part in (text, state, "/".join(types).encode(), f"{VERSION}/{W}".encode(), cabi_digest()):
        digest.update(part + b"\0")
    found = directory / f"{path.stem[:40]}-{digest.hexdigest()}.packed"
    if not found.exists():
        chosen = None if active is None else ActiveSet.from_bytes(state)
        content = pack(_read(path, types), types, chosen)
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(found, content)
    return found


def cabi_digest() -> bytes:
    """Return a digest of the code that decides the layout of packed potentials."""
    folder = Path(cabi.__file__).parent
    names = (
        *("cabi", "cabi_rows", "kernels_lanes", "kernels_lanes_rows", "lanes", "lanes_basis", "lanes_layout"),
        *("lanes_pairs", "lanes_products", "program", "symmetry", "tables"),
    )
    return hashlib.blake2b(b"".join((folder / f"{name}.py").read_bytes() for name in names), digest_size=16).digest()


def _read(path: Path, types: Sequence[str]) -> Potential:
    """Read a potential; a file with numbered species takes the elements in their order."""
    potential = Potential.read(path)
    if all(name.isdigit() for name in potential.species):
        names = list(dict.fromkeys(name for name in types if name != "NULL"))
        if len(names) != len(potential.species):
            raise InputError(
                f"{path} numbers its {len(potential.species)} species, and {len(names)} elements are given",
                "name each of them once, in the file's order",
            )
        potential = Potential.read(path, species=names)
    return potential
