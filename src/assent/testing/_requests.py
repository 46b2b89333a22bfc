"""Requests of calls that a test makes: held back, or sent as those of a run would be, and counted.

A promise is tried with a dozen calls, and some of them are broken off. So nothing is sent before somebody says so, and inputs
that were made up are sent to nobody at all. What is sent goes where the plugin's manifest and `[net]` both let it; a secret is
put in only where the configuration binds it to hosts, and nobody gets its value.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from assent import system
from assent.errors import AssentError, InputError, RefusedError
from assent.invocation import GlobalContext, LocalContext, Metrics, NoEffectError
from assent.invocation.call._sending import Sending
from assent.invocation.context.local import CallLife, Surroundings
from assent.invocation.context.outbound import Admit, Outbound, Reveal, Shown
from assent.spec.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from asyncio import Task
    from concurrent.futures import Future

    from assent.invocation import Secret, Secrets
    from assent.invocation.context.http import HttpAnswer, HttpRequest
    from assent.runtime.settings.effective import Settings

UNAVAILABLE: Final = "HTTP_UNAVAILABLE"

CONTRACT: Final = Principal(PrincipalKind.USER, "contract")

Needs: TypeAlias = Literal["send", "example"]
"""What has to be there before a call's requests are sent: the word, or an example of the call that its author wrote."""


class Requests:
    """What becomes of the requests of a plugin's calls; without settings there are no rules to send them by.

    `needs`: what is missing before they are sent; None when they are. `sent` counts what left, by method and origin.
    """

    def __init__(self, settings: Settings | None = None, *, needs: Needs | None = "send") -> None:
        self.settings: Final = settings
        self.needs: Final = needs
        self.sent: Counter[tuple[str, str]] = Counter()
        self._last: TrialSurroundings | None = None

    def held_for_examples(self) -> Requests:
        """The same, and nothing is sent: the inputs were made up."""
        return Requests(self.settings, needs="example")

    @property
    def was_held(self) -> bool:
        """Whether a request was held back since `around` was last entered."""
        return self._last is not None and self._last.was_held

    @asynccontextmanager
    async def around(self, app: GlobalContext | None) -> AsyncIterator[TrialSurroundings]:
        """What the calls of one clause have around them, in the loop that enters this. Connections are closed at the end."""
        if self.settings is None:
            self._last = TrialSurroundings(app)
            yield self._last
            return
        from assent.capabilities.net import Outgoing
        from assent.capabilities.net.area import http_of

        http = http_of(self.settings.areas["net"])
        try:
            self._last = TrialSurroundings(app, self.settings, Way(Outgoing(http), self))
            yield self._last
        finally:
            await http.close()


class TrialSurroundings(Surroundings):
    """What the calls of one clause have around them."""

    def __init__(
        self, app: GlobalContext | None, settings: Settings | None = None, outbound: Outbound | None = None
    ) -> None:
        self.app = app
        self.principal: Final = CONTRACT if settings is None else settings.principal
        self.was_held = False
        self._settings, self._outbound = settings, outbound
        self._secrets: Secrets | None = None
        self._loop = asyncio.get_running_loop()

    def spawn(self, context: LocalContext, work: Coroutine[Any, Any, Any], name: str) -> Task[Any]:
        """See `Surroundings.spawn`."""
        del context
        return system.spawn(work, name=name)

    async def request(self, context: LocalContext, life: CallLife, request: HttpRequest) -> HttpAnswer:
        """See `Surroundings.request`. INVARIANT: nothing leaves for a capability whose reach no manifest says."""
        try:
            if self._outbound is None or life.reach is None:
                return await super().request(context, life, request)

            async def read(names: tuple[str, ...], host: str) -> Mapping[str, Secret]:
                return {name: await self._read(name, host, context, life) for name in names}

            return await Sending(self._outbound, read, context, life).send(request)
        except AssentError as error:
            self.was_held = self.was_held or error.code == UNAVAILABLE
            raise

    def begin_request(
        self, context: LocalContext, life: CallLife, request: HttpRequest
    ) -> Future[HttpAnswer]:
        work = self.request(context, life, request)
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise InputError("CALL_ENDED", "the test of this call is over") from None

    async def _read(self, name: str, host: str, context: LocalContext, life: CallLife) -> Secret:
        """A secret for a request. Nobody may have agreed to the plugin yet, so no secret goes where nobody said that it may."""
        from assent.runtime.wiring._secrets import runtime_secrets

        assert self._settings is not None  # INVARIANT: what sends is made of them
        settings = self._settings.secrets
        said = settings.secrets.get(name)
        if said is None or not said.hosts:
            raise RefusedError(
                "SECRET_NOT_GRANTED",
                f"the secret `{name}` is bound to no hosts, and a test sends no such secret anywhere",
                hint=f'say where it may go: `hosts = ["{host}"]` under `[secrets."{name}"]` in assent.toml',
            )
        if self._secrets is None:
            self._secrets = runtime_secrets(Metrics(), settings)
        return await self._secrets.read(name, capability=context.capability, granted=life.granted, host=host)


class Way(Outbound):
    """The way out of one clause's requests: it sends nothing, or counts what it sends."""

    def __init__(self, outbound: Outbound, requests: Requests) -> None:
        self._outbound, self._requests = outbound, requests

    def shown(self, request: HttpRequest) -> Shown:
        return self._outbound.shown(request)

    async def send(
        self, context: LocalContext, request: HttpRequest, *, admit: Admit, reveal: Reveal
    ) -> HttpAnswer:
        requests = self._requests
        if requests.needs is not None:
            raise held(context, requests.needs)
        asked = 0

        def admitting(method: str, scheme: str, host: str, port: int) -> None:
            nonlocal asked
            asked += 1
            admit(method, scheme, host, port)

        has_left = True
        try:
            return await self._outbound.send(context, request, admit=admitting, reveal=reveal)
        except (InputError, NoEffectError, RefusedError) as error:
            # What is refused at its beginning has not left; what is refused where an answer led on to was sent before.
            has_left = asked > 1 or "redirects" in error.details
            raise
        finally:
            if has_left:
                shown = self.shown(request)
                host = f"[{shown.host}]" if ":" in shown.host else shown.host
                requests.sent[shown.method, f"{shown.scheme}://{host}:{shown.port}"] += 1


def held(context: LocalContext, needs: Needs) -> InputError:
    """The error of a request that is held back."""
    if needs == "send":
        return InputError(
            UNAVAILABLE,
            f"`{context.capability}` sends a request, and a test sends none before somebody says so",
            hint="let its examples be sent: assent plugin test … --send",
        )
    return InputError(
        UNAVAILABLE,
        f"`{context.capability}` sends a request, and inputs that were made up are sent to nobody",
        hint="write an example of its call into `CASES` of the plugin's module `contract`",
    )
