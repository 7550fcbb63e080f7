from __future__ import annotations

from pathlib import Path

import pytest

from mmtp_fw.campaign import load_campaign
from mmtp_fw.campaign.manual import manual

ROOT = Path(__file__).parents[2]
CAMPAIGNS = sorted((ROOT / "fireworks_specs" / "campaigns").glob("*.yaml"))


def test_the_manual_is_up_to_date():
    text = (ROOT / "docs" / "campaign.md").read_text(encoding="utf-8")
    assert text == manual(), "python -m mmtp_fw.campaign.manual > docs/campaign.md"


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: path.stem)
def test_the_example_campaigns_are_valid(path):
    campaign = load_campaign(path)
    assert campaign.dft.engine == path.stem.split("_")[0]
