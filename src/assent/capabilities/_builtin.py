"""The capabilities that every runtime has.

Theory of operation. A capability is described in Python, and describing is costly: its module is imported with all that stands
behind it, and pydantic builds a model for both ends of the call. Nobody waits for that at every start. What follows from the
descriptions is written down beforehand, in one `catalog.json` for each area, and read at the start; the module behind a
capability is imported when the first of its parts is needed. A test holds the files equal to the descriptions. What is written
is the law: where another release of pydantic would derive a schema in other words, the capability stays the one that it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from assent.invocation import Capability, DeferredHandler, Handler
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import Fingerprint
from assent.spec.values.typed import decoder

_HOME: Final = Path(__file__).parent


class CatalogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down of one capability: its canonical spec, what is known of its handler, and where that stands."""

    module: str
    fingerprint: Fingerprint
    handler: Fingerprint
    parts: tuple[str, ...]
    rehearsable: bool
    spec: dict[str, Any]  # `Any`: JSON, which the spec itself reads
    in_plans: bool = False


_DECODER: Final = decoder(dict[str, CatalogEntry])


def builtin_capabilities() -> list[Capability[..., Any]]:  # `Any`: each has its own result
    """All of them as they are described: every module is imported, which a start does without (see `builtin_catalog`)."""
    return [one for module in catalogs().values() for one in described_in(module)]


def described_in(module: str) -> tuple[Capability[..., Any], ...]:  # `Any`: as above
    """Those of one area, in the order of its table."""
    found: tuple[Capability[..., Any], ...] = import_module(module).CAPABILITIES
    return found


def is_read_in_plans(module: str) -> bool:
    """Whether a plan may run what of an area only reads: it says so itself, as `READ_IN_PLANS`."""
    return bool(getattr(import_module(module), "READ_IN_PLANS", False))


@cache
def builtin_catalog() -> tuple[tuple[CapabilitySpec, DeferredHandler], ...]:
    """All of them as they were written down, none of their code imported yet; by area, and in it by id and version.

    Read once: the files belong to the program.
    """
    return tuple(_read(entry) for path in catalogs() for entry in _DECODER.decode(path.read_bytes()).values())


def catalogs() -> Mapping[Path, str]:
    """The file of each area, and the module that it is written from. A folder with `_capabilities.py` is an area."""
    modules = sorted(_HOME.glob("*/_capabilities.py"))
    return {
        module.with_name("catalog.json"): f"{__package__}.{module.parent.name}.{module.stem}"
        for module in modules
    }


def _read(entry: CatalogEntry) -> tuple[CapabilitySpec, DeferredHandler]:
    spec = CapabilitySpec.from_json(entry.spec, entry.fingerprint)
    handler = DeferredHandler(
        parts=frozenset(entry.parts),
        rehearsable=entry.rehearsable,
        in_plans=entry.in_plans,
        known_fingerprint=entry.handler,
        load=partial(_load, entry.module, spec.reference),
    )
    return spec, handler


def _load(module: str, reference: str) -> Handler:
    # INVARIANT: the file was written from the module's table, so it is there.
    return next(one.handler for one in described_in(module) if f"{one.id}@{one.claims.version}" == reference)
