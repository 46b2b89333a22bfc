"""Many files, folders and links put in place together: what a confined program wrote, taken over by the workspace.

The new contents are in the blob store before the effect is journaled, so a crash can't lose them. They are written beside their
places first; what fails there (a full disk) has changed nothing. Then each is renamed into place. A crash between two of these
renames leaves a state in which each path is as it was or as it should be: that is recognised, `execute` completes it and
`compensate` takes it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct, ValidationError

from assent.capabilities.fs.change._change import Change, Expected, Folder, Target
from assent.capabilities.fs.change._effect import FileEffect, require_pre_image, restore
from assent.capabilities.fs.change._path_state import PathState, Unpacker, build
from assent.capabilities.fs.world._git_guard import forbid_programs_of_git
from assent.capabilities.fs.world._paths import parent_of
from assent.errors import AssentError, InternalError, Json
from assent.invocation import EntryKind, LocalContext, NoEffectError, Prepared
from assent.spec.capability import SpecModel
from assent.spec.values.frozen import thaw
from assent.spec.values.typed import convert

R = TypeVar("R", bound=SpecModel)


@dataclass(frozen=True, slots=True)
class Entry:
    """One path and what shall stand there: a snapshot whose contents are in the blob store, or nothing (no nodes)."""

    path: str
    new: PathState


@dataclass(frozen=True, slots=True)
class WriteSet:
    """All that is to be put in place; no path lies below another. `told` is what the call says of itself besides."""

    entries: tuple[Entry, ...] = ()
    told: Mapping[str, Json] = field(default_factory=dict)
    attached: tuple[str, ...] = ()
    """Blobs that `told` speaks of."""
    folder: str = "."
    """Where the program ran that wrote it."""


class WriteSetEffect(FileEffect[WriteSet, R], Generic[R]):
    """Puts a write set in place. Planned from a `WriteSet`; every later part goes by what was journaled."""

    def plan(self, context: LocalContext, parameters: WriteSet, *, keeps: bool) -> Change:
        files = context.world.files
        targets: list[Target] = []
        folders: dict[str, bool] = {}
        news: list[Json] = []
        blobs = list(parameters.attached)
        made: list[str] = []
        for entry in parameters.entries:
            files.guard(entry.path)
            # A repository that comes as a whole comes with what a program has written into its configuration.
            made += [node.under(entry.path) for node in entry.new.nodes]
            old = self.pre_image(context, entry.path, keeps=keeps)
            before = Expected.of(old, hashed=context.keep_pre_image)
            targets.append(Target(entry.path, old, before, Expected.of(entry.new, hashed=True)))
            comes_or_goes = not (old.nodes and entry.new.nodes)
            above = parent_of(entry.path)
            folders[above] = folders.get(above, False) or comes_or_goes
            described, named = entry.new.to_json(context.blobs)
            news.append(described)
            blobs += named
        forbid_programs_of_git(files, made, made)
        return Change(
            tuple(targets),
            (),
            tuple(Folder.of(files, path, names=names) for path, names in folders.items()),
            notes={"new": news, "told": dict(parameters.told), "blobs": [*dict.fromkeys(blobs)]},
        )

    def folder(self, parameters: WriteSet) -> str:
        return parameters.folder

    def prepare(self, context: LocalContext, parameters: WriteSet) -> Prepared:
        """What is journaled names the new contents as well as the old ones."""
        change = self.planned(context, parameters, keeps=context.keep_pre_image)
        prepared = change.to_prepared(context.blobs)
        return Prepared(prepared.state, tuple(dict.fromkeys((*prepared.blobs, *_notes(change).blobs))))

    def apply(self, context: LocalContext, parameters: WriteSet, change: Change) -> None:
        # What is put in place is what was journaled, whatever the same program would write now.
        del parameters
        files = context.world.files
        news = [PathState.from_json(new, context.blobs) for new in _notes(change).new]
        waiting = [
            (target, new)
            for target, new in zip(change.targets, news, strict=True)
            if not target.is_after(target.found(files))
        ]
        try:
            for target, new in waiting:
                if new.nodes:
                    _stage(context, target.path, new)
            turns = [partial(_replace, context, target.path, new) for target, new in waiting]
            self.all_or_none(context, change, turns)
        except NoEffectError:
            with suppress(AssentError):  # the first failure is the one to tell
                self.remove_temporaries(context, change)
            raise

    def take_back(self, context: LocalContext, change: Change, found: list[PathState]) -> None:
        """Restore every path, in the opposite order; what is of another kind than before makes room first."""
        files = context.world.files
        for target, state in reversed([*zip(change.targets, found, strict=True)]):
            require_pre_image(target)
            if target.is_before(state):
                continue
            kinds = {state.kind, target.old.kind}
            if state.nodes and target.old.nodes and kinds != {EntryKind.FILE}:
                files.rename(target.path, files.temporary(target.path, key=_aside(context)), replace=False)
                state = PathState()  # noqa: PLW2901  # what stands there now
            if state.nodes or target.old.nodes:
                restore(context, target, state)
            files.remove_temporary(target.path, key=_aside(context))

    def remove_temporaries(self, context: LocalContext, change: Change) -> None:
        """Also what stood where something of another kind comes, set aside."""
        change.remove_temporaries(context)
        for target in change.targets:
            context.world.files.remove_temporary(target.path, key=_aside(context))

    def has_leftovers(self, context: LocalContext, change: Change) -> bool:
        # A crash after the last rename leaves what it set aside.
        files = context.world.files
        return super().has_leftovers(context, change) or any(
            files.stat(files.temporary(target.path, key=_aside(context))) is not None
            for target in change.targets
        )

    def is_half_done(self, change: Change, found: list[PathState]) -> bool:
        # A path whose kind changes is empty for a moment.
        return all(
            target.is_before(state) or target.is_after(state) or not state.nodes
            for target, state in zip(change.targets, found, strict=True)
        )

    def is_half_undone(self, change: Change, found: list[PathState]) -> bool:
        return self.is_half_done(change, found)


def _aside(context: LocalContext) -> str:
    return f"{context.key}-aside"


def _stage(context: LocalContext, path: str, new: PathState) -> None:
    files, top = context.world.files, new.top
    assert top is not None, "what is staged stands somewhere"
    place, contents = files.temporary(path, key=context.key), Unpacker(context.blobs, new)
    files.remove_temporary(path, key=context.key)
    if top.kind is EntryKind.FILE:
        files.write(place, contents.of(top), key=context.key, mode=top.mode)
    else:
        build(context, place, new, contents.of, restores=False)


def _replace(context: LocalContext, path: str, new: PathState) -> None:
    """Put what was staged in place of what stands there; a tree goes and comes in one rename each."""
    files = context.world.files
    entry = files.stat(path)
    is_file = new.kind is EntryKind.FILE
    if entry is not None and not (is_file and entry.kind is EntryKind.FILE):
        files.rename(path, files.temporary(path, key=_aside(context)), replace=False)
        entry = None
    if new.nodes:
        files.rename(files.temporary(path, key=context.key), path, replace=entry is not None)
    files.remove_temporary(path, key=_aside(context))


class _Notes(Struct, frozen=True):
    new: list[dict[str, Any]]  # `Any`: JSON, which `PathState` reads
    blobs: list[str]


def _notes(change: Change) -> _Notes:
    try:
        return convert(thaw(change.notes), _Notes)
    except ValidationError:
        raise InternalError(
            "RECORD_CORRUPT", "the journaled write set has another shape than expected"
        ) from None
