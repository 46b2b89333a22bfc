"""A declared capability goes the whole way: gate, intent, effect, undo; and a user's file type-checks."""

from __future__ import annotations

import textwrap
import types
from pathlib import Path

import pytest

from assent import LocalContext, capability
from assent.errors import InputError, RefusedError
from assent.invocation import HookedCall, Preview, Reconciliation
from assent.spec.states import Verdict
from tests.support.bodies import Place, policy, states, workflow

NOTES: dict[str, str] = {}


@capability(
    "notes.put",
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="notes",
    effect="changes one note",
    idempotent=True,
)
async def put(context: LocalContext, key: str, text: str = "") -> dict[str, str | None]:
    """Put a text under a key."""
    assert context.prepared is not None
    old = NOTES.get(key)
    NOTES[key] = text
    return {"key": key, "old": old}


@put.prepare
def before(key: str) -> dict[str, str | None]:
    return {"old": NOTES.get(key)}


@put.compensate
async def restore(key: str, prepared: dict[str, str | None]) -> None:
    old = prepared["old"]
    if old is None:
        NOTES.pop(key, None)
    else:
        NOTES[key] = old


@put.reconcile
def happened(key: str, text: str) -> Reconciliation:
    return Reconciliation(Verdict.YES if NOTES.get(key) == text else Verdict.NO, {"key": key, "old": None})


@put.preview
def show(key: str, text: str) -> Preview:
    return Preview("text", f"{key}: {NOTES.get(key)} -> {text}")


@capability("notes.count", operation="READ", risk="LOW")
def count() -> int:
    """How many notes there are."""
    return len(NOTES)


async def test_a_declared_capability_is_called_and_taken_back(tmp_path: Path) -> None:
    NOTES.clear()
    async with Place(tmp_path, policy=policy()).open(box=False) as rt:
        rt.register(put)
        rt.register(count)
        result = await rt.call("notes.put", {"key": "a", "text": "one"})
        assert (result.status.value, NOTES) == ("succeeded", {"a": "one"})
        assert (await rt.call("notes.count")).steps[0].output == 1
        steps = [
            {"name": "more", "capability": "notes.put", "inputs": {"key": "a", "text": "two"}},
            {"name": "end", "capability": "sys.fail", "inputs": {}},
        ]
        result = await rt.run(workflow(*steps))
        assert states(result) == {"more": "compensated", "end": "failed"}
        assert NOTES == {"a": "one"}
        refused = await rt.call("notes.put", {"text": "no key", "more": 1})
        assert refused.error is not None
        assert refused.error["code"] == "INVALID_INPUT"


async def test_a_module_is_registered_whole_or_not_at_all(tmp_path: Path) -> None:
    module = types.ModuleType("my_capabilities")
    text = """
        from assent import capability

        @capability("my.good", operation="READ", risk="LOW")
        def good() -> int:
            return 1

        @capability("my.bad", operation="WRITE", risk="LOW", reversible=True)
        def bad() -> int:
            return 1
        """
    exec(textwrap.dedent(text), module.__dict__)
    async with Place(tmp_path, policy=policy()).open(box=False) as rt:
        with pytest.raises(InputError, match="no `compensate` is attached"):
            rt.register(module)
        with pytest.raises(InputError, match=r"my\.good"):
            await rt.call("my.good")
        del module.__dict__["bad"]
        rt.register(module)
        assert (await rt.call("my.good")).steps[0].output == 1


async def test_hooks_of_a_declared_capability_run_around_its_calls_only(tmp_path: Path) -> None:
    seen: list[str] = []

    @capability("notes.look", operation="READ", risk="LOW")
    def look(key: str) -> str:
        seen.append(f"look {key}")
        return key

    @look.before
    def no_secrets(call: HookedCall) -> None:
        seen.append("before")
        if call.inputs["key"] == "secret":
            raise RefusedError("POLICY_DENIED", "not this one")

    @look.after(id="told", timeout_s=60)
    async def told(call: HookedCall) -> None:
        seen.append(f"after {call.output}")

    @look.catch
    def caught(call: HookedCall) -> None:
        seen.append("catch")

    @look.finally_
    def ended(call: HookedCall) -> None:
        seen.append("finally")

    async with Place(tmp_path, policy=policy()).open(box=False) as rt:
        rt.register(look)
        rt.register(count)
        assert (await rt.call("notes.look", {"key": "a"})).steps[0].output == "a"
        assert seen == ["before", "look a", "after a", "finally"]
        seen.clear()
        refused = await rt.call("notes.look", {"key": "secret"})
        assert refused.status.value == "failed"
        assert seen == ["before", "catch", "finally"]
        await rt.call("notes.count")
        assert len(seen) == 3


async def test_where_a_handler_failed_is_in_the_log_and_not_on_the_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @capability("words.ratio", operation="READ", risk="LOW")
    def ratio(whole: int) -> float:
        return 1 / whole

    async with Place(tmp_path, policy=policy()).open(box=False) as rt:
        rt.register(ratio)
        result = await rt.call("words.ratio", {"whole": 0})
    error = result.steps[0].error
    assert error is not None
    assert (error["code"], error["details"]) == ("HANDLER_FAILED", {"exception": "ZeroDivisionError"})
    [logged] = [one for one in caplog.records if one.name == "assent.call"]
    assert logged.exc_info is not None
    assert logged.exc_info[0] is ZeroDivisionError
    assert __file__ in (caplog.text)
    assert vars(logged)["capability"] == "words.ratio"
