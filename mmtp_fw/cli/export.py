"""`mmtp export`: potentials, training sets and trajectories as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import print_json
from mmtp_fw.errors import InputError

if TYPE_CHECKING:
    from mmtp_fw.database import Database

app = typer.Typer(help="Write potentials, training sets and trajectories as files.", no_args_is_help=True)

VersionArgument = Annotated[str, typer.Argument(help="Version of the potential, a whole number.")]


@app.command()
def potential(
    version: VersionArgument,
    path: Annotated[Path, typer.Argument(help="File to write, by custom .mmtp.")],
    dialect: Annotated[str, typer.Option(help="Who is to read it: spin-mlip, mlip3, motep.")] = "spin-mlip",
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a version of the potential as spin-MLIP, MLIP-3 or motep read it."""
    from mmtp_fw.database import history
    from mmtp_fw.potential import Potential
    from mmtp_fw.potential.fileio import DIALECTS

    chosen = next((name for name in DIALECTS if name == dialect), None)
    if chosen is None:
        raise InputError(f"--dialect {dialect}: no such dialect", f"one of {', '.join(DIALECTS)}")
    with open_database(launchpad) as database:
        document = history.version(database, version)
    Potential.loads(document["text"], species=document["species"] or None).write(path, dialect=chosen)
    _tell(path, f"potential {version}", as_json)


@app.command("active-set")
def active_set(
    version: VersionArgument,
    path: Annotated[Path, typer.Argument(help="File to write, by custom .state.")],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the active set of a version, by which `pair_style mmtp … active FILE` grades."""
    from mmtp_fw.database import blobs, history
    from mmtp_fw.files import write_whole

    with open_database(launchpad) as database:
        document = history.version(database, version)
        if document["active_set"] is None:
            raise InputError(f"potential {version} has no active set", "members of an ensemble have none")
        write_whole(path, blobs.get(database, document["active_set"]))
    _tell(path, f"active set of potential {version}", as_json)


@app.command("training-set")
def training_set(
    version: VersionArgument,
    path: Annotated[Path, typer.Argument(help="File to write: .xyz (extended XYZ) or .cfg (MLIP).")],
    validation: Annotated[
        Path | None, typer.Option(help="File for the labels that were kept from training; of the same kinds.")
    ] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the labels that a version was trained on; those kept for validation only into a file of their own."""
    from mmtp_fw.database import history

    files = {path: _format(path)} | ({validation: _format(validation)} if validation is not None else {})
    if validation is not None and validation.resolve() == path.resolve():
        raise InputError(f"{path}: is to hold both parts", "give --validation a file of its own")
    with open_database(launchpad) as database:
        document = history.version(database, version)
        trained, held_out = _labels(database, document)
    if validation is not None and not held_out:
        raise InputError(f"no label was kept from the training of potential {version}", "leave --validation away")
    parts = {path: trained} | ({validation: held_out} if validation is not None else {})
    for file, labels in parts.items():
        _write(file, labels, files[file], document["species"] or None)
    left = len((document.get("fit") or {}).get("left_out", ()))
    said = [f"{len(trained)} labels"]
    said += [f"{len(held_out)} kept for validation" + ("" if validation is None else f" in {validation}")]
    said += [f"{left} left out by the fit"] if left else []
    _tell(path, "; ".join(said), as_json)


@app.command()
def trajectory(
    run: Annotated[str, typer.Argument(help="Number or key of the MD run, as `mmtp show campaign` gives it.")],
    path: Annotated[Path, typer.Argument(help="File to write: .xyz (extended XYZ), which ASE and OVITO read.")],
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Also what the run's potential knows of every frame and of every atom."),
    ] = False,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the sampled frames of an MD run with moments and velocities."""
    from ase.io import write

    from mmtp_fw.database import history, store

    if path.suffix not in (".xyz", ".extxyz"):
        raise InputError(f"{path}: unknown kind of file", "end it with .xyz or .extxyz")
    with open_database(launchpad) as database:
        found = history.md_run(database, run)["md_run"]
        frames = store.frames_of(database, found["_id"])
        if uncertainty:
            from mmtp_fw.firetasks.uncertainties import annotate, uncertainty_of

            known = uncertainty_of(database, found["potential"])
            for frame in frames:
                annotate(frame, known.of(frame))
    write(path, frames, format="extxyz")
    _tell(path, f"{len(frames)} frames", as_json)


@app.command()
def dataset(
    campaign: Annotated[str, typer.Argument(help="Name of the campaign.")],
    directory: Annotated[Path, typer.Argument(help="Directory to make.")],
    title: Annotated[str | None, typer.Option(help="Of the dataset.")] = None,
    author: Annotated[list[str] | None, typer.Option(help="Once for each author.")] = None,
    licence: Annotated[str | None, typer.Option("--license", help="By its SPDX name, as CC-BY-4.0.")] = None,
    cite: Annotated[str | None, typer.Option(help="How it is to be cited, with its DOI.")] = None,
    version: Annotated[
        str | None, typer.Option(help="A version of the potential: its labels, divided as it divided them.")
    ] = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a campaign's labels for others: extended XYZ in three families of keys, tables of λ and torques, a card."""
    from mmtp_fw.report.dataset import write_dataset
    from mmtp_fw.report.dataset_card import NOT_STATED, Told

    told = Told(title, tuple(author or ()), licence, cite)
    with open_database(launchpad) as database:
        card = write_dataset(database, campaign, directory, told, version)
    lacking = [name for name in ("authors", "licence", "cite") if card[name] == NOT_STATED]
    said = f"{card['system']['labels']} labels" + (f"; not stated: {', '.join(lacking)}" if lacking else "")
    _tell(directory, said, as_json)


def _format(path: Path) -> Literal["extxyz", "cfg"]:
    formats: dict[str, Literal["extxyz", "cfg"]] = {".xyz": "extxyz", ".extxyz": "extxyz", ".cfg": "cfg"}
    if path.suffix not in formats:
        raise InputError(f"{path}: unknown kind of file", f"end it with one of {', '.join(formats)}")
    return formats[path.suffix]


def _write(path: Path, labels: list[dict[str, Any]], kind: Literal["extxyz", "cfg"], species: list[str] | None) -> None:
    from mmtp_fw.dft.stages import Label
    from mmtp_fw.fitting import write_configurations

    write_configurations(path, [Label.model_validate(item).to_atoms() for item in labels], kind, species)


def _labels(database: Database, version: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the labels that a version was trained on and those that were kept for validation, by their keys."""
    document = database.training_sets.find_one({"_id": version["training_set"]})
    if document is None:
        raise InputError("this potential has no training set in the database")
    held_out = set(document["validation"])
    trained = set(document["calculations"]) - held_out - set((version.get("fit") or {}).get("left_out", ()))

    def labels(keys: set[str]) -> list[dict[str, Any]]:
        found = database.calculations.find({"_id": {"$in": sorted(keys)}, "label": {"$ne": None}}, {"label": 1})
        return [item["label"] for item in found.sort("_id", 1)]

    return labels(trained), labels(held_out)


def _tell(path: Path, what: str, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(path.resolve()), "content": what})
    else:
        print(f"{path}: {what}")
