"""Callers of the daemon's doors for tests: keys that were made, and what is presented with them."""

from __future__ import annotations

from pathlib import Path

from assent.runtime.service.answers import Run
from assent.runtime.service.requests import Asker, CreateKey
from assent.runtime.service.service import Service
from assent.runtime.wiring.key_store import NewKey, new_key
from assent.server.who import Presented
from assent.system import SystemEntropy
from tests.support.bodies import Bench, Place, policy


def place_with(root: Path, configuration: str = "") -> Place:
    """A place in which everything is allowed, with a configuration of its own."""
    place = Place(root, policy=policy())
    place.workspace.mkdir(exist_ok=True)
    (place.workspace / "assent.toml").write_text(configuration)
    return place


async def made(rt: Bench, by: Asker | None = None, **said: object) -> tuple[NewKey, Run]:
    """A key that somebody made, and the run that did it."""
    key = new_key(SystemEntropy())
    request = CreateKey(**{"id": key.id, "digest": key.digest, "name": "test", **said})  # type: ignore[arg-type]
    return key, await Service(rt.settings, rt._core).perform(request, by)


def bearer(text: str, **said: object) -> Presented:
    """Somebody far away who sends this."""
    return Presented(
        **{"door": "http", "peer": "203.0.113.7", "authorization": (f"Bearer {text}",), **said}  # type: ignore[arg-type]
    )
