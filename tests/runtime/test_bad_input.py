"""Bad input: each with its code and its hint, and nothing is written, neither into the ledger nor into the workspace."""

from __future__ import annotations

import hashlib
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime, sync
from assent.errors import InputError
from assent.runtime.runs._loading import sibling_reader
from tests.support.bodies import Place, put, workflow

NOOP = "- {name: a, capability: sys.noop, inputs: {}}\n"
HEAD = "name: w\nsteps:\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(9)
)

CASES: dict[str, tuple[str, str]] = {
    "unknown-key": (HEAD + "- {name: a, capability: sys.noop, inptus: {}}\n", "UNKNOWN_KEY"),
    "cycle": (
        HEAD
        + "- {name: a, capability: sys.noop, depends_on: [b]}\n- {name: b, capability: sys.noop, depends_on: [a]}\n",
        "CYCLE",
    ),
    "duplicate-step": (HEAD + NOOP + NOOP, "DUPLICATE_STEP"),
    "unknown-capability": (HEAD + "- {name: a, capability: sys.nop}\n", "CAPABILITY_UNKNOWN"),
    "forward-reference": (
        HEAD
        + "- {name: a, capability: io.fs.read_file, inputs: {path: '${{ steps.b.output.path }}'}}\n"
        + "- {name: b, capability: io.fs.read_file, inputs: {path: x}}\n",
        "REFERENCE_FORWARD",
    ),
    "wrong-type": (HEAD + "- {name: a, capability: sys.sleep, inputs: {seconds: soon}}\n", "INVALID_INPUT"),
    "yaml-bomb": (BOMB + HEAD + NOOP, "DOCUMENT_TOO_COMPLEX"),
    "ten-megabytes": (HEAD + NOOP + "# " + "x" * 10_000_000 + "\n", "DOCUMENT_TOO_LARGE"),
    "lowered-risk": (
        HEAD + "- {name: a, capability: io.fs.delete, inputs: {path: x}, risk_level: LOW}\n",
        "RISK_LOWERED",
    ),
}


def digest_of(root: Path) -> dict[str, str]:
    """Every file below a folder with the hash of its bytes; what SQLite keeps for its own readers is left out."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm")
    }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A workspace with a file in it."""
    place = Place(tmp_path)
    place.workspace.mkdir()
    (place.workspace / "x").write_text("kept")
    return place


@pytest.mark.parametrize("case", CASES)
async def test_a_bad_workflow_is_refused_with_its_code_its_place_and_a_hint(place: Place, case: str) -> None:
    text, code = CASES[case]
    path = place.workspace / "w.yaml"
    path.write_text(text)
    async with place.open() as rt:
        before = digest_of(place.root)
        with pytest.raises(InputError) as caught:
            await rt.run(path)
        assert (caught.value.code, digest_of(place.root)) == (code, before)
        assert caught.value.hint, "the next thing to do"
        assert str(path) in (caught.value.path or ""), "where it is"


@pytest.mark.parametrize(
    ("inputs", "code"),
    [({}, "INPUT_MISSING"), ({"n": "three"}, "INVALID_INPUT"), ({"n": 1, "m": 2}, "INPUT_UNKNOWN")],
)
async def test_bad_inputs_are_refused_before_the_run_exists(
    place: Place, inputs: dict[str, Any], code: str
) -> None:
    async with place.open() as rt:
        before = digest_of(place.root)
        with pytest.raises(InputError) as caught:
            await rt.run(workflow(put("a"), inputs={"n": "integer"}), inputs)
        assert (caught.value.code, digest_of(place.root)) == (code, before)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "POLICY_MISSING"),
        ("version: 1\nrules: {}\n", "POLICY_INVALID"),
        ("version: 1\nrules: [{id: r, decision: ALLOW, when: {rsik_level: LOW}}]\n", "POLICY_INVALID"),
        ("version: 1\nrules: [{id: r, decision: ALLOW, if: 'inputz.x == 1'}]\n", "POLICY_INVALID"),
    ],
    ids=["missing", "broken", "unknown-field", "unknown-name"],
)
async def test_a_bad_policy_stops_the_runtime_from_opening(place: Place, text: str | None, code: str) -> None:
    """Whatever its fault: nothing is journaled, and the hint names the next thing to do."""
    async with place.open():
        pass
    place.policy = place.root / "policy.yaml"
    if text is not None:
        place.policy.write_text(text)
        place.policy.chmod(0o600)
    before = digest_of(place.root)
    with pytest.raises(InputError) as caught:
        async with place.open():
            pass
    assert (caught.value.code, digest_of(place.root)) == (code, before)
    assert caught.value.hint


async def test_a_call_of_an_unknown_capability_never_becomes_a_run(place: Place) -> None:
    async with place.open() as rt:
        before = digest_of(place.root)
        with pytest.raises(InputError) as caught:
            await rt.call("sys.nop", {})
        assert (caught.value.code, digest_of(place.root)) == ("CAPABILITY_UNKNOWN", before)
        assert "sys.noop" in (caught.value.hint or "")


