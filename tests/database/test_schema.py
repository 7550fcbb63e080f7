"""The page on what is in the database is what the declarations say."""

from __future__ import annotations

from pathlib import Path

from mmtp_fw.database.collections import DECLARED
from mmtp_fw.database.schema import page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date():
    text = (DOCS / "schema.md").read_text(encoding="utf-8")
    assert text == page(), "python -m mmtp_fw.database.schema > docs/schema.md"


def test_it_has_every_collection_and_field():
    sections = {part.partition("`")[0]: part for part in page().split("\n## `")[1:]}
    assert set(sections) == set(DECLARED)
    for name, declared in DECLARED.items():
        for field in set(declared.model.model_fields) - {"id", "schema_version", "created", "code_version"}:
            assert f"| `{field}` |" in sections[name]
        for link in declared.links:
            assert f"`{link.field}`" in sections[name]
            assert f"in `{link.to}`" in sections[name]
