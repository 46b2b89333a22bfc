"""A manifest made ready: from one record what it says, as a finding's properties or a resource.

Everything that a manifest says is looked up once, here. What is done for each record is a loop over pairs of a getter and a form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from assent.errors import InputError
from assent.findings.finding import LISTED_MAX, SCHEMA_VERSION, Location
from assent.findings.identity import Kind, fingerprint_of, place_of
from assent.findings.parsing import _values as values
from assent.findings.parsing._fields import Getter, Names, Parents, getter_of, own_names
from assent.findings.parsing._manifest import Manifest, Records, Skip, fault
from assent.findings.project import ResourceType
from assent.spec.values.typed import convert
from assent.spec.words.suggestions import did_you_mean

_AT: Final[Mapping[str, values.Form]] = {
    "url": values.name,
    "method": values.name,
    "parameter": values.name,
    "host": values.host,
    "port": values.port,
    "protocol": values.protocol,
    "path": values.file,
    "line": values.line,
    "end_line": values.count,
    "column": values.count,
    "snippet": values.text,
    "package": values.name,
    "version": values.name,
    "name": values.name,
}
_EVIDENCE: Final[Mapping[str, values.Form]] = {
    "request": values.text,
    "response": values.text,
    "matched": values.text,
    "extracted": values.texts,
}
_PROPERTIES: Final[Mapping[str, values.Form]] = {
    "title": values.name,
    "resource": values.name,
    "created_at": values.moment,
    "confidence": values.confidence,
    "cwe": values.cwes,
    "owasp": values.owasps,
    "cve_ids": values.cves,
    "mitre_attack": values.techniques,
    "poc_links": values.links,
}
_OTHERS: Final = (
    "tool",
    "tool_version",
    "detector",
    "severity",
    "severity.score",
    "cvss.score",
    "cvss.vector",
    "origin",
)

NO_PLACE: Final = "it says no place"
_OF_FILES: Final = (Kind.CODE, Kind.SETTING)

Row = tuple[str, Getter, values.Form]


class Told(NamedTuple):
    """What a record came to: a finding's properties, or a resource's, or why it is skipped."""

    finding: dict[str, Any] | None = None  # `Any`: the properties, to be checked as a finding
    resource: str | None = None
    type: ResourceType = "url"
    at: Location | None = None
    facts: Mapping[str, Any] | None = None  # `Any`: JSON
    skipped: str | None = None


class CompiledRecords:
    """One set of records of a tool."""

    def __init__(self, manifest: Manifest, said: Records, number: int) -> None:
        """`number`: which of the manifest's sets it is."""
        _require(manifest, said, number)
        self.path = words_of(said.path)
        self.each = words_of(said.each)
        self.becomes = said.becomes
        self.type = said.type
        self.names = {name for source in _sources(said) for name in own_names(source)} | {*manifest.known}
        if said.locations:
            self.names.add(said.locations.partition(".")[0])
        self.required = [(path, getter_of(path)) for path in manifest.required]
        self._tool = manifest.tool
        self._kind = said.kind or manifest.kind
        self._skips = [_skip_of(one) for one in said.skip]
        self._severities = {
            **values.SEVERITIES,
            **{word: str(one) for word, one in manifest.severities.items()},
        }
        self._at = _rows(manifest, said.fields, _AT, "at.")
        self._evidence = _rows(manifest, said.fields, _EVIDENCE, "evidence.")
        self._properties = _rows(manifest, said.fields, _PROPERTIES, "")
        self._numbered = said.numbered
        self._detector = _optional(said.fields.get("detector"))
        self._severity = _optional(said.fields.get("severity"))
        self._severity_score = _optional(said.fields.get("severity.score"))
        self._by = _optional(said.fields.get("tool"))
        self._by_version = _optional(said.fields.get("tool_version"))
        self._origin = _optional(said.fields.get("origin"))
        self._score = _optional(said.fields.get("cvss.score"))
        self._vector = _optional(said.fields.get("cvss.vector"))
        self._locations = getter_of(said.locations) if said.locations else None
        self._facts = [(name, getter_of(source)) for name, source in said.facts.items()]

    def tell(self, record: dict[str, Any], parents: Parents, names: Names) -> Told:
        """What a record comes to."""
        for skip in self._skips:
            why = skip(record, parents, names)
            if why is not None:
                return Told(skipped=why)
        places = self._places(record, parents, names)
        if not places:
            return Told(skipped=NO_PLACE)
        if self.becomes == "resource":
            at = places[0]
            facts = {
                name: found for name, get in self._facts if (found := get(record, parents, names)) is not None
            }
            return Told(resource=what_at(at), type=self.type, at=convert(at, Location), facts=facts)
        return Told(finding=self._finding(record, parents, names, places))

    def _places(self, record: dict[str, Any], parents: Parents, names: Names) -> list[dict[str, Any]]:
        if self._locations is None:
            each = [_filled(self._at, record, parents, names)]
        else:
            found = self._locations(record, parents, names)
            inner = (*parents, record)
            many = found[:LISTED_MAX] if isinstance(found, list) else [found]
            each = [_filled(self._at, one, inner, names) for one in many if isinstance(one, dict)]
        if self._numbered:
            each = [_line_alone(at) for at in each]
        if self._origin is not None:
            origin = values.origin(self._origin(record, parents, names))
            each = [_absolute(at, origin) for at in each]
        return [_apart(at) for at in each if at and _is_place(at)]

    def _finding(
        self, record: dict[str, Any], parents: Parents, names: Names, places: list[dict[str, Any]]
    ) -> dict[str, Any]:
        found = _filled(self._properties, record, parents, names)
        own = values.name(self._detector(record, parents, names)) if self._detector else None
        by = values.name(self._by(record, parents, names)) if self._by else None
        detector = values.detector(by or self._tool, own or found.get("title") or "")
        if by is not None:
            version = values.name(self._by_version(record, parents, names)) if self._by_version else None
            found["provenance"] = {"tool": by, **({"tool_version": version} if version else {})}
        severity, said = self._how_severe(record, parents, names)
        found["finding_schema_version"] = SCHEMA_VERSION
        found["detector_id"] = detector
        found.setdefault("title", own or self._tool)
        found["severity"] = severity
        if said is not None:
            found["original_severity"] = said
        found.setdefault("resource", what_at(places[0]))
        found["locations"] = places
        evidence = _filled(self._evidence, record, parents, names)
        if evidence:
            found["evidence"] = evidence
        score = values.score(self._score(record, parents, names)) if self._score else None
        vector = values.vector(self._vector(record, parents, names)) if self._vector else None
        if score is None and vector is not None:
            score = values.score_of(vector)
        if score is not None:
            cvss: dict[str, Any] = {"score": score}
            found["cvss"] = cvss
            if said is None:
                found["severity"] = values.severity_of(score)
            if vector is not None:
                cvss["vector"], cvss["version"] = vector, values.vector_version(vector)
        at = places[0]
        # What has an address and no file is told apart by the address, whatever its tool mostly looks at.
        is_web = self._kind in _OF_FILES and "url" in at and "path" not in at
        found["fingerprint"] = (Kind.WEB if is_web else self._kind, detector, at)
        return found

    def _how_severe(self, record: dict[str, Any], parents: Parents, names: Names) -> tuple[str, str | None]:
        """The severity, and what the tool said of it: a score before a word."""
        if self._severity_score is not None:
            said = self._severity_score(record, parents, names)
            score = values.score(said)
            if score is not None:
                return values.severity_of(score), values.name(said)
        word = values.name(self._severity(record, parents, names)) if self._severity is not None else None
        return ("unknown" if word is None else self._severities.get(word.lower(), "unknown")), word


