"""What the calls of one runtime go through: the pipeline, with what programs may attach to it before the runtime opens."""

from __future__ import annotations

import asyncio
import os
from functools import cache, partial
from pathlib import Path

from assent import system
from assent.capabilities.fs import spelled_below, spelled_on_host
from assent.engine import Limits, Services
from assent.invocation import (
    Gate,
    GlobalContext,
    HookLevel,
    Hooks,
    Invoker,
    Lifecycle,
    Metrics,
    Pipeline,
)
from assent.journal import Ed25519FileSigner
from assent.runtime.settings import effective as settings
from assent.runtime.wiring._rates import rate_limiter, remember_calls
from assent.runtime.wiring._secrets import SECRET_BINDING, runtime_secrets
from assent.spec.ports import FineClock
from assent.spec.spelled_fields import (
    HOST_PATH_FORMAT,
    PATH_FORMAT,
    PROJECT_FORMAT,
    TEMPLATE_FORMAT,
    URL_FORMAT,
    Spellings,
)


class Calling:
    """The hooks, listeners and counts of one runtime; they outlive a pipeline, which is made when the runtime opens."""

    def __init__(
        self, gate: Gate, app: GlobalContext, metrics: Metrics, configured: settings.Settings
    ) -> None:
        self.hooks = Hooks(HookLevel.GLOBAL)
        self.lifecycle = Lifecycle()
        self.secrets = runtime_secrets(metrics, configured.secrets)
        self.spellings = spellings(configured.workspace)
        self._rates = configured.limits.rates
        self._gate = gate
        self._app = app
        self._metrics = metrics

    async def open(self, services: Services, signer: Ed25519FileSigner) -> None:
        """The runtime opens, on the running loop: threads may read secrets, and calls of earlier processes count.

        What a secret was when it was used is bound in the ledger under a key of the ledger's own.
        """
        self.secrets.bind_with(cache(partial(signer.derive, SECRET_BINDING)))
        self.secrets.attach(asyncio.get_running_loop())
        pipeline, now_ms = services.pipeline, services.clock.now_ms()
        await remember_calls(pipeline.rates, pipeline.quotas, self._gate.limits, services.journal, now_ms)

    def pipeline(self, invoker: Invoker, clock: FineClock | None = None) -> Pipeline:
        """The one way of every call that this runtime makes."""
        clock = clock or system.SystemClock()
        return Pipeline(
            invoker,
            self._gate,
            clock=clock,
            ids=system.SystemIds(),
            hooks=self.hooks,
            lifecycle=self.lifecycle,
            metrics=self._metrics,
            app=self._app,
            secrets=self.secrets,
            rates=rate_limiter(self._rates, clock),
            spellings=self.spellings,
            spawn=system.spawn,
        )


def spellings(workspace: Path) -> Spellings:
    """What brings the paths, URLs and projects of a call in this workspace into their normal form."""
    tops = tuple(dict.fromkeys((str(workspace.absolute()), os.path.realpath(workspace))))
    return {
        PATH_FORMAT: partial(spelled_below, tops),
        HOST_PATH_FORMAT: partial(spelled_on_host, tops),
        URL_FORMAT: _url,
        TEMPLATE_FORMAT: _template,
        PROJECT_FORMAT: _project,
    }


def _url(text: str) -> str:
    from assent.capabilities.net._url import (
        normal_url,
    )  # its libraries take milliseconds, and few calls have a URL

    return normal_url(text)


def _template(text: str) -> str:
    from assent.capabilities.net._url import normal_template  # as above

    return normal_template(text)


def _project(text: str) -> str:
    from assent.capabilities.findings import project_of  # as above

    ident, name = project_of(text)
    return name or ident


def bounds(limits: settings.Limits) -> Limits:
    """The bounds of the body, as the settings give them."""
    return Limits(
        concurrent_steps=limits.concurrency,
        concurrent_steps_of_all=limits.concurrency_of_all,
        runs=limits.runs,
        queue=limits.queue,
        step_timeout_s=limits.step_timeout_ms / 1000,
        foreach_items=limits.foreach_items,
        payload_bytes=limits.payload_bytes,
    )
