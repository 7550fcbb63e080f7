"""POTCAR files: found where pymatgen is configured to look, checked, never kept."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ase.data import chemical_symbols

from mmtp_fw.dft.vasp.settings import VaspSettings
from mmtp_fw.errors import EngineError, InputError

DIRECTORY_VARIABLE = "PMG_VASP_PSP_DIR"
_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}
_REMEDY = "pmg config -p FOLDER_FROM_VASP TARGET; export PMG_VASP_PSP_DIR=TARGET (docs/vasp.md)"


@dataclass(frozen=True)
class PotcarFile:
    """The POTCAR of one species.

    Attributes
    ----------
    species, symbol : str
    path : Path
    sha256 : str
        Of the uncompressed file.
    title : str
        Its TITEL.
    radius_A : float
        Its RWIGS in Å.
    """

    species: str
    symbol: str
    path: Path
    sha256: str
    title: str
    radius_A: float

    @property
    def digest(self) -> str:
        """What tells two files of one name apart: the checksum."""
        return self.sha256

    def content(self) -> bytes:
        """Return the uncompressed file, byte by byte as VASP's authors made it."""
        return _content(self.path)


def potcar_directory() -> Path:
    """Return the directory that PMG_VASP_PSP_DIR or pymatgen's settings name.

    Raises
    ------
    EngineError
        None is named, or it is not there.
    """
    from pymatgen.core import SETTINGS

    named = os.environ.get(DIRECTORY_VARIABLE) or SETTINGS.get(DIRECTORY_VARIABLE)
    if not named:
        raise EngineError(f"no POTCARs: {DIRECTORY_VARIABLE} is not set", _REMEDY)
    directory = Path(str(named)).expanduser()
    if not directory.is_dir():
        raise EngineError(f"no POTCARs: {DIRECTORY_VARIABLE} is {directory}, which is no directory", _REMEDY)
    return directory


def find_potcar(species: str, settings: VaspSettings) -> PotcarFile:
    """Return the POTCAR of a species, after its element and checksum were compared.

    Parameters
    ----------
    species : str
    settings : VaspSettings

    Raises
    ------
    InputError
        `species` is no element.
    EngineError
        No directory, no such POTCAR, one of another element, or another checksum: matters of this machine.
    """
    if species not in chemical_symbols[1:]:
        raise InputError(f"species '{species}' is no element: VASP can't compute it")
    symbol = settings.potcar_symbol(species)
    path = _path(symbol, settings.potcar_functional)
    raw = _content(path)
    digest = hashlib.sha256(raw).hexdigest()
    wanted = settings.potcar_sha256.get(species)
    if wanted is not None and digest != wanted:
        raise EngineError(
            f"{path}: SHA-256 is {digest[:12]}…, but dft.settings.potcar_sha256 of {species} is {wanted[:12]}…",
            "labels from different POTCARs don't fit together: use the file that the campaign began with",
        )
    head = raw[:20_000].decode(errors="replace")
    element, title = _entry(head, "VRHFIN"), _entry(head, "TITEL")
    if element is None or element.split(":")[0].strip() != species:
        raise EngineError(f"{path} is no POTCAR of {species}", "see dft.settings.potcar_symbols")
    # RWIGS is there twice: in bohr, then in Å.
    radii = re.findall(r"RWIGS\s*=\s*([\d.]+)", head)
    if not radii:
        raise EngineError(f"{path} names no RWIGS", f"set dft.settings.rwigs_A of {species}")
    return PotcarFile(species, symbol, path, digest, title or symbol, float(radii[-1]))


def _entry(head: str, key: str) -> str | None:
    found = re.search(rf"{key}\s*=\s*(.+)", head)
    return found.group(1).strip() if found else None


def _path(symbol: str, functional: str) -> Path:
    from pymatgen.core import SETTINGS
    from pymatgen.io.vasp.inputs import PotcarSingle

    renamed = SETTINGS.get("PMG_VASP_PSP_SUB_DIRS") or {}
    folder: Path = potcar_directory() / renamed.get(functional, PotcarSingle.functional_dir[functional])
    if not folder.is_dir():
        raise EngineError(f"no POTCARs of {functional}: {folder} is no directory", _REMEDY)
    for name in (f"POTCAR.{symbol}", f"{symbol}/POTCAR"):
        for ending in ("", *_UNPACK):
            if (folder / f"{name}{ending}").is_file():
                return folder / f"{name}{ending}"
    raise EngineError(
        f"no POTCAR '{symbol}' of {functional} in {folder}", "see dft.settings.potcar_symbols and potcar_functional"
    )


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    return _UNPACK[path.suffix](raw) if path.suffix in _UNPACK else raw
