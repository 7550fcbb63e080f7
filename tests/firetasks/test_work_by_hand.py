"""What each piece of work computes and stores, on documents that were written down by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from recorded_campaign import BEGIN, Recorded, averages
from small_campaign import small

from mmtp_fw.database import Claim, store
from mmtp_fw.dft import get_engine, run_protocol
from mmtp_fw.errors import EngineError, FitError, InputError
from mmtp_fw.firetasks.base import INTERRUPTED, Context
from mmtp_fw.firetasks.fit import FitWork, accepted_labels, split, usable
from mmtp_fw.firetasks.md import MdWork
from mmtp_fw.firetasks.potentials import load_active_set, load_potential
from mmtp_fw.firetasks.pretrain import PretrainWork
from mmtp_fw.firetasks.properties import KEPT_FRAMES, PropertyWork
from mmtp_fw.firetasks.report import ReportWork, summarize, uncertainties
from mmtp_fw.firetasks.select import SelectWork
from mmtp_fw.firetasks.start import check_engine, starting_cell
from mmtp_fw.loop.facts import Facts, Kind, seed_of
from mmtp_fw.potential import Potential
from mmtp_fw.properties import ensemble_spread
from mmtp_fw.selection import ActiveSet
from mmtp_fw.structures import generate

FILE = Path(__file__).parents[2] / "docs" / "examples" / "fe-pd.mmtp"


@pytest.fixture(scope="module")
def fepd() -> Potential:
    return Potential.read(FILE)


@pytest.fixture(scope="module")
def labelled() -> list[dict]:
    """Five accepted labels of the small campaign's cells."""
    made = generate(
        {"Fe": 0.75, "Pd": 0.25}, [3.72, 3.78], {"Fe": 2.6, "Pd": 0.3}, 5, supercell=(1, 1, 1), displacement_A=0.05
    )
    engine = get_engine("hamiltonian")
    return [run_protocol(engine, atoms).label.model_dump(mode="json") for atoms in made]


def context(
    recorded: Recorded, tmp_path, kind: Kind, iteration=0, subject="", params=None, after=(), stop=False
) -> Context:
    action = Facts(recorded.campaign).action(iteration, kind, subject, params or {}, tuple(after))
    directory = tmp_path / action.key.replace("/", "-")
    directory.mkdir(exist_ok=True)
    return Context(recorded.database, recorded.campaign, action, directory, lambda: stop)


def stored(work, at: Context, payload) -> dict:
    """Store a payload in a claim's transaction."""
    result: dict = {}
    with Claim.take(at.database, at.action.key, "here:1", 60) as claim:
        claim.commit(lambda session: result.update(work.store(at, payload, session)))
    return result


# The summary ------------------------------------------------------------------------------------------------------


def test_the_summary_by_hand(database):
    made = Recorded(database)
    assert summarize(database, "c")["wall_seconds"] == 0.0
    made.action(Kind.PRETRAIN, 0, result={"outcome": "done"}, begun=10, ended=20)
    for k, outcome in enumerate(["accepted"] * 4 + ["rejected"] * 2 + ["failed"]):
        made.label(0, f"x{k}", {"outcome": outcome, "scf_runs": k + 1}, begun=4, ended=30 + k)
    made.label(0, "open", begun=5)
    made.md(0, "a", "completed", 100, 0)
    for a, mine, its in (
        (3.66, (1.0, 4.0), (1.5, 7.0)),
        (3.72, (1.0, 4.0), (1.25, 5.0)),
        (3.78, (2.0, 1.0), (1.875, 1.5)),
    ):
        made.property(1, "mmtp", a, averages(*mine, md_steps=40))
        made.property(0, "reference", a, averages(*its, md_steps=60))
    made.action(Kind.REPORT, 1, begun=500)
    found = summarize(database, "c")
    assert found == {
        "magnetization_mae_muB_per_atom": pytest.approx((0.5 + 0.25 + 0.125) / 3),
        "pressure_mae_GPa": pytest.approx((3 + 1 + 0.5) / 3),
        "held_out_magnetization_mae_muB_per_atom": 0.5,
        "held_out_pressure_mae_GPa": 3.0,
        "labels_accepted": 4,
        "labels_rejected": 2,
        "labels_failed": 1,
        "scf_runs": 28,
        "md_steps": 100 + 3 * 40 + 3 * 60,
        "wall_seconds": 36.0,
    }
    assert database.actions.find_one(sort=[("created", 1)])["created"] == BEGIN.replace(tzinfo=None)


