"""The store of findings, kept up to date act by act, equals what the ledger as it is now folds to."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from assent.capabilities.findings import BOOK, follow
from assent.errors import AssentError
from assent.findings.book import BookFile
from assent.runtime._ledger import reading
from assent.runtime.runs._findings import FindingsStore
from assent.system import SystemClock
from tests.support.bodies import Bench, Place, policy, rule
from tests.support.books import dump, katana, nuclei
from tests.support.properties import holds
from tests.support.seeds import examples

DAY_MS: Final = 86_400_000
RULES: Final = ("git-config", "env-file", "open-redirect")
SEVERITIES: Final = ("info", "medium", "critical")
HOSTS: Final = ("shop.example", "blog.example")

REFUSALS: Final = ("PROJECT_UNKNOWN", "FINDING_UNKNOWN")

Act: TypeAlias = tuple[Any, ...]
"""Its name, and what it is about; the last says who folds afterwards: nobody, the store, one that lags behind, or both."""

PROJECTS: Final = st.sampled_from(["shop", "blog"])
MATTERS: Final = st.lists(
    st.tuples(st.sampled_from(RULES), st.sampled_from(SEVERITIES), st.sampled_from(HOSTS)), max_size=4
)
FOLDERS: Final = st.sampled_from(["", "kept", "lagging", "both"])
CHANGES: Final = st.sampled_from(
    [
        {"status": "resolved"},
        {"status": "triaged", "note": "somebody looks at it"},
        {"add_tags": ["seen"], "owner": "ann"},
        {"suppress": {"reason": "known"}},
        {"suppress": {"reason": "a decoy", "scope": "detector"}},
        {"suppress": {"reason": "ours", "scope": "resource", "until": "2099-01-01T00:00:00Z"}},
        {"unsuppress": True},
    ]
)
ACT: Final = st.one_of(
    st.tuples(st.just("import"), PROJECTS, MATTERS, FOLDERS),
    st.tuples(st.just("crawl"), PROJECTS, st.lists(st.sampled_from(HOSTS), max_size=3), FOLDERS),
    st.tuples(st.just("triage"), PROJECTS, st.sampled_from(SEVERITIES), CHANGES, FOLDERS),
    st.tuples(st.just("gc"), PROJECTS, st.integers(1, 40), st.integers(1, 40), FOLDERS),
    st.tuples(st.just("delete"), PROJECTS, FOLDERS),
    st.tuples(st.just("undo"), st.integers(0, 9), FOLDERS),
    st.tuples(st.just("undo"), st.integers(0, 9), FOLDERS),
    st.tuples(st.just("erase"), st.integers(0, 9), FOLDERS),
    st.tuples(st.just("age"), st.integers(1, 30), FOLDERS),
)  # fmt: skip

GIT: Final = ("git-config", "medium", "shop.example")
ENV: Final = ("env-file", "critical", "shop.example")


class Story:
    """A runtime with a clock that goes forward by days, and what was done in it so far."""

    def __init__(self, runtime: Bench, place: Place, folder: Path) -> None:
        self._runtime = runtime
        self._place = place
        self._store = FindingsStore(place.settings())
        self._lagging = BookFile(folder / "lagging.db")
        self.aged_ms = 0
        self.runs: list[str] = []

    async def go(self, act: Act) -> None:
        """Do it. What is refused is refused, and changes nothing."""
        name, *said, folds = act
        try:
            await getattr(self, f"_{name}")(*said)
        except AssentError:
            assert name in ("undo", "erase")
        if folds in ("kept", "both"):
            self.kept()
        if folds in ("lagging", "both"):
            self.lagging()

    async def _import(self, project: str, matters: list[tuple[str, str, str]]) -> None:
        await self._imported(project, "nuclei", nuclei(matters))

    async def _crawl(self, project: str, hosts: list[str]) -> None:
        await self._imported(project, "katana", katana(f"https://{host}/" for host in hosts))

    async def _imported(self, project: str, tool: str, written: bytes) -> None:
        name = f"scan-{len(self.runs)}.jsonl"
        (self._place.workspace / name).write_bytes(written)
        await self._call("findings.import", {"project": project, "path": name, "tool": tool})

    async def _triage(self, project: str, severity: str, change: dict[str, Any]) -> None:
        wanted = {"project": project, "matching": {"severities": [severity]}}
        await self._call("findings.triage", {**wanted, **change})

    async def _gc(self, project: str, findings: int, runs: int) -> None:
        wanted = {"project": project, "findings_days": findings, "runs_days": runs}
        await self._call("findings.gc", wanted)

    async def _delete(self, project: str) -> None:
        await self._call("findings.delete_project", {"project": project})

    async def _undo(self, number: int) -> None:
        if self.runs:
            await self._runtime.undo(self.runs[-1 - number % len(self.runs)])

    async def _erase(self, number: int) -> None:
        if self.runs:
            await self._runtime.erase([self.runs[-1 - number % len(self.runs)]])

    async def _age(self, days: int) -> None:
        self.aged_ms += days * DAY_MS

    async def _call(self, capability: str, parameters: dict[str, Any]) -> None:
        result = await self._runtime.call(capability, parameters)
        assert result.status == "succeeded" or str((result.error or {})["code"]) in REFUSALS, result
        self.runs.append(result.run_id)

    def kept(self) -> dict[str, Any]:
        """The store of this state."""
        with self._store.opened() as (file, _):
            return dump(file)

    def lagging(self) -> dict[str, Any]:
        """Another one that was folded less often."""
        return self._folded(self._lagging)

    def anew(self) -> dict[str, Any]:
        """One that is folded from nothing."""
        return self._folded(BookFile(None))

    def _folded(self, file: BookFile) -> dict[str, Any]:
        with reading(self._place.settings().state) as journal:
            assert journal is not None
            follow(journal, journal.blob, file)
        return dump(file)

    def close(self) -> None:
        """Let go of the file."""
        self._lagging.close()


@contextmanager
def ageing(story: Story) -> Iterator[None]:
    now_ms = SystemClock.now_ms
    with patch.object(SystemClock, "now_ms", lambda clock: now_ms(clock) + story.aged_ms):
        yield


async def live(acts: list[Act]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), policy=policy(rule("all", without_approval=True)))
        async with place.open(box=False) as runtime:
            story = Story(runtime, place, Path(folder))
            with ageing(story):
                for act in acts:
                    await story.go(act)
                wanted = story.anew()
                assert wanted["stray"] == 0
                assert story.lagging() == wanted
                assert story.kept() == wanted
                assert story.kept() == wanted
            story.close()
        assert (place.settings().state / BOOK).stat().st_mode & 0o777 == 0o600


@holds("findings_store")
@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=examples(400)
)
@given(st.lists(ACT, min_size=2, max_size=12))
@example(
    [
        ("import", "shop", [GIT, ENV], "kept"),
        ("age", 30, ""),
        ("gc", "shop", 5, 5, "kept"),
        ("undo", 0, "kept"),
    ]
)
@example(
    [
        ("import", "shop", [GIT], ""),
        ("delete", "shop", ""),
        ("undo", 0, ""),
        ("import", "shop", [ENV, GIT], "both"),
    ]
)
@example(
    [
        ("import", "shop", [GIT], ""),
        ("triage", "shop", "medium", {"status": "resolved"}, ""),
        ("erase", 1, "kept"),
        ("import", "shop", [GIT], ""),
    ]
)
@example(
    [
        ("import", "shop", [GIT], ""),
        ("age", 9, ""),
        ("gc", "shop", 30, 5, "kept"),
        ("undo", 1, "both"),
        ("undo", 0, ""),
    ]
)
def test_a_store_that_was_kept_up_to_date_is_what_the_ledger_folds_to(acts: list[Act]) -> None:
    asyncio.run(live(acts))
