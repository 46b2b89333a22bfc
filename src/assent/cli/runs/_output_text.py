"""What a step gave, in a few words for people. The whole of it is one command away (`assent show RUN --output STEP`).

An output is known by its fields and not by its capability, so that a plugin's capability that answers alike reads alike. What
has no words of its own is told field by field. None of this may fail: an output comes from anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assent.errors import Json
from assent.spec.values.json_fields import Object, compact, number, objects, text
from assent.spec.words.sizes import count_text, size_text

if TYPE_CHECKING:
    from assent.capabilities.area import Words

FIELD_WIDTH: Final = 32
FIELDS_MAX: Final = 6
FEW: Final = 2
"""So many plain values are told, of more only how many."""
ID_WIDTH: Final = 12
"""Characters of a digest or commit that are enough to recognise it by."""


def output_text(output: Json) -> str:
    """A line about an output, empty for none; the caller makes it safe to show."""
    return output_lines(output)[0]


def output_lines(output: Json) -> list[str]:
    """The same, with all that its area says of it: behind the first line of an output that is told so."""
    if output is None or output == {}:
        return [""]
    if isinstance(output, dict):
        from assent.runtime._areas import AREAS  # `assent run --help` needs none

        for words in (*(area.WORDS for area in AREAS.values()), _SHAPES):
            for needed, told in words.items():
                if needed <= output.keys():
                    return told(output).split("\n")
        return [_fields(output)]
    return [_value(output)]


def _fields(output: Object) -> str:
    if len(output) == 1 and not (output.keys() - _ALONE):
        return _value(next(iter(output.values())))
    told = [f"{name} {_value(value, FIELD_WIDTH)}" for name, value in output.items()]
    return ", ".join(told[:FIELDS_MAX]) + (", …" if len(told) > FIELDS_MAX else "")


_ALONE: Final = frozenset({"value", "result", "text", "content", "values"})
"""Names that say nothing about a single value."""


def _value(value: Json, width: int | None = None) -> str:
    match value:
        case dict():
            short = [f"{name}: {_value(one, FIELD_WIDTH)}" for name, one in value.items() if _is_plain(one)]
            return (
                ", ".join(short) if 0 < len(short) == len(value) <= FEW else count_text(len(value), "field")
            )
        case list():
            short = [_value(one, FIELD_WIDTH) for one in value if _is_plain(one)]
            return (
                ", ".join(short)
                if 0 < len(short) == len(value) <= FEW
                else count_text(len(value), "entry", "entries")
            )
        case str():
            return _said(value, width)
        case None:
            return "nothing" if width is None else "-"
        case _:
            return compact(value)


def _is_plain(value: Json) -> bool:
    return not isinstance(value, (dict, list))


def _said(value: str, width: int | None) -> str:
    """A short text as it is, a long one by its beginning and its length."""
    first, _, rest = value.rstrip("\n").partition("\n")
    if rest:
        return f"{_lines(value)}: {first}" if width is None else _lines(value)
    return first if width is None or len(first) <= width else f"{first[: width - 1]}…"


def _lines(value: str) -> str:
    return count_text(len(value.splitlines()), "line")


def _length(output: Object, key: str) -> int:
    value = output.get(key)
    return len(value) if isinstance(value, (list, dict, str)) else 0


def _size(output: Object, key: str = "size") -> str:
    return size_text(number(output, key) or 0)


def _more(output: Object) -> str:
    return ", and more" if output.get("truncated") else ""


def _file(output: Object) -> str:
    verb = "fetched" if "url" in output else "wrote"
    if output.get("changed") is False:
        return f"{text(output, 'path')} is as it was, {_size(output)}"
    return f"{verb} {_size(output)} to {text(output, 'path')}"


def _packed(output: Object) -> str:
    entries = count_text(number(output, "entries") or 0, "entry", "entries")
    return f"packed {entries} into {text(output, 'path')}, {_size(output)}"


def _unpacked(output: Object) -> str:
    files = count_text(number(output, "files") or 0, "file")
    return f"unpacked {files} into {text(output, 'path')}, {_size(output)}"


def _deleted(output: Object) -> str:
    entries = count_text(number(output, "entries") or 0, "entry", "entries")
    return f"deleted {text(output, 'path')}: {entries}, {_size(output)}"


def _made(output: Object) -> str:
    return f"made {text(output, 'path')}" if output.get("created") else f"{text(output, 'path')} was there"


def _exists(output: Object) -> str:
    kind = text(output, "kind", "something")
    return f"{text(output, 'path')} is a {kind}" if output.get("exists") else f"no {text(output, 'path')}"


def _patched(output: Object) -> str:
    files = objects(output, "files")
    added = sum(number(one, "added_lines") or 0 for one in files)
    removed = sum(number(one, "removed_lines") or 0 for one in files)
    gone = sum(text(one, "change") == "deleted" for one in files)
    deleted = f", {gone} deleted" if gone else ""
    return f"{count_text(len(files), 'file')}, +{added} -{removed}{deleted}"


def _searched(output: Object) -> str:
    hits = count_text(_length(output, "hits"), "line")
    return f"{hits} found in {count_text(number(output, 'files') or 0, 'file')}{_more(output)}"


def _validated(output: Object) -> str:
    if output.get("valid"):
        return "valid"
    faults = objects(output, "faults")
    first = text(faults[0], "message") if faults else ""
    return f"{count_text(len(faults), 'fault')}: {first}"


_SHAPES: Final[Words] = {
    frozenset({"id", "name", "principal", "scopes", "expires_at"}): lambda found: (
        f"key {text(found, 'name')} ({text(found, 'id')}) for {text(found, 'principal')}"
    ),
    frozenset({"run_id", "workflow", "status", "steps", "outputs"}): lambda found: (
        f"{text(found, 'status')} as {text(found, 'run_id')}, {count_text(_length(found, 'steps'), 'step')}"
    ),
    frozenset({"path", "format", "bytes_in", "size"}): _packed,
    frozenset({"path", "format", "files", "folders", "size"}): _unpacked,
    frozenset({"path", "size", "sha256", "changed"}): _file,
    frozenset({"path", "content", "size"}): lambda found: f"{_lines(text(found, 'content'))}, {_size(found)}",
    frozenset({"path", "algorithm", "sha256", "size"}): lambda found: (
        f"{text(found, 'algorithm')} {text(found, 'sha256')[:ID_WIDTH]}…, {_size(found)}"
    ),
    frozenset({"path", "exists", "kind"}): _exists,
    frozenset({"path", "created", "created_dirs"}): _made,
    frozenset({"entries", "truncated"}): lambda found: (
        count_text(_length(found, "entries"), "entry", "entries") + _more(found)
    ),
    frozenset({"path", "entries", "size"}): _deleted,
    frozenset({"source", "destination", "replaced"}): lambda found: (
        f"{text(found, 'source')} -> {text(found, 'destination')}"
    ),
    frozenset({"hits", "files", "truncated"}): _searched,
    frozenset({"files", "created_dirs"}): _patched,
    frozenset({"valid", "faults"}): _validated,
    frozenset({"runs", "payloads", "bytes"}): lambda found: (
        f"{count_text(number(found, 'payloads') or 0, 'payload')} of {count_text(_length(found, 'runs'), 'run')}"
    ),
    frozenset({"columns", "rows"}): lambda found: (
        f"{count_text(_length(found, 'rows'), 'row')} of {count_text(_length(found, 'columns'), 'column')}"
    ),
    frozenset({"matches", "truncated"}): lambda found: (
        count_text(_length(found, "matches"), "match", "matches") + _more(found)
    ),
    frozenset({"value", "text"}): lambda found: _value(found["value"]),
    frozenset({"text", "count"}): lambda found: (
        f"{text(found, 'count')} replaced: {_said(text(found, 'text'), None)}"
    ),
}
"""What is told of outputs that belong to no area, or to several."""
