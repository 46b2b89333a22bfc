"""`sys.exec.run_captured`: a program whose writes the workspace takes over, as one change that can be shown, approved and undone.

The program runs before the effect is journaled: confined, without a network, its writes in a private layer, it has none. What it
wrote is what is journaled, and putting that in place is the effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final

from assent.capabilities.exec._output import told
from assent.capabilities.exec._programs import Programs, Ran, in_thread
from assent.capabilities.exec._run import command_line, command_of, require_success
from assent.capabilities.exec._shapes import RanCaptured, RunCaptured
from assent.capabilities.fs._globs import Rules, rules_of
from assent.capabilities.fs.change._change import Change
from assent.capabilities.fs.change._path_state import Node, PathState, changed
from assent.capabilities.fs.change._write_set import Entry, WriteSet, WriteSetEffect
from assent.capabilities.fs.world._paths import is_temporary, normal, shown
from assent.errors import Json
from assent.invocation import (
    EXECUTE_CAPTURED,
    EntryKind,
    LocalContext,
    NoEffectError,
    Prepared,
    Preview,
    Reconciliation,
)

if TYPE_CHECKING:
    from assent.capabilities.exec._stamp import Stamp
    from assent.sandbox import Capture, Captured

LISTED_MAX: Final = 1000
"""Paths that the output lists."""

_CHUNK_BYTES: Final = 1 << 20
_KINDS: Final = {"file": EntryKind.FILE, "folder": EntryKind.DIRECTORY, "link": EntryKind.SYMLINK}


class CapturedEffect(WriteSetEffect[RanCaptured]):
    """What a program wrote, put in place."""

    def output(self, parameters: WriteSet, change: Change) -> RanCaptured:
        del parameters
        return RanCaptured.model_validate(change.notes.get("told"))

    def base(self, change: Change) -> str:
        # Whoever approves agrees to what was written, so another outcome of the same program has to be asked for again.
        after = "".join(f"{target.path}\0{target.after.identity}\0" for target in change.targets)
        return hashlib.sha256(f"{change.base()}{after}".encode("utf-8", "surrogateescape")).hexdigest()


_EFFECT: Final = CapturedEffect()


async def prepare(context: LocalContext, parameters: RunCaptured) -> Prepared:
    """Run the program, or take what it wrote when that was shown to whoever approved."""
    _rules(parameters)
    programs = context.app.get(Programs)
    async with programs.captured(
        context, command_of(parameters, parameters.environment), keep=False
    ) as found:
        return await in_thread(partial(_prepared, context, parameters, *found))


def execute(context: LocalContext, parameters: RunCaptured) -> RanCaptured:
    """Put what was written in place."""
    del parameters
    return _EFFECT.execute(context, WriteSet())


def reconcile(context: LocalContext, parameters: RunCaptured) -> Reconciliation:
    """Compare the workspace with what was to be put in place."""
    del parameters
    return _EFFECT.reconcile(context, WriteSet())


def compensate(context: LocalContext, parameters: RunCaptured) -> Json:
    """Put back what stood before."""
    del parameters
    return _EFFECT.compensate(context, WriteSet())


async def preview(context: LocalContext, parameters: RunCaptured) -> Preview:
    """What the program writes, where it may be run to find out; else its command line, and that this is not known."""
    programs = context.app.get(Programs)
    command = command_of(parameters, parameters.environment)
    programs.permit(command, str(context.principal))
    _rules(parameters)
    line = command_line(parameters)
    if context.world.is_changed:
        why = "an earlier step changes files that the program would read"
    elif EXECUTE_CAPTURED not in context.flags:
        why = "what it writes is known after it ran: `assent plan --execute-captured` runs it in the sandbox"
    else:
        async with programs.captured(context, command, keep=True) as found:
            shown_ = await in_thread(partial(_previewed, context, parameters, *found))
        return Preview(shown_.kind, f"{line}\n{shown_.diff}", shown_.base, changes=shown_.changes)
    return Preview("text", f"{line}\n({why})\n", known=False)


def _prepared(
    context: LocalContext, parameters: RunCaptured, ran: Ran, capture: Capture, stamp: Stamp | None
) -> Prepared:
    return _EFFECT.prepare(context, _write_set(context, parameters, ran, capture, stamp))


def _previewed(
    context: LocalContext, parameters: RunCaptured, ran: Ran, capture: Capture, stamp: Stamp | None
) -> Preview:
    return _EFFECT.preview(context, _write_set(context, parameters, ran, capture, stamp))


def _write_set(
    context: LocalContext, parameters: RunCaptured, ran: Ran, capture: Capture, stamp: Stamp | None
) -> WriteSet:
    """What the workspace is to take over.

    Raises PROGRAM_LIMIT, PROGRAM_FAILED, CAPTURE_REFUSED, PATTERN_INVALID, and FILE_CHANGED when somebody else has changed
    meanwhile what the program changed: it may never have seen that.
    """
    require_success(ran, check=parameters.check)
    chosen = _Chosen(_rules(parameters), capture)
    for one in chosen.changes:
        # The time of a folder changes with what comes and goes in it.
        if stamp is not None and one.kind != "folder" and stamp.has_changed(one.path):
            raise changed(one.path)
    tops = [(path, group) for path, group in _tops(chosen.changes)]
    entries = tuple(Entry(path, _snapshot(context, path, group, capture)) for path, group in tops)
    changes: list[Json] = [_listed(entry, group) for entry, (_, group) in zip(entries, tops, strict=True)]
    streams = told(context, ran.folder)
    said: dict[str, Json] = {
        **ran.told(),
        **streams,
        "changes": changes[:LISTED_MAX],
        "count": len(changes),
        "ignored": chosen.ignored,
    }
    return WriteSet(entries, said, context.attached, normal(parameters.cwd))


def _rules(parameters: RunCaptured) -> Rules | None:
    """What to leave out; PATTERN_INVALID, also before anything is run."""
    return rules_of(parameters.ignore, source="ignore") if parameters.ignore else None


class _Chosen:
    """What of a capture is taken over: everything but what the caller ignores, and nothing when something can't be."""

    def __init__(self, rules: Rules | None, capture: Capture) -> None:
        self._rules = rules
        self._left_out: dict[str, bool] = {}
        refused = [
            (one.path, one.reason)
            for one in capture.refused
            if not self._ignores(one.path, is_directory=False)
        ]
        # The mode of a folder that stood before is its owner's; programs change it in passing.
        kept = [one for one in capture.changes if not (one.kind == "folder" and one.change == "changed")]
        self.changes = [one for one in kept if not self._ignores(one.path, is_directory=one.kind == "folder")]
        self.ignored = len(capture.changes) - len(self.changes)
        refused += [(one.path, reason) for one in self.changes if (reason := _unusable(one.path)) is not None]
        if refused:
            path, reason = refused[0]
            raise NoEffectError(
                "CAPTURE_REFUSED",
                f"the program wrote what the workspace does not take over: `{shown(path)}`, {reason}",
                path=shown(path),
                hint="have the program not write it, or name it under `ignore`",
                details={
                    "refused": [{"path": shown(path), "reason": reason} for path, reason in refused[:100]]
                },
            )

    def _ignores(self, path: str, *, is_directory: bool) -> bool:
        """Whether a path, or a folder above it, is ignored."""
        if self._rules is None:
            return False
        known = self._left_out.get(path)
        if known is None:
            above = str(PurePosixPath(path).parent)
            known = above != "." and self._ignores(above, is_directory=True)
            known = known or self._rules.verdict(path, is_directory=is_directory) is True
            self._left_out[path] = known
        return known


