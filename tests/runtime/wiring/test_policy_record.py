"""The ledger keeps each policy once with each circumstances, before the first event that names it, and gives it back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from assent.errors import InputError, WorldError
from assent.journal import Batch, leaves_at_once
from assent.policy import PolicyEngine
from assent.runtime.wiring._policy_record import LedgerPolicies, recorded_policy
from assent.spec.events.kinds import Leaf, PolicyRecorded, StepStarted
from assent.spec.ids import RunId
from assent.spec.policy import Policy
from assent.spec.values.canonical import fingerprint, parse_json
from tests.support.bodies import Bench, Place, policy, rule

FIRST, SECOND = policy(rule("first", without_approval=True)), policy(rule("second", without_approval=True))


def leaves(rt: Bench) -> list[Leaf]:
    return [*leaves_at_once(rt._core.ready.journal)]


def kept(rt: Bench) -> list[PolicyRecorded]:
    return [leaf.event for leaf in leaves(rt) if isinstance(leaf.event, PolicyRecorded)]


def text(place: Place, document: dict[str, Any]) -> None:
    place.policy = place.root / "policy.yaml"
    place.policy.write_text(str(document))


async def test_each_pair_is_kept_once_and_what_it_says_is_what_its_digests_name(tmp_path: Path) -> None:
    """Another process writes it no second time; other limits are other circumstances."""
    place = Place(tmp_path, policy=FIRST)
    found: list[PolicyRecorded] = []
    for said in ("", "", "[limits]\nconcurrency = 3\n"):
        place.settings()
        (place.workspace / "assent.toml").write_text(said)
        async with place.open() as rt:
            await rt.call("sys.noop", {})
            found = kept(rt)
            journal = rt._core.ready.journal
            for one in found:
                for commitment, digest in (
                    (one.document, one.digest),
                    (one.circumstances, one.circumstances_digest),
                ):
                    assert fingerprint(parse_json(await journal.payload(commitment) or b"")) == digest
    assert len(found) == 2
    assert len({one.digest for one in found}) == 1


async def test_a_policy_that_is_read_again_is_there_before_what_it_decided(tmp_path: Path) -> None:
    """Of every event that names one, also of runs that go on, and where two begin at once."""
    place = Place(tmp_path)
    text(place, FIRST)
    async with place.open() as rt:
        session = await rt.session()
        await session.call("sys.noop", {})
        for document in (SECOND, FIRST, SECOND):
            text(place, document)
            rt.reload_policy()
            await session.call("sys.noop", {})
        known: set[str] = set()
        for leaf in leaves(rt):
            if isinstance(leaf.event, PolicyRecorded):
                assert leaf.event.digest not in known
                known.add(leaf.event.digest)
            assert getattr(leaf.event, "policy", None) in {None, *known}
        asked = [leaf.event for leaf in leaves(rt) if isinstance(leaf.event, StepStarted)]
        assert all(one.policy != other.policy for one, other in pairwise(asked))
        assert len(known) == 2


async def test_erasing_runs_leaves_the_policy_and_it_can_be_asked(tmp_path: Path) -> None:
    place = Place(tmp_path, policy=FIRST)
    async with place.open() as rt:
        run, core = (await rt.call("sys.noop", {})).run_id, rt._core
        await core.ready.journal.erase(RunId(run), who=core.actor(None).who(), at_ms=1)
    place.policy = SECOND
    async with place.open() as rt:
        digest = PolicyEngine.from_dict(FIRST).digest
        for _ in range(2):
            found = await rt._core.ready.policies.find(digest)
            assert found is not None
            assert (found.digest, found.policy.rules[0].id) == (digest, "first")
        assert await rt._core.ready.policies.find("0" * 64) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"rules": []}, "RECORD_CORRUPT"),
        ({"more": 1}, "POLICY_INVALID"),
        ({"default": "MAYBE"}, "POLICY_INVALID"),
    ],
)
async def test_a_policy_that_is_not_the_one_its_digest_names_decides_nothing(
    tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    """Who has the key can bind any payload; a later Assent may have written what this one does not know."""
    place = Place(tmp_path, policy=FIRST)
    async with place.open() as rt:
        await rt.call("sys.noop", {})
        policies, journal = rt._core._policies, rt._core.ready.journal
        assert isinstance(policies, LedgerPolicies)
        said = Policy.from_json(parse_json(await journal.payload(kept(rt)[0].document) or b"")).to_json()
        document, other = policies._payload({**said, **change}), policies._payload({})
        event = PolicyRecorded(
            digest="a" * 64,
            document=document.commitment,
            circumstances_digest=fingerprint({}),
            circumstances=other.commitment,
        )
        batch = Batch(run=None, expected_n=0, at_ms=1, events=(event,), payloads=(document, other))
        await journal.append(batch)
        with pytest.raises((WorldError, InputError)) as raised:
            await recorded_policy(journal, "a" * 64)
        assert raised.value.code == code
