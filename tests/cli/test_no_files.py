"""No rule and no file access above the service: what a door does with files itself stands here, with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import assent

HOUSE: Final = Path(assent.__file__).parent
DOORS: Final = (*(HOUSE / "cli").rglob("*.py"), HOUSE / "sync.py")

WAYS: Final = frozenset(
    "open fdopen read_text read_bytes write_text write_bytes exists lexists is_file is_dir is_symlink stat lstat samefile mkdir "
    "makedirs unlink remove rename rmdir rmtree copy copytree iterdir glob rglob walk scandir listdir touch".split()
)
"""How Python gets at files, by the name that is called."""

ALLOWED: Final = {
    "cli/_arguments.py": "a value or a document that the command line names (`@FILE`, a workflow) is read where it was typed",
    "cli/_command.py": "whether there is a state at all, before anything is asked of it for a reminder",
    "cli/_init.py": "it makes the workspace that a service needs: there is nobody to ask yet",
    "cli/_main.py": "the standard streams, and the trace of a fault of our own, which the service may have caused",
    "cli/demo": "it makes a workspace of its own in a temporary folder, and acts there as a person at a terminal would",
    "cli/hook/_group.py": "settings of an agent's program outside of the workspace, which no capability may touch",
    "cli/hook/_owner.py": "where the owner of the state listens: the house's own client takes twice as long to load",
    "cli/knowledge/_setup.py": "whether a file of one's own holds a key at all, before a person is asked to approve its use",
    "cli/plugins/_make.py": "a scaffold in the folder that is named; `plugin test` looks whether a file of that name is there",
    "cli/plugins/_trust.py": "whether a plugin is named at all, before anything is asked for one more hint to an error",
    "cli/record/_proof.py": "KEY or a file with it",
    "cli/runs/_history.py": "an attachment goes to the file that is named",
    "cli/runs/_replay.py": "RUN or a snapshot's file",
    "cli/runs/_workflow.py": "PLAN or a workflow's file",
    "cli/scans/_recipes.py": "whether a folder stands where the report is to go, before anything is scanned for it",
    "cli/terminal/_error_text.py": "the line of a document that an error points to, shown below it",
    "cli/terminal/_files.py": "what is imported is read where it was typed; a report or a proof goes to the file that is named",
    "cli/terminal/_output.py": "the standard streams, once nobody reads them any more",
    "sync.py": "what it opens is a runtime",
}
"""Where a door touches files, and why no request does it."""


def calls(tree: ast.Module) -> Iterator[str]:
    """The calls in a module that get at files, as they are written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            is_method = isinstance(node.func, ast.Attribute) and node.func.attr in WAYS
            if is_method or (isinstance(node.func, ast.Name) and node.func.id == "open"):
                yield ast.unparse(node.func)


def place_of(path: Path) -> str:
    """The module as the table names it: demos stand for one another."""
    place = path.relative_to(HOUSE).as_posix()
    return "cli/demo" if place.startswith("cli/demo/") else place


def test_doors_touch_no_files_but_those_that_are_named() -> None:
    """And each exception is still one."""
    found = {place_of(path) for path in DOORS if [*calls(ast.parse(path.read_bytes()))]}
    assert found == {*ALLOWED}


@pytest.mark.parametrize("text", ["p.exists()", "open('x')", "os.open('x', 0)", "Path('x').read_text()"])
def test_a_file_that_is_touched_is_noticed(text: str) -> None:
    assert [*calls(ast.parse(text))]
