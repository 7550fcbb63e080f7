"""Campaigns of several phases: what is read, what is refused, and which cells follow."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from mmtp_fw.campaign import load_campaign, parse_campaign, stored_campaign
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.start import check_engine, pretraining_set, starting_cell
from mmtp_fw.loop.facts import Facts
from mmtp_fw.loop.planner import plan

PHASES = """
name: phases
system:
  species: [Fe, Pd]
  phases:
    - {name: fcc, structure: fcc, supercell: [2, 2, 1], compositions: [{Fe: 0.75, Pd: 0.25}, {Fe: 0.5, Pd: 0.5}],
       lattice_parameters_A: [3.8, 3.7], held_out_lattice_parameters_A: [3.6], orders: [antiferromagnetic]}
    - {name: bcc, file: POSCAR, supercell: [2, 2, 2], vacancies: 1}
    - {name: own, file: own.xyz, lattice_parameters_A: [2.9, 3.0]}
    - {name: layers, structure: L1_0, supercell: [2, 2, 2], compositions: [{Fe: 0.5, Pd: 0.5}], c_over_a: 0.96,
       lattice_parameters_A: [3.85]}
"""
ONE = "name: c\nsystem:\n  species: [Fe]\n  phases: [{{name: a, {}}}]\n"


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "POSCAR", bulk("Fe", "bcc", a=2.87, cubic=True))
    own = bulk("Fe", "bcc", a=2.9, cubic=True)
    own.set_initial_magnetic_moments([2.1, -2.0])
    write(tmp_path / "own.xyz", own, format="extxyz")
    (tmp_path / "c.yaml").write_text(PHASES)
    return tmp_path


def refused(text: str, folder=".") -> str:
    with pytest.raises(InputError) as told:
        parse_campaign(text, "c.yaml", folder)
    return str(told.value)


def test_each_composition_and_file_is_a_phase(folder):
    campaign = load_campaign(folder / "c.yaml")
    assert [one.name for one in campaign.phases] == ["fcc-Fe75Pd25", "fcc-Fe50Pd50", "bcc", "own", "layers"]
    assert [one.number_of_atoms for one in campaign.phases] == [16, 16, 15, 2, 32]
    assert [one.compared for one in campaign.phases] == [
        ("antiferromagnetic",), ("antiferromagnetic",), ("ferromagnetic",), ("given",), ("ferromagnetic",)
    ]  # fmt: skip
    assert campaign.phases[0].all_lattice_parameters_A == [3.6, 3.7, 3.8]
    assert campaign.phases[2].all_lattice_parameters_A == [2.87], "the file's own"


def test_workers_need_no_file(folder):
    campaign = load_campaign(folder / "c.yaml")
    (folder / "POSCAR").unlink()
    again = stored_campaign(campaign.document())
    cells = [starting_cell(one, 2.87, "ferromagnetic", 3, "bcc") for one in (campaign, again)]
    assert len(cells[0]) == 15
    assert cells[0] == cells[1]
    assert again.document() == campaign.document()


def test_cells_are_those_of_their_phase(folder):
    campaign = load_campaign(folder / "c.yaml")
    given = starting_cell(campaign, 3.0, "given", 0, "own")
    np.testing.assert_allclose(given.get_initial_magnetic_moments(), [2.1, -2.0])
    assert given.cell.lengths() == pytest.approx([3.0] * 3)
    layers = starting_cell(campaign, 3.85, "ferromagnetic", 0, "layers")
    assert layers.cell.lengths() == pytest.approx([7.7, 7.7, 0.96 * 7.7])
    by_plane = {round(z, 3): set() for z in layers.positions[:, 2]}
    for atom in layers:
        by_plane[round(atom.z, 3)].add(atom.symbol)
    assert all(len(symbols) == 1 for symbols in by_plane.values()), "layers of one species"
    half = starting_cell(campaign, 3.7, "antiferromagnetic", 0, "fcc-Fe50Pd50")
    assert half.symbols.formula.count() == {"Fe": 8, "Pd": 8}
    assert abs(np.sign(half.get_initial_magnetic_moments()).sum()) < 1e-9


def test_pretraining_takes_phases_in_turn(folder):
    campaign = load_campaign(folder / "c.yaml")
    made = pretraining_set(campaign, 12, 5)
    names = [one.info["generator"]["phase"] for one in made]
    assert names == [phase.name for phase in campaign.phases] * 2 + ["fcc-Fe75Pd25", "fcc-Fe50Pd50"]
    for one, other in zip(made, pretraining_set(campaign, 7, 5), strict=False):
        assert one == other, "a longer set begins with the shorter one"
    form = campaign.potential
    for one in made:
        distances = one.get_all_distances(mic=True)[np.triu_indices(len(one), 1)]
        assert distances.min() > form.r_min_A - 0.05, "the radial range begins below the phases' distances"


def test_every_point_is_planned_once(folder):
    campaign = load_campaign(folder / "c.yaml")
    references = [action for action in plan(Facts(campaign)) if action.params.get("source") == "reference"]
    points = [(a.params["phase"], a.params["magnetic_order"], a.params["lattice_parameter_A"]) for a in references]
    expected = [(p.name, order, a) for p in campaign.phases for order in p.compared for a in p.all_lattice_parameters_A]
    assert sorted(points) == sorted(expected)
    assert len({action.key for action in references}) == len(points)
    assert [p for p, action in zip(points, references, strict=True) if action.params["held_out"]] == [
        ("fcc-Fe75Pd25", "antiferromagnetic", 3.6), ("fcc-Fe50Pd50", "antiferromagnetic", 3.6)
    ]  # fmt: skip


def test_the_short_form_plans_what_it_always_did():
    campaign = parse_campaign("name: demo\nseed: 1\n")
    planned = {action.key: action.params for action in plan(Facts(campaign))}
    assert set(planned) == {"demo/000/pretrain"} | {
        f"demo/000/property/reference-a{a}" for a in ("3.6", "3.65", "3.7", "3.75", "3.8")
    }
    told = planned["demo/000/property/reference-a3.6"]
    assert set(told) == {"source", "lattice_parameter_A", "potential", "seed"}


def test_an_antiferromagnet_is_compared_in_its_own_order():
    text = "name: cr\nsystem: {species: [Cr], structure: bcc, lattice_parameters_A: [2.88]}\n"
    campaign = parse_campaign(text + "md: {magnetic_orders: [antiferromagnetic]}\n")
    (reference,) = [action for action in plan(Facts(campaign)) if action.params.get("source") == "reference"]
    assert reference.params["magnetic_order"] == "antiferromagnetic"
    assert campaign.system.typical_moments_muB == {"Cr": 1.0}, "no other material's number"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("file: nowhere.vasp", "there is no file"),
        ("file: c.yaml", "can't be read"),
        ("file: molecule.xyz", "no three-dimensional cell"),
        ("file: spiral.xyz", "aren't collinear"),
        ("file: POSCAR, compositions: [{Fe: 1.0}]", "no compositions"),
        ("file: pd.vasp", "has Pd, which species does not name"),
        ("structure: fcc, file: POSCAR", "give either structure, a lattice, or file"),
        ("supercell: [1, 1, 1]", "give either structure, a lattice, or file"),
        ("structure: fcc, lattice_parameters_A: [3.6]", "compositions: is missing"),
        ("structure: fcc, compositions: [{Fe: 1.0}]", "lattice_parameters_A: is missing"),
        ("structure: fcc, compositions: [{Fe: 0.5}], lattice_parameters_A: [3.6]", "add up to 1"),
        ("structure: fcd, compositions: [{Fe: 1}], lattice_parameters_A: [3.6]", "unknown lattice 'fcd'"),
        ("file: POSCAR, orders: [spiral]", "unknown magnetic order 'spiral'"),
        ("file: POSCAR, lattice_parameter_A: 3", "did you mean 'lattice_parameters_A'?"),
        ("file: POSCAR, pressure_GPa: 0", "at fixed volume"),
        (
            "structure: fcc, compositions: [{Fe: 1}, {Fe: 1.0}], lattice_parameters_A: [3.6]",
            "composition is given twice",
        ),
        ("structure_file: POSCAR", "{name: mine, file: POSCAR}"),
    ],
)
def test_what_is_refused(folder, keys, message):
    write(folder / "molecule.xyz", Atoms("Fe2", positions=[[0, 0, 0], [0, 0, 2]]), format="extxyz")
    write(folder / "pd.vasp", bulk("Pd", cubic=True), format="vasp")
    spiral = Atoms("Fe2", positions=[[0, 0, 0], [1.45] * 3], cell=[2.9] * 3, pbc=True)
    spiral.set_initial_magnetic_moments([[2, 0, 0], [0, 2, 0]])
    write(folder / "spiral.xyz", spiral, format="extxyz")
    assert message in refused(ONE.format(keys), folder)


def test_a_campaign_of_an_earlier_release_keeps_its_comparison():
    text = "name: cr\nsystem: {species: [Cr], structure: bcc, lattice_parameters_A: [2.88]}\n"
    campaign = parse_campaign(text + "md: {magnetic_orders: [antiferromagnetic]}\n")
    stored = campaign.document()
    del stored["properties"]["magnetic_order"], stored["system"]["phases"]
    (reference,) = [one for one in plan(Facts(stored_campaign(stored))) if one.params.get("source") == "reference"]
    assert reference.key == "cr/000/property/reference-a2.88" and "magnetic_order" not in reference.params
    chosen = parse_campaign(text + "properties: {magnetic_order: random}\n")
    assert chosen.phases[0].compared == ("disordered",)


def test_phases_and_short_keys_are_not_mixed():
    text = ONE.format("structure: bcc, compositions: [{Fe: 1.0}], lattice_parameters_A: [2.87]")
    assert "lattice_parameters_A and phases are both given" in refused(text + "  lattice_parameters_A: [2.9]\n")
    assert "species names Pd, which no phase has" in refused(text.replace("[Fe]", "[Fe, Pd]"))
    assert "name a" in refused(text.replace("phases: [", "phases: [{name: a, structure: sc, compositions: [{Fe: 1}], "
                                            "lattice_parameters_A: [2.4]}, "))  # fmt: skip


def test_vacancies_leave_something(folder):
    with pytest.raises(InputError, match="2 vacancies in a cell of 2 sites"):
        assert parse_campaign(ONE.format("file: POSCAR, vacancies: 2"), "c.yaml", folder).phases


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("structure: bcc, compositions: [{Fe: 1}], lattice_parameters_A: [0.287]", "0.249 Å apart"),
        ("structure: bcc, compositions: [{Fe: 1}], lattice_parameters_A: [287]", "not within potential.r_cut_A"),
        (
            "file: POSCAR, lattice_parameters_A: [2.87], held_out_lattice_parameters_A: [0.29]",
            "at the lattice parameter 0.29 Å",
        ),
    ],
)
def test_lattice_parameters_in_other_units_are_refused(folder, keys, message):
    campaign = parse_campaign(ONE.format(keys), "c.yaml", folder)
    with pytest.raises(InputError, match=message):
        check_engine(campaign, here=False)


def test_species_are_elements(folder):
    text = "name: x\nsystem: {species: [Xx], structure: bcc, lattice_parameters_A: [3.0]}\n"
    assert "no symbol of a chemical element: Xx" in refused(text, folder)
