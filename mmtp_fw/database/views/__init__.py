"""The rows that people read: of labels, rounds, campaigns, potentials and MD runs, each made here only.

Every row is plain data from a projection: the server picks what is shown out of a calculation's stages, which are a
hundred times larger. `find`, `show`, `status`, the report and the exports take their rows from here.
"""

from __future__ import annotations

from mmtp_fw.database.views.campaigns import (
    ACTION,
    CampaignRow,
    RoundRow,
    campaigns,
    counts,
    failures,
    rounds,
    running,
    verdicts,
)
from mmtp_fw.database.views.labels import (
    CONFIGURATION,
    CampaignLabelRow,
    LabelRow,
    calculations,
    campaign_labels,
    label_row,
    labels_of,
)
from mmtp_fw.database.views.versions import PotentialRow, md_runs, potentials

__all__ = [
    "ACTION",
    "CONFIGURATION",
    "CampaignLabelRow",
    "CampaignRow",
    "LabelRow",
    "PotentialRow",
    "RoundRow",
    "calculations",
    "campaign_labels",
    "campaigns",
    "counts",
    "failures",
    "label_row",
    "labels_of",
    "md_runs",
    "potentials",
    "rounds",
    "running",
    "verdicts",
]
