"""A scanner as data: how it is recognised, what it is started with, what it needs, and where its output is.

One TOML file is one scanner. `docs/scanning.md` tells users how to write one; `tools/*.toml` beside this module are ours. What a
manifest says of arguments are words: no shell ever reads them.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from assent.spec.secret_text import SecretText
from assent.spec.toml_file import TomlFile
from assent.spec.words.durations import parse_duration_ms
from assent.spec.words.suggestions import did_you_mean

MIB: Final = 1 << 20

Name: TypeAlias = Annotated[
    str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", title="a name of lower-case letters, digits and `_-`")
]
Regex: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1024)]
Digest: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", title="a SHA-256 in 64 hex digits")]
Kind: TypeAlias = Literal["active", "passive", "static"]
Word: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]

OUTPUT: Final = "assent-scan-"
"""How the name of an output file begins: nothing of the workspace has it."""

GIVEN: Final[Mapping[str, frozenset[str]]] = {
    "url": frozenset({"target", "base", "host", "port", "scheme", "output"}),
    "host": frozenset({"target", "host", "port", "output"}),
    "network": frozenset({"target", "output"}),
    "path": frozenset({"target", "output"}),
}
"""The placeholders that every manifest has, by what its target is."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every table keeps to."""


class Version(_Part, frozen=True, kw_only=True):
    """How the scanner is asked which one it is."""

    args: tuple[Word, ...]
    pattern: Regex
    """What its answer has in it, with the version as the group `version`: another program of that name answers otherwise."""


class Option(_Part, frozen=True, kw_only=True):
    """Something that a caller may set."""

    type: Literal["text", "number", "flag", "choice", "ports", "file", "folder", "path"]
    """`ports` that nobody sets are the target's, else the scope's. A `path` is a `file` or a `folder` of the workspace."""
    about: str
    default: str | int | bool | None = None
    required: bool = False
    least: int = 0
    most: int = 1_000_000
    """The bounds of a number."""
    choices: tuple[Word, ...] = ()
    pattern: Regex = r"[A-Za-z0-9][A-Za-z0-9 ._,:/@+=*-]{0,255}"
    """What a text is as a whole."""

    @property
    def form(self) -> str:
        """What fits, in a few words."""
        match self.type:
            case "number":
                return f"{self.least} to {self.most}"
            case "choice":
                return ", ".join(self.choices)
            case "ports":
                return "80,443,8000-8100"
            case "flag":
                return "true, false"
            case _:
                return self.type


class Output(_Part, frozen=True, kw_only=True):
    """Where the scanner's records are."""

    to: Literal["stdout", "file"] = "stdout"
    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] = "output"
    """The file's name, where it is one: some tools go by the ending."""
    parser: Name
    """The findings manifest that reads it."""
    may_be_missing: bool = False
    """Whether no file means that nothing was found."""


class Limits(_Part, frozen=True, kw_only=True):
    """What one scan may use, within what `[sandbox]` allows a program of `sys.exec.*` or above it."""

    time: str = "10m"
    memory_bytes: Annotated[int, Meta(ge=16 * MIB, le=64 << 30)] = 1024 * MIB
    output_bytes: Annotated[int, Meta(ge=1024, le=8 << 30)] = 64 * MIB
    """Standard output and error together, and the output file."""
    processes: Annotated[int, Meta(ge=1, le=4096)] = 128
    open_files: Annotated[int, Meta(ge=16, le=65_536)] = 1024


class SelfTest(_Part, frozen=True, kw_only=True):
    """Something that a static scanner must find something in: whether it still works as the manifest says."""

    files: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")], str], Meta(min_length=1)
    ]
    target: str
    """One of these files, or `.` for all."""
    options: dict[Name, str | int | bool] = {}


class Tool(_Part, frozen=True, kw_only=True):
    """A scanner."""

    tool: Name
    title: str
    about: str
    """What it looks at, in a few words."""
    kind: Kind
    target: Literal["url", "host", "network", "path"]
    tried: tuple[str, ...] = ()
    """Versions that were run with this manifest; none: it is made from documentation alone."""
    binary: Annotated[tuple[Word, ...], Meta(min_length=1)]
    """Names that it has, or absolute paths."""
    sha256: tuple[Digest, ...] = ()
    """What its file may be; empty: anything that answers as it does."""
    version: Version
    args: tuple[Word | tuple[Word, ...], ...]
    """Words with placeholders. A list of words is left out as a whole where an option in it is not set."""
    success: Annotated[tuple[Annotated[int, Meta(ge=0, le=255)], ...], Meta(min_length=1)] = (0,)
    """Exit codes that mean that it has done its work."""
    output: Output
    options: dict[Name, Option] = {}
    environment: dict[str, str] = {}
    """Variables that it has beside a path, a home and a language; a value may hold `secret://NAME`."""
    read_only: tuple[Word, ...] = ()
    """Absolute paths that it reads beside the system's."""
    limits: Limits = Limits()
    self_test: SelfTest | None = None

    @property
    def time_ms(self) -> int:
        """How long a scan may take."""
        return parse_duration_ms(self.limits.time)


