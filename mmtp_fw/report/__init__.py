"""What a campaign did and found: a snapshot while it runs, a page with figures and a summary at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmtp_fw.on_demand import on_demand
from mmtp_fw.report.snapshot import snapshot

if TYPE_CHECKING:
    from mmtp_fw.report.gather import gather_report
    from mmtp_fw.report.write import write_report

__all__ = ["gather_report", "snapshot", "write_report"]

if not TYPE_CHECKING:  # a checker finds misspelt names
    __getattr__ = on_demand(
        __name__,
        {
            "gather": ["gather_report"],
            "write": ["write_report"],
        },
    )
