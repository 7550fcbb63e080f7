"""What commands without a database read: potentials, with names for numbered species, and configurations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ase import Atoms

    from mmtp_fw.fitting import DerivativeSign
    from mmtp_fw.potential import Potential

SpeciesOption = Annotated[
    str | None, typer.Option(help="Names of numbered species, as Fe,Pd; by default those of the file.")
]
DerivativesOption = Annotated[
    Literal["detect", "force", "derivative"],
    typer.Option(help="What en_der_m of a cfg holds: −∂E/∂m (force), ∂E/∂m, or find out and tell."),
]
MomentsOption = Annotated[
    str | None,
    typer.Option(
        "--moments",
        metavar="zero|relax|FILE",
        help="Where configurations have none: zero, relax (not for labels), or a file of the same ones that has them.",
    ),
]


def names_of(species: str | None) -> list[str] | None:
    """Return the names that the option lists."""
    return [name.strip() for name in species.split(",")] if species else None


def read_potential(path: Path, species: str | None) -> Potential:
    """Read a potential, its numbered species named as the option says."""
    from mmtp_fw.potential import Potential

    return Potential.read(path, species=names_of(species))


def repeated(atoms: Atoms, times: tuple[int, int, int]) -> Atoms:
    """Return a supercell, with the moments that the structure has."""
    from mmtp_fw.potential import has_moments, moments_of

    one = atoms.copy()
    if has_moments(atoms):
        one.set_initial_magnetic_moments(moments_of(atoms))
    larger: Atoms = one * times
    return larger


def read_labels(
    path: Path,
    species: str | None,
    moments: str | None,
    magnetic: bool,
    magnetic_derivatives: DerivativeSign = "detect",
) -> list[Atoms]:
    """Read what a potential is fitted to or knows: where it is `magnetic` it can't make up the moments of labels.

    Raises
    ------
    InputError
        A configuration without moments, where the option doesn't say what they are.
    """
    from mmtp_fw.errors import InputError
    from mmtp_fw.fitting import read_configurations

    if not magnetic:
        return read_configurations(path, names_of(species), magnetic_derivatives)
    if moments == "relax":
        raise InputError(f"{path}: --moments relax: labels belong to the moments they were computed at", _LABELS)
    return _with_moments(path, species, moments, _LABELS, magnetic_derivatives)


def read_asked(path: Path, species: str | None, moments: str | None, potential: Potential) -> list[Atoms]:
    """Read what a potential is asked about; moments are needed where it is magnetic.

    Raises
    ------
    InputError
        A configuration without moments, where the option doesn't say what they are.
    """
    from mmtp_fw.fitting import read_configurations
    from mmtp_fw.potential import has_moments

    if not potential.magnetic:
        return read_configurations(path, names_of(species))
    if moments != "relax":
        return _with_moments(path, species, moments, f"--moments relax finds those of least energy, or {_LABELS}")
    found = read_configurations(path, names_of(species))
    for number, atoms in enumerate(found, 1):
        if not has_moments(atoms):
            relaxed = potential.relax_moments(atoms)
            atoms.set_initial_magnetic_moments(relaxed.moments)
            if not relaxed.sound:
                typer.echo(f"warning: {path}: configuration {number}: {relaxed.warning}", err=True)
    return found


_LABELS = "--moments zero says that they are zero, --moments FILE takes them from a file of the same configurations"


def _with_moments(
    path: Path, species: str | None, moments: str | None, hint: str, sign: DerivativeSign = "detect"
) -> list[Atoms]:
    import numpy as np

    from mmtp_fw.errors import InputError
    from mmtp_fw.fitting import read_configurations
    from mmtp_fw.potential import has_moments

    found = read_configurations(path, names_of(species), sign)
    lacking = [k for k, atoms in enumerate(found) if not has_moments(atoms)]
    if not lacking:
        return found
    if moments is None:
        columns = ", ".join(sorted({*found[lacking[0]].arrays, *getattr(found[lacking[0]].calc, "results", {})}))
        count = f"{len(lacking)} of {len(found)} configurations have"
        raise InputError(f"{path}: {count} no moments, which a magnetic potential needs; there are {columns}", hint)
    others = None if moments == "zero" else _same_ones(path, found, Path(moments), species)
    for k in lacking:
        given = np.zeros(len(found[k])) if others is None else others[k]
        found[k].set_initial_magnetic_moments(given)
    return found


def _same_ones(path: Path, found: list[Atoms], other: Path, species: str | None) -> list[list[float]]:
    """Return the moments of the same configurations in another file."""
    from mmtp_fw.errors import InputError
    from mmtp_fw.fitting import read_configurations
    from mmtp_fw.potential import has_moments, moments_of

    given = read_configurations(other, names_of(species))
    same = len(given) == len(found) and all(
        list(a.symbols) == list(b.symbols) for a, b in zip(found, given, strict=True)
    )
    if not same:
        raise InputError(
            f"--moments {other}: its configurations aren't those of {path}", "same number, same atoms in order"
        )
    if not all(has_moments(atoms) for atoms in given):
        raise InputError(f"--moments {other}: has configurations without moments", "or say zero")
    return [moments_of(atoms).tolist() for atoms in given]
