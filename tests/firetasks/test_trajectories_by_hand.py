"""What exploring and averaging trajectories take from their campaign, and what they store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import units
from recorded_campaign import Recorded, cell, context, save, stored
from small_campaign import small

from mmtp_fw.compared import COMPARED
from mmtp_fw.database import store
from mmtp_fw.dft import get_engine
from mmtp_fw.firetasks.base import INTERRUPTED, Context
from mmtp_fw.firetasks.md import MdWork
from mmtp_fw.firetasks.potentials import load_active_set
from mmtp_fw.firetasks.properties import KEPT_FRAMES, PropertyWork
from mmtp_fw.firetasks.select import SelectWork
from mmtp_fw.firetasks.start import starting_cell
from mmtp_fw.loop.facts import Kind, seed_of
from mmtp_fw.potential import Potential
from mmtp_fw.selection import ActiveSet

FILE = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"


@pytest.fixture(scope="module")
def fepd() -> Potential:
    return Potential.read(FILE)


# Trajectories -----------------------------------------------------------------------------------------------------


@pytest.fixture
def exploring(database, fepd) -> Recorded:
    """A campaign with a potential and an active set that knows its cells."""
    md = {"steps": 12, "timestep_fs": 1.5, "settings": {"sample_interval": 4}}
    made = Recorded(database, small("c", md=md, selection={"gamma_select": 900.0, "gamma_break": 1000.0}))
    cells = [cell(a, seed) for seed, a in enumerate((3.7, 3.72, 3.75, 3.78))]
    active = ActiveSet.from_configurations(fepd, cells)
    save(made, fepd, action="c/000/fit", active_set=active.to_bytes())
    return made


PARAMS = {
    "lattice_parameter_A": 3.72, "temperature_K": 350.0, "magnetic_order": "ferromagnetic", "replica": 0,
    "potential": 1, "seed": 11, "steps": 12,
}  # fmt: skip


def test_a_trajectory_and_its_continuation(exploring, tmp_path):
    database = exploring.database
    at = context(exploring, tmp_path, Kind.MD, subject="a", params=PARAMS)
    run = MdWork().compute(at)
    result = stored(MdWork(), at, run)
    assert result == {"outcome": "completed", "candidates": 0, "md_steps": 12, "md_run": 1}
    document = database.md_runs.find_one({"_id": "c/000/md/a"})
    wanted = {"campaign": "c", "iteration": 0, "potential": 1, "params": PARAMS, "state": "completed", "steps": 12}
    assert wanted.items() <= document.items()
    assert document["max_grade"] > 0 and document["wall_seconds"] > 0
    frames = store.frames_of(database, "c/000/md/a")
    assert [atoms.info["step"] for atoms in frames] == [0, 4, 8, 12]
    start = starting_cell(exploring.campaign, 3.72, "ferromagnetic", 11)
    np.testing.assert_allclose(frames[0].positions, start.positions, atol=1e-9)
    assert list(frames[0].symbols) == list(start.symbols)
    more = PARAMS | {"continues": "c/000/md/a", "part": 1, "steps": 4, "seed": 12}
    at = context(exploring, tmp_path, Kind.MD, subject="a-part1", params=more)
    result = stored(MdWork(), at, MdWork().compute(at))
    assert (result["md_steps"], result["md_run"]) == (4, 2)
    again = store.frames_of(database, "c/000/md/a-part1")
    moved = (again[0].positions - frames[-1].positions) @ np.linalg.inv(np.asarray(frames[-1].cell))
    np.testing.assert_allclose(moved - np.round(moved), 0.0, atol=1e-9)
    assert database.md_runs.find_one({"_id": "c/000/md/a-part1"})["continues"] == "c/000/md/a"


@pytest.mark.parametrize(
    ("selection", "outcome", "some"),
    [
        ({"gamma_select": 1e-6, "gamma_break": 1e6}, "completed", True),
        ({"gamma_select": 1e-7, "gamma_break": 1e-6}, "extrapolated", True),
        ({"gamma_select": 9e5, "gamma_break": 1e6}, "completed", False),
    ],
)
def test_thresholds_of_the_grade_come_from_the_campaign(exploring, tmp_path, selection, outcome, some):
    exploring.campaign = small("c", md={"steps": 12}, selection=selection)
    at = context(exploring, tmp_path, Kind.MD, subject="a", params=PARAMS)
    result = stored(MdWork(), at, MdWork().compute(at))
    assert result["outcome"] == outcome and (result["candidates"] > 0) == some
    assert len(store.candidates_of(exploring.database, "c/000/md/a")) == result["candidates"]


def test_a_worker_that_is_asked_to_end_keeps_what_was_done(exploring, tmp_path):
    at = context(exploring, tmp_path, Kind.MD, subject="a", params=PARAMS, stop=True)
    result = stored(MdWork(), at, MdWork().compute(at))
    assert (result["outcome"], result["md_steps"]) == ("interrupted", 1)
    assert store.last_frame(exploring.database, "c/000/md/a").info["step"] == 1


def test_a_selection_from_all_trajectories_of_a_round(exploring, tmp_path):
    database = exploring.database
    cells = [cell(3.3 + 0.1 * k, 30 + k) for k in range(5)]
    for key, saved in (
        ("c/000/md/a", cells[:3]),
        ("c/000/md/b", [cells[1], *cells[3:]]),
        ("c/000/md/other", [cell(3.0)]),
    ):
        store.save_md_run(
            database, key, {"step": [0.0]}, saved, campaign="c", iteration=0, potential=1, params={}, state="x",
            steps=0, max_grade=None, message="", wall_seconds=0.0,
        )  # fmt: skip
    runs = ["c/000/md/a", "c/000/md/b", "c/000/md/missing"]
    active = load_active_set(database, 1)
    expected = active.select(cells)
    assert len(expected) >= 3
    at = context(exploring, tmp_path, Kind.SELECT, params={"potential": 1, "max_count": 2}, after=runs)
    chosen = SelectWork().compute(at)
    assert len(chosen) == 2
    for atoms, index in zip(chosen, expected, strict=False):
        np.testing.assert_allclose(atoms.positions, cells[index].positions)
        assert atoms.info["grade"] == pytest.approx(active.grade(cells[index]))
        assert atoms.info["md_run"] == (1 if index < 3 else 2), "of a candidate of both the first"
        assert atoms.info["potential"] == 1
    result = stored(SelectWork(), at, chosen)
    assert len(result["configurations"]) == 2
    origin = database.configurations.find_one({"_id": result["configurations"][0]})["origin"]
    assert origin["action"] == "c/000/select" and origin["grade"] == pytest.approx(chosen[0].info["grade"])
    # What was labelled in this campaign is not chosen again; labels of later rounds decide nothing about this one.
    exploring.label(0, result["configurations"][0], {"outcome": "rejected"})
    exploring.label(1, result["configurations"][1], {"outcome": "accepted"})
    other = Recorded(database, small("other"))
    fresh = SelectWork().compute(replace(at, action=replace(at.action, params={"potential": 1, "max_count": 9})))
    hashes = list(stored(SelectWork(), at, fresh)["configurations"])
    assert result["configurations"][0] not in hashes and result["configurations"][1] in hashes
    other.label(0, hashes[-1], {"outcome": "accepted"})
    assert len(
        SelectWork().compute(replace(at, action=replace(at.action, params={"potential": 1, "max_count": 9})))
    ) == len(fresh)


# Averages ---------------------------------------------------------------------------------------------------------


def averaging(database, fepd, **properties) -> Recorded:
    section = {"steps": 30, "equilibration_steps": 10, "temperature_K": 150.0, "replicas": 2} | properties
    made = Recorded(database, small("c", properties=section, md={"timestep_fs": 1.0}))
    save(made, fepd, action="c/000/fit")
    return made


def average_of(made: Recorded, tmp_path, source: str, stop=False) -> tuple[Context, dict]:
    params = {"source": source, "lattice_parameter_A": 3.75, "potential": 1 if source == "mmtp" else None, "seed": 21}
    at = context(made, tmp_path, Kind.PROPERTY, subject=f"{source}-a3.75", params=params, stop=stop)
    return at, PropertyWork().compute(at)


@pytest.mark.parametrize("source", ["mmtp", "reference"])
def test_averages_over_replicas(database, tmp_path, fepd, source):
    made = averaging(database, fepd)
    at, values = average_of(made, tmp_path, source)
    assert (values["outcome"], values["md_steps"]) == ("done", 60)
    steps = [atoms.info["step"] for atoms in values["frames"]]
    assert steps == [15, 20, 25, 30] * 2, "after equilibration, every fifth, of both"
    assert values["phonon_dos"] is None, "too short for a spectrum"
    one, two = values["frames"][3], values["frames"][7]
    assert not np.allclose(one.positions, two.positions), "replicas have seeds of their own"
    assert list(one.symbols) == list(two.symbols)
    assert 20 < values["temperature_K"] < 400 and abs(values["magnetization_muB_per_atom"]) > 0.5
    result = stored(PropertyWork(), at, values)
    assert set(result) == {"outcome", *COMPARED, "md_steps"}
    document = database.properties.find_one({"_id": at.action.key})
    assert (document["source"], document["iteration"], document["params"]) == (source, 0, dict(at.action.params))
    assert document["potential"] == at.action.params["potential"] and "frames" not in document["values"]
    assert document["values"]["pressure_GPa"] == result["pressure_GPa"]
    assert document["values"]["magnetization_muB_per_atom_error"] >= 0
    assert len(store.frames_of(database, at.action.key)) == 8


def test_both_sources_begin_with_the_same_arrangement(database, tmp_path, fepd):
    made = averaging(database, fepd, replicas=1, equilibration_steps=0, phonon_dos=False, steps=5)
    mine, its = (average_of(made, tmp_path, source)[1] for source in ("mmtp", "reference"))
    assert list(mine["frames"][0].symbols) == list(its["frames"][0].symbols)
    expected = starting_cell(made.campaign, 3.75, "ferromagnetic", seed_of(made.campaign, "property/arrangement"))
    assert list(mine["frames"][0].symbols) == list(expected.symbols)
    assert "phonon_dos" not in mine


def test_a_long_average_has_a_spectrum_and_keeps_some_frames(database, tmp_path, fepd):
    made = averaging(database, fepd, steps=400, equilibration_steps=50, replicas=1)
    _, values = average_of(made, tmp_path, "reference")
    spectrum = values["phonon_dos"]
    assert set(spectrum) == {"frequency_THz", "total", "species", "total_error", "species_error", "width_THz"}
    assert set(spectrum["species"]) == set(spectrum["species_error"]) == {"Fe", "Pd"}
    assert len(spectrum["total_error"]) == len(spectrum["total"]) and max(spectrum["total_error"]) > 0
    # 70 samples after equilibration, 5 fs apart: every third is kept, no more than 32.
    assert len(values["frames"]) == 24 <= KEPT_FRAMES
    assert [atoms.info["step"] for atoms in values["frames"][:3]] == [55, 70, 85]
    assert spectrum["frequency_THz"][1] == pytest.approx(1 / (4 * 70 * 5e-3))


def test_what_did_not_go_to_its_end_has_no_average(database, tmp_path, fepd):
    hot = {"temperature_K": 5e6, "replicas": 2}
    made = averaging(database, fepd, **hot)
    at, values = average_of(made, tmp_path, "mmtp")
    assert values["outcome"] != "done" and "pressure_GPa" not in values
    result = stored(PropertyWork(), at, values)
    assert set(result) <= {"outcome", "message", "md_steps"} and result["outcome"] == values["outcome"]
    assert average_of(averaging_again(made), tmp_path, "mmtp", stop=True)[1] is INTERRUPTED


def averaging_again(made: Recorded) -> Recorded:
    made.campaign = small("c", properties={"steps": 30, "equilibration_steps": 10})
    return made


def test_cells_at_rest(database, tmp_path, fepd):
    made = averaging(database, fepd, mode="static")
    start = starting_cell(made.campaign, 3.75, "ferromagnetic", seed_of(made.campaign, "property/arrangement"))
    relaxed = fepd.relax_moments(start, start=start.get_initial_magnetic_moments()).moments
    stress = fepd.evaluate(start, moments=relaxed).stress
    at, mine = average_of(made, tmp_path, "mmtp")
    assert mine["magnetization_muB_per_atom"] == pytest.approx(relaxed.mean())
    assert mine["absolute_moment_muB_per_atom"] == pytest.approx(np.abs(relaxed).mean())
    assert mine["pressure_GPa"] == pytest.approx(-stress[:3].mean() / units.GPa)
    np.testing.assert_allclose(mine["frames"][0].get_initial_magnetic_moments(), relaxed)
    _, its = average_of(made, tmp_path, "reference")
    free = get_engine("hamiltonian").unconstrained(start)
    assert its["magnetization_muB_per_atom"] == pytest.approx(free.get_magnetic_moments().mean())
    assert its["pressure_GPa"] == pytest.approx(-free.get_stress()[:3].mean() / units.GPa)
    for found in (mine, its):
        assert found["outcome"] == "done" and len(found["frames"]) == 1 and found["frames"][0].info["step"] == 0
    assert set(stored(PropertyWork(), at, mine)) == {"outcome", *COMPARED}
