"""`mmtp potential validate`: a potential against labels, without a fit and without a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmtp_fw.cli.files import DerivativesOption, MomentsOption, SpeciesOption, read_labels, read_potential
from mmtp_fw.cli.options import JsonOption
from mmtp_fw.cli.output import console, print_json, table


def validate(
    potential: Annotated[Path, typer.Argument(help="A .mmtp file.")],
    labels: Annotated[Path, typer.Argument(help="Labelled configurations: extended XYZ, MLIP cfg.")],
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Parity plots: a file ending in .svg, .png or .pdf.")
    ] = None,
    species: SpeciesOption = None,
    moments: MomentsOption = None,
    magnetic_derivatives: DerivativesOption = "detect",
    as_json: JsonOption = False,
) -> None:
    """Errors of energy, forces, stress and magnetic forces on labels, by species and volume; nothing is fitted."""
    from mmtp_fw.fitting import errors_by_species, errors_by_volume
    from mmtp_fw.fitting.samples import make_samples
    from mmtp_fw.fitting.statistics import compare
    from mmtp_fw.potential import Systems

    if figure is not None:
        from mmtp_fw.report.style import check_format

        check_format(figure)
    pot = read_potential(potential, species)
    found = read_labels(labels, species, moments, pot.magnetic, magnetic_derivatives)
    systems = Systems(pot)
    compared = compare(pot, make_samples(pot, found, systems=systems))
    by_volume = errors_by_volume(pot, found, systems=systems)
    facts: dict[str, Any] = {
        "configurations": len(found),
        "errors": {key: one.errors() for key, one in compared.items()},
        "errors_by_species": errors_by_species(pot, found, systems),
        "errors_by_volume": [{"A3_per_atom": list(edges), "errors": errors} for edges, errors in by_volume.items()],
    }
    if figure is not None:
        from mmtp_fw.report.parity import write_parity

        write_parity(compared, figure)
    if as_json:
        print_json(facts)
    else:
        _show(facts, figure)


def _show(facts: dict[str, Any], figure: Path | None) -> None:
    measures = ("mae", "rmse", "max", "r2", "count")
    rows = [
        (key, *(f"{errors[name]:.6g}" for name in measures))
        for key, errors in facts["errors"].items()
    ]  # fmt: skip
    screen = console()
    screen.print(table(["Quantity", ">MAE", ">RMSE", ">Max", ">R²", ">Numbers"], rows))
    parts = dict(facts["errors_by_species"])
    for part in facts["errors_by_volume"]:
        low, high = part["A3_per_atom"]
        parts[f"{low:.2f} to {high:.2f} Å³/atom"] = part["errors"]
    keys = list(facts["errors"])
    rows = [(name, *(errors.get(key, {}).get("rmse") for key in keys)) for name, errors in parts.items()]
    screen.print(table(["", *(f">{key}" for key in keys)], rows, title="RMSE by species and volume"))
    if figure is not None:
        print(figure)
