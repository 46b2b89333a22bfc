"""The files of a new plugin. `@NAME@`, `@MODULE@`, `@WORD@` … are filled in by `_scaffold`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PROJECT: Final = """\
[build-system]
requires = ["hatchling>=1.27,<2"]
build-backend = "hatchling.build"

[project]
name = "@NAME@"
version = "0.1.0"
description = "@TITLE@: texts in the workspace, one file each."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["assent@ASSENT@"]

[project.entry-points."assent.plugins"]
"@NAME@" = "@MODULE@"

[tool.hatch.build.targets.wheel]
packages = ["src/@MODULE@"]

[tool.pytest.ini_options]
pythonpath = ["src"]
testpaths = ["tests"]
"""

_DECLARATION: Final = """\
# What the plugin says of itself. What it does not ask for here is denied: `permissions` is where network, process, files,
# secrets and environment would stand. This one acts through `context.world` alone, and needs none.
name = "@NAME@"
entry = "@MODULE@"
assent = "@ASSENT@"
"""

_README: Final = """\
# @TITLE@

A plugin for Assent with two capabilities: `@WORD@.list` reads, `@WORD@.add` writes and can be undone.

    assent plugin inspect .             what it is, can do and wants; nothing of it runs
    assent plugin test . --untrusted    the contract that every capability keeps

To use it in a workspace, name it in `assent.toml` and trust it:

    [plugins]
    paths = ["path/to/@NAME@"]

    assent plugin trust @NAME@
    assent call @WORD@.add title=first text=hello
"""

_PACKAGE: Final = '''\
"""@TITLE@: texts in the workspace, one file each.

A capability belongs to the plugin when a module of it describes it with `@capability` and this module, the entry, imports it.
"""

from @MODULE@.capabilities import add, list_all

__all__ = ["add", "list_all"]


def health() -> None:
    """Nothing outside the workspace is needed, so all is well. A text would mean degraded; an exception, failed."""
'''

_CAPABILITIES: Final = '''\
"""What can be done: list, and add. Everything acts through `context.world`, so that plans and undo can be rehearsed."""

from __future__ import annotations

import difflib

from assent import AssentError, LocalContext, capability
from assent.invocation import NoEffectError, Preview, Reconciliation
from assent.spec.states import Verdict

END = ".@WORD@.txt"


def place(title: str) -> str:
    """The file of a title. Only what is a plain file name everywhere is taken."""
    if not title or len(title) > 100 or not title.replace("-", "").replace("_", "").isalnum():
        raise NoEffectError("TITLE_INVALID", f"`{title[:100]}` is no title: letters, digits, `-` and `_`")
    return f"{title}{END}"


def found(context: LocalContext, path: str) -> str | None:
    """The text in a file, or None where there is none."""
    files = context.world.files
    if files.stat(path) is None:
        return None
    return b"".join(files.read(path)).decode(errors="replace")


# -- reading: no undo is needed, and none is asked for ---------------------------------------------------------------------


@capability("@WORD@.list", operation="READ", risk="LOW", justification="reads names in the workspace")
def list_all(context: LocalContext) -> list[str]:
    """List the titles."""
    return [name.removesuffix(END) for name in context.world.files.list(".") if name.endswith(END)]


# -- writing: what is prepared is journaled before the effect, and is all that the undo will have --------------------------


@capability(
    "@WORD@.add",
    operation="WRITE",
    risk="LOW",
    justification="adds a file, which is taken away again by the undo",
    reversible=True,
    scope="workspace",
    effect="adds a file",
    rehearsable=True,
)
def add(context: LocalContext, title: str, text: str) -> str:
    """Add a text under a title that is not taken."""
    path = place(title)
    context.world.files.write(path, [text.encode()], key=context.key, replace=False)
    return path


@add.prepare
def look(context: LocalContext, title: str) -> dict[str, bool]:
    """Refuse a title that is taken, while nothing has been done."""
    if found(context, place(title)) is not None:
        raise NoEffectError("TITLE_TAKEN", f"there is a text called `{title}` already")
    return {"absent": True}


@add.compensate
def take_away(context: LocalContext, title: str, text: str) -> None:
    """Remove the file, if it is still what was added: nobody else's change is thrown away."""
    path = place(title)
    now = found(context, path)
    if now is None:
        return
    if now != text:
        raise AssentError("COMPENSATION_CONFLICT", f"`{path}` was changed since it was added", path=path)
    context.world.files.remove_file(path)


@add.reconcile
def happened(context: LocalContext, title: str, text: str) -> Reconciliation:
    """After a crash: did it happen?"""
    path = place(title)
    now = found(context, path)
    if now is None:
        return Reconciliation(Verdict.NO)
    return Reconciliation(Verdict.YES, path) if now == text else Reconciliation(Verdict.UNKNOWN, foreign=True)


@add.preview
def show(context: LocalContext, title: str, text: str) -> Preview:
    """What a plan and an approval show. It is given a simulated world, and acts on it as `execute` would."""
    path = place(title)
    if found(context, path) is not None:
        raise NoEffectError("TITLE_TAKEN", f"there is a text called `{title}` already")
    context.world.files.write(path, [text.encode()], key=context.key, replace=False)
    lines = difflib.unified_diff([], text.splitlines(keepends=True), "/dev/null", path)
    return Preview("unified", "".join(lines))
'''

_CONTRACT: Final = '''\
"""Examples of calls: `assent plugin test` tries every promise of a capability on each of them, as the tests do."""

from assent.testing import Case

CASES = {
    "@WORD@.list": [Case(), Case(files={"a.@WORD@.txt": "one", "b.txt": "another"})],
    "@WORD@.add": [
        Case({"title": "first", "text": "hello\\n"}),
        Case({"title": "second", "text": ""}, files={"first.@WORD@.txt": "hello"}),
        Case({"title": "first", "text": "again"}, files={"first.@WORD@.txt": "hello"}, fails="TITLE_TAKEN"),
        Case({"title": "../up", "text": ""}, fails="TITLE_INVALID"),
    ],
}
'''

_TESTS: Final = '''\
"""The contract of `assent.testing`, and what is the plugin's own."""

import asyncio
from pathlib import Path

import pytest
from @MODULE@ import add, list_all
from @MODULE@.contract import CASES

from assent import Runtime
from assent.testing import CapabilityContract


class TestList(CapabilityContract):
    capability = list_all
    cases = CASES["@WORD@.list"]


class TestAdd(CapabilityContract):
    capability = add
    cases = CASES["@WORD@.add"]


def test_what_was_added_is_listed_until_it_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSENT_LEDGER_KEY", str(tmp_path / "key"))

    async def story() -> None:
        async with Runtime.open(tmp_path) as rt:
            rt.register(add)
            rt.register(list_all)
            done = await rt.call("@WORD@.add", {"title": "first", "text": "hello"})
            assert done.status == "succeeded"
            assert (await rt.call("@WORD@.list")).steps[0].output == ["first"]
            assert (await rt.undo(done.run_id)).status == "undone"
            assert (await rt.call("@WORD@.list")).steps[0].output == []

    asyncio.run(story())
'''

FILES: Final[Mapping[str, str]] = {
    "pyproject.toml": _PROJECT,
    "README.md": _README,
    "src/@MODULE@/__init__.py": _PACKAGE,
    "src/@MODULE@/assent-plugin.toml": _DECLARATION,
    "src/@MODULE@/capabilities.py": _CAPABILITIES,
    "src/@MODULE@/contract.py": _CONTRACT,
    "tests/test_@WORD@.py": _TESTS,
}
"""The text of each file by its path, both with marks to fill in."""
