"""Results of SARIF 2.1.0, made whole: each with its rule, level, message and places, which may stand elsewhere in its run.

Runs are read first (rules often stand behind the results), without their results; then each result is told by the manifest
`sarif.toml` like any other record. Section numbers are those of the standard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from assent.findings.finding import LISTED_MAX
from assent.findings.parsing._json import (
    ENDED,
    RECORD_BYTES_MAX,
    VALUES_MAX,
    BrokenError,
    Cut,
    Cutter,
    Ended,
    Read,
    decoded,
    ended,
    values_in,
)

Object: TypeAlias = dict[str, Any]  # `Any`: JSON

_ABOUT_A_RUN: Final = ("runs", "*", "tool|artifacts|invocations|taxonomies")
_PLACEHOLDER: Final = re.compile(r"\{(\d{1,3})\}")
_NOT_IN_TOOL: Final = re.compile(r"[^a-z0-9_]+")
_NAMES: Final = {"semgrep-oss": "semgrep", "semgrep-pro": "semgrep"}
"""What tools call themselves in SARIF alone."""
_IDENT_CHARACTERS_MAX: Final = 256
_TAGS_MAX: Final = 200
_MESSAGE_CHARACTERS_MAX: Final = 10_000
_ARGUMENT_CHARACTERS_MAX: Final = 1_000
_TOO_MUCH: Final = (
    f"what its runs say beside their results is more than {RECORD_BYTES_MAX} bytes or {VALUES_MAX} values; "
    "from here on it was not read"
)
_ESCAPED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_ADDRESS: Final = ("http://", "https://")


class Run:
    """What a run says of itself: the tool, its rules, its files.

    `LookupError` where the file ends in the run before what a result needs of it.
    """

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}

    def end(self, cut: Cut) -> None:
        """The file ends in this run. Of its tool what stands whole is kept, for its rules may be in order."""
        self.said = Ended(self.said)
        if cut.names[1:] == ("tool",):
            with suppress(BrokenError):
                self.said["tool"] = ended(cut.value or b"")

    @cached_property
    def about(self) -> Object:
        """The tool: a name that can begin a detector's, and its version."""
        driver = self._components[0]
        name = _NOT_IN_TOOL.sub("-", str(driver.get("name", "")).lower()).strip("-_")
        return {
            "name": _NAMES.get(name, name) or None,
            "version": dict.get(driver, "semanticVersion") or dict.get(driver, "version"),
        }

    @cached_property
    def _components(self) -> list[Object]:
        """What has rules: the tool's driver, and then its extensions."""
        tool = _object(self.said.get("tool"))
        return [_object(tool.get("driver")), *map(_object, _list(dict.get(tool, "extensions")))]

    def _require_tool(self) -> None:
        """`LookupError`: what was looked for in the tool is not there, and the file ends in the tool."""
        is_ended = isinstance(self.said.get("tool"), Ended)
        if is_ended:
            raise LookupError("what it stands in ends before its `rule`")

    @cached_property
    def _rules(self) -> list[dict[str, Object]]:
        """The rules of each component, by their ids."""
        return [
            {
                rule["id"]: rule
                for rule in map(_object, _list(dict.get(one, "rules")))
                if not isinstance(rule, Ended) and isinstance(rule.get("id"), str)
            }
            for one in self._components
        ]

    def rule_of(self, result: Object) -> Object:
        """The rule that a result names: by component, index or id; `A/1` is of the rule `A` where it has none (3.52.4)."""
        named = _object(result.get("rule"))
        ident = named.get("id", result.get("ruleId"))
        own = self._number_of(_object(named.get("toolComponent")))
        index = named.get("index", result.get("ruleIndex"))
        rules = _list(dict.get(self._components[own], "rules"))
        if type(index) is int and 0 <= index < len(rules) and not isinstance(rules[index], Ended):
            rule = _object(rules[index])
            if not isinstance(ident, str) or rule.get("id") in _and_above(ident):
                return rule
        for wanted in _and_above(ident) if isinstance(ident, str) else ():
            for known in (self._rules[own], *self._rules):
                if wanted in known:
                    return known[wanted]
                self._require_tool()
        if type(index) is int:
            self._require_tool()
        return {}

    @cached_property
    def _numbers(self) -> dict[tuple[str, str], int]:
        """The components by what they are named by."""
        return {
            (key, one[key]): number
            for number, one in reversed([*enumerate(self._components)])
            for key in ("guid", "name")
            if isinstance(dict.get(one, key), str)
        }

    def _number_of(self, component: Object) -> int:
        """The component that a reference names: by its index, or else by its GUID or name (3.54); the driver without one."""
        index = component.get("index")
        if type(index) is int and 0 <= index < len(self._components) - 1:
            return index + 1
        for key in ("guid", "name"):
            named = component.get(key)
            if isinstance(named, str) and (key, named) in self._numbers:
                return self._numbers[key, named]
        if component:
            self._require_tool()
        return 0

    def _listed(self, name: str, index: object) -> Object:
        """What a list of the run has at a place."""
        found = _list(self.said.get(name)) if type(index) is int else []
        return _object(found[index]) if type(index) is int and 0 <= index < len(found) else {}

    @cached_property
    def _overrides(self) -> dict[str, str]:
        """The levels that the run was told to give to rules, by their ids."""
        found: dict[str, str] = {}
        # Hardly a tool writes these: where the file ends before them, results are read without.
        for invocation in map(_object, _list(dict.get(self.said, "invocations"))):
            for one in map(_object, _list(invocation.get("ruleConfigurationOverrides"))):
                ident = _object(one.get("descriptor")).get("id")
                level = _object(one.get("configuration")).get("level")
                if isinstance(ident, str) and isinstance(level, str):
                    found.setdefault(ident, level)
        return found

    def level_of(self, result: Object, rule: Object) -> str:
        """A result's own level, or the one that it has by its kind, its rule or the standard (3.27.10)."""
        own = result.get("level")
        if isinstance(own, str):
            return own
        if result.get("kind", "fail") != "fail":
            return "none"
        ident = rule.get("id")
        if isinstance(ident, str) and ident in self._overrides:
            return self._overrides[ident]
        level = _object(rule.get("defaultConfiguration")).get("level")
        return level if isinstance(level, str) else "warning"

    def places_of(self, result: Object) -> list[Object]:
        """Where it is; of what names no place, the tool itself is the place."""
        found = [
            place for one in _few(result.get("locations")) if (place := self._place(_object(one))) is not None
        ]
        target = self._file(_object(result.get("analysisTarget")))
        return found or [target or {"name": self.about["name"] or "sarif"}]

    def _place(self, location: Object) -> Object | None:
        physical = _object(location.get("physicalLocation"))
        region = _object(physical.get("region"))
        place = self._file(_object(physical.get("artifactLocation")))
        logical = next(map(_object, _list(location.get("logicalLocations"))), {})
        name = logical.get("fullyQualifiedName") or logical.get("name")
        if not place and not name:
            return None
        return {
            **place,
            "name": name,
            "line": region.get("startLine"),
            "end_line": region.get("endLine"),
            "column": region.get("startColumn"),
            "snippet": _object(region.get("snippet")).get("text"),
        }

    def _file(self, artifact: Object) -> Object:
        """The file as the run names it: what a base (`uriBaseId`) stands for is another on each machine, and no part of it."""
        uri = artifact.get("uri")
        if not isinstance(uri, str):
            uri = _object(self._listed("artifacts", artifact.get("index")).get("location")).get("uri")
        if not isinstance(uri, str) or not uri:
            return {}
        return (
            {"url": uri}
            if uri.lower().startswith(_ADDRESS)
            else {"path": _unescaped(uri.removeprefix("file://"))}
        )

    def weaknesses_of(self, result: Object, rule: Object) -> list[str]:
        """What a result and its rule name of the CWE: as taxa, as relationships, as tags."""
        found = [tag for tag in tags_of(result, rule) if "cwe" in tag.lower()]
        related = [_object(one).get("target") for one in _few(rule.get("relationships"))]
        for taxon in map(_object, [*_few(result.get("taxa")), *related]):
            component = _object(taxon.get("toolComponent"))
            ident = str(taxon.get("id", ""))
            name = component.get("name")
            if name is None:
                name = self._listed("taxonomies", component.get("index")).get("name")
            if "cwe" in f"{name} {ident}".lower():
                found.append(ident if "cwe" in ident.lower() else f"CWE-{ident}")
        return found


