"""Measurements that a campaign names: what is read, what is refused, and that nothing computed depends on them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmtp_fw.campaign import Campaign, load_campaign, stored_campaign
from mmtp_fw.campaign.changes import computes_nothing
from mmtp_fw.campaign.experiment import read_experiment
from mmtp_fw.errors import InputError

MAGNETIZATION = """# measured long ago
# quantity: magnetization
# unit: μB/atom
# x_unit: nm
# source: A. Nobody, J. None 1, 2 (1999)
# temperature_K: 300
a,M,error
0.36,1.2,0.02
0.375,1.85,2e-2
"""
SPECTRUM = """# Quantity: spectrum
# species: Fe
# unit: arbitrary
# x_unit: cm⁻¹
# lattice_parameter_A: 3.78
# source: B. Someone
0, 0
100, 3
200, 0
"""


@pytest.fixture
def file(tmp_path):
    def write(text, name="m.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_numbers_in_the_units_of_the_figures(file):
    found = read_experiment(file(MAGNETIZATION))
    assert found["x"] == [3.6, 3.75] and found["y"] == [1.2, 1.85] and found["error"] == [0.02, 0.02]
    assert found["temperature_K"] == 300.0 and found["source"] == "A. Nobody, J. None 1, 2 (1999)"
    spectrum = read_experiment(file(SPECTRUM))
    np.testing.assert_allclose(spectrum["x"], [0.0, 2.99792458, 5.99584916])
    assert np.trapezoid(spectrum["y"], spectrum["x"]) == pytest.approx(1.0) and spectrum["error"] is None


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("GPa", 1.0), ("kbar", 0.1), ("Pa", 1e-9), ("bar", 1e-4), ("MPa", 1e-3), ("eV/Å³", 160.2176634)],
)
def test_units_of_pressure(file, unit, factor):
    text = f"# quantity: pressure\n# unit: {unit}\n# x_unit: Å\n# source: x\n3.6,2\n3.7,-1\n"
    np.testing.assert_allclose(read_experiment(file(text))["y"], [2 * factor, -factor], rtol=1e-8)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("μB/atom", "emu/g", "unit 'emu/g' of magnetization is not known.*needs a density or volume"),
        ("x_unit: nm", "x_unit: furlong", "x_unit 'furlong'"),
        ("# source: A. Nobody, J. None 1, 2 (1999)\n", "", "`# source: …` is missing"),
        ("# x_unit: nm\n", "", "`# x_unit: …` is missing"),
        ("magnetization", "entropy", "quantity 'entropy' is unknown"),
        ("temperature_K: 300", "temperature: 300", "'temperature' is no key"),
        ("temperature_K: 300", "temperature_K: warm", "temperature_K 'warm' is no number"),
        ("temperature_K: 300", "species: Fe", "species belongs to a spectrum"),
        ("temperature_K: 300", "unit: μB/atom", "unit is given twice"),
        ("0.36,1.2,0.02", "0,36;1,2", "line 8: not x, y and perhaps an error"),
        ("0.36,1.2,0.02", "0.36,nan,0.02", "line 8: not x, y"),
        ("0.36,1.2,0.02", "0.36,1.2,-0.02", "line 8: an error below 0"),
        ("0.36,1.2,0.02", "0.36,1.2", "line 9: not x, y"),
        ("0.36,1.2", "0.38,1.2", "x does not rise"),
        ("0.36,1.2", "-0.36,1.2", "a lattice parameter is not above 0"),
        ("0.36,1.2,0.02\n0.375,1.85,2e-2\n", "", "has no numbers"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_name(file, old, new, words):
    assert old in MAGNETIZATION
    with pytest.raises(InputError, match=words) as told:
        read_experiment(file(MAGNETIZATION.replace(old, new)))
    assert "m.csv" in str(told.value) and "\n" not in told.value.message


def test_spectra_that_are_none(file, tmp_path):
    with pytest.raises(InputError, match="no area above 0"):
        read_experiment(file(SPECTRUM.replace("100, 3", "100, 0")))
    with pytest.raises(InputError, match="one point"):
        read_experiment(file(SPECTRUM.replace("\n100, 3\n200, 0", "")))
    with pytest.raises(InputError, match="no such file"):
        read_experiment(tmp_path / "nowhere.csv")


def campaign(tmp_path, *names: str, more: str = "") -> Campaign:
    path = tmp_path / "c.yaml"
    path.write_text(f"name: c\n{more}properties:\n  experiment: {json.dumps(names)}\n", encoding="utf-8")
    return load_campaign(path)


def test_a_campaign_keeps_the_numbers(file, tmp_path):
    file(MAGNETIZATION)
    file(SPECTRUM, "fe.csv")
    loaded = campaign(tmp_path, "m.csv", "fe.csv")
    for name in ("m.csv", "fe.csv"):
        (tmp_path / name).unlink()
    again = stored_campaign(json.loads(json.dumps(loaded.document())))
    assert again == loaded
    first, second = again.properties.experiment
    assert first.file == "m.csv" and first.name == "experiment, 300 K" and second.curve().mean_THz > 0
    with pytest.raises(InputError, match=r"c\.yaml: properties\.experiment\.0.*no such file"):
        campaign(tmp_path, "m.csv")


def test_measurements_of_what_is_not_computed_are_refused(file, tmp_path):
    file(SPECTRUM.replace("Fe", "Ni"), "ni.csv")
    with pytest.raises(InputError, match="Ni is no species of the campaign"):
        campaign(tmp_path, "ni.csv")
    file(SPECTRUM.replace("# lattice_parameter_A: 3.78\n", ""), "where.csv")
    with pytest.raises(InputError, match="needs a line `# lattice_parameter_A"):
        campaign(tmp_path, "where.csv")
    file(MAGNETIZATION.replace("temperature_K: 300", "phase: bcc"), "phase.csv")
    with pytest.raises(InputError, match="no named phases"):
        campaign(tmp_path, "phase.csv")
    phases = "system: {phases: [{name: fcc, structure: fcc, compositions: [{Fe: 0.75, Pd: 0.25}], " \
        "lattice_parameters_A: [3.7]}]}\n"  # fmt: skip
    file(MAGNETIZATION)
    with pytest.raises(InputError, match="needs a line `# phase: …` with one of fcc"):
        campaign(tmp_path, "m.csv", more=phases)


def test_nothing_that_is_computed_depends_on_it():
    assert computes_nothing("properties.experiment") and computes_nothing("notify.command")
    assert not computes_nothing("properties.steps") and not computes_nothing("system.species")
