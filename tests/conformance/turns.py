"""Whoever changes files of the workspace has its turn there: looked at with each change that a call, or its undo, makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from assent.capabilities.fs.change import _turns
from assent.capabilities.fs.world._confined import ConfinedFiles
from assent.capabilities.fs.world._paths import is_temporary
from assent.invocation import Files

_ASKS: Final = "asks a service, and changes nothing here"
_TELLS: Final = "changes what a service holds, and no file"
_RECORD: Final = "changes the record, which no other call sees"
_KEEPS_KEYS: Final = "changes a file of the state, which no other call sees"
_KEEPS_TRUST: Final = "changes the lock of MCP servers, which no other call can write"
_KEEPS_RESOURCES: Final = (
    "changes the registry of resources, which takes one change after the other by itself"
)
_KEEPS_KNOWLEDGE: Final = "changes the store of knowledge, which takes one change after the other by itself"
_NOTHING: Final = "touches nothing at all"
_ELSEWHERE: Final = "the agent's own program acts, without a turn here"
_FOUND: Final = "keeps what it found in the record, and throws away what its scanner writes"

TAKES_NONE: Final[Mapping[str, str]] = {
    "agent.edit": _ELSEWHERE,
    "agent.fetch": _ELSEWHERE,
    "agent.shell": _ELSEWHERE,
    "agent.tool": _ELSEWHERE,
    "findings.delete_project": _RECORD,
    "findings.gc": _RECORD,
    "findings.import": _RECORD,
    "findings.triage": _RECORD,
    "knowledge.erase_tenant": _KEEPS_KNOWLEDGE,
    "knowledge.escrow": _KEEPS_KEYS,
    "knowledge.forget": _KEEPS_KNOWLEDGE,
    "knowledge.index": _KEEPS_KNOWLEDGE,
    "knowledge.recover": _KEEPS_KEYS,
    "knowledge.rotate_key": _KEEPS_KNOWLEDGE,
    "knowledge.use_model": _KEEPS_KNOWLEDGE,
    "net.http.delete": _TELLS,
    "net.http.delete_compensated": _TELLS,
    "net.http.get": _ASKS,
    "net.http.head": _ASKS,
    "net.http.patch": _TELLS,
    "net.http.patch_compensated": _TELLS,
    "net.http.post": _TELLS,
    "net.http.post_compensated": _TELLS,
    "net.http.put": _TELLS,
    "net.http.put_compensated": _TELLS,
    "notify.webhook": "keeps what it sends in the state, which no other call sees",
    "assent.erase": _RECORD,
    "assent.schedule.add": _RECORD,
    "assent.schedule.pause": _RECORD,
    "assent.schedule.remove": _RECORD,
    "assent.schedule.resume": _RECORD,
    "assent.key.create": _KEEPS_KEYS,
    "assent.key.revoke": _KEEPS_KEYS,
    "assent.mcp.trust": _KEEPS_TRUST,
    "assent.mcp.untrust": _KEEPS_TRUST,
    "scan.active": _FOUND,
    "scan.passive": _FOUND,
    "scan.static": _FOUND,
    "resource.promote": _KEEPS_RESOURCES,
    "resource.publish": _KEEPS_RESOURCES,
    "resource.retire": _KEEPS_RESOURCES,
    "sys.exec.run": "what a program writes is thrown away; where nothing confines it, nobody knows what it will write",
    "sys.fail": _NOTHING,
    "sys.noop": _NOTHING,
    "sys.sleep": _NOTHING,
}
"""Capabilities with an effect that take no turn at files, and why not. Every other one is watched while it acts."""

_CHANGES: Final = ("write", "make_dir", "remove_file", "remove_dir", "rename", "make_link", "set_attributes")


class Turns:
    """What was changed by whoever had its turn there, and what was not. Names for unfinished work are one call's alone."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.missed: set[str] = set()

    @classmethod
    def watched(cls, monkeypatch: pytest.MonkeyPatch) -> Turns:
        """From here on, each change of a real workspace is looked at."""
        turns = cls()
        for name in _CHANGES:
            monkeypatch.setattr(ConfinedFiles, name, turns._looking(name))
        return turns

    def _looking(self, name: str) -> Callable[..., Any]:
        change = getattr(ConfinedFiles, name)

        def looked(files: Files, path: str, *rest: Any, **more: Any) -> Any:
            for one in (path, *(rest[:1] if name == "rename" else ())):
                if not any(map(is_temporary, one.split("/"))):
                    here = _turns._Turn.at(files, [one])
                    (self.kept if any(map(here.meets, _turns._TAKEN)) else self.missed).add(one)
            return change(files, path, *rest, **more)

        return looked

    def require(self, capability: str) -> None:
        """Every change was made in turn, and there was one, unless the table says why not."""
        assert self.missed == set(), (
            "changed while it was not the call's turn there: see `fs/change/_turns.py`"
        )
        if capability in TAKES_NONE:
            assert self.kept == set(), "it changes files: take it out of `TAKES_NONE`"
        else:
            assert self.kept, "no change of files was seen: say why in `TAKES_NONE`"
