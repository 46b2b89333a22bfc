"""Removes known secrets from whatever leaves: by their exact values, in every form they usually travel in, and by field names.

A value is looked for as it is, JSON-escaped (also twice), URL-encoded, as hex digits, in base64 of both alphabets at any
alignment (also of the JSON-escaped value), as Python quotes it, HTML-escaped, and line by line. While no value is
known, looking costs a comparison.

What it can't see: a value that was changed otherwise (compressed, encrypted, reversed, cut in two), and values below
`CHARACTERS_MIN` characters, which stand in innocent texts too often.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from assent.errors import Json
from assent.spec.masking import MASK, names_secret
from assent.spec.secret_text import SCHEME

CHARACTERS_MIN: Final = 4
"""Shorter values are not looked for."""

LINE_CHARACTERS_MIN: Final = 12
"""Lines of a value that has several are looked for on their own from this length on."""

FORM_CHARACTERS_MIN: Final = 6
"""A part of a base64 text that is shorter stands in innocent texts too often."""

CHUNK_VALUES: Final = 32
"""Values that one automaton looks for; fewer are looked for one by one."""


class Redactor:
    """The secret values of one process, and what hides them. Safe from any thread.

    Values are only ever added: one that was replaced is still no text to be shown.
    """

    __slots__ = ("_chunks", "_forms", "_fresh", "_longest", "_values")

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        # Each form with the name of its secret. Replaced as a whole, never changed: whoever is looking meanwhile has the old one.
        self._forms: dict[str, str] = {}
        self._fresh: tuple[str, ...] = ()
        self._chunks: tuple[Any, ...] = ()  # `Any`: RE2's patterns, loaded only where there are many values
        self._longest = 0

    @property
    def is_active(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._forms)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, name: str, value: str) -> bool:
        """Hide this value from now on; false when it is too short for that."""
        if value in self._values:
            return True
        if len(value.strip()) < CHARACTERS_MIN:
            return False
        forms = forms_of(value)
        self._forms = {**self._forms, **{form: name for form in forms if form not in self._forms}}
        self._longest = max(self._longest, *map(len, (form.encode() for form in forms)))
        self._values[value] = name
        fresh = (*self._fresh, *forms)
        if len(self._values) % CHUNK_VALUES == 0:
            self._chunks, self._fresh = (*self._chunks, _automaton(fresh)), ()
        else:
            self._fresh = fresh
        return True

    def name_in(self, text: str) -> str | None:
        """The name of a secret whose value stands in the text, in any form; None when there is none."""
        if not self._has_any(text):
            return None
        return next(self._forms[form] for form in self._forms if form in text)

    def name_in_json(self, value: Json) -> str | None:
        """The same for every text of a JSON value, keys included."""
        if not self._forms:
            return None
        return next((found for text in _texts(value) if (found := self.name_in(text)) is not None), None)

    def text(self, text: str) -> str:
        """The text with `***` in place of every value; the same object when there is none."""
        return self._hidden(text) if self._forms and self._has_any(text) else text

    def data(self, data: bytes) -> bytes:
        """The same for bytes, which may be no text at all."""
        if not self._forms:
            return data
        # Latin-1 keeps each byte as one character: a form of several bytes is then found as these bytes.
        spans = _merged(
            span for form in self._forms if form.encode() in data for span in _spans(data, form.encode())
        )
        hidden: bytes = _cut(data, spans, MASK.encode())
        return hidden

    def json(self, value: Json) -> Json:
        """The JSON value with `***` in place of every known value in its texts and keys; the same object when there is none."""
        return self._walk(value) if self._forms else value

    def output(self, value: Json) -> Json:
        """The same, and with `***` in place of every text in a field that is named like a secret.

        Numbers stay, and so do references (`secret://…`), which tell nothing.
        """
        found = _by_name(value)
        return self._walk(found) if self._forms else found

    def stream(self) -> RedactingStream:
        """What hides the values in bytes that arrive in pieces."""
        return RedactingStream(self)

    @property
    def overlap_bytes(self) -> int:
        """How much of a stream must be held back for a value that goes on in the next piece."""
        return max(0, self._longest - 1)

    def _walk(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            found = {self.text(key): self._walk(item) for key, item in value.items()}
            same = all(a is b for a, b in zip(found.values(), value.values(), strict=False))
            return value if same and found.keys() == value.keys() else found
        if isinstance(value, list | tuple):
            items = [self._walk(item) for item in value]
            return value if all(a is b for a, b in zip(items, value, strict=True)) else items
        return value

    def _has_any(self, text: str) -> bool:
        if any(form in text for form in self._fresh):
            return True
        if not self._chunks:
            return False
        data = text.encode(errors="surrogatepass")
        return any(chunk.search(data) is not None for chunk in self._chunks)

    def _hidden(self, text: str) -> str:
        hidden: str = _cut(text, _merged(span for form in self._forms for span in _spans(text, form)), MASK)
        return hidden


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


def forms_of(value: str) -> tuple[str, ...]:
    """The texts in which a value may stand, longest first, each once."""
    lines = [line.strip() for line in value.splitlines()] if "\n" in value or "\r" in value else []
    # A line like `-----BEGIN …` says what follows, and is no secret.
    parts = [line for line in lines if len(line) >= LINE_CHARACTERS_MIN and not line.startswith("-----")]
    found = {form for part in dict.fromkeys([value, value.strip(), *parts]) for form in _forms(part)}
    return tuple(sorted(found, key=lambda form: (-len(form), form)))


def _forms(value: str) -> Iterator[str]:
    import html
    from urllib.parse import quote, quote_plus

    data = value.encode()
    yield value
    for ascii_only in (True, False):
        escaped = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")
        yield json.dumps(escaped, ensure_ascii=ascii_only)[1:-1]
    for safe in ("", "/", "/:?#[]@!$&'()*+,;="):
        encoded = quote(value, safe=safe)
        yield encoded
        yield _lower_escapes(encoded)
    yield quote_plus(value)
    yield _lower_escapes(quote_plus(value))
    for quoted in (repr, ascii):
        yield quoted(value)[1:-1]
        # In a longer text that has both kinds of quotes, Python escapes the single ones.
        yield quoted(f"{value}'\"")[1:-4]
    yield html.escape(value)
    yield html.escape(value, quote=False)
    yield data.hex()
    yield data.hex().upper()
    # JSON that is encoded as a whole, as services do with what they were sent, holds the value escaped.
    within = (json.dumps(value, ensure_ascii=ascii_only)[1:-1].encode() for ascii_only in (True, False))
    for plain in dict.fromkeys([data, *within]):
        yield from _base64_forms(plain)


def _base64_forms(data: bytes) -> Iterator[str]:
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode()
        for offset in range(3):
            # The characters that the value alone decides, wherever in a longer base64 text it begins.
            first, end = -(-8 * offset // 6), 8 * (offset + len(data)) // 6
            inner = encode(bytes(offset) + data + bytes(2)).decode()[first:end]
            if len(inner) >= FORM_CHARACTERS_MIN:
                yield inner


def _lower_escapes(encoded: str) -> str:
    """The same URL-encoded text with its hex digits in lower case: `%2F` as `%2f`."""
    head, *rest = encoded.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)


def _automaton(forms: Iterable[str]) -> Any:  # `Any`: as above
    import re2

    options = re2.Options()
    options.max_mem = 256 << 20
    options.never_nl = False
    options.log_errors = False
    return re2.compile(b"|".join(re2.escape(form.encode()) for form in forms), options)


def _spans(text: Any, form: Any) -> Iterator[tuple[int, int]]:  # `Any`: both text, or both bytes
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + 1)


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans in order, with those that touch or overlap as one: no rest of a value stays between two."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _cut(text: Any, spans: list[tuple[int, int]], mask: Any) -> Any:  # `Any`: as above
    if not spans:
        return text
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start], mask]
        at = end
    return (text[:0]).join([*pieces, text[at:]])


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
        found = {key: _by_name(item, is_secret=is_secret or names_secret(key)) for key, item in value.items()}
        return value if all(found[key] is value[key] for key in found) else found
    if isinstance(value, list | tuple):
        items = [_by_name(item, is_secret=is_secret) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


__all__ = ["CHARACTERS_MIN", "MASK", "RedactingStream", "Redactor", "forms_of"]
