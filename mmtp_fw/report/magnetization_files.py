"""The files of `mmtp magnetization`: a CSV, or a directory with everything or nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmtp_fw.files import write_whole
from mmtp_fw.report.folder import new_folder
from mmtp_fw.report.style import INK, LINES, SPECIES, Drawn, panels, styled

_MARKERS = "osD^v"


def write_magnetization(document: Mapping[str, Any], path: Path) -> None:
    """Write a CSV, where the name ends so, or a directory: magnetization.csv, .json, .svg, .png and caption.txt.

    Parameters
    ----------
    document : mapping
        As `mmtp_fw.thermal.MagnetizationStudy.document`.
    path : Path
        It must not exist; it appears whole, or not at all.

    Raises
    ------
    InputError
        It exists, or can't be made.
    """
    if path.suffix == ".csv":
        write_whole(path, _table(document["averages"]))
        return
    with new_folder(path) as folder:
        (folder / "magnetization.csv").write_text(_table(document["averages"]), encoding="utf-8")
        text = json.dumps(document, indent=1, ensure_ascii=False)
        (folder / "magnetization.json").write_text(text + "\n", encoding="utf-8")
        (folder / "caption.txt").write_text(caption(document) + "\n", encoding="utf-8")
        with styled("magnetization"):
            drawn = Drawn.of(magnetization_figure(document))
        (folder / "magnetization.svg").write_bytes(drawn.svg)
        (folder / "magnetization.png").write_bytes(drawn.png)


def caption(document: Mapping[str, Any]) -> str:
    """Return what the figure depends on, in a line."""
    rows, curie = document["averages"], document["curie"]
    sizes, many = sorted({row["atoms"] for row in rows}), rows[0]["arrangements"]
    over = (
        "one arrangement of the species, errors of the chain"
        if many == 1
        else f"mean and standard error of {many} arrangements of the species"
    )
    told = "" if curie is None else f" {curie['verdict']}."
    return (
        f"Ensemble {document['ensemble']}, measure {document['measure']}, at fixed positions; cells of "
        f"{', '.join(map(str, sizes))} atoms, {rows[0]['sweeps']} sweeps after {rows[0]['discarded']}; {over}.{told} "
        f"{document['note']}"
    )


def magnetization_figure(document: Mapping[str, Any]) -> Figure:
    """Draw |M|, the susceptibility and, with several sizes, Binder's cumulant against temperature.

    Parameters
    ----------
    document : mapping
        As `mmtp_fw.thermal.MagnetizationStudy.document`.

    Returns
    -------
    Figure
        Sizes differ by line and marker as well as by colour; bars are one standard deviation.
    """
    rows = document["averages"]
    sizes = sorted({row["atoms"] for row in rows})
    several = len(sizes) > 1
    figure, axes = panels(1, 3 if several else 2, (10.2 if several else 7.2, 3.2))
    shown = [("magnetization_muB", "magnetization_error_muB")]
    shown += [("susceptibility_muB2_per_eV", "susceptibility_error_muB2_per_eV"), ("binder", "binder_error")]
    for k, atoms in enumerate(sizes):
        mine = [row for row in rows if row["atoms"] == atoms]
        look = {"color": SPECIES[k % len(SPECIES)], "ls": LINES[k % len(LINES)], "marker": _MARKERS[k % len(_MARKERS)]}
        for one, (name, error) in zip(axes, shown, strict=False):
            _curve(one, mine, name, error, f"{atoms} atoms", look)
    axes[0].set(title="Magnetization", xlabel="Temperature (K)", ylabel="|M| (μB/atom)")
    axes[1].set(title="Susceptibility", xlabel="Temperature (K)", ylabel="χ per atom (μB²/eV)")
    axes[0].set_ylim(bottom=0)
    axes[1].set_ylim(bottom=0)
    axes[0].legend()
    if several:
        axes[2].set(title="Binder's cumulant", xlabel="Temperature (K)", ylabel="U")
        axes[2].axhline(2 / 3, color=INK, lw=0.7, ls=":")
        _mark(axes, document["curie"])
    return figure


def _curve(
    axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, error: str, label: str, look: Mapping[str, Any]
) -> None:
    kelvin = np.array([row["temperature_K"] for row in rows])
    values = [row[name] for row in rows]
    axes.errorbar(kelvin, values, [row[error] for row in rows], label=label, lw=1.2, ms=4, capsize=2, **look)


def _mark(axes: Sequence[Axes], curie: Mapping[str, Any] | None) -> None:
    """Shade T_C inside its error."""
    if curie is None or curie["temperature_K"] is None:
        return
    for one in axes:
        low, high = curie["temperature_K"] - curie["error_K"], curie["temperature_K"] + curie["error_K"]
        one.axvspan(low, high, color="#f3e3b8", zorder=0, lw=0)
    words = f"T_C = {curie['temperature_K']:.4g} ± {curie['error_K']:.2g} K"
    axes[2].annotate(words, (0.03, 0.04), xycoords="axes fraction", fontsize=9)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
