"""The application of a runtime, on the machine's own clock, with the configuration that the workspace gives it."""

from __future__ import annotations

from pathlib import Path

from assent import system
from assent.capabilities.exec import Programs
from assent.capabilities.git import GitHome
from assent.capabilities.info import Machine
from assent.capabilities.net import Http
from assent.invocation import GlobalContext, Health, HealthStatus
from assent.runtime._exec_settings import rule_of
from assent.runtime._gate import ReloadableGate
from assent.runtime._net_settings import http_of
from assent.runtime.settings import Settings


def application(settings: Settings, gate: ReloadableGate) -> GlobalContext:
    """The application that a runtime with these settings starts and shuts down."""
    app = GlobalContext(clock=system.SystemClock(), spawn=system.spawn, config=settings.app)

    async def policy() -> Health:
        if gate.is_open:
            return Health(detail=f"sha256 {gate.digest}")
        return Health(HealthStatus.FAILED, "it could not be reloaded: every new step is denied")

    app.add_health_check("policy", policy)
    app.register(Programs, programs_of(settings), close=Programs.close)
    app.register(GitHome, settings.git.home(settings.workspace))
    app.register(Http, factory=lambda _: http_of(settings.net), close=Http.close)
    app.register(Machine, factory=lambda _: Machine(system.environment(), settings.told_variables))
    return app


def programs_of(settings: Settings) -> Programs:
    """The programs that calls may run; nothing is started."""

    def absolute(written: str) -> Path:
        return settings.workspace / Path(written).expanduser()

    return Programs(
        [rule_of(name, said, absolute) for name, said in settings.programs.items()],
        workspace=settings.workspace,
        home=settings.state / "sandbox",
        hidden=(settings.state, settings.key_path),
        environ=system.environment(),
        sandbox=settings.sandbox.detect,
        limits=settings.sandbox.default_limits,
    )
