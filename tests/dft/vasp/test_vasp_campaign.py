"""A small campaign with engine: vasp, on worker processes and a real mongod, the stand-in in VASP's place."""

from __future__ import annotations

import pytest
from small_campaign import check_finished, labels_of, small

from mmtp_fw.errors import InputError
from mmtp_fw.workflows.local import LocalRun
from mmtp_fw.workflows.submit import submit_campaign


def test_wrong_settings_of_the_engine_are_refused_before_anything_is_planned(database):
    settings = {"dft": {"engine": "vasp", "settings": {"encut": 400}}, "properties": {"reference": False}}
    wrong = small("wrong", **settings)
    with pytest.raises(InputError, match="did you mean 'encut_eV'"):
        submit_campaign(database, wrong)
    assert not database.campaigns.count_documents({}) and not database.actions.count_documents({})


def test_a_campaign_with_vasp(database, potcars, command, tmp_path, monkeypatch):
    monkeypatch.setenv("MMTP_VASP_COMMAND", command)
    monkeypatch.setenv("VASP_SCRATCH", str(tmp_path / "scratch"))
    campaign = small(
        "vasp",
        pretraining={"structures": 4},
        budget={"max_iterations": 1, "max_labels": 4},
        properties={"steps": 40, "equilibration_steps": 10, "reference": False},
        dft={
            "engine": "vasp",
            "settings": {"poll_s": 0.05, "nelm": 60, "kspacing_per_A": 0.4, "work_directory": "$VASP_SCRATCH"},
            "protocol": {"radii_runs": 1, "refine_runs": 0},
        },
    )
    submit_campaign(database, campaign)
    assert LocalRun(database, "vasp", 2, tmp_path / "workers").run(lambda position: None, interval=0.2)
    check_finished(database, "vasp")
    outcomes = labels_of(database, "vasp")
    assert len(outcomes) >= 4 and set(outcomes.values()) <= {"accepted", "rejected"}
    assert "accepted" in outcomes.values()
    for calculation in database.calculations.find({"status": "accepted"}):
        label = calculation["label"]
        assert calculation["engine"] == "vasp" and label["which_definition"] == "PAW"
        restarts = [stage["restart"]["folder"] for stage in calculation["stages"] if stage.get("restart")]
        assert restarts and all((tmp_path / "scratch").glob(f"*/{folder}/OUTCAR") for folder in restarts)
    assert not list(tmp_path.rglob("POTCAR")), "POTCARs are never kept"
