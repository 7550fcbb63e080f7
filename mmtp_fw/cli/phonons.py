"""`mmtp phonons`: spectra and thermodynamics from finite displacements with relaxed moments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmtp_fw.cli.crystals import crystals_of
from mmtp_fw.cli.files import SpeciesOption
from mmtp_fw.cli.given import by_species, numbers, three_counts
from mmtp_fw.cli.models import model_of
from mmtp_fw.cli.options import JsonOption, LaunchpadOption
from mmtp_fw.cli.output import console, print_json, table, tracked

if TYPE_CHECKING:
    from ase import Atoms

    from mmtp_fw.phonons import Arrangement
    from mmtp_fw.phonons.study import Study

TEMPERATURES = ",".join(str(kelvin) for kelvin in range(0, 1001, 50))


def phonons(
    potential: Annotated[Path, typer.Argument(help="A .mmtp file, or a version in the database.")],
    structure: Annotated[Path | None, typer.Argument(help="One crystal, with or without moments.")] = None,
    lattice: Annotated[str, typer.Option(help="Instead of a file: fcc, bcc, hcp, B2, L1_2 …")] = "",
    parameter: Annotated[float, typer.Option(help="Lattice parameter of --lattice, Å.")] = 0.0,
    composition: Annotated[str, typer.Option(help="Of --lattice, as Fe=0.68,Pd=0.32; sites filled by seed.")] = "",
    repeat: Annotated[str, typer.Option(help="Cells along each axis that make the crystal's cell.")] = "1,1,1",
    supercell: Annotated[str, typer.Option(help="Of those cells, in which atoms are displaced.")] = "1,1,1",
    order: Annotated[str, typer.Option(help="ferromagnetic, antiferromagnetic or disordered (signs by seed).")] = "",
    moments: Annotated[str, typer.Option(help="Typical moments of --order in μB, as Fe=2.6,Pd=0.3.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Arrangements that are averaged.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the first arrangement.")] = 1,
    step: Annotated[float, typer.Option(help="Length of the displacements, Å.")] = 0.01,
    relax: Annotated[bool, typer.Option("--relax/--as-is", help="Bring the positions to rest first.")] = True,
    mesh: Annotated[float, typer.Option(help="Wave vectors as dense as in a crystal of this length, Å.")] = 40.0,
    resolution: Annotated[float, typer.Option(help="Instrument's full width at half maximum, meV.")] = 1.0,
    temperatures: Annotated[str, typer.Option(help="K, as 100,300,500.")] = TEMPERATURES,
    experiment: Annotated[
        list[Path] | None, typer.Option(help="CSV of a measured spectrum (docs/experiment.md); may be repeated.")
    ] = None,
    extrapolate: Annotated[bool, typer.Option(help="Go on outside the trained range, and tell it.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="New directory: CSV, JSON, SVG, PNG.")] = None,
    species: SpeciesOption = None,
    launchpad: LaunchpadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Phonon spectra, total and by species, with free energy, entropy and heat capacity; moments relaxed throughout."""
    from mmtp_fw.errors import InputError
    from mmtp_fw.phonons import PhononSettings
    from mmtp_fw.phonons.study import study

    if output is not None and output.exists():
        raise InputError(f"{output} exists", "name another directory, or remove it")
    if not mesh > 0:
        raise InputError(f"--mesh {mesh:g}: not a length", "a length above 0 Å, as in --mesh 40")
    kelvins = numbers("--temperatures", temperatures)
    chosen = PhononSettings(three_counts("--supercell", supercell), step, relax, mesh, extrapolate)
    cells = crystals_of(structure, lattice, parameter, composition, repeat, range(seed, seed + seeds), species)
    asked = _arrangements(cells, order, by_species("--moments", moments, "Fe=2.6,Pd=0.3"), bool(lattice))
    model, origin = model_of(potential, species, launchpad)
    measured = _measured(experiment or [], model.species)
    found = study(model, tracked(asked, "displacing"), chosen, resolution, kelvins)
    document = found.document() | {"potential": origin}
    if measured:
        from mmtp_fw.report.phonon_files import with_experiment

        document = with_experiment(document, measured)
    if output is not None:
        from mmtp_fw.report.phonon_files import write_phonons

        write_phonons(document, output)
    if as_json:
        print_json(document)
        return
    _show(found)
    for one in document.get("experiment", ()):
        about = one["measured"]
        told = f"overlap {one['overlap']:.4f}, ⟨ν⟩ {one['mean_difference_THz']:+.3f} THz from it"
        console().print(f"Experiment ({about['species']}, {about['source']}): {told}.")


