"""Names of a package that are imported when they are asked for: settings cost no compiled science."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def on_demand(package: str, places: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__``: it imports a name when it is first used.

    For rooms whose settings are read without their science: importing ``room.settings`` runs ``room/__init__.py``.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    places : mapping of str to sequence of str
        The names that every module of it gives; none may be called as one of the modules.
    """
    module_of = {name: module for module, names in places.items() for name in names}

    def find(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return find
