"""Secrets: kept for their time, fetched once at a time, given to whom they are granted, and shown nowhere."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import hmac
import json
import pickle
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pydantic import BaseModel, TypeAdapter

from assent.errors import AssentError, Json, RefusedError, WorldError
from assent.invocation import (
    AccessOutcome,
    EnvironmentSecrets,
    Fetched,
    Secret,
    SecretAccess,
    SecretLimits,
    Secrets,
)
from assent.secrets.access import secret_binding
from assent.secrets.grants import SecretGrant
from assent.secrets.revealing import filled, names_in
from assent.spec.secret_text import SecretText
from assent.spec.types import SecretReference
from tests.support.properties import holds

LIMITS = SecretLimits(ttl_ms=1000, ttl_min_ms=500, ttl_max_ms=5000)
NAMES = st.sampled_from(["a", "b", "mail/token"])


@dataclass
class Clock:
    """Time that only the test moves."""

    ms: int = 0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms


@dataclass
class Shelf:
    """A provider: what it has, whether it works, and what it was asked for."""

    name: str = "shelf"
    values: dict[str, str] = field(default_factory=dict)
    ttl_ms: int | None = None
    works: bool = True
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    at_once: int = 0
    most_at_once: int = 0

    async def fetch(self, name: str) -> Fetched | None:
        self.asked.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.at_once -= 1
        if not self.works:
            raise OSError(f"could not read {self.values.get(name)}")
        value = self.values.get(name)
        return Fetched(Secret(value), self.ttl_ms) if value is not None else None


def service(*shelves: Shelf, clock: Clock | None = None, log: list[SecretAccess] | None = None) -> Secrets:
    record = log.append if log is not None else (lambda access: None)
    return Secrets(shelves, clock=clock or Clock(), record=record, limits=LIMITS)


async def read(secrets: Secrets, name: str, *, fresh: bool = False) -> Secret:
    return await secrets.read(name, capability="mail.send", granted=[name], fresh=fresh)


async def settled(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@holds("secret_caching")
class Keeping(RuleBasedStateMachine):
    """The cache against a model of it: two providers that gain, lose and fail, and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.shelves = [Shelf("one"), Shelf("two", ttl_ms=3000)]
        self.log: list[SecretAccess] = []
        self.secrets = service(*self.shelves, clock=self.clock, log=self.log)
        self.loop = asyncio.new_event_loop()
        self.kept: dict[str, tuple[str, int]] = {}
        self.reads = 0

    def teardown(self) -> None:
        self.loop.close()

    @rule(shelf=st.integers(0, 1), name=NAMES, value=st.none() | st.sampled_from(["x", "y", "z"]))
    def put(self, shelf: int, name: str, value: str | None) -> None:
        if value is None:
            self.shelves[shelf].values.pop(name, None)
        else:
            self.shelves[shelf].values[name] = value

    @rule(shelf=st.integers(0, 1), works=st.booleans())
    def turn(self, shelf: int, *, works: bool) -> None:
        self.shelves[shelf].works = works

    @rule(ms=st.sampled_from([1, 999, 1000, 2000, 3000]))
    def wait(self, ms: int) -> None:
        self.clock.ms += ms

    @rule(name=NAMES)
    def forget(self, name: str) -> None:
        self.secrets.forget(name)
        self.kept.pop(name, None)

    @rule(name=NAMES, fresh=st.booleans(), together=st.integers(1, 4))
    def ask(self, name: str, together: int, *, fresh: bool) -> None:
        before = [len(shelf.asked) for shelf in self.shelves]

        async def all_at_once() -> list[Any]:
            asking = (read(self.secrets, name, fresh=fresh) for _ in range(together))
            return await asyncio.gather(*asking, return_exceptions=True)

        answers = self.loop.run_until_complete(all_at_once())
        self.reads += together
        kept = self.kept.get(name)
        must_fetch = fresh or kept is None or self.clock.ms >= kept[1]
        first, second = self.shelves
        asked = [len(shelf.asked) - count for shelf, count in zip(self.shelves, before, strict=True)]
        if not must_fetch:
            assert asked == [0, 0], "a secret is not fetched again within its time to live"
            assert kept is not None
            assert {answer.reveal() for answer in answers} == {kept[0]}
            return
        from_first = first.works and name in first.values
        # The first who forces it begins a fetch; all others came after that began, and share the one after it.
        fetches = 2 if fresh and together > 1 else 1
        assert asked == [fetches, 0 if from_first else fetches], "the next provider on absence or failure"
        if from_first or (second.works and name in second.values):
            value = (first if from_first else second).values[name]
            assert {answer.reveal() for answer in answers} == {value}
            self.kept[name] = (value, self.clock.ms + (1000 if from_first else 3000))
        else:
            code = "SECRET_MISSING" if first.works and second.works else "SECRET_UNAVAILABLE"
            assert {answer.code for answer in answers} == {code}

    @invariant()
    def one_fetch_at_a_time_and_each_access_on_the_record(self) -> None:
        assert all(shelf.most_at_once <= 1 for shelf in self.shelves)
        assert len(self.log) == self.reads


