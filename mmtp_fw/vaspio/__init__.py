"""What VASP's output files say: OUTCAR, OSZICAR, vasprun.xml. The engine and the readers of label files use it."""

from __future__ import annotations

from mmtp_fw.vaspio.configurations import is_vasp_output, read_vasp_output

__all__ = ["is_vasp_output", "read_vasp_output"]
