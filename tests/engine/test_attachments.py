"""Bytes beside an output: kept with the output that names them, and gone with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.errors import InputError, WorldError
from assent.invocation import Handler, LocalContext
from assent.runtime.service._reading import Reader
from assent.spec import create_read_capability
from tests.support.bodies import Place, code, erased, policy

LINES = [f"line {n}\n".encode() for n in range(10_000)]
ANYTHING: dict[str, Any] = {"type": "object"}


def tell(context: LocalContext, parameters: dict[str, Any]) -> Any:
    """Attach twice, and speak of the first alone."""
    log = context.attach(LINES)
    context.attach([b"nobody speaks of this"])
    assert [log.blob] == [*context.attached[:1]]
    if parameters.get("fails"):
        raise WorldError("TOOL_FAILED", "the tool failed", details={"log": log.to_json()})
    return {"lines": len(LINES), "log": log.to_json()}


def blobs(place: Place) -> list[Path]:
    return [path for path in (place.settings().state / "blobs").rglob("*") if path.is_file()]


@pytest.fixture
def telling(place: Place) -> Place:
    place.policy = policy()
    return place


async def call(place: Place, **parameters: Any) -> Any:
    async with place.open(box=False) as rt:
        rt.register(create_read_capability("t.tell", parameters=ANYTHING), Handler(tell, revision="1"))
        return await rt.call("t.tell", parameters)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_an_outcome_names_is_kept_and_nothing_else(telling: Place, fails: bool) -> None:
    """Of an output and of an error alike; what nobody speaks of goes when the runtime closes."""
    result = await call(telling, fails=fails)
    assert code(result) == ("TOOL_FAILED" if fails else None)
    (kept,) = blobs(telling)
    assert kept.read_bytes() == b"".join(LINES)
    with Reader.open(telling.settings()) as reader:
        (digest,) = [kept.parent.name + kept.name]
        assert b"".join(reader.attachment(result.run_id, digest[:8])) == b"".join(LINES)
        report = reader.verify()
        assert (report["ok"], report["faults"]) == (True, [])


async def test_an_attachment_is_erased_with_its_run(telling: Place) -> None:
    """Erasing a run's data leaves nothing of what it attached."""
    result = await call(telling)
    async with telling.open(box=False) as rt:
        await erased(rt, result.run_id)
    assert blobs(telling) == []


async def test_asking_for_what_is_not_attached_says_what_is(telling: Place) -> None:
    """A digest that is not there is one clear error, whatever was asked for."""
    result = await call(telling)
    with Reader.open(telling.settings()) as reader:
        known = (blobs(telling)[0].parent.name + blobs(telling)[0].name)[:12]
        for wrong in ("", "zz", "0" * 64):
            with pytest.raises(InputError) as refused:
                reader.attachment(result.run_id, wrong)
            assert (refused.value.code, refused.value.hint) == ("ATTACHMENT_UNKNOWN", f"it has `{known}`")
        with pytest.raises(InputError) as refused:
            reader.attachment("run_none", known)
        assert refused.value.code == "RUN_UNKNOWN"


async def test_an_output_that_names_another_runs_bytes_does_not_get_them(telling: Place) -> None:
    """Whoever knows a digest, and has it named in an output, has attached nothing: a service's answer may hold anything."""
    await call(telling)
    digest = blobs(telling)[0].parent.name + blobs(telling)[0].name
    async with telling.open(box=False) as rt:
        text = f'{{"blob": "{digest}", "bytes": 1}}'
        thief = await rt.call("data.json.parse", {"text": text})
    assert thief.steps[0].output == {"value": {"blob": digest, "bytes": 1}}
    with Reader.open(telling.settings()) as reader, pytest.raises(InputError) as refused:
        reader.attachment(thief.run_id, digest)
    assert (refused.value.code, refused.value.hint) == (
        "ATTACHMENT_UNKNOWN",
        "it has none; outputs name theirs as `blob`",
    )
