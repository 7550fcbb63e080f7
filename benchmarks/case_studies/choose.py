"""Which form: cross-validated errors on the training set of a case, a line of JSON per form, in forms.jsonl.

    python benchmarks/case_studies/choose.py bcc-iron '{"level": 12, "weights": {"energy": 30}}'

No held-out label is looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from study import FORMS, STUDIES, cross_validated, digest_of, errors

RESULTS = Path(__file__).with_name("forms.jsonl")


def main() -> None:
    """Judge one form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=[*STUDIES])
    parser.add_argument("changes", nargs="*", help="JSON: what differs from the form in study.py")
    parser.add_argument("--folds", type=int, default=3)
    options = parser.parse_intermixed_args()
    training = STUDIES[options.case]()["all"].training
    for changes in options.changes or ["{}"]:
        form = replace(FORMS[options.case], **json.loads(changes))
        begun = time.process_time()
        taken = cross_validated(form, training, options.folds)
        found = errors(taken)
        medians = {key: float(np.median(np.abs(c.predicted - c.reference))) for key, c in taken.items()}
        line = {
            "case": options.case,
            "labels": len(training),
            "digest": digest_of(form, training),
            "form": asdict(form),
            "rmse": {key: round(error["rmse"], 6) for key, error in found.items()},
            "median": {key: round(value, 6) for key, value in medians.items()},
            "processor_s": round(time.process_time() - begun, 1),
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(changes, line["rmse"], line["processor_s"], flush=True)


if __name__ == "__main__":
    main()
