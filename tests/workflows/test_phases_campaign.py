"""A campaign of several phases on the reference Hamiltonian, from a file to its report."""

from __future__ import annotations

import json

from ase.build import bulk
from ase.io import write
from small_campaign import SMALL, check_finished

from mmtp_fw.campaign import parse_campaign
from mmtp_fw.firetasks.reproduce import reproduce
from mmtp_fw.frames import Campaign as Frames
from mmtp_fw.report.gather import gather_report
from mmtp_fw.workflows.local import LocalRun
from mmtp_fw.workflows.submit import submit_campaign

TEXT = {
    **SMALL,
    "name": "phases",
    "system": {
        "species": ["Fe", "Pd"],
        "typical_moments_muB": {"Fe": 2.4, "Pd": 0.3},
        "phases": [
            {
                "name": "fcc",
                "structure": "fcc",
                "compositions": [{"Fe": 0.75, "Pd": 0.25}],
                "lattice_parameters_A": [3.74],
                "held_out_lattice_parameters_A": [3.68],
                "orders": ["ferromagnetic", "antiferromagnetic"],
            },
            {"name": "bcc", "file": "POSCAR", "supercell": [2, 1, 1], "vacancies": 1},
        ],
    },
    "pretraining": {"structures": 8},
}


def test_every_point_is_compared_and_shown(database, tmp_path):
    write(tmp_path / "POSCAR", bulk("Fe", "bcc", a=2.87, cubic=True))
    campaign = parse_campaign(json.dumps(TEXT), "phases.yaml", tmp_path)
    submit_campaign(database, campaign)
    assert LocalRun(database, "phases", 2, tmp_path / "runs").run(lambda position: None, interval=0.2)
    check_finished(database, "phases")
    points = {("fcc", order, a) for order in ("ferromagnetic", "antiferromagnetic") for a in (3.68, 3.74)}
    points |= {("bcc", "ferromagnetic", 2.87)}
    data = gather_report(database, "phases")
    told = data["conclusion"]["volumes"]
    assert {(row["phase"], row["magnetic_order"], row["lattice_parameter_A"]) for row in told} == points
    assert {row["lattice_parameter_A"] for row in told if row["held_out"]} == {3.68}
    frame = Frames("phases", database).properties
    shown = set(zip(frame.phase, frame.magnetic_order, frame.lattice_parameter_A, strict=True))
    assert shown == points and len(frame) == 2 * len(points), "of the potential and of the reference"
    formulas = set(Frames("phases", database).labels.formula)
    assert formulas == {"Fe3Pd", "Fe3"}, "of both phases, one with a vacancy"
    assert {run["params"]["phase"] for run in database.md_runs.find({}, {"params": 1})} == {"fcc", "bcc"}
    key = database.properties.find_one({"params.phase": "bcc", "source": "reference"})["_id"]
    assert reproduce(database, key).equal
