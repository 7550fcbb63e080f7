"""Settings of a campaign that may change while it runs, and what differs between two of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mmtp_fw.campaign.load import problems_of
from mmtp_fw.campaign.settings import Campaign
from mmtp_fw.errors import InputError

_FIXED = {
    "selection": ("mode",),
    "fit": ("validation_fraction", "starts"),
}
"""Keys of the sections below on which everything that is there rests."""
_SETTABLE = ("system", "md", "selection", "fit", "budget", "workers", "notify")
_VOLUMES = ("lattice_parameters_A", "held_out_lattice_parameters_A")
SERVICE = ("workers", "notify")
"""Sections that change nothing of what is computed."""
_SERVICE_KEYS = ("properties.experiment",)
"""Keys of other sections that change nothing of what is computed."""
AT_ONCE = ("budget", *SERVICE)
"""Sections that are limits, not physics: they hold for rounds that were begun, too."""
EXPLORING = ("system", "md", "selection")
"""Sections after whose change a campaign that had converged explores again."""


def computes_nothing(key: str) -> bool:
    """Return whether nothing that is computed depends on a key."""
    return key.partition(".")[0] in SERVICE or key in _SERVICE_KEYS


def settable(key: str) -> bool:
    """Return whether a key, as ``md.steps``, may change once a campaign is submitted."""
    section, _, name = key.partition(".")
    if section not in _SETTABLE or not name:
        return False
    return name in _VOLUMES if section == "system" else name not in _FIXED.get(section, ())


def with_changes(campaign: Campaign, assignments: Sequence[str]) -> Campaign:
    """Return a campaign with other values.

    Parameters
    ----------
    campaign : Campaign
    assignments : sequence of str
        ``section.key=value``, the value as in campaign.yaml.

    Raises
    ------
    InputError
        No assignment, an unknown key, one that can't change, or a value that campaign.yaml could not have.
    """
    document = campaign.document()
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"'{assignment}' is no KEY=VALUE", "as in `mmtp set NAME md.steps=5000`")
        _check_key(key.strip(), document)
        *sections, name = key.strip().split(".")
        place = document
        for section in sections:
            place = place[section]
        place[name] = _value(key, text)
    try:
        return Campaign.model_validate(document)
    except ValidationError as error:
        raise InputError(problems_of(error, f"campaign '{campaign.name}'"), "docs/campaign.md has all keys") from error


def differences(one: Campaign, other: Campaign) -> dict[str, list[Any]]:
    """Return the values of both by dotted key, where they differ; None where one has no such key."""
    mine, theirs = (dict(leaves(campaign.document())) for campaign in (one, other))
    keys = [*mine, *(key for key in theirs if key not in mine)]
    return {key: [mine.get(key), theirs.get(key)] for key in keys if mine.get(key) != theirs.get(key)}


def leaves(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of nested settings with their values."""
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _check_key(key: str, document: Mapping[str, Any]) -> None:
    known = [name for name, _ in leaves(document)]
    free = any(key.startswith(f"{section}.settings.") for section in ("md", "fit")) and key.count(".") == 2
    if key in known or free:
        if settable(key):
            return
        raise InputError(
            f"{key} can't change: all that the campaign has computed rests on it",
            "a campaign of another name takes it, and finds every label that is there",
        )
    close = [name for name in known if name.split(".")[-1] == key.split(".")[-1]]
    close = close or difflib.get_close_matches(key, known, n=1)
    raise InputError(f"no setting '{key}'", f"did you mean {close[0]}?" if close else "`mmtp show campaign` lists them")


def _value(key: str, text: str) -> Any:
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError) as error:
        raise InputError(f"{key}: '{text}' is no value of YAML", "quote it for the shell: 'md.steps=5000'") from error
