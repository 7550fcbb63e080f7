"""Make all tables and figures of docs/case-studies from the labels that are kept there.

    python benchmarks/case_studies/run.py               # fits what has no fit to these labels yet, minutes
    python benchmarks/case_studies/run.py --kept        # tables and figures alone, from the kept potentials

More labels: `label.py`; finer settings: `finer.py`; other forms: `choose.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from figures import draw
from label import write_card
from study import STUDIES, load, run
from tables import PAGES, rewritten


def main() -> None:
    """Fit, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(STUDIES)}; all when not given")
    parser.add_argument("--kept", action="store_true", help="fit nothing")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(STUDIES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(STUDIES)}")
    for case in options.cases or STUDIES:
        write_card(case)
        if not options.kept:
            run(case)
        if load(case):
            draw(case)
        page = PAGES / f"{case}.md"
        page.write_text(rewritten(page.read_text(), case))


if __name__ == "__main__":
    main()
