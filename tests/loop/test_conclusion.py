"""The verdict on a campaign from what its database holds, older documents included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_campaign import Recorded, averages
from small_campaign import small

from mmtp_fw.database.backup import restore
from mmtp_fw.database.summary import summarize
from mmtp_fw.loop.conclusion import conclusion
from mmtp_fw.loop.facts import Kind
from mmtp_fw.report.gather import gather_report
from mmtp_fw.report.write import write_report

M, P, A = "magnetization_muB_per_atom", "pressure_GPa", "absolute_moment_muB_per_atom"
ERRORS = {f"{M}_error": 0.002, f"{P}_error": 0.05}
BACKUP = Path(__file__).parents[1] / "database" / "data" / "schema-1.backup"


def compared(made, a, mine=(1.5, 2.0), its=(1.5, 2.0), grade=1.2, errors=(0.002, 0.05)):
    more = {f"{M}_error": errors[0], f"{P}_error": errors[1]} if errors else {}
    graded = {} if grade is None else {"max_grade": grade}
    made.property(1, "mmtp", a, averages(*mine), **more, **graded)
    made.property(0, "reference", a, averages(*its), **more)


def ended(made, stop="converged", volumes=(3.66, 3.72, 3.78)):
    spreads = [{"lattice_parameter_A": a, M: 0.003, P: 0.1} for a in volumes]
    made.action(Kind.REPORT, 1, result={"outcome": "done", "summary": {"ensemble": spreads}})
    made.database.campaigns.update_one({"_id": made.name}, {"$set": {"stop": stop}})


def test_validated_at_all_volumes(database):
    made = Recorded(database)
    for a in (3.66, 3.72, 3.78):
        compared(made, a)
    assert conclusion(database, "c")["headline"] == "not finished"
    ended(made)
    found = conclusion(database, "c")
    assert found["headline"] == "converged and validated" and found["reasons"] == []
    rows = [(row["lattice_parameter_A"], row["held_out"], row["verdict"]) for row in found["volumes"]]
    assert rows == [(3.66, True, "inside both"), (3.72, False, "inside both"), (3.78, False, "inside both")]
    assert found["volumes"][0]["differences"][P]["model"] == 0.1
    assert conclusion(database, "c", "max_labels")["headline"] == "not converged (budget.max_labels is spent)"
    assert conclusion(database, "c", ensemble=[])["verdict"] == "converged, not validated"


def test_a_held_out_volume_is_judged_like_the_others(database):
    made = Recorded(database)
    compared(made, 3.72)
    compared(made, 3.66, mine=(1.5, 2.9))
    made.property(1, "mmtp", 3.78, {"outcome": "exploded", "message": "step 3: 9000 K"})
    ended(made)
    found = conclusion(database, "c")
    assert [row["verdict"] for row in found["volumes"]] == ["outside", "inside both", "unstable potential"]
    assert "3.66 Å outside: pressure off by 0.9 GPa" in found["headline"] and "9000 K" in found["headline"]


def test_at_rest_there_is_no_statistical_error(database):
    made = Recorded(database, small("c", properties={"mode": "static"}))
    compared(made, 3.72, errors=None)
    ended(made)
    found = conclusion(database, "c")
    assert found["headline"] == "converged and validated"
    assert found["volumes"][0]["differences"][M]["statistical"] == 0.0
    moving = Recorded(database, small("d"))
    compared(moving, 3.72, errors=None)
    ended(moving)
    assert "no statistical uncertainty" in conclusion(database, "d")["headline"]


def test_an_antiferromagnet_is_not_validated_by_its_magnetization(database, tmp_path):
    made = Recorded(database)
    for a in (3.72, 3.78):
        compared(made, a, (0.0, 2.0), (0.0, 2.05))
    ended(made)
    assert "magnetization is zero in both" in conclusion(database, "c")["headline"]
    summary = summarize(database, "c")
    assert summary["magnetization_mae_muB_per_atom"] is None, "0 = 0 is no measure of accuracy"
    assert summary["pressure_mae_GPa"] == pytest.approx(0.05)


@pytest.mark.parametrize(("size", "headline"), [(2.1, "converged and validated"), (2.0, "outside: mean size")])
def test_an_antiferromagnet_is_judged_by_the_size_of_its_moments(database, size, headline):
    made = Recorded(database)
    sizes = {f"{A}_error": 0.002}
    made.property(1, "mmtp", 3.72, averages(0.0, 2.0), **ERRORS, **sizes, max_grade=1.2, **{A: size})
    made.property(0, "reference", 3.72, averages(0.0, 2.05), **ERRORS, **sizes, **{A: 2.1})
    spreads = [{"lattice_parameter_A": 3.72, M: 0.003, P: 0.1, A: 0.004}]
    assert headline in conclusion(database, "c", "converged", spreads)["headline"]
    known = conclusion(database, "c", "converged", [{"lattice_parameter_A": 3.72, M: 0.003, P: 0.1}])
    assert "magnetization is zero in both" in known["headline"], "without its model uncertainty it says nothing"


def test_the_newest_averages_count(database):
    made = Recorded(database)
    made.property(0, "mmtp", 3.72, averages(9.0, 9.0))
    compared(made, 3.72)
    ended(made)
    assert conclusion(database, "c")["verdict"] == "converged and validated"


def test_an_older_database_is_not_judged_where_it_does_not_say(database, tmp_path):
    restore(database, BACKUP)
    name = database.campaigns.find_one()["_id"]
    data = gather_report(database, name)
    verdicts = {row["verdict"] for row in data["conclusion"]["volumes"]}
    assert verdicts <= {"not judged", "outside", "unstable potential"}
    write_report(data, tmp_path / "report")
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["headline"] == data["conclusion"]["headline"]
    assert summary["volumes"] == data["conclusion"]["volumes"]


@pytest.mark.parametrize(("ratio", "pairs", "told"), [(3.0, 9, True), (0.3, 9, True), (1.0, 9, False), (3.0, 4, False)])
def test_an_uncalibrated_uncertainty_reaches_headline_and_summary(database, ratio, pairs, told):
    made = Recorded(database)
    compared(made, 3.72)
    surprise = {"pairs": {"forces_eV_per_A": {"errors": [0.01 * ratio] * pairs, "uncertainties": [0.01] * pairs}}}
    version = made.fit(1)
    database.potentials.update_one({"_id": version}, {"$set": {"fit.surprise": surprise}})
    ended(made)
    found = conclusion(database, "c")
    assert ("uncertainties not calibrated: forces at new labels" in found["headline"]) is told
    assert gather_report(database, "c")["summary"]["headline"] == found["headline"]
