"""`assent mcp` as a client's program starts it: a process of its own on standard input and output."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types as wire
import pytest
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    """What these processes run of their own input and output, nothing else does: it is measured where tests are."""
    return {**env, **{name: said for name, said in os.environ.items() if name.startswith("COVERAGE_")}}


@asynccontextmanager
async def agent(root: Path, env: Mapping[str, str], *flags: str) -> AsyncIterator[ClientSession]:
    """A session of an agent with a process of its own."""
    words = ["-m", "assent", "--workspace", str(root), *flags, "mcp"]
    process = StdioServerParameters(command=sys.executable, args=words, env=dict(env), cwd=str(root))
    async with stdio_client(process) as (source, sink), ClientSession(source, sink) as session:
        await session.initialize()
        yield session


def assent(root: Path, env: Mapping[str, str], *words: str) -> Any:
    """What a command in a second terminal prints, as JSON."""
    command = [sys.executable, "-m", "assent", "--workspace", str(root), "--json", *words]
    done = subprocess.run(
        command, env=dict(env), capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=60
    )
    return json.loads(done.stdout)


async def _runs(session: ClientSession) -> list[dict[str, Any]]:
    (found,) = (await session.read_resource("assent://runs")).contents
    assert isinstance(found, wire.TextResourceContents)
    runs: list[dict[str, Any]] = json.loads(found.text)["runs"]
    return runs


async def test_a_whole_visit_is_undone_from_a_second_terminal(root: Path, env: dict[str, str]) -> None:
    async with agent(root, env) as session:
        for name in ("a.txt", "b.txt"):
            result = await session.call_tool("io_fs_write_file", {"path": name, "content": "hi"})
            assert not result.is_error
        (run,) = await _runs(session)
    left = assent(root, env, "show", run["run_id"])
    assert (left["status"], left["principal"]) == ("succeeded", "agent:mcp")
    assert assent(root, env, "undo", run["run_id"])["status"] == "undone"
    assert not [*root.glob("?.txt")]


async def test_progress_is_told_and_what_is_cancelled_is_stopped_and_taken_back(
    root: Path, env: dict[str, str]
) -> None:
    sleeps = asyncio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        del progress, total
        if message == "step.started call_2":
            sleeps.set()

    calls = [
        {"tool": "io_fs_write_file", "arguments": {"path": "a.txt", "content": ""}},
        {"tool": "sys_sleep", "arguments": {"seconds": 60}},
    ]
    async with agent(root, env) as session:
        asked = asyncio.ensure_future(
            session.call_tool("assent_run", {"calls": calls}, progress_callback=hear)
        )
        async with asyncio.timeout(60):
            await sleeps.wait()
            assert (root / "a.txt").exists()
            asked.cancel()  # the client tells the server
            while (await _runs(session))[-1]["status"] != "cancelled":  # noqa: ASYNC110 - another process settles it
                await asyncio.sleep(0.05)
        assert not (root / "a.txt").exists()


def test_a_signal_ends_it_whatever_its_client_does(root: Path, env: dict[str, str]) -> None:
    """Its input stays open, and nobody reads what it says: the visit is closed all the same, and the state let go of."""
    command = [sys.executable, "-m", "assent", "--workspace", str(root), "mcp"]
    client = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    write = {"name": "io_fs_write_file", "arguments": {"path": "a.txt", "content": ""}}
    asked = [("initialize", client), ("tools/call", write), *[("tools/list", {})] * 9]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, (method, params) in enumerate(asked):
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            if method != "tools/list":
                assert json.loads(process.stdout.readline())["id"] == number
        process.stdin.write(b'{"jsonrpc": "2.0", "id": "odd", "method": "ping", "method": "tools/list"}\n\n')
        process.stdin.flush()
        time.sleep(0.5)  # by now all that a pipe holds is written
        process.terminate()
        assert process.wait(20) == 0
    (run,) = assent(root, env, "runs")
    assert run["status"] == "succeeded"


@pytest.mark.parametrize(
    ("flags", "code"), [(("--as", "user:ann"), "IDENTITY_REFUSED"), (("--as", "nobody"), "SPEC_INVALID")]
)
def test_no_agent_is_a_person(root: Path, env: dict[str, str], flags: tuple[str, ...], code: str) -> None:
    command = [sys.executable, "-m", "assent", "--workspace", str(root), *flags, "mcp"]
    done = subprocess.run(
        command, env=env, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=60
    )
    assert done.returncode != 0
    assert code in done.stderr.decode()
    assert not done.stdout  # not a byte that is no message of the protocol


def test_nobody_types_the_protocol(root: Path, env: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "assent", "--workspace", str(root), "mcp"]
        done = subprocess.run(command, env=env, capture_output=True, check=False, stdin=theirs, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, b"USAGE_INVALID" in done.stderr) == (2, True)
