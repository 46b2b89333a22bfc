"""References to resources, and the scopes that they are looked for in.

    res://[SCOPE/]TYPE/NAME:VERSION        a version by its word
    res://[SCOPE/]TYPE/NAME:latest         the version that was published last
    res://[SCOPE/]TYPE/NAME@sha256:DIGEST  a version by its content

SCOPE is `run/ID`, `node/ID`, `project/NAME`, `group/NAME` or `global`. Without one it is looked for in those that are in force,
in that order: what is nearer to a run comes first.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from assent.errors import InputError
from assent.spec.words.suggestions import did_you_mean

SCHEME: Final = "res://"
LATEST: Final = "latest"
REFERENCE_CHARACTERS_MAX: Final = 512
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_NAME_SAID: Final = "has 1 to 128 letters, digits, `.`, `_` and `-`, and begins with a letter or digit"
_FORM: Final = f"write `{SCHEME}[SCOPE/]TYPE/NAME:VERSION`, as in `{SCHEME}wordlist/common:1.0.0`"


_ALSO: Final = {
    "words": "wordlist",
    "dictionary": "wordlist",
    "list": "wordlist",
    "rules": "templates",
    "settings": "configs",
}
"""What people call a type elsewhere."""


class AssetType(StrEnum):
    """What a resource is."""

    WORDLIST = "wordlist"
    TEMPLATES = "templates"
    HEADERS = "headers"
    PAYLOADS = "payloads"
    CONFIGS = "configs"
    SCHEMA = "schema"


class Level(StrEnum):
    """How far a resource is known, from the nearest to the widest: the order in which it is looked for."""

    RUN = "run"
    NODE = "node"
    PROJECT = "project"
    GROUP = "group"
    GLOBAL = "global"

    @property
    def width(self) -> int:
        """0 for the nearest."""
        return list(Level).index(self)


class Scope(msgspec.Struct, frozen=True):
    """Where a resource is known. `name` is empty where the level is `global`."""

    level: Level
    name: str = ""

    def __str__(self) -> str:
        return f"{self.level}/{self.name}" if self.name else f"{self.level}"


GLOBAL: Final = Scope(Level.GLOBAL)


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force where a resource is asked for. `global` always is."""

    run: str | None = None
    node: str | None = None
    project: str | None = None
    group: str | None = None

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """From the nearest to the widest."""
        named = zip(Level, (self.run, self.node, self.project, self.group), strict=False)
        return (*(Scope(level, name) for level, name in named if name is not None), GLOBAL)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that is meant. Its text is what it was read from. One of `version` and `sha256` is there."""

    type: AssetType
    name: str
    version: str | None = None
    sha256: str | None = None
    scope: Scope | None = None

    def __str__(self) -> str:
        where = "" if self.scope is None else f"{self.scope}/"
        which = f":{self.version}" if self.version is not None else f"@sha256:{self.sha256}"
        return f"{SCHEME}{where}{self.type}/{self.name}{which}"


def read_reference(said: str | Reference) -> Reference:
    """A reference from outside, or one that a program made. `InputError` `RESOURCE_REFERENCE_INVALID` says what is wrong."""
    text = str(said)
    if len(text) > REFERENCE_CHARACTERS_MAX:
        raise _invalid(text, f"has more than {REFERENCE_CHARACTERS_MAX} characters")
    if not text.startswith(SCHEME):
        raise _invalid(text, f"does not begin with `{SCHEME}`")
    path, at, digest = text.removeprefix(SCHEME).partition("@")
    found = _DIGEST.fullmatch(digest)
    version = None
    if at and found is None:
        raise _invalid(text, "has no digest behind `@`: `sha256:` and 64 digits of lower-case hex")
    if not at:
        path, colon, version = path.rpartition(":")
        if not colon:
            raise _invalid(text, f"says no version: end it with `:VERSION`, `:{LATEST}` or `@sha256:DIGEST`")
        if not _VERSION.fullmatch(version):
            raise _invalid(
                text, "has no version that can be one: 1 to 64 letters, digits, `.`, `_`, `+` and `-`"
            )
    *scope, kind, name = ["", *path.split("/")]
    if kind not in list(AssetType):
        meant = did_you_mean(_ALSO.get(kind.lower(), kind.lower()), AssetType)
        raise _invalid(text, f"must have a type before its name, one of {_listed(AssetType)}", meant)
    if not _NAME.fullmatch(name):
        raise _invalid(text, f"must name a resource; a name {_NAME_SAID}")
    made = Reference(
        type=AssetType(kind),
        name=name,
        version=version,
        sha256=found[1] if found else None,
        scope=_scope(scope[1:], text) if scope[1:] else None,
    )
    if isinstance(said, Reference) and said != made:
        raise _invalid(text, "is not what its parts say")
    return made


def read_scope(said: str | Scope) -> Scope:
    """A scope from outside (`project/NAME`, `global`), or one that a program made. `InputError` `RESOURCE_REFERENCE_INVALID`."""
    return _scope(str(said).split("/"), str(said))


def read_context(context: Context) -> Context:
    """A context whose scopes can be some. `InputError` `RESOURCE_REFERENCE_INVALID`."""
    for one in context.scopes:
        read_scope(one)
    return context


def _scope(parts: list[str], text: str) -> Scope:
    level, *names = parts
    if parts == [Level.GLOBAL]:
        return GLOBAL
    if level not in list(Level) or level == Level.GLOBAL or len(names) != 1:
        raise _invalid(
            text,
            "has no scope that can be one: `run/ID`, `node/ID`, `project/NAME`, `group/NAME` or `global`",
            did_you_mean(level, Level),
        )
    if not _NAME.fullmatch(names[0]):
        raise _invalid(text, f"must name its {level}; a name {_NAME_SAID}")
    return Scope(Level(level), names[0])


def _listed(words: type[StrEnum]) -> str:
    return ", ".join(f"`{one}`" for one in words)


def _invalid(text: str, why: str, hint: str | None = None) -> InputError:
    return InputError("RESOURCE_REFERENCE_INVALID", f"the reference `{text[:80]}` {why}", hint=hint or _FORM)
