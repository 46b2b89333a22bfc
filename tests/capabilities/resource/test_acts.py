"""What changes the registry of resources is known by its moment: undo takes back its own, and nothing that somebody needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from assent import Runtime, capability
from assent.capabilities.resource import Shelf, _acts, resolved_for_use
from assent.engine import RunResult
from assent.errors import InputError, Json, RefusedError
from assent.findings.assets import AssetType, AssetVersion, Context, _provider, ports
from assent.invocation import LocalContext
from assent.runtime.settings.effective import Settings
from assent.system import SystemClock
from tests.support.patience import PATIENCE_S

ONE = "res://project/shop/wordlist/words:1"
_SETTINGS = """\
policy = "policy.yaml"
[resource]
project = "shop"
group = "red"
"""
_POLICY = """\
version: 1
rules:
  - {id: all, when: {principal: "user:*"}, decision: ALLOW, without_approval: true, reason: the acts are tried}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(_POLICY)
    (tmp_path / "policy.yaml").chmod(0o600)
    (tmp_path / "assent.toml").write_text(_SETTINGS)
    return tmp_path


@pytest.fixture
async def runtime(workspace: Path, clean_env: dict[str, str]) -> AsyncIterator[Runtime]:
    settings = Settings.resolve(workspace=workspace, environ=clean_env, cwd=workspace)
    async with Runtime(settings) as opened:
        yield opened


async def publish(runtime: Runtime, reference: str = ONE, content: str = "a\nb\n") -> RunResult:
    result = await runtime.call("resource.publish", {"reference": reference, "text": content})
    assert result.status == "succeeded", result
    return result


async def call(runtime: Runtime, verb: str, **parameters: Json) -> Any:  # `Any`: JSON
    """The output, or the error's code."""
    result = await runtime.call(f"resource.{verb}", parameters)
    (step,) = result.steps
    return step.output if step.error is None else step.error["code"]


@pytest.fixture
def kept(workspace: Path) -> Callable[[], dict[str, AssetVersion]]:
    def kept() -> dict[str, AssetVersion]:
        shelf = Shelf.of(workspace / ".assent", {}, SystemClock())
        with shelf.looking() as provider:
            return {str(one.reference): one for one in provider.versions()}

    return kept


async def test_a_version_that_was_used_is_not_taken_back(runtime: Runtime, kept: Any) -> None:
    made = await publish(runtime)
    await call(runtime, "read", reference=ONE)
    assert (await runtime.plan_undo(made.run_id)).rehearsal.obstacle is not None
    with pytest.raises(RefusedError, match="was used since it was published") as refused:
        await runtime.undo(made.run_id)
    assert refused.value.code == "COMPENSATION_CONFLICT"
    assert (await runtime.show(made.run_id)).status == "succeeded"
    assert kept()[ONE].uses == 1


async def test_what_one_session_did_with_a_version_is_taken_back_in_its_order(
    runtime: Runtime, kept: Any
) -> None:
    """What the later steps did is no conflict of the earlier ones', whose undo is tried before theirs."""
    session = await runtime.session()
    await session.call("resource.publish", {"reference": ONE, "text": "a"})
    await session.call("resource.promote", {"reference": ONE, "to": "global"})
    await session.call("resource.retire", {"reference": ONE})
    await session.close()
    assert (await runtime.plan_undo(session.run_id)).rehearsal.obstacle is None
    assert len(kept()) == 2
    undone = await runtime.undo(session.run_id)
    assert (undone.status, kept()) == ("undone", {})


