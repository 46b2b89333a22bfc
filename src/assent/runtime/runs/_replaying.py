"""Replaying with what is registered and in force here. Loaded when somebody replays or freezes a run, and not before."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from assent.engine import Services
from assent.engine.ports import Catalogue, NoNotices, NoPolicyRecord
from assent.engine.replay import (
    Recording,
    ReplayCatalogue,
    ReplayReport,
    Script,
    compare,
    fingerprints,
    replay,
    require_simulable,
)
from assent.errors import AssentError, InputError, Json
from assent.invocation import BoundCapability
from assent.journal import Ed25519FileSigner, MemoryJournal
from assent.runtime.capabilities._registered import Capabilities


def catalogue_of(recording: Recording, capabilities: Capabilities) -> Catalogue:
    """The catalogue that the run had; today's for a run of another ledger, which counted other changes."""
    is_elsewhere = bool(recording.capabilities)
    created = recording.created
    return capabilities.of_run(None if is_elsewhere else created.catalogue, created.pins)


async def replay_recording(
    recording: Recording,
    services: Services,
    capabilities: Capabilities,
    capability_version: str | None,
) -> ReplayReport:
    """Run a recording again and compare; see `Core.replay`. `services` lend their gate, pipeline, limits and roles."""
    script = Script(recording)
    catalogue, now = catalogue_of(recording, capabilities), capabilities.current()
    # The version to be tried may have come after the run.
    live = _live(recording, now, capability_version)
    for bound in live.values():
        require_simulable(bound)
    signer = Ed25519FileSigner("replay", bytes(32))
    journal = MemoryJournal(signer_for=signer.named, clock=services.clock, entropy=services.entropy)
    own = msgspec.structs.replace(
        services,
        journal=journal,
        blobs=journal.blobs,
        world=services.world.simulate(),
        policies=NoPolicyRecord(),
        notices=NoNotices(),
    )
    replayed = await replay(
        recording, own, ReplayCatalogue(catalogue, now, script, live), script, live=frozenset(live)
    )
    return compare(
        recording,
        replayed,
        policy=services.gate.digest,
        against={ident: bound.spec.version for ident, bound in live.items()},
        capabilities=_changed(recording, catalogue),
    )


def _live(recording: Recording, catalogue: Catalogue, wanted: str | None) -> Mapping[str, BoundCapability]:
    """What really runs: `VERSION` of the run's only capability, or `ID@VERSION` of one of them."""
    if wanted is None:
        return {}
    called = [*recording.versions()]
    ident, at, version = wanted.rpartition("@")
    if not at:
        if len(called) != 1:
            listed = ", ".join(f"`{name}`" for name in called) or "none"
            raise InputError(
                "REPLAY_AMBIGUOUS",
                f"run `{recording.run}` called {len(called)} capabilities, and `{wanted}` may be of any: {listed}",
                hint=f"name it: `--capability-version {called[0]}@{wanted}`" if called else None,
            )
        ident = called[0]
    elif ident not in called:
        raise InputError(
            "REPLAY_AMBIGUOUS",
            f"run `{recording.run}` did not call `{ident}`",
            hint=f"it called {', '.join(called)}" if called else None,
        )
    return {ident: catalogue.find(f"{ident}@{version}")}


def _changed(recording: Recording, catalogue: Catalogue) -> tuple[dict[str, Json], ...]:
    """The capabilities that are not here as they were recorded: gone, or with another spec or handler."""
    found: list[dict[str, Json]] = []
    for reference, (spec, handler) in fingerprints(recording).items():
        try:
            bound = catalogue.exact(*reference.rsplit("@", 1))
        except AssentError:
            found.append({"capability": reference, "changed": "missing"})
            continue
        if bound.spec.fingerprint != spec:
            found.append({"capability": reference, "changed": "spec"})
        elif bound.handler_fingerprint != handler:
            found.append({"capability": reference, "changed": "handler"})
    return tuple(found)
