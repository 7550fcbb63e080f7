"""The dashboard: every page is there, every link leads on, nothing is written, nothing comes from outside."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from small_campaign import run_until, small

from mmtp_fw.database.collections import DECLARED
from mmtp_fw.report.dashboard import application
from mmtp_fw.workflows.submit import submit_campaign

FEW = {"pretraining": {"structures": 3}, "fit": {"max_iterations": 5}, "md": {"steps": 10}}
MMTP = [sys.executable, "-c", "from mmtp_fw.cli import main; main()"]


@pytest.fixture
def recorded(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submit_campaign(database, small("c", **FEW))
    run_until(database, "select")
    return database


def contents(database) -> dict:
    return {name: list(database.db[name].find().sort("_id", 1)) for name in DECLARED}


def test_every_link_leads_on_and_nothing_is_written(recorded):
    before = contents(recorded)
    client = application(recorded).test_client()
    todo, seen = ["/"], {}
    while todo:
        address = todo.pop()
        answer = client.get(address)
        assert answer.status_code == 200, address
        seen[address] = answer.get_data(as_text=True)
        if answer.mimetype == "text/html":
            assert "://" not in seen[address], "nothing from outside this machine"
        links = re.findall(r'(?:href|src)="(/[^"]*)"', seen[address]) if answer.mimetype == "text/html" else []
        todo += [link for link in dict.fromkeys(links) if link not in seen and link not in todo]
    for name in ("potentials", "configurations", "md_runs"):
        kind, field = {
            "potentials": ("potential", "_id"),
            "configurations": ("label", "number"),
            "md_runs": ("md", "number"),
        }[name]
        for document in recorded.db[name].find({}, {field: 1}):
            assert f"/{kind}/{document[field]}" in seen, "everything is reached from the first page"
    assert {"/", "/find", "/workers", "/costs", "/campaign/c"} <= set(seen)
    assert seen["/potential/1/potential.mmtp"] == recorded.potentials.find_one({"_id": 1})["text"]
    assert contents(recorded) == before


def test_numbers_are_those_of_the_database(recorded):
    client = application(recorded).test_client()
    calculation = recorded.calculations.find_one({"status": "accepted"})
    number = recorded.configurations.find_one({"_id": calculation["configuration"]})["number"]
    page = client.get(f"/label/{number}").get_data(as_text=True)
    for stage in calculation["stages"]:
        assert stage["name"] in page
    run = recorded.md_runs.find_one()
    assert f"{run['max_grade']:.4g}" in client.get(f"/md/{run['number']}").get_data(as_text=True)
    assert client.get("/campaign/nope").status_code == client.get("/label/999").status_code == 404
    assert "no campaign" in client.get("/campaign/nope").get_data(as_text=True)
    assert client.post("/").status_code == 405, "it only reads"


def test_the_command_serves_on_this_machine(recorded):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = subprocess.Popen([*MMTP, "dashboard", "--port", str(port)], stdout=subprocess.PIPE, text=True)
    try:
        assert served.stdout.readline().startswith(f"http://127.0.0.1:{port}/")
        for _ in range(50):
            try:
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read().decode()
                break
            except OSError:
                time.sleep(0.1)
        assert "/campaign/c" in page
    finally:
        served.terminate()
        served.wait(30)
        served.stdout.close()
