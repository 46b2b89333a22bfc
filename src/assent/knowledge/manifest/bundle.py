"""A repository as lines of JSON, for one asker: the manifest, with the texts of what they may see.

Files stand in the order of the manifest. Of one that is hidden there is its leaf's hash alone: so whoever has the lines can make
the root of all of them, and reads nothing of what is hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec

from assent.errors import InputError
from assent.knowledge.chunks import LeftOut
from assent.knowledge.manifest.tree import Cut, Line, Listed, file_leaf, root_of_files
from assent.spec.values.typed import decode


class _OfFile(msgspec.Struct, frozen=True, tag_field="is", tag="file", forbid_unknown_fields=True):
    """A file; a line for each of its chunks follows."""

    path: str
    digest: str
    language: str
    label: str
    chunks: Annotated[int, msgspec.Meta(ge=0)]


class _OfChunk(msgspec.Struct, frozen=True, tag_field="is", tag="chunk", forbid_unknown_fields=True):
    digest: str
    line: int
    end_line: int
    symbol: str
    text: str


class _OfLeftOut(msgspec.Struct, frozen=True, tag_field="is", tag="left out", forbid_unknown_fields=True):
    path: str
    because: str


class _OfHidden(msgspec.Struct, frozen=True, tag_field="is", tag="hidden", forbid_unknown_fields=True):
    leaf: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    """One hash and no other length: two neighbours with their border moved would make the same root."""


_Any: TypeAlias = _OfFile | _OfChunk | _OfLeftOut | _OfHidden
_ENCODER: Final = msgspec.json.Encoder()
_FAULT_CHARACTERS_MAX: Final = 200
"""Of what is wrong with a line: it may quote it."""


class Counts(NamedTuple):
    """What lines hold, and the root that they make."""

    root: str
    files: int
    """Those that can be read, without those that were left out."""
    hidden: int
    chunks: int


def bundled(line: Line, texts: Iterable[str] = ()) -> Iterator[bytes]:
    """The lines of a file that may be seen; `texts`: of its chunks."""
    if isinstance(line, LeftOut):
        yield _encoded(_OfLeftOut(line.path, line.because))
        return
    yield _encoded(_OfFile(line.path, line.digest, line.language, line.label, len(line.chunks)))
    for cut, text in zip(line.chunks, texts, strict=True):
        yield _encoded(_OfChunk(cut.digest, cut.line, cut.end_line, cut.symbol, text))


def bundled_leaf(leaf: bytes) -> bytes:
    """The line of a file that is hidden."""
    return _encoded(_OfHidden(leaf.hex()))


def _encoded(line: _Any) -> bytes:
    return _ENCODER.encode(line) + b"\n"


def checked_bundle(lines: Iterable[bytes]) -> Counts:
    """Read all lines, one file at a time. `InputError` `KNOWLEDGE_MANIFEST_INVALID` where a text is not that of its chunk."""
    leaves: list[bytes] = []
    files = hidden = chunks = number = 0

    def decoded() -> Iterator[_Any]:
        nonlocal number
        for line in lines:
            number += 1
            one = decode(line, _Any)
            # Of a name that stands there twice, one value would be checked, and another one read by somebody else.
            if _encoded(one) != line:
                raise ValueError("the line is not as it was written")
            yield one

    rest = decoded()
    try:
        for one in rest:
            leaves.append(_leaf(one, rest))
            hidden += isinstance(one, _OfHidden)
            if isinstance(one, _OfFile):
                files, chunks = files + 1, chunks + one.chunks
    except (ValueError, OverflowError) as error:
        raise InputError(
            "KNOWLEDGE_MANIFEST_INVALID",
            f"this is not what was exported, in line {number}: {str(error)[:_FAULT_CHARACTERS_MAX]}",
            hint="take an unchanged copy, or export it again",
        ) from None
    return Counts(root_of_files(leaves).hex(), files, hidden, chunks)


def _leaf(one: _Any, rest: Iterator[_Any]) -> bytes:
    match one:
        case _OfHidden():
            return bytes.fromhex(one.leaf)
        case _OfLeftOut():
            return file_leaf(LeftOut(one.path, one.because))
        case _OfFile():
            cuts = tuple(_cut(each) for each in islice(rest, one.chunks))
            if len(cuts) == one.chunks:
                return file_leaf(Listed(one.path, one.digest, one.language, one.label, cuts))
        case _OfChunk():
            pass
    raise ValueError("the line is not in its place, or others are missing")


def _cut(one: _Any) -> Cut:
    if not isinstance(one, _OfChunk) or sha256(one.text.encode()).hexdigest() != one.digest:
        raise ValueError("the text is not that of its chunk")
    return Cut(one.digest, one.line, one.end_line, one.symbol)
