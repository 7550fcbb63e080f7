"""The `mmtp` command: one module per group of commands, each importing what it needs when it runs."""

from __future__ import annotations

from mmtp_fw.cli.main import main

__all__ = ["main"]
