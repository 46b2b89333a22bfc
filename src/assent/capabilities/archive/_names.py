"""The names of an archive's entries: which ones are taken, and which two are one file on some system.

The rules are those of every system at once, not only of this one: an archive that is harmless here would otherwise be handed on
and do its harm there, and two names that this file system keeps apart may be one on the next.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from assent.capabilities.archive._faults import colliding, escaping, name_refused
from assent.capabilities.archive._limits import Meter
from assent.capabilities.fs.world._paths import NAME_BYTES_MAX, PATH_BYTES_MAX, fold


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """A file or folder. `parts` is empty for the archive's own top; `chunks` are a file's bytes, counted as they come.

    INVARIANT: `chunks` is read to its end before the next entry is asked for: the end is where a checksum is compared.
    """

    parts: tuple[str, ...]
    is_folder: bool
    is_executable: bool
    chunks: Iterator[bytes]


_DRIVE: Final = re.compile(r"[A-Za-z]:")
_DEVICES: Final = re.compile(
    # Windows reads these as devices with any ending (`nul.txt`), and the superscript digits as digits.
    r"(?:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?:[ .:].*)?\Z",
    re.IGNORECASE | re.DOTALL,
)
_STREAM: Final = re.compile(r":\$")
"""`file::$DATA`, `dir:$I30:…`: other ways to say a file, or a second content of it, on NTFS. A colon alone is common."""

_DIRECTIONS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
"""Characters that turn the direction of text: `exe.txt` may be shown for `txt.exe`."""

_REFUSED_CATEGORIES: Final = {
    "Cc": "a control character",
    "Cs": "half a character (a lone surrogate)",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}


def checked(name: str, *, dot_slash: bool = False) -> tuple[str, ...]:
    """The components of an entry's name, a folder's final `/` left out; empty for the archive's own top.

    `dot_slash`: a leading `./`, which tar writes, is left out as well. Raises ARCHIVE_ESCAPES and ARCHIVE_NAME_REFUSED.
    """
    _check_characters(name)
    if name.startswith("/"):
        raise escaping(name, "is an absolute path")
    if "\\" in name:
        raise escaping(name, "has a backslash, which is a separator on some systems")
    plain = name
    if dot_slash:
        while plain.startswith("./"):
            plain = plain[2:]
        if plain in ("", "."):
            return ()
    parts = tuple(plain.removesuffix("/").split("/"))
    if len(plain.encode()) > PATH_BYTES_MAX:
        raise name_refused(name, f"has a name of more than {PATH_BYTES_MAX} bytes")
    for part in parts:
        _check_component(name, part)
    return parts


def _check_characters(name: str) -> None:
    for char in name:
        if char == "\0":
            raise name_refused(name, "has a NUL character in its name, where other programs stop reading")
        reason = _REFUSED_CATEGORIES.get(unicodedata.category(char))
        if reason is None and char in _DIRECTIONS:
            reason = "a character that turns the direction of text"
        if reason is not None:
            raise name_refused(name, f"has {reason} (U+{ord(char):04X}) in its name")


def _check_component(name: str, part: str) -> None:
    if part == "..":
        raise escaping(name, "contains `..`")
    if part == "":
        raise name_refused(name, "has an empty component in its name")
    if part == ".":
        raise name_refused(name, "has a `.` as a component of its name")
    if _DRIVE.match(part):
        raise escaping(name, "names a drive")
    if len(part.encode()) > NAME_BYTES_MAX:
        raise name_refused(name, f"has a component of more than {NAME_BYTES_MAX} bytes")
    if _DEVICES.match(part):
        raise name_refused(name, "is the name of a device on some systems")
    if _STREAM.search(part):
        raise name_refused(name, "names a stream of a file on some systems")
    if part[-1] in ". ":
        raise name_refused(name, "ends in a dot or a space, which some systems cut off")


class Names:
    """The names met so far in one archive: nobody comes twice, and nobody stands in a file's place."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._met: dict[tuple[str, ...], tuple[str, bool, bool]] = {}

    def admit(self, parts: tuple[str, ...], *, is_folder: bool) -> list[str]:
        """Take an entry; the paths that are new with it, outermost first: folders on the way, and the entry's own last.

        Its own is left out for a folder that an earlier entry needed already. Raises ARCHIVE_NAMES_COLLIDE, and ARCHIVE_QUOTA
        for depth and the number of entries: folders on the way count too.
        """
        path = "/".join(parts)
        new: list[str] = []
        folded: tuple[str, ...] = ()
        for length, part in enumerate(parts, start=1):
            # The whole name is kept beside its folded form, so that `A/b` and `a/c` are seen to differ in their folder.
            folded = (*folded, fold(part))
            spelled, is_last = "/".join(parts[:length]), length == len(parts)
            known = self._met.get(folded)
            if known is None:
                self._meter.met(length)
                self._met[folded] = (spelled, is_folder or not is_last, is_last)
                new.append(spelled)
                continue
            other, other_is_folder, was_named = known
            if other != spelled or not other_is_folder or (is_last and (was_named or not is_folder)):
                raise colliding(path, other)
            if is_last:
                self._met[folded] = (spelled, True, True)
        return new
