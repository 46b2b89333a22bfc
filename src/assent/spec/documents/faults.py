"""What a validator found, in our own words, one entry per fault: `path`, `expected`, `actual`, `message`, perhaps a `hint`.

| key        | what it is                                                                                           |
|------------|------------------------------------------------------------------------------------------------------|
| `path`     | names and indexes from the whole to the place: `["lines", 3, "qty"]`; empty for the whole             |
| `expected` | what would have fitted: `a whole number`                                                             |
| `actual`   | what was there: a short value in backticks, a kind (`a list`), `nothing`, or `***` for a secret        |
| `message`  | one sentence that begins with the place: `` `lines[3].qty` must be a whole number, not `many` ``       |

pydantic's findings and those of jsonschema-rs come out alike. Of a union the nearest branch is explained: one whose faults lie
inside the value rather than at its kind, of these the one with the fewest, then the deepest. Where each fails at the kind,
one sentence names all kinds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from assent.errors import InputError, Json
from assent.spec.documents._fault_places import Branch, FaultPlaces, Place, Steps
from assent.spec.documents.document import dotted
from assent.spec.masking import MASK, hides, hides_at, names_secret, parts_at
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    import jsonschema_rs
    from pydantic import ValidationError

Fault = dict[str, Json]

_Place: TypeAlias = tuple[Place, str | None, str, bool, bool]
"""What is the same of every fault of one kind in one place: its path, what was expected (None when its kind alone does not say),
the beginning of its sentence, whether the value is a secret, and whether text there is easily taken for what was expected."""

SHOWN_MAX: Final = 60
"""Characters of a refused value that a message shows."""

PLACES_REMEMBERED_MAX: Final = 512
"""Kinds of faults in places of one type that are remembered. The same few are wrong again and again."""

REMEMBERED_CHARACTERS_MAX: Final = 128
"""Longer names of places are made anew each time."""

FAULTS_MAX: Final = 100
"""Faults that are told of one value; a value with more is another kind of thing altogether."""

EXPECTED: Final = "assent_expected"
"""The kind of a pydantic fault that brings its own `expected`: what `assent.spec.types` raise, and what your own types may."""

# What a value must be, by pydantic's name of the fault. The names are part of pydantic's documented interface.
_MUST_BE: Final[Mapping[str, str]] = {
    name: words
    for words, names in {
        "{expected}": f"{EXPECTED} literal_error enum",
        "text": "string_type",
        "bytes": "bytes_type",
        "a whole number": "int_type int_from_float int_parsing",
        "a whole number that a computer can hold": "int_parsing_size",
        "a number": "float_type float_parsing",
        "a finite number": "finite_number",
        "true or false": "bool_type bool_parsing",
        "a list": "list_type tuple_type set_type frozen_set_type",
        "an object": "dict_type mapping_type model_type model_attributes_type dataclass_type",
        "null": "none_required",
        "more than {gt}": "greater_than",
        "at least {ge}": "greater_than_equal",
        "less than {lt}": "less_than",
        "at most {le}": "less_than_equal",
        "a multiple of {multiple_of}": "multiple_of",
        "one of {expected_tags}": "union_tag_invalid",
    }.items()
    for name in names.split()
}
_NOT_TEXT: Final = ("a whole number", "a number", "true or false", "null")
_OF_A_KIND: Final = (*_NOT_TEXT, "text", "a finite number", "a list", "an object", "bytes")
_reads_as_number: Final = re.compile("[-+]?[0-9.]{1,30}").fullmatch
_NUMBER_BEGINS: Final = frozenset("+-.0123456789")
_WORDS: Final = frozenset({"true", "false", "null"})
_OTHERS_BEGIN: Final = _NUMBER_BEGINS | frozenset("tfnTFN")
# `must be a whole number, not `2`` explains nothing: such text is called text.

_MUST_HAVE: Final[Mapping[str, str]] = {
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
}
_OF_LISTS: Final = ("too_short", "too_long")
_IS_MISSING: Final = "is missing"
_MISSING: Final = frozenset(
    {"missing", "missing_argument", "missing_keyword_only_argument", "union_tag_not_found"}
)
_EXTRA: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})

TYPE_WORDS: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
"""The same kinds as JSON Schema names them."""
_SCHEMA_MUST_BE: Final[Mapping[str, tuple[str, str]]] = {
    "minimum": ("limit", "at least {}"),
    "maximum": ("limit", "at most {}"),
    "exclusiveMinimum": ("limit", "more than {}"),
    "exclusiveMaximum": ("limit", "less than {}"),
    "multipleOf": ("multiple_of", "a multiple of {}"),
    "format": ("format", "written as `{}`"),
}
_SCHEMA_MUST_HAVE: Final[Mapping[str, tuple[str, str]]] = {
    "minLength": ("limit", "at least {} characters"),
    "maxLength": ("limit", "at most {} characters"),
    "minItems": ("limit", "at least {} entries"),
    "maxItems": ("limit", "at most {} entries"),
    "minProperties": ("limit", "at least {} entries"),
    "maxProperties": ("limit", "at most {} entries"),
}
_SCHEMA_SAYS: Final[Mapping[str, str]] = {
    "uniqueItems": "a list without repetition",
    "contains": "a list with an entry of the kind that the schema asks for",
    "not": "something that the schema does not exclude",
    "falseSchema": "nothing",
    "oneOf": "a value that fits one branch only",
    "propertyNames": "an object with other names",
}


@dataclass(slots=True)  # not frozen: that would cost as much as the rest of a fault
class _Finding:
    """A fault before it is told. `words` are the sentence behind the place; `ends`: the value that was there ends it.

    `foreign` names the check that the words come from, when they are not ours. `is_whole` stands in for a union's findings.
    """

    steps: Steps
    expected: str
    words: str
    value: object = None
    ends: bool = True
    is_extra: bool = False
    foreign: str | None = None
    is_whole: bool = False


class Telling:
    """How the faults of one type are told: its schema knows the names that were meant and which values are secrets.

    Without `shows_values` only kinds are told: the error is kept in the ledger, where an erased payload must not live on.
    """

    def __init__(
        self, schema: Mapping[str, Json], *, shows_values: bool, places: FaultPlaces | None = None
    ) -> None:
        self._schema = schema
        self._shows_values = shows_values
        self._places = places if places is not None and places.has_branches else None
        self._hides = hides(schema)
        self._known: dict[tuple[str, Place], _Place] = {}

    def of_model(self, error: ValidationError) -> list[Fault]:
        """Every finding of pydantic."""
        places = self._places
        found = error.errors(include_url=False)
        if places is not None:
            findings = [_of_pydantic(one["type"], places.steps(one["loc"]), one) for one in found]
            return [self._tell(one, _plain(one.steps)) for one in _nearest(findings)[:FAULTS_MAX]]
        told: list[Fault] = []
        known, shows_values = self._known, self._shows_values
        for one in found if len(found) <= FAULTS_MAX else found[:FAULTS_MAX]:
            kind, location, value = one["type"], one["loc"], one["input"]
            place = known.get((kind, location)) or self._place(kind, location)
            path, expected, beginning, is_secret, is_confusable = place
            if expected is None:
                told.append(self._tell(_of_pydantic(kind, path, one), path))
                continue
            # By far the most frequent kinds, told without a detour: refusing must not cost much more than accepting.
            if is_secret:
                actual = MASK
            elif type(value) is str and shows_values:
                short = value[:SHOWN_MAX]
                is_other = is_confusable and value[:1] in _OTHERS_BEGIN and _reads_as_other(short)
                actual = f"the text `{short}`" if is_other else f"`{short}`"
            elif type(value) is int and shows_values:
                actual = f"`{value}`"
            else:
                actual = kind_of(value, shows_values=shows_values)
            message = f"{beginning}{actual}"
            told.append({"path": [*path], "expected": expected, "actual": actual, "message": message})
        return told

    def _place(self, kind: str, location: Place) -> _Place:
        path = tuple([part for part in location if part != "[key]"])
        text = dotted(path)
        expected = _MUST_BE.get(kind, "{")
        if "{" in expected:
            found: _Place = (path, None, "", False, False)  # told with what it says beside its name
        else:
            beginning = f"{f'`{text}`' if text else 'the value'} must be {expected}, not "
            found = (path, expected, beginning, self._is_secret(path), expected.startswith(_NOT_TEXT))
        # Keys of the caller's own choice are part of it: neither their number nor their length may fill the memory.
        if len(self._known) < PLACES_REMEMBERED_MAX and len(text) <= REMEMBERED_CHARACTERS_MAX:
            self._known[kind, location] = found
        return found

    def of_schema(self, errors: Iterable[jsonschema_rs.ValidationError]) -> list[Fault]:
        """Every finding of JSON Schema."""
        return [self._tell(one, _plain(one.steps)) for one in _of_schema(errors)[:FAULTS_MAX]]

    def finite(self, value: object) -> list[Fault]:
        """The numbers in `value` that JSON does not have. The encoder would write them as null without a word."""
        return [self._tell(one, _plain(one.steps)) for one in _not_finite(value, ())[:FAULTS_MAX]]

    def _tell(self, finding: _Finding, path: Place) -> Fault:
        place, words, expected = dotted(path), finding.words, finding.expected
        is_secret = self._is_secret(path)
        if words == _IS_MISSING:
            actual = "nothing"
        elif is_secret:
            actual = MASK
        elif self._shows_values and isinstance(finding.value, str):
            actual = _shown(finding.value, expected)
        else:
            actual = kind_of(finding.value, shows_values=self._shows_values)
        if finding.foreign is not None:
            # A check of the author's own may quote the value, or a secret inside of it.
            holds_secret = self._hides and not isinstance(finding.value, str | int | float | None)
            if is_secret or holds_secret or not self._shows_values:
                words = expected = f"breaks `{finding.foreign}`"
            message = f"`{place}`: {words}" if place else words
        else:
            subject = f"`{place}`" if place else "the value"
            # `must be at most 50, not a number` explains nothing.
            ends = finding.ends and (actual not in ("a number", "text") or expected.startswith(_OF_A_KIND))
            message = f"{subject} {words}, not {actual}" if ends else f"{subject} {words}"
        fault: Fault = {"path": [*path], "expected": expected, "actual": actual, "message": message}
        if finding.is_extra and (hint := self._meant(path)):
            fault["hint"] = hint
        return fault

    def _is_secret(self, path: Place) -> bool:
        for part in path:
            if type(part) is str and names_secret(part):
                return True
        return self._hides and hides_at(self._schema, path)

    def _meant(self, path: Place) -> str | None:
        parts = parts_at(self._schema, path[:-1])
        every = [part.get("properties") for part in parts]
        known = [*dict.fromkeys(name for one in every if isinstance(one, Mapping) for name in one)]
        listed = ", ".join(f"`{name}`" for name in known)
        return did_you_mean(str(path[-1]), known, otherwise=f"there are: {listed}" if listed else None)


def plain_fault(message: str) -> Fault:
    """A fault of the whole, in a sentence of somebody else's."""
    return {"path": [], "expected": "JSON", "actual": "something else", "message": message}


