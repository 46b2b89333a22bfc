"""What a plugin registers: the capabilities that its modules describe, and nothing that it does not show in its code."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

from assent.errors import AssentError, InputError, Json, RefusedError
from assent.invocation import Handler, capabilities_in
from assent.plugins._agreement import agree
from assent.plugins._trust import CheckedPlugin
from assent.spec.capability import CapabilitySpec


def registrations_of(
    plugin: CheckedPlugin, modules: Iterable[ModuleType]
) -> tuple[tuple[CapabilitySpec, Handler], ...]:
    """The capabilities of a plugin's imported modules, held against its manifest.

    Raises what a wrong declaration raises (DECLARATION_INVALID), and `RefusedError` PLUGIN_DIFFERS with every difference.
    """
    found: list[tuple[CapabilitySpec, Handler]] = []
    for module in modules:
        for one in capabilities_in(module):
            try:
                found.append((one.spec, one.handler))
            except AssentError:
                raise
            except Exception as error:
                reason = " ".join(str(error).split())[:500] or "no reason given"
                raise InputError(
                    "PLUGIN_FAILED",
                    f"capability `{one.id}` of plugin `{plugin.name}` can't be built: {reason}",
                    path=one.place,
                ) from error
    differences = agree(plugin.manifest, found)
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        listed: list[Json] = [one.to_json() for one in differences]
        raise RefusedError(
            "PLUGIN_DIFFERS",
            f"plugin `{plugin.name}` registers what its code does not show: {differences[0]}{more}",
            hint="nothing of it stays registered; each capability has to be imported by the entry module, and say constants",
            details={"differences": listed},
        )
    return tuple(sorted(found, key=lambda pair: pair[0].reference))
