"""Reading what a tool wrote: each record becomes a finding or a resource, or is skipped with a reason, and all add up.

Nothing is dropped without a word, and nothing that a file holds ends the reading but its end: what is broken is told with its
place. No more than one record is in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import msgspec

from assent.errors import InputError, Json
from assent.findings.finding import Finding, Location
from assent.findings.identity import finding_id
from assent.findings.parsing._compiled import NO_PLACE, CompiledRecords, Told, identity, is_same, words_of
from assent.findings.parsing._fields import getter_of, pattern_of
from assent.findings.parsing._json import (
    GROUP_BYTES_MAX,
    RECORD_BYTES_MAX,
    VALUES_MAX,
    BrokenError,
    Cut,
    Cutter,
    Ended,
    Read,
    decoded,
    ended,
)
from assent.findings.parsing._manifest import PARSER_VERSION, Manifest, fault, manifest_file
from assent.findings.parsing._rows import LineCutter, RowCutter
from assent.findings.parsing._sarif import Run, Runs, read_runs, whole
from assent.findings.parsing._xml import Aside, XmlCutter
from assent.findings.project import Resource, ResourceType, read_resource, resource_id
from assent.spec.documents.document import dotted
from assent.spec.values.typed import convert, decode

_REASONS_MAX: Final = 1_000
_NAMES_MAX: Final = 100
"""Of so many new or missing fields is told by name."""
NOT_AN_OBJECT: Final = "it is not an object"
BROKEN: Final = "it is broken"
NO_FINDING: Final = "it makes no valid finding"
NO_RESOURCE: Final = "it makes no valid resource"
UNFORESEEN: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What code raises of values that nobody thought of: a stranger's record never costs the records beside it."""
_UNREAD: Final = frozenset({NOT_AN_OBJECT, BROKEN, NO_FINDING, NO_RESOURCE, NO_PLACE})
"""Why a record is skipped that could not be read; its manifest has other reasons."""


class About(NamedTuple):
    """What is known of an output beside its bytes."""

    project_id: str
    created_at: str
    """When records that say no time were found."""
    run_id: str | None = None
    raw_sha256: str | None = None
    tool_version: str | None = None


class Discovered(NamedTuple):
    """A resource: something that is there, and no finding by itself."""

    type: ResourceType
    resource: str
    at: Location
    facts: dict[str, Any]  # `Any`: JSON


class Parsed(NamedTuple):
    """What one record came to: one of three."""

    begin: int
    end: int
    finding: Finding | None = None
    resource: Discovered | None = None
    skipped: str | None = None


class Fault(NamedTuple):
    """What could not be read, and where: bytes from the file's begin."""

    begin: int
    end: int
    why: str
    hint: str | None = None


@dataclass(slots=True)
class Report:
    """How a reading went. `findings` counts records, whatever they join later."""

    tool: str
    version: str | None = None
    records: int = 0
    findings: int = 0
    resources: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    by_severity: Counter[str] = field(default_factory=Counter)
    new_fields: Counter[str] = field(default_factory=Counter)
    missing_fields: Counter[str] = field(default_factory=Counter)
    fault: Fault | None = None
    """The first place at which the file is not what it should be."""

    @property
    def unread(self) -> int:
        """The skipped records that could not be read; the others say nothing to keep, by their manifest."""
        return sum(count for why, count in self.skipped.items() if why.partition(":")[0] in _UNREAD)


