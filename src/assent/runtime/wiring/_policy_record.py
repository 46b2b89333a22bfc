"""The policies that the ledger keeps: what decided once can still be read, explained and asked, whatever the files say today."""

from __future__ import annotations

from asyncio import shield
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from assent.errors import InputError, Json, WorldError
from assent.journal import Batch, Journal, JournalReader, Payload
from assent.policy import PolicyEngine
from assent.spec.ids import Commitment
from assent.spec.policy import Policy
from assent.spec.values.canonical import canonical_json, commit, fingerprint, parse_json

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Callable

    from assent.invocation import Spawn
    from assent.runtime.wiring._gate import ReloadableGate
    from assent.spec.ports import Clock, Entropy

COMPILED_MAX: Final = 16
"""Policies of the ledger that stay compiled."""


class LedgerPolicies:
    """The engine's `PolicyRecord`: records what was put into force, once with each circumstances, and reads it back.

    The look at whether something is to be recorded is all that a call pays, and one look at the ledger all that a process does
    whose policy is there already.
    """

    def __init__(
        self,
        gate: ReloadableGate,
        circumstances: Callable[[], dict[str, Json]],
        journal: Journal,
        *,
        clock: Clock,
        entropy: Entropy,
        spawn: Spawn,
    ) -> None:
        # Before this nothing was recorded, so only what is in force now can be named.
        self._unrecorded = gate.unrecorded
        self._unrecorded.clear()
        self._unrecorded[gate.digest] = gate.engine
        self._circumstances = circumstances
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._spawn = spawn
        self._work: Task[None] | None = None
        self._compiled: OrderedDict[str, PolicyEngine] = OrderedDict()

    @property
    def is_behind(self) -> bool:
        """Whether a policy was put into force that may not be on record yet."""
        return bool(self._unrecorded)

    async def catch_up(self) -> None:
        """Record what is missing; runs that come at once wait for the same append. Raises what stopped it."""
        while self._unrecorded:
            if self._work is None or self._work.done():
                self._work = self._spawn(self._record(), name="policies")
            # INVARIANT: who gives up leaves it to end: nobody could tell whether it is durable, and it would be recorded twice.
            await shield(self._work)

    async def _record(self) -> None:
        from assent.spec.events.kinds import PolicyRecorded

        circumstances = self._circumstances()
        circumstances_digest = fingerprint(circumstances)
        for digest, engine in [*self._unrecorded.items()]:
            key = {"policy": digest, "circumstances": circumstances_digest}
            if not await self._journal.rows("policies_kept", key, limit=1):
                document, said = self._payload(engine.policy.to_json()), self._payload(circumstances)
                event = PolicyRecorded(
                    digest=digest,
                    document=document.commitment,
                    circumstances_digest=circumstances_digest,
                    circumstances=said.commitment,
                )
                at_ms = self._clock.now_ms()
                await self._journal.append(
                    Batch(run=None, expected_n=0, at_ms=at_ms, events=(event,), payloads=(document, said))
                )
            self._remember(digest, self._unrecorded.pop(digest, engine))

    def _payload(self, value: Json) -> Payload:
        salt, body = self._entropy.salt(), canonical_json(value)
        return Payload(commit(salt, body), salt, body)

    async def find(self, digest: str) -> PolicyEngine | None:
        """The policy under a digest, compiled once; what was put into force and is not on record yet included."""
        found = self._unrecorded.get(digest) or self._compiled.get(digest)
        if found is None:
            found = await recorded_policy(self._journal, digest)
            if found is not None:
                self._remember(digest, found)
        return found

    def _remember(self, digest: str, engine: PolicyEngine) -> None:
        self._compiled[digest] = engine
        if len(self._compiled) > COMPILED_MAX:
            self._compiled.popitem(last=False)


async def recorded_policy(journal: JournalReader, digest: str) -> PolicyEngine | None:
    """The policy that a ledger keeps under a digest, compiled; None where it keeps none, as of an earlier Assent.

    `RECORD_CORRUPT` where it is not the one that the digest names, `POLICY_INVALID` where a later Assent wrote it.
    """
    rows = await journal.rows("policies_kept", {"policy": digest}, limit=1)
    body = await journal.payload(Commitment(str(rows[0]["document"]))) if rows else None
    if body is None:
        return None
    policy = Policy.from_json(parse_json(body))
    if policy.digest != digest:
        raise WorldError(
            "RECORD_CORRUPT",
            f"the policy that the ledger keeps as `{digest[:16]}…` is another one",
            hint="run `assent audit verify`; nothing more is done with this record",
        )
    try:
        return PolicyEngine(policy)
    except InputError as fault:
        raise InputError("POLICY_INVALID", f"a recorded policy can't be read: {fault.message}") from None
