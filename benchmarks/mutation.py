"""Change the package in one place at a time and see whether the room's tests notice.

    python benchmarks/mutation.py mmtp_fw/loop                       # 12 mutants of the room, tests/loop
    python benchmarks/mutation.py mmtp_fw/dft/ramp.py --sample 40 --seed 7
    python benchmarks/mutation.py mmtp_fw/fitting --list             # all places, nothing is run
    python benchmarks/mutation.py mmtp_fw/loop/cost.py --line 54     # every mutant of one line

A mutant is one textual change: another comparison, an operator, a term or a factor left out, another number, key or
default, `min` for `max`, `any` for `all`, no order, no filter, no statement, one branch only. The tests run on a copy
of the tree, those that take least time first, in a process that finds numpy, numba and their like loaded already.
Every survivor is printed with its change; the exit status is 1 if more than a tenth survive. Changes that alter
nothing (`tests/mutation_survivors.md` explains them) are left out.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
EXPLAINED = ROOT / "tests" / "mutation_survivors.md"
PRELOADED = ["numba", "ase.io", "scipy.optimize", "pydantic", "pymongo", "fireworks", "matplotlib.figure", "pytest"]
COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "in": "not in", "not in": "in"}
COMPARISONS |= {"is": "is not", "is not": "is"}
OPERATORS = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "/", "**": "*", "%": "*", "&": "|", "|": "&", "@": "+"}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "mean": "sum", "sum": "max"}
NAMES |= {"floor": "ceil", "ceil": "floor", "minimum": "maximum", "maximum": "minimum", "argmin": "argmax"}
NAMES |= {"argmax": "argmin", "cumsum": "array", "abs": "float"}


@dataclass(frozen=True)
class Mutant:
    """One change: bytes [start, end) of a file become `text`."""

    path: Path
    line: int
    start: int
    end: int
    text: bytes

    def source(self) -> bytes:
        """Return the changed file."""
        source = (ROOT / self.path).read_bytes()
        return source[: self.start] + self.text + source[self.end :]

    def difference(self) -> str:
        """Return the lines that differ, without context."""
        before, after = (ROOT / self.path).read_text(encoding="utf-8").splitlines(), self.source().decode().splitlines()
        lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[3:]
        return "\n".join([f"{self.path}:{self.line}", *(f"    {line[0]} {line[1:].strip()}" for line in lines)])


class Finder(ast.NodeVisitor):
    """Collects the mutants of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = (ROOT / path).read_bytes()
        self.starts = [0]
        for line in self.source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found: list[Mutant] = []
        self.visit(ast.parse(self.source))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return where a node stands, in bytes."""
        start = self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def text(self, node: ast.AST) -> str:
        """Return a node's text."""
        return self.source[slice(*self.span(node))].decode()

    def add(self, node: ast.AST, text: str, start: int | None = None, end: int | None = None) -> None:
        """Note the mutant in which a node, or what stands from `start` to `end`, becomes `text`."""
        first, last = self.span(node)
        line = node.lineno  # type: ignore[attr-defined]
        self.found.append(
            Mutant(self.path, line, first if start is None else start, last if end is None else end, text.encode())
        )

    def between(self, left: ast.AST, right: ast.AST, table: dict[str, str]) -> None:
        """Note the mutant in which the operator between two nodes is another."""
        start, end = self.span(left)[1], self.span(right)[0]
        words = self.source[start:end].decode()
        found = re.search(r"not\s+in|is\s+not|[<>=!]=|\*\*|//|[a-z]+|[-<>+*/%@&|]", words)
        if found and found[0] in table:
            changed = words[: found.start()] + table[found[0]] + words[found.end() :]
            self.add(left, changed, start, end)

    # What says nothing about behaviour: annotations, documentation, messages of errors.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]:
            self.visit(default)
        self.body(node.body)

    def visit_ClassDef(self, node: ast.ClassDef | ast.Module) -> None:
        self.body(node.body)

    visit_Module = visit_ClassDef

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.add(node, "pass")

    def visit_Assert(self, node: ast.Assert) -> None:
        return

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        return

    def body(self, statements: list[ast.stmt]) -> None:
        """Visit statements; each call, assignment to a part and `continue` may also be left out."""
        for statement in statements:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            if isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            parts = isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript)
            if parts or isinstance(statement, ast.Expr | ast.AugAssign | ast.Continue | ast.Delete):
                self.add(statement, "pass")
            self.visit(statement)

    def generic_visit(self, node: ast.AST) -> None:
        for name in ("body", "orelse", "finalbody"):
            inner = getattr(node, name, None)
            if isinstance(inner, list):
                self.body(inner)
        for name, value in ast.iter_fields(node):
            if name in ("body", "orelse", "finalbody") and isinstance(value, list):
                continue
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    self.visit(item)

    # What is changed.

    def visit_Compare(self, node: ast.Compare) -> None:
        for left, right in zip([node.left, *node.comparators], node.comparators, strict=False):
            self.between(left, right, COMPARISONS)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.BitOr) and isinstance(node.right, ast.Constant | ast.Name):
            return  # a union of types
        self.between(node.left, node.right, OPERATORS)
        self.add(node, self.text(node.left))
        if isinstance(node.op, ast.Add | ast.Mult):
            self.add(node, self.text(node.right))
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.between(node.target, node.value, OPERATORS)
        self.visit(node.value)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, {word: other})
        for value in node.values:
            self.add(value, "True" if word == "and" else "False")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub | ast.Not):
            self.add(node, f"({self.text(node.operand)})")
        if not isinstance(node.operand, ast.Constant):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(value := node.value, bool):
            self.add(node, str(not value))
        elif isinstance(value, int):
            self.add(node, str(value + 1))
            self.add(node, str(value - 1))
        elif isinstance(value, float):
            self.add(node, repr(2.0 * value if value else 1.0))
        elif isinstance(value, str) and re.fullmatch(r"[$]?[A-Za-z][A-Za-z0-9_.]*", value):
            self.add(node, repr(f"{value}_"))

    def visit_If(self, node: ast.If | ast.IfExp) -> None:
        self.add(node.test, "True")
        self.add(node.test, "False")
        self.generic_visit(node)

    visit_IfExp = visit_If

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self.add(condition, "True")
        self.generic_visit(node)

    def visit_Slice(self, node: ast.Slice) -> None:
        for end in (node.lower, node.upper):
            if end is not None and not isinstance(end, ast.Constant):
                self.add(end, "")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in NAMES and not (name == "abs" and isinstance(node.func, ast.Attribute)):
            end = self.span(node.func)[1]
            self.add(node.func, NAMES[name], end - len(name), end)
        first = self.span(node.func)[1]
        for argument in node.keywords:
            start, end = self.span(argument)
            if argument.arg == "description":
                continue
            if argument.arg is not None and self.source[end : end + 1] in b",)":
                # Without the argument its default holds.
                comma = self.source[end : end + 1] == b","
                before = self.source[first:start].rstrip()
                alone = not comma and before.endswith(b",")
                back = first + len(before) - 1 if alone else start
                self.add(argument, "", back, end + comma)
            self.visit(argument.value)
        self.visit(node.func)
        for value in node.args:
            self.visit(value)


