"""Actions as FireWorks workflows, and the processes that run them."""

from __future__ import annotations

from mmtp_fw.workflows.build import build, build_advance
from mmtp_fw.workflows.submit import add_advance, add_workflows, advance, submit_campaign

__all__ = ["add_advance", "add_workflows", "advance", "build", "build_advance", "submit_campaign"]