TestKeeping = Keeping.TestCase


@pytest.mark.parametrize(("wished", "kept"), [(None, 1000), (1, 500), (2000, 2000), (10**9, 5000)])
def test_a_time_to_live_stays_between_its_bounds(wished: int | None, kept: int) -> None:
    assert LIMITS.bounded_ttl_ms(wished) == kept


async def test_a_kept_value_is_fetched_again_when_its_time_is_over() -> None:
    shelf, clock = Shelf(values={"a": "x"}), Clock()
    secrets = service(shelf, clock=clock)
    for clock.ms, count in ((0, 1), (999, 1), (1000, 2)):
        await read(secrets, "a")
        assert len(shelf.asked) == count


async def test_a_forced_read_does_not_join_a_fetch_that_began_before_it() -> None:
    """Whoever forces a fetch has a reason to distrust what was on its way already."""
    shelf = Shelf(values={"a": "old"}, gate=asyncio.Event())
    assert shelf.gate is not None
    secrets = service(shelf)
    first = asyncio.ensure_future(read(secrets, "a"))
    await settled()
    forced = [asyncio.ensure_future(read(secrets, "a", fresh=True)) for _ in range(3)]
    plain = asyncio.ensure_future(read(secrets, "a"))
    await settled()
    shelf.gate.set()
    assert (await first).reveal() == "old"
    shelf.values["a"] = "new"
    assert [(await one).reveal() for one in forced] == ["new"] * 3
    assert (await plain).reveal() in ("old", "new")
    assert len(shelf.asked) == 2


async def test_a_cancelled_fetch_is_taken_over_by_the_next_who_waits() -> None:
    """The one who gave up takes nobody with it, and leaves no fetch running."""
    shelf = Shelf(values={"a": "x"}, gate=asyncio.Event())
    assert shelf.gate is not None
    secrets = service(shelf)
    leader = asyncio.ensure_future(read(secrets, "a", fresh=True))
    others = [asyncio.ensure_future(read(secrets, "a", fresh=fresh)) for fresh in (True, False)]
    await settled()
    leader.cancel()
    await settled()
    shelf.gate.set()
    assert [(await one).reveal() for one in others] == ["x", "x"]
    assert leader.cancelled()
    assert shelf.at_once == 0
    assert len(shelf.asked) == 2


async def test_a_kept_value_outlives_a_forced_fetch_that_failed() -> None:
    shelf = Shelf(values={"a": "x"})
    secrets = service(shelf)
    await read(secrets, "a")
    shelf.works = False
    with pytest.raises(WorldError):
        await read(secrets, "a", fresh=True)
    assert (await read(secrets, "a")).reveal() == "x"


async def test_a_provider_that_hangs_is_passed_over() -> None:
    slow = Shelf("slow", {"a": "x"}, gate=asyncio.Event())
    other = Shelf("other", {"a": "y"})
    secrets = Secrets(
        [slow, other], clock=Clock(), record=lambda access: None, limits=SecretLimits(fetch_ms=20)
    )
    assert (await read(secrets, "a")).reveal() == "y"


