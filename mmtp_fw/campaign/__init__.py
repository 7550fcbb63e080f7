"""Campaign settings: what ``campaign.yaml`` may hold, checked before anything runs."""

from __future__ import annotations

from mmtp_fw.campaign.load import (
    demo_campaign_path,
    json_schema,
    load_campaign,
    parse_campaign,
    stored_campaign,
)
from mmtp_fw.campaign.service import NotifySettings
from mmtp_fw.campaign.settings import BudgetSettings, Campaign

__all__ = [
    "BudgetSettings",
    "Campaign",
    "NotifySettings",
    "demo_campaign_path",
    "json_schema",
    "load_campaign",
    "parse_campaign",
    "stored_campaign",
]
