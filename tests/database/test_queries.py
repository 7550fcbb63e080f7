"""No question that the commands ask reads a whole collection: the server's own profiler tells."""

from __future__ import annotations

from mmtp_fw.database import history, queries, views
from mmtp_fw.database.claims import Claim
from mmtp_fw.database.summary import summarize
from tests.database.test_store import campaign as campaign

ASKED = {
    "campaigns": views.campaigns,
    "running everywhere": views.running,
    "running": lambda db: views.running(db, "c"),
    "labels": lambda db: views.campaign_labels(db, "c"),
    "versions": lambda db: views.potentials(db, "c"),
    "runs": lambda db: views.md_runs(db, {"campaign": "c"}),
    "summary": lambda db: summarize(db, "c"),
    "properties": lambda db: queries.properties(db, "c"),
    "newest": queries.find_configurations,
    "find by campaign": lambda db: queries.find_configurations(db, campaign="c"),
    "find by formula": lambda db: queries.find_configurations(db, formula="Fe3Pd"),
    "find by status": lambda db: queries.find_configurations(db, status="accepted"),
    "find by engine": lambda db: queries.find_configurations(db, engine="hamiltonian"),
    "find by quality": lambda db: queries.find_configurations(db, quality="A"),
    "configuration": lambda db: history.configuration(db, "2"),
    "configuration by hash": lambda db: history.configuration(
        db, db.configurations.find_one({"number": 1}, {"_id": 1})["_id"][:12]
    ),
    "potential": lambda db: history.potential(db, "2"),
    "md run": lambda db: history.md_run(db, 1),
    "campaign": lambda db: history.campaign(db, "c"),
    "claim": lambda db: Claim.take(db, "c/000/fit", "me", 1.0),
}


def test_no_question_reads_a_whole_collection(database, campaign):
    offenders = {}
    for question, ask in ASKED.items():
        database.db["system.profile"].drop()
        database.db.command("profile", 2)
        try:
            ask(database)
        finally:
            database.db.command("profile", 0)
        seen = list(database.db["system.profile"].find({"planSummary": {"$exists": True}}))
        assert seen, question
        if found := [entry["command"] for entry in seen if "COLLSCAN" in entry["planSummary"]]:
            offenders[question] = found
    assert offenders == {}
