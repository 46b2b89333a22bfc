"""The application of a runtime, on the machine's own clock, with the configuration that the workspace gives it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assent import system
from assent.invocation import GlobalContext, Health, HealthStatus
from assent.runtime._gate import ReloadableGate
from assent.runtime.settings import Settings

if TYPE_CHECKING:
    from assent.capabilities.exec import Programs
    from assent.capabilities.git import GitHome
    from assent.capabilities.info import Machine
    from assent.capabilities.net import Http
    from assent.invocation.outbound import Outbound


def application(settings: Settings, gate: ReloadableGate) -> GlobalContext:
    """The application that a runtime with these settings starts and shuts down."""
    app = GlobalContext(clock=system.SystemClock(), spawn=system.spawn, config=settings.app)

    async def policy() -> Health:
        if gate.is_open:
            return Health(detail=f"sha256 {gate.digest}")
        return Health(HealthStatus.FAILED, "it could not be reloaded: every new step is denied")

    app.add_health_check("policy", policy)
    # Each is made when a call first needs it: a run that only writes a file imports none of them.
    hands = "assent.capabilities"
    app.offer(f"{hands}.exec._programs.Programs", lambda: programs_of(settings), close=_close_programs)
    app.offer(f"{hands}.git._home.GitHome", lambda: _git_home(settings))
    app.offer(f"{hands}.net._client.Http", lambda: _http(settings), close=_close_http)
    app.offer("assent.invocation.outbound.Outbound", lambda: _outbound(app))
    app.offer(f"{hands}.info._machine.Machine", lambda: _machine(settings))
    return app


def programs_of(settings: Settings) -> Programs:
    """The programs that calls may run; nothing is started."""
    from assent.capabilities.exec import Programs
    from assent.runtime._exec_settings import rule_of

    def absolute(written: str) -> Path:
        return settings.workspace / Path(written).expanduser()

    return Programs(
        [rule_of(name, said, absolute) for name, said in settings.programs.items()],
        workspace=settings.workspace,
        home=programs_home(settings),
        hidden=(settings.state, settings.key_path),
        environ=system.environment(),
        sandbox=settings.sandbox.detect,
        limits=settings.sandbox.default_limits,
        now_ms=system.SystemClock().now_ms,
        expiry_ms=settings.limits.plan_expiry_ms,
    )


def programs_home(settings: Settings) -> Path:
    """Where programs run, and what they wrote is kept until it is applied."""
    return settings.state / "sandbox"


def _close_programs(programs: Programs) -> None:
    programs.close()


def _http(settings: Settings) -> Http:
    from assent.runtime._net_settings import http_of

    return http_of(settings.net)


def _outbound(app: GlobalContext) -> Outbound:
    from assent.capabilities.net import Http, Outgoing

    return Outgoing(app.get(Http))


async def _close_http(http: Http) -> None:
    await http.close()


def _git_home(settings: Settings) -> GitHome:
    return settings.git.home(settings.workspace)


def _machine(settings: Settings) -> Machine:
    from assent.capabilities.info import Machine

    return Machine(system.environment(), settings.told_variables)
