"""`mmtp magnetization` as its user has it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from ase.build import bulk

from mmtp_fw.cli import main

POTENTIAL = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"


def mmtp(capsys, *arguments) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code), captured.out, captured.err


@pytest.fixture
def structure(tmp_path):
    atoms = bulk("Fe", "fcc", 3.75, cubic=True)
    atoms.symbols[0] = "Pd"
    atoms.write(tmp_path / "a.xyz", format="extxyz")
    return tmp_path / "a.xyz"


def test_moments_at_two_temperatures(structure, tmp_path, capsys):
    asked = ("magnetization", POTENTIAL, structure, "--temperatures", "200,1500", "--sweeps", 200, "--largest",
             "Fe=3.2,Pd=0.6", "-o", tmp_path / "m.csv")  # fmt: skip
    code, text, _ = mmtp(capsys, *asked, "--json")
    assert code == 0
    cold, hot = json.loads(text)["averages"]
    assert cold["ensemble"] == "thermal" and cold["measure"] == "flat"
    assert cold["magnetization_muB"] > hot["magnetization_muB"] + 2 * hot["magnetization_error_muB"]
    with (tmp_path / "m.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["temperature_K"] for row in rows] == ["200.0", "1500.0"]
    code, _, told = mmtp(capsys, *asked)
    assert code == 2 and "m.csv exists" in told


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
def test_bad_options_are_told_in_a_line(structure, capsys, option, value, words):
    given = {"--largest": "Fe=3.2,Pd=0.6"} | {option: value}
    code, _, told = mmtp(capsys, "magnetization", POTENTIAL, structure, *(x for pair in given.items() for x in pair))
    assert code == 2 and words in told and told.count("\n") == 1