class Parser:
    """Reads what one tool wrote. Made once for a manifest, and used for any number of files."""

    def __init__(self, manifest: Manifest, *, runs: Runs | None = None) -> None:
        """`InputError` `TOOL_MANIFEST_INVALID`: the manifest says what can't be."""
        self.manifest = manifest
        self._runs = runs or Runs()
        for keys, pattern in _patterns(manifest):
            try:
                pattern_of(pattern)
            except ValueError as error:
                raise fault(f"`{dotted(keys)}` must be a regular expression: {error}", *keys) from None
        if manifest.format == "text" and manifest.line is None:
            raise fault("`line` is missing: it says which field is what in a line of a text", "line")
        self._sets = [CompiledRecords(manifest, said, number) for number, said in enumerate(manifest.records)]
        self.path = self._sets[0].path
        self._is_group = any(one.each for one in self._sets)
        for number, one in enumerate(self._sets):
            if one.path != self.path:
                raise fault(
                    "all records of a tool must have the same `path`",
                    "records",
                    number,
                    "path",
                    hint="`each` may lead to others from there on, and `a|b` to either",
                )

    def read(self, read: Read, about: About, report: Report | None = None) -> Iterator[Parsed]:
        """Everything in an output, in its order. `report` is filled while it is read, and whole when this ends."""
        report = report if report is not None else Report(self.manifest.tool)
        report.version = report.version or about.tool_version
        provenance = _provenance(self.manifest.tool, about)
        is_sarif = self.manifest.format == "sarif"
        for cut in self._cuts(read):
            if cut.fault is not None and (cut.value is None or not self._is_group):
                self._note_fault(cut, report)
                if not (cut.is_last and cut.begin == cut.end):
                    report.records += 1
                    yield self._skipped(BROKEN, cut, report)
                continue
            if cut.fault is None and type(cut.value) is bytes and cut.value[0] not in b"{[":
                # `null` where records stand in is none of them.
                if cut.value != b"null":
                    report.records += 1
                    yield self._skipped(NOT_AN_OBJECT, cut, report)
                continue
            for records in self._sets:
                is_record = not records.each and type(cut.value) is not bytes
                for inner, parents in ((cut, ()),) if is_record else self._inner(records, cut):
                    report.records += 1
                    try:
                        if inner.fault is not None:
                            self._note_fault(inner, report)
                            told = Told(skipped=BROKEN)
                        elif type(inner.value) is not dict:
                            told = Told(skipped=NOT_AN_OBJECT)
                        else:
                            record, around = self._whole(inner) if is_sarif else (inner.value, parents)
                            self._drift(records, record, report)
                            told = records.tell(record, around, inner.names)
                        parsed = self._parsed(told, inner, about, provenance, report)
                    except UNFORESEEN as error:
                        parsed = self._skipped(f"{BROKEN}: {str(error)[:200]}", inner, report)
                    yield parsed
            if cut.fault is not None:
                self._note_fault(cut, report)
        if self._runs.fault is not None:
            self._note_fault(self._runs.fault, report)

    def prepared(self, read: Read) -> Parser:
        """This parser for one file, from whose begin `read` reads: where records need what stands elsewhere in it (`sarif`)."""
        if self.manifest.format != "sarif":
            return self
        return Parser(self.manifest, runs=read_runs(read))

    def failure(self, read: Read) -> Fault | None:
        """What the output itself says of why the tool did not end its work: it may stand behind the records."""
        failed = self.manifest.failed
        if failed is None:
            return None
        where, message = getter_of(failed.where), getter_of(failed.message)
        for cut in self._cut(read, words_of(failed.path)):
            found = cut.value if cut.fault is None and isinstance(cut.value, dict) else {}
            if any(is_same(where(found, (), cut.names), one) for one in failed.equals):
                why = f"the tool says that it failed: {message(found, (), cut.names) or 'not why'}"
                return Fault(
                    cut.begin, cut.end, why, "what it wrote was read; there may be more than it found"
                )
        return None

    def _whole(self, cut: Cut) -> tuple[dict[str, Any], tuple[Any, ...]]:
        """A record with what its file says of it elsewhere, and the tool that its run is of."""
        run = self._runs.found.get((cut.document, cut.names[0])) or Run()
        return whole(cut.value, run), (run.about,)

    @staticmethod
    def _note_fault(cut: Cut, report: Report) -> None:
        if report.fault is None:
            hint = "the records before it were read" if cut.is_last else None
            report.fault = Fault(cut.begin, cut.end, str(cut.fault), hint)

    def _cuts(self, read: Read) -> Iterable[Cut]:
        return self._cut(read, self.path, is_group=self._is_group)

    def _cut(self, read: Read, path: tuple[str, ...], *, is_group: bool = False) -> Iterable[Cut]:
        match self.manifest.format:
            case "csv":
                return RowCutter(read)
            case "text":
                return LineCutter(read, pattern_of(self.manifest.line or ""))
            case "xml":
                # A record that is one as a whole is looked at whole.
                is_group = is_group and all(one.each for one in self._sets)
                return XmlCutter(read, path, each=tuple(one.each for one in self._sets if is_group))
            case _:
                size = GROUP_BYTES_MAX if is_group else RECORD_BYTES_MAX
                return Cutter(read, path, decodes=not is_group, record_bytes=size)

    @staticmethod
    def _inner(records: CompiledRecords, cut: Cut) -> Iterator[tuple[Cut, tuple[Any, ...]]]:
        """The records in what was cut, each with what it stands in. Of one that the file ends in, those before that."""
        data, group = cut.value, cut._replace(fault=None)
        if not isinstance(data, bytes):
            for value, parents in _walk(data, records.each, ()):
                if isinstance(value, Aside):
                    made = None if value.fault else decode(value.data)
                    inner = group._replace(begin=value.begin, end=value.end, value=made, fault=value.fault)
                else:
                    inner = cut if isinstance(value, Ended) else group._replace(value=value)
                yield inner, parents
            return
        if not records.each:
            yield cut if cut.fault is not None else _made(cut, [data]), ()
            return
        found: list[Cut] = []
        broken: list[Cut] = []
        size = len(data)
        # All at once: so the cutter has these bytes themselves, and no copy of them.
        at_once = iter((data,))
        for inner in Cutter(lambda _: next(at_once, b""), records.each, decodes=False, record_bytes=size):
            if cut.fault is None or not inner.is_last:
                found.append(inner._replace(value=None))
            else:
                size = inner.begin
                if inner.value is not None:
                    broken.append(_placed(inner._replace(value=None, is_last=cut.is_last), cut))
            if len(found) > VALUES_MAX:
                yield group._replace(value=None, fault=f"it holds more than {VALUES_MAX} records"), ()
                return
        around = group
        if found:
            # The records are as many as they like: what they stand in is decoded without them.
            ends = [0, *(one.end for one in found)]
            begins = [*(one.begin for one in found), size]
            outside = [data[end:begin] for end, begin in zip(ends, begins, strict=True)]
            around = _made(group, outside, is_ended=cut.fault is not None)
            if around.fault is not None:
                yield around, ()
                return
        for inner in found:
            record = _placed(inner, cut)
            try:
                parents = _parents(around.value, records.each, inner.names)
            except (LookupError, TypeError):
                # Of members with one name the last alone is in the value.
                yield record._replace(fault="what it stands in holds one name twice"), ()
            else:
                yield _made(record, [data[inner.begin : inner.end]]), parents
        for record in broken:
            yield record, ()

    def _drift(self, records: CompiledRecords, record: dict[str, Any], report: Report) -> None:
        if not record.keys() <= records.names:
            for name in sorted(record.keys() - records.names):
                if name in report.new_fields or len(report.new_fields) < _NAMES_MAX:
                    report.new_fields[name] += 1
        for path, get in records.required:
            if get(record, (), ()) is None:
                report.missing_fields[path] += 1

    def _parsed(
        self, told: Told, cut: Cut, about: About, provenance: dict[str, Any], report: Report
    ) -> Parsed:
        skipped = told.skipped
        if told.finding is not None:
            finding = _finding(told.finding, cut, about, provenance)
            if isinstance(finding, Finding):
                report.findings += 1
                report.by_severity[told.finding["severity"]] += 1
                return Parsed(cut.begin, cut.end, finding)
            skipped = finding
        elif told.resource is not None and told.at is not None:
            report.resources += 1
            found = Discovered(told.type, told.resource, told.at, dict(told.facts or {}))
            return Parsed(cut.begin, cut.end, resource=found)
        return self._skipped(skipped or NO_FINDING, cut, report)

    @staticmethod
    def _skipped(why: str, cut: Cut, report: Report) -> Parsed:
        if len(report.skipped) >= _REASONS_MAX and why not in report.skipped:
            why = why.partition(":")[0]
        report.skipped[why] += 1
        return Parsed(cut.begin, cut.end, skipped=why)


