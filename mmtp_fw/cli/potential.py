"""`mmtp potential`: fit, evaluate, grade and relax with plain files; no database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmtp_fw.cli.files import SpeciesOption, names_of, read_potential
from mmtp_fw.cli.options import JsonOption
from mmtp_fw.cli.output import console, print_json, table, tracked
from mmtp_fw.cli.potential_fit import fit

if TYPE_CHECKING:
    from mmtp_fw.potential import RelaxedMoments

app = typer.Typer(help="Fit, evaluate, grade and relax with plain files; no database.", no_args_is_help=True)

PotentialArgument = Annotated[Path, typer.Argument(help="A .mmtp file.")]
ConfigurationsArgument = Annotated[Path, typer.Argument(help="Extended XYZ, MLIP cfg, or what else ASE reads.")]


@app.command()
def evaluate(
    potential: PotentialArgument,
    configurations: ConfigurationsArgument,
    species: SpeciesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Energy and largest force, magnetic force and pressure of every configuration; --json gives all."""
    from ase.units import GPa

    from mmtp_fw.fitting import read_configurations

    pot = read_potential(potential, species)
    rows: list[dict[str, Any]] = []
    for atoms in read_configurations(configurations, names_of(species)):
        r = pot.evaluate(atoms)
        rows.append(
            {
                "energy": r.energy,
                "energies": r.energies,
                "forces": r.forces,
                "stress": r.stress,
                "magnetic_forces": r.magnetic_forces,
                "moments": r.moments,
                "warnings": r.warnings,
            }
        )
    if as_json:
        print_json(rows)
        return
    shown = [
        (
            number,
            f"{row['energy']:.6f}",
            f"{abs(row['forces']).max():.4f}",
            f"{abs(row['magnetic_forces']).max():.4f}",
            f"{-row['stress'][:3].mean() / GPa:.3f}",
            "; ".join(row["warnings"]),
        )
        for number, row in enumerate(rows, 1)
    ]
    names = [">#", ">Energy (eV)", ">Force (eV/Å)", ">Magnetic force (eV/μB)", ">Pressure (GPa)", "Warnings"]
    console().print(table(names, shown))


@app.command()
def grade(
    potential: PotentialArgument,
    training: Annotated[Path, typer.Argument(help="Configurations that the potential was trained on.")],
    configurations: ConfigurationsArgument,
    mode: Annotated[str, typer.Option(help="configuration or site.")] = "site",
    species: SpeciesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Extrapolation grade of every configuration against the active set of the training set."""
    from mmtp_fw.errors import InputError
    from mmtp_fw.fitting import read_configurations
    from mmtp_fw.selection import ActiveSet

    if mode not in ("configuration", "site"):
        raise InputError(f"--mode {mode}: no such mode", "configuration or site")
    known = read_configurations(training, names_of(species))
    active = ActiveSet.from_configurations(read_potential(potential, species), known, mode=mode)
    asked = read_configurations(configurations, names_of(species))
    grades = [active.grade(atoms) for atoms in tracked(asked, "grading")]
    if as_json:
        print_json({"grades": grades, "filled": active.filled})
    else:
        console().print(table([">#", ">Grade"], list(enumerate(grades, 1))))


@app.command()
def relax(
    potential: PotentialArgument,
    configurations: ConfigurationsArgument,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Extended XYZ with relaxed moments.")] = None,
    species: SpeciesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Moments that minimise the energy at the given positions."""
    from mmtp_fw.fitting import read_configurations

    pot = read_potential(potential, species)
    found = read_configurations(configurations, names_of(species))
    relaxed = [pot.relax_moments(atoms) for atoms in tracked(found, "relaxing moments")]
    if output is not None:
        from ase.io import write

        for atoms, result in zip(found, relaxed, strict=True):
            atoms.calc = None
            atoms.set_initial_magnetic_moments(result.moments)
        write(output, found, format="extxyz")
    if as_json:
        print_json([_relaxed_document(result) for result in relaxed])
        return
    rows = [
        (n, f"{r.energy:.6f}", f"{r.moments.mean():.4f}", f"{abs(r.moments).max():.4f}", r.verdict.value)
        for n, r in enumerate(relaxed, 1)
    ]
    console().print(table([">#", ">Energy (eV)", ">Mean (μB)", ">Largest (μB)", "Verdict"], rows))
    for n, r in enumerate(relaxed, 1):
        if not r.sound:
            typer.echo(f"warning: configuration {n}: {r.warning}", err=True)


def _relaxed_document(result: RelaxedMoments) -> dict[str, Any]:
    return {
        "energy": result.energy,
        "moments": result.moments,
        "converged": result.converged,
        "at_bounds": result.at_bounds,
        "outside": result.outside,
        "verdict": result.verdict.value,
        "warnings": [result.warning] if result.warning else [],
    }


app.command()(fit)
