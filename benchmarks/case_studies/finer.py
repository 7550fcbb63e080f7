"""What the coarse settings of the case studies leave open: one typical label at finer cut-offs and meshes.

    python benchmarks/case_studies/finer.py bcc-iron      # writes docs/case-studies/data/bcc-iron-converge.json

Labels are kept in a folder (`--folder`) and not computed again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmtp_fw.dft import ProtocolSettings
from mmtp_fw.dft.converge import converge

sys.path.insert(0, str(Path(__file__).parent))
from asked import CUBIC, Request, reused
from label import DATA, SETTINGS

TYPICAL = {"bcc-iron": "ferromagnetic", "fe3pd": "L1_2, 4 atoms"}


def typical(case: str) -> Request:
    """Return the first of its kind that the case's labels have."""
    return next(
        Request(f"constraint-{number}", kind, atoms, CUBIC)
        for number, kind, atoms in reused(case)
        if kind == TYPICAL[case]
    )


def main() -> None:
    """Label it, up the ladders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=[*TYPICAL])
    parser.add_argument("--folder", type=Path, default=Path("converge"))
    options = parser.parse_args()
    request = typical(options.case)
    settings = {**SETTINGS, "kspacing_per_A": request.kspacing_per_A}
    found = converge(
        "abinit",
        settings,
        request.atoms,
        ProtocolSettings(constraint="hard"),
        options.folder / options.case,
        lambda name, changes: print(name, changes, flush=True),
    )
    (DATA / f"{options.case}-converge.json").write_text(found.model_dump_json(indent=1) + "\n")
    print(found.left_open())


if __name__ == "__main__":
    main()
