"""Cut a backup down to what a test can carry: one campaign as it is, another to the end of its first round.

``python trim.py FULL TRIMMED WHOLE FIRST_ROUND``, with MMTP_HOME on an empty directory: its embedded database is filled
and emptied. Documents are kept or dropped, never written anew, but for three things: the campaign that is cut has not
ended, references to blobs of more than 20 kB become None, and directories and machines have no names.
"""

from __future__ import annotations

import sys

from mmtp_fw.database import Database, backup
from mmtp_fw.database.collections import DECLARED

LARGEST_BLOB = 20_000


def trim(database: Database, whole: str, first_round: str) -> None:
    """Drop what neither campaign needs."""
    db = database.db
    kept = {"$or": [{"campaign": whole}, {"campaign": first_round, "iteration": 0}]}
    db.campaigns.delete_many({"_id": {"$nin": [whole, first_round]}})
    db.campaigns.update_one({"_id": first_round}, {"$set": {"finished": None, "stop": None}})
    for name in ("actions", "potentials", "md_runs", "properties"):
        db[name].delete_many({"$nor": [kept]})
    keys = db.actions.distinct("_id")
    db.claims.delete_many({"$and": [{"_id": {"$nin": keys}}, {"_id": {"$not": {"$regex": "^calculation/"}}}]})
    db.suspicions.delete_many({})
    labelled = db.actions.distinct("result.calculation")
    db.calculations.delete_many({"_id": {"$nin": labelled}})
    db.claims.delete_many({"_id": {"$regex": "^calculation/", "$nin": _claimed(database)}})
    wanted = db.actions.distinct("result.configurations") + db.calculations.distinct("configuration")
    db.configurations.delete_many({"_id": {"$nin": wanted}})
    db.training_sets.delete_many({"_id": {"$nin": db.potentials.distinct("training_set")}})
    _trim_blobs(database)
    _trim_fireworks(database, keys)


def _claimed(database: Database) -> list[str]:
    claims = database.db.claims.distinct("_id", {"_id": {"$regex": "^calculation/"}})
    there = set(database.db.calculations.distinct("configuration"))
    return [key for key in claims if key.split("/")[1] in there]


def _trim_blobs(database: Database) -> None:
    db = database.db
    large = db["blobs.files"].distinct("_id", {"length": {"$gt": LARGEST_BLOB}})
    used: set[str] = set()
    for name, declared in DECLARED.items():
        for field in declared.blobs:
            db[name].update_many({field: {"$in": large}}, {"$set": {field: None}})
            used.update(digest for digest in db[name].distinct(field) if digest)
    db["blobs.files"].delete_many({"_id": {"$nin": list(used)}})
    db["blobs.chunks"].delete_many({"files_id": {"$nin": list(used)}})


def _trim_fireworks(database: Database, keys: list[str]) -> None:
    db = database.db
    db.fireworks.delete_many({"spec.action": {"$nin": keys}})
    numbers = db.fireworks.distinct("fw_id")
    db.launches.delete_many({"fw_id": {"$nin": numbers}})
    db.workflows.delete_many({"nodes": {"$nin": numbers}})
    for launch in db.launches.find({}, {"launch_dir": 1}):
        place = "/runs/" + launch["launch_dir"].partition("/runs/")[2]
        db.launches.update_one({"_id": launch["_id"]}, {"$set": {"launch_dir": place}})
    db.claims.update_many({"process.machine": {"$exists": True}}, {"$set": {"process.machine": "machine"}})


if __name__ == "__main__":
    full, trimmed, *names = sys.argv[1:]
    with Database.open() as opened:
        backup.restore(opened, full)
        trim(opened, *names)
        print(backup.backup(opened, trimmed))
        opened.reset()
