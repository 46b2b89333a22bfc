"""How a request of a call gets out: at its time, counted, within the plugin's reach, on the record before it leaves.

What raises here says nothing of the call's effect, so nothing of it is a `NoEffectError`: an earlier request may have had one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, ParamSpec, TypeVar

from assent.errors import AssentError, InputError, RefusedError
from assent.invocation.call._invocation import hide_in_error
from assent.invocation.context._request_notes import AnswerNote, RequestNote
from assent.invocation.context.http import HttpAnswer, HttpRequest, require_form
from assent.invocation.context.local import CallLife, LocalContext
from assent.invocation.context.outbound import Outbound, Shown
from assent.invocation.context.phases import CallPhase
from assent.invocation.describe.handler import NoEffectError
from assent.secrets.access import Secret
from assent.secrets.redaction import Redactor
from assent.secrets.revealing import filled, names_in
from assent.spec.reach import ASKING, Reach

REQUESTS_MAX: Final = 1000
"""Requests of one call."""

AT_ONCE_MAX: Final = 16
"""Requests of one call that wait for their answers at the same time."""

_TIMES: Final = (CallPhase.EXECUTING, CallPhase.COMPENSATING)

P = ParamSpec("P")
T = TypeVar("T")

Read = Callable[[tuple[str, ...], str], Awaitable[Mapping[str, Secret]]]
"""`(names, host)`: secrets that a call may have, to be sent to that host; each access is on the record first."""


class Sending:
    """Sends the requests of one call."""

    def __init__(self, outbound: Outbound, read: Read, context: LocalContext, life: CallLife) -> None:
        self._outbound, self._read = outbound, read
        self._context, self._life = context, life

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """The answer. INVARIANT: the request is in the journal before a byte of it leaves. See `HttpAccess.request`."""
        require_form(request)
        context, life = self._context, self._life
        _require_time(context, life)
        try:
            shown = await _apart(request.body is not None, self._outbound.shown, request)
            if life.reach is not None:
                _require_asking(context, life, life.reach, shown)
                self._admit(shown.method, shown.scheme, shown.host, shown.port)
            number = _counted(context, life)
            life.sending += 1
            try:
                return await self._sent(request, shown, number)
            finally:
                life.sending -= 1
        except NoEffectError as error:
            raise _unclaimed(error) from error

    async def _sent(self, request: HttpRequest, shown: Shown, number: int) -> HttpAnswer:
        given = Redactor()

        async def reveal(value: Any, host: str) -> Any:  # `Any`: whatever holds references
            names = names_in(value)
            found = await self._read(names, host) if names else {}
            values = {name: secret.reveal() for name, secret in found.items()}
            for name, text in values.items():
                given.add(name, text)
            return filled(value, values)

        ids = self._context.ids
        await self._note(RequestNote(ids, number, shown.method, shown.request))
        try:
            answer = await self._outbound.send(self._context, request, admit=self._admit, reveal=reveal)
        except AssentError as error:
            await self._note(AnswerNote(ids, number, code=error.code))
            # Where an answer leads on to, a value may stand that the request held.
            hide_in_error(error, given)
            raise
        await self._note(AnswerNote(ids, number, answer.status, len(answer.body)))
        return await _apart(given.is_active, hidden, answer, given)

    async def _note(self, note: RequestNote | AnswerNote) -> None:
        if self._life.journal is not None:
            await self._life.journal((note,))

    def _admit(self, method: str, scheme: str, host: str, port: int) -> None:
        reach = self._life.reach
        if reach is None or reach.allows(method, scheme, host, port):
            return
        where = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        declared = ", ".join(f"`{service}`" for service in reach.services) or "nothing"
        raise RefusedError(
            "PLUGIN_HOST_UNDECLARED",
            f"plugin `{reach.plugin}` may not send `{method} {where}`: it declares {declared}",
            path="url",
            hint="what it should reach stands under `permissions.network` of its declaration, and is trusted with it",
            details={"plugin": reach.plugin, "method": method, "origin": where},
        )


async def _apart(may_be_long: bool, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:  # noqa: FBT001  # a condition
    """What a function gives, called in a thread where a megabyte could hold up everybody else."""
    return await asyncio.to_thread(function, *args, **kwargs) if may_be_long else function(*args, **kwargs)


def hidden(answer: HttpAnswer, given: Redactor) -> HttpAnswer:
    """The answer without the values that its request held: a service that repeats them hands them to nobody."""
    if not given.is_active:
        return answer
    return replace(
        answer,
        url=given.text(answer.url),
        headers={given.text(name): given.text(value) for name, value in answer.headers.items()},
        redirects=tuple(map(given.text, answer.redirects)),
        body=given.data(answer.body),
    )


def _require_time(context: LocalContext, life: CallLife) -> None:
    """Raise HTTP_TOO_EARLY unless the call has an effect under way that was decided about, journaled, and is real."""
    if context.phase in _TIMES and not context.world.is_simulated and not life.is_over:
        return
    raise RefusedError(
        "HTTP_TOO_EARLY",
        f"`{context.capability}` sends a request where its effect is only planned or prepared, or is over",
        hint="requests leave in `execute`, `reconcile` and `compensate`; a preview says what would be sent",
    )


def _require_asking(context: LocalContext, life: CallLife, reach: Reach, shown: Shown) -> None:
    """Raise PLUGIN_DENIED for a request that may change something, of a capability that says it only reads."""
    if shown.method in ASKING or life.bound is None or life.bound.spec.has_effect:
        return
    raise RefusedError(
        "PLUGIN_DENIED",
        f"plugin `{reach.plugin}` may not send a {shown.method} here: `{context.capability}` says that it only reads",
        hint="a READ may ask (GET, HEAD); what may change something is a WRITE, DELETE or EXECUTE",
    )


def _counted(context: LocalContext, life: CallLife) -> int:
    """The number of the next request of a call."""
    if life.requests >= REQUESTS_MAX or life.sending >= AT_ONCE_MAX:
        raise RefusedError(
            "HTTP_TOO_MANY",
            f"a call of `{context.capability}` may send {REQUESTS_MAX} requests, {AT_ONCE_MAX} at once",
            hint="wait for answers, and ask for several things with one request where the service lets you",
        )
    life.requests += 1
    return life.requests


def _unclaimed(error: NoEffectError) -> AssentError:
    """The same error without the claim that nothing has happened."""
    cause = error.__cause__
    if isinstance(cause, AssentError) and not isinstance(cause, NoEffectError):
        return cause
    kind = RefusedError if error.code == "EGRESS_DENIED" else InputError
    return kind(error.code, error.message, path=error.path, hint=error.hint, details=error.details)
