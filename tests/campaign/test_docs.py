from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from mmtp_fw.campaign import Campaign, load_campaign

ROOT = Path(__file__).parents[2]


def keys(model, path=()):
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield (*path, name), None
            yield from keys(annotation, (*path, name))
        else:
            yield (*path, name), field


def test_the_manual_lists_every_key_with_its_meaning():
    text = (ROOT / "docs" / "campaign.md").read_text()
    for path, field in keys(Campaign):
        if field is None:
            assert f"## `{'.'.join(path)}`" in text
        else:
            meaning = " ".join((field.description or "").split())
            assert f"| `{path[-1]}` |" in text and meaning in text, path


@pytest.mark.parametrize(
    "path", sorted((ROOT / "fireworks_specs" / "campaigns").glob("*.yaml")), ids=lambda p: p.stem
)
def test_the_example_campaigns_are_valid(path):
    campaign = load_campaign(path)
    assert campaign.dft.engine == path.stem
