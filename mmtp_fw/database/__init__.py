"""Documents, claims and queries: the only room that talks to MongoDB for its own sake."""

from __future__ import annotations

from mmtp_fw.database.claims import Claim
from mmtp_fw.database.database import Database
from mmtp_fw.database.records import (
    ActionDocument,
    CalculationDocument,
    CampaignDocument,
    ConfigurationDocument,
    MdRunDocument,
    PotentialDocument,
    PropertyDocument,
    TrainingSetDocument,
)

__all__ = [
    "ActionDocument",
    "CalculationDocument",
    "CampaignDocument",
    "Claim",
    "ConfigurationDocument",
    "Database",
    "MdRunDocument",
    "PotentialDocument",
    "PropertyDocument",
    "TrainingSetDocument",
]
