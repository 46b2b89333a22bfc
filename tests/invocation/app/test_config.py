"""Configuration and shared values: frozen to the bottom, read with types, written by their owner alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from assent.errors import AssentError, InputError, Json
from assent.invocation import Config, Owned, SharedState
from tests.support.properties import holds

KEYS = st.text("abc_", min_size=1, max_size=4)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)


def spoil(value: Any) -> None:
    """Change everything that can be changed in plain JSON."""
    if isinstance(value, dict):
        for item in value.values():
            spoil(item)
        value["spoiled"] = True
    elif isinstance(value, list):
        for item in value:
            spoil(item)
        value.append("spoiled")


def require_frozen(value: Any) -> None:
    """Nothing in it offers a way to change it."""
    if isinstance(value, Mapping):
        for attempt in ("__setitem__", "__delitem__", "update", "pop", "popitem", "clear", "setdefault"):
            assert not hasattr(value, attempt)
        for item in value.values():
            require_frozen(item)
    elif isinstance(value, tuple):
        for item in value:
            require_frozen(item)
    else:
        assert type(value) in (type(None), bool, int, float, str)


@holds("config_immutability")
@given(TABLES)
def test_a_configuration_is_frozen_to_the_bottom(table: dict[str, Json]) -> None:
    """No depth can be changed: not through what is read, not through what it was made from, not by its attributes."""
    wanted = copy.deepcopy(table)
    config = Config(table)
    require_frozen(config)
    spoil(table)
    spoil(config.to_json())
    for name in ("_values", "_path", "anything"):
        with pytest.raises(AttributeError):
            setattr(config, name, {})
        with pytest.raises(AttributeError):
            delattr(config, name)
    assert config.to_json() == wanted
    assert dict(config) == dict(Config(wanted))
    for key in wanted:
        if isinstance(wanted[key], dict):
            require_frozen(config.section(key))
            assert config.section(key).to_json() == wanted[key]


class Mutable:
    """Somebody's own object."""


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": {"b": [1, Mutable()]}}, "app.a.b.1"),
        ({"a": {1: 2}}, "app.a"),
        ({"a": float("nan")}, "app.a"),
        ({"a": {3, 4}}, "app.a"),
        ({"a": bytearray(b"x")}, "app.a"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(value: Any, path: str) -> None:
    """An object of somebody's own could be changed behind our back."""
    with pytest.raises(InputError) as raised:
        Config(value)
    assert raised.value.code == "CONFIG_INVALID"
    assert raised.value.path == path


def test_what_is_nested_without_an_end_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(InputError, match="levels deep"):
        Config(loop)


def test_getters_give_the_type_they_name() -> None:
    config = Config(
        {
            "url": "db://x",
            "pool": {"size": 4, "share": 0.5, "wait": "30s", "names": ["a", "b"], "on": True},
        }
    )
    assert config["url"] == config.text("url") == "db://x"
    assert config.whole("pool.size") == 4
    assert config.number("pool.share") == 0.5
    assert config.number("pool.size") == 4
    assert config.duration_ms("pool.wait") == 30_000
    assert config.duration_ms("pool.size", 4) == 4000, "a default that is equal does not hide what is written"
    assert config.texts("pool.names") == ("a", "b")
    assert config.flag("pool.on") is True
    assert config.section("none").to_json() == {}
    assert config.section("pool").whole("size") == 4
    assert (config.text("x", None), config.whole("x", 1), config.number("x", 2.5)) == (None, 1, 2.5)
    assert (config.flag("x", False), config.texts("x", ()), config.duration_ms("x", 9)) == (False, (), 9)
    assert "db://x" not in repr(config)
    assert len(config) == 2


@pytest.mark.parametrize(
    ("getter", "key"),
    [
        ("text", "pool"),
        ("text", "pool.size"),
        ("whole", "pool.on"),
        ("number", "pool.on"),
        ("flag", "pool.size"),
        ("texts", "pool.mixed"),
        ("texts", "pool.size"),
        ("duration_ms", "pool.names"),
        ("duration_ms", "url"),
        ("section", "url"),
        ("whole", "url.deeper"),
        ("whole", "pool.siz"),
    ],
)
def test_another_type_or_a_missing_key_is_told_with_its_path(getter: str, key: str) -> None:
    config = Config({"url": "x", "pool": {"size": 4, "on": True, "names": ["a"], "mixed": ["a", 1]}})
    with pytest.raises(InputError) as raised:
        getattr(config, getter)(key)
    assert raised.value.code == "CONFIG_INVALID"
    assert raised.value.path == f"app.{key}"
    assert raised.value.hint
    if key == "pool.siz":
        assert raised.value.hint == "did you mean `size`?"


class Sharing(RuleBasedStateMachine):
    """Shared values against a plain dictionary of who owns what."""

    handles: Bundle[Owned] = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.state = SharedState()
        self.model: dict[str, tuple[Owned, Json]] = {}

    @rule(target=handles, name=KEYS, value=VALUES)
    def claim(self, name: str, value: Json) -> Any:
        if name in self.model:
            with pytest.raises(AssentError) as raised:
                self.state.claim(name, owner="somebody", value=value)
            assert raised.value.code == "SHARED_STATE_TAKEN"
            return multiple()
        owned = self.state.claim(name, owner="somebody", value=value)
        self.model[name] = (owned, copy.deepcopy(value))
        spoil(value)
        return owned

    @rule(owned=handles, value=VALUES)
    def write(self, owned: Owned, value: Json) -> None:
        if self.model.get(owned.name, (None,))[0] is not owned:
            with pytest.raises(AssentError) as raised:
                owned.set(value)
            assert raised.value.code == "SHARED_STATE_RELEASED"
        else:
            owned.set(value)
            self.model[owned.name] = (owned, copy.deepcopy(value))
            spoil(value)

    @rule(owned=handles)
    def release(self, owned: Owned) -> None:
        owned.release()
        if self.model.get(owned.name, (None,))[0] is owned:
            del self.model[owned.name]

    @invariant()
    def reads_are_the_last_writes(self) -> None:
        assert self.state.owners() == dict.fromkeys(sorted(self.model), "somebody")
        for name, (_, value) in self.model.items():
            found = self.state.get(name)
            require_frozen(found)
            assert Config({"v": value})["v"] == found


TestSharing = Sharing.TestCase


def test_a_value_that_nobody_shares_is_named_with_what_is_close() -> None:
    state = SharedState()
    state.claim("queue.depth", owner="queue", value=3)
    with pytest.raises(InputError) as raised:
        state.get("queue.dept")
    assert raised.value.hint == "did you mean `queue.depth`?"


def test_shared_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.invocation.app._shared_state.NAMES_MAX", 1)
    state = SharedState()
    state.claim("one", owner="me")
    with pytest.raises(InputError) as raised:
        state.claim("two", owner="me")
    assert raised.value.code == "SHARED_STATE_FULL"
