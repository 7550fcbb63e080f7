"""What the figures draw: every point, bar and line of data that can be counted; and numbers as the page writes them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from report_sample import sample

from mmtp_fw.campaign import Campaign
from mmtp_fw.campaign.experiment import ExperimentSettings
from mmtp_fw.phonons.spectrum import FWHM, MEV_PER_THZ
from mmtp_fw.report.captions import captions
from mmtp_fw.report.experiment import comparison, spectrum_beside
from mmtp_fw.report.figures import FIGURES
from mmtp_fw.report.page import number, render
from mmtp_fw.report.style import BAD, GOOD, MMTP, REFERENCE

VERDICTS = ("accepted", "rejected", "failed", "open")


def data(**sections) -> dict:
    """Return gathered data of a campaign with nothing in it, and these."""
    sections = {"calibration": [], "spectra": [], "cells": [], "experiment": []} | sections
    empty = dict.fromkeys(("iterations", "potentials", "labels", "md_runs", "properties", "failures", "unusable"), ())
    settings = Campaign.model_validate({"name": "c"} | sections.pop("settings", {})).document()
    concluded = {"verdict": "not finished", "reasons": [], "volumes": sections.pop("volumes", [])}
    return {"campaign": {"name": "c", "settings": settings}, "conclusion": concluded, **empty, **sections}


def draw(name: str, **sections):
    figure = FIGURES[name](data(**sections))
    return None if figure is None else figure.axes


def points(axes, marker=None, color=None):
    """Return the points of the lines with that marker and colour."""
    found = []
    for line in axes.lines:
        if marker is not None and line.get_marker() != marker:
            continue
        if color is not None and to_hex(line.get_color()) != color:
            continue
        found += zip(
            np.asarray(line.get_xdata(), float).tolist(), np.asarray(line.get_ydata(), float).tolist(), strict=True
        )
    return found


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("name", list(FIGURES))
def test_nothing_is_drawn_of_nothing(name):
    assert draw(name) is None


def test_there_is_a_figure_for_each_question():
    assert set(FIGURES) >= {"selection", "grades", "errors", "magnetization", "pressure", "moments", "phonons"}


# Labels per round -------------------------------------------------------------------------------------------------


def test_bars_are_stacked_by_verdict():
    rows = [
        dict(zip(("iteration", *VERDICTS), values, strict=True))
        for values in ((0, 5, 2, 0, 0), (1, 3, 0, 0, 1), (2, 0, 0, 0, 0))
    ]
    left, right = draw("selection", iterations=rows)
    heights = {
        bars.get_label(): [(bar.get_x() + bar.get_width() / 2, bar.get_y(), bar.get_height()) for bar in bars]
        for bars in left.containers
    }
    assert list(heights) == ["accepted", "rejected", "open"], "what there is none of is left out"
    assert [h[1:] for h in heights["accepted"]] == [(0, 5), (0, 3), (0, 0)]
    assert [h[1:] for h in heights["rejected"]] == [(5, 2), (3, 0), (0, 0)]
    assert [h[1:] for h in heights["open"]] == [(7, 0), (3, 1), (0, 0)]
    assert [h[0] for h in heights["open"]] == pytest.approx([0, 1, 2])
    assert {to_hex(bar.get_facecolor()) for bar in left.containers[0]} == {GOOD}
    assert texts(left) == ["7", "4", "0"] and legend(left) == list(heights)
    assert points(right) == [(0, 5), (1, 8), (2, 8)] and texts(right) == ["8"]
    assert left.get_ylim()[0] == 0 and left.get_ylim()[1] > 7
    assert right.get_ylim() == (0, pytest.approx(8 * 1.18))
    assert all(float(t).is_integer() for t in left.get_xticks())


# Grades -----------------------------------------------------------------------------------------------------------


def run(iteration: int, a: float, grade: float | None, state: str = "completed") -> dict:
    return {"iteration": iteration, "lattice_parameter_A": a, "max_grade": grade, "state": state}


def test_each_trajectory_has_its_grade():
    runs = [run(0, 3.7, 20.0, "extrapolated"), run(0, 3.8, 1.5), run(1, 3.7, 0.5), run(1, 3.8, None), run(2, 3.8, 0.0)]
    selection = {"gamma_select": 3.0, "gamma_break": 30.0}
    (axes,) = draw("grades", md_runs=runs, settings={"selection": selection})
    assert points(axes, "x", BAD) == [(pytest.approx(-0.12), 20.0)]
    assert points(axes, "o", MMTP) == [(pytest.approx(0.12), 1.5), (pytest.approx(0.88), 0.5)]
    levels = {line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"}
    assert levels == {3.0, 30.0} and texts(axes) == ["γ select = 3", "γ break = 30"]
    assert legend(axes) == ["ran to its end", "stopped early"]
    assert axes.get_xlim() == (-0.5, 1.5) and axes.get_yscale() == "log"
    (alone,) = draw("grades", md_runs=[run(3, 3.7, 1.0)])
    assert points(alone, "o") == [(3.0, 1.0)]
    assert draw("grades", md_runs=[run(0, 3.7, None), run(1, 3.7, 0.0)]) is None
    # Many decades: no room for 2 and 5.
    wide, narrow = (
        len(draw("grades", md_runs=[run(0, 3.7, grade, "x"), run(0, 3.8, 1.0)])[0].get_yticks()) for grade in (9e3, 9.0)
    )
    assert wide > 0 and narrow > 0


# Errors -----------------------------------------------------------------------------------------------------------


def potential(iteration: int, energy: float | None, validation: float | None = None, role: str = "version") -> dict:
    quantities = ("energy_per_atom_eV", "forces_eV_per_A", "stress_GPa", "magnetic_forces_eV_per_muB")
    errors = {} if energy is None else {q: {"rmse": energy * (k + 1)} for k, q in enumerate(quantities)}
    other = {} if validation is None else {quantities[1]: {"rmse": validation}, quantities[2]: {"rmse": None}}
    return {"iteration": iteration, "role": role, "errors": errors, "validation_errors": other}


def test_errors_of_versions_in_their_units():
    found = draw(
        "errors",
        potentials=[potential(0, 0.5), potential(1, 0.25, 0.125), potential(1, 9.0, role="member"), potential(2, None)],
    )
    energy, forces, stress, magnetic = found
    assert points(energy, "o", MMTP) == [(0, 500.0), (1, 250.0)] and not points(energy, "s")
    assert points(forces, "o", MMTP) == [(0, 1000.0), (1, 500.0)] and points(forces, "s", REFERENCE) == [(1, 125.0)]
    assert points(stress, "o") == [(0, 1.5), (1, 0.75)] and not points(stress, "s")
    assert points(magnetic, "o") == [(0, 2000.0), (1, 1000.0)]
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in found]
    assert titles == ["Energy (meV/atom)", "Forces (meV/Å)", "Stress (GPa)", "Magnetic forces (meV/μB)"]
    assert legend(energy) == ["training"] and all(axes.get_ylim()[0] == 0 for axes in found)
    assert draw("errors", potentials=[potential(0, 1.0, role="member"), potential(0, None)]) is None


# Averages ---------------------------------------------------------------------------------------------------------


def item(source: str, a: float, m: float, p: float, held_out: bool = False, **more) -> dict:
    values = {"magnetization_muB_per_atom": m, "pressure_GPa": p}
    return {"source": source, "lattice_parameter_A": a, "held_out": held_out, "spread": {}, **values, **more}


def volume(a: float, quantity: str, difference: float, allowed: float | None) -> dict:
    inside = None if allowed is None else abs(difference) <= allowed
    found = {"difference": difference, "statistical": 0.1, "model": 0.1, "allowed": allowed, "inside": inside}
    return {"lattice_parameter_A": a, "differences": {quantity: found}}


@pytest.mark.parametrize(("name", "scale"), [("magnetization", 1.0), ("pressure", 10.0)])
def test_averages_against_volume_and_their_difference(name, scale):
    quantity = {"magnetization": "magnetization_muB_per_atom", "pressure": "pressure_GPa"}[name]
    items = [
        item("mmtp", 3.8, 1.5, 15.0, spread={quantity: 0.4 * scale}, **{f"{quantity}_error": 0.3 * scale}),
        item("mmtp", 3.6, 1.0, 10.0, held_out=True),
        item("reference", 3.8, 1.25, 12.5, **{f"{quantity}_error": 0.4 * scale}),
        item("reference", 3.7, 1.125, 11.25),
    ]
    volumes = [
        volume(3.6, quantity, 0.1 * scale, None), volume(3.7, quantity, -0.75 * scale, 0.5 * scale),
        volume(3.8, quantity, 0.25 * scale, 0.5 * scale), {"lattice_parameter_A": 3.9, "differences": {}},
    ]  # fmt: skip
    upper, lower = draw(name, properties=items, volumes=volumes)
    assert points(upper, "o", MMTP) == [(3.6, 1.0 * scale), (3.8, 1.5 * scale)]
    assert points(upper, "s", REFERENCE) == [(3.7, 1.125 * scale), (3.8, 1.25 * scale)]
    assert points(lower, "o") == [(3.6, 0.1 * scale), (3.8, 0.25 * scale)]
    assert points(lower, "x") == points(lower, color=BAD) == [(3.7, -0.75 * scale)], "outside"
    assert points(lower, color=GOOD) == [(3.8, 0.25 * scale)], "inside; what is not judged has neither colour"
    bands = [line for line in lower.lines if line.get_linewidth() == 7]
    assert [(line.get_xdata()[0], *line.get_ydata()) for line in bands] == [
        (3.7, -0.5 * scale, 0.5 * scale),
        (3.8, -0.5 * scale, 0.5 * scale),
    ]
    assert lower.get_ylim() == pytest.approx((-1.25 * 0.75 * scale, 1.25 * 0.75 * scale))
    bars = [[tuple(segment[:, 1]) for segment in bar[2][0].get_segments()] for bar in upper.containers]
    heights = dict(zip(("reference, both", "reference", "mMTP, both", "mMTP"), bars, strict=True))
    assert heights["mMTP"][1] == pytest.approx((1.2 * scale, 1.8 * scale))
    assert heights["mMTP, both"][1] == pytest.approx((1.0 * scale, 2.0 * scale)), "in quadrature"
    assert heights["reference, both"] == heights["reference"], "no model, no uncertainty of one"
    assert heights["mMTP"][0] == pytest.approx((scale, scale)), "no error, no bar"
    assert set(legend(upper)) == {"mMTP", "Hamiltonian", "never trained on"}
    for axes in (upper, lower):
        (span,) = axes.patches
        box = span.get_extents().transformed(axes.transData.inverted())
        assert (box.x0, box.x1) == pytest.approx((3.588, 3.612))


@pytest.mark.parametrize(("engine", "shown"), [("vasp", "VASP"), ("abinit", "ABINIT"), ("hamiltonian", "Hamiltonian")])
def test_the_reference_is_called_by_its_name(engine, shown):
    upper, lower = draw(
        "pressure",
        properties=[item("reference", 3.7, 1.0, 1.0), item("mmtp", 3.8, 1.0, 1.0)],
        settings={"dft": {"engine": engine}},
    )
    assert set(legend(upper)) == {shown, "mMTP"}
    assert texts(lower) == ["no volume has both"] and not points(lower, "o")


# Moments ----------------------------------------------------------------------------------------------------------


def label(status: str, target, reached, strength: float | None, mae=None, largest=None, symbols=("Fe", "Pd")) -> dict:
    return {
        "status": status, "target_muB": target, "moments_muB": reached, "lambda_eV_per_muB2": strength,
        "mae_muB": mae, "max_deviation_muB": largest, "symbols": list(symbols),
    }  # fmt: skip


def test_moments_deviations_and_strengths():
    labels = [
        label("accepted", [2.0, 0.5], [2.125, 0.375], 2.0, 0.0625, 0.125),
        label("accepted", [-2.0, 0.25], [-2.0, 0.25], 2.0, 0.0, 0.0),
        label("accepted", [1.0, 0.25], [1.0, 0.25], 8.0, 0.03125, 0.0625),
        label("rejected", [2.5, 0.5], [1.5, 0.5], 32.0, 0.5, 1.0),
        label("open", [], [], None),
        label("failed", [1.0, 1.0], [1.0, 1.0], None),
    ]
    limits = {"mae_limit_muB": 0.07, "max_limit_muB": 0.2}
    left, middle, right = draw("moments", labels=labels, settings={"dft": {"protocol": limits}})
    by_species = {line.get_label(): points_of(line) for line in left.lines if not line.get_label().startswith("_")}
    assert by_species["Fe"] == [(2.0, 2.125), (-2.0, -2.0), (1.0, 1.0), (2.5, 1.5), (1.0, 1.0)]
    assert by_species["Pd"] == [(0.5, 0.375), (0.25, 0.25), (0.25, 0.25), (0.5, 0.5), (1.0, 1.0)]
    diagonal = left.lines[-1]
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert points(middle, "o", GOOD) == [(0.0625, 0.125), (0.0, 0.0), (0.03125, 0.0625)]
    assert points(middle, "x", BAD) == [(0.5, 1.0)]
    dashed = [line for line in middle.lines if line.get_linestyle() == "--"]
    assert [dashed[0].get_xdata()[0], dashed[1].get_ydata()[0]] == [0.07, 0.2]
    counts = [sum(bar.get_height() for bar in bars) for bars in right.containers]
    assert counts == [3, 1] and right.get_xscale() == "log"
    tallest = [bar for bars in right.containers[:1] for bar in bars if bar.get_height() == 2]
    assert len(tallest) == 1
    edges = [edge for bar in right.containers[0] for edge in (bar.get_x(), bar.get_x() + bar.get_width())]
    assert min(edges) < 2.0 < 8.0 < max(edges)
    assert legend(right) == ["accepted", "rejected"]


def points_of(line) -> list[tuple[float, float]]:
    return list(zip(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist(), strict=True))


def test_labels_without_symbols_or_strengths():
    left, _, right = draw("moments", labels=[label("accepted", [1.0, 2.0], [1.0, 2.5], None, 0.25, 0.5, ())])
    assert legend(left) == ["all"] and points_of(left.lines[0]) == [(1.0, 1.0), (2.0, 2.5)]
    assert not right.containers
    many = [label("accepted", [1.0], [1.0], float(s), 0.1, 0.1, ("Fe",)) for s in range(1, 40)]
    bars = draw("moments", labels=many)[2].containers[0]
    assert len(bars) == 8 and sum(bar.get_height() for bar in bars) == 39


# Phonons ----------------------------------------------------------------------------------------------------------


def triangle(peak: float, error: float | None = None) -> dict:
    """Return a spectrum of area 1 between 0 and 8 THz, with two species that have 3/4 and 1/4 of it."""
    found = {"frequency_THz": [0.0, peak, 8.0], "total": [0.0, 0.25, 0.0], "width_THz": 1.0}
    found |= {"species": {"Fe": [0.0, 0.1875, 0.0], "Pd": [0.0, 0.0625, 0.0]}}
    if error is not None:
        found |= {"total_error": [0.0, error, 0.0], "species_error": {"Fe": [0, error, 0], "Pd": [0, error, 0]}}
    return found


def test_spectra_by_volume():
    items = [
        item("mmtp", 3.7, 1, 1, phonon_dos=triangle(4.0)),
        item("reference", 3.7, 1, 1, phonon_dos=triangle(5.0)),
        item("mmtp", 3.6, 1, 1, held_out=True, phonon_dos=triangle(3.0)),
        item("mmtp", 3.8, 1, 1, phonon_dos=triangle(4.5)),
        item("mmtp", 3.9, 1, 1, phonon_dos=triangle(4.5)),
        item("reference", 4.0, 1, 1, phonon_dos=None),
    ]
    axes = draw("phonons", properties=items)
    titles = [one.get_title(loc="left") or one.get_title() for one in axes if one.get_visible()]
    assert titles == ["a = 3.6 Å (never trained on)", "a = 3.7 Å", "a = 3.8 Å", "a = 3.9 Å"]
    assert [one.get_visible() for one in axes] == [True] * 4 + [False] * 2
    assert points(axes[0], color=MMTP) == [(0, 0), (3, 0.25), (8, 0)]
    assert points(axes[1], color=MMTP) == [(0, 0), (4, 0.25), (8, 0)]
    assert points(axes[1], color=REFERENCE) == [(0, 0), (5, 0.25), (8, 0)]
    assert {line.get_linestyle() for line in axes[1].lines} == {"-", "--"}, "they are told apart in grey"
    assert legend(axes[0]) == ["mMTP"] and axes[0].get_xlim()[0] == axes[0].get_ylim()[0] == 0
    assert len(draw("phonons", properties=items[:2])) == 1


def test_partial_spectra_have_a_panel_each():
    items = [item("mmtp", 3.7, 1, 1, phonon_dos=triangle(4.0, 0.01)), item("mmtp", 3.8, 1, 1, phonon_dos=triangle(5.0))]
    axes = draw("species_spectra", properties=items)
    titles = [one.get_title(loc="left") or one.get_title() for one in axes]
    assert titles == [f"{name}, a = {a} Å" for a in (3.7, 3.8) for name in ("Fe", "Pd")]
    for one in axes[:2]:
        assert points(one, color=MMTP) == [(0, 0), (4, 0.25), (8, 0)], "of area 1, whatever its part"
    assert [len(one.collections) for one in axes] == [1, 1, 0, 0], "a band where the error is known"
    single = triangle(4.0) | {"species": {"Fe": [0.0, 0.25, 0.0]}}
    assert draw("species_spectra", properties=[item("mmtp", 3.7, 1, 1, phonon_dos=single)]) is None, "that is the total"


def measured(**given) -> ExperimentSettings:
    some = {"file": "e.csv", "x": [3.6, 3.75], "y": [1.2, 1.5], "unit": "muB/atom", "x_unit": "A", "source": "A. B."}
    return ExperimentSettings.model_validate(some | {"quantity": "magnetization"} | given)


def spectrum_of_iron(**given) -> ExperimentSettings:
    shape = {"quantity": "spectrum", "species": "Fe", "x": [0.0, 4.0, 8.0], "y": [0.0, 0.25, 0.0], "unit": "1/THz"}
    return measured(**shape | {"x_unit": "THz", "lattice_parameter_A": 3.71, "source": "C. D."} | given)


def test_measurements_are_drawn_where_they_belong():
    items = [item("mmtp", a, a, 2 * a, phonon_dos=triangle(4.0)) for a in (3.7, 3.8)]
    given = {"properties": items, "experiment": [measured(temperature_K=300.0), spectrum_of_iron()]}
    upper, lower = draw("magnetization", **given)
    assert points(upper, marker="D") == [(3.6, 1.2), (3.75, 1.5)] and not points(lower, marker="D")
    assert "experiment, 300 K" in legend(upper)
    assert not points(draw("pressure", **given)[0], marker="D"), "pressure was not measured"
    of_iron, of_palladium, other_volume, _ = draw("species_spectra", **given)
    assert points(of_iron, marker="D") == [(0, 0), (4, 0.25), (8, 0)]
    assert not points(of_palladium, marker="D") and not points(other_volume, marker="D")
    assert not any(points(one, marker="D") for one in draw("phonons", **given)), "iron's is not the total"


def test_captions_say_what_numbers_depend_on_and_cite():
    items = [item("mmtp", a, a, 2 * a, phonon_dos=triangle(4.0)) for a in (3.7, 3.8)]
    far = spectrum_of_iron(lattice_parameter_A=3.9, file="far.csv")
    plain = captions(data(properties=items, cells=[{"atoms": 32}]))
    told = captions(
        data(
            properties=items, cells=[{"atoms": 32}], experiment=[measured(), spectrum_of_iron(resolution_meV=1.0), far]
        )
    )
    assert set(plain) == set(FIGURES)
    for name in ("magnetization", "pressure", "phonons", "species_spectra"):
        for words in ("300 K", "cells of 32 atoms", "one trajectory of 2000 steps of 2 fs", "seed 0", "adiabatic"):
            assert words in plain[name], (name, words)
        assert "xperiment" not in plain[name], "nothing is invented"
    assert "Experiment: A. B." in told["magnetization"] and "C. D." not in told["magnetization"]
    assert "xperiment" not in told["pressure"]
    assert "C. D; instrument 1 meV" in told["species_spectra"] and "A. B." not in told["species_spectra"]
    assert "far.csv: no spectrum was computed within 0.02 Å of 3.9 Å" in told["species_spectra"]
    static = captions(data(properties=items, settings={"properties": {"mode": "static"}}))
    assert "at rest" in static["magnetization"] and "300 K" not in static["magnetization"]


def test_how_far_computed_and_measured_are_apart():
    items = [item("mmtp", a, a, 2 * a, phonon_dos=triangle(4.0, 0.01)) for a in (3.7, 3.8)]
    rows = list(comparison(data(properties=items, experiment=[measured(error=[0.1, 0.2]), spectrum_of_iron()])))
    below, between, shape = rows
    assert below["computed"] is None and below["difference"] is None, "nothing is computed at 3.6 Å"
    assert between["computed"] == pytest.approx(3.75) and between["difference"] == pytest.approx(2.25)
    assert between["measured_error"] == 0.2 and between["cited"] == "A. B."
    assert shape["distance"] == pytest.approx(0.0, abs=1e-12) and shape["overlap"] == pytest.approx(1.0)
    assert shape["lattice_parameter_A"] == 3.7 and shape["distance_error"] is None, "the measured error is not known"


def test_the_finer_spectrum_is_seen_at_the_coarser_ones_resolution():
    narrow, wide = 0.3, 0.9
    grid = np.linspace(0.0, 12.0, 481)

    def bell(sigma):
        return np.exp(-0.5 * ((grid - 6.0) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))

    spectrum = {"frequency_THz": grid, "total": bell(narrow), "width_THz": 2 * np.sqrt(np.pi) * narrow}
    sharp = {"x": grid.tolist(), "species": "total", "x_unit": "THz"}
    coarse = spectrum_of_iron(**sharp, y=bell(wide).tolist(), resolution_meV=wide * FWHM * MEV_PER_THZ)
    seen = spectrum_beside(spectrum, coarse, narrow)
    assert seen["overlap"] == pytest.approx(1.0, abs=1e-4) and seen["distance"] < 5e-3
    unknown = spectrum_beside(spectrum, spectrum_of_iron(**sharp, y=bell(wide).tolist()), narrow)
    assert unknown["distance"] > 0.5, "without the instrument's resolution they are compared as they are"


# The page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind", "unit", "text"),
    [
        (None, "two", "GPa", "–"),
        (0.0, "integer", "", "0"),
        (1234567, "integer", "", "1,234,567"),
        (0.05, "one", "", "0.1"),
        (2.005, "two", "eV", "2.00 eV"),
        (-0.0126, "three", "", "-0.013"),
        (0.00046, "four", "", "0.0005"),
    ],
)
def test_numbers_in_tables(value, kind, unit, text):
    assert number(value, kind, unit) == text
    if kind == "integer":
        assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (61, "1 min 01 s"), (599, "9 min 59 s"),
        (600, "10 min"), (659, "10 min"), (3599, "59 min"), (3600, "1 h 00 min"), (7384, "2 h 03 min"),
        (90000, "25 h 00 min"),
    ],
)  # fmt: skip
def test_durations_on_the_page(seconds, text):
    made = sample(rounds=1)
    for name in ("iterations", "potentials", "labels", "md_runs", "properties", "failures"):
        made[name] = []
    made["summary"]["wall_seconds"] = seconds
    assert f"<b>{text}</b>" in render(made)


def test_times_and_rows_on_the_page():
    made = sample(rounds=1)
    for name in ("iterations", "md_runs", "properties"):
        made[name] = []
    made["labels"] = made["labels"][:1]
    page = render(made)
    assert "2026-05-04 09:32 UTC" in page, "when the potential was made"
    assert page.count('class="chip') == 1


def test_axes_are_named_with_their_units():
    made = sample()
    for item_ in made["properties"]:
        item_["phonon_dos"] = triangle(4.0)
    found = {
        name: [
            (one.get_title(loc="left") or one.get_title(), one.get_xlabel(), one.get_ylabel())
            for one in function(made).axes
            if one.get_visible()
        ]
        for name, function in FIGURES.items()
    }
    assert found["selection"] == [
        ("Configurations labelled per iteration", "Iteration", "Configurations"),
        ("Labels in total", "Iteration", "Accepted labels"),
    ]
    assert found["grades"] == [("Largest grade of each trajectory", "Iteration", "Grade γ")]
    assert {axes[1:] for axes in found["errors"]} == {("Iteration", "RMSE")}
    assert found["magnetization"] == [
        ("Magnetization", "", "Magnetization (μB/atom)"),
        ("", "Lattice parameter (Å)", "Difference"),
    ]
    assert {axes[1:] for axes in found["species_spectra"]} == {("Frequency (THz)", "DOS (1/THz)")}
    assert found["pressure"] == [("Pressure", "", "Pressure (GPa)"), ("", "Lattice parameter (Å)", "Difference")]
    assert [axes[1:] for axes in found["moments"]] == [
        ("Target (μB)", "Reached (μB)"), ("Mean (μB)", "Largest (μB)"), ("λ (eV/μB²)", "Labels"),
    ]  # fmt: skip
    assert [axes[0] for axes in found["moments"]] == ["Moments", "Deviation from target", "λ of each label"]
    assert {axes[1:] for axes in found["phonons"]} == {("Frequency (THz)", "DOS (1/THz)")}
