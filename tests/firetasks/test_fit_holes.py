"""What a fit keeps of its potential's holes, and what would be labelled to close them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from recorded_campaign import Recorded, context, stored
from small_campaign import small

from mmtp_fw.database import atoms_codec
from mmtp_fw.firetasks.fit import FitWork, _Fitted
from mmtp_fw.firetasks.holes import closing, documents
from mmtp_fw.fitting import check_stability
from mmtp_fw.loop.facts import Fact, Kind
from mmtp_fw.potential import Potential, TrainedRange

DATA = Path(__file__).parents[1] / "potential" / "data"


@pytest.fixture(scope="module")
def frame():
    return read(DATA / "hole.xyz")


@pytest.fixture(scope="module")
def holed(frame) -> Potential:
    potential = Potential.read(DATA / "hole.mmtp")
    distances = TrainedRange.of(potential, [frame]).distances
    potential.trained = TrainedRange(np.array([[-3.2, 3.2], [-0.5, 0.5]]), distances)
    return potential


def test_a_hole_is_closed_by_moments_that_the_species_can_carry(frame, holed):
    holes = check_stability(holed, [frame]).within_reach(300.0)
    (atoms,) = closing(small("c"), holed, holes)
    moments, before = (one.get_initial_magnetic_moments() for one in (atoms, frame))
    changed = np.flatnonzero(moments != before)
    assert np.all(atoms.numbers[changed] == 46) and np.all(np.abs(moments[changed]) > 0.6), "beyond the trained 0.5"
    assert np.abs(moments[atoms.numbers == 46]).max() < 2.0, "what palladium can carry"
    assert atoms.info == {"closes": holes[0].message}
    assert closing(small("c"), holed, []) == ()


def test_a_hole_where_no_label_can_be_has_no_candidate(frame, holed):
    (hole,) = check_stability(holed, [frame]).within_reach(300.0)
    wide = holed.copy()
    wide.trained = TrainedRange(np.array([[-3.2, 3.2], [-3.9, 3.9]]), holed.trained.distances)
    far = hole.candidate.copy()
    far.set_initial_magnetic_moments(np.where(far.numbers == 46, 3.99, 2.0))
    assert closing(small("c"), wide, [replace(hole, candidate=far)]) == (None,), "drawn back it is inside"


def test_a_version_knows_its_holes_and_its_fact_tells_the_planner(database, tmp_path, frame, holed):
    made = Recorded(database, small("c"))
    configuration = made.configuration(0.0)
    holes = check_stability(holed, [frame]).within_reach(300.0)
    candidates = closing(made.campaign, holed, holes)
    assert len(candidates) == 1
    fields = {"fit": {"loss": 1.0, "converged": True, "iterations": 3, "message": "m", "holes": documents(holes)}}
    fields |= {"content_hash": holed.content_hash}
    payload = _Fitted(holed.dumps(), None, [f"{configuration}/settings"], [], None, fields, candidates)
    at = context(made, tmp_path, Kind.FIT, 0, params={"parent": None, "role": "version"})
    result = stored(FitWork(), at, payload)
    (kept,) = database.potentials.find_one({"_id": result["potential"]})["fit"]["holes"]
    assert kept["species"] == "Pd" and kept["message"] == holes[0].message and kept["barrier_eV"] == holes[0].barrier
    again = atoms_codec.from_document(database.configurations.find_one({"_id": kept["configuration"]})["atoms"])
    np.testing.assert_array_equal(
        again.get_initial_magnetic_moments(), candidates[0].get_initial_magnetic_moments().round(12)
    )
    fact = Fact.from_result("c/000/fit", "fit", 0, result)
    assert fact.holes == 1 and fact.configurations == (kept["configuration"],)
    origin = database.configurations.find_one({"_id": kept["configuration"]})["origin"]
    assert origin["closes"] == kept["message"] and origin["action"] == "c/000/fit"
