"""Tools as a server defines them: what of a definition is pinned, what it is called here, and what a person should know of it.

A definition is somebody else's text that a model will read as if it were ours. So it is taken for hostile: it is bounded, what
nobody can see in it is refused, and what it says to the model is pointed out before anybody trusts it.
"""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from assent.errors import Json
from assent.plugins.manifest import PluginWarning
from assent.spec.values.canonical import fingerprint
from assent.spec.words.legible import safe, safe_line, seen

TOOLS_MAX: Final = 1000
"""Tools of one server."""

DEFINITION_BYTES_MAX: Final = 64 << 10
"""One definition, as JSON."""

NAME_MAX: Final = 128
"""Characters of a name, as the protocol bounds it."""

DESCRIPTION_MAX: Final = 4096
"""Characters of a description from which on it is called long."""

_PINNED: Final = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
_PICTURE: Final = "[\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
_EMOJI_JOINED: Final = re.compile(f"(?<={_PICTURE})\ufe0f?(?:\u200d(?={_PICTURE}))?")
"""What joins and colours pictures has a meaning that is seen: one of each. More of them, or elsewhere, are bits of a text."""

_OWN: Final = "assent_"
"""What the names of Assent's own tools begin with."""

_ORDERS: Final = (
    r"\b(ignore|disregard|forget|override)\b.{0,40}\b(previous|prior|above|earlier|other|all|any|system)\b",
    (
        r"\b(do\s+not|don't|never|without)\b.{0,30}\b(tell|telling|mention|inform|notify|reveal|show|ask|asking)\b.{0,30}\b"
        r"(user|person|human|anybody|anyone)\b"
    ),
    r"\b(before|after|whenever|every\s+time)\b.{0,40}\b(us|call|invok)ing\b.{0,40}\b(any|another|other|this|a)\b.{0,20}\btools?\b",
    r"<\s*/?\s*(important|system|instructions?|secret)\b",
    r"\b(system\s+prompt|jailbreak|hidden\s+instruction)",
    r"(~|/home/\w+|/root)/\.(ssh|aws|config|cursor|env)\b|\bid_rsa\b|\bmcp\.json\b",
)
_ADVICE: Final = r"\b(you\s+must|always|first)\b.{0,30}\b(call|read|send|include|pass|append|use)\b"
"""What no definition has a reason to say, and half of all pages do."""

_ALIKE: Final = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u04cf\u051b\u051d\u0475\u0410\u0412\u0415\u041a\u041c"
    "\u041d\u041e\u0420\u0421\u0422\u0425\u0423\u0406\u0405\u0408\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u0391\u0392\u0395\u0396"
    "\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u0578\u057d\u0585\u0131\u0251\u0261",
    "aeopcyxijsdhlqwvABEKMHOPCTXYISJaopviktuABEZHIKMNOPTYXnuoiag",
)
"""Letters of other scripts (Cyrillic, Greek, Armenian …) that look like those of English."""

_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{4,}")

_ROOM: Final = frozenset(
    {"$schema", "$defs", "type", "title", "description", "properties", "required", "additionalProperties"}
)
"""Keywords of an output schema that leave room for marks, and for the rest of a result."""

MARKS_MAX: Final = 20
"""Marks of one output."""

_PIECE: Final = 32 << 10
"""Characters of a text that are looked at in one go: nothing else goes on in this process meanwhile."""

_OVERLAP: Final = 512
"""Characters that two pieces have in common: what is looked for is shorter."""

_LARGE: Final = 64 << 10
"""Characters of a result from which on others go on while it is looked at."""


@cache
def _instructs(*also: str) -> Any:  # `Any`: the library has no types
    import re2  # as long as the text is long, whatever it holds: a result may be megabytes

    return re2.compile(f"(?is){'|'.join((*_ORDERS, *also))}")


def _order_in(text: str, *also: str) -> str | None:
    """What a text tells a model to do, as it says it."""
    found = _instructs(*also).search(read_as(text))
    return None if found is None else found[0]


def read_as(text: str) -> str:
    """A text as a model or a person reads it: letters by what they look like, blanks of every kind, nothing that is not seen."""
    return text if text.isascii() else seen(unicodedata.normalize("NFKC", text)).translate(_ALIKE)


