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


def flattened(value: Any, lists: bool = False, name: str = "") -> dict[str, Any]:
    """Return what mappings of any depth hold, by names joined with dots.

    Parameters
    ----------
    value : mapping, or what one holds
    lists : bool
        Go into lists and tuples, too, by number.
    name : str
        Of the value itself.

    Examples
    --------
    >>> flattened({"a": {"b": 1, "c": [2, 3]}})
    {'a.b': 1, 'a.c': [2, 3]}
    """
    inside: Any = None
    if isinstance(value, Mapping):
        inside = value.items()
    elif lists and isinstance(value, list | tuple):
        inside = enumerate(value)
    if inside is None:
        return {name: value}
    flat: dict[str, Any] = {}
    for key, item in inside:
        flat |= flattened(item, lists, f"{name}.{key}" if name else str(key))
    return flat
