"""Which tool wrote it, of what version: found by the first piece of a file, or told what was seen there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from io import BytesIO
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from assent.errors import InputError
from assent.findings.parsing._fields import getter_of, pattern_of, reach
from assent.findings.parsing._json import Cutter
from assent.findings.parsing._manifest import Recognised
from assent.findings.parsing._parser import Parser
from assent.findings.parsing._rows import RowCutter, lines
from assent.findings.parsing._xml import XmlCutter
from assent.spec.words.suggestions import did_you_mean

HEAD_BYTES: Final = 1 << 20
"""So much of a file is looked at."""
_LINES: Final = 50
_TOLD_MAX: Final = 8
_VERSION_CHARACTERS_MAX: Final = 100


class Detected(NamedTuple):
    """A tool that was recognised: the name of its manifest, and its version where it can be told (`3+`: that or a later one)."""

    name: str
    version: str | None


class Tools(NamedTuple):
    """The tools that are known: their parsers by name, and what is wrong with manifests that can't be used."""

    parsers: Mapping[str, Parser]
    faults: Mapping[str, InputError] = MappingProxyType({})

    def require(self, name: str) -> Parser:
        """The parser of this manifest. `InputError` `TOOL_MANIFEST_INVALID` for one that can't be used."""
        if name in self.faults:
            raise self.faults[name]
        return self.parsers[name]

    def recognise(self, head: bytes, tool: str | None) -> Detected:
        """The manifest that reads an output: that of the tool that is named, of several the one that fits. `head`: as `detect`.

        `InputError` `TOOL_UNKNOWN`, or `TOOL_MANIFEST_INVALID` of a manifest that is needed, or that may be the one.
        """
        if tool is not None and tool in self.faults:
            raise self.faults[tool]
        chosen = {name: one for name, one in self.parsers.items() if tool in (None, one.manifest.tool)}
        if not chosen and tool is not None and tool in self.parsers:
            chosen = {tool: self.parsers[tool]}
        broken = next(iter(self.faults.values()), None)
        if not chosen:
            near = did_you_mean(str(tool), [*self.parsers, *self.faults])
            if near is None and broken is not None:
                raise broken
            hint = near or "docs/findings-parsers.md lists the tools"
            raise InputError("TOOL_UNKNOWN", f"no tool `{str(tool)[:64]}` is known", hint=hint)
        try:
            found = detect(head, chosen)
        except InputError as error:
            if tool is None and broken is not None:
                raise broken from None
            if tool is None:
                error.hint = f"say which `tool` wrote it; {error.hint}"
            if tool is None or len(chosen) > 1:
                raise
            # Who names the tool knows more than the beginning of a file that may be cut, or empty.
            found = Detected(next(iter(chosen)), None)
        self.require(found.name)
        return found


class _Seen:
    """What can be seen in the first piece of a file."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        self.format = "xml" if start == b"<" else "json" if start in (b"{", b"[") else "text"
        self._records: dict[tuple[str, ...], Any] = {}

    @cached_property
    def top(self) -> dict[str, Any]:
        """What stands at the top, by name; None for what is no plain value."""
        match self.format:
            case "json":
                cuts = Cutter(BytesIO(self._head).read, ("*",))
                return {
                    str(cut.names[0]): None if isinstance(cut.value, dict | list) else cut.value
                    for cut in cuts
                    if cut.names and isinstance(cut.names[0], str)
                }
            case "xml":
                cutter = XmlCutter(BytesIO(self._head).read, ("",))
                for _ in cutter:
                    pass
                return {
                    str(cutter.root): None,
                    **{f"@{name}": value for name, value in cutter.attributes.items()},
                }
            case _:
                cutter_of_rows = RowCutter(BytesIO(self._head).read)
                next(iter(cutter_of_rows), None)
                return dict.fromkeys(cutter_of_rows.heads)

    def record(self, path: tuple[str, ...]) -> Any:
        """The first record that a path leads to."""
        if path not in self._records:
            cuts = Cutter(BytesIO(self._head).read, path) if self.format == "json" else ()
            self._records[path] = next((cut.value for cut in cuts if cut.fault is None), None)
        return self._records[path]

    @cached_property
    def first_lines(self) -> list[str]:
        """The beginning of a text."""
        found = []
        for _, _, data, *_ in lines(BytesIO(self._head).read):
            found.append(data.decode("utf-8", "replace"))
            if len(found) == _LINES:
                break
        return found

    def tell(self) -> str:
        """In words."""
        if not self._head.strip():
            return "nothing: it is empty"
        names = ", ".join(f"`{name[:40]}`" for name in [*self.top][:_TOLD_MAX])
        record = self.record(()) if self.format == "json" and not self.top else None
        if isinstance(record, dict):
            names = ", ".join(f"`{name[:40]}`" for name in [*record][:_TOLD_MAX])
            return f"records with {names}"
        kind = {"json": "JSON with", "xml": "XML with the root", "text": "a text whose first row is"}[
            self.format
        ]
        return f"{kind} {names}" if names else "no record"


def detect(head: bytes, tools: Mapping[str, Parser]) -> Detected:
    """The tool whose output begins so. `head`: the first `HEAD_BYTES`, or all there is.

    `InputError` `TOOL_UNKNOWN` for what no tool, or more than one, is known by.
    """
    seen = _Seen(head[:HEAD_BYTES])
    best: list[tuple[str, Recognised]] = []
    most = 0
    for name, parser in tools.items():
        for way in parser.manifest.recognise:
            weight = _weight(way, parser, seen)
            if weight > most:
                best, most = [(name, way)], weight
            elif weight == most and weight and name != best[-1][0]:
                best.append((name, way))
    if len(best) != 1:
        names = ", ".join(name for name, _ in best)
        why = f"it may be of {names}" if best else f"what is seen is {seen.tell()}"
        raise InputError(
            "TOOL_UNKNOWN",
            f"no tool is known that writes this: {why}"
            if not best
            else f"more than one tool writes this: {why}",
            hint="docs/findings-parsers.md lists the tools, and says how to describe one of your own",
        )
    ((name, way),) = best
    return Detected(name, _version(tools[name], way, seen))


def _weight(way: Recognised, parser: Parser, seen: _Seen) -> int:
    """How much of it is there; 0 where anything is missing."""
    form = "json" if parser.manifest.format == "sarif" else parser.manifest.format
    if form != seen.format and not (form == "csv" and seen.format == "text"):
        return 0
    if any(name not in seen.top for name in way.top):
        return 0
    if way.text is not None and not any(map(pattern_of(way.text).search, seen.first_lines)):
        return 0
    record = seen.record(parser.path) if way.record else None
    if any(not isinstance(record, dict) or reach(record, field.split(".")) is None for field in way.record):
        return 0
    return len(way.top) + 2 * len(way.record) + (way.text is not None)


def _version(parser: Parser, way: Recognised, seen: _Seen) -> str | None:
    if parser.manifest.version is not None:
        found = getter_of(parser.manifest.version)(seen.top, (), ())
        if isinstance(found, str | int | float):
            return str(found)[:_VERSION_CHARACTERS_MAX]
    return way.version
