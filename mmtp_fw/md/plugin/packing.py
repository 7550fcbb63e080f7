"""Potentials as the plugin's kernel reads them: one binary file, made once for each potential and list of species."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmtp_fw.errors import InputError
from mmtp_fw.potential import Potential, cabi
from mmtp_fw.potential.lanes import W

MAGIC = b"MMTPPACK"
VERSION = 1


def pack(potential: Potential, types: Sequence[str]) -> bytes:
    """Return a potential as the pair style reads it.

    Parameters
    ----------
    potential : Potential
    types : sequence of str
        Element of every LAMMPS atom type; ``"NULL"`` for a type that other pair styles handle.

    Returns
    -------
    bytes
        ``MMTPPACK``; eight 64-bit integers: version, number of types, doubles of scratch per group of neighbours
        and fixed, integers likewise, lanes, number of species; four doubles: cut-off (Å), least and greatest
        moment (μB), whether it is magnetic; then the array that `mmtp_fw.potential.cabi.pack` describes, without
        scratch.

    Raises
    ------
    InputError
        An element that the potential doesn't know.
    """
    unknown = [name for name in types if name != "NULL" and name not in potential.species]
    if unknown:
        raise InputError(
            f"the potential knows {', '.join(potential.species)}, not {', '.join(unknown)}",
            "pair_coeff * * FILE and the element of every atom type",
        )
    type_map = [-1 if name == "NULL" else potential.species.index(name) for name in types]
    (doubles, integers), (more_doubles, more_integers) = (
        cabi.scratch_sizes(potential, groups * W) for groups in (0, 1)
    )
    per_group = more_doubles - doubles, more_integers - integers
    groups = len(potential.species) + 1  # those of an empty list
    numbers = (
        VERSION, len(types), per_group[0], doubles - groups * per_group[0], per_group[1],
        integers - groups * per_group[1], W, len(potential.species),
    )  # fmt: skip
    low, high = (potential.min_moment, potential.max_moment) if potential.magnetic else (0.0, 0.0)
    head = MAGIC + struct.pack("<8q", *numbers)
    head += struct.pack("<4d", potential.r_cut, low, high, float(potential.magnetic))
    fixed = cabi.pack(potential, type_map, longest=0)
    return head + fixed[: len(fixed) - doubles - integers].astype("<f8").tobytes()


def packed_file(path: Path, types: Sequence[str], directory: Path) -> Path:
    """Return a packed file of the potential at `path`, made in `directory` unless it is there.

    Raises
    ------
    InputError
        The potential can't be read, or lacks an element.
    """
    text = path.read_bytes()
    digest = hashlib.blake2b(digest_size=16)
    for part in (text, "/".join(types).encode(), f"{VERSION}/{W}".encode(), cabi_digest()):
        digest.update(part + b"\0")
    found = directory / f"{path.stem[:40]}-{digest.hexdigest()}.packed"
    if not found.exists():
        content = pack(_read(path, types), types)
        directory.mkdir(parents=True, exist_ok=True)
        partial = found.with_suffix(f".{np.random.SeedSequence().entropy:x}.part")
        partial.write_bytes(content)
        partial.replace(found)
    return found


def cabi_digest() -> bytes:
    """Return a digest of the code that decides the layout of packed potentials."""
    folder = Path(cabi.__file__).parent
    names = ("cabi.py", "program.py", "tables.py", "lanes_layout.py", "kernels_lanes.py", "symmetry.py")
    return hashlib.blake2b(b"".join((folder / name).read_bytes() for name in names), digest_size=16).digest()


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
