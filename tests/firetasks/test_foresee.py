"""What `mmtp run --dry-run` finds in a database, and what it refuses as submitting would."""

from __future__ import annotations

import pytest
from small_campaign import small

from mmtp_fw.database import Database, store
from mmtp_fw.dft import get_engine
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.foresee import foresee
from mmtp_fw.firetasks.label import calculation_key
from mmtp_fw.firetasks.pretrain import first_configurations
from mmtp_fw.workflows.submit import submit_campaign


def record(database: Database, campaign, count: int, status: str = "accepted", seconds: float = 7.0) -> None:
    """Store calculations of a campaign's first configurations, one stage each."""
    engine = get_engine("hamiltonian")
    for atoms in first_configurations(campaign, f"{campaign.name}/000/pretrain")[:count]:
        configuration = store.add_configuration(database, atoms, {"campaign": campaign.name})
        key = calculation_key(configuration, engine, campaign.dft.protocol)
        store.begin_calculation(database, key, configuration, "hamiltonian", engine.settings_document(), "here:1")
        stage = {"index": 0, "name": "ramp", "scf_steps": 12, "wall_seconds": seconds, "converged": True}
        store.save_stage(database, key, stage)
        store.save_stage(database, key, stage | {"index": 1, "reused_from": "other", "wall_seconds": 900.0})
        store.finish_calculation(database, key, status, "", {"label": None})


def test_labels_of_another_campaign_are_found_and_calibrate(database):
    record(database, small("earlier"), 5)
    outlook = foresee(small("c"), database)
    assert (outlook.first, outlook.first_labelled, outlook.labels) == (6, 5, None)
    assert outlook.cost.scf_seconds[1] == pytest.approx(7.0), "stages of others are not counted twice"
    assert outlook.cost.rests_on == "5 finished stages of Hamiltonian in this database"
    assert outlook.cost.scf_runs[0] < foresee(small("c"), None).cost.scf_runs[0]
    assert outlook.lacks == "" and database.campaigns.count_documents({}) == 0


def test_rejected_labels_and_those_of_other_settings_are_not_there(database):
    record(database, small("earlier"), 4, status="rejected")
    assert foresee(small("c"), database).first_labelled == 0
    record(database, small("e2", seed=9), 2)
    other = small("c", seed=9, dft={"settings": {"jump_limit_scale": 2.0}})
    assert foresee(other, database).first_labelled == 0
    assert foresee(small("c", seed=9), database).first_labelled == 2


def test_nothing_is_looked_for_without_a_database():
    outlook = foresee(small("c"), None)
    assert outlook.first_labelled is None and "no finished stage" in outlook.cost.rests_on


def test_a_campaign_with_other_settings_is_refused_as_submitting_does(database):
    submit_campaign(database, small("c"))
    assert foresee(small("c"), database).labels == 0
    raised = small("c", budget={"max_iterations": 2, "max_labels": 12})
    assert foresee(raised, database).labels == 0, "a larger budget goes on"
    changed = small("c", seed=8)
    with pytest.raises(InputError, match="other settings: seed") as planned:
        foresee(changed, database)
    with pytest.raises(InputError) as submitted:
        submit_campaign(database, changed)
    assert str(planned.value) == str(submitted.value)


def test_species_and_settings_that_the_engine_refuses_are_refused():
    chromium = {
        "species": ["Cr"], "composition": {"Cr": 1.0}, "structure": "bcc", "lattice_parameters_A": [2.88],
        "held_out_lattice_parameters_A": [], "typical_moments_muB": {"Cr": 1.0},
    }  # fmt: skip
    with pytest.raises(InputError, match="Cr"):
        foresee(small("c", system=chromium), None)
    with pytest.raises(InputError, match="jump"):
        foresee(small("c", dft={"settings": {"jump_limit": 1.0}}), None)