class Tool(msgspec.Struct, frozen=True):
    """One tool of a server. `fault` is why nobody can trust it."""

    name: str
    definition: dict[str, Json]
    fault: str | None = None

    @property
    def digest(self) -> str:
        """The fingerprint of its definition."""
        return fingerprint(self.definition)


def capability_id(server: str, tool: str) -> str:
    """What a tool is called as a capability: `mcp.SERVER.TOOL`, in lower case, with `_` for whatever no id may hold."""
    plain = re.sub(r"[^a-z0-9_]", "_", tool.lower())
    return f"mcp.{server}.{plain if plain[:1].isalpha() else f't_{plain}'}"


def tools_of(server: str, listed: list[dict[str, Json]]) -> list[Tool]:
    """The tools that a server lists, in its order, each name once."""
    found: dict[str, Tool] = {}
    ids: dict[str, list[str]] = {}
    for one in listed:
        definition = {key: one[key] for key in _PINNED if one.get(key) is not None}
        name = str(definition.get("name"))
        ids.setdefault(capability_id(server, name), []).append(name)
        found[name] = Tool(name, definition, _fault(definition))
    for id_, names in ids.items():
        if len(names) > 1:  # whoever is called must not depend on the order in which a server lists them
            for name in names:
                found[name] = msgspec.structs.replace(found[name], fault=f"more than one tool is `{id_}`")
    return [*found.values()]


def has_room(schema: Any) -> bool:  # `Any`: JSON
    """Whether an output of this schema can have more beside it: marks, and the rest of a result."""
    return isinstance(schema, Mapping) and schema.get("type") == "object" and schema.keys() <= _ROOM


def _fault(definition: dict[str, Json]) -> str | None:
    if not 1 <= len(str(definition["name"])) <= NAME_MAX:
        return f"its name is not of 1 to {NAME_MAX} characters"
    if not str(definition["name"]).isascii():
        return "its name has letters that look like others; the protocol has names of ASCII"
    if len(json.dumps(definition)) > DEFINITION_BYTES_MAX:
        return f"its definition is larger than {DEFINITION_BYTES_MAX} bytes"
    for text in texts_in(definition):
        if (seen := _hidden_in(text)) is not None:
            return f"its definition holds what nobody can see: `{safe_line(seen, 120)}`"
    return None


def _plain(name: str) -> str:
    """A name without what nobody tells names apart by: case, and which signs are between words."""
    return re.sub("[^a-z0-9]+", "_", name.lower())


def _hidden_in(text: str) -> str | None:
    """The text, where something in it can't be seen."""
    seen = text if text.isascii() else _EMOJI_JOINED.sub("", text)
    return seen if safe(seen) != seen else None


def written_out(text: str) -> str:
    """A text for a person: as it is, or with what nobody could see in it, or what would drive their terminal, written out."""
    text = text.replace("\r\n", "\n")
    return text if _hidden_in(text) is None else safe(text)


def is_seen(value: Json) -> bool:
    """Whether all of a value's texts can be seen."""
    return all(_hidden_in(text) is None for text in texts_in(value))


def marks_of(result: Json, others: Collection[str]) -> list[Json]:
    """What in a result might move a model, by its place: hidden characters, orders, `others`' names.

    Nothing is proved by a mark, nor by its absence: it says where to look. `others` are names that are no words of a language.
    """
    found: list[Json] = []
    for path, text in _placed(result, ""):
        told: dict[str, str] = {}
        for piece in _pieces(text.replace("\r\n", "\n")):
            if (hidden := _hidden_in(piece)) is not None:
                told.setdefault("MCP_RESULT_HIDES", f"holds what nobody can see: `{safe_line(hidden, 120)}`")
            if (order := _order_in(piece)) is not None:
                told.setdefault(
                    "MCP_RESULT_INSTRUCTS", f"tells a model what to do: `{safe_line(order, 120)}`"
                )
            named = {word.strip(".-") for word in _WORD.findall(piece)}.intersection(others)
            if named:
                told.setdefault("MCP_RESULT_REFERS", f"speaks of `{min(named)}`, which is not of this server")
        found += [{"code": code, "path": path, "message": f"it {told[code]}"} for code in sorted(told)]
        if len(found) >= MARKS_MAX:
            break
    return found[:MARKS_MAX]


