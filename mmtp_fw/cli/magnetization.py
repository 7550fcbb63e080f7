"""`mmtp magnetization`: moments at temperature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmtp_fw.cli.crystals import crystals_of
from mmtp_fw.cli.files import SpeciesOption, names_of
from mmtp_fw.cli.given import by_species, numbers
from mmtp_fw.cli.models import model_of
from mmtp_fw.cli.options import JsonOption, LaunchpadOption
from mmtp_fw.cli.output import console, print_json, table, tracked

if TYPE_CHECKING:
    from mmtp_fw.thermal import MagnetizationStudy

UNITS = ("_muB2_per_eV", "_muB", "_kB", "_eV_per_atom")
"""Endings of columns; ``_error`` stands before them."""


def magnetization(
    potential: Annotated[Path, typer.Argument(help="A .mmtp file, or a version in the database.")],
    structure: Annotated[
        Path | None, typer.Argument(help="One structure; moments it has are where the sampling starts.")
    ] = None,
    temperatures: Annotated[str, typer.Option(help="K, as 100,300,500.")] = "300",
    lattice: Annotated[str, typer.Option(help="Instead of a file: fcc, bcc, hcp, B2, L1_2 …")] = "",
    parameter: Annotated[float, typer.Option(help="Lattice parameter of --lattice, Å.")] = 0.0,
    composition: Annotated[str, typer.Option(help="Of --lattice, as Fe=0.68,Pd=0.32; sites filled by seed.")] = "",
    repeat: Annotated[str, typer.Option(help="Cells along each axis, as 3,3,3.")] = "1,1,1",
    sizes: Annotated[
        str, typer.Option(help="Instead of --repeat: cells along every axis, as 2,3,4; T_C from their cumulants.")
    ] = "",
    arrangements: Annotated[int, typer.Option(min=1, help="Of the species of --lattice; averaged.")] = 1,
    sweeps: Annotated[int, typer.Option(help="That are averaged; half as many before them are not.")] = 2000,
    measure: Annotated[Literal["flat", "m2"], typer.Option(help="Volume element of a moment.")] = "flat",
    induced: Annotated[
        str, typer.Option(help="Species whose moments follow the others, as Pd: ensemble `mixed`.")
    ] = "",
    largest: Annotated[str, typer.Option(help="Largest |m| by species, as Fe=3.5; default: what was trained.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the first chain and arrangement.")] = 1,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="CSV file, or new directory: CSV, JSON, SVG, PNG, caption.")
    ] = None,
    species: SpeciesOption = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Magnetization, moments, susceptibility, heat capacity and T_C by Monte Carlo of the moments."""
    from mmtp_fw.errors import InputError
    from mmtp_fw.thermal import ChainSettings, Measure, magnetization_study

    if output is not None and output.exists():
        raise InputError(f"{output} exists", "name another one, or remove it")
    if arrangements > 1 and not lattice:
        raise InputError("--arrangements: nothing is drawn here", "--lattice with --composition draws species")
    limits = by_species("--largest", largest, "Fe=3.5,Pd=0.6")
    kelvins = numbers("--temperatures", temperatures)
    seeds = range(seed, seed + arrangements)
    made = [
        crystals_of(structure, lattice, parameter, composition, one, seeds, species) for one in _repeats(sizes, repeat)
    ]
    cells = {number: [of_size[number] for of_size in made] for number in seeds}
    settings = ChainSettings(kelvins[0], Measure(measure), names_of(induced) or (), limits, seed)
    model, origin = model_of(potential, species, launchpad)
    found = magnetization_study(model, cells, kelvins, settings, sweeps, lambda work: tracked(work, "sampling"))
    document = found.document() | {"potential": origin}
    if output is not None:
        from mmtp_fw.report.magnetization_files import write_magnetization

        write_magnetization(document, output)
    if as_json:
        print_json(document)
        return
    _show(found, document)


def _repeats(sizes: str, repeat: str) -> list[str]:
    """Return --repeat, or one for each of --sizes."""
    from mmtp_fw.errors import InputError

    if not sizes:
        return [repeat]
    if repeat != "1,1,1":
        raise InputError("--repeat and --sizes are both given", "one of the two")
    found = numbers("--sizes", sizes)
    if any(one < 1 or one != int(one) for one in found) or len(set(found)) < len(found):
        raise InputError(f"--sizes {sizes}: not whole numbers from 1 on, each once", "as in --sizes 2,3,4")
    return [",".join([f"{int(one)}"] * 3) for one in sorted(found)]


def _show(found: MagnetizationStudy, document: dict[str, Any]) -> None:
    kinds = list(found.rows[0].arrangements[0].moments)
    names = [">Atoms", ">T (K)", ">|M| (μB/atom)"] + [f">|m| {name} (μB)" for name in kinds]
    names += [">χ (μB²/eV)", ">C (k)", ">U", "Warnings"]
    columns = ["magnetization_muB", *(f"moment_{name}_muB" for name in kinds), "susceptibility_muB2_per_eV"]
    columns += ["heat_capacity_kB", "binder"]
    rows = [
        (row["atoms"], f"{row['temperature_K']:g}", *(_with_error(row, name) for name in columns), row["warnings"])
        for row in document["averages"]
    ]
    screen, first = console(), found.rows[0].arrangements[0]
    screen.print(table(names, rows))
    many = len(found.seeds)
    screen.print(
        f"Ensemble {first.ensemble.value} ({first.ensemble.about}), measure {first.measure.value}; {first.sweeps} "
        f"sweeps after {first.discarded}; {many} arrangement{'s' if many > 1 else ''} of the species."
    )
    if found.curie is not None:
        screen.print(f"{found.curie.verdict}.")
    screen.print(document["note"])


def _with_error(row: dict[str, Any], name: str) -> str:
    unit = next((unit for unit in UNITS if name.endswith(unit)), "")
    return f"{row[name]:.4g} ± {row[f'{name.removesuffix(unit)}_error{unit}']:.2g}"
