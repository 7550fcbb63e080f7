"""`mmtp potential`: fit, evaluate, grade, relax, uncertainty with plain files; no database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmtp_fw.cli.files import MomentsOption, SpeciesOption, names_of, read_asked, read_labels, read_potential
from mmtp_fw.cli.options import JsonOption
from mmtp_fw.cli.output import console, print_json, table, tracked
from mmtp_fw.cli.potential_fit import fit
from mmtp_fw.cli.potential_validate import validate

if TYPE_CHECKING:
    from mmtp_fw.potential import Evaluation, RelaxedMoments
    from mmtp_fw.selection import PredictionUncertainty

app = typer.Typer(help="Fit, evaluate, grade and relax with plain files; no database.", no_args_is_help=True)

PotentialArgument = Annotated[Path, typer.Argument(help="A .mmtp file.")]
ConfigurationsArgument = Annotated[Path, typer.Argument(help="Extended XYZ, MLIP cfg, or what else ASE reads.")]

HeldOutOption = Annotated[
    Path | None, typer.Option("--held-out", help="Labels that it was not trained on, to calibrate.")
]


@app.command()
def evaluate(
    potential: PotentialArgument,
    configurations: ConfigurationsArgument,
    uncertainty: Annotated[
        Path | None, typer.Option("--uncertainty", help="Labels that it was trained on: says how sure it is.")
    ] = None,
    held_out: HeldOutOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Extended XYZ with all of it, atom by atom.")
    ] = None,
    species: SpeciesOption = None,
    moments: MomentsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Energy and largest force, magnetic force and pressure of every configuration; --json gives all."""
    from mmtp_fw.cli.uncertainties import known_to, write_evaluated
    from mmtp_fw.errors import InputError

    if held_out is not None and uncertainty is None:
        raise InputError("--held-out calibrates uncertainties", "give the training labels: --uncertainty FILE")
    pot = read_potential(potential, species)
    asked = read_asked(configurations, species, moments, pot)
    found = [pot.evaluate(atoms) for atoms in asked]
    known = known_to(pot, uncertainty, held_out, species) if uncertainty is not None else None
    told = [known.of(atoms) for atoms in tracked(asked, "asking")] if known is not None else None
    if output is not None:
        write_evaluated(output, asked, found, told)
    if as_json:
        print_json(_evaluated_documents(found, told))
    else:
        _show_evaluated(found, told, known.undetermined() if known is not None else [])


def _show_evaluated(found: list[Evaluation], told: list[PredictionUncertainty] | None, undetermined: list[str]) -> None:
    from mmtp_fw.cli.uncertainties import COLUMNS, columns_of

    shown = [_evaluated_row(number, one) for number, one in enumerate(found, 1)]
    names = [">#", ">Energy (eV)", ">Force (eV/Å)", ">Magnetic force (eV/μB)", ">Pressure (GPa)", "Warnings"]
    if told is not None:
        names[-1:-1] = COLUMNS
        shown = [(*row[:-1], *columns_of(one), row[-1]) for row, one in zip(shown, told, strict=True)]
    console().print(table(names, shown))
    for words in undetermined:
        console().print(f"Not determined by these labels: {words}.")


def _evaluated_documents(found: list[Evaluation], told: list[PredictionUncertainty] | None) -> list[dict[str, Any]]:
    rows = [_evaluated_document(one) for one in found]
    return rows if told is None else [row | {"uncertainty": vars(u)} for row, u in zip(rows, told, strict=True)]


def _evaluated_document(one: Evaluation) -> dict[str, Any]:
    return {
        "energy": one.energy,
        "energies": one.energies,
        "forces": one.forces,
        "stress": one.stress,
        "magnetic_forces": one.magnetic_forces,
        "moments": one.moments,
        "warnings": one.warnings,
    }


def _evaluated_row(number: int, one: Evaluation) -> tuple[Any, ...]:
    from ase.units import GPa

    return (
        number, f"{one.energy:.6f}", f"{abs(one.forces).max():.4f}", f"{abs(one.magnetic_forces).max():.4f}",
        f"{-one.stress[:3].mean() / GPa:.3f}", "; ".join(one.warnings),
    )  # fmt: skip


@app.command()
def grade(
    potential: PotentialArgument,
    training: Annotated[Path, typer.Argument(help="Configurations that the potential was trained on.")],
    configurations: ConfigurationsArgument,
    mode: Annotated[str, typer.Option(help="configuration or site.")] = "site",
    species: SpeciesOption = None,
    moments: MomentsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Extrapolation grade of every configuration against the active set of the training set."""
    from mmtp_fw.errors import InputError
    from mmtp_fw.selection import ActiveSet

    modes: dict[str, Literal["configuration", "site"]] = {"configuration": "configuration", "site": "site"}
    if mode not in modes:
        raise InputError(f"--mode {mode}: no such mode", "configuration or site")
    pot = read_potential(potential, species)
    active = ActiveSet.from_configurations(pot, read_labels(training, species, None, pot.magnetic), mode=modes[mode])
    asked = read_asked(configurations, species, moments, pot)
    grades = [active.grade(atoms) for atoms in tracked(asked, "grading")]
    if as_json:
        print_json({"grades": grades, "filled": active.filled})
    else:
        console().print(table([">#", ">Grade"], list(enumerate(grades, 1))))


@app.command()
def uncertainty(
    potential: PotentialArgument,
    training: Annotated[Path, typer.Argument(help="Labels that the potential was trained on.")],
    configurations: ConfigurationsArgument,
    held_out: HeldOutOption = None,
    relaxed: Annotated[
        bool, typer.Option("--relaxed", help="Relax moments first, from those given; count what that adds.")
    ] = False,
    species: SpeciesOption = None,
    moments: MomentsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Uncertainties of energy, forces, stress and moments, and what the labels leave undetermined."""
    import numpy as np

    from mmtp_fw.cli.uncertainties import known_to
    from mmtp_fw.fitting import read_configurations
    from mmtp_fw.potential import moments_of

    pot = read_potential(potential, species)
    known = known_to(pot, training, held_out, species)
    asked = (
        read_configurations(configurations, names_of(species))
        if relaxed
        else read_asked(configurations, species, moments, pot)
    )
    found = []
    for atoms in tracked(asked, "asking"):
        start = moments_of(atoms)
        at = pot.relax_moments(atoms, start if np.any(start) else None).moments if relaxed else start
        found.append(known.of(atoms, at, relaxed))
    if as_json:
        print_json({"undetermined": known.undetermined(), "configurations": [vars(one) for one in found]})
        return
    console().print(table(UNCERTAINTY_COLUMNS, [_uncertainty_row(n, one) for n, one in enumerate(found, 1)]))
    for words in known.undetermined():
        console().print(f"Not determined by these labels: {words}.")


UNCERTAINTY_COLUMNS = [
    ">#", "Verdict", ">Energy (meV/atom)", ">Forces (eV/Å)", ">Pressure (GPa)", ">Moments (μB)", ">Extrapolation",
]  # fmt: skip


def _uncertainty_row(number: int, one: PredictionUncertainty) -> tuple[Any, ...]:
    from mmtp_fw.cli.uncertainties import columns_of, shown

    return (number, *columns_of(one), shown(one.moments, "{:.4f}"), f"{one.extrapolation:.2f}")


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
app.command()(validate)
