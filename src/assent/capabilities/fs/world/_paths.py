"""Paths as text: which ones name a place in the workspace, and which names belong to Assent itself.

A path is POSIX-style and relative to the workspace's root. Nothing here touches a disk; that a well-formed path leads nowhere
else is proved when it is walked (`_walk`).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from assent.invocation import NoEffectError
from assent.spec.words.legible import safe_line

PATH_BYTES_MAX: Final = 4096
"""Length of a whole path in UTF-8; Linux takes no longer one in a single call."""

NAME_BYTES_MAX: Final = 255
"""Length of one component in UTF-8: the limit of every common file system."""

DEPTH_MAX: Final = 200
"""Components in a path."""

ROOT: Final = "."

TEMPORARY: Final = r"\.assent-[0-9a-f]{32}\.tmp"
"""A regular expression for the whole of a name of `temporary_name`."""
_HIDDEN_NAME: Final = ".assent"
_READ_ONLY_NAME: Final = "assent.toml"


class Zone(IntEnum):
    """What capabilities may do at a place."""

    FREE = 0
    READ_ONLY = 1
    HIDDEN = 2


def split(path: str) -> tuple[str, ...]:
    """The components of a path; empty for the root itself.

    Raises `NoEffectError`: PATH_ESCAPES for an absolute path or one with `..`, PATH_INVALID for what no file system can name.
    """
    if not path:
        raise _invalid(path, "a path is empty", hint="the workspace's root is `.`")
    if "\0" in path:
        raise _invalid(path, "a path contains a NUL character")
    try:
        encoded = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _invalid(path, "a path contains half a character (a lone surrogate)") from None
    if len(encoded) > PATH_BYTES_MAX:
        raise _invalid(path, f"a path has {len(encoded)} bytes; at most {PATH_BYTES_MAX} are allowed")
    if path.startswith("/"):
        raise escapes(path, "is absolute")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    # `a/../b` would be harmless, but only if `a` is no link: refused whole rather than judged.
    if ".." in parts:
        raise escapes(path, "contains `..`")
    if len(parts) > DEPTH_MAX:
        raise _invalid(path, f"a path has {len(parts)} components; at most {DEPTH_MAX} are allowed")
    for part in parts:
        if len(part.encode("utf-8", "surrogateescape")) > NAME_BYTES_MAX:
            raise _invalid(path, f"a name in a path has more than {NAME_BYTES_MAX} bytes")
    return parts


def join(directory: str, name: str) -> str:
    """The path of `name` in `directory`."""
    return name if directory == ROOT else f"{directory}/{name}"


def normal(path: str) -> str:
    """The one spelling of a path: no empty or `.` components, the root as `.`."""
    return "/".join(split(path)) or ROOT


def spelled_below(tops: Iterable[str], path: str) -> str:
    """The one spelling of a path that may also be written in full: one below the workspace's root is relative to it.

    `tops` are the names of that root, absolute. Raises as `split`, also for a full path to anywhere else.
    """
    below = _below(tops, path)
    return normal(path) if below is None else below


def spelled_on_host(tops: Iterable[str], path: str) -> str:
    """The same for any path of the machine: one to anywhere else is written in full. `PATH_INVALID`, and as `spelled_below`."""
    below = _below(tops, path)
    if below is not None or not path.startswith("/"):
        return normal(path) if below is None else below
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path:
        raise refusal("PATH_INVALID", path, "must be written without `..` and NUL")
    return f"/{'/'.join(parts)}"


def _below(tops: Iterable[str], path: str) -> str | None:
    """A full path relative to the first of the folders that it is below; None for one below none of them."""
    if path.startswith("/"):
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for top in tops:
            above = [part for part in top.split("/") if part]
            if parts[: len(above)] == above:
                return normal("/".join(parts[len(above) :]) or ROOT)
    return None


def parent_of(path: str) -> str:
    """The directory that holds a normal path; the root's own parent is the root."""
    return path.rpartition("/")[0] or ROOT


def temporary_name(name: str, key: str) -> str:
    """The hidden name under which the work on `name` is prepared: the same after a crash, so that recovery finds it."""
    digest = hashlib.sha256(f"{key}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()
    return f".assent-{digest[:32]}.tmp"


def temporary_path(path: str, key: str) -> str:
    """`temporary_name` beside `path`."""
    plain = normal(path)
    return join(parent_of(plain), temporary_name(plain.rpartition("/")[2], key))


def is_temporary(name: str) -> bool:
    """Whether a name is one of `temporary_name`."""
    return re.fullmatch(TEMPORARY, name) is not None


def fold(name: str) -> str:
    r"""What a file system that ignores case, Unicode form or invisible characters would take `name` for.

    HFS+ drops format characters, others compare case-folded NFKC, Windows shares cut trailing dots and spaces: `.Ass\u200cent`
    must not become a second way to say `.assent`.
    """
    if name.isascii():
        return name.casefold().rstrip(". ")
    # Folding may uncover characters that fold again (U+0345), so the form is taken on both sides.
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", name).casefold())
    return "".join(char for char in plain if unicodedata.category(char) != "Cf").rstrip(". ")


def reserved(name: str) -> Zone:
    """The zone that a name alone puts a place in, at any depth.

    A nested `assent.toml` or `.assent` is as good as the real one: whoever starts Assent in that folder would obey it. So
    capabilities may create neither.
    """
    folded = fold(name)
    if folded == _HIDDEN_NAME:
        return Zone.HIDDEN
    if folded == _READ_ONLY_NAME:
        return Zone.READ_ONLY
    return Zone.FREE


def refusal(code: str, path: str, why: str, hint: str | None = None) -> NoEffectError:
    """The refusal of what a call would do at a path; `why` goes on after the path's name."""
    return NoEffectError(code, f"`{shown(path)}` {why}", path=shown(path), hint=hint)


def escapes(path: str, why: str) -> NoEffectError:
    """The refusal of a path that leads, or might lead, out of the workspace."""
    return refusal(
        "PATH_ESCAPES",
        path,
        f"{why}; only paths inside the workspace are allowed",
        "name the place relative to the workspace's root; links are never followed",
    )


def protected(path: str) -> NoEffectError:
    """The refusal of a path that reaches a control file. It does not say which: the path is what the caller knows."""
    return refusal(
        "PATH_PROTECTED",
        path,
        "belongs to Assent itself and is out of reach of every capability",
        "no policy can allow this; a person edits control files by hand",
    )


def shown(path: str) -> str:
    """A path as text that any encoding of errors and journals can carry."""
    text = path.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= 256 else f"{text[:256]}…"


def named(path: str) -> str:
    """A path on one line of a text that a person reads: whole, with everything written out that could hide or forge something."""
    return safe_line(path.encode("utf-8", "backslashreplace").decode("utf-8"))


def _invalid(path: str, message: str, hint: str | None = None) -> NoEffectError:
    return NoEffectError("PATH_INVALID", message, path=shown(path), hint=hint)
