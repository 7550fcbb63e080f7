"""What the report says of the worth of a campaign's uncertainties."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pytest
from report_sample import sample

from mmtp_fw.loop.calibrated import calibrated
from mmtp_fw.report.figures import FIGURES
from mmtp_fw.report.page import render
from mmtp_fw.report.write import write_report


def version(**pairs) -> dict:
    told = {key: {"errors": errors, "uncertainties": stated} for key, (errors, stated) in pairs.items()}
    return {"fit": {"surprise": {"of": 1, "labels": [], "pairs": told}}}


def difference(size, statistical=3.0, model=4.0) -> dict:
    return {"difference": size, "statistical": statistical, "model": model}


def test_the_labels_of_all_rounds_are_taken_together():
    rows = calibrated(
        [
            {"fit": {}},
            {"fit": {"surprise": None}},
            version(forces_eV_per_A=([0.1, 0.3], [0.1, 0.1])),
            version(forces_eV_per_A=([0.2], [0.1]), energy_per_atom_eV=([0.5], [np.inf])),
        ],
        [],
    )
    assert [(row["name"], row["at"], row["count"], row["undetermined"]) for row in rows] == [
        ("Energy", "new labels", 0, 1), ("Forces", "new labels", 3, 0),
    ]  # fmt: skip
    assert rows[1]["median"] == pytest.approx(2.0) and rows[1]["calibrated"] is None and rows[0]["median"] is None
    assert (rows[1]["unit"], rows[1]["factor"]) == ("meV/Å", 1000.0)


def test_averages_stand_beside_their_uncertainties_where_both_are_known():
    volumes = [
        {"differences": {"pressure_GPa": difference(-5.0 * 0.6745)}},
        {"differences": {"pressure_GPa": difference(10.0 * 0.6745)}},
        {"differences": {"pressure_GPa": difference(99.0, model=None)}},
        {"differences": {"pressure_GPa": difference(99.0, statistical=None)}},
        {"differences": {}},
    ]
    (row,) = calibrated([], volumes)
    assert (row["name"], row["at"], row["count"]) == ("Pressure", "volumes", 2)
    assert row["median"] == pytest.approx(1.5), "half of normal errors exceed 0.6745 standard deviations"
    assert calibrated([], []) == []


def test_the_figure_has_a_panel_for_each_quantity_with_labels():
    data = sample()
    axes = FIGURES["calibration"](data).axes
    titles = [one.get_title() for one in axes if one.get_visible()]
    assert titles == ["Energy (meV/atom)", "Forces (meV/Å)", "Stress (GPa)", "Magnetic forces (meV/μB)"]
    row = data["calibration"][0]
    (drawn,) = (line for line in axes[0].lines if line.get_marker() == "o")
    np.testing.assert_allclose(drawn.get_xdata(), [1000.0 * point["uncertainty"] for point in row["curve"]])
    np.testing.assert_allclose(drawn.get_ydata(), [1000.0 * point["error"] for point in row["curve"]])
    assert (
        FIGURES["calibration"]({"calibration": [row for row in data["calibration"] if row["at"] == "volumes"]}) is None
    )


def test_page_and_summary_tell_it(tmp_path):
    data = sample()
    data["summary"]["calibration"] = data["calibration"]
    text = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", render(data))))
    assert "What its uncertainties are worth" in text and "too few to tell" in text and "new labels 18 0" in text
    write_report(data, tmp_path)
    kept = json.loads((tmp_path / "summary.json").read_text())["calibration"]
    assert [row["name"] for row in kept][:2] == ["Energy", "Forces"]
    data["calibration"] = []
    assert "What its uncertainties are worth" not in render(data)
