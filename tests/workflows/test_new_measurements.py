"""Measurements that come after a campaign was submitted."""

from __future__ import annotations

import pytest
from played_campaign import played

from mmtp_fw.campaign import Campaign
from mmtp_fw.campaign.experiment import ExperimentSettings
from mmtp_fw.errors import InputError
from mmtp_fw.workflows import submit_campaign


def with_measurement(campaign: Campaign, value: float) -> Campaign:
    one = ExperimentSettings(
        file="m.csv", quantity="magnetization", x=[3.7], y=[value], unit="muB/atom", x_unit="A", source="A. B."
    )
    properties = campaign.properties.model_copy(update={"experiment": [one]})
    return campaign.model_copy(update={"properties": properties})


def stored(database) -> list[float]:
    document = database.campaigns.find_one({"_id": "measured"})
    return [one["y"][0] for one in document["settings"]["properties"].get("experiment", ())]


def test_a_finished_campaign_takes_them_and_stays_finished(database):
    campaign = played("measured")
    submit_campaign(database, campaign)
    database.campaigns.update_one({"_id": "measured"}, {"$set": {"finished": True, "stop": "converged"}})
    actions = database.actions.count_documents({})
    for value in (1.5, 1.6):
        submit_campaign(database, with_measurement(campaign, value))
        assert stored(database) == [value]
    submit_campaign(database, campaign)
    assert stored(database) == [1.6], "a file without them takes nothing away"
    document = database.campaigns.find_one({"_id": "measured"})
    assert document["finished"] is True and document["stop"] == "converged"
    assert database.actions.count_documents({}) == actions
    assert [entry["changed"][0][0] for entry in document["history"]] == ["properties.experiment"] * 2


def test_with_other_settings_as_well_it_is_refused(database):
    campaign = played("measured")
    submit_campaign(database, campaign)
    other = with_measurement(campaign, 1.5).model_copy(update={"seed": campaign.seed + 1})
    with pytest.raises(InputError, match="seed: ") as told:
        submit_campaign(database, other)
    assert "experiment" not in str(told.value) and stored(database) == []