def test_only_volumes_with_both_averages_are_compared(database):
    made = Recorded(database)
    made.property(1, "mmtp", 3.66, {"outcome": "exploded", "md_steps": 3})
    made.property(0, "reference", 3.66, averages(1.0, 1.0))
    made.property(1, "mmtp", 3.72, averages(2.0, 2.0))
    made.property(0, "reference", 3.72, {"outcome": "failed"})
    nothing = summarize(database, "c")
    names = ("magnetization_mae_muB_per_atom", "pressure_mae_GPa")
    assert [nothing[name] for name in names] == [None, None]
    assert [nothing[f"held_out_{name}"] for name in names] == [None, None]
    made.property(1, "mmtp", 3.78, averages(2.0, 2.0))
    made.property(0, "reference", 3.78, averages(1.5, 3.0))
    found = summarize(database, "c")
    assert [found[name] for name in names] == [0.5, 1.0] and found["held_out_pressure_mae_GPa"] is None


def test_a_report_ends_its_campaign_once(database, tmp_path):
    made = Recorded(database)
    at = context(made, tmp_path, Kind.REPORT, 3, params={"stop": "max_labels", "potential": None})
    summary = ReportWork().compute(at)
    assert (summary["stop"], summary["potential"], summary["iterations"], summary["ensemble"]) == (
        "max_labels",
        None,
        4,
        [],
    )
    assert stored(ReportWork(), at, summary) == {"summary": summary}
    ended = database.campaigns.find_one({"_id": "c"})
    assert ended["stop"] == "max_labels" and ended["finished"] is not None
    stored(ReportWork(), at, summary | {"stop": "converged"})
    assert database.campaigns.find_one({"_id": "c"})["stop"] == "max_labels", "the first end stands"


def cell(a: float, seed: int = 0) -> Atoms:
    made = generate({"Fe": 0.75, "Pd": 0.25}, [a], {"Fe": 2.6, "Pd": 0.3}, 1, supercell=(1, 1, 1), seed=seed)[0]
    made.info = {"step": 0}
    return made


def save(recorded: Recorded, potential: Potential, **fields) -> int:
    fields = {"campaign": recorded.name, "iteration": 0, "species": list(potential.species)} | fields
    return store.save_potential(recorded.database, potential.dumps(), potential.content_hash, **fields)


def test_the_spread_is_of_a_versions_own_members_and_frames(database, tmp_path, fepd):
    made, other = Recorded(database), Recorded(database, small("other"))
    members = [fepd]
    for factor in (1.01, 0.98, 1.05, 1.2):
        changed = fepd.copy()
        changed.parameters = factor * fepd.parameters
        members.append(changed)
    version = save(made, members[0], action="a")
    one = save(made, members[1], action="b", role="member", member_of=version)
    save(made, members[3], action="c", role="member", member_of=one)
    save(other, members[4], action="d", role="member", member_of=version)
    frames = {a: [cell(a), cell(a)] for a in (3.72, 3.66)}
    for pair in frames.values():
        pair[1].rattle(0.02, seed=1)

    def averaged(a, source="mmtp", potential=version, campaign="c", frames=frames):
        store.save_property(
            database, f"{campaign}/{source}/{a}/{potential}", campaign=campaign, iteration=0, source=source,
            potential=potential, params={"lattice_parameter_A": a}, values={}, frames=frames.get(a, ()),
        )  # fmt: skip

    for a in (3.72, 3.66, 3.8):
        averaged(a)
    averaged(3.72, source="reference")
    averaged(3.66, potential=one)
    averaged(3.66, campaign="other")
    at = context(made, tmp_path, Kind.REPORT, params={"potential": version, "stop": "converged"})
    found = uncertainties(at)
    assert [row["lattice_parameter_A"] for row in found] == [3.66, 3.72]
    for row in found:
        expected = ensemble_spread(members[:2], frames[row["lattice_parameter_A"]])
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    alone = context(made, tmp_path, Kind.REPORT, params={"potential": 99, "stop": "converged"})
    assert uncertainties(alone) == []