def tags_of(result: Object, rule: Object) -> list[str]:
    """The first tags of a result and of its rule; a rule's are gone through for each result."""
    found = [
        tag
        for one in (result, rule)
        for tag in _list(_object(one.get("properties")).get("tags"))[:_TAGS_MAX]
        if isinstance(tag, str)
    ]
    return found[:_TAGS_MAX]


class Runs(NamedTuple):
    """What the runs of a file say beside their results, by document and place, and the first of it that was not read."""

    found: Mapping[tuple[int, str | int], Run] = MappingProxyType({})
    fault: Cut | None = None


def read_runs(read: Read) -> Runs:
    """What the runs of a file say; all of them together no more than one record may hold."""
    found: dict[tuple[int, str | int], Run] = {}
    fault: Cut | None = None
    size = values = 0
    for cut in Cutter(read, _ABOUT_A_RUN, decodes=False):
        if cut.is_last:
            if cut.names and cut.fault == ENDED:
                found.setdefault((cut.document, cut.names[0]), Run()).end(cut)
            return Runs(found, fault or cut._replace(value=None))
        if not cut.names:
            # It stands before the first document: who reads the results tells it.
            continue
        size += cut.end - cut.begin
        values += values_in(cut.value or b"")
        if size > RECORD_BYTES_MAX or values > VALUES_MAX:
            return Runs(found, cut._replace(value=None, fault=_TOO_MUCH))
        try:
            run = found.setdefault((cut.document, cut.names[0]), Run())
            run.said[str(cut.names[1])] = decoded(cut.value or b"")
        except BrokenError as error:
            fault = fault or cut._replace(value=None, fault=str(error))
    return Runs(found, fault)