async def test_a_version_that_came_into_use_between_trying_and_undoing_waits_for_somebody(
    runtime: Runtime, kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await publish(runtime)
    await call(runtime, "read", reference=ONE)
    monkeypatch.setattr(_provider.Provider, "withdrawable", lambda *_, **__: None)
    withdraw = _provider.Provider.withdraw

    def late(*args: Any, **said: Any) -> None:
        monkeypatch.undo()
        withdraw(*args, **said)

    monkeypatch.setattr(_provider.Provider, "withdraw", late)
    undone = await runtime.undo(made.run_id)
    assert undone.status == "needs_attention"
    assert undone.error is not None
    assert undone.error["code"] == "COMPENSATION_CONFLICT"
    assert kept()[ONE].uses == 1


@pytest.mark.parametrize("verb", ["publish", "promote", "retire"])
async def test_a_simulated_world_has_no_part_in_the_registry(runtime: Runtime, kept: Any, verb: str) -> None:
    """A replay with the code as it is now calls what may be rehearsed: the registry stays as it is."""
    await publish(runtime)
    there = {"publish": {"reference": "res://global/wordlist/words:2", "text": "b"}}
    there |= {"promote": {"reference": ONE, "to": "global"}, "retire": {"reference": ONE}}
    run = await runtime.call(f"resource.{verb}", there[verb])
    if verb == "publish":
        assert (await runtime.undo(run.run_id)).status == "undone"
    before = kept()
    await runtime.replay(run.run_id, capability_version=f"resource.{verb}@1.0.0")
    assert kept() == before


async def test_a_version_that_was_there_already_stays(runtime: Runtime, kept: Any) -> None:
    """Whoever published it first is the only one who can take it back."""
    first, again = await publish(runtime), await publish(runtime)
    assert (await runtime.undo(again.run_id)).status == "undone"
    assert [*kept()] == [ONE]
    assert (await runtime.undo(first.run_id)).status == "undone"
    assert kept() == {}


async def test_of_two_that_publish_in_one_millisecond_each_takes_back_its_own(
    runtime: Runtime, kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that nothing is there: the undo of the later one leaves what the first one published."""
    now_ms = SystemClock().now_ms()
    monkeypatch.setattr(SystemClock, "now_ms", lambda _: now_ms)
    both, called, moments = threading.Barrier(2), threading.local(), dict[str, str]()
    publishable, prepared = _acts._publishable, _acts._Journaled.prepared

    def noting(context: LocalContext, parameters: Any) -> Any:
        called.run = context.run
        return publishable(context, parameters)

    def together(self: Any, *blobs: str) -> Any:
        moments[called.run] = self.at
        both.wait(timeout=PATIENCE_S)
        return prepared(self, *blobs)

    monkeypatch.setattr(_acts, "_publishable", noting)
    monkeypatch.setattr(_acts._Journaled, "prepared", together)
    runs = await asyncio.gather(publish(runtime), publish(runtime))
    (made,) = kept().values()
    assert len({*moments.values()}) == 2
    owner, other = sorted(runs, key=lambda run: moments[run.run_id] != made.published_at)
    assert (await runtime.undo(other.run_id)).status == "undone"
    assert kept() == {ONE: made}
    assert (await runtime.undo(owner.run_id)).status == "undone"
    assert kept() == {}


async def test_nothing_is_published_into_the_run_of_another(runtime: Runtime, kept: Any) -> None:
    """What a run has comes before all else for its calls."""
    session = await runtime.session()
    theirs = f"res://run/{session.run_id}/wordlist/words:1"
    assert await call(runtime, "publish", reference=theirs, text="poison") == "RESOURCE_REQUEST_INVALID"
    await publish(runtime, "res://global/wordlist/words:1", "wide")
    assert await call(
        runtime, "promote", reference="res://global/wordlist/words:1", to=f"run/{session.run_id}"
    ) == ("RESOURCE_REQUEST_INVALID")
    made = await session.call("resource.publish", {"reference": theirs, "text": "own"})
    assert made.status == "succeeded", made
    read = await session.call("resource.read", {"reference": "res://wordlist/words:1"})
    assert cast("dict[str, Any]", read.output)["text"] == "own"
    assert (await call(runtime, "read", reference="res://wordlist/words:1"))["text"] == "wide"
    assert theirs in kept()
    await session.close()


async def test_retiring_again_is_undone_without_an_effect(runtime: Runtime, kept: Any) -> None:
    await publish(runtime)
    first = await runtime.call("resource.retire", {"reference": ONE})
    again = await runtime.call("resource.retire", {"reference": ONE})
    await runtime.undo(again.run_id)
    assert kept()[ONE].retired_at is not None
    await runtime.undo(first.run_id)
    assert kept()[ONE].retired_at is None


async def test_other_content_is_refused_with_its_own_error(runtime: Runtime, kept: Any) -> None:
    await publish(runtime)
    assert await call(runtime, "publish", reference=ONE, text="other") == "RESOURCE_EXISTS"
    await publish(runtime, "res://global/wordlist/words:1", "other")
    assert await call(runtime, "promote", reference=ONE, to="global") == "RESOURCE_EXISTS"
    assert {one.sha256 for one in kept().values()} == {
        sha256(text).hexdigest() for text in (b"a\nb\n", b"other")
    }


async def test_a_resource_has_a_limit(runtime: Runtime, kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "CONTENT_BYTES_MAX", 3)
    assert await call(runtime, "publish", reference=ONE, text="four") == "RESOURCE_TOO_LARGE"
    assert kept() == {}


async def test_what_is_read_is_text_where_it_is_small_and_else_attached(
    runtime: Runtime, workspace: Path
) -> None:
    await publish(runtime)
    said = await call(runtime, "read", reference="res://wordlist/words:latest")
    assert (said["reference"], said["text"], said["content"], said["uses"]) == (ONE, "a\nb\n", None, 1)
    for number, content in enumerate((b"\xff\xfe", b"x" * (_acts.TEXT_BYTES_MAX + 1)), 2):
        reference = f"res://global/payloads/odd:{number}"
        (workspace / "odd").write_bytes(content)
        await call(runtime, "publish", reference=reference, path="odd")
        result = await runtime.call("resource.read", {"reference": reference})
        output = cast("dict[str, Any]", result.steps[0].output)
        assert output["text"] is None
        assert output["content"] == {"blob": sha256(content).hexdigest(), "bytes": len(content)}


async def test_what_is_nearer_to_the_call_comes_first(runtime: Runtime) -> None:
    """The step before the project, the project before the group; a call that names others looks there."""
    for scope in ("global", "group/red", "project/shop", "project/other", "node/call"):
        await publish(runtime, f"res://{scope}/wordlist/words:1", scope)
        expected = "project/shop" if scope == "project/other" else scope
        assert (await call(runtime, "read", reference="res://wordlist/words:1"))["text"] == expected
    await call(runtime, "retire", reference="res://node/call/wordlist/words:1")
    said = await call(runtime, "read", reference="res://wordlist/words:latest", project="other")
    assert said["text"] == "project/other"
    said = await call(runtime, "read", reference="res://wordlist/words:latest", project="none", group="red")
    assert said["text"] == "group/red"


async def test_a_retired_version_is_read_by_its_digest(runtime: Runtime) -> None:
    made = await publish(runtime)
    digest = cast("Mapping[str, Any]", made.steps[0].output)["sha256"]
    await call(runtime, "retire", reference=ONE)
    assert await call(runtime, "read", reference=ONE) == "RESOURCE_RETIRED"
    said = await call(runtime, "read", reference=f"res://wordlist/words@sha256:{digest}")
    assert (said["reference"], said["uses"]) == (ONE, 1)


async def test_damaged_content_is_not_read(runtime: Runtime, workspace: Path, kept: Any) -> None:
    await publish(runtime)
    db = apsw.Connection(str(workspace / ".assent/resources.db"))
    db.execute("UPDATE piece SET body = x'00'")
    db.close()
    assert await call(runtime, "read", reference=ONE) == "RESOURCE_CORRUPT"
    assert kept()[ONE].uses == 0


async def test_another_capability_uses_what_a_reference_means(runtime: Runtime, kept: Any) -> None:
    """A scan's word list is one of its kind, is counted once for the call, and can be read as often as the scan likes."""

    @capability("own.scan", operation="READ", risk="LOW")
    def scan(context: LocalContext, words: str) -> dict[str, str | list[str]]:
        """Scan with a word list."""
        used = resolved_for_use(context, words, kind=AssetType.WORDLIST)
        return {"digest": used.sha256, "read": [b"".join(used.chunks()).decode() for _ in range(2)]}

    runtime.register(scan)
    await publish(runtime)
    await publish(runtime, "res://global/headers/words:1")
    result = await runtime.call("own.scan", {"words": "res://wordlist/words:latest"})
    assert result.steps[0].output == {"digest": kept()[ONE].sha256, "read": ["a\nb\n", "a\nb\n"]}
    assert kept()[ONE].uses == 1
    for words, code in (
        ("res://headers/words:1", "RESOURCE_REQUEST_INVALID"),
        ("res://wordlist/none:1", "RESOURCE_NOT_FOUND"),
    ):
        result = await runtime.call("own.scan", {"words": words})
        assert (result.status, result.steps[0].error and result.steps[0].error["code"]) == ("failed", code)
    assert kept()["res://global/headers/words:1"].uses == 0


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf.of(tmp_path, {"project": "shop"}, SystemClock())


def test_who_looks_makes_no_registry(shelf: Shelf) -> None:
    with shelf.looking() as provider:
        assert [*provider.versions()] == []
        with pytest.raises(InputError):
            provider.resolve(ONE)
    assert [*shelf.state.iterdir()] == []


@pytest.mark.parametrize(
    ("step", "node"), [("scan", "scan"), ("scan[3][0]", "scan"), ("@approval", None), (None, None)]
)
def test_a_step_is_a_node_whichever_iteration_it_is(shelf: Shelf, step: str | None, node: str | None) -> None:
    found = shelf.context(run="run_1", step=step)
    assert found == Context(run="run_1", node=node, project="shop")