def _made(cut: Cut, outside: list[bytes], *, is_ended: bool = False) -> Cut:
    """What was cut, with the value of what stands outside its records; `is_ended`: the file ends in it."""
    if sum(map(len, outside)) > RECORD_BYTES_MAX:
        return cut._replace(value=None, fault=f"it is longer than {RECORD_BYTES_MAX} bytes")
    try:
        if is_ended:
            *before, last = outside
            return cut._replace(value=ended(b"0".join(before) + b"[]" + last))
        return cut._replace(value=decoded(b"0".join(outside)))
    except BrokenError as error:
        return cut._replace(value=None, fault=str(error))


def _placed(inner: Cut, cut: Cut) -> Cut:
    """What was cut out of a cut, with its place in the file."""
    return inner._replace(
        begin=cut.begin + inner.begin, end=cut.begin + inner.end, names=(*cut.names, *inner.names)
    )


def _patterns(manifest: Manifest) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if manifest.line is not None:
        yield ("line",), manifest.line
    for number, way in enumerate(manifest.recognise):
        if way.text is not None:
            yield ("recognise", number, "text"), way.text


def _finding(said: dict[str, Any], cut: Cut, about: About, provenance: dict[str, Any]) -> Finding | str:
    said["fingerprint"] = fingerprint = identity(said["fingerprint"])
    said["id"] = finding_id(about.project_id, fingerprint["value"])
    said["project_id"] = about.project_id
    said.setdefault("created_at", about.created_at)
    if about.run_id is not None:
        said["run_id"] = about.run_id
    said["provenance"] = {**provenance, **said.get("provenance", {}), "begin": cut.begin, "end": cut.end}
    try:
        return convert(said, Finding)
    except (msgspec.ValidationError, ValueError) as error:
        return f"{NO_FINDING}: {error}"


