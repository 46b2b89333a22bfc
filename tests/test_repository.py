"""Rules of the repository itself: what a reader of any file may rely on.

They look at the files git tracks (or, in an unpacked archive, at all of them), so work in progress is judged when it is added.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from coverage import Coverage
from coverage.results import should_fail_under

import assent
from assent.errors.explanations import explanations
from tools import write_sizes

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")

# Written in parts, so that this file does not break its own rules.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
HOSTS = re.compile(
    "|".join(("py" + r"pi\.org", "pythonhosted" + r"\.org", "extra-index" + "-url", "index" + "-url ="))
)
MACHINE = re.compile(
    "|".join(
        (r"(?<![\w.])/wo" + "rk/(main|shared)", "/opt/wh" + "eels", r"(?<!\w)/(home|Users)/(?!user\b)\w+/")
    )
)


@cache
def tracked() -> tuple[str, ...]:
    """The repository's files, relative to its root."""
    answer = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode == 0:
        names = [name for name in answer.stdout.split("\0") if name]
    else:
        kept = ("src", "tests", "tools", "docs", "benchmarks", "requirements")
        files = [*ROOT.glob("*.*"), *(p for folder in kept for p in (ROOT / folder).rglob("*"))]
        names = [p.relative_to(ROOT).as_posix() for p in files if "__pycache__" not in p.parts]
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


def text(name: str) -> str | None:
    """A file's text, or None when it holds none."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def lines_with(pattern: re.Pattern[str], *, skip: tuple[str, ...] = ()) -> list[str]:
    """`file:line: text` of every line that matches, outside the skipped folders and files."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name in tracked()
        if not name.startswith(skip or "\0")
        for number, line in enumerate((text(name) or "").splitlines(), start=1)
        if pattern.search(line)
    ]


@cache
def modules() -> dict[str, ast.Module]:
    """Every tracked Python file of the package, parsed."""
    names = [name for name in tracked() if name.startswith("src/") and name.endswith(".py")]
    return {name: ast.parse((ROOT / name).read_text(encoding="utf-8"), name) for name in names}


def called(node: ast.expr) -> str:
    """The last name of what is called or inherited: `errors.InputError` and `InputError` are one."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def raised_codes() -> dict[str, str]:
    """Each literal code that is handed to an error of ours, with the place where it is."""
    trees = modules().items()
    classes = [
        (n.name, {called(b) for b in n.bases})
        for _, t in trees
        for n in ast.walk(t)
        if isinstance(n, ast.ClassDef)
    ]
    ours = {"AssentError"}
    while True:
        more = {name for name, bases in classes if bases & ours} - ours
        if not more:
            break
        ours |= more
    codes: dict[str, str] = {}
    for name, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node.func) in ours:
                given = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "code")]
                for value in given:
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        codes[value.value] = f"{name}:{node.lineno}"
    return codes


def test_every_code_that_is_raised_is_explained() -> None:
    """`assent explain CODE` has an answer for whatever a user may have met."""
    codes = raised_codes()
    assert codes, "no error is raised anywhere: the search is broken"
    assert {code: place for code, place in codes.items() if code not in explanations()} == {}


def test_every_code_that_is_explained_can_be_met() -> None:
    """A code that no source names any more leaves the catalogue with it."""
    sources = [text(name) or "" for name in tracked() if name.startswith("src/") and name.endswith(".py")]
    literals = {literal for source in sources for literal in re.findall(r'"(\w+)"', source)}
    assert sorted(set(explanations()) - literals) == []


def test_an_explanation_says_what_it_means_and_what_to_do() -> None:
    wrong = {
        code
        for code, entry in explanations().items()
        if not (
            CODE.fullmatch(code)
            and entry.meaning.strip().endswith(".")
            and entry.remedy.strip().endswith(".")
        )
    }
    assert wrong == set()


def test_a_code_is_explained_in_one_file_with_two_sentences() -> None:
    """Anything else in a file of explanations is a slip that no reader of it would see."""
    files = [n for n in tracked() if n.startswith("src/assent/errors/codes/") or n.endswith("/errors.toml")]
    codes = [code for name in files for code in re.findall(r"^\[(\w+)\]$", text(name) or "", re.MULTILINE)]
    entries = [entry for name in files for entry in tomllib.loads(text(name) or "").values()]
    assert sorted(codes) == list(explanations())
    assert [entry for entry in entries if set(entry) != {"meaning", "remedy"}] == []


def test_nothing_is_left_unfinished() -> None:
    assert lines_with(UNFINISHED, skip=("LICENSE", "tests/golden/")) == []


def test_no_file_names_the_machine_it_was_written_on() -> None:
    assert lines_with(MACHINE, skip=("tests/golden/",)) == []


def test_no_file_names_a_package_index() -> None:
    """Which mirror serves the packages is the machine's affair; a name in the repository would bind everybody to it."""
    assert lines_with(HOSTS) == []


