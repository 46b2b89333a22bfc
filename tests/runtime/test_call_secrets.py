"""Secrets in handlers: what the spec names, async and sync, each access in the log and counted, the value nowhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from assent import Runtime
from assent.errors import InputError, Json
from assent.invocation import Fetched, Handler, LocalContext, Prepared, Secret
from assent.invocation.call._lifecycle_events import Around
from assent.invocation.context.local import Surroundings
from assent.spec import create_read_capability, create_write_capability
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal
from assent.spec.schemas.schema import schema_of
from assent.spec.types import SecretJson, SecretReference, SecretText
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


class Letter(BaseModel):
    """A letter with places for secrets, and one where a reference is literal."""

    header: SecretText
    key: SecretReference
    body: SecretJson = None
    note: str = ""


SEEN: list[Any] = []


async def send(context: LocalContext, letter: Letter) -> dict[str, str]:
    """Show what was revealed in every way that a handler has, and fail when asked to."""
    shown = await context.reveal(letter)
    return _leak(context, shown)


def send_in_thread(context: LocalContext, letter: Letter) -> dict[str, str]:
    return _leak(context, context.reveal_in_thread(letter))


def _leak(context: LocalContext, shown: dict[str, Any]) -> dict[str, str]:
    SEEN.append(shown)
    context.logger.warning("sending %s", shown["header"])
    context.progress(1, 1, shown["header"])
    context.meta["header"] = shown["header"]
    assert context.redact(shown["header"]) == "Bearer ***"
    assert context.redact(shown["header"].encode()) == b"Bearer ***"
    assert VALUE not in context.snapshot().dump().decode()
    if shown["note"] == "fail":
        raise RuntimeError(f"no answer to {shown['header']}")
    return {"said": shown["header"], "token": "other"}


@pytest.mark.parametrize("handler", [send, send_in_thread])
async def test_references_are_resolved_for_the_handler_and_shown_to_nobody(
    place: Place, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it returns, raises, logs and tells of it, and only where the field takes them."""
    caplog.set_level(logging.INFO)
    SEEN.clear()
    spec = create_read_capability(
        "mail.send", secrets=("mail/token",), parameters=schema_of(Letter), returns={"type": "object"}
    )
    letter: dict[str, Json] = {
        "header": "Bearer secret://mail/token",
        "key": "secret://mail/token",
        "body": {"a": ["x secret://mail/token y", 1]},
        "note": "secret://mail/token",
    }
    async with place.open() as rt:
        rt.register(spec, Handler(handler, parameters=Letter))
        rt.secrets.add(Vault())
        with rt.lifecycle.subscribe() as heard:
            given = await rt.call("mail.send", letter)
            failed = await rt.call("mail.send", {**letter, "note": "fail"})
            told = [repr(event) for event in heard.take()]
    assert SEEN[0] == {
        "header": f"Bearer {VALUE}",
        "key": VALUE,
        "body": {"a": [f"x {VALUE} y", 1]},
        "note": "secret://mail/token",
    }
    assert given.steps[0].output == {"said": "Bearer ***", "token": "***"}
    assert code(failed) == "HANDLER_FAILED"
    assert "no answer to Bearer ***" in str(failed.to_json())
    assert any("sending Bearer ***" in record.getMessage() for record in caplog.records)
    assert VALUE not in caplog.text
    assert VALUE not in repr(told)
    assert any("Bearer ***" in one for one in told)
    for path in (place.root / "state").rglob("*"):
        assert not path.is_file() or VALUE.encode() not in path.read_bytes()


async def test_a_secret_that_was_handed_out_can_be_no_input_and_no_state(place: Place) -> None:
    """Of a call, a workflow, a session's step and a preparation: what is journaled is what runs, so it is refused."""

    async def keep(context: LocalContext, parameters: Any) -> Prepared:
        return Prepared({"found": VALUE})

    anything = {"type": "object"}
    read = create_read_capability("mail.send", secrets=("mail/token",), parameters=anything)
    echo = create_read_capability("mail.echo", parameters=anything, returns=anything)
    put = create_write_capability(
        "mail.put", parameters=anything, strategy="puts back", reversible=True, returns=anything
    )

    async def given(context: LocalContext, parameters: Any) -> Any:
        return parameters

    async with place.open() as rt:
        rt.register(read, fetch)
        rt.register(echo, given)
        rt.register(put, Handler(given, prepare=keep, compensate=given))
        rt.secrets.add(Vault())
        before = await rt.call("mail.echo", {"text": VALUE})
        assert before.steps[0].output == {"text": VALUE}, (
            "a text like any other until it is known to be a secret"
        )
        await rt.call("mail.send", {"name": "mail/token"})
        steps = [{"name": "a", "capability": "mail.echo", "inputs": {"text": "${{ inputs.x }}"}}]
        workflow: dict[str, Json] = {
            "name": "w",
            "version": "1.0.0",
            "inputs": {"x": {"type": "string"}},
            "steps": steps,  # type: ignore[dict-item]  # JSON, which lists can't be told to be
        }
        for text in (f"x {VALUE}", VALUE.encode().hex()):
            with pytest.raises(InputError, match="hold the value of the secret `mail/token`") as refused:
                await rt.call("mail.echo", {"text": text})
            assert refused.value.code == "SECRET_EXPOSED"
        with pytest.raises(InputError, match="the inputs of `w` hold the value"):
            await rt.run(workflow, {"x": VALUE})
        session = await rt.session()
        told = await session.call("mail.echo", {"text": VALUE})
        assert (told.name, (told.error or {})["code"]) == ("", "SECRET_EXPOSED")
        assert VALUE not in str(told)
        await session.close()
        assert code(await rt.call("mail.put", {})) == "SECRET_EXPOSED"
        again = await rt.call("mail.echo", {"text": "secret://mail/token"})
        assert again.steps[0].output == {"text": "secret://mail/token"}


