"""What a campaign did and found: a snapshot while it runs, a page with figures and a summary at the end."""

from __future__ import annotations

from mmtp_fw.report.gather import gather_report
from mmtp_fw.report.snapshot import snapshot
from mmtp_fw.report.write import write_report

__all__ = ["gather_report", "snapshot", "write_report"]
