"""What the whole repository must keep: arrows between rooms, sizes, style, and documentation that is true."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = sorted((ROOT / "mmtp_fw").rglob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "fireworks_specs" / "README.md"]
MOST_LINES = 400
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".j2", ".css", ".cpp", ".h", ".sh", ".json", ""}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def tracked() -> list[Path]:
    listed = run("git", "ls-files", "-z")
    if listed.returncode:
        pytest.skip("no git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_arrows_between_rooms_hold():
    done = run(str(Path(sys.executable).parent / "lint-imports"), "--no-cache")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_ruff_is_clean():
    done = run(sys.executable, "-m", "ruff", "check", "mmtp_fw", "tests", "benchmarks")
    assert done.returncode == 0, done.stdout[-4000:]


def test_code_is_formatted():
    done = run(sys.executable, "-m", "ruff", "format", "--check", "mmtp_fw", "tests", "benchmarks")
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_public_names_have_docstrings():
    lacking = []
    for path in PACKAGE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in [tree, *tree.body]:
            named = isinstance(node, ast.FunctionDef | ast.ClassDef)
            public = isinstance(node, ast.Module) or (named and not node.name.startswith("_"))
            if public and not ast.get_docstring(node):
                lacking.append(f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}")
    assert not lacking


def blocks(page: Path) -> list[str]:
    """Return the command lines of a page's shell blocks, fenced or indented."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    indented = re.findall(r"^ {4}(mmtp .*)$", text, re.MULTILINE)
    lines = [line for block in fenced for line in block.splitlines()] + indented
    return [line for line in lines if line.strip()]


def mmtp_calls(page: Path) -> list[list[str]]:
    calls = []
    for line in blocks(page):
        words = shlex.split(line, comments=True)
        starts = [k for k, word in enumerate(words) if word == "mmtp" or word.endswith("/mmtp")]
        calls += [words[k + 1 :] for k in starts]
    inline = re.findall(r"`mmtp ([^`]+)`", page.read_text(encoding="utf-8"))
    return calls + [text.split() for text in inline]


def test_readme_has_the_two_commands():
    first, second = blocks(ROOT / "README.md")[:2]
    for command in (first, second):
        assert subprocess.run(["sh", "-n", "-c", command], timeout=30).returncode == 0
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert first.endswith(".venv/bin/mmtp run")
    assert second.endswith(".venv/bin/pytest")


def test_ci_runs_the_second_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "install -q -e '.[test]'" in script and "bin/pytest" in script and "MMTP_REQUIRE_ALL=1" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_documented_commands_exist(page):
    from typer.main import get_command

    from mmtp_fw.cli.app import app

    for words in mmtp_calls(page):
        command = get_command(app)
        options = {name for item in command.params for name in item.opts}
        for word in words:
            if word.startswith("-"):
                assert word.split("=")[0] in options, f"{page.name}: mmtp {' '.join(words)}: no {word}"
            elif hasattr(command, "commands"):
                name = word.split("|")[0].rstrip(",")
                if name == "…":
                    break
                assert name in command.commands, f"{page.name}: mmtp {' '.join(words)}"
                command = command.commands[name]
                options |= {name for item in command.params for name in item.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_machine_paths():
    here = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/\w+")
    found = []
    for path in tracked():
        inside_container = (ROOT / "docker") in path.parents
        if path.suffix in TEXT and path != Path(__file__).resolve() and not inside_container:
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in here.finditer(text)]
    assert not found


def test_licence_is_complete():
    assert "MIT License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    plugin = ROOT / "mmtp_fw" / "md" / "plugin"
    assert "GNU GENERAL PUBLIC LICENSE\n" in (plugin / "LICENSE.GPL-2").read_text(encoding="utf-8")
    for path in [*plugin.glob("*.cpp"), *plugin.glob("*.h")]:
        text = path.read_text(encoding="utf-8")
        derived = "public Pair" in text or "public Fix" in text or "using namespace LAMMPS_NS" in text
        licence = "GPL-2.0-only" if derived else "MIT"
        assert f"// SPDX-License-Identifier: {licence}\n" in text, path.name