def test_every_text_file_ends_with_one_newline() -> None:
    texts = {name: text(name) for name in tracked() if not name.startswith("tests/golden/")}
    assert [n for n, t in texts.items() if t and (not t.endswith("\n") or t.endswith("\n\n"))] == []


SMALL_LINES: Final = 60
_LOADED_LATER: Final = "loaded when it is needed, and by most commands never"
_SUBJECT: Final = "a subject of its own, with rules that its importer need not know"
SMALL: Final = {
    "__main__": "the entry point",
    "capabilities.agent.area": "what the roof knows of an area; the rest is loaded with the first call",
    "capabilities.data._merge": _SUBJECT,
    "capabilities.info._machine": _LOADED_LATER,
    "capabilities.knowledge._process": "runs in processes in which nothing else of the house is loaded",
    "cli.demo.files.edits": "copied into the demo's folder",
    "cli.demo.files.flip": "copied into the demo's folder",
    "cli.findings._group": _LOADED_LATER,
    "cli.knowledge._group": _LOADED_LATER,
    "cli.plugins._group": _LOADED_LATER,
    "cli.scans._group": _LOADED_LATER,
    "findings.book._digest": _SUBJECT,
    "engine.waiting._inbox": "hides why a queue of the library is not used",
    "engine.steps._retry": "a rule without a shell, tried alone",
    "invocation.context._logger": _LOADED_LATER,
    "journal.store._own_key": "joins keys and reading, which know nothing of each other",
    "plugins.loading._trial": _LOADED_LATER,
    "plugins.worker.process": "the first lines of a process of its own",
    "policy._permissions": "asked before the gate is loaded",
    "runtime.runs._captured_changes": _SUBJECT,
    "runtime.service.answers._knowledge": "the answers of one subject, beside those of others",
    "runtime.service.schema": _LOADED_LATER,
    "sandbox._programs": "runs in processes in which nothing else of the house is loaded",
    "spec.events._calls": "the events of one subject, beside those of others",
    "spec.events._deliveries": "the events of one subject, beside those of others",
    "spec.events._schedules": "the events of one subject, beside those of others",
    "testing._areas": _SUBJECT,
    "versions._older_reader": _LOADED_LATER,
}
"""Small modules with one importer or none, and why each is no part of it."""


def test_a_small_module_with_one_importer_has_a_reason() -> None:
    """Otherwise it belongs to its importer: a file of its own costs every reader a look."""
    trees = modules()
    importers: dict[str, set[str]] = {}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for found in (node.module, *(f"{node.module}.{one.name}" for one in node.names)):
                    importers.setdefault(found, set()).add(name)
    small = {
        dotted
        for name in trees
        # `_capabilities.py` is where the catalogue looks for an area's descriptions.
        if not name.endswith(("/__init__.py", "/_capabilities.py"))
        and len((text(name) or "").splitlines()) < SMALL_LINES
        for dotted in [name.removeprefix("src/").removesuffix(".py").replace("/", ".")]
        if len(importers.get(dotted, ())) <= 1
    }
    kept = {name.removeprefix("assent.") for name in small}
    assert kept - SMALL.keys() == set(), "join these to who imports them, or say here why not"
    assert SMALL.keys() - kept == set(), "these have grown, or have more importers: take them out of the list"


