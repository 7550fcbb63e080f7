"""What the pair style asks of Python: ``python -m mmtp_fw.md.plugin pack FILE ELEMENT …`` prints a path."""

from __future__ import annotations

import sys
from pathlib import Path

from mmtp_fw.errors import MmtpError
from mmtp_fw.md.plugin import cache_directory, packed_file


def main(arguments: list[str]) -> int:
    """Carry out the command; a problem is one line and a status that isn't zero."""
    if len(arguments) < 3 or arguments[0] != "pack":
        print("usage: python -m mmtp_fw.md.plugin pack FILE ELEMENT …")
        return 2
    try:
        print(packed_file(Path(arguments[1]), arguments[2:], cache_directory()))
    except (MmtpError, OSError) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
