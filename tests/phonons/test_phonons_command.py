"""`mmtp phonons` as its user has it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from mmtp_fw.database import store
from mmtp_fw.potential import Potential

POTENTIAL = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"
ORDER = ("--order", "ferromagnetic", "--moments", "Fe=2.6,Pd=0.3")
QUICK = ("--mesh", 8, "--resolution", 2, "--temperatures", "0,300")


@pytest.fixture
def structure(tmp_path):
    atoms = bulk("Fe", "fcc", 3.75, cubic=True)
    atoms.symbols[0] = "Pd"
    atoms.write(tmp_path / "a.xyz", format="extxyz")
    return tmp_path / "a.xyz"


def columns(path: Path) -> dict[str, np.ndarray]:
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def test_an_ordered_crystal(structure, tmp_path, call):
    asked = ("phonons", POTENTIAL, structure, "--supercell", "2,2,2", *ORDER, *QUICK, "-o", tmp_path / "out")
    told = json.loads(call(*asked, "--json"))
    assert told["verdict"] == "stable" and told["ensemble"] == "adiabatic" and told["arrangements"] == 1
    assert told["moments_error"] is None and told["spectrum"]["total_error"] is None, "one arrangement has no error"
    only = told["found"]["crystal"]
    assert only["moment_relaxations"] == {"converged": only["displacements"] + 1}
    assert told["settings"]["supercell"] == [2, 2, 2] and len(told["potential_hash"]) == 32
    assert json.loads((tmp_path / "out" / "phonons.json").read_text(encoding="utf-8")) == told
    spectral = columns(tmp_path / "out" / "spectrum.csv")
    np.testing.assert_allclose(spectral["Fe_per_THz"] + spectral["Pd_per_THz"], spectral["total_per_THz"])
    np.testing.assert_allclose(spectral["energy_meV"], 4.135667696 * spectral["frequency_THz"])
    heat = columns(tmp_path / "out" / "thermodynamics.csv")
    assert heat["heat_capacity_kB"][0] == 0 and 2.5 < heat["heat_capacity_kB"][1] < 3
    assert (tmp_path / "out" / "phonons.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert (tmp_path / "out" / "phonons.png").read_bytes().startswith(b"\x89PNG")
    assert "one arrangement, no error known" in (tmp_path / "out" / "caption.txt").read_text(encoding="utf-8")
    assert "out exists" in call(*asked, code=2)


def test_an_alloy_is_averaged_over_seeds(tmp_path, call):
    alloy = ("--lattice", "fcc", "--parameter", 3.75, "--composition", "Fe=0.75,Pd=0.25", "--repeat", "2,1,1")
    given = ("phonons", POTENTIAL, *alloy, *ORDER, "--seeds", 2, "--seed", 3, *QUICK, "-o", tmp_path / "out")
    told = call(*given)
    assert "seed 3" in told and "seed 4" in told and "±" in told
    assert "Warning: the supercell is 3.8 Å thin" in told and "a spin system at 0 K" in told
    spectral = columns(tmp_path / "out" / "spectrum.csv")
    assert spectral["total_error_per_THz"].max() > 0 and "Pd_error_per_THz" in spectral
    assert "free_energy_error_eV" in columns(tmp_path / "out" / "thermodynamics.csv")
    assert "mean of 2 arrangements" in (tmp_path / "out" / "caption.txt").read_text(encoding="utf-8")


def test_the_moments_of_a_structure_are_where_it_starts(structure, tmp_path, call):
    from ase.io import read

    atoms = read(structure)
    atoms.set_initial_magnetic_moments([0.3, 2.6, -2.6, 2.6])
    atoms.write(tmp_path / "b.xyz", format="extxyz")
    told = json.loads(call("phonons", POTENTIAL, tmp_path / "b.xyz", *QUICK, "--json"))
    assert np.sign(told["found"]["crystal"]["moments_muB"]).tolist()[1:] == [1, -1, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--lattice", "fcc"), "one of the two"),
        (("--composition", "Fe=1"), "belong to --lattice"),
        (("--supercell", "2,2"), "not three whole numbers"),
        (("--step", "0"), "a displacement of 0 Å"),
        (("--resolution", "0"), "a resolution must be above 0 meV"),
        (("--temperatures", "-5"), "not below 0 K"),
        (("--mesh", "0"), "not a length"),
        (("--moments", "Fe=2"), "are the sizes of an --order"),
        (("--order", "ferromagnetic"), "needs typical moments"),
        (("--order", "spiral", "--moments", "Fe=2,Pd=0.3"), "unknown magnetic order"),
        (("--seeds", "2"), "nothing is drawn here"),
    ],
)
def test_bad_options_of_phonons_are_told_in_a_line(structure, call, options, words):
    told = call("phonons", POTENTIAL, structure, *options, code=2)
    assert words in told and told.count("\n") == 1


def test_a_lattice_needs_a_composition(call):
    assert "needs --composition" in call("phonons", POTENTIAL, "--lattice", "fcc", "--parameter", "3.7", code=2)
    assert "one of the two" in call("phonons", POTENTIAL, code=2)


MEASURED = """# quantity: spectrum
# species: Fe
# unit: 1/meV
# x_unit: meV
# resolution_meV: 1
# source: A. Nobody, J. None 1, 2 (1999)
0,0
20,0.05
40,0
"""


def test_a_measured_spectrum_beside_the_computed_one(structure, tmp_path, call):
    (tmp_path / "fe.csv").write_text(MEASURED, encoding="utf-8")
    asked = ("phonons", POTENTIAL, structure, *ORDER, *QUICK, "--experiment")
    told = json.loads(call(*asked, tmp_path / "fe.csv", "-o", tmp_path / "out", "--json"))
    (found,) = told["experiment"]
    assert found["measured"]["species"] == "Fe" and 0.5 < found["overlap"] < 1 and found["distance"] > 0
    np.testing.assert_allclose(found["measured"]["x"], [0.0, 4.83598, 9.67196], rtol=1e-5)
    assert "A. Nobody, J. None 1, 2 (1999)" in (tmp_path / "out" / "caption.txt").read_text(encoding="utf-8")
    (tmp_path / "ni.csv").write_text(MEASURED.replace("Fe", "Ni"), encoding="utf-8")
    assert "no species Ni" in call(*asked, tmp_path / "ni.csv", code=2)
    (tmp_path / "m.csv").write_text(
        MEASURED.replace("spectrum", "pressure").replace("1/meV", "GPa").replace("_unit: meV", "_unit: A")
        .replace("# species: Fe\n", "").replace("# resolution_meV: 1\n", "").replace("\n0,0", "\n3,0"),
        encoding="utf-8",
    )  # fmt: skip
    assert "a pressure is no spectrum" in call(*asked, tmp_path / "m.csv", code=2)


def test_an_unstable_crystal_says_so_and_draws_it(tmp_path):
    from mmtp_fw.report.phonon_files import write_phonons

    document = {
        "note": "n", "arrangements": 1, "verdict": "unstable: 1 of 1", "fwhm_meV": 1.0,
        "settings": {"supercell": [1], "step_A": 0.01},
        "spectrum": {"frequency_THz": [-1.0, 0.0, 1.0], "total": [0.2, 0.3, 0.2], "species": {"Fe": [0.2, 0.3, 0.2]},
                     "total_error": None, "species_error": None},
        "thermodynamics": None, "thermodynamics_error": None, "found": {"a": {"symbols": ["Fe"]}},
    }  # fmt: skip
    write_phonons(document, tmp_path / "out")
    assert not (tmp_path / "out" / "thermodynamics.csv").exists()
    assert columns(tmp_path / "out" / "spectrum.csv")["frequency_THz"][0] == -1.0
    assert "unstable: 1 of 1" in (tmp_path / "out" / "caption.txt").read_text(encoding="utf-8")


def test_a_version_in_the_database_is_the_file_it_was_stored_from(structure, database, call, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = POTENTIAL.read_text(encoding="utf-8")
    fields = {"campaign": "alloy", "action": "alloy/1/fit", "species": ["Fe", "Pd"], "iteration": 1}
    version = store.save_potential(database, text, Potential.loads(text).content_hash, **fields)
    rest = (structure, "--supercell", "1,1,1", *ORDER, *QUICK)
    stored, file = (json.loads(call("phonons", which, *rest, "--json")) for which in (version, POTENTIAL))
    assert stored.pop("potential") == {"version": version, "campaign": "alloy"}
    assert file.pop("potential") == {"file": str(POTENTIAL)}
    assert stored == file
    assert f"no potential {version + 1} in this database" in call("phonons", version + 1, *rest, code=2)
    assert "leave --species away" in call("phonons", version, *rest, "--species", "Fe,Pd", code=2)
    Path(str(version)).write_text("no potential", encoding="utf-8")
    assert "no potential" not in call("phonons", version, *rest, code=2), "a file of that name is what is read"