# Cells ------------------------------------------------------------------------------------------------------------


def test_starting_cells():
    campaign = small("c", system={**small().system.model_dump(), "supercell": [2, 2, 2]})
    up = starting_cell(campaign, 3.5, "ferromagnetic", 4)
    assert len(up) == 32 and up.info == {} and np.asarray(up.cell)[0, 0] == pytest.approx(7.0)
    typical = np.where(up.symbols == "Fe", 2.6, 0.3)
    np.testing.assert_allclose(up.get_initial_magnetic_moments(), typical)
    assert list(up.symbols) == list(starting_cell(campaign, 3.5, "ferromagnetic", 4).symbols)
    assert list(up.symbols) != list(starting_cell(campaign, 3.5, "ferromagnetic", 5).symbols)
    planes = starting_cell(campaign, 3.5, "antiferromagnetic", 4)
    assert list(planes.symbols) == list(up.symbols)
    np.testing.assert_allclose(np.abs(planes.get_initial_magnetic_moments()), typical)
    heights = np.round(2 * planes.positions / 3.5).astype(int) % 2
    signs = np.sign(planes.get_initial_magnetic_moments())
    assert any(np.array_equal(signs, np.where(heights[:, axis], -1, 1)) for axis in range(3))
    random = starting_cell(campaign, 3.5, "random", 4).get_initial_magnetic_moments()
    np.testing.assert_allclose(np.abs(random), typical)
    assert 8 <= np.sum(random < 0) <= 24
    other = starting_cell(campaign, 3.5, "random", 5).get_initial_magnetic_moments()
    assert not np.array_equal(np.sign(random), np.sign(other))


def test_an_engine_is_asked_for_here_and_for_elsewhere(monkeypatch):
    from mmtp_fw.dft.hamiltonian import HamiltonianEngine

    check_engine(small(), here=True)
    asked = []

    def missing(self, atoms):
        asked.append(atoms)
        raise EngineError("no program")

    monkeypatch.setattr(HamiltonianEngine, "check", missing)
    check_engine(small(), here=False)
    with pytest.raises(EngineError, match="no program"):
        check_engine(small(), here=True)
    assert asked[0].cell[0, 0] == pytest.approx(3.72), "the first lattice parameter's cell"

    def refuse(self, atoms):
        raise InputError("no such moments")

    monkeypatch.setattr(HamiltonianEngine, "check", refuse)
    for here in (True, False):
        with pytest.raises(InputError, match="no such moments"):
            check_engine(small(), here)


def test_pretraining_generates_what_the_settings_say(database, tmp_path):
    bcc = {"structure": "bcc", "supercell": [2, 1, 1], "lattice_parameters_A": [2.8, 2.9]}
    sections = {
        "pretraining": {
            "structures": 4, "displacement_A": 0.05, "strain": 0.01, "moment_scale": 0.4, "flipped_fraction": 0.6,
        },
        "system": small().system.model_dump() | bcc,
    }  # fmt: skip
    made = Recorded(database, small("c", **sections))
    at = context(made, tmp_path, Kind.PRETRAIN)
    found = PretrainWork().compute(at)
    expected = generate(
        {"Fe": 0.75, "Pd": 0.25}, [2.8, 2.9], {"Fe": 2.6, "Pd": 0.3}, structures=4, structure="bcc",
        supercell=(2, 1, 1), displacement_A=0.05, strain=0.01, moment_scale=0.4, flipped_fraction=0.6,
        seed=seed_of(made.campaign, "c/000/pretrain"),
    )  # fmt: skip
    for one, two in zip(found, expected, strict=True):
        assert one == two and one.info == two.info
        np.testing.assert_array_equal(one.get_initial_magnetic_moments(), two.get_initial_magnetic_moments())
    result = stored(PretrainWork(), at, [*found, found[0]])
    assert len(result["configurations"]) == 4, "each once"
    documents = {d["_id"]: d for d in database.configurations.find()}
    assert list(result["configurations"]) == sorted(documents, key=lambda key: documents[key]["number"])
    origin = documents[result["configurations"][1]]["origin"]
    assert (origin["campaign"], origin["action"]) == ("c", "c/000/pretrain")
    assert origin["generator"]["index"] == 1


# Fits -------------------------------------------------------------------------------------------------------------


