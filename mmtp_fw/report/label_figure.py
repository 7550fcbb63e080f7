"""Energy and moments of one label against 1/λ, hard constraints at 0, with the energy at the label's own target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmtp_fw.errors import InputError
from mmtp_fw.report.style import BAD, GOOD, INK, MMTP, QUIET, SPECIES, check_format, panels, styled, write_figure

# Stages under a constraint with their colours and markers; a check's are no part of the way to the label.
_STAGES = (("ramp", MMTP, "o"), ("refine", INK, "s"), ("radii", QUIET, "v"), ("hard", MMTP, "*"), ("check", GOOD, "x"))


def label_figure(calculation: Mapping[str, Any], title: str = "") -> Figure:
    """Draw a calculation's constrained stages against 1/λ.

    Parameters
    ----------
    calculation : mapping
        A document of the collection `calculations`.
    title : str

    Returns
    -------
    Figure
        Left the energy per atom, right the deviation of every moment from its target; at 1/λ = 0 what a hard constraint
        gave, and where there is a label the energy at its own target with its uncertainty.

    Raises
    ------
    InputError
        No stage under a constraint converged.
    """
    held = [s for s in calculation["stages"] if s.get("lambda_eV_per_muB2") or s.get("kind") == "hard"]
    stages = [s for s in held if s["name"] != "accept" and s.get("converged")]
    stages = [s for s in stages if s.get("energy_eV") is not None and s.get("achieved")]
    if not stages:
        raise InputError(
            f"calculation {calculation['_id']} has no converged stage under a constraint", "`mmtp show configuration`"
        )
    with styled("label"):
        figure, (left, right) = panels(1, 2, (9.0, 3.6))
        label = calculation.get("label") or {}
        limit = label.get("extrapolation") or {}
        zero = min(s["energy_eV"] for s in stages)
        _energies(left, stages, limit, zero, len(stages[0]["target"]))
        _deviations(right, stages, label.get("symbols"))
        for axes in (left, right):
            axes.set_xlabel("1/λ (μB²/eV)")
            axes.set_xlim(left=-0.02 * max(map(_inverse, stages)) or None)
        figure.suptitle(title, fontsize=11)
    return figure


def write_label_figure(calculation: Mapping[str, Any], path: Path, title: str = "") -> None:
    """Write `label_figure` as PNG, PDF or SVG.

    Raises
    ------
    InputError
        Another ending, or nothing to draw.
    """
    check_format(path)
    write_figure(label_figure(calculation, title), path)


def _inverse(stage: Mapping[str, Any]) -> float:
    """Return 1/λ in μB²/eV, 0 for a hard constraint."""
    strength = stage.get("lambda_eV_per_muB2")
    return 1.0 / strength if strength else 0.0


def _energies(
    axes: Axes, stages: Sequence[Mapping[str, Any]], limit: Mapping[str, Any], zero: float, atoms: int
) -> None:
    energies = [1e3 * (s["energy_eV"] - zero) / atoms for s in stages]
    way = [k for k, s in enumerate(stages) if s["name"] != "check"]
    axes.plot([_inverse(stages[k]) for k in way], [energies[k] for k in way], "-", color=QUIET, lw=1)
    for name, colour, marker in _STAGES:
        chosen = [k for k, s in enumerate(stages) if s["name"] == name]
        if chosen:
            x = [_inverse(stages[k]) for k in chosen]
            axes.plot(x, [energies[k] for k in chosen], marker, color=colour, label=name)
    if limit:
        axes.errorbar(
            0.0, 1e3 * (limit["energy_eV"] - zero) / atoms, 1e3 * limit["energy_uncertainty_eV"] / atoms,
            fmt="D", color=BAD, capsize=4, label="at the target",
        )  # fmt: skip
    axes.set_ylabel("Energy (meV/atom)")
    axes.set_title("Energy without penalty")
    axes.legend()


def _deviations(axes: Axes, stages: Sequence[Mapping[str, Any]], symbols: Sequence[str] | None) -> None:
    stages = [s for s in stages if s["name"] != "check"]  # which look at moments beside the target
    inverse = [_inverse(s) for s in stages]
    targets = np.array([s["target"] for s in stages], dtype=float)
    reached = np.array([s["achieved"][s["which_definition"]] for s in stages], dtype=float)
    names = list(symbols) if symbols else ["atom"] * targets.shape[1]
    colours = {name: SPECIES[k % len(SPECIES)] for k, name in enumerate(dict.fromkeys(names))}
    for atom, name in enumerate(names):
        first = names.index(name) == atom
        label = name if first else None
        axes.plot(inverse, (reached - targets)[:, atom], "o-", ms=3, lw=0.8, color=colours[name], label=label)
    axes.axhline(0.0, color=INK, lw=0.8)
    axes.set_ylabel("Moment − target (μB)")
    axes.set_title("Moments")
    axes.legend()
