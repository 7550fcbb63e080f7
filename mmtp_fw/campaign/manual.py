"""The manual of ``campaign.yaml``, written from the settings themselves.

``python -m mmtp_fw.campaign.manual > docs/campaign.md`` brings the page up to date; a test compares both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from mmtp_fw.campaign.settings import Campaign
from mmtp_fw.verdicts import RULES, Verdict

_HEAD = """# `campaign.yaml`

Every key has a default but `name`; a file states what differs. Unknown keys are refused with file, line and
what was probably meant. `mmtp run --dry-run FILE` checks a file and says what the campaign would cost. The
demonstration and one campaign per engine: `fireworks_specs/campaigns/`.

Units are part of the names: `_A` Å, `_muB` μB, `_K` K, `_fs` fs, `_eV` eV.
"""

_TAIL = """## Validation labels

The division of labels into training and validation is written down with every version and stays. A label that was once
kept for validation is never trained on by a later version, another start or a member of the ensemble, whatever becomes
of `fit.validation_fraction`; new labels are divided as they come, by their configuration's hash. Labels kept for
validation, labels of weight 0 and those that a fit leaves out are in no active set either: their grade says how far
they are from what the potential has seen.

## When a campaign ends

It has converged when no trajectory selects anything in `selection.clean_rounds` rounds in a row: the later ones are
run with the same potential and other seeds, so that one lucky round proves nothing. After every fit the potential is
pressed beyond what it was trained for (docs/fitting.md). Where it falls, over a barrier that the campaign's
temperatures get over, a configuration there is labelled with the next round; while such a hole is open, the campaign
has not converged. Otherwise it ends when a limit of `budget` is reached; the report says which. Limits are looked at
once per round, after the fit, so that every label that was paid for has been used. In every case with a potential the
final properties are computed and the report is written.

A campaign's name is its identity in the database: the same file again goes on where it stands, another file
under the same name is refused, key by key. `workers`, `notify` and `properties.experiment` may differ; `mmtp set`
changes what may change (docs/workers.md).

## What it may claim

The headline of the report, of `summary.json` (`headline`, `verdict`) and of `mmtp status` is one of: "converged and
validated", "converged, not validated because …", "not converged (…)". A campaign is validated when every lattice
parameter, held-out ones included, is {inside}, and each compared number could have failed somewhere: a magnetization
that is zero in both, an antiferromagnet's, validates nothing; there the mean size of a moment stands for it.
`volumes` in `summary.json` has the verdict on each
with its reason, the differences from the reference, and both uncertainties, one standard deviation each: the
statistical one of both averages together, and the model's, the ensemble's spread. At rest (`properties.mode: static`)
there is no statistical one. Where an uncertainty doesn't hold (the median of error/uncertainty, of eight pairs or more,
is outside 0.7 to 1.4; the report's table says `calibrated: no`), the headline names it behind the verdict, which it
doesn't change: "…; uncertainties not calibrated: forces at new labels: errors are 3 times what was stated".

| Verdict | Rule |
|---|---|
{rules}

The first that applies counts, in the order: unstable potential, not judged, outside, extrapolated, too uncertain. What
was computed by a version that did not write down what a rule needs is not judged.
"""


_LISTS = ("phases",)
"""Keys whose value is a list of sections that people write."""


def manual() -> str:
    """Return the whole page as Markdown."""
    rules = "\n".join(f"| {verdict.value} | {rule} |" for verdict, rule in RULES.items())
    tail = _TAIL.format(rules=rules, inside=Verdict.INSIDE.value)
    return "\n".join([_HEAD, *_tables(Campaign, ()), tail])


def _tables(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    sections: list[tuple[str, type[BaseModel]]] = []
    rows = ["| Key | Default | Meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            sections.append((name, annotation))
            continue
        if name in _LISTS:
            sections += [(f"{name}[]", one) for one in get_args(annotation)]
        default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{name}` | {default} | {meaning} |")
    if len(rows) > 2:
        yield "\n".join(rows) + "\n"
    for name, section in sections:
        title = ".".join([*path, name])
        first = (section.__doc__ or "").strip().splitlines()[0]
        yield f"## `{title}`\n\n{first}\n"
        yield from _tables(section, (*path, name))


if __name__ == "__main__":
    print(manual(), end="")
