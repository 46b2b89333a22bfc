"""Asking the process that owns the state directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from msgspec.structs import replace

from assent import system
from assent.errors import InputError
from assent.journal import Request as OwnerRequest
from assent.journal import forward
from assent.runtime.service.codec import decode_answer, encode
from assent.runtime.service.requests import Asker, Beginning, OnProgress, Plan, Request, asker_of
from assent.runtime.settings.effective import Settings
from assent.spec.ids import LABEL, OWN_REQUESTS

A = TypeVar("A")

OWNER_S_MAX: Final = 1.0
"""So long an owner is waited for that is asked for what is only good to know."""


def request_id(chosen: str) -> str:
    """An id that whoever asks has chosen for a request. `REQUEST_INVALID` for what can't be one."""
    if LABEL.match(chosen) and not chosen.startswith(OWN_REQUESTS):
        return chosen
    raise InputError(
        "REQUEST_INVALID",
        f"`{chosen[:128]}` can't be the id of a request",
        hint=f"up to 128 letters, digits and ` ._/:@+-`, and not `{OWN_REQUESTS}…`",
    )


def to_owner(
    request: Request[A],
    by: Asker,
    tell: OnProgress | None = None,
    under: Callable[[], Mapping[str, str]] | None = None,
    *,
    ident: str | None = None,
) -> OwnerRequest:
    """A request as it goes to the owner, under the id `ident`, or one of its own.

    `under` gives the digests that hold where it is asked.
    """
    return OwnerRequest(
        id=system.SystemIds().request_id() if ident is None else request_id(ident),
        body=encode(request, by),
        clock=system.SystemClock(),
        under=under if isinstance(request, Beginning | Plan) else None,
        on_progress=tell,
    )


def ask(
    request: Request[A], settings: Settings, by: Asker | None = None, *, within_s: float | None = None
) -> A | None:
    """What the living owner says; None when there is none, and nobody is started to be asked.

    `within_s`: what is only good to know is not waited for as long as an owner may be busy.
    """
    asked = to_owner(request, by or asker_of(settings))
    if within_s is not None:
        asked = replace(asked, silence_s=within_s, patience_s=within_s)
    answer = forward(settings.state, asked, runtime_dir=settings.runtime_dir())
    return None if answer is None else decode_answer(request, answer)