def whole(result: Object, run: Run) -> Object:
    """A result with all that its run says of it."""
    rule = run.rule_of(result)
    own = _object(_object(result.get("properties")).get("assent")).get("severity")
    suppressions = [_object(one).get("status", "accepted") for one in _list(result.get("suppressions"))]
    return {
        **result,
        "ruleId": result.get("ruleId") or _object(result.get("rule")).get("id") or rule.get("id"),
        "rule": rule,
        # Our own reports say the severity itself, which neither level nor score can: `unknown` has none.
        "level": own if isinstance(own, str) else run.level_of(result, rule),
        "score": None if isinstance(own, str) else _score_of(result, rule),
        "said": _message(_object(result.get("message")), rule),
        "places": run.places_of(result),
        "tags": tags_of(result, rule),
        "weaknesses": run.weaknesses_of(result, rule),
        # 3.27.23: one that is under review or was rejected leaves the result as it is.
        "suppressed": bool(suppressions) and all(status == "accepted" for status in suppressions),
    }


def _score_of(result: Object, rule: Object) -> object:
    """`security-severity`, a result's own or its rule's."""
    name = "security-severity"
    own = _object(result.get("properties")).get(name)
    return own if own is not None else _object(rule.get("properties")).get(name)


def _message(message: Object, rule: Object) -> str | None:
    """A message's text, its own or by its id from the rule, with its arguments (3.11)."""
    ident = message.get("id")
    named = _object(_object(rule.get("messageStrings")).get(ident)) if isinstance(ident, str) else {}
    text = message.get("text") or named.get("text") or message.get("markdown")
    if not isinstance(text, str):
        return None
    arguments = _list(message.get("arguments"))

    def argument(found: re.Match[str]) -> str:
        number = int(found[1])
        return str(arguments[number])[:_ARGUMENT_CHARACTERS_MAX] if number < len(arguments) else found[0]

    return _PLACEHOLDER.sub(argument, text[:_MESSAGE_CHARACTERS_MAX])


def _unescaped(uri: str) -> str:
    data = uri.encode("utf-8", "surrogatepass")
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), data).decode("utf-8", "replace")


def _and_above(ident: str) -> list[str]:
    """`A/1`, then `A`."""
    parts = ident[:_IDENT_CHARACTERS_MAX].split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _object(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _few(value: object) -> list[Any]:
    """Of a list that is gone through for each result, no more than a finding can hold."""
    return _list(value)[:LISTED_MAX]
