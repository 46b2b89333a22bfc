r"""Paths as a program has them and as its daemon does: rules as data, and pure functions for both ways.

| a path                                                  | how it is read                                                     |
|---------------------------------------------------------|--------------------------------------------------------------------|
| `C:\a`, `c:/a`, `\\?\C:\a`                              | Windows: compared without regard to case, with either slash        |
| `\\host\share\a`, `//host/share/a`, `\\?\UNC\host\share\a` | the same for a share; with `/`, POSIX where no rule is about it  |
| `/a`                                                    | POSIX: compared as it is written                                   |
| anything else                                           | relative to the daemon's workspace, so that no rule is about it    |

A daemon needs POSIX, so what it is told is POSIX.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final

from assent.errors import InputError

POSIX: Final = "/"
SHARE: Final = "\\\\"
_LONG: Final = "\\\\?\\"
_LONG_SHARE: Final = "\\\\?\\UNC\\"

CHARACTERS_MAX: Final = 32_767
"""Windows has no longer path, and POSIX none of half of it."""

WSL_DRIVES: Final[Mapping[str, str]] = {f"{one}:\\": f"/mnt/{one.lower()}" for one in ascii_uppercase}
"""Where WSL has the drives of Windows, unless its own configuration says otherwise."""

WSL_SHARES: Final = ("\\\\wsl.localhost\\{}", "\\\\wsl$\\{}")
"""What Windows calls the root of a distribution."""


@dataclass(frozen=True, slots=True)
class _Place:
    r"""An absolute path: `top` is `/`, `\\` or a drive (`C:\`), `parts` are the names below it."""

    top: str
    parts: tuple[str, ...]

    def below(self, other: _Place) -> tuple[str, ...] | None:
        """The names that lead here from `other`; None where it does not lie there."""
        depth = len(other.parts)
        if self.top != other.top or self._compared(depth) != other._compared(depth):
            return None
        return self.parts[depth:]

    def _compared(self, depth: int) -> tuple[str, ...]:
        parts = self.parts[:depth]
        return parts if self.top == POSIX else tuple(part.lower() for part in parts)

    def __str__(self) -> str:
        return self.top + (POSIX if self.top == POSIX else "\\").join(self.parts)


class Paths:
    """Which folders a daemon has under another name, and what a path is called there and here.

    The rule with the longest prefix counts, and prefixes end where a name does: `/mnt/cd` does not lie in `/mnt/c`. What is
    mapped has neither `.` nor doubled slashes, nor one at its end; `..` stays, and is the daemon's to refuse.
    """

    def __init__(self, rules: Mapping[str, str] | None = None, wsl: str | None = None) -> None:
        """`rules`: the daemon's absolute path by one of this side. `wsl`: the distribution of WSL that the daemon runs in.

        That one's drives and shares are known without a rule, to it and not back. `INVALID_INPUT`.
        """
        self._own: Final = [_rule(here, there) for here, there in (rules or {}).items()]
        known = {} if wsl is None else {**WSL_DRIVES, **{name.format(wsl): POSIX for name in WSL_SHARES}}
        every = self._own + [_rule(here, there) for here, there in known.items()]
        # Sorting is stable: of two rules with one prefix the first counts, and so one that was given before one that is known.
        self._out: Final = sorted(every, key=lambda rule: -len(rule[0].parts))
        self._back: Final = sorted(self._own, key=lambda rule: -len(rule[1].parts))

    @property
    def has_rules(self) -> bool:
        """Whether any were given."""
        return bool(self._own)

    def to_daemon(self, path: str) -> str:
        """What the daemon calls a path. One that no rule is about stays as it is; a full one of Windows is `PATH_UNMAPPED`."""
        if path[:1] not in ("/", "\\") and path[1:2] != ":":
            return path  # most texts, and a request may have a million
        mapped = self._mapped(path)
        if mapped is not None:
            return str(mapped)
        if path.startswith("\\") or (not path.startswith(POSIX) and any(_readings(path))):
            raise InputError(
                "PATH_UNMAPPED",
                f"`{path[:200]}` is a path of Windows, and no rule says what the daemon calls it",
                hint="say it where you connect: `connect(…, paths={FOLDER_HERE: FOLDER_OF_THE_DAEMON})`",
            )
        return path

    def from_daemon(self, path: str) -> str:
        """What a path of the daemon's is called here; as it is where no rule leads there.

        INVARIANT: `to_daemon` of what a rule gave names the same file. A rule within whose folder another one counts, or that
        would need a name which Windows reads otherwise, gives nothing.
        """
        if not path.startswith(POSIX):
            return path
        place = _posix(path)
        for here, there in self._back:
            rest = place.below(there)
            if rest is not None:
                found = str(_Place(here.top, here.parts + rest))
                if self._mapped(found) == place:
                    return found
        return path

    def _mapped(self, path: str) -> _Place | None:
        readings = [*_readings(path)]
        for here, there in self._out:
            for reading in readings:
                rest = reading.below(here)
                if rest is not None:
                    return _Place(POSIX, there.parts + rest)
        return None


def _readings(path: str) -> Iterator[_Place]:
    """The absolute places that a text can mean; what is too long for a path may be large, and means none."""
    if len(path) > CHARACTERS_MAX:
        return
    plain = path.replace("/", "\\")
    if plain.startswith(_LONG_SHARE):
        plain = SHARE + plain.removeprefix(_LONG_SHARE)
    plain = plain.removeprefix(_LONG)
    if plain[:1].isascii() and plain[:1].isalpha() and plain[1:3] == ":\\":
        yield _Place(plain[:1].upper() + ":\\", _names(plain[3:], "\\"))
    elif plain.startswith(SHARE):
        yield _Place(SHARE, _names(plain[2:], "\\"))
    if path.startswith(POSIX):
        yield _posix(path)


def _posix(path: str) -> _Place:
    return _Place(POSIX, _names(path, POSIX))


def _names(text: str, separator: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(separator) if name not in ("", "."))


def _rule(here: str, there: str) -> tuple[_Place, _Place]:
    """One rule; `INVALID_INPUT`."""
    given: tuple[object, object] = here, there  # nobody checks a program's types for it
    if not all(isinstance(one, str) for one in given):
        raise _no_rule("paths must be texts", "write `str(path)`")
    found = next(_readings(here), None)
    if found is None or (found.top == SHARE and len(found.parts) < 2) or ".." in found.parts:
        fault = f"`{here[:200]}` must be a full path without `..`"
        raise _no_rule(fault, "`/folder`, `C:\\folder` or `\\\\host\\share`")
    if not there.startswith(POSIX) or ".." in _posix(there).parts:
        raise _no_rule(f"`{there[:200]}` must be a full path of the daemon's, without `..`", "`/folder`")
    return found, _posix(there)


def _no_rule(fault: str, hint: str) -> InputError:
    return InputError("INVALID_INPUT", fault, path="paths", hint=hint)
