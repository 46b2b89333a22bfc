"""Looking at the machine tells what is allowed, by the clock of the runtime, and names of nobody unless asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.info import Machine
from assent.capabilities.info._capabilities import VALUE_CHARACTERS_MAX
from assent.invocation import GlobalContext, NoEffectError
from assent.invocation.context.local import Surroundings
from assent.system import spawn
from tests.support.hands import Hands

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "BUILD_ID": "7",
    "BUILD_TOKEN": "s3cret",
    "HOME": "/home/ada",
    "BUILD_ODD": "a\udcff",
    "BUILD_LONG": "x" * (VALUE_CHARACTERS_MAX + 1),
}


class Clock:
    def now_ms(self) -> int:
        return 1_000_000_000_123

    def monotonic_ms(self) -> int:
        return 0


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    return Hands.on(tmp_path)


def told(
    hands: Hands, capability: str, allowed: tuple[str, ...] = ("LANG", "BUILD_*"), **parameters: Any
) -> Any:
    around = Surroundings()
    around.app = GlobalContext(clock=Clock(), spawn=spawn)
    around.app.register(Machine, Machine(ENVIRONMENT, allowed))
    step = hands.step(capability, **parameters)
    step.context._around = around
    return step.execute()


def test_the_system_is_told_without_names_unless_asked(hands: Hands) -> None:
    plain = told(hands, "sys.info.os")
    assert plain["system"]
    assert plain["cpus"] >= 1
    assert (plain["host"], plain["user"]) == (None, None)
    asked = told(hands, "sys.info.os", identity=True)
    assert asked["host"] is not None
    assert asked["user"]


def test_only_allowed_variables_are_told_and_never_what_sounds_like_a_secret(hands: Hands) -> None:
    answer = told(hands, "sys.info.env", names=["LANG", "BUILD_ID", "BUILD_NONE", "BUILD_ODD"])
    assert answer["values"] == {
        "LANG": "C.UTF-8",
        "BUILD_ID": "7",
        "BUILD_NONE": None,
        "BUILD_ODD": "a\\udcff",
    }
    assert told(hands, "sys.info.env", allowed=("LANG", "*_ID"))["values"] == {
        "LANG": "C.UTF-8",
        "BUILD_ID": "7",
    }
    assert told(hands, "sys.info.env", allowed=("LANG",))["values"] == {"LANG": "C.UTF-8"}
    for name in ("HOME", "BUILD_TOKEN", "lang", "LANG\0"):
        with pytest.raises(NoEffectError) as caught:
            told(hands, "sys.info.env", names=["LANG", name])
        assert caught.value.code == "ENV_NOT_ALLOWED"
        assert "s3cret" not in str(caught.value.to_dict())
    with pytest.raises(NoEffectError) as caught:
        told(hands, "sys.info.env", names=["BUILD_LONG"])
    assert caught.value.code == "OUTPUT_TOO_LARGE"
    assert "s3cret" not in repr(Machine(ENVIRONMENT))
    assert not Machine(ENVIRONMENT).may_tell("HOME")


def test_time_comes_from_the_clock_of_the_runtime(hands: Hands) -> None:
    assert told(hands, "sys.info.time") == {
        "unix_ms": 1_000_000_000_123,
        "iso": "2001-09-09T01:46:40.123+00:00",
        "zone": "UTC",
        "offset_minutes": 0,
        "weekday": 7,
    }
    for zone in ("../../etc/passwd", "/etc/passwd", "Nowhere/Else", "\0", "UTC/..", "."):
        with pytest.raises(NoEffectError) as caught:
            told(hands, "sys.info.time", zone=zone)
        assert caught.value.code == "ZONE_UNKNOWN"
