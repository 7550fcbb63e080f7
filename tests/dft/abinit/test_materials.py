"""Every example of a material with ABINIT, from its campaign file to its first accepted label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmtp_fw.campaign import load_campaign
from mmtp_fw.dft import get_engine, run_protocol
from mmtp_fw.firetasks.pretrain import first_configurations

CAMPAIGNS = Path(__file__).parents[3] / "fireworks_specs" / "campaigns"
MATERIALS = ("chromium", "cobalt", "iron_cobalt", "iron_platinum", "iron_rhodium", "chromium_nitride")


@pytest.mark.slow
@pytest.mark.parametrize("material", MATERIALS)
def test_first_label(material, tmp_path):
    campaign = load_campaign(CAMPAIGNS / f"abinit_{material}.yaml")
    engine = get_engine(campaign.dft.engine, **campaign.dft.settings)
    first = first_configurations(campaign, f"{campaign.name}/000/pretrain")[0]
    outcome = run_protocol(engine, first, campaign.dft.protocol, tmp_path, check=False)
    assert outcome.status == "accepted", outcome.reason
    assert outcome.label is not None and outcome.label.constraint == "hard"
    np.testing.assert_allclose(outcome.label.moments, first.get_initial_magnetic_moments(), atol=1e-3)
    assert outcome.label.stress is not None and np.all(np.isfinite(outcome.label.forces))