def _measured(paths: list[Path], species: Sequence[str]) -> list[dict[str, Any]]:
    """Read measured spectra; refuse what is none, or none of the potential's species, before anything is computed."""
    from mmtp_fw.campaign.experiment import read_experiment
    from mmtp_fw.errors import InputError
    from mmtp_fw.spectra import TOTAL

    found = [read_experiment(path) for path in paths]
    for one in found:
        if one["quantity"] != "spectrum":
            raise InputError(f"{one['file']}: a {one['quantity']} is no spectrum", "`# quantity: spectrum`")
        if one.get("species", TOTAL) not in (TOTAL, *species):
            raise InputError(f"{one['file']}: the potential has no species {one['species']}")
    return found


def _arrangements(cells: dict[int, Atoms], order: str, typical: dict[str, float], alloy: bool) -> list[Arrangement]:
    """Return what is computed: every seed's cell with the moments to start from."""
    from mmtp_fw.errors import InputError
    from mmtp_fw.phonons import Arrangement, drawn
    from mmtp_fw.potential import has_moments, moments_of

    if typical and not order:
        raise InputError("--moments are the sizes of an --order", "as in --order ferromagnetic")
    if len(cells) > 1 and not alloy and not order:
        raise InputError("--seeds: nothing is drawn here", "--lattice draws species, --order disordered draws signs")
    made = []
    for seed, atoms in cells.items():
        start = moments_of(atoms) if has_moments(atoms) else None
        if order:
            start = drawn(atoms, order, typical, seed)
        made.append(Arrangement(f"seed {seed}" if len(cells) > 1 else "crystal", atoms, start))
    return made


def _show(found: Study) -> None:
    from mmtp_fw.phonons.study import ADIABATIC

    screen, mean = console(), found.averaged
    rows: list[tuple[Any, ...]] = [
        (name, len(one.atoms), one.displacements, one.modes.verdict, f"{one.asymmetry_eV_per_A2:.1g}",
         f"{one.largest_change_muB:.2g}")
        for name, one in found.found.items()
    ]  # fmt: skip
    rows += [(name, "", "", f"refused: {reason}", "", "") for name, reason in found.refused.items()]
    columns = ["Arrangement", ">Atoms", ">Displacements", "Verdict", ">Asymmetry (eV/Å²)", ">Largest Δm (μB)"]
    screen.print(table(columns, rows))
    if mean.moments is not None:
        screen.print(table(["Spectrum", ">Mean (THz)", ">Rms (THz)", ">Mean (meV)", ">Rms (meV)"], _moments(found)))
    if mean.thermodynamics is not None:
        screen.print(table([">T (K)", ">F (meV/atom)", ">S (k/atom)", ">C (k/atom)"], _heat(found)))
    for line in (f"Verdict: {mean.verdict}.", *(f"Warning: {warning}." for warning in found.warnings), ADIABATIC):
        screen.print(line)


def _moments(found: Study) -> list[tuple[str, ...]]:
    means, errors = found.averaged.moments or {}, found.averaged.moments_error or {}
    names = ("mean_THz", "rms_THz", "mean_meV", "rms_meV")
    return [
        (kind, *(_with_error(row[name], errors[kind][name] if errors else None) for name in names))
        for kind, row in means.items()
    ]


def _heat(found: Study) -> list[tuple[str, ...]]:
    means, errors = found.averaged.thermodynamics, found.averaged.thermodynamics_error
    assert means is not None
    columns: list[Any] = []
    for name, factor in (("free_energy_eV", 1e3), ("entropy_kB", 1.0), ("heat_capacity_kB", 1.0)):
        values = factor * getattr(means, name)
        spread = [None] * len(values) if errors is None else (factor * getattr(errors, name)).tolist()
        columns.append([_with_error(value, error) for value, error in zip(values, spread, strict=True)])
    return [(f"{kelvin:g}", *row) for kelvin, *row in zip(means.temperature_K, *columns, strict=True)]


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"
