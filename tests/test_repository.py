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

import pytest

import assent
from assent.errors.catalog import CATALOG

ROOT = Path(__file__).resolve().parent.parent
CATALOG_FOLDER = "src/assent/errors/"
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


def modules(folder: str) -> Iterator[tuple[str, ast.Module]]:
    """Every tracked Python file under a folder, parsed."""
    for name in tracked():
        if name.startswith(folder) and name.endswith(".py"):
            yield name, ast.parse((ROOT / name).read_text(encoding="utf-8"), name)


def called(node: ast.expr) -> str:
    """The last name of what is called or inherited: `errors.InputError` and `InputError` are one."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def raised_codes() -> dict[str, str]:
    """Each literal code that is handed to an error of ours, with the place where it is."""
    trees = list(modules("src/"))
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
    assert {code: place for code, place in codes.items() if code not in CATALOG} == {}


def test_every_code_that_is_explained_can_be_met() -> None:
    """A code that no source names any more leaves the catalogue with it."""
    literals = {
        node.value
        for name, tree in modules("src/")
        if not name.startswith(CATALOG_FOLDER)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    }
    assert sorted(set(CATALOG) - literals) == []


@pytest.mark.parametrize("code", sorted(CATALOG))
def test_an_explanation_says_what_it_means_and_what_to_do(code: str) -> None:
    entry = CATALOG[code]
    assert CODE.fullmatch(code)
    assert entry.meaning.strip().endswith(".")
    assert entry.remedy.strip().endswith(".")


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


def test_no_module_grows_past_six_hundred_lines() -> None:
    """Near that length two ideas share a file; one that must be longer says at its top why it is one thing."""
    long = {
        n: len((text(n) or "").splitlines()) for n in tracked() if n.startswith("src/") and n.endswith(".py")
    }
    assert {name: count for name, count in long.items() if count > 600} == {}


def test_the_changelog_tells_what_is_new() -> None:
    headings = re.findall(r"^## (.+)$", text("CHANGELOG.md") or "", re.MULTILINE)
    versions = [heading.split()[0].strip("[]") for heading in headings]
    assert versions
    assert versions[0] in {"Unreleased", assent.__version__}


def test_every_dependency_is_locked_within_its_range() -> None:
    """`requirements/test.txt` holds an exact version of everything that `pyproject.toml` asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for group in ("test", "bench"):
        pins = [line.split(";")[0].strip() for line in (text(f"requirements/{group}.txt") or "").splitlines()]
        assert all(
            re.fullmatch(r"[A-Za-z0-9._-]+==\S+", pin) for pin in pins if pin and not pin.startswith("#")
        )
        locked = {pin.split("==")[0].lower() for pin in pins}
        asked = [*project["project"]["dependencies"], *project["dependency-groups"][group]]
        # A dot and a hyphen in a project's name mean the same to an installer.
        assert {re.split(r"[<>=]", entry)[0].lower().replace(".", "-") for entry in asked} - locked == set()


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
