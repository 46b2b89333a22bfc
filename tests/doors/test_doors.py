"""One suite for all doors: whatever is asked, each tells the same, and leaves the same on record, as the embedded runtime."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import pytest
import pytest_asyncio

from assent.errors import FAMILIES
from assent.runtime.service import process, requests
from assent.runtime.service.routes import OF_FILES
from assent.runtime.wiring.key_store import NewKey, new_key
from assent.system import SystemEntropy, spawn
from tests.doors.doors import (
    KINDS,
    Asked,
    Door,
    Embedded,
    Http,
    OfClient,
    OfSyncClient,
    Pipe,
    Refused,
    resolved,
    token_of,
)
from tests.doors.stories import STORIES
from tests.doors.story import JOIN, RESTART, Step, Story, at, filled
from tests.support.own_places import own_places
from tests.support.patience import PATIENCE_S
from tests.support.serving import key_for
from tests.support.web import authority

Opening: TypeAlias = "Callable[[Path, Mapping[str, str], Path], AbstractAsyncContextManager[Door]]"

EMBEDDED: Final = "embedded"
DOORS: Final[Mapping[str, Opening]] = {
    EMBEDDED: Embedded.open,
    "http": Http.open,
    "https": Http.over_tls,
    "socket": Http.on_socket,
    "pipe": Pipe.open,
    "client": OfClient.open,
    "sync client": OfSyncClient.open,
}

POLICY: Final = """
  - id: private
    when: {capability: 'io.fs.*'}
    if: 'inputs.path.startsWith("private/")'
    decision: DENY
    reason: it is private
  - id: deletes
    when: {operation_type: DELETE}
    decision: REQUIRE_APPROVAL
    reason: it is gone
    approvers: {kinds: [user]}
  - id: rest
    decision: ALLOW
    without_approval: true
    reason: harmless
