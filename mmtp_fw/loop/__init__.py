"""What comes next: a pure planner over facts, stop rules, cost, and the mending of what a crash left."""

from __future__ import annotations

from mmtp_fw.loop.facts import Action, Category, Fact, Facts, Kind
from mmtp_fw.loop.planner import Position, due, locate, plan
from mmtp_fw.loop.stop import StopReason

__all__ = ["Action", "Category", "Fact", "Facts", "Kind", "Position", "StopReason", "due", "locate", "plan"]
