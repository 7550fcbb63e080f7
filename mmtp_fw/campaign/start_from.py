"""What a campaign begins with: labels that exist, and a potential."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mmtp_fw.campaign.section import Section
from mmtp_fw.campaign.system import SystemSettings
from mmtp_fw.errors import InputError


class LabelFile(Section):
    """A file or several files of labels."""

    file: str = Field(description="File, folder of a finished run, or pattern (runs/*/OUTCAR), beside campaign.yaml")
    digest: str = Field(default="", description="Of what is in it: filled in when the campaign is read")
    magnetic_derivatives: Literal["detect", "force", "derivative"] = Field(
        default="detect", description="What en_der_m of a cfg holds: −∂E/∂m (force), ∂E/∂m, or find out and tell"
    )


class StartPotential(Section):
    """A potential that fits begin from."""

    file: str = Field(description="A .mmtp file, beside campaign.yaml")
    text: str = Field(description="Its text: filled in when the campaign is read")


class StartSettings(Section):
    """What exists already; docs/import.md."""

    labels: list[LabelFile] = Field(
        default=[],
        description="Files of labels, by name: extended XYZ, cfg, OUTCAR, vasprun.xml, ABINIT's output. They are "
        "fitted and graded, never computed again, and cost no budget",
    )
    potential: StartPotential | None = Field(
        default=None,
        description="File of a potential that the first fit begins from: its form is the campaign's, its species are "
        "those of system.species, in that order",
    )


def with_start(settings: dict[str, Any], folder: Path, source: str) -> dict[str, Any]:
    """Return settings in which everything that `start_from` names was read.

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
        A file is missing, or the potential is none or contradicts what the campaign says of its form.
    """
    start = settings.get("start_from")
    if not isinstance(start, Mapping):
        return settings
    made = dict(start)
    labels = start.get("labels")
    if isinstance(labels, str):
        labels = [labels]
    if isinstance(labels, list):
        made["labels"] = [_labels(one, folder, f"{source}: start_from.labels.{k}") for k, one in enumerate(labels)]
    settings = {**settings, "start_from": made}
    potential = start.get("potential")
    if isinstance(potential, str):
        place = f"{source}: start_from.potential"
        path = folder / potential
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{place}: {path} can't be read: {getattr(error, 'strerror', None) or error}") from error
        made["potential"] = {"file": potential, "text": text}
        return _of_its_form(settings, text, place)
    return settings


def files_of(name: str, folder: Path, place: str) -> list[Path]:
    """Return the files that a name or a pattern means, sorted.

    Raises
    ------
    InputError
        There is none.
    """
    path = folder / name
    if path.exists():
        return [path]
    base = Path(Path(name).anchor) if Path(name).anchor else folder
    found = sorted(base.glob(str(Path(name).relative_to(Path(name).anchor))))
    if not found:
        raise InputError(f"{place}: there is no file {path}", "give its path from the folder of the campaign's file")
    return found


def digest_of(paths: Sequence[Path]) -> str:
    """Return the digest of files, whatever their names; of a folder that of its run's output alone.

    Raises
    ------
    InputError
        There is no file, and no folder with one output.
    """
    parts = []
    for path in paths:
        with suppress(InputError), _output(path).open("rb") as stream:  # what is none is said when it is read
            parts.append(hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest())
    if not parts:
        raise InputError(f"{paths[0]}: no output of a finished run", "name files, or folders with one output each")
    return hashlib.blake2b("".join(parts).encode(), digest_size=16).hexdigest() if len(parts) > 1 else parts[0]


def _output(path: Path) -> Path:
    if not path.is_dir():
        return path
    from mmtp_fw.dft.finished import output_in  # numba

    return output_in(path)


def _labels(one: Any, folder: Path, place: str) -> Any:
    given = {"file": one} if isinstance(one, str) else one
    if not isinstance(given, Mapping) or not isinstance(given.get("file"), str) or given.get("digest"):
        return given
    try:
        return {**given, "digest": digest_of(files_of(given["file"], folder, place))}
    except OSError as error:
        raise InputError(f"{place}: {given['file']} can't be read: {error.strerror}") from error


def _of_its_form(settings: dict[str, Any], text: str, place: str) -> dict[str, Any]:
    """Return settings whose potential has the form of the file."""
    from mmtp_fw.potential import Potential

    system = settings.get("system")
    species = list((system.get("species") if isinstance(system, Mapping) else None) or SystemSettings().species)
    potential = Potential.loads(text, species=species)
    if potential.min_moment != -potential.max_moment:
        raise InputError(
            f"{place}: its magnetic range is not even: {potential.min_moment:g} to {potential.max_moment:g} μB"
        )
    form = {
        "r_min_A": potential.r_min,
        "r_cut_A": potential.r_cut,
        "radial_size": potential.radial_size,
        "magnetic_size": potential.magnetic_size,
        "max_moment_muB": potential.max_moment,
        "symmetrized": potential.symmetrized,
        "level": _level(potential, place),
    }
    given = settings.get("potential") or {}
    if not isinstance(given, Mapping):
        return settings
    wrong = [
        f"{key}: {given[key]}, in the file {form[key]}" for key in form if key in given and given[key] != form[key]
    ]
    if wrong:
        raise InputError(
            f"{place}: the file's form is not what `potential` says: {'; '.join(wrong)}", "leave these keys out"
        )
    return {**settings, "potential": {**given, **form}}


def _level(potential: Any, place: str) -> int:
    from mmtp_fw.potential import Potential

    for level in range(2, 25, 2):
        made = Potential.from_level(
            level,
            list(potential.species),
            r_min=potential.r_min,
            r_cut=potential.r_cut,
            radial_size=potential.radial_size,
            max_moment=potential.max_moment,
            magnetic_size=potential.magnetic_size,
            symmetrized=potential.symmetrized,
        )
        if made.n_parameters == potential.n_parameters:
            made.parameters = potential.parameters
            if made.content_hash == potential.content_hash:  # not another basis of as many parameters
                return level
        if made.n_parameters > potential.n_parameters:
            break
    raise InputError(
        f"{place}: its {potential.n_parameters} parameters are those of no level",
        "a campaign starts from potentials of whole levels (`mmtp potential info` tells the form)",
    )