def test_the_page_says_how_large_the_house_is() -> None:
    """Within a tenth: every change would have to write the page anew if it were exact."""
    assert write_sizes.old() == []


def test_the_changelog_tells_what_is_new() -> None:
    headings = re.findall(r"^## (.+)$", text("CHANGELOG.md") or "", re.MULTILINE)
    versions = [heading.split()[0].strip("[]") for heading in headings]
    assert versions
    assert versions[0] in {"Unreleased", assent.__version__}


def asked_by(groups: dict[str, list[str | dict[str, str]]], name: str) -> Iterator[str]:
    """What a group of dependencies asks for, those that it includes too."""
    for one in groups[name]:
        if isinstance(one, str):
            yield one
        else:
            yield from asked_by(groups, one["include-group"])


def test_every_dependency_is_locked_within_its_range() -> None:
    """`requirements/test.txt` holds an exact version of everything that `pyproject.toml` asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for group in ("test", "bench"):
        pins = [line.split(";")[0].strip() for line in (text(f"requirements/{group}.txt") or "").splitlines()]
        assert all(
            re.fullmatch(r"[A-Za-z0-9._-]+==\S+", pin) for pin in pins if pin and not pin.startswith("#")
        )
        locked = {pin.split("==")[0].lower() for pin in pins}
        asked = [*project["project"]["dependencies"], *asked_by(project["dependency-groups"], group)]
        # A dot and a hyphen in a project's name mean the same to an installer.
        assert {re.split(r"[\[<>=]", entry)[0].lower().replace(".", "-") for entry in asked} - locked == set()


def documents() -> list[str]:
    return [name for name in tracked() if name.endswith(".md") and not name.startswith("tests/golden/")]


def prose(markdown: str) -> str:
    """A document without its code, where brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^(```|~~~).*?^\1", "", markdown, flags=re.MULTILINE | re.DOTALL))


def anchors(markdown: str) -> set[str]:
    """The anchors of a document's headings, as the usual renderers make them, and its explicit ones."""
    unfenced = re.sub(r"^(```|~~~).*?^\1", "", markdown, flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", unfenced))
    for heading in re.findall(r"^#+ +(.+?) *#*$", unfenced, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        copies = sum(1 for known in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", known))
        found.add(f"{slug}-{copies}" if copies else slug)
    return found


def test_coverage_just_below_what_is_asked_for_fails() -> None:
    """The summary tells the exact figure, and the exit status follows from a rounded one."""
    asked = Coverage(config_file=str(ROOT / "pyproject.toml")).config
    assert should_fail_under(asked.fail_under - 0.01, asked.fail_under, asked.precision)
    assert not should_fail_under(asked.fail_under, asked.fail_under, asked.precision)


def test_there_are_documents_to_check() -> None:
    assert {"README.md", "CHANGELOG.md"} <= set(documents())


@pytest.mark.parametrize("name", documents())
def test_every_link_in_a_document_leads_somewhere(name: str) -> None:
    broken = []
    for target in re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", prose(text(name) or "")):
        if re.match(r"[a-z]+:", target):
            continue  # the world outside is not asked: tests use no network
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        inside = file.resolve().is_relative_to(ROOT)
        if not (inside and file.exists()) or (
            anchor and anchor not in anchors(file.read_text(encoding="utf-8"))
        ):
            broken.append(target)
    assert broken == []


def test_one_module_of_the_roof_says_that_the_ledger_is_a_file() -> None:
    """Everything else takes the journal's port, so that another journal can stand behind it."""
    naming = {
        str(path.relative_to(ROOT / "src" / "assent"))
        for path in (ROOT / "src" / "assent").rglob("*.py")
        if "journal" not in path.relative_to(ROOT).parts
        and re.search(
            r"\b(SqliteJournal|SqliteReader|SqliteRecord|LEDGER_FILE)\b", path.read_text(encoding="utf-8")
        )
    }
    assert naming == {"runtime/_ledger.py"}