def invalid(code: str, what: str, faults: Sequence[Fault]) -> InputError:
    """One error for all faults: the first in the sentence, every one in `details`."""
    first, others = faults[0], len(faults) - 1
    hint = first.get("hint")
    path = first["path"]
    more = f" (and {others} more)" if others else ""
    return InputError(
        code,
        f"{what} not valid: {first['message']}{more}",
        path=(dotted(path) or None) if isinstance(path, list) else None,  # type: ignore[arg-type]  # names and indexes
        hint=str(hint) if hint else None,
        details={"faults": [*faults]},
    )


def kind_of(value: object, *, shows_values: bool) -> str:
    """A value for a message: short, in backticks, or only its kind."""
    kind = type(value)
    if kind is int or kind is float:
        return f"`{value}`" if shows_values else "a number"
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"`{value[:SHOWN_MAX]}`" if shows_values else "text"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`" if shows_values else "true or false"
    if isinstance(value, int | float):
        return f"`{value}`" if shows_values else "a number"
    if isinstance(value, bytes):
        return "bytes"
    return "a list" if isinstance(value, list | tuple | set | frozenset) else "an object"


def _shown(value: str, expected: str) -> str:
    short = value[:SHOWN_MAX]
    return (
        f"the text `{short}`" if expected.startswith(_NOT_TEXT) and _reads_as_other(short) else f"`{short}`"
    )


def _reads_as_other(text: str) -> bool:
    # The look at its beginning spares most texts the search.
    return text.lower() in _WORDS or (text[:1] in _NUMBER_BEGINS and _reads_as_number(text) is not None)


def _not_finite(value: object, path: Place) -> list[_Finding]:
    if isinstance(value, float):
        expected = "a finite number"
        return [] if math.isfinite(value) else [_Finding(path, expected, f"must be {expected}", value)]
    if isinstance(value, Mapping):
        return [fault for key, part in value.items() for fault in _not_finite(part, (*path, str(key)))]
    if isinstance(value, list | tuple):
        return [fault for index, part in enumerate(value) for fault in _not_finite(part, (*path, index))]
    return []


def _of_pydantic(kind: str, steps: Steps, one: Any) -> _Finding:  # `Any`: pydantic's ErrorDetails
    context, value = one.get("ctx") or {}, one["input"]
    if kind in _MUST_BE:
        expected = _MUST_BE[kind].format_map(context)
        return _Finding(steps, expected, f"must be {expected}", value)
    if kind in _MISSING:
        if kind == "union_tag_not_found":
            steps = (*steps, str(context["discriminator"]).strip("'"))
        return _Finding(steps, "a value", _IS_MISSING, ends=False)
    if kind in _EXTRA:
        return _Finding(steps, "nothing", "is not a parameter", value, ends=False, is_extra=True)
    if kind in _MUST_HAVE:
        # Of a text with a type of its own pydantic says what it says of lists.
        is_text = isinstance(value, str) and kind in _OF_LISTS
        expected = _MUST_HAVE[f"string_{kind}" if is_text else kind].format_map(context)
        words = "must not be empty" if context.get("min_length") == 1 else f"must have {expected}"
        return _Finding(steps, expected, words, value, ends=False)
    if kind == "string_pattern_mismatch":
        return _matching(steps, context["pattern"], value)
    message = str(one["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    first = message.partition("\n")[0]
    words = f"{first[:1].lower()}{first[1:]}"
    return _Finding(steps, words, words, value, foreign=kind)


_PATTERNS: Final[Mapping[str, str]] = {
    "^/": "an absolute path, from `/` on",
    r"^[0-9a-f]{64}$": "a SHA-256 in 64 lower-case hex digits",
    r"^[0-9a-f]{40}$": "a commit's id in 40 lower-case hex digits",
    r"^[0-9]{1,15}(?:\.[0-9]{1,3})? *(?:B|[kKMGT]i?B)$": "a size like `10 MiB`",
    r"^[0-9]{1,10}(?:\.[0-9]{1,3})? *(?:ms|s|m|h|d)$": "a duration like `30s` or `1.5h`",
    r"^[^\x00]*$": "text without a NUL character",
    r"^[^\x00]*\S[^\x00]*$": "text that is not blank, without a NUL character",
    r"^[^<>\n\x00]*[^<>\s\x00][^<>\n\x00]*$": "a person's name: a line that is not blank, without `<` and `>`",
    r"^[^<>\s\x00]+$": "an address without blanks, `<` and `>`",
    r"^https?://[^\s/?#@\\]+(?:[/?#]\S*)?$": "an http or https URL without a user name",
    r"^ak_[a-z2-7]{16}$": "a key's id as the list of keys shows it: `ak_` and 16 letters or digits",
    r"^[A-Za-z0-9-]{8,64}$": "a name of 8 to 64 letters, digits and `-`",
    r"^[A-Za-z0-9][A-Za-z0-9 ._/:@+-]*$": "a name of letters, digits, blanks and `. _ / : @ + -` that begins with a letter or "
    "digit",
    r"^[A-Za-z0-9][A-Za-z0-9._@+/-]{0,127}$": "a name of at most 128 letters, digits and `. _ @ + / -` that begins with a letter "
    "or digit",
    r"^[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*$": "words of letters, digits and `_` with a dot between them, like `order.paid`",
    r"^[a-z][a-z0-9_]{0,62}$": "a name of at most 63 lower-case letters, digits and `_`, which begins with a letter",
    r"^[a-z][a-z0-9_-]*$": "a name of lower-case letters, digits, `_` and `-`, which begins with a letter",
    r"^msg_[0-9a-f]{32}$": "a delivery's id: `msg_` and 32 hex digits",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$": "a name of at most 128 letters, digits and `. _ -` that begins with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,63}$": "a name of at most 64 lower-case letters, digits and `_ -` that begins with a letter or digit",
    r"^run_[0-9A-Za-z_]+$": "a whole run's id: `run_…`",
    "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$": "a UUID",
    r"^plan_[0-9a-z]+$": "a plan's id: `plan_…`",
}
"""Patterns of ours in words: who typed something else is told what is wanted, and not how a machine tells it."""


def pattern_words(pattern: str) -> str | None:
    """What a text is that a pattern of ours fits, behind `must be`; None for one of somebody else's."""
    return _PATTERNS.get(pattern)


def _matching(steps: Steps, pattern: object, value: object) -> _Finding:
    if (words := pattern_words(str(pattern))) is not None:
        return _Finding(steps, words, f"must be {words}", value)
    return _Finding(steps, f"text that matches `{pattern}`", f"must match `{pattern}`", value, ends=False)


def _plain(steps: Steps) -> Place:
    return tuple(step for step in steps if not isinstance(step, Branch))


def _nearest(found: list[_Finding]) -> list[_Finding]:
    """The same findings, of each union those of its nearest branch only."""
    told: list[_Finding] = []
    unions: dict[Steps, list[_Finding]] = {}
    for finding in found:
        at = next((index for index, step in enumerate(finding.steps) if isinstance(step, Branch)), None)
        if at is None:
            told.append(finding)
            continue
        prefix = finding.steps[:at]
        if prefix not in unions:
            unions[prefix] = []
            told.append(replace(finding, steps=prefix, is_whole=True))  # keeps the union's place in the order
        unions[prefix].append(finding)
    if not unions:
        return told
    return [
        one
        for finding in told
        for one in (_of_union(unions[finding.steps], len(finding.steps)) if finding.is_whole else [finding])
    ]


def _of_union(found: list[_Finding], depth: int) -> list[_Finding]:
    branches: dict[object, list[_Finding]] = {}
    for finding in found:
        steps = (*finding.steps[:depth], *finding.steps[depth + 1 :])
        branches.setdefault(finding.steps[depth], []).append(replace(finding, steps=steps))
    return _choose([_nearest(branch) for branch in branches.values()], depth)


def _choose(branches: list[list[_Finding]], depth: int) -> list[_Finding]:
    """The findings of the nearest branch; of branches that all fail at the value's kind, one finding that names every kind."""
    inside = [branch for branch in branches if all(len(one.steps) > depth for one in branch)]
    if inside:
        return min(inside, key=lambda branch: (len(branch), -max(len(one.steps) for one in branch)))
    kinds = [one for branch in branches for one in branch if len(one.steps) == depth]
    if len({one.expected for one in kinds}) == 1:
        return [kinds[0]]
    # That null is allowed as well helps nobody who gave something.
    named = dict.fromkeys(one.expected for one in kinds if one.expected != "null")
    expected = " or ".join(named)
    return [_Finding(kinds[0].steps, expected, f"must be {expected}", kinds[0].value)]


def _of_schema(errors: Iterable[jsonschema_rs.ValidationError]) -> list[_Finding]:
    return [finding for error in errors for finding in _of_keyword(error)]


def _of_keyword(error: jsonschema_rs.ValidationError) -> list[_Finding]:
    steps: Steps = tuple(error.instance_path)
    name, kind, value = error.kind.name, error.kind.as_dict(), error.instance
    if name == "required":
        return [_Finding((*steps, str(kind["property"])), "a value", _IS_MISSING, ends=False)]
    if name in {"additionalProperties", "unevaluatedProperties"}:
        return [_extra((*steps, str(extra)), value, extra) for extra in kind["unexpected"]]
    if name in {"anyOf", "oneOf"} and all(kind["context"]):
        return _choose([_of_schema(branch) for branch in kind["context"]], len(steps))
    if name == "pattern":
        return [_matching(steps, kind["pattern"], value)]
    if name in _SCHEMA_MUST_HAVE:
        key, words = _SCHEMA_MUST_HAVE[name]
        expected = words.format(kind[key])
        empty = name.startswith("min") and kind[key] == 1
        return [
            _Finding(
                steps, expected, "must not be empty" if empty else f"must have {expected}", value, ends=False
            )
        ]
    expected = _expected(name, kind)
    return [_Finding(steps, expected, f"must be {expected}", value)]


def _expected(name: str, kind: Mapping[str, Any]) -> str:  # `Any`: what a keyword carries depends on it
    if name == "type":
        # Null last: `text or null`.
        listed = sorted(kind["types"], key="null".__eq__)
        return " or ".join(TYPE_WORDS.get(one, one) for one in listed)
    if name == "enum":
        return _choices(kind["options"])
    if name == "const":
        return _choices([kind["expected_value"]])
    if name in _SCHEMA_MUST_BE:
        key, words = _SCHEMA_MUST_BE[name]
        return words.format(kind[key])
    return _SCHEMA_SAYS.get(name, f"what `{name}` of the schema asks for")


def _extra(steps: Steps, holder: object, name: object) -> _Finding:
    value = holder.get(name) if isinstance(holder, Mapping) else None
    return _Finding(steps, "nothing", "is not a parameter", value, ends=False, is_extra=True)


def _choices(options: Sequence[object]) -> str:
    shown = [f"'{one}'" if isinstance(one, str) else kind_of(one, shows_values=True) for one in options]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"