async def test_parameters_that_nobody_can_follow_never_become_a_run(place: Place) -> None:
    """Nested deeper than the interpreter's own stack goes."""
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    async with place.open() as runtime:
        with pytest.raises(InputError) as refused:
            await runtime.call("sys.noop", {"x": deep})
        assert refused.value.code == "JSON_INVALID"
        assert refused.value.hint
        assert await runtime.unfinished() == []


@pytest.mark.parametrize("name", ["a\0b.yaml", "\ud800.yaml"])
def test_a_name_that_no_file_can_have_is_of_no_file(place: Place, name: str) -> None:
    """A workflow that inlines it, asked for over a wire, is refused as for any other file that is not there."""
    with pytest.raises(InputError) as refused:
        sibling_reader(place.workspace)(name)
    assert refused.value.code == "FILE_MISSING"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("x", "INVALID_INPUT"),
        ([1], "INVALID_INPUT"),
        ([("a", 1)], "INVALID_INPUT"),
        (0, "INVALID_INPUT"),
        ({1: 2}, "JSON_INVALID"),
        ({"x": float("nan")}, "JSON_INVALID"),
        ({"x": [{"y": float("-inf")}]}, "JSON_INVALID"),
        ({"x": 2**53}, "JSON_INVALID"),
        ({"x": "\ud800"}, "JSON_INVALID"),
        ({"x": b"bytes"}, "JSON_INVALID"),
    ],
)
@pytest.mark.parametrize("who", ["owner", "client"])
async def test_what_is_no_json_object_calls_nothing(
    tmp_path: Path, who: str, parameters: Any, code: str
) -> None:
    """Neither as a call nor as a step of a session, of the owner or of a client; a workflow's inputs are held to the same."""
    async with Runtime.open(tmp_path) as owner, Runtime.open(tmp_path) as client:
        rt = owner if who == "owner" else client
        session = await rt.session()
        inputs: Any = {
            "name": "w",
            "inputs": {"x": "any"},
            "steps": [{"name": "a", "capability": "sys.noop"}],
        }
        calls: list[Any] = [rt.call("sys.noop", parameters)]
        if code == "INVALID_INPUT":
            calls.append(rt.explain("sys.noop", parameters))
        for asked in calls:
            with pytest.raises(InputError) as refused:
                await asked
            assert refused.value.code == code
            assert refused.value.hint
        told = await session.call("sys.noop", parameters)
        assert told.error is not None
        assert (told.name, told.error["code"]) == ("", code)
        assert told.error["hint"]
        with pytest.raises(InputError) as refused:
            await rt.run(inputs, parameters)
        assert refused.value.code == code
        assert len((await session.close()).steps) == 0
        assert await owner.unfinished() == []


WRONG: list[tuple[str, tuple[Any, ...], str]] = [
    ("show", (5,), "run"),
    ("resume", (5,), "run"),
    ("call", (5, {}), "capability"),
    ("call", ("sys.noop", {}, {"environment": 5}), "environment"),
    ("run", (5,), "workflow"),
    ("undo", (None,), "run"),
    ("undo", ("run_1", {"partial": "no"}), "partial"),
    ("resolve", ("run_1", "a", "bogus"), "resolution"),
    ("resolve", ("run_1", None, "happened"), "step"),
    ("resolve", ("run_1", "a", "happened", {"output": float("nan")}), ""),
    ("approve", (b"run_1",), "run"),
    ("reject", ("run_1", {"reason": None}), "reason"),
    ("cancel", ("\ud800",), "run"),
    ("erase", ("run_1",), "runs"),
    ("wait", (5,), "run"),
    ("runs", ({"status": 5},), "status"),
    ("runs", ({"limit": 1.5},), "limit"),
    ("snapshot", (None,), "run"),
    ("replay", (5,), "run"),
    ("explain", (None,), "capability"),
    ("explain", ("sys.noop", {}, {"risk_level": "SOME"}), "risk_level"),
    ("plan", (5,), "workflow"),
    ("session", ({"environment": 1},), "environment"),
    ("versions.label", (5, "stable"), "reference"),
    ("versions.retire", ("sys.noop@1.0.0", {"dry_run": 1}), "dry_run"),
    ("deliveries.retry", (5,), "delivery"),
]


@pytest.mark.parametrize("who", ["owner", "client"])
def test_an_argument_of_a_wrong_type_is_refused_alike(tmp_path: Path, who: str) -> None:
    """By the owner and by a client, awaited or waited for: the same code, place and hint, and nothing is journaled."""
    with sync.Runtime.open(tmp_path) as owner, sync.Runtime.open(tmp_path) as client:
        before = digest_of(tmp_path)
        for name, given, path in WRONG:
            how = given[-1] if isinstance(given[-1], dict) and given[-1] else {}
            with pytest.raises(InputError) as refused:
                attrgetter(name)(owner if who == "owner" else client)(*given[: len(given) - bool(how)], **how)
            error = refused.value
            assert (error.code, error.path) == ("INVALID_INPUT" if path else "JSON_INVALID", path or None), (
                name
            )
            assert error.hint or not path
        assert digest_of(tmp_path) == before
