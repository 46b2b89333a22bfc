"""What was asked under ids that callers chose (`Idempotency-Key`), as long as this owner lives: an id means one thing only.

What begins a run or settles one keeps its id and what was asked on record, and so does a step of a session: for these only the
operation and its run are compared here. Of all else the whole request is, and what it changed is answered once more.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import msgspec

from assent.runtime._core import reused
from assent.runtime.service import requests
from assent.runtime.service.requests import Request
from assent.runtime.service.scopes import SCOPE_OF
from assent.spec.ports import Clock
from assent.spec.scopes import PLAN, READ

KEYS_MAX: Final = 10_000
"""Ids that are remembered. Past that whoever asked under the most loses their oldest: nobody makes others' be forgotten."""

KEPT_MS: Final = 24 * 3600 * 1000

ON_RECORD: Final = (
    requests.Beginning, requests.Approve, requests.Reject, requests.Cancel, requests.Signal, requests.Undo, requests.Resolve,
    requests.AddStep,
)  # fmt: skip
"""Their entries keep the id and what was asked."""

_REPEATABLE: Final = (requests.Resume, requests.CloseSession)
"""Asked again they do no more, and their answers are as large as runs are."""


class _Asked(msgspec.Struct):
    what: bytes
    at_ms: int
    whose: str
    answer: Any = None  # `Any`: each operation has its own


class Keyed:
    """The newest ids, each with what it means."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, _Asked] = {}
        self._of: dict[str, dict[str, None]] = {}
        """The ids that each principal chose, oldest first."""

    def find(self, ident: str, request: Request[Any], whose: str) -> Any:  # `Any`: as above
        """What was answered to this very request under the id, where that is kept; None else. `REQUEST_REUSED`."""
        now_ms, what = self._clock.monotonic_ms(), _what(request)
        known = self._known.get(ident)
        if known is not None and now_ms - known.at_ms > KEPT_MS:
            self._forget(ident)
            known = None
        if known is None:
            self._known[ident] = _Asked(what, now_ms, whose)
            self._of.setdefault(whose, {})[ident] = None
            if len(self._known) > KEYS_MAX:
                most = max(self._of.values(), key=len)
                self._forget(next(iter(most)))
            return None
        if known.what != what:
            raise reused()
        return known.answer

    def _forget(self, ident: str) -> None:
        whose = self._known.pop(ident).whose
        del self._of[whose][ident]
        if not self._of[whose]:
            del self._of[whose]

    def keep(self, ident: str, request: Request[Any], answer: Any) -> None:
        """Answer so again where what was asked changed something that no record of a run tells of."""
        known = self._known.get(ident)
        is_told = isinstance(request, (*ON_RECORD, *_REPEATABLE)) or SCOPE_OF.get(type(request)) in (
            READ,
            PLAN,
        )
        if known is not None and not is_told:
            known.answer = answer


def _what(request: Request[Any]) -> bytes:
    said: Any = msgspec.to_builtins(request)
    if isinstance(request, ON_RECORD):
        said = [said["op"], said.get("run")]
    return sha256(msgspec.json.encode(said, order="sorted")).digest()
