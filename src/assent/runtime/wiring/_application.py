"""The application of a runtime, on the machine's own clock, with the configuration that the workspace gives it."""

from __future__ import annotations

from msgspec.structs import replace

from assent import system
from assent.capabilities.area import Ground
from assent.invocation import GlobalContext, Health, HealthStatus, SecretGrant
from assent.runtime._areas import AREAS
from assent.runtime.settings._places import fault_of_state
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._gate import ReloadableGate


def application(settings: Settings, gate: ReloadableGate) -> GlobalContext:
    """The application that a runtime with these settings starts and shuts down."""
    app = GlobalContext(clock=system.SystemClock(), spawn=system.spawn, config=settings.app)

    async def policy() -> Health:
        if gate.is_open:
            return Health(detail=f"sha256 {gate.digest}")
        return Health(HealthStatus.FAILED, "it could not be reloaded: every new step is denied")

    async def state() -> Health:
        fault = fault_of_state(settings.state)
        return Health() if fault is None else Health(HealthStatus.FAILED, fault)

    app.add_health_check("policy", policy)
    app.add_health_check("state", state)
    ground = _ground(settings)
    for name, area in AREAS.items():
        area.offer(app, replace(ground, said=settings.areas[name]))
    return app


def ground_of(settings: Settings, area: str) -> Ground:
    """Where an area stands that serves a runtime with these settings."""
    return replace(_ground(settings), said=settings.areas[area])


def _ground(settings: Settings) -> Ground:
    """What is the same for all areas."""

    def grant_of(secret: str) -> SecretGrant | None:
        said = settings.secrets.secrets.get(secret)
        return None if said is None else SecretGrant(said.capabilities, said.hosts)

    return Ground(
        said={},
        workspace=settings.workspace,
        state=settings.state,
        homes=settings.configuration_homes,
        hidden=settings.hidden_files,
        read_only=settings.control_files,
        environ=system.environment(),
        clock=system.SystemClock(),
        entropy=system.SystemEntropy(),
        sandbox=settings.sandbox.detect,
        program_limits=settings.sandbox.default_limits,
        plan_expiry_ms=settings.limits.plan_expiry_ms,
        grant_of=grant_of,
    )
