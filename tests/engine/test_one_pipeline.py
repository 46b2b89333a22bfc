"""There is one way of a call: whoever makes it, it is validated, decided, hooked, told of and journaled alike."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from assent.cli import main
from assent.errors import Json
from assent.invocation import BoundCapability, HookedCall, LifecycleEvent, Subscription
from assent.journal import at_once, rows_at_once
from assent.policy import PolicyEngine
from assent.runtime._core import Core
from assent.spec.ids import RunId
from tests.support.bodies import Place

CALLS: dict[str, dict[str, Json]] = {
    "sys.noop": {},
    "io.fs.write_file": {"path": "f", "content": "hello"},
    "io.fs.read_file": {"path": "there"},
}


@dataclass
class Counts:
    """What passed, counted where it happens (not by the pipeline's own account), and what the pipeline says of it."""

    parsed: int = 0
    checked: int = 0
    decided: int = 0
    hooks: list[str] = field(default_factory=list)
    told: Counter[tuple[str, str]] = field(default_factory=Counter)
    journal: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)


class Watch:
    """Counts what happens in one runtime, from when it is attached."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts = Counts()
        self.is_on = False
        self._events: Subscription | None = None
        self._core: Core | None = None
        for cls, name, counter in (
            (BoundCapability, "parse", "parsed"),
            (BoundCapability, "result", "checked"),
            (PolicyEngine, "decide", "decided"),
        ):
            monkeypatch.setattr(cls, name, self._counted(getattr(cls, name), counter))

    def _counted(self, real: Callable[..., Any], counter: str) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self.is_on:
                setattr(self.counts, counter, getattr(self.counts, counter) + 1)
            return real(*args, **kwargs)

        return counted

    def attach(self, core: Core) -> None:
        """Begin to count, with one hook of each kind."""
        self._core, self.is_on = core, True
        self._events = core.lifecycle.subscribe()

        def note(kind: str) -> Callable[[HookedCall], None]:
            return lambda call: self.counts.hooks.append(f"{kind} {call.capability}")

        core.hooks.before(id="b")(note("before"))
        core.hooks.after(id="a")(note("after"))
        core.hooks.catch(id="c")(note("catch"))
        core.hooks.finally_(id="f")(note("finally"))

    def end(self, run: str | None = None) -> Counts:
        """What was counted; `run`: whose journal is looked at."""
        self.is_on = False
        assert self._events is not None
        assert self._core is not None
        told: list[LifecycleEvent] = self._events.take()
        self.counts.told = Counter((event.subject.value, event.stage.value) for event in told)
        self.counts.metrics = self._core.metrics.snapshot()
        if run is not None:
            self.counts.journal = kinds_of(self._core, run)
        return self.counts


def journal_of(core: Core) -> Any:
    """The journal that a runtime keeps to itself."""
    return core.ready.journal


def kinds_of(core: Core, run: str) -> list[str]:
    """What kinds of events a run has."""
    return [leaf.event.kind for leaf in at_once(journal_of(core).events(RunId(run)))]


def one_step(capability: str) -> dict[str, Any]:
    """A workflow that makes the call."""
    return {"name": "w", "steps": [{"name": "one", "capability": capability, "inputs": CALLS[capability]}]}


Way = Callable[[Place, Watch, str, pytest.MonkeyPatch], Counts]


def python_call(place: Place, watch: Watch, capability: str, monkeypatch: pytest.MonkeyPatch) -> Counts:
    async def body() -> Counts:
        async with place.open() as rt:
            watch.attach(rt._core)
            return watch.end((await rt.call(capability, CALLS[capability])).run_id)

    return asyncio.run(body())


def session_call(place: Place, watch: Watch, capability: str, monkeypatch: pytest.MonkeyPatch) -> Counts:
    async def body() -> Counts:
        async with place.open() as rt:
            session = await rt.session()
            watch.attach(rt._core)
            await session.call(capability, CALLS[capability])
            await session.close()
            return watch.end(session.run_id)

    return asyncio.run(body())


def workflow_step(place: Place, watch: Watch, capability: str, monkeypatch: pytest.MonkeyPatch) -> Counts:
    async def body() -> Counts:
        async with place.open() as rt:
            watch.attach(rt._core)
            return watch.end((await rt.run(one_step(capability))).run_id)

    return asyncio.run(body())


def replay(place: Place, watch: Watch, capability: str, monkeypatch: pytest.MonkeyPatch) -> Counts:
    async def body() -> Counts:
        async with place.open() as rt:
            run = (await rt.call(capability, CALLS[capability])).run_id
            before = kinds_of(rt._core, run)
        async with place.open() as rt:
            watch.attach(rt._core)
            report = await rt.replay(run)
            assert report.is_equal, report.to_json()
            counts = watch.end(run)
            assert counts.journal == before, "a replay adds nothing to the record"
            return counts

    return asyncio.run(body())


def cli_call(place: Place, watch: Watch, capability: str, monkeypatch: pytest.MonkeyPatch) -> Counts:
    given = [f"{name}={value}" for name, value in CALLS[capability].items()]
    return typed(place, watch, ["call", capability, *given], monkeypatch)


def cli_run(place: Place, watch: Watch, capability: str, monkeypatch: pytest.MonkeyPatch) -> Counts:
    (place.root / "w.yaml").write_text(json.dumps(one_step(capability)), encoding="utf-8")
    return typed(place, watch, ["run", str(place.root / "w.yaml")], monkeypatch)


def typed(place: Place, watch: Watch, words: list[str], monkeypatch: pytest.MonkeyPatch) -> Counts:
    """A command line in this process, whose runtime is watched from when it opens until just before it closes."""
    place.workspace.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(place.root))
    monkeypatch.setenv("ASSENT_LEDGER_KEY", str(place.root / "ledger.key"))
    start, close = Core.start, Core.close
    ended: list[Counts] = []

    async def started(self: Core, *args: Any) -> None:
        await start(self, *args)
        watch.attach(self)

    async def closed(self: Core) -> None:
        runs = list(rows_at_once(journal_of(self), "runs"))
        ended.append(watch.end(str(runs[-1]["run_id"])))
        await close(self)

    monkeypatch.setattr(Core, "start", started)
    monkeypatch.setattr(Core, "close", closed)
    where = ["--workspace", str(place.workspace), "--state", str(place.root / "state")]
    assert main([*words, *where, "--json"]) == 0
    return ended[0]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@pytest.mark.parametrize("capability", CALLS)
@pytest.mark.parametrize(
    "way", [python_call, session_call, workflow_step, cli_call, cli_run, replay], ids=lambda way: way.__name__
)
def test_every_way_to_make_a_call_passes_the_one_pipeline(
    way: Way, capability: str, tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    place.workspace.mkdir()
    (place.workspace / "there").write_text("something", encoding="utf-8")
    counts = way(place, watch, capability, monkeypatch)
    assert (counts.parsed, counts.checked, counts.decided) == (1, 1, 1)
    assert counts.hooks == [f"{kind} {capability}" for kind in ("before", "after", "finally")]
    assert counts.told == Counter(
        {
            **{("call", stage): 1 for stage in ("start", "end")},
            **{("policy", stage): 1 for stage in ("start", "end")},
            **{("validation", stage): 2 for stage in ("start", "end")},
            **{("hook", stage): 3 for stage in ("start", "end")},
        }
    )
    assert counts.metrics["validations"] == {"input.passed": 1, "output.passed": 1}
    assert counts.metrics["decisions"] == {"ALLOW": 1}
    assert counts.metrics["calls"][capability]["outcomes"] == {"succeeded": 1}
    journal = [kind for kind in counts.journal if kind not in ("step.added", "run.session_closed")]
    assert journal == ["run.created", "step.started", "step.succeeded", "run.succeeded"]