def _require(manifest: Manifest, said: Records, number: int) -> None:
    """`InputError` `TOOL_MANIFEST_INVALID` with the place of the first thing that can't be."""
    at = ("records", number)
    known = [
        *(*_PROPERTIES, *_OTHERS),
        *(f"at.{name}" for name in _AT),
        *(f"evidence.{name}" for name in _EVIDENCE),
    ]
    for name in said.fields:
        if name not in known:
            hint = did_you_mean(name, known, otherwise=f"fields are {', '.join(sorted(known))}")
            raise fault(f"`{name}` is not a field of a finding", *at, "fields", name, hint=hint)
    for place, one in enumerate(said.skip):
        if bool(one.equals) == bool(one.unless):
            raise fault("a `skip` must say either `equals` or `unless`", *at, "skip", place)
    sources: dict[tuple[str | int, ...], str] = {
        **{(*at, "fields", name): source for name, source in said.fields.items()},
        **{(*at, "facts", name): source for name, source in said.facts.items()},
        **{(*at, "skip", place, "where"): one.where for place, one in enumerate(said.skip)},
        **({(*at, "locations"): said.locations} if said.locations else {}),
        **{("required", place): path for place, path in enumerate(manifest.required)},
    }
    if manifest.failed is not None:
        sources[("failed", "where")] = manifest.failed.where
        sources[("failed", "message")] = manifest.failed.message
    for keys, source in sources.items():
        try:
            getter_of(source)
        except InputError as error:
            raise fault(error.message, *keys, hint=error.hint) from None


