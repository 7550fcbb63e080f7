"""Actions of the planner as the database keeps them."""

from __future__ import annotations

from mmtp_fw.database import ActionDocument
from mmtp_fw.loop.facts import Action


def document_of(campaign_id: str, action: Action) -> ActionDocument:
    """Return the document of an action that is still to be done."""
    return ActionDocument(
        _id=action.key,
        campaign=campaign_id,
        kind=action.kind.value,
        category=action.category.value,
        iteration=action.iteration,
        priority=action.priority,
        params=dict(action.params),
        after=list(action.after),
    )