async def test_a_value_in_place_of_a_reference_never_reaches_the_journal(place: Place) -> None:
    """A call, a session's step and a workflow that holds one are refused before there is anything on the record."""
    hidden: dict[str, Json] = {"type": "string", "writeOnly": True}
    spec = create_read_capability("mail.send", parameters={"type": "object", "properties": {"key": hidden}})
    step: dict[str, Json] = {"name": "a", "capability": "mail.send", "inputs": {"key": VALUE}}
    later: dict[str, Json] = {"name": "a", "capability": "mail.send", "inputs": {"key": "${{ inputs.x }}"}}
    inputs: dict[str, Json] = {"x": {"type": "string"}}
    declared: dict[str, Json] = {"x": {"type": "string", "minLength": 60, "writeOnly": True}}
    look: dict[str, Json] = {"name": "a", "capability": "sys.info.os"}
    async with place.open() as rt:
        rt.register(spec, fetch)
        told = await (await rt.session()).call("mail.send", {"key": VALUE})
        assert (told.name, told.status) == ("", "failed")
        assert VALUE not in str(told)
        for attempt in (
            rt.call("mail.send", {"key": VALUE}),
            rt.run({"name": "w", "version": "1.0.0", "steps": [step]}),
            rt.run({"name": "w", "version": "1.0.0", "inputs": inputs, "steps": [later]}, {"x": VALUE}),
            rt.plan({"name": "w", "version": "1.0.0", "inputs": inputs, "steps": [later]}, {"x": VALUE}),
            rt.run({"name": "w", "version": "1.0.0", "inputs": declared, "steps": [look]}, {"x": VALUE}),
        ):
            with pytest.raises(InputError, match="must be a reference to a secret") as refused:
                await attempt
            assert "assent secrets set" in str(refused.value.hint)
            assert VALUE not in str(refused.value.to_dict())
        # What an earlier step tells shows only when the step begins.
        steps: list[Json] = [
            look,
            {"name": "b", "capability": "mail.send", "inputs": {"key": "${{ steps.a.output.system }}"}},
        ]
        late = await rt.run({"name": "w", "version": "1.0.0", "steps": steps})
        assert code(late) == "INVALID_INPUT"
        assert (await rt.replay(late.run_id)).is_equal
    for path in (place.root / "state").rglob("*"):
        assert not path.is_file() or VALUE.encode() not in path.read_bytes()


async def test_no_secret_is_given_before_the_effect_is_decided_about(place: Place) -> None:
    """Neither to `prepare`, nor to `preview`, nor to a hook before it."""
    asked: list[str] = []

    async def early(context: LocalContext, parameters: Any) -> Any:
        asked.append(context.phase.value)
        await context.reveal(SecretText("secret://mail/token"))

    spec = create_read_capability("mail.send", secrets=("mail/token",), parameters={"type": "object"})
    async with place.open() as rt:
        rt.register(spec, Handler(fetch, prepare=early))
        rt.secrets.add(Vault())
        assert code(await rt.call("mail.send", {"name": "mail/token"})) == "SECRET_TOO_EARLY"
    assert asked == ["authorized"]


async def test_a_thread_reads_no_secret_of_a_runtime_that_is_not_open(place: Place) -> None:
    rt = Runtime(place.settings())
    with pytest.raises(InputError, match="not open"):
        rt.secrets.in_thread(rt.secrets.read("a", capability="b.c", granted=["a"]))


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
        with pytest.raises(InputError, match="made by hand"):
            await context.reveal(SecretText("secret://a"))
        with pytest.raises(InputError, match="made by hand"):
            context.reveal_in_thread([SecretText("secret://a")])
        assert await context.reveal(("plain", 1)) == ("plain", 1)
        assert context.reveal_in_thread({"a": "secret://a"}) == {"a": "secret://a"}
        assert context.redact("plain") == "plain"
        assert not context.redactor.is_active


@pytest.mark.parametrize("padding", [430, 480, 499])
async def test_a_secret_that_is_cut_in_two_does_not_show_its_first_half(place: Place, padding: int) -> None:
    """A foreign exception's long text is cut; where the cut divides a secret, nothing of that stands in the error."""

    async def fail(context: LocalContext, parameters: dict[str, Any]) -> None:
        value = (await context.secret("mail/token")).reveal()
        raise RuntimeError("x" * padding + value)

    spec = create_read_capability("mail.fail", secrets=("mail/token",), parameters={"type": "object"})
    async with place.open() as rt:
        rt.register(spec, fail)
        rt.secrets.add(Vault())
        result = await rt.call("mail.fail", {})
    assert code(result) == "HANDLER_FAILED"
    told = str(result.to_json())
    assert not any(VALUE[:size] in told for size in range(4, len(VALUE)))
