"""The JSON schema of a database, with units, written from the models of its documents.

``python -m mmtp_fw.schemas > docs/schema.json`` brings the file up to date; a test compares both, and another holds
recorded documents to it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mmtp_fw.database.collections import DECLARED
from mmtp_fw.database.records import SCHEMA_VERSION
from mmtp_fw.dft.stages import Label, Stage
from mmtp_fw.execution import Execution
from mmtp_fw.quantities import QUANTITIES

_SUFFIXES = {
    "eV_per_muB2": "eV/μB²",
    "eV_per_atom": "eV/atom",
    "muB_per_atom": "μB/atom",
    "eV": "eV",
    "muB": "μB",
    "A": "Å",
    "K": "K",
    "GPa": "GPa",
    "seconds": "s",
}
_NAMES = {
    **{name: quantity.label_unit for name, quantity in QUANTITIES.items()},
    "positions": "Å",
    "cell": "Å",
    "moments": "μB",
    "moments_uncertainty": "μB",
    "target": "μB",
    "constrained": "μB",
    "achieved": "μB",
    "lambdas": "eV/μB²",
    "slope": "1",
    "max_grade": "1",
}
_INSIDE: dict[str, dict[str, Any]] = {
    "stages": {"items": {"$ref": "#/$defs/Stage"}},
    "label": {"anyOf": [{"$ref": "#/$defs/Label"}, {"type": "null"}]},
    "execution": {"anyOf": [{"$ref": "#/$defs/Execution"}, {"type": "null"}]},
    "attempts": {"items": {"$ref": "#/$defs/Execution"}},
}
"""Fields that are plain documents for the database, and what is in them."""


def unit(field: str) -> str | None:
    """Return the unit of a field by its name; None where it has none.

    Examples
    --------
    >>> unit("bias_eV_per_atom"), unit("radii_A"), unit("forces"), unit("name")
    ('eV/atom', 'Å', 'eV/Å', None)
    """
    for suffix, found in _SUFFIXES.items():
        if re.search(rf"(^|_){suffix}$", field):
            return found
    return _NAMES.get(field)


def schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a database: an object with a list of documents for each collection.

    Dates are strings as ISO 8601 has them. Properties have their ``unit`` where they have one; a stage is in the
    documents of `calculations`, and so on.
    """
    models: list[type[BaseModel]] = [*(declared.model for declared in DECLARED.values()), Stage, Label, Execution]
    _, made = models_json_schema([(model, "validation") for model in models])
    for definition in made["$defs"].values():
        for name, field in definition.get("properties", {}).items():
            if definition.get("title") not in ("Stage", "Label") and name in _INSIDE:
                field.pop("items", None)
                field.pop("anyOf", None)
                field |= _INSIDE[name]
            if unit(name) is not None:
                field["unit"] = unit(name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Database of mmtp_fw, schema {SCHEMA_VERSION}",
        "version": SCHEMA_VERSION,
        "type": "object",
        "properties": {
            name: {"type": "array", "items": {"$ref": f"#/$defs/{declared.model.__name__}"}}
            for name, declared in DECLARED.items()
        },
        "$defs": made["$defs"],
    }


def text() -> str:
    """Return the schema as the file has it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(text(), end="")
