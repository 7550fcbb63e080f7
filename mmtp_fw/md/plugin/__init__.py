"""``pair_style mmtp`` for LAMMPS: built here, packed here, loaded from input scripts or Python.

The classes that derive from LAMMPS' own are under its licence, GPL-2 (``LICENSE.GPL-2``); they are source code
that is compiled on the user's machine, and nothing else of mmtp_fw depends on them.
"""

from __future__ import annotations

from mmtp_fw.md.plugin.build import Lammps, cache_directory, plugin
from mmtp_fw.md.plugin.packing import pack, packed_file

__all__ = ["Lammps", "cache_directory", "pack", "packed_file", "plugin"]
