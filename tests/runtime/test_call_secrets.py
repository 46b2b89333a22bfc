"""Secrets in handlers: what the spec names, async and sync, each access in the log and counted, the value nowhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime
from assent.errors import InputError
from assent.invocation import Fetched, LocalContext, Secret
from assent.invocation._telling import Around
from assent.invocation.context import Surroundings
from assent.spec import create_read_capability
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal
from tests.support.bodies import Place, code, policy

VALUE = "correct horse battery staple"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=policy())


class Vault:
    """A provider of one secret."""

    name = "vault"

    async def fetch(self, name: str) -> Fetched | None:
        return Fetched(Secret(VALUE)) if name == "mail/token" else None


async def fetch(context: LocalContext, parameters: dict[str, Any]) -> int:
    secret = await context.secret(parameters["name"])
    context.logger.info("logging in with %s", secret)
    return len(secret.reveal())


def fetch_in_thread(context: LocalContext, parameters: dict[str, Any]) -> int:
    return len(context.secret_in_thread(parameters["name"], fresh=True).reveal())


@pytest.mark.parametrize("handler", [fetch, fetch_in_thread])
async def test_a_handler_gets_what_its_spec_names_and_nothing_else(
    place: Place, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    spec = create_read_capability(
        "mail.send", secrets=("mail/token", "mail/other"), parameters={"type": "object"}
    )
    async with place.open() as rt:
        rt.register(spec, handler)
        rt.secrets.add(Vault())
        given = await rt.call("mail.send", {"name": "mail/token"})
        assert given.steps[0].output == len(VALUE)
        assert code(await rt.call("mail.send", {"name": "db/password"})) == "SECRET_NOT_GRANTED"
        assert code(await rt.call("mail.send", {"name": "mail/other"})) == "SECRET_MISSING"
        assert rt.metrics.snapshot()["secrets"] == {"fetched": 1, "missing": 1, "refused": 1}
        told = [record for record in caplog.records if record.name == "assent.secrets"]
        accesses: list[Any] = [record.__dict__["access"] for record in told]
        assert [one["outcome"] for one in accesses] == ["fetched", "refused", "missing"]
        assert [one["secret"] for one in accesses] == ["mail/token", "db/password", "mail/other"]
        assert accesses[0]["run"] == str(given.run_id)
        assert accesses[0]["capability"] == "mail.send"
        assert VALUE not in caplog.text
        assert VALUE not in repr(accesses)
    stored = [path for path in (place.root / "state").rglob("*") if path.is_file()]
    assert stored
    assert all(VALUE.encode() not in path.read_bytes() for path in stored)


async def test_a_thread_reads_no_secret_of_a_runtime_that_is_not_open(place: Place) -> None:
    rt = Runtime(place.settings())
    with pytest.raises(InputError, match="not open"):
        rt.secrets.read_in_thread("a", capability="b.c", granted=["a"])


async def test_a_call_made_by_hand_has_no_secrets() -> None:
    """Neither one without surroundings nor one of a pipeline that was given none."""
    anything: Any = None
    for around in (Surroundings(), Around(anything, None, None)):
        context = LocalContext(
            run=RunId("run"),
            step=StepKey("step"),
            attempt=1,
            principal=Principal.parse("user:ann"),
            key="key",
            world=anything,
            blobs=anything,
            around=around,
        )
        with pytest.raises(InputError, match="made by hand"):
            await context.secret("a")
        with pytest.raises(InputError, match="made by hand"):
            context.secret_in_thread("a")
