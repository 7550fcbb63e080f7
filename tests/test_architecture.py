"""What the whole repository must keep: arrows between rooms, sizes, style, and documentation that is true."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = sorted((ROOT / "mmtp_fw").rglob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "fireworks_specs" / "README.md"]
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
MOST_BRANCHES = 12

# Compiled code: one loop nest each, which numba must see whole, with types that numba finds itself.
KERNELS = {
    "dft/hamiltonian_kernels.py",
    "potential/cabi.py",
    "potential/cabi_rows.py",
    "potential/kernels.py",
    "potential/kernels_incremental.py",
    "potential/kernels_lanes.py",
    "potential/kernels_lanes_gradient.py",
    "potential/kernels_lanes_rows.py",
    "potential/kernels_tangent.py",
    "potential/lanes.py",
    "potential/lanes_basis.py",
    "potential/lanes_layout.py",
    "potential/lanes_pairs.py",
    "potential/lanes_products.py",
    "potential/objects.py",
    "potential/run_lanes.py",
}
# Functions that may be longer, and those that may have more branches, each with the reason.
LONG = {
    "cli/potential_fit.py:fit": "one line for each option of the command",
    "dft/abinit/inputs.py:input_text": "one line for each keyword of ABINIT's input",
    "dft/protocol.py:run_protocol": "most of it says what its arguments mean",
    "dft/recorder.py:scf": "the request of one SCF run, whose key and whose stage hold the same fields",
    "structures/generate.py:generate": "most of it says what its arguments mean",
}
READS = "reads what others wrote: a branch for each thing that may be there, missing or wrong"
DRAWS = "draws: a branch for each part whose data may be missing"
LISTS = "makes rows: a branch for each field that may be missing"
COUNTS = "counts contractions: the loops of one sum"
BRANCHED = {
    "cli/output.py:plain": "a branch for each kind of value",
    "cli/progress.py:summary_line": LISTS,
    "database/schema.py:_section": LISTS,
    "database/summary.py:summarize": LISTS,
    "database/views/campaigns.py:rounds": LISTS,
    "database/views/labels.py:campaign_labels": LISTS,
    "dft/abinit/engine.py:_result": READS,
    "dft/abinit/inputs.py:input_text": "a branch for each keyword that the settings may need",
    "dft/check.py:_by_neighbours": "one judgement: which of the ways to a label agree, in order",
    "dft/elk/engine.py:_compute": "one run of the program, with each way in which it may end",
    "dft/quality.py:ways": "one comprehension for each kind of way to a label",
    "dft/recorder.py:scf": "a branch for each field of a request that may be None",
    "dft/vasp/engine.py:_result": READS,
    "dft/vasp/outputs.py:read_output": READS,
    "dft/vasp/run.py:_symptom": "a branch for each symptom",
    "dft/vasp/said.py:_loose": READS,
    "fitting/datasets.py:_adopt_moments": READS,
    "fitting/cfg.py:cfg_text": "a branch for each block of the format that a label may lack",
    "potential/fileio.py:_assemble": READS,
    "potential/program.py:compile_tables": COUNTS,
    "potential/tables.py:_canonical": COUNTS,
    "potential/tables.py:_connected_graphs": COUNTS,
    "report/figures.py:grades": DRAWS,
    "report/label_figure.py:_energies": DRAWS,
    "report/label_figure.py:label_figure": DRAWS,
    "vaspio/oszicar.py:_step": READS,
}
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


def is_variant(node: ast.AST) -> bool:
    """Return whether a function is another signature of one that is described: an overload, a setter."""
    decorators = [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])]
    return any(name.rpartition(".")[2] in ("overload", "setter") for name in decorators)


def test_public_names_have_docstrings():
    lacking = []
    for path in PACKAGE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in [tree, *tree.body]:
            named = isinstance(node, ast.FunctionDef | ast.ClassDef)
            public = isinstance(node, ast.Module) or (named and not node.name.startswith("_") and not is_variant(node))
            if public and not ast.get_docstring(node):
                lacking.append(f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}")
    assert not lacking


def functions():
    """Yield name (``room/module.py:function``) and tree of every function that is no kernel."""
    for path in PACKAGE:
        module = str(path.relative_to(ROOT / "mmtp_fw"))
        if module in KERNELS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module}:{node.name}", node


def branches(function: ast.AST) -> int:
    """Return the cyclomatic complexity: one, and one for every decision, `and`, `or`, comprehension and handler."""
    count = 1
    for node in ast.walk(function):
        match node:
            case ast.If() | ast.IfExp() | ast.For() | ast.AsyncFor() | ast.While() | ast.ExceptHandler():
                count += 1
            case ast.match_case():
                count += 1
            case ast.BoolOp():
                count += len(node.values) - 1
            case ast.comprehension():
                count += 1 + len(node.ifs)
    return count


def beyond(found: dict[str, int], excused: dict[str, str]) -> str:
    """Return what is in one list and not in the other: neither offences nor reasons without offence may stay."""
    new = [f"{name}: {number}, without a reason" for name, number in found.items() if name not in excused]
    return "\n".join(new + [f"{name}: has a reason and needs none" for name in excused if name not in found])


def test_types_are_strict():
    """`mypy --strict`; the kernels are excepted by name in pyproject.toml."""
    done = run(sys.executable, "-m", "mypy")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_only_kernels_are_excepted_from_types():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert settings["strict"] is True
    excepted = {name for rule in settings["overrides"] if rule.get("ignore_errors") for name in rule["module"]}
    paths = {f"{name.removeprefix('mmtp_fw.').replace('.', '/')}.py" for name in excepted}
    assert paths <= KERNELS


def test_functions_are_short():
    lengths = {name: node.end_lineno - node.lineno + 1 for name, node in functions()}
    assert not beyond({name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION}, LONG)


def test_functions_are_simple():
    numbers = {name: branches(node) for name, node in functions()}
    assert not beyond({name: n for name, n in numbers.items() if n > MOST_BRANCHES}, BRANCHED)


def test_arrays_have_types():
    """An array in a signature says what it holds: `FloatArray` and its like of `mmtp_fw.arrays`, not `np.ndarray`."""
    bare = []
    for path in PACKAGE:
        if str(path.relative_to(ROOT / "mmtp_fw")) in KERNELS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = [getattr(node, name, None) for name in ("annotation", "returns")]
            if any("ndarray" in ast.unparse(part) for part in found if isinstance(part, ast.AST)):
                bare.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not bare


def test_arrays_have_shapes():
    """The shapes of a public function's arrays stand in its docstring, or where that sends readers."""
    lacking = []
    for path in PACKAGE:
        if str(path.relative_to(ROOT / "mmtp_fw")) in KERNELS:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        for node in [*tree.body, *(member for found in classes for member in found.body)]:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not is_variant(node):
                arguments = [*node.args.args, *node.args.kwonlyargs]
                types = [*(argument.annotation for argument in arguments), node.returns]
                arrays = any(re.search(r"(Float|Int|Bool)Array", ast.unparse(kind)) for kind in types if kind)
                if arrays and not re.search(r"shape|\([\w…]+,[^)]*\)|see `|Do as `", ast.get_docstring(node) or ""):
                    lacking.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert not lacking


def test_places_that_contributors_are_sent_to_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.(?:py|j2|md|toml)|[\w]+(?:/[\w.]+)+/?)`", text.replace("NAME/", ""))
    assert len(named) > 10
    missing = [name for name in named if not any((ROOT / place / name).exists() for place in (".", "mmtp_fw"))]
    assert not missing


def test_kernels_are_there():
    assert [name for name in sorted(KERNELS) if not (ROOT / "mmtp_fw" / name).is_file()] == []


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
    assert second.endswith(".venv/bin/pytest -n 2 --dist loadfile")


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
