"""What an operator sees of a daemon: figures, a log, and whether it is ready."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from pathlib import Path
from typing import Any

import httpx2

from assent.server._figures import FIGURES
from tests.support.patience import PATIENCE_S
from tests.support.serving import Serving, daemon, told_of

CALL = {"capability": "data.json.query", "parameters": {"value": {"a": 1}, "query": "a"}}
DELETE = {"capability": "io.fs.delete", "parameters": {"path": "there.txt"}}

_SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (-?[0-9.e+-]+|\+Inf)\Z')
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"')


def families(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Each family's samples, read as strictly as the format says: its head once, before them; no sample twice; sound buckets."""
    assert text.endswith("\n")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    kinds: dict[str, str] = {}
    name = ""
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in found
            found[name] = {}
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == name
            assert not found[name]
            kinds[name] = line.split(" ")[3]
        else:
            sample = _SAMPLE.match(line)
            assert sample, line
            labels = tuple(value for _, value in _LABEL.findall(sample[2] or ""))
            suffix = sample[1].removeprefix(name)
            assert suffix in (("_bucket", "_sum", "_count") if kinds[name] == "histogram" else ("",)), line
            key = (suffix, *labels) if suffix else labels
            assert key not in found[name], line
            found[name][key] = float(sample[3])
    for name, kind in kinds.items():
        for key, count in found[name].items():
            if kind == "histogram" and key[0] == "_count":
                buckets = [n for other, n in found[name].items() if other[:-1] == ("_bucket", *key[1:])]
                assert buckets == sorted(buckets)
                assert buckets[-1] == count
    return found


async def test_figures_tell_what_happened(root: Path, env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    with (root / "assent.toml").open("a") as file:
        file.write(f'[serve]\nmetrics = "{place}"\n')
    (root / "there.txt").write_text("x")
    async with daemon(root, env) as served:
        for _ in range(3):
            assert (await served.http.post("/v1/calls", json=CALL)).status_code == 200
        assert (await served.http.post("/v1/calls", json=DELETE)).status_code == 202
        assert (await served.http.get("/metrics")).status_code == 404  # it has a door of its own
        async with httpx2.AsyncClient(base_url=f"http://{place}", timeout=PATIENCE_S) as http:
            answer = await http.get("/metrics")
            told_of(await http.get("/v1/runs"))
            foreign = await http.get("/metrics", headers={"host": "evil.example"})
            assert told_of(foreign)["error"]["code"] == "HOST_REFUSED"
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = families(answer.text)
        assert [*found] == [figure.name for figure in FIGURES]
        wanted: dict[str, dict[tuple[str, ...], float]] = {
            "assent_calls_total": {("data.json.query", "succeeded"): 3, ("io.fs.delete", "waiting"): 1},
            "assent_decisions_total": {("ALLOW",): 3, ("REQUIRE_APPROVAL",): 1},
            "assent_approvals_waiting": {(): 1},
            "assent_runs_driven_max": {(): 1024},
            "assent_draining": {(): 0},
            "assent_connections": {("socket",): 1, ("metrics",): 1},
        }
        assert {name: found[name] for name in wanted} == wanted
        assert found["assent_runs_open"]["waiting",] == 1
        assert found["assent_http_requests_total"]["socket", "call", "200"] == 3
        assert found["assent_http_request_duration_seconds"]["_count", "socket", "call"] == 4
        assert found["assent_call_duration_seconds"]["_bucket", "data.json.query", "+Inf"] == 3
        assert found["process_resident_memory_bytes"][()] > 1 << 20
        health = (await served.http.get("/v1/health")).json()
        assert health["backlog"]["entries"] == found["assent_ledger_entries"][()]


async def test_callers_who_may_read_see_them_where_that_is_said(root: Path, env: dict[str, str]) -> None:
    with (root / "assent.toml").open("a") as file:
        file.write('[serve]\nmetrics = true\nlog = "json"\n')
    async with daemon(root, env) as served:
        assert families((await served.http.get("/metrics")).text)["assent_info"]
        headers = {"authorization": "Bearer nobody"}
        refused = await served.http.get("/metrics", headers=headers)
        assert told_of(refused)["error"]["code"] == "NOT_IDENTIFIED"
        found = families((await served.http.get("/metrics")).text)["assent_http_requests_total"]
        assert found["socket", "", "401"] == 1
    lines = [json.loads(line) for line in served.notes]
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["status"] for line in requests][-3:] == [200, 401, 200]
    assert {"time", "level", "door", "method", "ms", "principal"} <= requests[-1].keys()
    assert "peer" in requests[-2]
    assert "nobody" not in "".join(served.notes)  # nothing that was sent is in a line
    assert lines[0]["message"].startswith("ready")  # from the first line on it is JSON
    assert lines[-1]["message"].startswith("draining")


async def test_what_nobody_asked_for_at_the_moment_is_told_as_a_warning(served: Serving) -> None:
    logging.getLogger("assent.serve").warning("run `%s` could not go on by itself", "run_01\n")
    assert served.notes[-1].startswith("warning: run `run_01")
    assert "\n" not in served.notes[-1]


async def test_a_daemon_whose_ledger_was_taken_away_is_not_ready(served: Serving, root: Path) -> None:
    ledger = root / ".assent" / "ledger.db"
    ledger.rename(root / "taken")
    ready = await served.http.get("/readyz")
    assert (ready.status_code, ready.text) == (503, "the ledger is not where it was\n")
    (root / "taken").rename(ledger)
    assert (await served.http.get("/readyz")).status_code == 200


async def test_readyz_tells_why_in_json(served: Serving) -> None:
    json_wanted = {"accept": "application/json"}
    ready: Any = (await served.http.get("/readyz", headers=json_wanted)).json()
    assert ready == {"status": "ok", "running": 0, "queued": 0}
    assert (await served.http.get("/readyz")).text == "ok\n"


async def test_a_stream_that_is_cut_off_says_so(root: Path, env: dict[str, str]) -> None:
    """Its status was 200 when it began; one that was told to its end is not cut."""
    with (root / "assent.toml").open("a") as file:
        file.write('[serve]\nmetrics = true\nlog = "json"\n')
    async with daemon(root, env) as served:
        ended = (await served.http.post("/v1/calls", json=CALL)).json()["run_id"]
        assert "event: end" in (await served.http.get(f"/v1/runs/{ended}/events")).text
        waits = (await served.http.post("/v1/calls", json=DELETE)).json()["run_id"]
        async with served.http.stream("GET", f"/v1/runs/{waits}/events") as left:
            assert left.status_code == 200
        async with asyncio.timeout(PATIENCE_S):
            found: Any = {}
            while not found:
                await asyncio.sleep(0.05)
                found = families((await served.http.get("/metrics")).text).get("assent_streams_cut_total")
        assert found == {("socket", "events"): 1}
    told = [line for line in map(json.loads, served.notes) if line.get("operation") == "events"]
    assert [(line["status"], line.get("is_cut", False)) for line in told] == [(200, False), (200, True)]
