"""The resolver of a program whose network ends at a scope: it answers names that are in it, and brings their addresses in.

Only the standard library is imported: the launcher runs this, in the guard (`_guard.py`).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from typing import Final

from assent.sandbox._scope_rules import DNS_PORT, Ports, Rules, place_of

QUESTION_BYTES_MAX: Final = 4096
_TTL_S: Final = 60
_LABEL_BYTES_MAX: Final = 63
_NO_SUCH_NAME: Final = 3
_FAILED: Final = 2
_A: Final = 1
_AAAA: Final = 28
_IN: Final = 1


class Resolver:
    """Answers one program's questions for names. To be used from several threads."""

    def __init__(self, rules: Rules, note: Callable[[str], None]) -> None:
        """`note` is told of each name that leads out of the scope."""
        self._rules = rules
        self._note = note
        self._known: dict[str, list[tuple[int, int]]] = {}
        self._looking = threading.Lock()

    def answer(self, asked: bytes) -> bytes | None:
        """The answer to a question of the Domain Name System (RFC 1035); None for what is none."""
        try:
            ident, flags, questions, *_ = struct.unpack_from("!6H", asked)
            labels, at = [], 12
            while size := asked[at]:
                if size > _LABEL_BYTES_MAX:
                    return None
                labels.append(asked[at + 1 : at + 1 + size].decode("ascii").lower())
                at += 1 + size
            kind, sort = struct.unpack_from("!2H", asked, at + 1)
        except (struct.error, IndexError, UnicodeDecodeError):
            return None
        if flags & 0x8000 or questions != 1:
            return None
        name = ".".join(labels)
        ports = self._rules.ports_of(name) if sort == _IN else []
        if not ports:
            self._note(f"{name}:{DNS_PORT}" if name.isprintable() else "a name")
            return _told(ident, flags, _NO_SUCH_NAME, asked[12 : at + 5], [])
        version = {_A: 4, _AAAA: 6}.get(kind)
        try:
            found = self._addresses(name, ports) if version is not None else []
        except OSError as error:
            is_known = isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME
            return _told(ident, flags, _NO_SUCH_NAME if is_known else _FAILED, asked[12 : at + 5], [])
        packed = [
            number.to_bytes(4 if version == 4 else 16, "big") for one, number in found if one == version
        ]
        return _told(ident, flags, 0, asked[12 : at + 5], [(kind, one) for one in packed])

    def _addresses(self, name: str, ports: list[Ports]) -> list[tuple[int, int]]:
        """What a name is found to have when it is first asked for: later it may say something else to somebody."""
        with self._looking:
            if name not in self._known:
                numbers = dict.fromkeys(self._rules.pinned.get(name) or _looked_up(name))
                self._known[name] = [one for one in numbers if self._rules.find(*one, ports)]
                if len(self._known[name]) < len(numbers):
                    self._note(name)
            return self._known[name]


def _looked_up(name: str) -> list[tuple[int, int]]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    places = [place_of(_packed(family, str(address[0]))) for family, _, _, _, address in found]
    return [(one.version, one.number) for one in places if one is not None]


def _packed(family: int, text: str) -> bytes:
    text = text.partition("%")[0]
    if family == socket.AF_INET:
        return struct.pack("=HH", family, 0) + socket.inet_pton(family, text)
    return struct.pack("=HHI", socket.AF_INET6, 0, 0) + socket.inet_pton(socket.AF_INET6, text)


def _told(ident: int, flags: int, code: int, question: bytes, found: list[tuple[int, bytes]]) -> bytes:
    """An answer: authoritative for nothing, with recursion."""
    head = struct.pack("!6H", ident, 0x8080 | (flags & 0x0100) | code, 1, len(found), 0, 0)
    # 0xC00C: the name that stands at byte 12.
    records = [struct.pack("!HHHIH", 0xC00C, kind, _IN, _TTL_S, len(one)) + one for kind, one in found]
    return head + question + b"".join(records)
