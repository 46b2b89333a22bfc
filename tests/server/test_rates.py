"""Limits of `[serve.rate]` at the doors: told in the fields of the standard, honoured by the client, read again on SIGHUP."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path

import httpx2
import pytest

from assent.client import connect
from assent.client._http import _Patience
from assent.errors import InputError, WorldError
from assent.runtime.service import requests
from assent.runtime.settings.effective import Settings
from assent.server.who import _gatehouse
from assent.system import SystemClock
from tests.support.patience import PATIENCE_S
from tests.support.pipes import piped
from tests.support.serving import daemon, key_for, over_tcp, told_of

HOURLY = '[serve.rate.each]\nrequests = 2\nwindow = "1h"\n'


class Still(SystemClock):
    """The system's clock, but for time that only the test moves."""

    ms = 1_000_000

    def monotonic_ms(self) -> int:
        return self.ms


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Still:
    """What doors count by."""
    found = Still()
    monkeypatch.setattr(_gatehouse, "SystemClock", lambda: found)
    return found


def limited(root: Path, tables: str) -> None:
    with (root / "assent.toml").open("a") as file:
        file.write(tables)


@pytest.mark.usefixtures("clock")
async def test_each_answer_tells_what_is_left_at_every_door(root: Path, env: dict[str, str]) -> None:
    over_tcp(root, metrics="true")
    limited(
        root, HOURLY + '[serve.rate.calls]\nrequests = 90\nwindow = "90s"\nburst = 5\ncapability = "sys.*"\n'
    )
    async with daemon(root, env) as served:
        key = {"authorization": f"Bearer {key_for(root, env)}"}
        async with httpx2.AsyncClient(base_url=served.doors["http"], headers=key, timeout=PATIENCE_S) as tcp:
            first = await served.http.post("/v1/calls", json={"capability": "sys.noop"})
            assert first.status_code == 200
            assert first.headers["ratelimit-policy"] == '"each";q=2;w=3600, "calls";q=90;w=90'
            assert first.headers["ratelimit"] == '"each";r=1;t=1800, "calls";r=4;t=1'
            run = first.json()["run_id"]
            # The same principal by another door; what ends well and what does not count alike, and a stream does.
            async with tcp.stream("GET", f"/v1/runs/{run}/events") as events:
                assert (events.status_code, events.headers["ratelimit"]) == (200, '"each";r=0;t=1800')
            for http in (tcp, served.http):
                refused = await http.get("/v1/nowhere")
                error = told_of(refused)["error"]
                assert (refused.status_code, error["code"]) == (429, "RATE_LIMITED")
                assert error["details"]["limits"] == ["each"]
                assert error["details"]["retry_after_ms"] == 1_800_000
                assert refused.headers["retry-after"] == "1800"
                assert refused.headers["ratelimit-policy"] == '"each";q=2;w=3600'
                assert refused.headers["ratelimit"] == '"each";r=0;t=1800'
            for path in ("/livez", "/readyz"):
                for _ in range(3):
                    told = await tcp.get(path)
                    assert (told.status_code, "ratelimit" in told.headers) == (200, False)
        (root / "assent.toml").write_text((root / "assent.toml").read_text().replace(HOURLY, ""))
        served.told.reload.set()
        while len(served.notes) < 2:  # noqa: ASYNC110 - nothing else tells of a note
            await asyncio.sleep(0.01)
        assert (
            served.notes[-1]
            == "reloaded the policy, `[identity]`, `[serve.issuers]`, `[serve.rate]`, `[mcp]`, `[app]`"
        )
        shown = await served.http.get("/metrics")
        assert (shown.status_code, "ratelimit" in shown.headers) == (200, False)
        assert 'assent_requests_limited_total{limit="each"} 2\n' in shown.text


async def test_a_pipe_is_a_door_as_the_others(root: Path, env: dict[str, str]) -> None:
    limited(root, HOURLY + 'door = "pipe"\n')
    async with piped(root, env) as peer:
        assert "result" in await peer.ask("health")
        assert "error" in await peer.ask("health", token=b"forged")  # nobody's, so it counts for nobody
        assert "result" in await peer.ask("health")
        error = (await peer.ask("health"))["error"]
    assert (error["code"], error["data"]["code"]) == (-32000, "RATE_LIMITED")
    assert error["data"]["details"]["limits"] == ["each"]
    assert 0 < error["data"]["details"]["retry_after_ms"] <= 1_800_000


async def test_a_client_comes_again_when_it_is_told_to(
    root: Path, env: dict[str, str], clock: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused for its rate never began, so that also a session's step is asked for again."""
    limited(root, '[serve.rate.each]\nrequests = 2\nwindow = "3s"\nburst = 3\n')
    paused: list[float] = []

    async def pause(_: _Patience, least_s: float = 0.0) -> bool:
        paused.append(least_s)
        clock.ms += round(least_s * 1000)
        return True

    async with daemon(root, env) as served, connect(served.doors["socket"], patience_s=1) as rt:
        with monkeypatch.context() as patched:
            patched.setattr(_Patience, "pause", pause)
            session = await rt.session()
            for _ in range(2):
                assert (await session.call("sys.noop")).status == "succeeded"
            await session.close()
            assert [event async for event in rt.events(session.run_id)][-1].event["kind"] == "run.succeeded"
        assert paused == [2.0, 1.0, 2.0]  # a step, the end of the session, its events
        with pytest.raises(WorldError) as caught:
            await rt.perform(requests.Health())
    assert caught.value.code == "RATE_LIMITED"
    assert caught.value.details == {"retry_after_ms": 1000, "limits": ["each"]}


@pytest.mark.parametrize("table", ["serve.rate.a", "limits.rate.a"])
@pytest.mark.parametrize(
    ("said", "is_good"),
    [
        *(
            (f'principal = "{one}"', True)
            for one in ("*", "user:*", "agent:bot", "us*", "*:ci", "service:a*z")
        ),
        *((f'principal = "{one}"', False) for one in ("", "ada", "usr:ada", "user:", "ada*", "User:*")),
        *((f'capability = "{one}"', True) for one in ("*", "io.fs.read_file", "io.*", "*.get")),
        *((f'capability = "{one}"', False) for one in ("", "io fs", "IO.*", "io.fs.read_file@1", "io/fs")),
        *((line, False) for line in ('principl = "*"', "[serve.rats.b]", '[serve.rate]\nprincipal = "*"')),
    ],
)
def test_a_limit_that_nothing_can_fit_is_refused(
    tmp_path: Path, table: str, said: str, is_good: bool
) -> None:
    """A name that is mistyped would be a limit on nobody, and nobody would be told."""
    count = "requests = 1" if table.startswith("serve") else "calls = 1"
    (tmp_path / "assent.toml").write_text(f'[{table}]\n{count}\nwindow = "1s"\n{said}\n')
    with nullcontext() if is_good else pytest.raises(InputError, match="CONFIG_INVALID"):
        Settings.resolve(workspace=tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