def _unusable(path: str) -> str | None:
    """Why a name can't stand in the workspace, whatever has it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "with a name that is not UTF-8"
    if is_temporary(path.rpartition("/")[2]):
        return "with a name that Assent keeps for unfinished work"
    return None


def _tops(changes: Sequence[Captured]) -> Iterator[tuple[str, list[Captured]]]:
    """The changes by the paths that change as a whole: a folder that came or went brings along all that is in it."""
    whole = {one.path for one in changes if one.kind == "folder"}
    groups: dict[str, list[Captured]] = {}
    for one in changes:
        parents = [str(parent) for parent in PurePosixPath(one.path).parents][::-1]
        top = next((parent for parent in parents if parent in whole), one.path)
        groups.setdefault(top, []).append(one)
    for path in sorted(groups):
        yield path, groups[path]


def _snapshot(context: LocalContext, top: str, group: Sequence[Captured], capture: Capture) -> PathState:
    """What is to stand at one path, its files' contents in the blob store; without nodes, nothing."""
    now = [one for one in group if one.change != "removed"]
    # In the order in which a walk finds them: each folder's entries by name, a folder before what is in it.
    now.sort(key=lambda one: one.path.split("/"))
    nodes: list[Node] = []

    def contents() -> Iterator[bytes]:
        for one in now:
            inner = one.path[len(top) + 1 :]
            kind = _KINDS[one.kind]
            if kind is not EntryKind.FILE:
                nodes.append(Node(inner, kind, one.mode, 0, 0, one.target or ""))
                continue
            digest, size = hashlib.sha256(), 0
            with _opened(capture, one) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk
            nodes.append(Node(inner, kind, one.mode, 0, size, digest.hexdigest()))

    if not now:
        return PathState()
    pack = context.blobs.put(contents())
    return PathState(tuple(nodes), pack)


def _opened(capture: Capture, one: Captured) -> BinaryIO:
    """A file that was written; CAPTURE_REFUSED where its mode keeps even its owner from reading it."""
    try:
        return capture.open(one)
    except PermissionError:
        raise NoEffectError(
            "CAPTURE_REFUSED",
            f"the program wrote what can't be read: `{shown(one.path)}`, with mode {one.mode:04o}",
            path=shown(one.path),
            hint="have the program leave it readable to its owner, or name it under `ignore`",
        ) from None


def _listed(entry: Entry, group: Sequence[Captured]) -> Json:
    kinds = {one.change for one in group if one.path == entry.path}
    change = "removed" if not entry.new.nodes else "added" if kinds == {"added"} else "changed"
    top = next(one for one in group if one.path == entry.path)
    kind = entry.new.kind or _KINDS[top.kind]
    return {"path": shown(entry.path), "change": change, "kind": kind.value, "bytes": entry.new.size}