def mutants_of(paths: list[Path]) -> list[Mutant]:
    """Return every mutant of some files that is Python and that nobody has explained away."""
    text = EXPLAINED.read_text(encoding="utf-8") if EXPLAINED.exists() else ""
    explained = {f"- {old}+ {new}" for old, new in re.findall(r"^ *- (.*)\n *\+ (.*)$", text, flags=re.MULTILINE)}
    found: dict[bytes, Mutant] = {}
    for path in paths:
        before = ast.dump(ast.parse((ROOT / path).read_bytes()))
        for mutant in Finder(path).found:
            source = mutant.source()
            try:
                after = ast.dump(ast.parse(source))
            except (SyntaxError, ValueError):
                continue
            change = "".join(line.strip() for line in mutant.difference().splitlines()[1:])
            if after != before and change not in explained:
                found.setdefault(source, mutant)
    return list(found.values())


def copy_tree(where: Path) -> Path:
    """Copy what git would commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, where / name)
    for compiled in (ROOT / "mmtp_fw").rglob("__pycache__/*.nb[ci]"):  # what numba has compiled is valid there, too
        (where / compiled.relative_to(ROOT)).parent.mkdir(exist_ok=True)
        shutil.copy2(compiled, where / compiled.relative_to(ROOT))
    return where


def _pytest(tree: str, arguments: list[str]) -> None:
    """Run pytest in a copy of the tree; the body of a process of its own, with all it starts."""
    os.setsid()
    os.chdir(tree)
    os.environ |= {"PYTHONPATH": tree, "PYTHONDONTWRITEBYTECODE": "1", "MMTP_HOME": f"{tree}/.home"}
    sys.path[:0] = [tree]
    sys.dont_write_bytecode = True
    silent = os.open(f"{tree}/.output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(silent, number)
    import pytest

    os._exit(int(pytest.main(arguments)))


class Tree:
    """A copy of the repository in which tests run, one run at a time."""

    def __init__(self, where: Path, tests: list[str]) -> None:
        self.path = copy_tree(where)
        self.tests = tests
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload(PRELOADED)
        self.limit = 3600.0

    def run(self, *arguments: str) -> bool | None:
        """Return whether the tests pass; None where they take too long."""
        common = ["-x", "-q", "-p", "no:cacheprovider", *arguments, *self.tests]
        process = self.processes.Process(target=_pytest, args=(str(self.path), common))
        process.start()
        try:
            process.join(self.limit)
            timed_out = process.exitcode is None
        finally:  # with everything that it started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
        return None if timed_out else process.exitcode == 0

    def measure(self) -> None:
        """Run the tests unchanged, order their files by time, and set the limit."""
        began = time.monotonic()
        report = self.path / ".durations.xml"
        if not self.run(f"--junitxml={report}", "-o", "junit_family=xunit1"):
            sys.exit(f"the tests fail without any change:\n{(self.path / '.output').read_text()[-3000:]}")
        seconds: dict[str, float] = {}
        for case in ET.parse(report).getroot().iter("testcase"):
            name = case.get("file", "")
            seconds[name] = seconds.get(name, 0.0) + float(case.get("time", 0))
        self.tests = sorted(seconds, key=lambda name: seconds[name])
        self.limit = 60.0 + 4.0 * (time.monotonic() - began)

    def survives(self, mutant: Mutant) -> bool:
        """Return whether the tests pass with a change."""
        file = self.path / mutant.path
        before, stamp = file.read_bytes(), file.stat().st_mtime_ns
        try:
            file.write_bytes(mutant.source())
            return self.run() is True
        finally:
            file.write_bytes(before)
            os.utime(file, ns=(stamp, stamp))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="modules or rooms, from the repository's root")
    parser.add_argument("--tests", nargs="+", help="test files or folders; by default tests/ROOM")
    parser.add_argument("--sample", type=int, default=12, help="how many mutants (0: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--line", type=int, help="only mutants of this line")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each in its own copy of the tree")
    parser.add_argument("--list", action="store_true", help="show the mutants, run nothing")
    return parser.parse_args()


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        path = (ROOT / path).resolve().relative_to(ROOT)
        yield from sorted((ROOT / path).rglob("*.py")) if (ROOT / path).is_dir() else [ROOT / path]


def main() -> int:
    """Run the command line."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    chosen = _arguments()
    files = [path.relative_to(ROOT) for path in _files(chosen.paths)]
    mutants = mutants_of(files)
    if chosen.line:
        mutants = [mutant for mutant in mutants if mutant.line == chosen.line]
    elif chosen.sample and not chosen.list:
        mutants = random.Random(chosen.seed).sample(mutants, min(chosen.sample, len(mutants)))
    if chosen.list:
        print("\n".join(mutant.difference() for mutant in mutants))
        return 0
    tests = chosen.tests or sorted({f"tests/{path.parts[1]}" for path in files})
    with tempfile.TemporaryDirectory(prefix="mmtp-mutants-") as folder:
        trees = [Tree(Path(folder) / str(k), tests) for k in range(max(1, chosen.jobs))]
        free: SimpleQueue[Tree] = SimpleQueue()
        for tree in trees:
            tree.measure()
            free.put(tree)
        print(f"{len(mutants)} mutants, {', '.join(tests)}; a run may take {trees[0].limit:.0f} s", flush=True)

        def judge(mutant: Mutant) -> bool:
            tree = free.get()
            survived = tree.survives(mutant)
            free.put(tree)
            print(f"{'SURVIVED' if survived else 'killed  '} {mutant.difference()}", flush=True)
            return survived

        with ThreadPoolExecutor(len(trees)) as pool:
            survivors = sum(pool.map(judge, mutants))
    print(f"{len(mutants) - survivors} of {len(mutants)} killed")
    return int(survivors > 0.1 * len(mutants))


if __name__ == "__main__":
    sys.exit(main())
