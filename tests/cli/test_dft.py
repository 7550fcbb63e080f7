"""`mmtp dft converge`: from a campaign's file to its report."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml
from small_campaign import small

from mmtp_fw.cli import main
from mmtp_fw.dft import registry
from mmtp_fw.dft.registry import rungs
from mmtp_fw.report import gather_report, write_report
from mmtp_fw.workflows.submit import submit_campaign


@pytest.fixture
def campaign_file(tmp_path, monkeypatch):
    """The small campaign, on a Hamiltonian with a ladder that changes nothing."""
    known = registry.describe
    ladders = {"survival": lambda chosen: rungs(chosen, ["jump_limit_scale"], [2.0, 3.0])}
    with_ladder = replace(known("hamiltonian"), ladders=ladders)
    for module in ("converge", "registry"):  # the first is imported here
        monkeypatch.setattr(
            f"mmtp_fw.dft.{module}.describe", lambda name: with_ladder if name == "hamiltonian" else known(name)
        )
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small().model_dump(mode="json")))
    return path


def mmtp(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code)


def test_what_is_open_is_printed_stored_and_reported(database, campaign_file, capsys, tmp_path):
    assert mmtp("dft", "converge", campaign_file) == 0
    told = capsys.readouterr().out
    assert "jump_limit_scale 3.0" in told and "meV/μB" in told
    assert "There is no campaign 'small'" in told
    submit_campaign(database, small())
    assert mmtp("dft", "converge", campaign_file, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["stored"] is True and set(document["left_open"]) == set(
        document["ladders"]["survival"][0]["differences"]
    )
    data = gather_report(database, "small")
    assert data["campaign"]["convergence"]["ladders"] == document["ladders"]
    assert "settings leave open" in write_report(data, tmp_path / "report").read_text()


def test_an_engine_without_cut_offs_is_refused_in_one_line(database, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small().model_dump(mode="json")))
    assert mmtp("dft", "converge", path) == 2
    assert "'hamiltonian' has no cut-off or k-mesh" in capsys.readouterr().err
