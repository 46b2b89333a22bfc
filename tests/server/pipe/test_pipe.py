"""`assent pipe`: every operation through frames, several at once, whoever owns the state, until the input ends."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.findings import BOOK
from assent.findings._sqlite import alone
from assent.runtime.settings.effective import Settings
from assent.server.pipe import _pipe
from assent.server.pipe._frames import Frame, encode
from tests.support.books import nuclei
from tests.support.patience import PATIENCE_S
from tests.support.pipes import asking, pipe_process, piped, told
from tests.support.serving import Serving, daemon, key_for

NOTE = {"capability": "io.fs.write_file", "parameters": {"path": "a.txt", "content": "hi"}}
DELETE = {"capability": "io.fs.delete", "parameters": {"path": "a.txt"}}
WAIT = "name: w\nsteps: [{name: s, wait: {signal: go, timeout: 1h}}]"


async def test_what_is_asked_is_answered_as_json_prints_it(root: Path, env: dict[str, str]) -> None:
    async with piped(root, env) as peer:
        peer.say(asking(1, "call", NOTE))
        begun, done = await peer.hear(), await peer.hear()
        run = done["result"]["run_id"]
        assert begun == {"jsonrpc": "2.0", "method": "begun", "params": {"id": 1, "run": run}}
        assert done["result"]["status"] == "succeeded"
        assert (await peer.ask("show", {"run": run}))["result"]["status"] == "succeeded"
        assert [one["run_id"] for one in (await peer.ask("runs"))["result"]] == [run]
        asked = (await peer.ask("call", DELETE))["result"]
        assert asked["status"] == "waiting"
        (waits,) = (await peer.ask("approvals"))["result"]
        agreed = await peer.ask("approve", {"run": asked["run_id"], "digest": waits["digest"]})
        assert agreed["result"]["status"] == "succeeded"
        assert not (root / "a.txt").exists()
        fault = (await peer.ask("show", {"run": "run_none"}))["error"]
        assert (fault["code"], fault["data"]["code"]) == (-32000, "RUN_UNKNOWN")
        assert (await peer.ask("accept_tail", {"start": 0}))["error"]["data"]["code"]


async def test_streams_are_told_in_parts_beside_other_answers_and_cancelled(
    root: Path, env: dict[str, str]
) -> None:
    async with piped(root, env) as peer:
        run = (await peer.ask("run", {"workflow": WAIT}))["result"]["run_id"]
        peer.say(asking("watch", "events", {"run": run}))
        first = await peer.hear()
        assert (first["method"], first["params"]["id"]) == ("part", "watch")
        assert first["params"]["part"]["event"]["kind"] == "run.created"
        peer.say(asking("late", "runs"))
        heard: list[Any] = []
        while not heard or heard[-1].get("id") != "late":
            heard.append(await peer.hear())
        peer.say(encode(Frame(b'{"jsonrpc":"2.0","method":"$/cancel","params":{"id":"watch"}}')))
        while heard[-1].get("id") != "watch":
            heard.append(await peer.hear())
        parts = 1 + sum(one.get("method") == "part" for one in heard)
        assert heard[-1]["result"] == {"parts": parts, "ended": False}
        peer.say(asking("log", "audit_log"))
        while (last := await peer.hear()).get("id") != "log":
            pass
        assert last["result"]["ended"] is True
        peer.say(asking("open", "events", {"run": run}))
        peer.ends()  # what waits for later ends with the input


async def test_a_key_makes_it_happen_once_also_when_asked_twice_at_once(
    root: Path, env: dict[str, str]
) -> None:
    async with piped(root, env) as peer:
        peer.say(asking(1, "call", NOTE, idempotency_key="k") + asking(2, "call", NOTE, idempotency_key="k"))
        answers: list[Any] = []
        while len(answers) < 2:
            said = await peer.hear()
            answers += [said] if "id" in said else []
        third = await peer.ask("call", NOTE, idempotency_key="k")
        assert len({one["result"]["run_id"] for one in [*answers, third]}) == 1
        assert len((await peer.ask("runs"))["result"]) == 1
        sleep = {"capability": "sys.sleep", "parameters": {"seconds": 1}}
        peer.say(asking(4, "call", sleep, idempotency_key="s"))
        other = await peer.ask("call", NOTE, idempotency_key="s")
        assert other["error"]["data"]["code"] == "REQUEST_REUSED"
        reader = key_for(root, env, scopes=["read"]).encode()
        stranger = await peer.ask("call", sleep, idempotency_key="s", token=reader)
        assert stranger["error"]["data"]["code"] == "SCOPE_MISSING", "not even by waiting for it"


async def test_what_can_be_no_run_is_refused_and_leaves_none(root: Path, env: dict[str, str]) -> None:
    """As behind HTTP: nothing of it is on record."""
    async with piped(root, env) as peer:
        for parameters, code in (
            ({"capability": "no.such"}, "CAPABILITY_UNKNOWN"),
            ({"capability": "io.fs.read_file"}, "INVALID_INPUT"),
            ({"capability": "io.fs.read_file", "parameters": {"path": 5}}, "INVALID_INPUT"),
        ):
            refused = await peer.ask("call", parameters)
            assert refused["error"]["data"]["code"] == code
        assert (await peer.ask("runs"))["result"] == []


async def test_a_token_is_a_key_with_its_scopes(root: Path, env: dict[str, str]) -> None:
    async with piped(root, env) as peer:
        assert (await peer.ask("runs", token=b"asn_nonsense"))["error"]["data"]["code"] == "NOT_IDENTIFIED"
        key = await asyncio.to_thread(made_key, root, env)
        done = (await peer.ask("call", NOTE, token=key))["result"]
        shown = (await peer.ask("show", {"run": done["run_id"]}, token=key))["result"]
        assert shown["events"][0]["event"]["identified_by"].startswith("api_key:")
        refused = await peer.ask("cancel", {"run": done["run_id"]}, token=key)
        assert refused["error"]["data"]["code"] == "SCOPE_MISSING"


async def test_an_owner_that_lives_carries_it_out(served: Serving, root: Path, env: dict[str, str]) -> None:
    async with piped(root, env) as peer:
        first = (await peer.ask("call", NOTE, idempotency_key="k"))["result"]
        http = await served.http.post("/v1/calls", json=NOTE, headers={"Idempotency-Key": "k"})
        assert http.json()["run_id"] == first["run_id"]  # one key behind every door
        peer.say(asking("watch", "events", {"run": first["run_id"]}))
        while "id" not in (last := await peer.hear()):
            pass
        assert last["result"]["ended"] is True
        assert (await peer.ask("health"))["result"]["status"] == "ok"
        assert len((await peer.ask("runs"))["result"]) == 1
        key = await asyncio.to_thread(made_key, root, env)
        assert (await peer.ask("runs", token=key))["error"]["data"]["code"] == "NOT_IDENTIFIED"


async def test_an_owner_that_ends_is_followed(root: Path, env: dict[str, str]) -> None:
    async with daemon(root, env):
        peer_of = piped(root, env)
        peer = await peer_of.__aenter__()
        assert (await peer.ask("call", NOTE))["result"]["status"] == "succeeded"
    assert (await peer.ask("call", NOTE))["result"]["status"] == "succeeded"
    await peer_of.__aexit__(None, None, None)


async def test_no_more_than_the_bound_is_under_way(
    root: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pipe, "UNDER_WAY_MAX", 1)
    async with piped(root, env) as peer:
        peer.say(asking(1, "audit_log", {"follow": True}))
        assert "method" in await peer.hear()
        peer.say(asking(2, "runs") + asking(1, "runs"))
        said: dict[Any, Any] = {}
        while len(said) < 2:
            one = await peer.hear()
            if "error" in one:
                said[one["id"]] = one["error"]["data"]["code"]
        assert said == {2: "PIPE_FULL", None: "REQUEST_INVALID"}


def made_key(root: Path, env: dict[str, str]) -> bytes:
    from tests.server.test_daemon import assent

    done = assent(root, env, "key", "create", "robot", "--scope", "call,read", "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["key"]).encode()


BAD: tuple[bytes, ...] = (b"{}", b"", b"[1]", b'{"jsonrpc":"2.0","id":1,"method":"x"}', b"\xff\xfe")


def malformed(dice: random.Random) -> bytes:
    """A frame that is wrong in one way, and says how long it is."""
    whole = bytearray(encode(Frame(dice.choice(BAD), dice.randbytes(dice.randrange(4)))))
    match dice.randrange(5):
        case 0:
            whole[dice.randrange(4, len(whole))] ^= dice.randrange(1, 256)
        case 1:
            length = dice.randrange(18)
            whole[:] = length.to_bytes(4, "big") + dice.randbytes(length)
        case 2:
            noise = dice.randbytes(dice.randrange(18, 60))
            whole[:] = len(noise).to_bytes(4, "big") + noise
        case 3:
            whole[:] = (2048).to_bytes(4, "big") + bytes(2048)
        case _:
            pass  # a sound frame whose message asks nothing
    return bytes(whole)


def test_ten_thousand_malformed_frames_are_answered_and_the_next_is_read(
    root: Path, env: dict[str, str]
) -> None:
    (root / "assent.toml").write_text('policy = "policy.yaml"\n[serve]\nbody_bytes = 1024\n')
    dice, count = random.Random(12), 10_000
    noise = b"".join(malformed(dice) for _ in range(count))
    process = pipe_process(root, env)
    said, noted = process.communicate(noise + asking("last", "call", NOTE) + b"\0\0", timeout=PATIENCE_S)
    assert process.returncode == 0, noted
    heard = told(said)
    assert sum(one.get("error", {}).get("code", 0) != 0 for one in heard) == count + 1
    (last,) = [one for one in heard if one.get("id") == "last"]
    assert last["result"]["status"] == "succeeded"
    assert noted == b""


def test_a_signal_ends_it_and_what_waits_stays(root: Path, env: dict[str, str]) -> None:
    process = pipe_process(root, env)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(asking(1, "run", {"workflow": WAIT}) + asking(2, "audit_log", {"follow": True}))
    process.stdin.flush()
    assert process.stdout.read(4)
    process.send_signal(signal.SIGTERM)
    said, noted = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, noted
    assert said


@pytest.mark.parametrize("operation", ["findings", "doctor"])
def test_a_signal_ends_it_also_while_a_reading_waits_for_another_process(
    root: Path, env: dict[str, str], operation: str
) -> None:
    """And nobody else is held up by that meanwhile."""
    (root / "scan.jsonl").write_bytes(nuclei([("rule-a", "high", "shop.example")]))
    state = Settings.resolve(workspace=root, environ=env, cwd=root).state
    process = pipe_process(root, env)
    assert process.stdin is not None
    source = process.stdout
    assert source is not None

    def hear(ident: int) -> None:
        while True:
            head = source.read(4)
            (one,) = told(head + source.read(int.from_bytes(head, "big")))
            if one.get("id") == ident:
                return

    try:
        asked = {"capability": "findings.import", "parameters": {"project": "shop", "path": "scan.jsonl"}}
        for first in (asking(1, "call", asked), asking(1, "projects"), asking(1, "call", asked)):
            process.stdin.write(first)  # so that a store is there, and behind what was recorded
            process.stdin.flush()
            hear(1)
        with alone(state / f"{BOOK}-lock", "the store", 0):
            process.stdin.write(asking(2, operation, {}) + asking(3, "runs", {}))
            process.stdin.flush()
            hear(3)
            process.send_signal(signal.SIGTERM)
            said, noted = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, noted
        (last,) = (one for one in told(said) if one.get("id") == 2)
        if operation == "doctor":
            (check,) = (one for one in last["result"]["checks"] if one["name"] == "store of findings")
            assert check["status"] != "ok", check
        else:
            assert last["error"]["data"]["code"] == "RUNTIME_CLOSED"
    finally:
        process.kill()
        process.communicate()


def test_what_keeps_it_from_starting_is_no_frame(root: Path, env: dict[str, str]) -> None:
    (root / "policy.yaml").write_text("rules: [")
    process = pipe_process(root, env, "--json")
    said, noted = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (2, b"")
    assert b"POLICY_INVALID" in noted or b"policy" in noted
