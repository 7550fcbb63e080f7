"""What the pair style asks of Python: ``… -m mmtp_fw.md.plugin pack [--active STATE] FILE ELEMENT …`` prints a path."""

from __future__ import annotations

import sys
from pathlib import Path

from mmtp_fw.errors import MmtpError
from mmtp_fw.md.plugin import cache_directory, packed_file


def main(arguments: list[str]) -> int:
    """Carry out the command; a problem is one line and a status that isn't zero."""
    command, *rest = arguments or [""]
    active = None
    if rest[:1] == ["--active"] and len(rest) > 1:
        active, rest = Path(rest[1]), rest[2:]
    if command != "pack" or len(rest) < 2:
        print("usage: python -m mmtp_fw.md.plugin pack [--active STATE] FILE ELEMENT …")
        return 2
    try:
        print(packed_file(Path(rest[0]), rest[1:], cache_directory(), active))
    except (MmtpError, OSError) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
