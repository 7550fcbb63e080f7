"""`mmtp magnetization`: moments at temperature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmtp_fw.cli.files import SpeciesOption, names_of, read_potential, repeated
from mmtp_fw.cli.given import by_species, numbers, three_counts
from mmtp_fw.cli.options import JsonOption
from mmtp_fw.cli.output import console, print_json, table, tracked

if TYPE_CHECKING:
    from mmtp_fw.thermal import ThermalAverages


def magnetization(
    potential: Annotated[Path, typer.Argument(help="A .mmtp file.")],
    structure: Annotated[Path, typer.Argument(help="One structure; moments it has are where the sampling starts.")],
    temperatures: Annotated[str, typer.Option(help="K, as 100,300,500.")] = "300",
    repeat: Annotated[str, typer.Option(help="Cells along each axis, as 3,3,3.")] = "1,1,1",
    sweeps: Annotated[int, typer.Option(help="That are averaged; half as many before them are not.")] = 2000,
    measure: Annotated[Literal["flat", "m2"], typer.Option(help="Volume element of a moment.")] = "flat",
    induced: Annotated[
        str, typer.Option(help="Species whose moments follow the others, as Pd: ensemble `mixed`.")
    ] = "",
    largest: Annotated[str, typer.Option(help="Largest |m| by species, as Fe=3.5; default: what was trained.")] = "",
    seed: Annotated[int, typer.Option(min=0)] = 1,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="CSV file to write.")] = None,
    species: SpeciesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Magnetization, moments, susceptibility and heat capacity against temperature, by Monte Carlo of the moments."""
    from mmtp_fw.errors import InputError
    from mmtp_fw.fitting import read_configurations
    from mmtp_fw.potential import has_moments, moments_of
    from mmtp_fw.thermal import ISING, ChainSettings, Measure, sample

    found = read_configurations(structure, names_of(species))
    if len(found) != 1:
        raise InputError(f"{structure}: holds {len(found)} configurations", "give a file with one")
    limits = by_species("--largest", largest, "Fe=3.5,Pd=0.6")
    kelvins = numbers("--temperatures", temperatures)
    pot, atoms = read_potential(potential, species), repeated(found[0], three_counts("--repeat", repeat))
    start = moments_of(atoms) if has_moments(atoms) else None
    told: list[ThermalAverages] = []
    for kelvin in tracked(kelvins, "sampling"):
        settings = ChainSettings(kelvin, Measure(measure), names_of(induced) or (), limits, seed)
        told.append(sample(pot, atoms, settings, sweeps, start=start))
    rows = [_row(one) for one in told]
    if output is not None:
        _write(output, rows)
    if as_json:
        print_json({"atoms": len(atoms), "note": ISING, "averages": rows})
        return
    _show(told, len(atoms))
    console().print(ISING)


def _row(one: ThermalAverages) -> dict[str, Any]:
    """Return the averages with their errors, and all that they depend on."""
    row: dict[str, Any] = {
        "temperature_K": one.temperature_K, "ensemble": one.ensemble.value, "measure": one.measure.value,
        "magnetization_muB": one.magnetization.mean, "magnetization_error_muB": one.magnetization.error,
    }  # fmt: skip
    for name, size in one.moments.items():
        row |= {f"moment_{name}_muB": size.mean, f"moment_{name}_error_muB": size.error}
    return row | {
        "energy_eV_per_atom": one.energy.mean, "energy_error_eV_per_atom": one.energy.error,
        "susceptibility_muB2_per_eV": one.susceptibility, "susceptibility_error_muB2_per_eV": one.susceptibility_error,
        "heat_capacity_kB": one.heat_capacity, "heat_capacity_error_kB": one.heat_capacity_error,
        "binder": one.binder, "binder_error": one.binder_error,
        "sweeps": one.sweeps, "discarded": one.discarded, "warnings": "; ".join(one.warnings),
    }  # fmt: skip


def _write(output: Path, rows: list[dict[str, Any]]) -> None:
    import csv

    from mmtp_fw.errors import InputError
    from mmtp_fw.files import replacing

    if output.exists():
        raise InputError(f"{output} exists", "name another file, or remove it")
    with replacing(output) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _show(told: list[ThermalAverages], count: int) -> None:
    names = [">T (K)", ">|M| (μB/atom)"] + [f">|m| {name} (μB)" for name in told[0].moments]
    names += [">χ (μB²/eV)", ">C (k)", "Warnings"]
    rows = [
        (
            f"{one.temperature_K:g}", _with_error(one.magnetization.mean, one.magnetization.error),
            *(_with_error(size.mean, size.error) for size in one.moments.values()),
            _with_error(one.susceptibility, one.susceptibility_error),
            _with_error(one.heat_capacity, one.heat_capacity_error), "; ".join(one.warnings),
        )
        for one in told
    ]  # fmt: skip
    console().print(table(names, rows))
    first = told[0]
    console().print(
        f"Ensemble {first.ensemble.value} ({first.ensemble.about}), measure {first.measure.value}; {count} atoms, "
        f"{first.sweeps} sweeps after {first.discarded}."
    )


def _with_error(value: float, error: float) -> str:
    return f"{value:.4g} ± {error:.2g}"
