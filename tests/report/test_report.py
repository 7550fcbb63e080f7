"""The page, its figures and the summary, from invented data."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from report_sample import sample

from mmtp_fw.errors import InputError
from mmtp_fw.report.figures import FIGURES
from mmtp_fw.report.gather import describe_origin
from mmtp_fw.report.page import draw, render
from mmtp_fw.report.write import write_report
from mmtp_fw.verdicts import RULES

SUMMARY = {
    "magnetization_mae_muB_per_atom",
    "pressure_mae_GPa",
    "labels_accepted",
    "labels_rejected",
    "scf_runs",
    "iterations",
    "md_steps",
    "wall_seconds",
}


class Page(HTMLParser):
    """Collects what a page refers to, and checks that its tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.open, self.scripts = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page():
    return render(sample())


def test_page_needs_nothing_beside_it(page):
    parsed = Page(page)
    assert parsed.open == [] and parsed.scripts == 0
    assert len(parsed.sources) == len(FIGURES) - 2  # the sample has no spectra
    assert all(source.startswith("data:image/svg+xml;base64,") for source in parsed.sources)
    assert "http" not in re.sub(r'src="data:[^"]*"', "", page)


def test_page_says_what_matters(page):
    for text in ("fe-pd-sample", "Converged", "0.0061", "0.212", "held out", "46", "tried again"):
        assert text in page
    assert "&lt;script&gt;" in page, "what others wrote is escaped"
    assert "model that plays the electrons" in page


def test_page_gives_the_verdict_on_each_volume_and_its_rule(page):
    text = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))
    assert "Converged, not validated because 3.6 Å extrapolated: grade 2.13" in text
    assert "held out extrapolated" in text and text.count("trained on inside both") == 4
    for rule in RULES.values():
        assert rule in text
    good = sample()
    good["conclusion"] |= {"verdict": "converged and validated", "reasons": []}
    text = re.sub(r"<[^>]+>", "", render(good))
    assert "Converged and validated" in text and "because" not in text


def test_page_tells_which_labels_the_last_fit_left_out():
    data = sample()
    data["summary"]["potential"] = data["potentials"][-1]["version"]
    for potential in data["potentials"]:
        reason = f"a ghost in {potential['version']}"
        potential["fit"]["excluded"] = [{"calculation": "0123456789abcdef/s", "reason": reason}]
    page = render(data)
    assert f"label 0123456789 is left out: a ghost in {data['potentials'][-1]['version']}" in page
    assert page.count("is left out") == 1, "of the last version"


def test_page_tells_what_the_last_fits_warned_of():
    data = sample()
    for potential in data["potentials"]:
        potential["fit"]["warnings"] = [f"hole number {potential['version']}"]
    data["summary"]["potential"] = data["potentials"][-1]["version"]
    data["potentials"].append(
        {**data["potentials"][-1], "version": 99, "role": "member", "fit": {"warnings": ["<far>"]}}
    )
    page = render(data)
    assert page.count("hole number") == 1 and "Potential 99: &lt;far&gt;" in page


def test_same_data_same_files(tmp_path):
    write_report(sample(), tmp_path)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_report(sample(), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures", "index.html", "summary.json", "tables"]


def test_figures_and_tables_lie_beside_the_page(tmp_path):
    data = sample()
    data["properties"][0]["phonon_dos"] = {
        "frequency_THz": [0.0, 1.5],
        "total": [0.1, 0.3],
        "species": {"Fe": [0.1, 0.2]},
    }
    page = write_report(data, tmp_path).read_text()
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert figures == {f"{name}.{kind}" for name in draw(data) for kind in ("svg", "png", "txt")} and len(figures) > 8
    assert page.count("data:image/svg+xml") == len(figures) / 3
    assert (tmp_path / "figures" / "pressure.png").read_bytes().startswith(b"\x89PNG")
    labels = pd.read_csv(tmp_path / "tables" / "labels.csv")
    assert len(labels) == len(data["labels"]) and labels.status.tolist() == [row["status"] for row in data["labels"]]
    volumes = pd.read_csv(tmp_path / "tables" / "volumes.csv")
    differences = [row["differences"]["pressure_GPa"]["difference"] for row in data["conclusion"]["volumes"]]
    np.testing.assert_allclose(volumes["differences.pressure_GPa.difference"], differences)
    spectra = pd.read_csv(tmp_path / "tables" / "phonon_dos.csv")
    assert spectra.curve.tolist() == ["total", "total", "Fe", "Fe"] and spectra.dos_per_THz.tolist() == [
        0.1,
        0.3,
        0.1,
        0.2,
    ]
    assert set(spectra.lattice_parameter_A) == {data["properties"][0]["lattice_parameter_A"]}
    assert spectra.error_per_THz.isna().all(), "nobody knows them here"


def test_another_campaigns_report_stays(tmp_path):
    mine = sample()
    mine["summary"]["campaign"] = mine["campaign"]["name"]
    first = write_report(mine, tmp_path / "report")
    before = first.read_bytes()
    other = sample()
    other["campaign"]["name"] = other["summary"]["campaign"] = "other"
    assert write_report(other, tmp_path / "report") == tmp_path / "report-other" / "index.html"
    assert first.read_bytes() == before
    assert write_report(mine, tmp_path / "report") == first, "its own is replaced"


def test_summary_has_its_keys(tmp_path):
    data = sample()
    data["summary"]["pressure_mae_GPa"] = float("nan")
    write_report(data, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert set(summary) >= SUMMARY
    assert summary["pressure_mae_GPa"] is None


def bare():
    data = sample(rounds=1)
    data["campaign"] |= {"finished": None, "stop": None, "explanation": None}
    for name in ("iterations", "potentials", "labels", "md_runs", "properties", "failures"):
        data[name] = []
    data["summary"] = dict.fromkeys(data["summary"], None) | {"wall_seconds": 0.0}
    return data


def half_done():
    data = sample(rounds=2)
    for label in data["labels"][-3:]:
        nothing = dict.fromkeys(("configuration", "quality", "lambda_eV_per_muB2", "mae_muB", "max_deviation_muB"))
        label |= {
            "status": "open",
            "reason": None,
            "moments_muB": [],
            "target_muB": [],
            "symbols": [],
            **nothing,
        }
    data["potentials"][-1] |= {"errors": {}, "validation_errors": {}}
    data["md_runs"][-1]["max_grade"] = None
    return data


def one_source():
    data = sample()
    data["properties"] = [item for item in data["properties"] if item["source"] == "reference"]
    data["unusable"] = ["mmtp at 3.6 Å: moments_at_bound"]
    return data


def with_phonons():
    data = sample()
    for item in data["properties"]:
        item["phonon_dos"] = {"frequency_THz": [0.0, 4.0, 8.0], "total": [0.0, 0.2, 0.0]}
    return data


@pytest.mark.parametrize("make", [bare, half_done, one_source, with_phonons])
def test_unfinished_campaigns_have_a_page(make):
    data = make()
    parsed = Page(render(data))
    assert parsed.open == []
    assert len(parsed.sources) == sum(function(data) is not None for function in FIGURES.values())


def test_bad_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        write_report(sample(), tmp_path / "file" / "report")


def test_origins():
    assert describe_origin({"md_run": 7, "step": 40}) == "MD run 7, step 40"
    made = {"structure": "fcc", "lattice_parameter_A": 3.7, "magnetic_order": "random", "seed": 1}
    assert describe_origin({"generator": made}) == "fcc, 3.7 Å, random"
    assert describe_origin({}) == "generated"
