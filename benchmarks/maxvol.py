"""Time MaxVol on random rows, and compare the volume, with motep's where it is installed.

python benchmarks/maxvol.py [--rows 10000] [--columns 500]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from mmtp_fw.selection import maxvol
from mmtp_fw.selection.maxvol import DEFAULT_TOLERANCE


def motep_maxvol(rows: np.ndarray) -> tuple[float, float] | None:
    """Return seconds and log volume of motep's canonical MaxVol, stopping alike; None without motep."""
    try:
        from motep.grade.maxvol import MaxVol
    except ImportError:
        return None
    began = time.perf_counter()
    result = MaxVol(threshold=DEFAULT_TOLERANCE - 1.0).run(rows)
    return time.perf_counter() - began, float(np.linalg.slogdet(rows[result.indices])[1])


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    rows = rng.normal(size=(options.rows, options.columns))
    maxvol(rows[: 2 * options.columns])
    began = time.perf_counter()
    square = maxvol(rows)
    found = {
        "rows": options.rows,
        "columns": options.columns,
        "seconds": time.perf_counter() - began,
        "log_volume": square.log_volume,
        "largest_coefficient": float(square.grades(rows).max()),
    }
    theirs = motep_maxvol(rows)
    if theirs is not None:
        found |= {
            "motep_seconds": theirs[0],
            "motep_log_volume": theirs[1],
            "times_faster": theirs[0] / found["seconds"],
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