"""
USERS: Final = """policy = "policy.yaml"
[identity.users.ann]
roles = ["release"]
[identity.users.bob]
roles = ["release"]
[identity.users.eve]
"""
SHOWN: Final = 240
NEWEST: Final = 500
"""More entries than one story leaves."""

UNLIKE: Final = {
    "request": "a client asks everything under a key, so that it can ask again; who says none has none",
    "request_digest": "as `request`",
    "os_uid": "over TCP nobody knows the account at the other end",
    "origin": "each ledger has a name of its own",
    "same_uid": "as `os_uid`",
    "rows": "an id that a request is asked under has a row",
    "seq": "the place in a ledger in which a program's failed runs stand, too",
    "entry": "as `seq`",
    "door": "it says which one it was",
    "peer": "and from where somebody came there",
    "note": "signed, of a ledger that holds times and salts",
    "proof": "as `note`",
    "began": "as `note`: the proof of another entry",
    "salt": "of a payload, random",
    "data": "as `note`: tiles and snapshots hold entries",
    "key": "each ledger's is under its name",
    "seconds": "how long it took",
    "checkpoints": "how often it was signed meanwhile",
    "root": "the ledger's, of entries that hold times and salts",
    "size": "the ledger's: a request that is asked under a key is as long as that",
}
"""What stands in answers and on record and is another one behind another door, with the reason."""

_LABELLED: Final = re.compile(
    r"\b(?:run|plan|msg|sch|apr)_[0-9a-z]{20,}\b|\bak_[a-z2-7]{16}\b|\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b"
)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


class Alike:
    """Makes what is told comparable: ids, digests and keys by the order in which they come, no times, and no places."""

    def __init__(self, root: Path, who: str) -> None:
        self._root, self._who = str(root), who
        self._known: dict[str, str] = {}

    def __call__(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {
                self(key): self(one, key)
                for key, one in value.items()
                if key not in UNLIKE and not (key.endswith(("_ms", "_us")) and isinstance(one, int))
            }
        if isinstance(value, list | tuple):
            return [self(one) for one in value]
        if not isinstance(value, str):
            return value
        if name == "identified_by" and value == self._who:
            return "whoever came in"
        text = _TIME.sub("TIME", value.replace(self._root, "WORKSPACE"))
        return _LABELLED.sub(lambda found: self._known.setdefault(found[0], f"#{len(self._known)}"), text)


class House:
    """A workspace with one of its doors open."""

    def __init__(self, door: str, root: Path, env: Mapping[str, str], files: Path) -> None:
        self.door, self.root = door, root
        self._env, self._files = env, files
        self._opened = AsyncExitStack()
        self._size = 0

    async def open(self) -> Door:
        """Whoever owns the state ends, and another one takes it."""
        await self.close()
        return await self._opened.enter_async_context(DOORS[self.door](self.root, self._env, self._files))

    async def close(self) -> None:
        await self._opened.aclose()

    def recorded(self) -> list[Any]:
        """The entries that are new since this was asked last."""
        lines = process.stream(requests.AuditLog(limit=NEWEST), resolved(self.root, self._env))
        found = [msgspec.to_builtins(line) for line in lines if line.seq >= self._size]
        self._size += len(found)
        return found


class Telling:
    """A story as it is told behind one door."""

    def __init__(self, story: Story, house: House) -> None:
        self._story, self._house = story, house
        self._kept: dict[str, Any] = {}
        self._keys: dict[str, NewKey] = {}
        self._late: dict[str, asyncio.Task[Any]] = {}
        self._unlike: set[str] = set()
        self.answers: list[Any] = []
        self.record: list[Any] = []

    async def tell(self, door: Door) -> None:
        """Ask every step, look at each answer, and at what is on record then."""
        self._alike = Alike(self._house.root, door.who)
        for step in self._story.steps:
            if step.only and self._house.door not in step.only:
                continue
            if step.op == RESTART:
                door = await self._house.open()
            elif step.op == JOIN:
                self._look(step, await self._late.pop(str(step.late)))
            elif step.late is not None:
                self._late[step.late] = spawn(self._asked(door, step), name=step.late)
            else:
                self._look(step, await self._answered(door, step))
        runs: dict[str | None, list[Any]] = {}
        for line in await asyncio.to_thread(self._house.recorded):
            if line["run_id"] not in self._unlike:
                event = self._alike(line["event"])
                runs.setdefault(line["run_id"], []).append({"kind": line["kind"], "event": event})
        if self._story.runs is not None:
            assert len(runs.keys() - {None}) == self._story.runs, self._house.door
        self.record = [*runs.values()]

    async def _answered(self, door: Door, step: Step) -> Any:
        found = await self._asked(door, step)
        while step.until and not self._is_so(step, found):
            await asyncio.sleep(0.01)
            found = await self._asked(door, step)
        return found

    def _is_so(self, step: Step, found: Any) -> bool:
        return all(at(found, path) == value for path, value in wanted(step).items())

    async def _asked(self, door: Door, step: Step) -> Any:
        """The answer, or the error as it is told."""
        said = filled(dict(step.said), self._kept)
        if step.op == "create_key":
            made = self._keys[said["name"]] = new_key(SystemEntropy())
            said |= {"id": made.id, "digest": made.digest}
            self._kept[f"{said['name']}.id"] = made.id
        token = None if step.by is None else self._keys[step.by].text if step.by in self._keys else step.by
        asked = Asked(
            op=step.op,
            said=said,
            token=token,
            key=None if step.key is None else f"{step.key}.{STORIES.index(self._story)}",
            version=step.version,
            most=step.most,
        )
        try:
            found = await door.ask(asked)
        except Refused as refused:
            return {"family": refused.family, "error": refused.error}
        except tuple(FAMILIES.values()) as error:
            return {"family": error.family, "error": error.to_dict()}
        if step.is_failed_run and self._house.door == EMBEDDED:
            assert found["status"] == "failed", found
            self._unlike.add(found["run_id"])
            return {"family": "input", "error": found["error"]}
        return found

    def _look(self, step: Step, found: Any) -> None:
        where = (self._house.door, step.op, step.said, found)
        if step.code is not None:
            assert isinstance(found, dict), where
            assert "family" in found, where
            assert found["error"]["code"] == step.code, where
        else:
            assert not (isinstance(found, dict) and "family" in found), where
        for path, value in wanted(step).items():
            assert at(found, path) == filled(value, self._kept), (path, *where)
        self._kept |= {name: at(found, path) for name, path in step.keep.items()}
        if isinstance(found, dict) and "run_id" in found:
            self._kept["run"] = found["run_id"]
        if step.is_code or step.is_failed_run:
            found = {"family": found["family"], "code": found["error"]["code"]}
        elif step.code is not None:
            # The advice is in the words of the door.
            error = {name: value for name, value in found["error"].items() if name != "hint"}
            found = {"family": found["family"], "error": error}
        if not step.only:
            self.answers.append(sorted(found) if step.is_local else self._alike(found))


def wanted(step: Step) -> dict[str, Any]:
    """What has to stand where in the answer."""
    return {**({} if step.status is None else {"status": step.status}), **step.gives}


def differences(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two values differ, and what stands there."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(name, one[name], other[name]) for name in one]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(one, other, strict=True))]
    else:
        if one != other:
            yield place, one, other
        return
    for name, left, right in pairs:
        yield from differences(left, right, f"{place}.{name}")


def workspace(root: Path, settings: str = "", rules: str = "") -> Path:
    """A fresh one."""
    root.mkdir()
    (root / "assent.toml").write_text(USERS + settings)
    (root / "policy.yaml").write_text(f"version: 1\nrules:\n{rules}{POLICY}")
    (root / "policy.yaml").chmod(0o600)
    return root


def emptied(root: Path) -> None:
    """Nothing is left of what other stories have written."""
    for path in root.iterdir():
        if path.suffix == ".txt":
            path.unlink()


class Places(NamedTuple):
    """Where workspaces are made, and the environment in which they are opened."""

    folder: Path
    env: dict[str, str]

    def house(self, door: str, name: str, story: Story | None = None) -> House:
        root = self.folder / f"{name}-{door.replace(' ', '-')}"
        said = ("", "") if story is None else (story.settings, story.rules)
        workspace(root, *said)
        resolved(root, self.env).create_state()
        token_of(root).write_text(key_for(root, self.env))
        return House(door, root, self.env, self.folder / "certificates")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("doors")
    authority(folder / "certificates", "127.0.0.1")
    with own_places(folder, {"PATH": os.environ["PATH"]}) as env:
        yield Places(folder, env)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_houses(places: Places) -> AsyncIterator[list[tuple[House, Door]]]:
    """One for each door, which hears every story that need not be told alone."""
    houses = [places.house(door, "all") for door in DOORS]
    opened = [(house, await house.open()) for house in houses]
    for house, door in opened:
        # The first run has what is installed put on record; no story is to be about that.
        await door.ask(Asked(op="call", said={"capability": "sys.noop"}))
        house.recorded()
    yield opened
    for house in houses:
        await house.close()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
@pytest.mark.asyncio(loop_scope="module")
async def test_every_door_tells_the_same(
    story: Story, places: Places, open_houses: list[tuple[House, Door]]
) -> None:
    tellings = dict[str, Telling]()
    async with AsyncExitStack() as opened:
        works = []
        for shared in open_houses:
            house, door = shared
            if story.is_alone:
                house = places.house(shared[0].door, str(STORIES.index(story)), story)
                opened.push_async_callback(house.close)
                door = await house.open()
            emptied(house.root)
            tellings[house.door] = Telling(story, house)
            works.append(tellings[house.door].tell(door))
        async with asyncio.timeout(PATIENCE_S):
            faults = await asyncio.gather(*works, return_exceptions=True)
    for fault in faults:
        if fault is not None:
            for house, _ in open_houses:
                house.recorded()  # what is left of this is of no other story
            raise fault
    first = tellings[EMBEDDED]
    unlike = [
        f"{name}: {place}: {str(one)[:SHOWN]!r} | {str(other)[:SHOWN]!r}"
        for name, telling in tellings.items()
        for place, one, other in differences((first.answers, first.record), (telling.answers, telling.record))
    ]
    assert not unlike, "\n".join(unlike)


def test_every_operation_is_in_a_story() -> None:
    """Those that are about files of the machine they are asked on have no path over HTTP, and so no story that all doors tell."""
    told = {step.op for story in STORIES for step in story.steps}
    assert {op for op, kind in KINDS.items() if kind not in OF_FILES} == told - {RESTART, JOIN}
