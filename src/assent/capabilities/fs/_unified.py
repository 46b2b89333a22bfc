"""Unified diffs, read strictly: what is not understood is refused, never skipped.

`unidiff` reads them as well, and is a judge of this reader in the tests. It tells about diffs and does not apply them: a hunk
whose header is misspelt, a binary change, `rename from` and whatever else it does not know become "information around a patch"
and vanish, so that half a diff would be applied without a word.

Git's headers are understood as `git-apply` reads them, and so are plain `---`/`+++` pairs. Lines outside of any file (a mail's
text, `Only in …`, `Index: …`) are allowed before the first file and between files, as every reader allows them, as long as
they could not be part of one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from assent._lazy import compiled_when_asked
from assent.invocation import NoEffectError

DIFF_BYTES_MAX: Final = 16 << 20
FILES_MAX: Final = 2_000
HUNKS_MAX: Final = 20_000

_HUNK: Final = compiled_when_asked(
    rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: .*)?\Z", re.DOTALL
)
_MODE: Final = compiled_when_asked(rb"[0-7]{6}\Z")
_INDEX: Final = compiled_when_asked(rb"index [0-9a-f]{4,64}\.\.[0-9a-f]{4,64}(?: ([0-7]{6}))?\Z")
_REGULAR: Final = frozenset({0o100644, 0o100755})
_NO_NEWLINE: Final = b"\\ "


class Hunk(msgspec.Struct, frozen=True):
    """One hunk: where it begins (lines from 1), and the lines before and after, each with its line break where it has one.

    `place` is its line in the diff. `added` and `removed` count lines.
    """

    place: int
    old_start: int
    new_start: int
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]
    added: int
    removed: int


class FileDiff(msgspec.Struct):
    """What a diff says of one file. Paths are as it writes them, None for `/dev/null`; modes are None where it says nothing."""

    place: int
    old: str | None = None
    new: str | None = None
    old_mode: int | None = None
    new_mode: int | None = None
    is_rename: bool = False
    hunks: list[Hunk] = msgspec.field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """Whether the file is made by the diff."""
        return self.old is None

    @property
    def is_deleted(self) -> bool:
        """Whether the file is removed by the diff."""
        return self.new is None


def read_diff(text: str) -> list[FileDiff]:
    """The files of a diff, in its order, at least one. `NoEffectError` DIFF_INVALID with `diff:LINE` for what is refused."""
    data = text.encode()
    if len(data) > DIFF_BYTES_MAX:
        raise NoEffectError(
            "DIFF_INVALID",
            f"the diff has {len(data)} bytes; at most {DIFF_BYTES_MAX} are allowed",
            path="diff",
        )
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return _Reader(lines).files()


class _Reader:
    """Goes through the lines of a diff once."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines
        self._at = 0
        self._hunks = 0

    def files(self) -> list[FileDiff]:
        found: list[FileDiff] = []
        while self._at < len(self._lines):
            line = self._plain()
            if line.startswith(b"diff --git "):
                found.append(self._git(line))
            elif line.startswith(b"--- ") and self._following().startswith(b"+++ "):
                entry = FileDiff(self._at + 1)
                self._names(entry)
                self._read_hunks(entry)
                found.append(_checked(entry))
            elif line.startswith(
                (b"@@ ", b"+++ ", b"GIT binary patch", b"rename ", b"copy ", b"new file", b"deleted file")
            ):
                self._refuse("this line belongs to a file, and no file begins before it")
            elif line.startswith(b"Binary files ") or (
                line.startswith(b"Files ") and line.endswith(b" differ")
            ):
                self._refuse("binary changes are not applied", hint="write the file with `io.fs.write_bytes`")
            else:
                self._at += 1  # Somebody's words around the diff.
            if len(found) > FILES_MAX:
                self._refuse(f"a diff of more than {FILES_MAX} files is not applied")
        if not found:
            raise NoEffectError(
                "DIFF_INVALID",
                "the text holds no diff of a file",
                path="diff",
                hint="a unified diff has `--- a/FILE`, `+++ b/FILE` and hunks that begin with `@@ -1,3 +1,4 @@`",
            )
        return found

    def _git(self, header: bytes) -> FileDiff:
        entry = FileDiff(self._at + 1)
        self._at += 1
        renamed: dict[bytes, str] = {}
        said: set[bytes] = set()
        while self._at < len(self._lines):
            line = self._plain()
            for word in (
                b"old mode",
                b"new mode",
                b"new file mode",
                b"deleted file mode",
                b"rename from",
                b"rename to",
            ):
                if line.startswith(word + b" "):
                    if word in said:
                        self._refuse(f"`{word.decode()}` stands twice for one file")
                    said.add(word)
                    value = line[len(word) + 1 :]
                    if word.startswith(b"rename"):
                        renamed[word[7:]] = self._name(value)
                    else:
                        mode = self._mode(value)
                        entry.old_mode = (
                            mode if word in (b"old mode", b"deleted file mode") else entry.old_mode
                        )
                        entry.new_mode = mode if word in (b"new mode", b"new file mode") else entry.new_mode
                    break
            else:
                if index := _INDEX.match(line):
                    if index[1] is not None:
                        entry.old_mode = entry.new_mode = self._mode(index[1])
                elif line.startswith((b"copy from ", b"copy to ")):
                    self._refuse(
                        "copies are not applied", hint="copy with `io.fs.copy`, then apply the hunks"
                    )
                elif line.startswith((b"GIT binary patch", b"Binary files ")):
                    self._refuse(
                        "binary changes are not applied", hint="write the file with `io.fs.write_bytes`"
                    )
                elif not line.startswith((b"similarity index ", b"dissimilarity index ")):
                    break
            self._at += 1
        if len(renamed) == 1:
            self._refuse("`rename from` and `rename to` belong together")
        has_names = self._at < len(self._lines) and self._plain().startswith(b"--- ")
        if has_names:
            if not self._following().startswith(b"+++ "):
                self._at += 1
                self._refuse("a line that begins with `+++` is expected here")
            self._names(entry)
        elif b"new file mode" in said and b"deleted file mode" not in said:
            entry.new = self._same_name(entry, header)
        elif b"deleted file mode" in said:
            entry.old = self._same_name(entry, header)
        elif not renamed:
            entry.old = entry.new = self._same_name(entry, header)
        self._agree(entry, said, renamed, has_names=has_names)
        self._read_hunks(entry)
        return _checked(entry)

    def _agree(
        self, entry: FileDiff, said: set[bytes], renamed: dict[bytes, str], *, has_names: bool
    ) -> None:
        """Hold what Git's headers say against the names below them: two readers must not see two different files."""
        if (b"new file mode" in said) != entry.is_new and (has_names or b"new file mode" in said):
            self._refuse_file(entry, "`new file mode` and the names disagree about whether the file is new")
        if (b"deleted file mode" in said) != entry.is_deleted and (has_names or b"deleted file mode" in said):
            self._refuse_file(entry, "`deleted file mode` and the names disagree about whether the file goes")
        if renamed:
            if {b"new file mode", b"deleted file mode"} & said:
                self._refuse_file(entry, "a file that is renamed is neither new nor deleted")
            entry.is_rename = True
            # `rename from` has no prefix, whatever `strip` is; the names below it do. So these count, and those must end alike.
            for told, name in ((entry.old, renamed[b"from"]), (entry.new, renamed[b"to"])):
                if has_names and (told is None or not (told == name or told.endswith(f"/{name}"))):
                    self._refuse_file(entry, "`rename` and the names below it disagree")
            entry.old, entry.new = renamed[b"from"], renamed[b"to"]

    def _names(self, entry: FileDiff) -> None:
        for prefix in (b"--- ", b"+++ "):
            line = self._plain()
            # A tab ends the name; what follows is a time. A quoted name has its tabs escaped.
            value = line[len(prefix) :].split(b"\t", 1)[0]
            name = None if value == b"/dev/null" else self._name(value)
            if prefix == b"--- ":
                entry.old = name
            else:
                entry.new = name
            self._at += 1
        if entry.old is None and entry.new is None:
            self._at -= 1
            self._refuse("both names are `/dev/null`")

    def _same_name(self, entry: FileDiff, header: bytes) -> str:
        """The one name in `diff --git a/x b/x`, with its prefix."""
        self._at, back = entry.place - 1, self._at
        rest = header[len(b"diff --git ") :]
        if rest.startswith(b'"'):
            end = re.match(rb'"(?:[^"\\]|\\.)*"', rest)
            halves = (rest[: end.end()], rest[end.end() + 1 :]) if end else (b"", b"")
        else:
            middle = len(rest) // 2
            halves = (rest[:middle], rest[middle + 1 :]) if rest[middle : middle + 1] == b" " else (b"", b"")
        if not halves[0] or not halves[1]:
            self._refuse("the names of this line can't be told apart, and no `---` and `+++` tell more")
        first, second = map(self._name, halves)
        if first != second and first.partition("/")[2] != second.partition("/")[2]:
            self._refuse(
                "the two names of this line are not one and the same, and no `---` and `+++` tell more"
            )
        self._at = back
        return first

    def _name(self, value: bytes) -> str:
        """A name as it is meant: quoted ones as C writes them."""
        if value.startswith(b'"'):
            if not re.fullmatch(rb'"(?:[^"\\]|\\(?:[abtnvfr"\\]|[0-3][0-7]{2}))*"', value):
                self._refuse("a quoted name is not ended, or holds an escape that is none")
            value = re.sub(rb"\\([0-3][0-7]{2}|.)", _unescaped, value[1:-1])
        try:
            name = value.decode()
        except UnicodeDecodeError:
            self._refuse("a file's name is not UTF-8")
        if not name or "\0" in name:
            self._refuse("a file's name is empty, or holds a NUL")
        return name

    def _mode(self, value: bytes) -> int:
        if not _MODE.match(value):
            self._refuse("this is not a mode of a file")
        mode = int(value, 8)
        if mode not in _REGULAR:
            self._refuse(
                f"the mode {value.decode()} is not applied: only regular files are",
                hint="links and submodules are not made from a diff",
            )
        return mode

    def _read_hunks(self, entry: FileDiff) -> None:
        while self._at < len(self._lines) and self._lines[self._at].startswith(b"@@"):
            header = _HUNK.match(self._plain())
            if header is None:
                self._refuse("this is not a header of a hunk", hint="for example `@@ -1,3 +1,4 @@`")
            self._hunks += 1
            if self._hunks > HUNKS_MAX:
                self._refuse(f"a diff of more than {HUNKS_MAX} hunks is not applied")
            place = self._at + 1
            old_start, old_count, new_start, new_count = (
                1 if value is None else int(value) for value in header.groups()
            )
            self._at += 1
            entry.hunks.append(self._hunk(place, (old_start, new_start), old_count, new_count))

    def _hunk(self, place: int, starts: tuple[int, int], old_count: int, new_count: int) -> Hunk:
        if (starts[0] == 0 and old_count) or (starts[1] == 0 and new_count):
            self._at = place - 1
            self._refuse("lines are counted from 1")
        old: list[bytes] = []
        new: list[bytes] = []
        added = removed = 0
        while len(old) < old_count or len(new) < new_count:
            if self._at >= len(self._lines):
                self._at = place - 1
                self._refuse("this hunk has fewer lines than its header says")
            line = self._lines[self._at]
            sign, body = line[:1], line[1:] + b"\n"
            if sign == b" " or line in (b"", b"\r"):  # Mail programs cut the blank of an empty line off.
                body = body if sign == b" " else line + b"\n"
                old.append(body)
                new.append(body)
            elif sign == b"-":
                old.append(body)
                removed += 1
            elif sign == b"+":
                new.append(body)
                added += 1
            else:
                self._refuse("a line of a hunk begins with a blank, `-` or `+`, and this one does not")
            if len(old) > old_count or len(new) > new_count:
                self._refuse("this hunk has more lines than its header says")
            self._at += 1
            self._cut_newline(sign, old, new)
        if not added and not removed:
            self._at = place - 1
            self._refuse("this hunk changes nothing")
        return Hunk(place, starts[0], starts[1], tuple(old), tuple(new), added, removed)

    def _cut_newline(self, sign: bytes, old: list[bytes], new: list[bytes]) -> None:
        r"""Take the line break off the last line where `\ No newline at end of file` says that it has none."""
        if self._at >= len(self._lines) or not self._lines[self._at].startswith(_NO_NEWLINE):
            return
        if sign != b"+":
            old[-1] = old[-1].removesuffix(b"\n")
        if sign != b"-":
            new[-1] = new[-1].removesuffix(b"\n")
        self._at += 1

    def _plain(self) -> bytes:
        """The present line, as a header: a diff that was sent with CRLF has a CR that belongs to nothing."""
        return self._lines[self._at].removesuffix(b"\r")

    def _following(self) -> bytes:
        return self._lines[self._at + 1] if self._at + 1 < len(self._lines) else b""

    def _refuse(self, message: str, *, hint: str | None = None) -> NoReturn:
        raise _fault(self._at + 1, message, hint)

    def _refuse_file(self, entry: FileDiff, message: str) -> NoReturn:
        raise _fault(entry.place, message, None)