async def test_secrets_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.secrets.access.NAMES_MAX", 2)
    shelf = Shelf(values={"a": "1", "b": "2", "c": "3"})
    secrets = service(shelf)
    for name in ("a", "b", "a", "c", "a", "b"):
        await read(secrets, name)
    assert shelf.asked == ["a", "b", "c", "b"], "the one asked for longest ago makes room"
    secrets.forget()
    await read(secrets, "b")
    secrets.forget("never asked for")
    assert shelf.asked[-1] == "b"
    assert len(secrets._slots) == 2
    at_once = await asyncio.gather(*(read(secrets, name, fresh=True) for name in "abc"))
    assert [one.reveal() for one in at_once] == ["1", "2", "3"], "nobody who waits is made room of"


class Rotating:
    """A provider whose value has just replaced another one, and says where they are kept."""

    name = "rotating"

    async def fetch(self, name: str) -> Fetched:
        return Fetched(Secret("the new value"), provider="vault:mail", previous=Secret("the old value"))


async def test_the_value_that_was_replaced_is_told_and_hidden_as_long_as_the_new_one_is_kept() -> None:
    log: list[SecretAccess] = []
    heard: list[SecretAccess] = []
    secrets = Secrets([Rotating()], clock=Clock(), record=log.append, limits=LIMITS)
    assert secrets.previous("a") is None
    await secrets.read("a", capability="mail.send", granted=["a"], told=heard.append)
    assert secrets.previous("a") == Secret("the old value")
    assert secrets.redactor.text("the new value, the old value") == "***, ***"
    assert [access.provider for access in log] == ["vault:mail"]
    assert heard == log
    secrets.forget("a")
    assert secrets.previous("a") is None


async def test_whoever_keeps_a_secret_gets_it_or_its_failure_without_a_record() -> None:
    log: list[SecretAccess] = []
    secrets = service(Shelf(values={"a": "x", "no text": "\ud800"}), log=log)
    assert (await secrets.resolve("a")).reveal() == "x"
    for name, code in (("b", "SECRET_MISSING"), ("no text", "SECRET_UNAVAILABLE")):
        with pytest.raises(AssentError) as failed:
            await secrets.resolve(name)
        assert failed.value.code == code
    assert log == []


async def test_a_thread_reads_where_a_loop_was_attached() -> None:
    secrets = service(Shelf(values={"a": "x"}))
    with pytest.raises(AssentError) as closed:
        secrets.in_thread(read(secrets, "a"))
    assert closed.value.code == "RUNTIME_CLOSED"
    secrets.attach(asyncio.get_running_loop())
    found = await asyncio.to_thread(lambda: secrets.in_thread(read(secrets, "a")))
    assert found.reveal() == "x"


OUTCOMES = {
    "SECRET_NOT_GRANTED": AccessOutcome.REFUSED,
    "SECRET_MISSING": AccessOutcome.MISSING,
    "SECRET_UNAVAILABLE": AccessOutcome.FAILED,
}
# Long, so that none of them stands in a message by chance.
VALUES = st.text("0123456789", min_size=20)


