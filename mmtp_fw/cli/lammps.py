"""`mmtp lammps`: the pair style for LAMMPS inputs of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmtp_fw.cli.options import JsonOption
from mmtp_fw.cli.output import print_json
from mmtp_fw.errors import InputError

app = typer.Typer(help="Use a potential in LAMMPS inputs of your own.", no_args_is_help=True)


@app.command()
def build(
    headers: Annotated[
        Path | None, typer.Option(help="Folder of pair.h of another LAMMPS; with --library and --mpi.")
    ] = None,
    library: Annotated[Path | None, typer.Option(help="Its liblammps.so or lmp.")] = None,
    mpi: Annotated[Path | None, typer.Option(help="Folder of mpi.h that it was built with.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Build pair_style mmtp for this machine, unless it is there, and say how to load it."""
    from mmtp_fw.md.plugin import Lammps, plugin

    given = (headers, library, mpi)
    target = None
    if any(given):
        if headers is None or library is None or mpi is None:
            raise InputError("--headers, --library and --mpi belong together", "give all three")
        for path in (headers / "pair.h", library, mpi / "mpi.h"):
            if not path.exists():
                raise InputError(f"{path} is not there", "name the folders of your LAMMPS and its MPI")
        target = Lammps(headers, library, mpi)
    path = plugin(target)
    if as_json:
        print_json({"plugin": str(path)})
        return
    print(f"plugin load {path}\n\nor, for every LAMMPS of this shell:\n\nexport LAMMPS_PLUGIN_PATH={path.parent}")


@app.command()
def pack(
    potential: Annotated[Path, typer.Argument(help="A .mmtp file.")],
    elements: Annotated[list[str], typer.Argument(help="Element of every LAMMPS atom type, in order.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    active: Annotated[Path | None, typer.Option(help="Its active set (mmtp export active-set), for grades.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a potential as pair_coeff reads it without Python, for nodes that have none."""
    from mmtp_fw.md.plugin import packed_file

    for path in (potential, active):
        if path is not None and not path.is_file():
            raise InputError(f"{path}: no such file")
    if output.exists():
        raise InputError(f"{output} exists", "name another file")
    packed_file(potential, elements, output.parent, active).replace(output)
    if as_json:
        print_json({"path": str(output.resolve())})
    else:
        print(f"pair_coeff * * {output} {' '.join(elements)}")
