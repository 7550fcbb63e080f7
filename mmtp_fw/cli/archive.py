"""`mmtp archive`: one campaign in one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, open_database
from mmtp_fw.cli.output import console, print_json, table

app = typer.Typer(help="One campaign in one file that needs no mmtp to be read.", no_args_is_help=True)
FileArgument = Annotated[Path, typer.Argument(help="An archive.")]


@app.command()
def create(
    campaign: Annotated[str, typer.Argument(help="Name of the campaign.")],
    path: Annotated[Path, typer.Argument(help="File to write, by custom .zip; must not exist.")],
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a campaign, whole: documents, blobs, checksums, and everything that it refers to."""
    from mmtp_fw.database import archive

    with open_database(launchpad) as database:
        made = archive.create(database, campaign, path)
    _tell("written", path, made, as_json)


@app.command()
def verify(path: FileArgument, as_json: JsonOption = False) -> None:
    """Read an archive to its end: every checksum, every document."""
    from mmtp_fw.database import archive

    _tell("whole", path, archive.verify(path), as_json)


@app.command("import")
def import_(path: FileArgument, launchpad: LaunchpadOption = None, as_json: JsonOption = False) -> None:
    """Put an archived campaign into this database, its keys kept; what is there already stays."""
    from mmtp_fw.database import archive

    with open_database(launchpad) as database:
        found = archive.load(database, path)
    if as_json:
        print_json(found)
        return
    rows = [(name, number, found["there"][name]) for name, number in found["written"].items()]
    console().print(table(["", ">Written", ">Already there"], rows))
    if found["renumbered"]:
        print(f"{found['renumbered']} configurations have another number here, as theirs were taken")


@app.command("list")
def list_(
    paths: Annotated[list[Path], typer.Argument(help="Archives.")],
    as_json: JsonOption = False,
) -> None:
    """Tell what archives hold, and of which versions they are."""
    from mmtp_fw.database import archive

    found = {str(path): archive.manifest(path) for path in paths}
    if as_json:
        print_json(found)
        return
    rows = [
        (
            path,
            item["campaign"],
            "finished" if item["finished"] else "under way",
            sum(item["documents"].values()),
            item["written"],
            item["mmtp_fw"],
            item["schema_version"],
        )
        for path, item in found.items()
    ]
    console().print(table(["File", "Campaign", "State", ">Documents", "Written", "mmtp_fw", ">Schema"], rows))


def _tell(verb: str, path: Path, manifest: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(manifest | {"path": str(path.resolve())})
        return
    documents, blobs = manifest["documents"], [name for name in manifest["sha256"] if name.startswith("blobs/")]
    print(f"{verb}: {path}: campaign {manifest['campaign']}, {sum(documents.values())} documents, {len(blobs)} blobs")
