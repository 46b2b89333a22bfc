"""Files and folders that an option names: wordlists, templates, rules. A scanner for the network gets copies, and sees no more.

What may be a file may also be a resource by its reference (`res://wordlist/common:latest`), of which every scanner gets a copy:
which version that means is settled, and shown, before the scan, and the scan uses that one.

A copy is read through the workspace's own port, so no link and no race leads a scanner to what it may not see.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import msgspec

from assent.capabilities.fs.world._paths import normal
from assent.capabilities.resource import resolved, resolved_for_use
from assent.capabilities.scan._target import path_word
from assent.invocation import EntryKind, LocalContext, NoEffectError
from assent.spec.words.sizes import size_text

if TYPE_CHECKING:
    from assent.capabilities.scan._manifest import Tool

COPIED_BYTES_MAX: Final = 256 << 20
COPIED_ENTRIES_MAX: Final = 50_000
SHARED: Final = Path("/usr/share")
"""Where systems keep wordlists; every program sees it."""

_KINDS: Final = {
    "file": frozenset({EntryKind.FILE}),
    "folder": frozenset({EntryKind.DIRECTORY}),
    "path": frozenset({EntryKind.FILE, EntryKind.DIRECTORY}),
}


class Named(msgspec.Struct, frozen=True):
    """What an option names: the word for the scanner, and where it is copied from, if it is: the workspace, or a resource."""

    word: str
    copied_as: str | None = None
    """The name of its copy; None where there is none."""
    source: str | None = None
    resource: str | None = None
    """The reference of one version, for ever."""
    sha256: str = ""
    """Of the resource's content."""

    def word_at(self, put: Path | None) -> str:
        """The word for a scanner that does not begin where copies are put, but reads them there; without `put`: that is shown."""
        return self.word if put is None or self.copied_as is None else str(put / self.copied_as)


def named_by(
    context: LocalContext,
    tool: Tool,
    chosen: Mapping[str, str | bool],
    *,
    readable: tuple[Path, ...],
    is_copied: bool,
) -> dict[str, Named]:
    """The files and folders among the options that are set. Blocks. `NoEffectError` OPTION_INVALID, and what leads out."""
    found: dict[str, Named] = {}
    for name, option in tool.options.items():
        kinds, text = _KINDS.get(option.type), chosen.get(name)
        if kinds is None or not isinstance(text, str):
            continue
        if text.startswith("res://"):
            if EntryKind.FILE not in kinds:
                raise _invalid(name, f"`{name}` must be a folder, and a resource is one file")
            found[name] = _resource(context, name, text, is_copied=is_copied)
            continue
        if text.startswith("/"):
            found[name] = Named(_outside(name, text, readable))
            continue
        path = normal(text)
        entry = context.world.files.stat(path)
        if entry is None or entry.kind not in kinds:
            raise _invalid(
                name, f"`{name}` must be a {option.type} of the workspace, and `{text[:200]}` is not"
            )
        found[name] = (
            _copied(name, PurePosixPath(path).name, source=path) if is_copied else Named(path_word(path))
        )
    return found


def copy(context: LocalContext, named: Named, root: Path) -> None:
    """Put a copy of what it names into a folder. Blocks; `NoEffectError` OPTION_INVALID for what is too much.

    A resource is counted as used.
    """
    if named.copied_as is None:
        return
    target = root / named.copied_as
    if named.resource is not None:
        with target.open("xb") as file:
            file.writelines(resolved_for_use(context, named.resource).chunks())
    else:
        assert named.source is not None  # INVARIANT: what is copied comes from somewhere
        _Copy(context).put(named.source, target)


class _Copy:
    def __init__(self, context: LocalContext) -> None:
        self._files = context.world.files
        self._bytes = COPIED_BYTES_MAX
        self._entries = COPIED_ENTRIES_MAX

    def put(self, source: str, target: Path) -> None:
        entry = self._files.stat(source)
        self._entries -= 1
        if entry is None or self._entries < 0:
            raise _invalid(source, f"`{source}` is gone, or has more than {COPIED_ENTRIES_MAX} entries")
        if entry.kind is EntryKind.DIRECTORY:
            target.mkdir()
            for name in self._files.list(source):
                self.put(name if source == "." else f"{source}/{name}", target / name)
        elif entry.kind is EntryKind.FILE:  # links and the rest are nothing to a scanner
            with target.open("xb") as file:
                for chunk in self._files.read(source):
                    self._bytes -= len(chunk)
                    if self._bytes < 0:
                        raise _invalid(source, f"`{source}` has more than {size_text(COPIED_BYTES_MAX)}")
                    file.write(chunk)


def _resource(context: LocalContext, name: str, reference: str, *, is_copied: bool) -> Named:
    """The version that a reference means now; looking is not using. `NoEffectError` as `resolved_for_use` raises it."""
    found = resolved(context, reference)
    one = _copied(name, found.name, resource=str(found.reference), sha256=found.sha256)
    # A scanner of files begins in the workspace, where nothing is put: what stands there until then is the reference.
    return one if is_copied else msgspec.structs.replace(one, word=str(found.reference))


def _copied(option: str, name: str, **source: str) -> Named:
    # By the option's name: two of them may have the same.
    return Named(f"./{option}-{name}", f"{option}-{name}", **source)


def _outside(name: str, text: str, readable: tuple[Path, ...]) -> str:
    place = Path(text)
    if ".." in place.parts or not any(place.is_relative_to(one) for one in (SHARED, *readable)):
        raise _invalid(
            name,
            f"`{name}` can't be `{text[:200]}`",
            "it is a path of the workspace, or one below `[scan] read_only`",
        )
    if not place.exists():
        raise _invalid(name, f"`{name}` names `{text[:200]}`, which is not there")
    return text


def _invalid(name: str, message: str, hint: str | None = None) -> NoEffectError:
    return NoEffectError("OPTION_INVALID", message, path=f"options.{name}", hint=hint)
