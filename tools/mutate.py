"""Changes the rules one operator at a time and asks the tests of their floor whether they notice.

    python -m tools.mutate [--count N] [--seed N] [--jobs N] [--only PART_OF_A_PATH] [AREA …]

A copy of `src/` is changed, never the folder itself: one `and`, one boundary, one `not`, one constant, one condition at a time,
drawn by the seed. A change that no test notices is a survivor. One that can't be noticed, since nothing differs for anybody, is
answered in `mutants.toml` with its reason; every other one wants a test. Ends with 1 when fewer than `NOTICED_MIN` of 100 are
noticed or answered. First all tests run once without any change. One that fails then would notice everything: it is named, and
left out. The others tell by which lines they pass, so that a change is tried with those that meet it before all the rest.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from coverage import CoverageData

from tests.support.seeds import dice

ROOT: Final = Path(__file__).resolve().parent.parent
ANSWERS: Final = Path(__file__).with_name("mutants.toml")
NOTICED_MIN: Final = 95
TIMEOUT_S: Final = 900.0
"""How long the tests of a floor may take with a change; one with which they never end is noticed."""
PYTEST: Final = ("pytest itself",)
"""What failed where no test of a name did."""
MEASURED: Final = "[run]\nsource_pkgs = assent\ndata_file = {}\n"
"""What coverage is asked for: lines of the tests' own process, with the test that passed."""

Verdict = Literal["noticed", "answered", "survived"]


@dataclass(frozen=True, slots=True)
class Area:
    """Rules, as patterns below `src/assent`, and the tests of their floor."""

    rules: tuple[str, ...]
    tests: tuple[str, ...]