@holds("secret_access")
@given(
    st.dictionaries(st.sampled_from("abcd"), VALUES),
    st.lists(st.tuples(st.sampled_from("abcd"), st.sets(st.sampled_from("abcd")), st.booleans())),
    st.booleans(),
)
def test_only_what_is_granted_is_given_and_each_access_is_recorded(
    values: dict[str, str], asked: list[tuple[str, set[str], bool]], works: bool
) -> None:
    """Exactly the granted names are given; every attempt leaves one record with name, capability, outcome, and no value."""

    async def scenario() -> None:
        log: list[SecretAccess] = []
        shelf = Shelf(values=values, works=works)
        secrets = service(shelf, log=log)
        for number, (name, granted, fresh) in enumerate(asked):
            capability = f"cap.n{number}"
            reading = secrets.read(
                name, capability=capability, granted=granted, fresh=fresh, ids={"run": "run_1"}
            )
            found = (await asyncio.gather(reading, return_exceptions=True))[0]
            if isinstance(found, AssentError):
                outcomes = {OUTCOMES[found.code]}
                assert all(value not in json.dumps(found.to_dict()) for value in values.values())
            else:
                outcomes = {AccessOutcome.FETCHED, AccessOutcome.CACHED}
            assert isinstance(found, Secret) == (name in granted and name in values and works)
            assert not isinstance(found, Secret) or found.reveal() == values[name]
            assert len(log) == number + 1
            record = log[-1]
            assert (record.name, record.capability) == (name, capability)
            assert record.outcome in outcomes
            assert all(value not in repr(record) + json.dumps(record.to_json()) for value in values.values())
            assert record.to_json()["run"] == "run_1"
            if name not in granted:
                assert record.outcome is AccessOutcome.REFUSED
        granted_names = {name for name, granted, _ in asked if name in granted}
        assert set(shelf.asked) <= granted_names, "what is refused is not even fetched"

    asyncio.run(scenario())


async def test_one_secret_is_forgotten_or_all_are() -> None:
    shelf = Shelf(values={"a": "value of a", "b": "value of b"})
    secrets = service(shelf)

    async def fetched() -> list[str]:
        shelf.asked.clear()
        for name in ("a", "b"):
            await read(secrets, name)
        return shelf.asked

    assert await fetched() == ["a", "b"]
    assert await fetched() == []
    secrets.forget("a")
    assert await fetched() == ["a"]
    secrets.forget()
    assert await fetched() == ["a", "b"]


async def test_an_access_of_a_run_is_bound_to_the_value_that_it_gave() -> None:
    log: list[SecretAccess] = []
    secrets = service(Shelf(values={"a": "value of a"}), log=log)
    ids: dict[str, Json] = {"run": "run_1", "step": "s", "attempt": 1}
    await secrets.read("a", capability="mail.send", granted=["a"], ids=ids)
    secrets.bind_with(lambda: b"key")
    await secrets.read("a", capability="mail.send", granted=["a"], ids=ids)
    await secrets.read("a", capability="mail.send", granted=["a"])
    bound = secret_binding(b"key", ("run_1", "s", "1", "a"), Secret("value of a"))
    assert [access.binding for access in log] == [None, bound, None]
    parts = [b"assent-secret-v1", b"run_1", b"s", b"1", b"a", b"value of a"]
    message = b"".join(bytes(7) + bytes([len(part)]) + part for part in parts)
    assert bound == hmac.new(b"key", message, hashlib.sha256).hexdigest(), "it stands in ledgers"


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("api.x", ["api.x"]),
        ("API.x.", ["api.x"]),
        ("a.api.x", ["*.api.x"]),
        ("b.a.api.x", ["*.api.x"]),
        ("evil-api.x", []),
        (".api.x", []),
        ("api.x.evil.org", []),
    ],
)
def test_a_host_is_itself_and_with_a_star_every_one_below_it(host: str, reached: list[str]) -> None:
    hosts = ("api.x", "*.api.x")
    assert [one for one in hosts if SecretGrant(hosts=(one,)).reaches(host)] == reached


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("api.x", None),
        ("evil.y", "not to `evil.y`"),
        (None, "and `mail.send` does not say where it goes"),
    ],
)
async def test_a_secret_with_hosts_goes_to_those_and_nowhere_unsaid(
    host: str | None, said: str | None
) -> None:
    secrets = Secrets(
        [Shelf(values={"a": "value of a"})],
        clock=Clock(),
        record=lambda _: None,
        limits=LIMITS,
        grants={"a": SecretGrant(capabilities=("mail.*",), hosts=("api.x",))},
    )
    if said is None:
        await secrets.read("a", capability="mail.send", granted=[], host=host)
        return
    with pytest.raises(RefusedError) as refused:
        await secrets.read("a", capability="mail.send", granted=[], host=host)
    assert refused.value.message == f"the secret `a` may be sent to `api.x`, {said}"
    assert ("`context.http`" in (refused.value.hint or "")) == (host is None)


