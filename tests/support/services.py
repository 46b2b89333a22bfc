"""A service on loopback and a runtime that may reach it, for what the HTTP capabilities do there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assent.engine import RunResult
from tests.support.bodies import Bench, Place
from tests.support.web import Asked, Reply, serving

EVERYTHING: dict[str, Any] = {
    "version": 1,
    "rules": [
        {
            "id": "everything",
            "when": {"principal": "user:*"},
            "decision": "ALLOW",
            "without_approval": True,
            "reason": "the capability itself is tried here",
        }
    ],
}
SECRET = "correct-horse-battery-staple"


@dataclass
class Web:
    """A runtime that may reach one service; `url` makes addresses there."""

    place: Place
    port: int

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def files(self) -> Path:
        return self.place.workspace

    @asynccontextmanager
    async def open(self, more: str = "") -> AsyncIterator[Bench]:
        """A runtime with the rule that opens the service, and `more` lines of configuration."""
        self.files.mkdir(exist_ok=True)
        (self.files / "assent.toml").write_text(
            f'{more}[net.rules.service]\nhosts = ["127.0.0.1"]\nschemes = ["http"]\nports = [{self.port}]\n'
            'methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]\nprivate = ["127.0.0.1/32"]\n'
        )
        async with self.place.open(box=False) as rt:
            yield rt


def output(result: RunResult) -> Any:
    """The one step's output."""
    assert result.status == "succeeded", result
    return result.steps[0].output


def error(result: RunResult) -> Any:
    """The one step's error."""
    return result.steps[0].error


Answer = Callable[[Asked], Reply]


@asynccontextmanager
async def service(
    tmp_path: Path, answer: Answer, more: str = ""
) -> AsyncIterator[tuple[Web, Bench, list[Asked]]]:
    """A service, and a runtime that may reach it."""
    with serving(answer) as site:
        web = Web(Place(tmp_path, policy=EVERYTHING), site.port)
        async with web.open(more) as rt:
            yield web, rt, site.asked


def fixed(status: int, body: bytes = b"", kind: str = "application/json") -> Answer:
    """Everybody gets this."""
    return lambda asked: Reply(status, [("content-type", kind)], body)


OFFSET: dict[str, Any] = {
    "method": "DELETE",
    "url": "URL/items/{id}?reason={idempotency_key}",
    "headers": {"x-id": "item {id} {other}"},
    "body": {"id": "{id}", "text": "no. {id}", "list": ["{id}"]},
    "from_answer": {"id": "body.id"},
}


def offset_at(web: Web, offset: dict[str, Any]) -> dict[str, Any]:
    """A request that offsets another one, at this service."""
    found: dict[str, Any] = json.loads(json.dumps(offset).replace("URL", web.url("")))
    return found