AREAS: Final[Mapping[str, Area]] = {
    "engine": Area(
        tuple(f"engine/{room}/*.py" for room in ("record", "machine", "steps", "waiting", "drive")),
        ("tests/engine", "tests/property/test_machine.py", "tests/property/test_transitions.py"),
    ),
    "policy": Area(("policy/*.py",), ("tests/policy", "tests/property/test_policy_engine.py")),
    "journal": Area(
        ("journal/**/*.py",),
        (
            "tests/journal",
            "tests/property/test_tampering.py",
            "tests/hostile/test_tail.py",
            "tests/hostile/test_hidden.py",
            "tests/contract/test_journal.py",
        ),
    ),
    "confinement": Area(
        ("capabilities/fs/world/_confined.py", "capabilities/fs/world/_syscalls.py", "sandbox/*.py"),
        ("tests/capabilities/fs", "tests/sandbox"),
    ),
    "redaction": Area(("secrets/*.py",), ("tests/secrets",)),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the text between two places of a file, and what stands there instead."""

    path: str
    function: str
    line: int
    start: int
    end: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """The change without its line, which moves."""
        return f"{self.path} {self.function}: {self.before} -> {self.after}"

    def applied(self, source: str) -> str:
        """The source with the change."""
        data = source.encode()
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()


_COMPARED: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Every change of one operator, constant or condition that the functions of a module allow."""
    begins = [0]
    for text in source.encode().splitlines(keepends=True):
        begins.append(begins[-1] + len(text))
    for function, node, changed in _changes(ast.parse(source)):
        start = begins[node.lineno - 1] + node.col_offset
        end = begins[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        before, after = ast.unparse(node), ast.unparse(changed)
        yield Mutant(path, function, node.lineno, start, end, before, f"({after})")


def _changes(tree: ast.AST) -> Iterator[tuple[str, ast.expr, ast.expr]]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            # What is declared of a function is read by others; nested ones come by themselves.
            for statement in function.body:
                yield from ((function.name, *change) for change in _below(statement))


def _below(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assert | ast.JoinedStr):
        return  # An assertion says what can't be otherwise: to switch it off changes nothing.
    if isinstance(node, ast.keyword) and node.arg == "strict":
        return  # So does a `zip` of two that are equally long.
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not _is_constant(node.test):
        yield node.test, ast.Constant(value=False)
        if not isinstance(node, ast.While):
            yield node.test, ast.Constant(value=True)
    if isinstance(node, ast.expr):
        yield from ((node, changed) for changed in _alike(node))
    for name, child in ast.iter_fields(node):
        if name not in ("annotation", "returns", "msg"):
            for one in child if isinstance(child, list) else [child]:
                if isinstance(one, ast.AST):
                    yield from _below(one)


def _alike(node: ast.expr) -> Iterator[ast.expr]:
    """What may stand in place of an expression."""
    match node:
        case ast.BoolOp():
            other = copy.copy(node)
            other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield other
        case ast.Compare(ops=[op]) if type(op) in _COMPARED:
            other_ = copy.copy(node)
            other_.ops = [_COMPARED[type(op)]()]
            yield other_
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool() as value):
            yield ast.Constant(value=not value)
        case ast.Constant(value=int() as value):
            yield ast.Constant(value=value + 1)
        case _:
            pass


def _is_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or ast.unparse(node) == "TYPE_CHECKING"


@dataclass(frozen=True, slots=True)
class Known:
    """What the tests say of the sources as they are."""

    failing: tuple[str, ...] = ()
    meeting: Mapping[tuple[str, int], Sequence[str]] = field(default_factory=dict)
    """A line of a module, by its path below `src` → the tests that pass by it."""


class Floor:
    """A copy of the sources, in which one change at a time is tried by the tests."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.known = Known()
        self._root = root
        self._folder = folder
        self._source = folder / "src"
        shutil.copytree(root / "src", self._source, ignore=shutil.ignore_patterns("__pycache__"))

    def notices(self, mutant: Mutant, tests: Sequence[str]) -> bool:
        """Whether a test fails, or none comes to its end, with the change. The copy is as it was afterwards.

        What a test does in another process is met by no line: so all tests run where those that meet the change pass.
        """
        path = self._source / mutant.path
        source = path.read_text(encoding="utf-8")
        path.write_text(mutant.applied(source), encoding="utf-8")
        meeting = self.known.meeting.get((mutant.path, mutant.line), ())
        try:
            # Names of tests are made from values too: where the change makes others, these can't be asked by name.
            return (bool(meeting) and self._tried(meeting) not in ((), PYTEST)) or self.fails(tests)
        finally:
            path.write_text(source, encoding="utf-8")

    def fails(self, tests: Sequence[str]) -> bool:
        """Whether a test fails as the copy stands, or none comes to its end."""
        return bool(self._tried(tests))

    def _tried(self, tests: Sequence[str]) -> tuple[str, ...]:
        left_out = [f"--deselect={name}" for name in self.known.failing]
        try:
            return self._failed(["-n", "0", "-x"], [*left_out, *tests])
        except subprocess.TimeoutExpired:
            return ("none ended in time",)

    def measured(self, tests: Sequence[str], *, jobs: int) -> Known:
        """All of the tests as the copy stands: which fail, and which lines each passes by."""
        data, config = self._folder / "coverage", self._folder / "measured.ini"
        config.write_text(MEASURED.format(data), encoding="utf-8")
        words = ("--cov", f"--cov-config={config}", "--cov-context=test", "--cov-report=")
        failing = self._failed(["-n", str(jobs), *words], tests, timeout_s=None)
        found = CoverageData(str(data))
        found.read()
        meeting: dict[tuple[str, int], list[str]] = {}
        for file in found.measured_files():
            for line, contexts in found.contexts_by_lineno(file).items():
                names = dict.fromkeys(name.rpartition("|")[0] for name in contexts)
                meeting[str(Path(file).relative_to(self._source)), line] = [
                    name for name in names if name and name not in failing
                ]
        return Known(failing, meeting)

    def _failed(
        self, words: Sequence[str], tests: Sequence[str], *, timeout_s: float | None = TIMEOUT_S
    ) -> tuple[str, ...]:
        # Before what is installed, for every process that a test starts; bytecode of the file before would be taken for its own.
        env = {**os.environ, "PYTHONPATH": str(self._source), "PYTHONDONTWRITEBYTECODE": "1"}
        asked = self._folder / "tests"  # Thousands of names are too long for a command line.
        asked.write_text("\n".join(tests), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, *"-m pytest -q -p no:cacheprovider -p no:randomly".split(), *words, f"@{asked}"],
            cwd=self._root,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        named = tuple(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE))
        return named or (PYTEST if done.returncode else ())


def ordered(tests: Sequence[str], mutant: Mutant, root: Path) -> list[str]:
    """The files of tests, those first that are named like the changed module: most changes are noticed there."""
    files = [
        path
        for name in tests
        for path in (sorted((root / name).rglob("test_*.py")) if (root / name).is_dir() else [root / name])
    ]
    word = Path(mutant.path).stem.strip("_").rstrip("s")
    files.sort(key=lambda path: word not in path.stem)
    return [str(path.relative_to(root)) for path in files]


def drawn(root: Path, areas: Sequence[str], *, count: int, seed: str, only: str) -> list[tuple[Area, Mutant]]:
    """Changes of the areas, as many of each as of the others."""
    found: list[tuple[Area, Mutant]] = []
    for name in areas:
        area = AREAS[name]
        paths = sorted({path for rule in area.rules for path in (root / "src" / "assent").glob(rule)})
        every = [
            mutant
            for path in paths
            if only in str(path)
            for mutant in mutants(str(path.relative_to(root / "src")), path.read_text(encoding="utf-8"))
        ]
        share = -(-count // len(areas))
        found += [(area, one) for one in dice(f"{name} {seed}").sample(every, min(share, len(every)))]
    return found[:count]


def answers() -> Mapping[str, str]:
    """Change → why nobody can notice it."""
    with ANSWERS.open("rb") as file:
        return {str(name): str(why) for name, why in tomllib.load(file).items()}


def judged(
    root: Path, chosen: Sequence[tuple[Area, Mutant]], floors: Sequence[Floor]
) -> list[tuple[Mutant, Verdict]]:
    """Each change and what became of it."""
    known = answers()

    def judge(number: int) -> list[tuple[Mutant, Verdict]]:
        found: list[tuple[Mutant, Verdict]] = []
        for area, mutant in chosen[number :: len(floors)]:
            verdict: Verdict = "answered"
            if mutant.name not in known:
                seen = floors[number].notices(mutant, ordered(area.tests, mutant, root))
                verdict = "noticed" if seen else "survived"
            print(f"{verdict:9} {mutant.path}:{mutant.line}  {mutant.before}  ->  {mutant.after}", flush=True)
            found.append((mutant, verdict))
        return found

    with ThreadPoolExecutor(len(floors)) as pool:
        return [one for found in pool.map(judge, range(len(floors))) for one in found]


def main(arguments: Sequence[str]) -> int:
    """Draw, try, tell."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutate")
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(AREAS)}; all without one")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tests", nargs="+", help="these instead of all tests of the floor")
    parser.add_argument("--only", default="", help="changes of files whose path has this in it")
    asked = parser.parse_args(arguments)
    areas = asked.areas or [*AREAS]
    unknown = sorted(set(areas) - AREAS.keys())
    if unknown:
        parser.error(f"no area `{unknown[0]}`: {', '.join(AREAS)}")
    chosen = [
        (replace(area, tests=tuple(asked.tests)) if asked.tests else area, mutant)
        for area, mutant in drawn(ROOT, areas, count=asked.count, seed=asked.seed, only=asked.only)
    ]
    with tempfile.TemporaryDirectory(prefix="assent-mutants-") as folder:
        floors = [Floor(ROOT, Path(folder) / str(number)) for number in range(min(asked.jobs, len(chosen)))]
        every = dict.fromkeys(test for area, _ in chosen for test in area.tests)
        known = floors[0].measured([*every], jobs=asked.jobs)
        for name in known.failing:
            print(f"left out, it fails without any change: {name}", flush=True)
        for floor in floors:
            floor.known = known
        found = judged(ROOT, chosen, floors)
    survived = [mutant for mutant, verdict in found if verdict == "survived"]
    print(f"{len(found) - len(survived)} of {len(found)} noticed or answered, seed {asked.seed}")
    for mutant in survived:
        print(f"give it a test, or a reason in tools/mutants.toml:\n  {mutant.name!r}")
    return 0 if 100 * (len(found) - len(survived)) >= NOTICED_MIN * len(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