async def test_what_cannot_be_recorded_is_not_given() -> None:
    """A secret that nobody knows was read is worse than a call that fails."""

    def refuse(access: SecretAccess) -> None:
        raise OSError("the disk is full")

    secrets = Secrets([Shelf(values={"a": "x"})], clock=Clock(), record=refuse)
    with pytest.raises(OSError, match="disk is full"):
        await read(secrets, "a")


async def test_refusals_say_what_to_do() -> None:
    secrets = Secrets([EnvironmentSecrets({})], clock=Clock(), record=lambda access: None)
    with pytest.raises(RefusedError) as refused:
        await secrets.read("mail/tokn", capability="mail.send", granted=["mail/token"])
    assert refused.value.hint == "did you mean `mail/token`?"
    with pytest.raises(AssentError) as missing:
        await read(secrets, "mail/token")
    assert missing.value.hint == "set `ASSENT_SECRET_MAIL_TOKEN` in the environment"
    with pytest.raises(AssentError) as nowhere:
        await read(service(), "a")
    assert nowhere.value.hint == "add it to a provider"


async def test_the_environment_is_a_provider() -> None:
    secrets = Secrets(
        [EnvironmentSecrets({"ASSENT_SECRET_MAIL_TOKEN": "t0ken", "ASSENT_SECRET_EMPTY": ""})],
        clock=Clock(),
        record=lambda access: None,
    )
    assert (await read(secrets, "mail/token")).reveal() == "t0ken"
    with pytest.raises(AssentError, match="no provider"):
        await read(secrets, "empty")
    with pytest.raises(AssentError) as twice:
        await read(secrets, "mail-token")
    assert twice.value.code == "SECRET_AMBIGUOUS"
    with pytest.raises(AssentError, match="no provider"):
        await read(secrets, "Empty")


@given(st.text(min_size=1), st.text())
def test_a_secret_shows_itself_to_nobody(value: str, other: str) -> None:
    """However it is printed, formatted, encoded or stored: `***`, or a refusal."""
    secret = Secret(value)
    assert f"{secret}{secret!r}{secret:>9}" == "*" * 9
    assert (secret == Secret(other)) == (value == other)
    assert secret != value
    assert secret
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
    encoders: list[Any] = [
        json.dumps,
        pickle.dumps,
        hash,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        msgspec.to_builtins,
        TypeAdapter(Any).dump_json,
        vars,
    ]
    for encode in encoders:
        with pytest.raises((TypeError, ValueError)) as raised:
            encode(secret)
        assert value not in str(raised.value).replace("secret", "").replace("Secret", "") or len(value) < 20


class Letter(BaseModel):
    """A model with a reference, a text with some, and others that say nothing."""

    key: SecretReference
    text: SecretText
    plain: str = "secret://a"


REFERENCE = SecretReference("a")
TEXT = SecretText("x secret://b and secret://{a}")
LETTER = Letter(key=REFERENCE, text=TEXT)


@pytest.mark.parametrize(
    ("value", "names", "filled_in"),
    [
        (REFERENCE, ("a",), "A"),
        (TEXT, ("b", "a"), "x B and A"),
        (LETTER, ("a", "b"), {"key": "A", "text": "x B and A", "plain": "secret://a"}),
        ({"k": REFERENCE}, ("a",), {"k": "A"}),
        ([REFERENCE, 1], ("a",), ["A", 1]),
        ((TEXT, REFERENCE), ("b", "a"), ("x B and A", "A")),
        (
            [{"deep": (LETTER,)}],
            ("a", "b"),
            [{"deep": ({"key": "A", "text": "x B and A", "plain": "secret://a"},)}],
        ),
        ("secret://a", (), "secret://a"),
        (None, (), None),
    ],
)
def test_references_are_named_and_filled_at_any_depth_and_plain_text_is_literal(
    value: object, names: tuple[str, ...], filled_in: object
) -> None:
    assert names_in(value) == names
    assert filled(value, {"a": "A", "b": "B"}) == filled_in
