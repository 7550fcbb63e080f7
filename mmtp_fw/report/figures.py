"""The figures of a report; each function takes gathered data and returns a figure, or None without data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from mmtp_fw.labelling import ACCEPTED, FAILED, OPEN, REJECTED
from mmtp_fw.quantities import QUANTITIES
from mmtp_fw.report.experiment import draw_average, of_average
from mmtp_fw.report.spectra_figures import phonons, species_spectra
from mmtp_fw.report.style import (
    BAD,
    GOOD,
    INK,
    LINES,
    MMTP,
    QUIET,
    REFERENCE,
    SOURCES,
    SPECIES,
    panels,
    source_name,
)  # fmt: skip
from mmtp_fw.statepoints import StatePoint

Data = Mapping[str, Any]

MOST_COLUMNS = 3
"""Phases side by side."""


def selection(data: Data) -> Figure | None:
    """Labels per iteration by verdict, and the training set as it grows."""
    rows = data["iterations"]
    if not rows:
        return None
    numbers = [row["iteration"] for row in rows]
    figure, (left, right) = panels(1, 2, (8.4, 3.1))
    bottom = np.zeros(len(rows))
    verdicts = ((ACCEPTED, GOOD), (REJECTED, BAD), (FAILED, INK), (OPEN, QUIET))
    for verdict, color in verdicts:
        heights = np.array([row[verdict] for row in rows], dtype=float)
        if heights.any():
            left.bar(numbers, heights, 0.62, bottom=bottom, color=color, label=verdict)
            bottom += heights
    for number, height in zip(numbers, bottom, strict=True):
        left.annotate(f"{height:.0f}", (number, height), (0, 2), textcoords="offset points", ha="center", fontsize=9)
    left.set(title="Configurations labelled per iteration", xlabel="Iteration", ylabel="Configurations")
    left.set_ylim(0, 1.18 * max(1.0, float(bottom.max())))
    left.legend(loc="upper right")
    total = np.cumsum([row[ACCEPTED] for row in rows])
    right.plot(numbers, total, "o-", color=MMTP)
    right.annotate(f"{total[-1]}", (numbers[-1], total[-1]), (0, 6), textcoords="offset points", ha="center")
    right.set(title="Labels in total", xlabel="Iteration", ylabel="Accepted labels")
    right.set_ylim(0, max(1, total[-1]) * 1.18)
    _whole_numbers(left, right)
    return figure


def grades(data: Data) -> Figure | None:
    """Largest extrapolation grade of every trajectory, with the thresholds."""
    runs = [run for run in data["md_runs"] if run["max_grade"] is not None and run["max_grade"] > 0]
    if not runs:
        return None
    figure, (axes,) = panels(1, 1, (4.2, 3.1))
    volumes = sorted({run["lattice_parameter_A"] for run in runs})
    spread = {a: 0.24 * (k - (len(volumes) - 1) / 2) / max(1, len(volumes) - 1) for k, a in enumerate(volumes)}
    x = [run["iteration"] + spread[run["lattice_parameter_A"]] for run in runs]
    stopped = [run["state"] != "completed" for run in runs]
    y = np.array([run["max_grade"] for run in runs])
    for flag, marker, label in ((False, "o", "ran to its end"), (True, "x", "stopped early")):
        chosen = [k for k, value in enumerate(stopped) if value == flag]
        if chosen:
            axes.plot([x[k] for k in chosen], y[chosen], marker, color=BAD if flag else MMTP, label=label, ms=5)
    thresholds = data["campaign"]["settings"]["selection"]
    for name, text in (("gamma_select", "select"), ("gamma_break", "break")):
        value = thresholds[name]
        axes.axhline(value, color=INK, lw=0.9, ls="--")
        axes.annotate(
            f"γ {text} = {value:g}",
            (1, value),
            (-2, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
        )
    axes.set(title="Largest grade of each trajectory", xlabel="Iteration", ylabel="Grade γ", yscale="log")
    axes.set_xlim(-0.5, max(run["iteration"] for run in runs) + 0.5)
    decades = np.log10(max(y.max(), thresholds["gamma_break"]) / min(y.min(), thresholds["gamma_select"]))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend(loc="best")
    _whole_numbers(axes)
    return figure


def errors(data: Data) -> Figure | None:
    """RMSE of every potential on its training and validation labels."""
    potentials = [item for item in data["potentials"] if item["errors"] and item["role"] == "version"]
    if not potentials:
        return None
    rows = -(-len(QUANTITIES) // 2)
    figure, axes = panels(rows, 2, (8.4, 2.6 * rows))
    for one, quantity in zip(axes, QUANTITIES.values(), strict=False):
        for key, label, color, line in (
            ("errors", "training", MMTP, "o-"),
            ("validation_errors", "validation", REFERENCE, "s--"),
        ):
            points = [
                (item["iteration"], value) for item in potentials if (value := quantity.shown(item[key])) is not None
            ]
            if points:
                one.plot(*zip(*points, strict=True), line, color=color, label=label, ms=4.5)
        one.set(title=quantity.heading, xlabel="Iteration", ylabel="RMSE")
        one.set_ylim(bottom=0)
        one.margins(x=0.08)
    for one in axes[len(QUANTITIES) :]:
        one.set_visible(False)
    axes[0].legend(loc="upper right")
    _whole_numbers(*axes)
    return figure


def magnetization(data: Data) -> Figure | None:
    """Magnetization against lattice parameter."""
    return _against_volume(data, "magnetization_muB_per_atom", "Magnetization", "Magnetization (μB/atom)")


def pressure(data: Data) -> Figure | None:
    """Pressure against lattice parameter."""
    return _against_volume(data, "pressure_GPa", "Pressure", "Pressure (GPa)")


def _against_volume(data: Data, quantity: str, title: str, label: str) -> Figure | None:
    items = data["properties"]
    if not items:
        return None
    phases = sorted({StatePoint.of(item).phase for item in items})
    columns = min(MOST_COLUMNS, len(phases))
    rows = -(-len(phases) // columns)
    figure, axes = panels(2 * rows, columns, (4.2 if columns == 1 else 2.8 * columns, 4.2 * rows))
    grid = axes[0].get_gridspec()
    assert grid is not None, "panels makes one"
    grid.set_height_ratios([2.6, 1] * rows)
    for one in axes:
        one.set_visible(False)
    for place, phase in enumerate(phases):
        first = 2 * columns * (place // columns) + place % columns
        upper, lower = axes[first], axes[first + columns]
        mine = [item for item in items if StatePoint.of(item).phase == phase]
        draw_average(upper, of_average(data, quantity, phase))
        volumes = [row for row in data["conclusion"]["volumes"] if StatePoint.of(row).phase == phase]
        _one_phase(data, (upper, lower), mine, volumes, quantity)
        upper.set_title(f"{title}, {phase}" if phase else title)
        if place % columns == 0:
            upper.set_ylabel(label)
            lower.set_ylabel("Difference")
    return figure


def _one_phase(
    data: Data, axes: tuple[Axes, Axes], items: Sequence[Data], volumes: Sequence[Data], quantity: str
) -> None:
    """Draw a quantity of one phase against volume, and below how far potential and reference are apart."""
    upper, lower = axes
    upper.set_visible(True)
    lower.set_visible(True)
    orders = sorted({StatePoint.of(item).order for item in items})
    for order, line in zip(orders, LINES * 4, strict=False):
        of_order = [item for item in items if StatePoint.of(item).order == order]
        _curves(data, upper, of_order, quantity, order if len(orders) > 1 else "", line)
    held_out = sorted({item["lattice_parameter_A"] for item in items if item["held_out"]})
    for one, a in product((upper, lower), held_out):
        first = "never trained on" if a == held_out[0] else None
        one.axvspan(a - 0.012, a + 0.012, color="#f3e3b8", zorder=0, lw=0, label=first)
    upper.legend(loc="best")
    lower.axhline(0, color=INK, lw=0.8)
    if not _differences(lower, volumes, quantity):
        lower.set_yticks([])
        lower.annotate("no volume has both", (0.5, 0.6), xycoords="axes fraction", ha="center", fontsize=9)
    lower.set_xlabel("Lattice parameter (Å)")
    lower.sharex(upper)


def _curves(data: Data, axes: Axes, items: Sequence[Data], quantity: str, order: str, line: str) -> None:
    """Draw a quantity of one phase and order against volume, a curve for each source."""
    for source, name, color, marker, _, _ in SOURCES:
        points = sorted({one["lattice_parameter_A"]: one for one in items if one["source"] == source}.items())
        if not points:
            continue
        x, y, statistical, total = _columns(points, quantity)
        axes.errorbar(x, y, total, fmt="none", ecolor=color, elinewidth=0.9, capsize=4)
        axes.errorbar(
            x,
            y,
            statistical,
            fmt=marker + line,
            color=color,
            label=", ".join(word for word in (source_name(data, name), order) if word),
            ms=5,
            lw=1.2,
            elinewidth=2.6,
            alpha=0.95,
        )


def _differences(axes: Axes, volumes: Sequence[Data], quantity: str) -> bool:
    """Draw mMTP minus reference and what the uncertainties allow; return whether there is anything to draw."""
    both = [(row, row["differences"][quantity]) for row in volumes if quantity in row["differences"]]
    reach = 1e-6
    for row, found in both:
        a, difference, allowed = row["lattice_parameter_A"], found["difference"], found["allowed"]
        inside = found["inside"]
        color = INK if inside is None else (GOOD if inside else BAD)
        axes.plot([a], [difference], "x" if inside is False else "o", color=color, ms=5, mew=1.6)
        if allowed is not None:
            axes.plot([a, a], [-allowed, allowed], color=QUIET, lw=7, alpha=0.35, solid_capstyle="butt", zorder=1)
        reach = max(reach, abs(difference), allowed or 0.0)
    axes.set_ylim(-1.25 * reach, 1.25 * reach)
    return bool(both)


def moments(data: Data) -> Figure | None:
    """Moments that were reached against targets, and the λ at which labels were taken."""
    labels = [label for label in data["labels"] if label["moments_muB"]]
    if not labels:
        return None
    figure, (left, middle, right) = panels(1, 3, (8.4, 3.2))
    by_species: dict[str, tuple[list[float], list[float]]] = {}
    for label in labels:
        symbols = label["symbols"] or ["all"] * len(label["moments_muB"])
        for symbol, target, reached in zip(symbols, label["target_muB"], label["moments_muB"], strict=False):
            column = by_species.setdefault(symbol, ([], []))
            column[0].append(target)
            column[1].append(reached)
    for color, (symbol, (target, reached)) in zip(SPECIES * 4, sorted(by_species.items()), strict=False):
        left.plot(target, reached, ".", ms=3, alpha=0.5, color=color, label=symbol, rasterized=True)
    ends = np.array(left.get_xlim())
    left.plot(ends, ends, color=INK, lw=0.8)
    left.set(title="Moments", xlabel="Target (μB)", ylabel="Reached (μB)")
    left.legend(markerscale=3)
    limits = data["campaign"]["settings"]["dft"]["protocol"]
    _deviations(middle, labels, limits)
    _strengths(right, labels)
    return figure


def _strengths(axes: Axes, labels: Sequence[Data]) -> None:
    """Draw how many labels were taken at each λ, in at most eight ranges."""
    verdicts: dict[str, list[float]] = {ACCEPTED: [], REJECTED: []}
    for label in labels:
        if label["lambda_eV_per_muB2"]:
            verdict = ACCEPTED if label["status"] == ACCEPTED else REJECTED
            verdicts[verdict].append(label["lambda_eV_per_muB2"])
    values = verdicts[ACCEPTED] + verdicts[REJECTED]
    if values:
        edges = np.geomspace(min(values) * 0.9, max(values) * 1.1, min(8, len(set(values))) + 1).tolist()
        shown = {name: found for name, found in verdicts.items() if found}
        colors = [GOOD if name == ACCEPTED else BAD for name in shown]
        axes.hist(list(shown.values()), edges, stacked=True, color=colors, label=list(shown), rwidth=0.9)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
        axes.legend(loc="upper left", ncols=2, columnspacing=1.0, handlelength=1.2)
    axes.set(title="λ of each label", xlabel="λ (eV/μB²)", ylabel="Labels")
    axes.grid(axis="x", visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))


def _deviations(axes: Axes, labels: Sequence[Data], limits: Data) -> None:
    for verdict, color in ((True, GOOD), (False, BAD)):
        chosen = [
            label for label in labels if (label["status"] == ACCEPTED) == verdict and label["mae_muB"] is not None
        ]
        if chosen:
            axes.plot(
                [label["mae_muB"] for label in chosen],
                [label["max_deviation_muB"] for label in chosen],
                "o" if verdict else "x",
                ms=4,
                alpha=0.8,
                color=color,
                label=ACCEPTED if verdict else REJECTED,
            )
    axes.axvline(limits["mae_limit_muB"], color=INK, lw=0.9, ls="--")
    axes.axhline(limits["max_limit_muB"], color=INK, lw=0.9, ls="--")
    axes.set(title="Deviation from target", xlabel="Mean (μB)", ylabel="Largest (μB)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)


def calibration(data: Data) -> Figure | None:
    """Errors at labels that were new to a potential, against the uncertainties that it stated there."""
    rows = [row for row in data["calibration"] if row["at"] == "new labels" and row["curve"]]
    if not rows:
        return None
    lines = -(-len(rows) // 2)
    figure, axes = panels(lines, 2, (8.4, 3.0 * lines))
    for one, row in zip(axes, rows, strict=False):
        points = np.array(
            [[point[name] for name in ("uncertainty", "error", "low", "high")] for point in row["curve"]], dtype=float
        )
        u, error, low, high = row["factor"] * np.maximum(points.T, 1e-12)
        ends = np.array([min(u.min(), low.min()), max(u.max(), high.max())]) * (0.7, 1.4)
        one.plot(ends, ends, color=REFERENCE, lw=1.2, label="as stated")
        one.fill_between(ends, 0.5 * ends, 2.0 * ends, color=REFERENCE, alpha=0.12, lw=0, label="within a factor of 2")
        one.errorbar(u, error, [error - low, high - error], fmt="o", color=MMTP, ms=4.5, label="median and quartiles")
        one.set(xscale="log", yscale="log", title=f"{row['name']} ({row['unit']})", xlabel="Stated", ylabel="Error")
        one.set_xlim(*ends)
        one.set_ylim(*ends)
    for one in axes[len(rows) :]:
        one.set_visible(False)
    axes[0].legend(loc="upper left")
    return figure


FIGURES: dict[str, Callable[[Data], Figure | None]] = {
    "selection": selection,
    "grades": grades,
    "errors": errors,
    "magnetization": magnetization,
    "pressure": pressure,
    "moments": moments,
    "phonons": phonons,
    "species_spectra": species_spectra,
    "calibration": calibration,
}
"""All figures by the names that the page uses."""


def _columns(points: Sequence[tuple[float, Data]], quantity: str) -> tuple[list[float], ...]:
    """Return lattice parameters, numbers, statistical uncertainties, and those together with the model's."""
    statistical = [float(item.get(f"{quantity}_error") or 0.0) for _, item in points]
    model = [float(item["spread"].get(quantity) or 0.0) for _, item in points]
    total = [float(np.hypot(one, other)) for one, other in zip(statistical, model, strict=True)]
    return [a for a, _ in points], [item[quantity] for _, item in points], statistical, total


def _whole_numbers(*axes: Axes) -> None:
    for one in axes:
        one.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
