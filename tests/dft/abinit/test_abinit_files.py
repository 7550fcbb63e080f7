"""ABINIT's files: what is written, and what is read from recorded output of ABINIT 9.6.2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import Bohr, Hartree

from mmtp_fw.dft import get_engine
from mmtp_fw.dft.abinit import AbinitEngine, AbinitSettings
from mmtp_fw.dft.abinit.inputs import input_text
from mmtp_fw.dft.abinit.outputs import parse_output
from mmtp_fw.dft.abinit.settings import find_dataset
from mmtp_fw.dft.engine import ConstraintKind, ScfRequest, ScfResult
from mmtp_fw.dft.kpoints import k_grid
from mmtp_fw.errors import EngineError, InputError

DATA = Path(__file__).parent / "data"
VALENCE, RADII = {"Fe": 16, "Pd": 16}, {"Fe": 2.1154, "Pd": 2.57}
DATASET = """<paw_dataset version="0.7"><atom symbol="Fe" Z="26" core="10" valence="16"/>
<state n="4" l="0" rc="2.01" id="Fe1"/><paw_radius rc=" 2.1153157434"/></paw_dataset>"""


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Path:
    """Put a dataset of Fe (its header) where the engine looks first."""
    (tmp_path / "Fe.xml").write_text(DATASET)
    monkeypatch.setenv("MMTP_ABINIT_PSEUDOS", str(tmp_path))
    return tmp_path


def alloy() -> Atoms:
    atoms = Atoms("PdFe", [[0.1, 0, 0], [1.4, 1.4, 1.8]], cell=[2.7, 2.7, 3.7], pbc=True)
    atoms.set_initial_magnetic_moments([0.35, -2.4])
    return atoms


def values(text: str, key: str) -> list[str]:
    """Return what follows a keyword up to the next letter."""
    words = text.split()
    start = words.index(key) + 1
    taken = []
    for word in words[start:]:
        if word[0].isalpha():
            break
        taken.append(word.strip('"'))
    return taken


def written(*arguments) -> str:
    return input_text(alloy(), AbinitSettings(), VALENCE, RADII, np.array([0.35, -2.4]), *arguments)


def test_input_of_a_constrained_calculation():
    text = input_text(
        alloy(),
        AbinitSettings(),
        VALENCE,
        RADII,
        np.array([0.35, -2.4]),
        ConstraintKind.SOFT,
        5.0,
        "../a/DEN",
        "../a/WFK",
    )
    assert values(text, "znucl") == ["26", "46"]
    assert values(text, "typat") == ["2", "1"]
    np.testing.assert_allclose(np.array(values(text, "spinat"), dtype=float), [0, 0, 0.35, 0, 0, -2.4])
    np.testing.assert_allclose(
        np.array(values(text, "xcart"), dtype=float), alloy().positions.ravel() / Bohr, atol=1e-12
    )
    assert float(values(text, "magcon_lambda")[0]) == pytest.approx(5.0 / Hartree)
    assert values(text, "magconon") == ["2"]
    assert 'getden_filepath "../a/DEN"' in text
    assert 'pseudos "Fe.xml, Pd.xml"' in text
    assert values(text, "nsym") == ["1"], "symmetry would tie equal targets together"
    assert int(values(text, "nband")[0]) > 16 + 2


def test_input_without_constraint_has_none():
    text = written()
    assert "magcon" not in text and "constraint_kind" not in text
    assert "get" not in text


def test_input_of_a_hard_constraint():
    free, soft, hard = (
        input_text(alloy(), AbinitSettings(), VALENCE, RADII, np.array([0.35, -2.4]), kind, 5.0)
        for kind in ConstraintKind
    )
    assert values(hard, "constraint_kind") == ["2*1"]
    assert "magcon" not in hard
    np.testing.assert_allclose(np.array(values(hard, "spinat"), dtype=float), [0, 0, 0.35, 0, 0, -2.4])
    for text in (free, soft, hard):  # one mixing, so that tolvrs is one thing; one sphere, so that "moment" is
        assert values(text, "iscf") == ["7"]
        assert values(text, "ratsph") == ["2.1154", "2.5700"] and values(text, "ratsm") == ["0.05"]
        assert "diemix" not in text
    mixed = input_text(alloy(), AbinitSettings(diemix=0.3), VALENCE, RADII, np.array([0.35, -2.4]))
    assert values(mixed, "diemix") == ["0.3"]


def test_k_grid_follows_the_cell():
    cell = Atoms("Fe", cell=[2.87, 2.87, 5.74], pbc=True)
    assert k_grid(cell, 0.3) == (8, 8, 4)
    assert k_grid(cell, 100.0) == (1, 1, 1)


def test_recorded_output():
    output = parse_output((DATA / "fe2.abo").read_text(), (DATA / "fe2.log").read_text())
    assert output.converged
    assert output.steps == 31
    assert output.etotal_eV == pytest.approx(-248.82039133420 * Hartree)
    np.testing.assert_allclose(output.moments, [2.323570, -1.589509])
    assert output.penalty_eV == pytest.approx(0.33280e-04 * Hartree)
    # The penalty that ABINIT prints is λ Σ Δm², with the targets 2.3 and −1.6 of this run.
    assert output.penalty_eV / Hartree == pytest.approx(0.05 * (0.02357**2 + 0.010491**2), rel=1e-4)
    assert output.energy_eV == pytest.approx((-248.82039133420 - 0.38092e-02) * Hartree)
    assert output.forces.shape == (2, 3)
    assert output.forces[0, 2] == pytest.approx(-7.50982620e-07 * Hartree / Bohr)
    np.testing.assert_allclose(
        output.stress * Bohr**3 / Hartree,
        [5.27401904e-04, 5.27426231e-04, 5.27387146e-04, -2.00572439e-08, 5.68011132e-11, -3.18354457e-09],
    )


def test_recorded_output_of_a_hard_constraint():
    output = parse_output((DATA / "fepd_hard.abo").read_text(), "")
    assert output.converged and output.completed
    np.testing.assert_allclose(output.moments, [2.400001, 0.350002])
    np.testing.assert_allclose(output.torques, np.array([-0.010516853535, -0.0048121059384]) * Hartree, rtol=1e-12)
    assert output.energy_eV == pytest.approx(-220.99005866539 * Hartree)
    assert 0 < output.energy_noise_eV < 1e-8


def test_both_ways_of_mixing_give_one_energy_without_the_penalty():
    # The same cell, targets and λ, once with iscf 7 and once with iscf 17: etotal differs by lVp.
    one, two = (
        parse_output((DATA / f"fe2_{way}.abo").read_text(), (DATA / f"fe2_{way}.log").read_text())
        for way in ("potential", "density")
    )
    assert (one.density_mixed, two.density_mixed) == (False, True)
    assert one.lvp_eV == two.lvp_eV and one.lvp_eV > 1.0
    np.testing.assert_allclose(one.moments, two.moments, atol=3e-6)
    assert one.energy_eV == pytest.approx(two.energy_eV, abs=2e-4)
    assert one.energy_eV == pytest.approx(one.etotal_eV)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("    2   2.57000    -0.000000    -0.004812     -0.004812     0.004812\n", ""),
        lambda text: text.replace("-0.004812     -0.004812", "**********     -0.004812"),
        lambda text: text.replace("    1   2.11532    -0.000000", "    2   2.11532    -0.000000"),
        lambda text: text.replace("-4.8121059384E-03", "-4.8321059384E-03"),
        lambda text: text.replace("  0.0000000000E+00  0.0000000000E+00 -4.8121059384E-03\n", ""),
        lambda text: text.replace("(=torque)", "(=force)"),
    ],
    ids=["atom missing", "overflow", "atom twice", "tables differ", "short variable", "other words"],
)  # fmt: skip
def test_gradients_that_are_not_complete_and_the_same_twice_are_not_believed(spoil):
    text = (DATA / "fepd_hard.abo").read_text()
    assert spoil(text) != text
    assert parse_output(spoil(text), "").torques is None


def test_a_table_alone_gives_the_gradients():
    text = (DATA / "fepd_hard.abo").read_text().partition(" -outvars")[0] + "\n Calculation completed.\n"
    np.testing.assert_allclose(parse_output(text, "").torques, np.array([-0.010517, -0.004812]) * Hartree)


@pytest.mark.parametrize("kept", [0.0, 0.2, 0.5, 0.8, 0.95])
def test_output_that_was_cut_off_is_not_converged(kept):
    text = (DATA / "fe2.abo").read_text()
    assert not parse_output(text[: int(kept * len(text))], "").converged


def test_error_is_quoted():
    log = "--- !ERROR\nsrc_file: m.F90\nmessage: |\n    ratsph is\n    too small\n...\n"
    assert parse_output("", log).error == "ratsph is too small"
    assert parse_output("", log).energy_eV is None


def test_datasets(dataset):
    found = find_dataset("Fe", AbinitSettings())
    assert found.valence == 16
    assert found.radius_bohr == 2.1154, "rounded up: ABINIT takes no smaller sphere"
    assert found.install(dataset) == "Fe.xml"
    (dataset / "Al.xml").write_text(DATASET)
    with pytest.raises(EngineError, match="not a PAW dataset of Al"):  # another machine may have the right one
        find_dataset("Al", AbinitSettings())
    with pytest.raises(EngineError, match=r"Fe\.other"):
        find_dataset("Fe", AbinitSettings(pseudos={"Fe": "Fe.other"}))


def test_bad_settings_species_targets_and_program_are_refused(dataset):
    with pytest.raises(InputError, match="ecut_Ha"):
        get_engine("abinit", ecut_Ha=-1)
    with pytest.raises(InputError, match="encut"):
        get_engine("abinit", encut=500)
    engine = AbinitEngine(command="no-such-abinit")
    iron = bulk("Fe")
    iron.set_initial_magnetic_moments([2.2])
    with pytest.raises(EngineError, match="no-such-abinit"):
        engine.check(iron)
    iron.set_initial_magnetic_moments([8.0])
    with pytest.raises(InputError, match="impossible"):
        engine.check(iron)
    with pytest.raises(EngineError, match="no PAW dataset for Ac"):
        engine.check(Atoms("Ac"))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo out of memory; kill -9 $$", "did not come to its end.*out of memory"),
        (f"cp '{DATA}/fe2.abo' run.abo; echo nothing of use", "neither lVp nor penalty"),
        (f"cp '{DATA}/fe2.abo' run.abo; echo nothing of use", "no gradient by the moment of every atom"),
    ],
)
def test_what_says_nothing_about_the_configuration_is_no_verdict(dataset, script, words):
    program = dataset / "fake-abinit"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    iron = bulk("Fe")
    iron.set_initial_magnetic_moments([2.2])
    asked = ScfRequest(
        iron, "ramp", np.array([2.2]), dataset / "01_ramp", 1.0, np.array([2.0]), hard=words.startswith("no gradient")
    )
    with pytest.raises(EngineError, match=words):
        AbinitEngine(command=str(program)).scf(asked)


def test_how_it_is_started_does_not_change_the_label():
    one = AbinitEngine(mpi_processes=1).settings_document()
    assert one == AbinitEngine(mpi_processes=8, command="/opt/abinit").settings_document()
    assert one != AbinitEngine(ecut_Ha=30).settings_document()


def test_a_free_state_that_lost_its_moments_is_looked_for_from_larger_ones(dataset):
    asked = []

    class Falls(AbinitEngine):
        """Falls to the non-magnetic state from moments below 3 μB."""

        def scf(self, request: ScfRequest) -> ScfResult:
            asked.append(float(request.start_moments[0]))
            moment, energy = (2.3, -10.5) if asked[-1] > 3.0 else (0.001, -10.0)
            moments = dict.fromkeys(("PAW", "WS", "sWS"), np.array([moment]))
            return ScfResult(True, moments, energy, energy, 0.0, np.zeros((1, 3)), np.zeros(6), {}, 20)

    iron = bulk("Fe")
    iron.set_initial_magnetic_moments([2.2])
    labelled = Falls(command="true").unconstrained(iron)
    assert asked == [2.2, pytest.approx(3.3)]
    assert labelled.get_magnetic_moments()[0] == 2.3 and labelled.get_potential_energy() == -10.5
    iron.set_initial_magnetic_moments([0.0])
    Falls(command="true").unconstrained(iron)
    assert asked[2:] == [0.0], "who asks for the non-magnetic state gets it"
