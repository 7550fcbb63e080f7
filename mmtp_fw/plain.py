"""Values of numpy, YAML readers and enumerations as plain data, which JSON and BSON know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Return a value as plain data, in mappings and lists of any depth.

    Arrays and tuples become lists, keys strings, numbers and strings of derived classes those of Python; whatever else
    there is stays as it is.
    """
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
