"""`mmtp magnetization` as its user has it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from ase.build import bulk

POTENTIAL = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"


@pytest.fixture
def structure(tmp_path):
    atoms = bulk("Fe", "fcc", 3.75, cubic=True)
    atoms.symbols[0] = "Pd"
    atoms.write(tmp_path / "a.xyz", format="extxyz")
    return tmp_path / "a.xyz"


def test_moments_at_two_temperatures(structure, tmp_path, call):
    asked = ("magnetization", POTENTIAL, structure, "--temperatures", "200,1500", "--sweeps", 200, "--largest",
             "Fe=3.2,Pd=0.6", "-o", tmp_path / "m.csv")  # fmt: skip
    cold, hot = json.loads(call(*asked, "--json"))["averages"]
    assert cold["ensemble"] == "thermal" and cold["measure"] == "flat"
    assert cold["magnetization_muB"] > hot["magnetization_muB"] + 2 * hot["magnetization_error_muB"]
    assert hot["binder"] < cold["binder"] < 2 / 3 and cold["binder_error"] > 0
    with (tmp_path / "m.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["temperature_K"] for row in rows] == ["200.0", "1500.0"]
    assert "m.csv exists" in call(*asked, code=2)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--temperatures", "warm", "not numbers"),
        ("--repeat", "2,2", "not three whole numbers"),
        ("--largest", "Fe", "not SPECIES=NUMBER"),
        ("--largest", "Fe=9", "a largest moment of 9"),
        ("--induced", "Ni", "has no such atom"),
    ],
)
def test_bad_options_are_told_in_a_line(structure, call, option, value, words):
    given = {"--largest": "Fe=3.2,Pd=0.6"} | {option: value}
    told = call("magnetization", POTENTIAL, structure, *(x for pair in given.items() for x in pair), code=2)
    assert words in told and told.count("\n") == 1