def test_a_configuration_is_in_validation_by_its_own_hash():
    keys = [f"{int(share * 2**32):08x}{k:024x}/settings" for k, share in enumerate((0.05, 0.0999, 0.1001, 0.5, 0.99))]
    assert split(keys, 0.1) == (keys[2:], keys[:2])
    assert split(keys, 0.0) == (keys, []) and split(keys, 0.499) == (keys[3:], keys[:3])
    assert split(keys[:2], 0.1) == (keys[:2], []), "there must be something to train on"
    assert split(keys[::-1], 0.1)[0] == keys[:1:-1], "in their order"


def written(database, labelled, campaign=None) -> tuple[Recorded, list[str]]:
    """Write labels of two rounds down; return their calculations in key order."""
    made = Recorded(database, campaign)
    keys = []
    for k, label in enumerate(labelled):
        configuration = made.configuration(0.01 * k)
        made.label(int(k > 2), configuration, {"outcome": "accepted", "reason": "r"}, {"label": label, "rule": "x"})
        keys.append(f"{configuration}/settings")
    return made, keys


def test_labels_to_fit_are_the_accepted_ones_up_to_this_round(database, tmp_path, labelled):
    weights = {"A": 0.5, "B": 0.25, "C": 0.125}
    made, keys = written(database, labelled, small("c", fit={"quality_weights": weights}))
    rejected = made.configuration(0.5)
    made.label(0, rejected, {"outcome": "rejected"}, {"label": labelled[0]})
    other = Recorded(database, small("other"))
    foreign = other.configuration(0.6)
    other.label(0, foreign, {"outcome": "accepted"}, {"label": labelled[0]})
    first = accepted_labels(context(made, tmp_path, Kind.FIT, 0))
    assert list(first) == sorted(keys[:3])
    every = accepted_labels(context(made, tmp_path, Kind.FIT, 1))
    assert list(every) == sorted(keys)
    for key, label in zip(keys, labelled, strict=True):
        assert every[key].info["weight"] == weights[label["grade"]]
        assert every[key].get_potential_energy() == label["energy_eV"]


def test_a_fit_takes_its_form_and_settings_from_the_campaign(database, tmp_path, labelled):
    form = {
        "level": 4, "r_min_A": 1.7, "r_cut_A": 4.25, "radial_size": 3, "magnetic_size": 2, "max_moment_muB": 3.75,
        "symmetrized": True,
    }  # fmt: skip
    weights = {"energy_weight": 2.0, "forces_weight": 0.03, "stress_weight": 0.004, "magnetic_forces_weight": 0.5}
    section = weights | {"max_iterations": 3, "validation_fraction": 0.0, "settings": {"tolerance": 0.0, "threads": 1}}
    made, keys = written(
        database, labelled, small("c", potential=form, fit=section, selection={"mode": "configuration"})
    )
    at = context(made, tmp_path, Kind.FIT, 1, params={"parent": None, "role": "version"})
    fitted = FitWork().compute(at)
    result = stored(FitWork(), at, fitted)
    document = database.potentials.find_one({"_id": result["potential"]})
    potential = load_potential(database, result["potential"])
    assert (potential.r_min, potential.r_cut, potential.radial_size) == (1.7, 4.25, 3)
    assert (potential.magnetic_size, potential.max_moment, potential.symmetrized) == (2, 3.75, True)
    assert document["weights"] == {
        "energy": 2.0, "forces": 0.03, "stress": 0.004, "magnetic_forces": 0.5, "moment_deviation_muB": 0.0,
    }  # fmt: skip
    wanted = {"campaign": "c", "iteration": 1, "action": "c/001/fit", "role": "version", "member_of": None}
    wanted |= {"parent": None, "level": 4, "species": ["Fe", "Pd"], "n_parameters": potential.n_parameters}
    assert wanted.items() <= document.items() and document["content_hash"] == potential.content_hash
    assert document["fit"]["iterations"] == 3 and document["fit"]["excluded"] == [] == document["fit"]["suspects"]
    assert set(document["errors"]) >= {"energy_per_atom_eV"} and document["validation_errors"] == {}
    training = database.training_sets.find_one({"_id": document["training_set"]})
    assert training["calculations"] == sorted(keys) and training["validation"] == []
    active = load_active_set(database, result["potential"])
    assert active.mode == "configuration" and active.potential.content_hash == potential.content_hash
    assert result["labels"] == 5 and set(result["fit"]) == {"loss", "converged", "iterations", "message"}
    assert result["fit"]["loss"] == document["fit"]["loss"] > 0
    # From the parent; and a member of an ensemble, which needs no active set.
    at = context(made, tmp_path, Kind.FIT, 2, params={"parent": result["potential"], "role": "version"})
    child = FitWork().compute(at)
    assert "from the given parameters" in child.fields["fit"]["decision"]
    assert database.potentials.find_one({"_id": stored(FitWork(), at, child)["potential"]})["parent"] == 1
    at = context(made, tmp_path, Kind.FIT, 1, "member-1", {"parent": None, "role": "member", "of": 1})
    member = database.potentials.find_one({"_id": stored(FitWork(), at, FitWork().compute(at))["potential"]})
    assert (member["role"], member["member_of"], member["active_set"]) == ("member", 1, None)
    assert member["content_hash"] != document["content_hash"], "another start"
    with pytest.raises(InputError, match="no active set of a potential 3"):
        load_active_set(database, 3)
    for load in (load_potential, load_active_set):
        with pytest.raises(InputError, match="potential 77 in this database"):
            load(database, 77)


