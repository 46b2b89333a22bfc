"""Where a scan may go: the target within the scope, the addresses that its name has, and whether the kernel holds it there."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from assent.capabilities.exec._programs import in_thread
from assent.capabilities.net._resolver import SystemResolver
from assent.capabilities.scan._options import ports_of
from assent.capabilities.scan._scope import Scope, out_of_scope
from assent.capabilities.scan._target import Address, NetTarget, net_target
from assent.invocation import LocalContext, NoEffectError
from assent.spec.values.json_fields import texts

if TYPE_CHECKING:
    from assent.capabilities.scan._manifest import Tool
    from assent.capabilities.scan._scanners import Scanners
    from assent.sandbox import NetworkScope, Sandbox

RESOLVING_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Where a scan may go: the scope, and the addresses that the target's name was found to have."""

    scope: Scope
    target: NetTarget
    addresses: tuple[Address, ...]
    enforced: bool
    left: timedelta | None
    """How long the scope lets it go on; None: as long as it likes."""

    @property
    def network(self) -> NetworkScope | None:
        """Where the sandbox ends the program's network; None where it can't."""
        if not self.enforced:
            return None
        where = self.target.where
        return self.scope.network({where: self.addresses} if isinstance(where, str) else {})

    def ports(self) -> str | None:
        """The ports to scan where nobody says which: the target's, else the scope's; None: what the scanner likes."""
        if self.target.port is not None:
            return str(self.target.port)
        ranges = (str(one) if one == last else f"{one}-{last}" for one, last in self.scope.ports)
        return ",".join(ranges) or None

    def require_ports(self, tool: Tool, chosen: Mapping[str, str | bool]) -> None:
        """Refuse ports that an option names and the scope does not. `NoEffectError` SCAN_OUT_OF_SCOPE."""
        for name, option in tool.options.items():
            if option.type != "ports" or not self.scope.ports:
                continue
            for first, last in ports_of(name, str(chosen.get(name) or self.ports())):
                if not any(low <= first and last <= high for low, high in self.scope.ports):
                    shown = str(first) if first == last else f"{first}-{last}"
                    raise out_of_scope(f"port {shown} is not in the scope")


async def reached(
    context: LocalContext, scanners: Scanners, sandbox: Sandbox, tool: Tool, text: str
) -> Reached:
    """Where a scan of this target may go. Names are asked for once: what was found is journaled, and holds from then on.

    `NoEffectError` SCAN_SCOPE_MISSING, SCAN_OUT_OF_SCOPE, SCAN_UNENFORCED, TARGET_INVALID, TARGET_UNRESOLVED.
    """
    assert tool.target != "path", "what has a path is scanned without a network"
    scope = scanners.scope()
    if scope is None:
        raise NoEffectError(
            "SCAN_SCOPE_MISSING",
            "nothing says what may be scanned",
            path="target",
            hint="name hosts or networks under `[scan.scope]` of assent.toml",
        )
    target = net_target(text, tool.target)
    scope.require(target, str(context.principal))
    left = scope.time_left(datetime.fromtimestamp(scanners.now_ms() / 1000, UTC))
    addresses: tuple[Address, ...] = ()
    if isinstance(target.where, str):
        before = texts(context.prepared, "addresses") if context.prepared is not None else []
        addresses = tuple(map(ipaddress.ip_address, before)) or await _addresses(target.where)
        scope.require_addresses(target.where, addresses)
    elif target.where.num_addresses == 1:
        addresses = (target.where[0],)
    missing = (
        await in_thread(sandbox.scope_missing)
        if sandbox.holds.is_confined
        else "nothing confines programs here"
    )
    if missing is not None and not scanners.may_be_unenforced:
        raise unenforced("a scanner can't be held to the scope on this machine", f"{missing}. ")
    return Reached(scope=scope, target=target, addresses=addresses, enforced=missing is None, left=left)


def unenforced(message: str, why: str = "") -> NoEffectError:
    """Whoever agreed to a scan took the scope for a wall."""
    hint = f"{why}`unenforced_scope = true` under `[scan]` lets scans run all the same"
    return NoEffectError("SCAN_UNENFORCED", message, hint=hint)


async def _addresses(name: str) -> tuple[Address, ...]:
    try:
        async with asyncio.timeout(RESOLVING_S):
            return tuple(await SystemResolver().addresses(name, 0))
    except OSError as error:  # a timeout is one, too
        raise NoEffectError(
            "TARGET_UNRESOLVED",
            f"no address is known of `{name}`",
            path="target",
            hint="check its spelling, and that this machine can ask for names",
        ) from error
