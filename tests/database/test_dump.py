"""Databases that earlier programs wrote, as data/README.md describes them: nothing of them is lost or misread."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_campaign import check_documents

from mmtp_fw.cli import main
from mmtp_fw.database import backup, check, history
from mmtp_fw.loop.gather import gather
from mmtp_fw.loop.planner import locate

DUMP = Path(__file__).parent / "data" / "schema-1.backup"


@pytest.fixture
def dump(database):
    assert backup.restore(database, DUMP)["calculations"] == 16
    return database


@pytest.fixture
def call(dump, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        assert ended.value.code == 0, out + err
        return out

    return run


def test_it_is_whole(dump):
    assert check.check(dump) == []
    check_documents(dump)
    assert locate(gather(dump, "small")).finished
    position = locate(gather(dump, "fe-pd-demo"))
    assert (position.iteration, position.phase, len(position.due)) == (1, "label", 4)


def test_what_the_commands_say_of_it(dump, call):
    status = json.loads(call("status", "small", "--json"))
    assert status["complete"] and (status["scf_runs"], status["md_steps"]) == (37, 240)
    rows = json.loads(call("find", "--json"))
    assert len(rows) == 20 and sum(row["status"] == "rejected" for row in rows) == 2
    assert len(json.loads(call("find", "--quality", "C", "--json"))) == 1
    shown = json.loads(call("show", "campaign", "small", "--json"))
    assert len(shown["labels"]) == 8 and [item["_id"] for item in shown["potentials"]] == list(range(11, 17))
    shown = json.loads(call("show", "potential", "12", "--json"))
    assert shown["parents"] == [11] and len(shown["labels"]) == 6 and len(shown["members"]) == 4
    assert len(json.loads(call("show", "md", "1", "--json"))["selected"]) == 1
    summary = json.loads(call("report", "small", "--json"))
    assert (summary["labels_accepted"], summary["labels_rejected"], summary["scf_runs"]) == (6, 2, 37)
    assert "Not finished yet" in Path(json.loads(call("report", "fe-pd-demo", "--json"))["report"]).read_text()
    for what in (["potential", "1"], ["configuration", "34"], ["md", "25"], ["campaign"]):
        assert "small" in call("show", *what) or what[1:] == ["1"]
    assert "0 problems" in call("db", "check")


def test_the_command_restores_it(database, call, tmp_path):
    database.reset()
    shutil.copy(DUMP, tmp_path / "all.backup")
    assert "of 19 collections" in call("db", "restore", "all.backup")
    assert history.potential(database, 1)["potential"]["n_parameters"] == 443
