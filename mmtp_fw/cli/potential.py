"""`mmtp potential`: fit, evaluate, grade and relax with plain files; no database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmtp_fw.cli.options import JsonOption
from mmtp_fw.cli.output import console, print_json, table

if TYPE_CHECKING:
    from mmtp_fw.potential import Potential

app = typer.Typer(help="Fit, evaluate, grade and relax with plain files; no database.", no_args_is_help=True)

PotentialArgument = Annotated[Path, typer.Argument(help="A .mmtp file.")]
ConfigurationsArgument = Annotated[
    Path, typer.Argument(help="Extended XYZ, MLIP cfg, or what else ASE reads.")
]
SpeciesOption = Annotated[
    str | None, typer.Option(help="Names of numbered species, as Fe,Pd; by default those of the file.")
]


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

    pot = _read(potential, species)
    rows: list[dict[str, Any]] = []
    for atoms in read_configurations(configurations, _names(species)):
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
    active = ActiveSet.from_configurations(
        _read(potential, species), read_configurations(training, _names(species)), mode=mode
    )
    grades = [active.grade(atoms) for atoms in read_configurations(configurations, _names(species))]
    if as_json:
        print_json({"grades": grades, "filled": active.filled})
    else:
        console().print(table([">#", ">Grade"], list(enumerate(grades, 1))))


@app.command()
def relax(
    potential: PotentialArgument,
    configurations: ConfigurationsArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Extended XYZ with relaxed moments.")
    ] = None,
    species: SpeciesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Moments that minimise the energy at the given positions."""
    from mmtp_fw.fitting import read_configurations

    pot = _read(potential, species)
    found = read_configurations(configurations, _names(species))
    relaxed = [pot.relax_moments(atoms) for atoms in found]
    if output is not None:
        from ase.io import write

        for atoms, result in zip(found, relaxed, strict=True):
            atoms.calc = None
            atoms.set_initial_magnetic_moments(result.moments)
        write(output, found, format="extxyz")
    if as_json:
        print_json([{"energy": r.energy, "moments": r.moments, "converged": r.converged} for r in relaxed])
        return
    rows = [
        (n, f"{r.energy:.6f}", f"{r.moments.mean():.4f}", f"{abs(r.moments).max():.4f}", bool(r.converged))
        for n, r in enumerate(relaxed, 1)
    ]
    console().print(table([">#", ">Energy (eV)", ">Mean (μB)", ">Largest (μB)", "Converged"], rows))


@app.command()
def fit(
    training: Annotated[Path, typer.Argument(help="Labelled configurations.")],
    output: Annotated[Path, typer.Argument(help="The .mmtp file to write.")],
    start: Annotated[
        Path | None, typer.Option(help="Potential to start from; else --level and --species.")
    ] = None,
    level: Annotated[int, typer.Option(help="Level of a new potential, even.")] = 8,
    species: SpeciesOption = None,
    validation: Annotated[Path | None, typer.Option(help="Labelled configurations not to train on.")] = None,
    max_iterations: Annotated[int, typer.Option(min=1, help="Most steps of the optimiser.")] = 500,
    r_min: Annotated[float, typer.Option(help="Å")] = 1.9,
    r_cut: Annotated[float, typer.Option(help="Å")] = 5.0,
    radial_size: Annotated[int, typer.Option(min=1)] = 8,
    magnetic_size: Annotated[int, typer.Option(min=1)] = 3,
    max_moment: Annotated[float, typer.Option(help="μB")] = 4.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a potential to labelled configurations."""
    from mmtp_fw.fitting import FitSettings, read_configurations
    from mmtp_fw.fitting import fit as run_fit
    from mmtp_fw.potential import Potential

    labels = read_configurations(training, _names(species))
    if start is not None:
        pot = _read(start, species)
    else:
        names = _names(species) or sorted({s for atoms in labels for s in atoms.symbols})
        pot = Potential.from_level(
            level,
            names,
            r_min=r_min,
            r_cut=r_cut,
            radial_size=radial_size,
            max_moment=max_moment,
            magnetic_size=magnetic_size,
            seed=seed,
        )
    settings = FitSettings(max_iterations=max_iterations)
    result = run_fit(
        pot, labels, None, read_configurations(validation, _names(species)) if validation else None, settings
    )
    result.potential.write(output)
    facts = {
        "loss": result.loss,
        "converged": result.converged,
        "iterations": result.iterations,
        "wall_seconds": result.wall_seconds,
        "message": result.message,
        "errors": result.errors,
        "validation_errors": result.validation_errors,
        "path": str(output.resolve()),
    }
    if as_json:
        print_json(facts)
        return
    from mmtp_fw.cli.histories import errors_table

    console().print(errors_table(facts))
    print(f"{output}: loss {result.loss:.6g} after {result.iterations} steps, {result.message}")


def _read(path: Path, species: str | None) -> Potential:
    from mmtp_fw.potential import Potential

    return Potential.read(path, species=_names(species))


def _names(species: str | None) -> list[str] | None:
    return [name.strip() for name in species.split(",")] if species else None