def _checked(entry: FileDiff) -> FileDiff:
    """The same; DIFF_INVALID when what it says can't be meant."""
    for hunk, following in zip(entry.hunks, entry.hunks[1:], strict=False):
        if following.old_start < hunk.old_start + len(hunk.old):
            raise _fault(
                following.place, "this hunk overlaps the one before it, or stands out of order", None
            )
    if entry.is_new and any(hunk.old for hunk in entry.hunks):
        raise _fault(entry.place, "a file that is new has no lines to remove or keep", None)
    if entry.is_deleted and any(hunk.new for hunk in entry.hunks):
        raise _fault(entry.place, "a file that is deleted has no lines left", None)
    is_told = entry.hunks or entry.is_rename or entry.is_new or entry.is_deleted
    if not is_told and entry.old_mode == entry.new_mode:
        raise _fault(entry.place, "nothing is said about what changes in this file", None)
    for hunk in entry.hunks:
        for lines in (hunk.old, hunk.new):
            if any(not line.endswith(b"\n") for line in lines[:-1]):
                raise _fault(hunk.place, "only the last line of a file can be without a line break", None)
    return entry


_ESCAPES: Final = dict(zip(b'abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True))


def _unescaped(found: re.Match[bytes]) -> bytes:
    escape = found[1]
    return bytes([int(escape, 8) if len(escape) == 3 else _ESCAPES[escape[0]]])


def _fault(line: int, message: str, hint: str | None) -> NoEffectError:
    return NoEffectError("DIFF_INVALID", message, path=f"diff:{line}", hint=hint)


class Misfit(msgspec.Struct, frozen=True):
    """A hunk that does not fit: its line in the diff and what is wrong."""

    place: int
    message: str


def apply_hunks(content: bytes, hunks: Sequence[Hunk]) -> tuple[bytes, list[tuple[int, int]], list[Misfit]]:
    """The content after all hunks; of each hunk its line in the new content and its offset; and what does not fit.

    No fuzz: every line that a hunk expects must be there, byte for byte. A hunk that is not where it says may stand elsewhere
    in one place only; several would be a guess.
    """
    lines = _split(content)
    out: list[bytes] = []
    told: list[tuple[int, int]] = []
    misfits: list[Misfit] = []
    done, drift = 0, 0
    for hunk in hunks:
        where = _find_place(lines, hunk, done, drift)
        if isinstance(where, Misfit):
            misfits.append(where)
            continue
        said = max(hunk.old_start - 1, 0) if hunk.old else hunk.old_start
        out += lines[done:where]
        told.append((len(out) + 1, where - said))
        out += hunk.new
        done, drift = where + len(hunk.old), where - said
    out += lines[done:]
    if any(not line.endswith(b"\n") for line in out[:-1]):
        misfits.append(Misfit(hunks[-1].place, "lines would follow one that is without a line break"))
    return b"".join(out), told, misfits


def _split(content: bytes) -> list[bytes]:
    """The lines with their ends; a line feed alone ends one."""
    pieces = content.split(b"\n")
    last = pieces.pop()
    return [piece + b"\n" for piece in pieces] + ([last] if last else [])


def _find_place(lines: Sequence[bytes], hunk: Hunk, done: int, drift: int) -> int | Misfit:
    """The index of the hunk's first line in the old content."""
    if not hunk.old:
        # Without a line to hold on to, only an empty file is a place that can be recognised.
        if not lines:
            return 0
        return Misfit(hunk.place, "has no line of context to recognise its place by")
    said, old = hunk.old_start - 1, list(hunk.old)
    if drift == 0 and said >= done and lines[said : said + len(old)] == old:
        return said
    places = _places(lines, old, done)
    if not places:
        return Misfit(hunk.place, _missing(lines, old, max(said + drift, 0)))
    if len(places) > 1:
        shown = ", ".join(str(place + 1) for place in places[:5])
        return Misfit(
            hunk.place, f"fits in several places (lines {shown}), none of them line {hunk.old_start}"
        )
    return places[0]


def _places(lines: Sequence[bytes], old: list[bytes], start: int) -> list[int]:
    """Where the lines stand one after the other, up to six places. Linear: by the failure function of Knuth, Morris and Pratt."""
    failure = [0] * len(old)
    k = 0
    for index in range(1, len(old)):
        while k and old[index] != old[k]:
            k = failure[k - 1]
        k += old[index] == old[k]
        failure[index] = k
    found: list[int] = []
    k = 0
    for index in range(start, len(lines)):
        while k and lines[index] != old[k]:
            k = failure[k - 1]
        k += lines[index] == old[k]
        if k == len(old):
            found.append(index - k + 1)
            if len(found) == 6:
                break
            k = failure[k - 1]
    return found


def _missing(lines: Sequence[bytes], old: list[bytes], near: int) -> str:
    """The first line that is not as expected, where the hunk should be."""
    for offset, expected in enumerate(old):
        found = lines[near + offset] if near + offset < len(lines) else None
        if found != expected:
            is_like = "the end of the file" if found is None else f"`{_shown(found)}`"
            return f"expects `{_shown(expected)}` in line {near + offset + 1}, where {is_like} is"
    return "does not fit behind the hunk before it"


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r\n")[:60]
