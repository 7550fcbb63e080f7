"""The page: gathered data and figures through one template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import mmtp_fw
from mmtp_fw.compared import COMPARED
from mmtp_fw.dft.registry import engine_about
from mmtp_fw.quantities import QUANTITIES
from mmtp_fw.report.captions import captions
from mmtp_fw.report.figures import FIGURES
from mmtp_fw.report.style import Drawn, data_uri, styled
from mmtp_fw.verdicts import RULES

_NUMBERS = {"integer": "{:,.0f}", "one": "{:.1f}", "two": "{:.2f}", "three": "{:.3f}", "four": "{:.4f}"}


def render(data: Mapping[str, Any], images: Mapping[str, Drawn] | None = None) -> str:
    """Return the page as HTML, figures included.

    Parameters
    ----------
    data : mapping
        From `mmtp_fw.report.gather_report`.
    images : mapping of str to Drawn, optional
        Its figures; by default what `draw` makes.
    """
    environment = Environment(
        loader=PackageLoader("mmtp_fw.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["number"] = number
    environment.filters["time"] = _time
    environment.filters["duration"] = _duration
    environment.filters["engine"] = engine_about
    template = environment.get_template("index.html.j2")
    quantities = list(QUANTITIES.values())
    return template.render(
        **data,
        figures={name: data_uri(image.svg) for name, image in (draw(data) if images is None else images).items()},
        captions=captions(data),
        quantities=quantities,
        compared=list(COMPARED.values()),
        rules=RULES,
        warned=_warned(data),
        version=mmtp_fw.__version__,
    )


def _warned(data: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return what the fits of the last version and of the ensembles' members warn of and leave out, by version."""
    final = data["summary"].get("potential")
    chosen = [row for row in data["potentials"] if row["version"] == final or row["role"] == "member"]
    told = [(row["version"], warning) for row in chosen for warning in row["fit"].get("warnings", ())]
    return told + [
        (row["version"], f"label {one['calculation'][:10]} is left out: {one['reason']}")
        for row in chosen
        if row["version"] == final
        for one in row["fit"].get("excluded", ())
    ]


def draw(data: Mapping[str, Any]) -> dict[str, Drawn]:
    """Return the figures that the data allow, by name."""
    images = {}
    for name, function in FIGURES.items():
        with styled(name):
            figure = function(data)
            if figure is not None:
                images[name] = Drawn.of(figure)
    return images


def number(value: float | None, kind: str | int = "integer", unit: str = "") -> str:
    """Return a number for a table or a tile, of a kind or with so many decimals; an en dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:.{kind}f}" if isinstance(kind, int) else _NUMBERS[kind].format(value)
    return f"{text} {unit}" if unit else text


def _time(value: Any) -> str:
    return value.strftime("%Y-%m-%d %H:%M UTC") if value is not None else "–"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    if minutes >= 10:
        return f"{minutes} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
