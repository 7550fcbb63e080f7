"""`mmtp doctor`: what of all that can be used this machine has, and what to do about the rest."""

from __future__ import annotations

from dataclasses import asdict

from rich.text import Text

from mmtp_fw.cli.options import JsonOption, LaunchpadOption, launchpad_file
from mmtp_fw.cli.output import console, print_json


def doctor(launchpad: LaunchpadOption = None, as_json: JsonOption = False) -> None:
    """Look for Python packages, LAMMPS, MPI, a compiler, MongoDB, DFT engines and a queue."""
    from mmtp_fw.cli.checks import all_checks

    found = all_checks(launchpad_file(launchpad))
    if as_json:
        print_json([asdict(item) for item in found])
        return
    screen = console()
    width = max(len(item.name) for item in found)
    for item in found:
        mark, style = ("ok", "green") if item.ok else (("lacks", "red") if item.needed else ("none", "yellow"))
        screen.print(Text.assemble((f"{mark:6}", style), f"{item.name:{width}}  {item.found}"))
        if item.remedy:
            screen.print(Text(f"{'':6}{'':{width}}  → {item.remedy}", style="dim"))
    lacking = [item.name for item in found if item.needed and not item.ok]
    print(f"lacking: {', '.join(lacking)}" if lacking else "All that the demonstration needs is here.")
