"""The figures of the case studies."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mmtp_fw.files import write_whole
from mmtp_fw.potential import Potential
from mmtp_fw.quantities import QUANTITIES
from mmtp_fw.report.style import INK, MMTP, QUIET, REFERENCE, SPECIES, panels, styled

sys.path.insert(0, str(Path(__file__).parent))
from study import STUDIES, TRAINED_A, compared, load, potential_path
from tables import PAGES


def parity(case: str) -> Figure:
    """Return errors against labels of the potential that was trained on all, by set."""
    experiment = STUDIES[case]()["all"]
    potential = Potential.read(potential_path(case, "all"))
    figure, axes = panels(2, 2, (8.4, 6.2))
    sets = {"training": experiment.training, **experiment.held_out}
    for k, (title, labels) in enumerate(sets.items()):
        color = QUIET if k == 0 else SPECIES[(k - 1) % len(SPECIES)]
        found = compared(potential, labels)
        for axis, quantity in zip(axes, QUANTITIES.values(), strict=True):
            one = found[quantity.key]
            x, y = quantity.factor * one.reference, quantity.factor * (one.predicted - one.reference)
            if quantity.name == "energy":
                x = x - quantity.factor * compared(potential, experiment.training)[quantity.key].reference.min()
            axis.plot(x, y, "o", ms=3.2, color=color, label=title.removeprefix("held-out "), alpha=0.8)
    for axis, quantity in zip(axes, QUANTITIES.values(), strict=True):
        axis.axhline(0, color=INK, lw=0.8)
        lowest = ", from the lowest in training" if quantity.name == "energy" else ""
        axis.set(title=quantity.title, xlabel=f"label, {quantity.unit}{lowest}", ylabel=f"error, {quantity.unit}")
    axes[0].legend(fontsize=7.5)
    return figure


def curve(case: str) -> Figure:
    """Return magnetization and pressure against lattice parameter, by ABINIT and by the potential."""
    rows = load(case)["all"]["curves"]
    figure, (left, right) = panels(1, 2, (8.4, 3.3))
    a = np.array([row["lattice_parameter_A"] for row in rows])
    for axis, key, title in (
        (left, "magnetization_muB_per_atom", "Magnetization, μB/atom"),
        (right, "pressure_GPa", "Pressure, GPa"),
    ):
        axis.plot(a, [row["reference"][key] for row in rows], "s", color=REFERENCE, label="ABINIT", ms=6)
        axis.plot(a, [row["mmtp"][key] for row in rows], "o-", color=MMTP, label="mMTP", ms=4)
        axis.set(title=title, xlabel="lattice parameter, Å")
        _shade(axis, TRAINED_A[case], a)
    left.legend()
    return figure


def _shade(axis: Axes, trained: tuple[float, float], a: np.ndarray) -> None:
    """Shade the lattice parameters that were held out."""
    low, high = a.min() - 0.01, a.max() + 0.01
    for first, last in ((low, trained[0]), (trained[1], high)):
        axis.axvspan(first, last, color=QUIET, alpha=0.18, lw=0)
    axis.set_xlim(low, high)


def draw(case: str) -> None:
    """Write a case's figures beside its page."""
    for name, make in (("errors", parity), ("curves", curve)):
        with styled(f"{case} {name}"):
            stream = io.BytesIO()
            FigureCanvasSVG(make(case)).print_svg(stream, metadata={"Date": None, "Creator": None})
        write_whole(PAGES / f"{case}-{name}.svg", stream.getvalue())
