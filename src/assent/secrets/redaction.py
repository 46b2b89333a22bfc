"""Removes known secrets from whatever leaves: by their values, also in base64, hex, URLs and JSON, and by field names.

How values are found is in `_needles`. While no value is known, looking costs a comparison.

What it can't see: a value that was changed otherwise (encoded in another way or twice, compressed, encrypted, reversed, cut in
two), and values below `CHARACTERS_MIN` characters, which stand in innocent texts too often.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import is_
from typing import TYPE_CHECKING, Final, TypeGuard

from assent.errors import Json
from assent.spec.masking import MASK, names_secret
from assent.spec.secret_text import SCHEME

if TYPE_CHECKING:
    from assent.secrets._needles import Hit, Needles

CHARACTERS_MIN: Final = 4
"""Shorter values are not looked for."""

ENCODED_TIMES_MAX: Final = 8
"""How much longer than itself a value may be that lies across two pieces of a stream."""

_BETWEEN: Final = "\x1f"
"""Stands between texts that are searched together: no encoding goes on behind it."""


class Redactor:
    """The secret values of one process, and what hides them. Safe from any thread.

    Values are only ever added: one that was replaced is still no text to be shown.
    """

    __slots__ = ("_needles", "_values")

    def __init__(self) -> None:
        self._values: set[str] = set()
        # Replaced as a whole, never changed: whoever is looking meanwhile has the old one.
        self._needles: Needles | None = None

    @property
    def is_active(self) -> bool:
        """Whether there is anything to look for."""
        return self._needles is not None

    def __len__(self) -> int:
        return len(self._values)

    def add(self, name: str, value: str) -> bool:
        """Hide this value from now on; false when it is too short for that."""
        if value in self._values:
            return True
        if len(value.strip()) < CHARACTERS_MIN:
            return False
        from assent.secrets._needles import Needles  # what only calls that use secrets pay for

        self._needles = (self._needles or Needles.none()).with_value(name, value)
        self._values.add(value)
        return True

    def name_in(self, text: str) -> str | None:
        """The name of a secret whose value stands in the text, in any form; None when there is none."""
        return self.name_in_bytes(_bytes(text)) if self._needles is not None else None

    def name_in_bytes(self, data: bytes) -> str | None:
        """The same for bytes."""
        needles = self._needles
        if needles is None:
            return None
        found = next(needles.hits(data), None)
        return found.name if found is not None else None

    def name_in_json(self, value: Json) -> str | None:
        """The same for every text and number of a JSON value, keys included."""
        needles = self._needles
        if needles is None:
            return None
        if needles.numbers:
            found = next((name for one in _numbers(value) if (name := needles.numbers.get(one))), None)
            if found is not None:
                return found
        return self.name_in(_BETWEEN.join(_texts(value)))

    def text(self, text: str) -> str:
        """The text with `***` in place of every value; the same object when there is none."""
        if self._needles is None:
            return text
        data = _bytes(text)
        hidden = self.data(data)
        return text if hidden is data else _text(hidden)

    def data(self, data: bytes) -> bytes:
        """The same for bytes, which may be no text at all."""
        needles = self._needles
        return data if needles is None else _cut(data, [*needles.hits(data)])

    def json(self, value: Json) -> Json:
        """The JSON value with `***` in place of every known value in its texts, keys and numbers.

        The same object when there is none.
        """
        needles = self._needles
        if needles is None:
            return value
        # All texts at once: most values hold nothing, and to find that out must not cost a search for each text.
        if not needles.numbers and self.name_in(_BETWEEN.join(_texts(value))) is None:
            return value
        return self._walk(value, needles.numbers)

    def output(self, value: Json) -> Json:
        """The same, and with `***` in place of every text in a field that is named like a secret.

        Other numbers stay, and so do references (`secret://…`), which tell nothing.
        """
        return self.json(_by_name(value))

    def stream(self) -> RedactingStream:
        """What hides the values in bytes that arrive in pieces."""
        return RedactingStream(self)

    @property
    def overlap_bytes(self) -> int:
        """How much of a stream must be held back for a value that goes on in the next piece."""
        return ENCODED_TIMES_MAX * self._needles.longest if self._needles is not None else 0

    def _walk(self, value: Json, numbers: Mapping[float, str]) -> Json:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            found = {self.text(key): self._walk(item, numbers) for key, item in value.items()}
            same = all(a is b for a, b in zip(found.values(), value.values(), strict=False))
            return value if same and found.keys() == value.keys() else found
        if isinstance(value, list | tuple):
            items = [self._walk(item, numbers) for item in value]
            return value if all(a is b for a, b in zip(items, value, strict=True)) else items
        return MASK if _is_number(value) and value in numbers else value


class RedactingStream:
    """Hides values in bytes that arrive in pieces, a value that lies across two of them too."""

    __slots__ = ("_kept", "_redactor")

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._kept = b""

    def feed(self, piece: bytes) -> bytes:
        """What of the bytes so far can be handed on."""
        if not self._redactor.is_active and not self._kept:
            return piece
        data = self._redactor.data(self._kept + piece)
        # A value that begins in what is handed on would end in it: as much as any form needs stays behind.
        cut = max(0, len(data) - self._redactor.overlap_bytes)
        self._kept = data[cut:]
        return data[:cut]

    def end(self) -> bytes:
        """The rest."""
        rest, self._kept = self._redactor.data(self._kept), b""
        return rest

    def through(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """All of the pieces."""
        for piece in pieces:
            yield self.feed(piece)
        yield self.end()


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _text(data: bytes) -> str:
    # Every form of a value begins and ends with a whole character.
    return data.decode(errors="surrogatepass")


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans in order, with those that touch or overlap as one: no rest of a value stays between two."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _cut(data: bytes, hits: list[Hit]) -> bytes:
    if not hits:
        return data
    pieces, at = [], 0
    for start, end in _merged((start, end) for start, end, _ in hits):
        pieces += [data[at:start], MASK.encode()]
        at = end
    return b"".join([*pieces, data[at:]])


def _is_number(value: Json) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value: Json) -> Iterator[int | float]:
    if _is_number(value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _by_name(value: Json, *, is_secret: bool = False) -> Json:
    if isinstance(value, str):
        return MASK if is_secret and value and not value.startswith(SCHEME) else value
    if isinstance(value, Mapping):
        found = {
            key: item
            if item is None or isinstance(item, int | float)
            else _by_name(item, is_secret=is_secret or names_secret(key))
            for key, item in value.items()
        }
        return value if all(map(is_, found.values(), value.values())) else found
    if isinstance(value, list | tuple):
        items = [
            item if item is None or isinstance(item, int | float) else _by_name(item, is_secret=is_secret)
            for item in value
        ]
        return value if all(map(is_, items, value)) else items
    return value
