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
    with (tmp_path / "m.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["temperature_K"] for row in rows] == ["200.0", "1500.0"]
    assert "m.csv exists" in call(*asked, code=2)


def test_two_sizes_averaged_over_arrangements(tmp_path, call):
    alloy = ("--lattice", "fcc", "--parameter", 3.75, "--composition", "Fe=0.75,Pd=0.25", "--arrangements", 2)
    asked = ("magnetization", POTENTIAL, *alloy, "--sizes", "1,2", "--temperatures", "200,1500", "--sweeps", 100,
             "--largest", "Fe=3.2,Pd=0.6", "-o", tmp_path / "out")  # fmt: skip
    told = json.loads(call(*asked, "--json"))
    rows = told["averages"]
    assert [(row["atoms"], row["temperature_K"]) for row in rows] == [(4, 200), (4, 1500), (32, 200), (32, 1500)]
    assert all(row["arrangements"] == 2 and row["magnetization_error_muB"] > 0 for row in rows)
    assert rows[2]["binder"] == pytest.approx(2 / 3, abs=0.01), "ordered when cold"
    assert told["curie"]["verdict"] and told["curie"]["crossings"][0]["atoms"] == [4, 32]
    assert told["seeds"] == [1, 2] and len(told["potential_hash"]) == 32
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"magnetization.{kind}" for kind in ("csv", "json", "svg", "png")} | {"caption.txt"}
    caption = (tmp_path / "out" / "caption.txt").read_text(encoding="utf-8")
    for words in ("thermal", "flat", "4, 32 atoms", "100 sweeps after 50", "2 arrangements", "Ising"):
        assert words in caption
    assert json.loads((tmp_path / "out" / "magnetization.json").read_text(encoding="utf-8")) == told
    assert "out exists" in call(*asked, code=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sizes", "2,2"), "each once"),
        (("--sizes", "2,3", "--repeat", "2,2,2"), "both given"),
        (("--arrangements", 2), "nothing is drawn here"),
        (("--lattice", "fcc"), "one of the two"),
        (("--temperatures", "300,300"), "each once"),
    ],
)
def test_options_that_contradict_each_other(structure, call, options, words):
    told = call("magnetization", POTENTIAL, structure, "--largest", "Fe=3.2,Pd=0.6", *options, code=2)
    assert words in told and told.count("\n") == 1


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