def _sources(said: Records) -> list[str]:
    found = [
        *said.facts.values(),
        *(one.where for one in said.skip),
    ]
    # Of a record that lists its places, these fields are of each place.
    return found + [
        source for name, source in said.fields.items() if not (said.locations and name.startswith("at."))
    ]


def _rows(
    manifest: Manifest, fields: Mapping[str, str], forms: Mapping[str, values.Form], before: str
) -> list[Row]:
    return [
        (name, getter_of(fields[before + name], manifest.nothing), form)
        for name, form in forms.items()
        if before + name in fields
    ]


def _filled(rows: list[Row], record: Any, parents: Parents, names: Names) -> dict[str, Any]:
    found = {}
    for name, get, form in rows:
        said = get(record, parents, names)
        if said is not None:
            value = form(said)
            if value is not None:
                found[name] = value
    return found


def _line_alone(at: dict[str, Any]) -> dict[str, Any]:
    """What stands at the line itself: what stands around it is another text as soon as a line comes in above."""
    return {**at, "snippet": values.line_of(at["snippet"], at.get("line"))} if "snippet" in at else at


def _absolute(at: dict[str, Any], origin: str | None) -> dict[str, Any]:
    """A path of a site as a URL: without its host, two sites would be one."""
    url = at.get("url")
    if origin is None or url is None or not url.startswith("/") or url.startswith("//"):
        return at
    port = f":{at['port']}" if "port" in at and not place_of(origin).port else ""
    return {**at, "url": f"{origin}{port}{url}"}


def _apart(at: dict[str, Any]) -> dict[str, Any]:
    """The version out of a package URL: the package is the same in its next one."""
    package = at.get("package", "")
    if not package.startswith("pkg:"):
        return at
    bare, _, version = package.partition("?")[0].partition("#")[0].rpartition("@")
    return (
        {**at, "package": bare, "version": at.get("version") or version}
        if bare and version and "/" not in version
        else at
    )


def _is_place(at: Mapping[str, Any]) -> bool:
    return any(name in at for name in ("url", "host", "path", "package", "name"))


def what_at(at: Mapping[str, Any]) -> str:
    """What a finding is about where its tool does not say: the URL without its query, the service, the file, the package."""
    if "url" in at:
        return _address(at["url"])
    if "host" in at:
        place = place_of(at["host"]).host
        return f"{place}:{at['port']}" if "port" in at else place
    if "path" in at:
        return str(at["path"])
    if "package" in at:
        return f"{at['package']}@{at['version']}" if "version" in at else str(at["package"])
    return str(at["name"])


def _address(url: str) -> str:
    place = place_of(url)
    return f"{place.origin}{place.path}" or url


def _optional(source: str | None) -> Getter | None:
    return getter_of(source) if source is not None else None


def _skip_of(said: Skip) -> Callable[[Any, Parents, Names], str | None]:
    get, why, equals, unless = getter_of(said.where), said.because, said.equals, said.unless

    def skip(record: Any, parents: Parents, names: Names) -> str | None:
        found = get(record, parents, names)
        is_skipped = (
            any(is_same(found, one) for one in equals)
            if equals
            else not any(is_same(found, one) for one in unless)
        )
        return why if is_skipped else None

    return skip


def is_same(found: Any, said: Any) -> bool:
    # "" in a manifest also means that nothing is said.
    return (type(found) is type(said) and found == said) or (said == "" and found is None)


def words_of(path: str) -> tuple[str, ...]:
    return tuple(path.split(".")) if path else ()


def identity(fingerprint: tuple[Kind, str, Mapping[str, Any]]) -> dict[str, Any]:
    """A finding's fingerprint, of what `Told.finding` names."""
    kind, detector, at = fingerprint
    found = fingerprint_of(kind, detector, Location(**at))
    return {"recipe": found.recipe, "value": found.value}
