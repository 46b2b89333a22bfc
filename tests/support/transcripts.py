"""What the official suite asks and is answered at `/mcp`: recorded by `python -m tools.mcp_suite --record`, and asked again.

Kept are scenarios in which one request follows the other. Those with streams beside their requests, or that wait for times to
pass, need the suite itself. Ids, times and tokens are other ones each time: a later request names those of its own.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx2
import msgspec

from assent.mcp._http import Agents

Json: TypeAlias = Any

TRANSCRIPTS: Final = Path(__file__).parents[1] / "mcp" / "transcripts.json"

SENT: Final = re.compile("accept|content-type|mcp-.*|x-.*")
OF_THE_MOMENT: Final = re.compile(
    r"run_[0-9a-z]{26}(/step_\d+)?|step_\d+|\d{4}-\d\d-\d\dT[\d:.]+Z|\b[0-9a-f]{32,64}\b"
)
UNLIKE: Final = ("tasks-", "server-stateless", "caching")
"""How the names of scenarios begin that wait for times to pass, or read the record, which is another one each time."""


class Exchange(msgspec.Struct, omit_defaults=True):
    """A request and all that was answered, the messages of a stream in their order. `session`: the header that begins one."""

    method: str
    headers: dict[str, str]
    body: str
    status: int = 0
    session: str = ""
    told: list[Json] = []
    began_s: float = 0.0
    ended_s: float = 0.0


class Recorder:
    """Writes down what agents ask, while it stands in for `Agents.answer`."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._answer = Agents.answer

    def answer(self) -> Any:
        """The method in its place."""

        async def answer(agents: Agents, scope: Any, receive: Any, send: Any, by: Any) -> None:
            await self._record(agents, scope, receive, send, by)

        return answer

    async def _record(self, agents: Agents, scope: Any, receive: Any, send: Any, by: Any) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        sent = {name: value for name, value in headers.items() if SENT.fullmatch(name)}
        one = Exchange(scope["method"], sent, "", began_s=time.time(), ended_s=float("inf"))
        self.exchanges.append(one)
        asked, told = bytearray(), bytearray()

        async def hear() -> Any:
            message = await receive()
            asked.extend(message.get("body", b""))
            return message

        async def tell(message: Any) -> None:
            if message["type"] == "http.response.start":
                one.status = message["status"]
                one.session = dict(message["headers"]).get(b"mcp-session-id", b"").decode()
            told.extend(message.get("body", b""))
            await send(message)

        try:
            await self._answer(agents, scope, hear, tell, by)
        finally:
            one.body, one.ended_s = asked.decode(), time.time()
            one.told = [*messages(bytes(told), one.body)]


def messages(body: bytes, asked: str) -> Iterator[Json]:
    """The messages of an answer, whether it is one of JSON or a stream of events; the id that was asked under is left out."""
    text = body.decode()
    with suppress(ValueError):
        asked = json.loads(asked).get("id")
    lines = re.findall(r"^data: ?(.+?)\r?$", text, re.MULTILINE)
    for line in lines or ([text] if text else []):
        try:
            told = json.loads(line)
            yield {key: part for key, part in told.items() if key != "id" or part != asked}
        except ValueError:
            yield line


def kept(exchanges: list[Exchange], began: Mapping[str, float]) -> dict[str, list[Exchange]]:
    """What was asked in each scenario, by when it began; without those in which requests overlap, and those of an older suite."""
    found: dict[str, list[Exchange]] = {}
    names = sorted(began, key=lambda name: began[name])
    for one in exchanges:
        name = [name for name in names if began[name] <= one.began_s][-1]
        if one.method != "GET":  # a stream for what is told meanwhile
            found.setdefault(name, []).append(one)
    return {
        name: each
        for name, each in found.items()
        if name.startswith("20")
        and not name.partition(" ")[2].startswith(UNLIKE)
        and all(one.ended_s <= following.began_s for one, following in pairwise(each))
        and all(one.ended_s < float("inf") for one in each)
    }


def packed(scenarios: Mapping[str, list[Exchange]]) -> str:
    """Transcripts as they are stored, each message once."""
    said: dict[str, int] = {}
    told: dict[str, list[Json]] = {}
    for name, exchanges in sorted(scenarios.items()):
        told[name] = []
        for one in exchanges:
            numbers = [said.setdefault(json.dumps(each, sort_keys=True), len(said)) for each in one.told]
            plain = msgspec.structs.replace(one, told=numbers, began_s=0.0, ended_s=0.0)
            told[name].append(msgspec.to_builtins(plain))
    lines = [f"{json.dumps(name)}: {json.dumps(each)}" for name, each in told.items()]
    return '{"messages": [\n' + ",\n".join(said) + '\n],\n"scenarios": {\n' + ",\n".join(lines) + "\n}}\n"


def unpacked(text: str) -> dict[str, list[Exchange]]:
    """Transcripts by scenario."""
    stored = json.loads(text)
    found = msgspec.convert(stored["scenarios"], dict[str, list[Exchange]])
    for exchanges in found.values():
        for one in exchanges:
            one.told = [stored["messages"][number] for number in one.told]
    return found


async def replayed(http: httpx2.AsyncClient, exchanges: list[Exchange]) -> list[str]:
    """Ask the same again; in what the answers differ."""
    now: dict[str, str] = {}
    found: list[str] = []

    def renamed(text: str) -> str:
        for before, after in now.items():
            text = text.replace(before, after)
        return text

    for one in exchanges:
        headers = {name: renamed(value) for name, value in one.headers.items()}
        response = await http.request(one.method, "", headers=headers, content=renamed(one.body))
        now[one.session] = response.headers.get("mcp-session-id", "")
        now.pop("", None)
        told = [*messages(response.content, one.body)]
        if response.status_code != one.status or len(told) != len(one.told):
            found.append(f"{one.body[:200]}: {response.status_code} {told} was {one.status} {one.told}")
            continue
        for before, after in zip(one.told, told, strict=True):
            found += [f"{one.body[:200]}: {difference}" for difference in _compared(before, after, now, "")]
    return found


def _compared(before: Json, after: Json, now: dict[str, str], at: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        for key in before:
            yield from _compared(before[key], after[key], now, f"{at}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _compared(one, other, now, f"{at}/{number}")
    elif at.endswith("/requestState") and isinstance(after, str):
        now[before] = after
    elif isinstance(before, str) and isinstance(after, str):
        if OF_THE_MOMENT.sub("*", before) != OF_THE_MOMENT.sub("*", after):
            yield f"{at} is {after!r} and was {before!r}"
        elif OF_THE_MOMENT.fullmatch(before):
            now[before] = after
    elif before != after:
        yield f"{at} is {after!r} and was {before!r}"