def test_labels_for_validation_are_told_and_never_trained_on(database, tmp_path, labelled):
    section = {"max_iterations": 2, "validation_fraction": 0.49, "settings": {"threads": 1}}
    made, keys = written(database, labelled, small("c", fit=section))
    training, validation = split(sorted(keys), 0.49)
    assert training and validation, "the cells of this test are in both"
    at = context(made, tmp_path, Kind.FIT, 1, params={"parent": None, "role": "version"})
    fitted = FitWork().compute(at)
    assert fitted.validation == validation and fitted.calculations == sorted(keys)
    assert fitted.fields["errors"]["energy_per_atom_eV"]["count"] == len(training)
    assert fitted.fields["validation_errors"]["energy_per_atom_eV"]["count"] == len(validation)
    assert len(fitted.fields["fit"]["loss_by_configuration"]) == len(training)


def test_a_fit_without_usable_labels(database, tmp_path, labelled):
    made, _ = written(
        database, labelled[:1], small("c", potential={"level": 4, "max_moment_muB": 2.61, "r_cut_A": 4.0})
    )
    label = {**labelled[0], "moments": [3.0] * 4}
    database.calculations.update_many({}, {"$set": {"label": label}})
    with pytest.raises(FitError, match=r"no label can be fitted: .*3\.000 μB"):
        FitWork().compute(context(made, tmp_path, Kind.FIT, 1, params={"parent": None}))


def test_what_cannot_be_fitted_keeps_its_first_reason(fepd, labelled):
    from mmtp_fw.dft.stages import Label

    good, bad = (Label.model_validate(label).to_atoms() for label in labelled[:2])
    bad.calc.results["forces"][0] = np.nan
    bad.calc.results["energy"] = np.nan
    kept, excluded = usable(fepd, {"good": good, "bad": bad})
    assert list(kept) == ["good"] and list(excluded) == ["bad"] and "energy holds NaN" in excluded["bad"]


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
    assert set(result) == {"outcome", "magnetization_muB_per_atom", "pressure_GPa", "md_steps"}
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
    assert set(spectrum) == {"frequency_THz", "total", "species"} and set(spectrum["species"]) == {"Fe", "Pd"}
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
    assert mine["pressure_GPa"] == pytest.approx(-stress[:3].mean() / units.GPa)
    np.testing.assert_allclose(mine["frames"][0].get_initial_magnetic_moments(), relaxed)
    _, its = average_of(made, tmp_path, "reference")
    free = get_engine("hamiltonian").unconstrained(start)
    assert its["magnetization_muB_per_atom"] == pytest.approx(free.get_magnetic_moments().mean())
    assert its["pressure_GPa"] == pytest.approx(-free.get_stress()[:3].mean() / units.GPa)
    for found in (mine, its):
        assert found["outcome"] == "done" and len(found["frames"]) == 1 and found["frames"][0].info["step"] == 0
    assert set(stored(PropertyWork(), at, mine)) == {"outcome", "magnetization_muB_per_atom", "pressure_GPa"}