def placeholders(word: str) -> Iterator[str]:
    """The names in braces in a word. ValueError for one that is not closed."""
    return (name for _, name, _, _ in string.Formatter().parse(word) if name is not None)


def groups(tool: Tool) -> Iterator[tuple[str, ...]]:
    """The argument template, with a single word as a group of its own."""
    return ((one,) if isinstance(one, str) else one for one in tool.args)


def read_tool(data: bytes, where: str) -> Tool:
    """A manifest from TOML. `where`: the file's name, for what is told. `InputError` `SCANNER_INVALID`, with the place."""
    file = TomlFile(data, where, code="SCANNER_INVALID", what=f"the scanner `{where}`")
    tool = file.read(Tool)
    for place, fault in _faults(tool):
        keys = tuple(int(one) if one.isdecimal() else one for one in re.findall(r"[^.\[\]]+", place))
        raise file.fault(keys, f"`{place}` {fault}")
    return tool


def _faults(tool: Tool) -> Iterator[tuple[str, str]]:
    """What no type says, as a place and the rest of a sentence."""
    if (tool.target == "path") != (tool.kind == "static"):
        yield "target", f"can't be `{tool.target}`: a path is what a static scan has, and no other"
    try:
        parse_duration_ms(tool.limits.time)
    except ValueError:
        yield "limits.time", "must be a duration: `30s`, `10m`"
    for name, value in tool.environment.items():
        try:
            SecretText.parse(value)
        except ValueError as error:
            yield f"environment.{name}", f"can't be read: {error}"
    yield from _pattern_faults("version.pattern", tool.version.pattern, "version")
    for name, option in tool.options.items():
        place = f"options.{name}"
        if name in GIVEN[tool.target]:
            yield place, "can't have the name of what every scan is given"
        if (option.type == "choice") != bool(option.choices):
            yield f"{place}.choices", "must be there for a choice, and for nothing else"
        yield from _pattern_faults(f"{place}.pattern", option.pattern)
    yield from _argument_faults(tool)
    test = tool.self_test
    if test is not None and (tool.kind != "static" or test.target not in {".", *test.files}):
        yield "self_test", "must have a target among its files, and only a static scanner has one"
    for index, path in enumerate(tool.read_only):
        if not path.startswith("/"):
            yield f"read_only[{index}]", "must be an absolute path"


def _argument_faults(tool: Tool) -> Iterator[tuple[str, str]]:
    known, used = GIVEN[tool.target] | tool.options.keys(), set[str]()
    for index, group in enumerate(groups(tool)):
        for word in group:
            try:
                names = set(placeholders(word))
            except ValueError as error:
                yield f"args[{index}]", f"can't be read: {error}"
                return
            for name in sorted(names - known):
                meant = did_you_mean(name, known, otherwise=f"there are {', '.join(sorted(known))}")
                yield f"args[{index}]", f"names `{{{name}}}`, which is neither given nor an option: {meant}"
            used |= names
    if ("output" in used) != (tool.output.to == "file"):
        yield "args", "must name `{output}` where the output is a file, and only there"
    if not used & {"target", "base", "host"}:
        yield "args", "must name the target"
    for name in tool.options.keys() - used:
        yield f"options.{name}", "is named by no argument"


def _pattern_faults(place: str, pattern: str, *groups_needed: str) -> Iterator[tuple[str, str]]:
    try:
        found = re.compile(pattern)
    except re.error as error:
        yield place, f"must be a regular expression: {error}"
        return
    for name in groups_needed:
        if name not in found.groupindex:
            yield place, f"must have the group `(?P<{name}>…)`"


_ORDER: Final = ("active", "passive", "static")


def order_of(tool: Tool) -> tuple[int, str]:
    """By what it does, then by name."""
    return _ORDER.index(tool.kind), tool.tool