async def marks_of_result(result: Json, others: Collection[str]) -> list[Json]:
    """The same while others go on, where a result is large: its server makes it as long to look at as it likes."""
    if not _is_large(result):
        return marks_of(result, others)
    return await asyncio.to_thread(marks_of, result, others)


def _is_large(value: Json) -> bool:
    left, rest = _LARGE, [value]
    while rest and left >= 0:
        one = rest.pop()
        left -= len(one) if isinstance(one, str) else 16
        if isinstance(one, Mapping):
            rest += [*one.values()]
            left -= sum(map(len, one))
        elif isinstance(one, list | tuple):
            rest += one
            left -= 8 * len(one)
    return left < 0


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start + _PIECE < len(text):
        yield text[start : _blank_before(text, start + _PIECE)]
        start = _blank_before(text, start + _PIECE - _OVERLAP)
    yield text[start:]


def _blank_before(text: str, place: int) -> int:
    """Where to cut, if that can be between words: half a picture, or half a name, is none."""
    found = text.rfind(" ", place - _OVERLAP // 4, place)
    return place if found < 0 else found


def _placed(value: Json, path: str) -> Iterator[tuple[str, str]]:
    """Every text in a value with its place, keys included."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            here = f"{path}.{safe_line(key, 40)}" if path else safe_line(key, 40)
            yield here, key
            yield from _placed(item, here)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _placed(item, f"{path}[{index}]")


def texts_in(value: Json) -> Iterator[str]:
    """Every text in a value, keys included."""
    return (text for _, text in _placed(value, ""))


def warnings_of(tools: list[Tool], others: Mapping[str, str]) -> list[PluginWarning]:
    """What a person should know before trusting these tools.

    `others` are the tools of other servers, and capabilities, that are there already: name → id. Capabilities have two names,
    and so has every tool that an agent is shown (`io.fs.write_file`, `io_fs_write_file`).
    """
    found: list[PluginWarning] = []
    alike = {_plain(name): id_ for name, id_ in others.items()}
    for tool in tools:

        def warn(code: str, message: str, hint: str, *, path: str = tool.name) -> None:
            found.append(PluginWarning(code=code, message=message, path=path, hint=hint))

        if tool.fault is not None:
            warn(
                "MCP_TOOL_REFUSED",
                f"`{safe_line(tool.name, 80)}` stays out: {tool.fault}",
                "ask its maker why",
                path=safe_line(tool.name, 80),
            )
            continue
        texts = [*texts_in(tool.definition)]
        said = next((hit for text in texts if (hit := _order_in(text, _ADVICE))), None)
        if said is not None:
            warn(
                "MCP_TOOL_INSTRUCTS",
                f"`{tool.name}` tells the model what to do: `{safe_line(said, 120)}`",
                "a description says what a tool does; do not trust one that gives orders",
            )
        words = {word.strip(".-") for text in texts for word in _WORD.findall(text)}
        own = {word for word in words if word.startswith(_OWN)}
        for name in sorted((own | words & (others.keys() | {*others.values()})) - {tool.name}):
            warn(
                "MCP_TOOL_REFERS",
                f"`{tool.name}` speaks of `{name}`, which is not of this server",
                "a tool has no reason to say how others are used",
            )
        plain = _plain(tool.name)
        if plain in alike or plain.startswith(_OWN):
            warn(
                "MCP_TOOL_SHADOWS",
                f"`{tool.name}` is called like `{alike.get(plain, f'{_OWN}…')}`, and a model may take one for the other",
                "trust it only if both are meant to be there",
            )
        if len(str(tool.definition.get("description", ""))) > DESCRIPTION_MAX:
            warn(
                "MCP_TOOL_LONG",
                f"`{tool.name}` is described in more than {DESCRIPTION_MAX} characters",
                "read all of it: what is meant for the model stands at the end",
            )
        schema = tool.definition.get("outputSchema")
        if schema is not None and not has_room(schema):
            warn(
                "MCP_TOOL_UNMARKED",
                f"`{tool.name}` describes its output with more than plain `properties`, which leaves no room for marks",
                "nothing will point out what in its results may be meant to move a model",
            )
    return found