def resource_of(discovered: Discovered, about: About, *, tool: str, begin: int, end: int) -> Resource:
    """What a tool discovered, as a document. `begin`, `end`: its record's bytes, as `Parsed` has them.

    `InputError` `PROJECT_INVALID`: its facts are more than a resource may have.
    """
    kind, name, at, facts = discovered
    said: dict[str, Any] = {
        "resource_schema_version": "1.0.0",
        "resource_id": resource_id(about.project_id, kind, name, at),
        "project_id": about.project_id,
        "type": kind,
        "resource": name,
        "location": msgspec.to_builtins(at),
        "facts": facts,
        "created_at": about.created_at,
        "provenance": {**_provenance(tool, about), "begin": begin, "end": end},
    }
    if about.run_id is not None:
        said["run_id"] = about.run_id
    return read_resource(said)


def _provenance(tool: str, about: About) -> dict[str, Json]:
    found: dict[str, Json] = {"tool": tool, "parser_version": PARSER_VERSION}
    if about.tool_version is not None:
        found["tool_version"] = about.tool_version
    if about.raw_sha256 is not None:
        found["raw_sha256"] = about.raw_sha256
    return found


def _walk(
    value: Any, path: tuple[str, ...], parents: tuple[Any, ...]
) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Where a path leads in an element: one child and a list of them are alike."""
    if path and isinstance(value, Aside) and value.fault is None:
        value = decode(value.data)
    if isinstance(value, list):
        for one in value:
            yield from _walk(one, path, parents)
    elif not path:
        yield value, parents
    elif isinstance(value, dict):
        for name in path[0].split("|"):
            if name in value:
                yield from _walk(value[name], path[1:], (*parents, value))


def _parents(value: Any, path: tuple[str, ...], names: tuple[str | int, ...]) -> tuple[Any, ...]:
    """What a record stands in, from the cut on: the objects that a path passes through."""
    found: list[Any] = []
    left = [*names]
    for word in path:
        if isinstance(value, dict):
            found.append(value)
        step: Any = left.pop(0) if word == "*" or "|" in word else word
        value = value[step]
    return tuple(found)


def read_parser(data: bytes, where: str) -> Parser:
    """A parser from a manifest's file. `InputError` `TOOL_MANIFEST_INVALID`, with file, line and what was probably meant."""
    file = manifest_file(data, where)
    manifest = file.read(Manifest)
    try:
        return Parser(manifest)
    except InputError as error:
        raise file.placed(error) from None


@cache
def built_in_tools() -> Mapping[str, Parser]:
    """A parser for each of our manifests, by its file's name without `.toml`. One tool may have several, one for each format."""
    found = sorted(files("assent.findings").joinpath("tools").iterdir(), key=lambda one: one.name)
    return {
        one.name.removesuffix(".toml"): read_parser(one.read_bytes(), one.name)
        for one in found
        if one.name.endswith(".toml")
    }
