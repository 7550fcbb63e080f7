"""What is known of an engine is known in its own room: elsewhere nobody compares names or imports its modules."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from mmtp_fw.dft.registry import own_engines

PACKAGE = Path(__file__).parents[2] / "mmtp_fw"
REGISTRY = PACKAGE / "dft" / "registry.py"


def in_room(path: Path, engine: str) -> bool:
    """Return whether a file belongs to an engine: its folder, or modules that begin with its name."""
    inside = path.relative_to(PACKAGE).parts
    return inside[0] == "dft" and (inside[1] == engine or inside[1].startswith((f"{engine}_", f"{engine}.")))


@pytest.mark.parametrize("engine", own_engines())
def test_an_engine_is_named_in_its_room_only(engine):
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if in_room(path, engine) or path == REGISTRY:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lower() == engine:
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value!r}")
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(re.match(rf"mmtp_fw\.dft\.{engine}(_\w+)?(\.|$)", name) for name in names):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: import of {names}")
    for path in sorted(PACKAGE.rglob("*.j2")):
        if re.search(rf"['\"]{engine}['\"]", path.read_text(encoding="utf-8"), re.IGNORECASE):
            found.append(str(path.relative_to(PACKAGE)))
    assert not found, "ask the engine's description instead"
