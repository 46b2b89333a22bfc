"""What a plugin registers: the capabilities that its modules describe, and nothing that it does not show in its code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from assent.errors import Json, RefusedError
from assent.invocation import Handler
from assent.plugins._agreement import agree
from assent.spec.capability import CapabilitySpec
from assent.spec.reach import Reach

if TYPE_CHECKING:
    from assent.plugins.manifest import Manifest


def require_agreement(
    name: str, manifest: Manifest, found: Sequence[tuple[CapabilitySpec, Handler]]
) -> tuple[tuple[CapabilitySpec, Handler], ...]:
    """What plugin `name` brings, by reference, when its manifest says the same; PLUGIN_DIFFERS tells every difference.

    Its calls reach what the manifest declares, whichever host runs them.
    """
    differences = agree(manifest, found)
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        listed: list[Json] = [one.to_json() for one in differences]
        raise RefusedError(
            "PLUGIN_DIFFERS",
            f"plugin `{name}` registers what its code does not show: {differences[0]}{more}",
            hint="nothing of it stays registered; each capability has to be imported by the entry module, and say constants",
            details={"differences": listed},
        )
    reach = Reach.of(name, manifest.declaration.permissions.network)
    ordered = sorted(found, key=lambda pair: pair[0].reference)
    return tuple((spec, replace(handler, reach=reach)) for spec, handler in ordered)
