"""Findings over HTTP: handed over in parts, imported by a call, listed, proved, written out; and by command beside the daemon."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from assent.capabilities.findings import BOOK
from assent.findings._sqlite import alone
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.settings.effective import Settings
from assent.server._looks import LOOKS_AT_ONCE
from assent.spec.scopes import SCOPES
from tests.support.books import nuclei
from tests.support.nursery import Nursery
from tests.support.patience import PATIENCE_S
from tests.support.scanned import GOLDEN
from tests.support.serving import Raw, Serving, key_for, told_of

UPLOAD = "/v1/uploads/0123-4567-89ab"
EMPTY = {"capability": "findings.import", "data": "", "last": True}


async def put(served: Serving, path: str, data: bytes, *, last: bool, offset: int = 0) -> dict[str, Any]:
    answer = await served.http.put(
        path,
        json={
            "capability": "findings.import",
            "data": b64encode(data).decode(),
            "offset": offset,
            "last": last,
        },
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def handed(served: Serving, data: bytes) -> dict[str, Any]:
    """Hand a file over in two parts."""
    middle = len(data) // 2
    assert await put(served, UPLOAD, data[:middle], last=False) == {
        "upload": "0123-4567-89ab",
        "blob": None,
        "bytes": middle,
    }
    return await put(served, UPLOAD, data[middle:], last=True, offset=middle)


async def imported(served: Serving, data: bytes, project: str = "shop") -> dict[str, Any]:
    parameters = {"project": project, "handed": await handed(served, data), "name": "scan.jsonl"}
    answer = await served.http.post(
        "/v1/calls", json={"capability": "findings.import", "parameters": parameters}
    )
    assert answer.status_code == 200, answer.text
    run: dict[str, Any] = answer.json()
    assert run["status"] == "succeeded", run
    return run


async def test_what_is_handed_over_in_parts_is_imported_listed_and_written_out(served: Serving) -> None:
    data = (GOLDEN / "nuclei-3.10.jsonl").read_bytes()
    run = await imported(served, data)
    (project,) = (await served.http.get("/v1/projects")).json()
    assert (project["name"], project["findings"]) == ("shop", 3)
    (dataset,) = (await served.http.get("/v1/datasets", params={"run": run["run_id"]})).json()
    assert (dataset["tool"], dataset["records"], dataset["new"], dataset["name"]) == (
        "nuclei",
        4,
        3,
        "scan.jsonl",
    )
    page = (await served.http.get("/v1/findings", params={"project": "shop", "limit": 2})).json()
    assert [one["severity"] for one in page["findings"]] == ["medium", "unknown"]
    rest = (await served.http.get("/v1/findings", params={"project": "shop", "after": page["next"]})).json()
    assert ([one["severity"] for one in rest["findings"]], rest["next"]) == (["info"], None)
    ident = page["findings"][0]["id"]
    shown = (await served.http.get(f"/v1/findings/{ident[:8]}")).json()
    assert shown["finding"]["evidence"]["extracted"] == ["[core]"]
    proof = (await served.http.get(f"/v1/findings/{ident}/proof")).json()
    assert proof["finding"] == ident
    report = await served.http.get("/v1/findings/export", params={"format": "sarif", "severities": "medium"})
    assert report.status_code == 200
    (only,) = json.loads(report.content)["runs"][0]["results"]
    assert only["ruleId"] == "git-config"


async def test_pruning_leaves_the_runs_that_findings_are_folded_from(served: Serving) -> None:
    run = await imported(served, nuclei([("rule-a", "low", "shop.example")]))
    found = (await served.http.get("/v1/runs/prunable", params={"before_ms": 1 << 50})).json()
    assert run["run_id"] not in found["runs"], found


async def test_what_is_asked_wrongly_is_refused_by_its_code(served: Serving) -> None:
    await imported(served, nuclei([("rule-a", "low", "shop.example")]))
    for path, status, code in (
        ("/v1/findings?project=none", 404, "PROJECT_UNKNOWN"),
        ("/v1/findings?severities=awful", 422, "INVALID_INPUT"),
        ("/v1/findings?limit=0", 422, "INVALID_INPUT"),
        ("/v1/findings?after=x", 422, "INVALID_INPUT"),
        ("/v1/findings?run=run_none", 404, "RUN_UNKNOWN"),
        ("/v1/findings/abcdef", 404, "FINDING_UNKNOWN"),
        ("/v1/findings/export?format=doc", 422, "INVALID_INPUT"),
        ("/v1/findings/diff?before=run_a&later=run_b", 404, "RUN_UNKNOWN"),
    ):
        answer = await served.http.get(path)
        assert (answer.status_code, told_of(answer)["error"]["code"]) == (status, code), path
    answer = await served.http.put("/v1/uploads/..", json={**EMPTY})
    assert answer.status_code in (404, 422)
    answer = await served.http.put("/v1/uploads/short", json={**EMPTY})
    assert (answer.status_code, told_of(answer)["error"]["code"]) == (422, "UPLOAD_INVALID")


async def test_many_import_and_look_at_once(served: Serving) -> None:
    """Each import is there once, whoever folds it first."""

    async def one(number: int) -> None:
        upload = f"/v1/uploads/upload-{number}"
        data = nuclei((f"rule-{one}", "high", f"host-{number}.example") for one in range(30))
        given = await put(served, upload, data, last=True)
        parameters = {"project": "shop", "handed": given}
        answer = await served.http.post(
            "/v1/calls", json={"capability": "findings.import", "parameters": parameters}
        )
        assert answer.json()["status"] == "succeeded", answer.text
        page = await served.http.get("/v1/findings", params={"project": "shop", "limit": 1000})
        assert page.status_code == 200, page.text
        assert len(page.json()["findings"]) >= 30

    await asyncio.gather(*(one(number) for number in range(6)))
    (project,) = (await served.http.get("/v1/projects")).json()
    assert (project["findings"], project["datasets"]) == (180, 6)


async def test_a_command_beside_the_daemon_hands_over_what_the_daemon_may_not_read(
    served: Serving, root: Path, env: dict[str, str], nursery: Nursery, tmp_path: Path
) -> None:
    """The file is read by whoever types; the daemon gets its bytes, and folds the same store."""
    (tmp_path / "elsewhere.jsonl").write_bytes(nuclei([("rule-a", "high", "shop.example")]))
    words = ("findings", "import", "../elsewhere.jsonl", "--project", "shop", "--json")
    ended = await asyncio.to_thread(nursery.run, *words, cwd=root, env=env)
    assert ended.code == 0, ended
    page = (await served.http.get("/v1/findings")).json()
    assert [one["detector_id"] for one in page["findings"]] == ["nuclei.rule-a"]
    settings = Settings.resolve(workspace=root, environ=env, cwd=root)
    with FindingsStore(settings).looking() as book:
        assert [one.name for one in book.projects()] == ["shop"]


def store_of(root: Path, env: dict[str, str]) -> Path:
    return Settings.resolve(workspace=root, environ=env, cwd=root).state / BOOK


async def test_whoever_reads_an_export_slowly_holds_up_no_store(
    served: Serving, root: Path, env: dict[str, str]
) -> None:
    """The log of what was written to it can be emptied, and what comes in meanwhile is folded."""
    await imported(served, nuclei((f"rule-{one}", "high", f"host-{one}.example") for one in range(8_000)))
    async with served.http.stream("GET", "/v1/findings/export") as report:
        coming = report.aiter_raw()
        begun = await anext(coming)
        await imported(served, nuclei([("rule-a", "low", "shop.example")]))
        assert (
            len((await served.http.get("/v1/findings", params={"severities": "low"})).json()["findings"]) == 1
        )
        with closing(apsw.Connection(str(store_of(root, env)))) as other:
            (state,) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert state == (0, 0, 0), "somebody still looks at the store"
        rest = [piece async for piece in coming]
    assert len(rest) > 1
    told = json.loads(begun + b"".join(rest))
    assert (len(told["findings"]), told["metrics"]["total"]) == (8_000, 8_000)


async def test_whatever_looks_at_the_store_holds_up_nobody_else(
    served: Serving, root: Path, env: dict[str, str]
) -> None:
    """Somebody writes to it for a while, and whoever would fold it waits: the daemon answers all others meanwhile."""
    run = await imported(served, nuclei([("rule-a", "high", "shop.example")]))
    ident = (await served.http.get("/v1/findings")).json()["findings"][0]["id"]
    asked = (
        "projects",
        "datasets",
        "findings",
        "findings/stats",
        f"findings/diff?before={run['run_id']}&later={run['run_id']}",
        f"findings/{ident}",
        f"findings/{ident}/proof",
        "findings/export",
        "discovered",
    )
    with closing(apsw.Connection(str(store_of(root, env)))) as other:
        for path in asked:
            await imported(served, nuclei([(f"rule-{path[9:14]}", "high", "shop.example")]))
            other.execute("BEGIN IMMEDIATE")
            looking = asyncio.ensure_future(served.http.get(f"/v1/{path}"))
            assert (await asyncio.wait_for(served.http.get("/v1/health"), PATIENCE_S)).status_code == 200
            assert not looking.done(), path
            other.execute("ROLLBACK")
            assert (await looking).status_code == 200, path


async def test_who_waits_for_a_fold_holds_up_no_other_reading_and_ends_with_its_client(
    served: Serving, root: Path, env: dict[str, str]
) -> None:
    """More look than there are threads for it, and leave; the last two are there when the daemon begins to drain."""
    await imported(served, nuclei([("rule-a", "high", "shop.example")]))
    with alone(store_of(root, env).with_name(f"{BOOK}-lock"), "the store", 0):
        gone = [await Raw.to(served) for _ in range(2 * LOOKS_AT_ONCE)]
        for number, raw in enumerate(gone):
            kind = b"export" if number % 2 else b"stats"
            raw.writer.write(b"GET /v1/findings/" + kind + b" HTTP/1.1\r\nhost: assent\r\n\r\n")
            await raw.writer.drain()
        for path in ("runs", "health", "keys"):
            assert (await asyncio.wait_for(served.http.get(f"/v1/{path}"), PATIENCE_S)).status_code == 200
        for raw in gone:
            raw.writer.close()
            await raw.writer.wait_closed()
    assert (await asyncio.wait_for(served.http.get("/v1/projects"), PATIENCE_S)).status_code == 200
    await imported(served, nuclei([("rule-b", "high", "shop.example")]))
    with alone(store_of(root, env).with_name(f"{BOOK}-lock"), "the store", 0):
        waits = [asyncio.ensure_future(served.http.get("/v1/findings")) for _ in range(2 * LOOKS_AT_ONCE)]
        await asyncio.sleep(0.3)
        assert not any(one.done() for one in waits)
        served.told.stop.set()
        for one in await asyncio.wait_for(asyncio.gather(*waits), PATIENCE_S):
            assert (one.status_code, told_of(one)["error"]["code"]) == (503, "RUNTIME_CLOSED")


async def test_whoever_leaves_while_a_report_is_made_ends_it(
    served: Serving, root: Path, env: dict[str, str]
) -> None:
    """It is made a part at a time, and gone with whoever asked for it; nothing is told of it as a fault."""
    await imported(served, nuclei((f"rule-{one}", "high", f"host-{one}.example") for one in range(8_000)))
    await served.http.get("/v1/projects")
    raw = await Raw.to(served)
    raw.writer.write(b"GET /v1/findings/export?format=html HTTP/1.1\r\nhost: assent\r\n\r\n")
    await raw.writer.drain()
    await asyncio.sleep(0.3)
    raw.writer.close()
    await raw.writer.wait_closed()
    with closing(apsw.Connection(str(store_of(root, env)))) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (await served.http.get("/v1/health")).status_code == 200


LOOKS = (
    "runs",
    "projects",
    "datasets",
    "discovered",
    "findings",
    "findings/stats",
    "findings/diff?before=a&later=b",
    "findings/export",
    "findings/abcd",
    "findings/abcd/proof",
    "recipes/code",
    "resources",
    "resources/version?reference=res://wordlist/a:1",
    "resources/content?reference=res://wordlist/a:1",
)
"""What is looked at: whoever may look at all runs may look at all findings, and nobody else."""


async def test_who_may_look_at_runs_looks_at_findings_and_resources_and_nobody_else(
    served: Serving, root: Path, env: dict[str, str]
) -> None:
    """A key that may do all else is told nothing of them. Scanners are run for what is told of them: that is no reading."""
    for paths, needed in ((LOOKS, "read"), (("scanners?is_asked=false",), "plan")):
        lacks = key_for(root, env, scopes=[one for one in SCOPES if one != needed])
        has = key_for(root, env, scopes=[needed])
        for path in paths:
            refused = await served.http.get(f"/v1/{path}", headers={"authorization": f"Bearer {lacks}"})
            error = told_of(refused)["error"]
            assert (refused.status_code, error["code"]) == (403, "SCOPE_MISSING"), path
            assert error["details"]["scope"] == needed, path
            let_in = await served.http.get(f"/v1/{path}", headers={"authorization": f"Bearer {has}"})
            assert let_in.status_code in (200, 404), (path, let_in.text)


async def test_who_may_only_read_changes_no_findings(
    served: Serving, root: Path, env: dict[str, str]
) -> None:
    """Whatever changes them is a call, which the policy decides about for who makes it."""
    bearer = {"authorization": f"Bearer {key_for(root, env, scopes=['read'])}"}
    for capability in ("findings.import", "findings.triage", "findings.gc", "findings.delete_project"):
        asked = {"capability": capability, "parameters": {"project": "shop"}}
        answer = await served.http.post("/v1/calls", json=asked, headers=bearer)
        assert (answer.status_code, told_of(answer)["error"]["code"]) == (403, "SCOPE_MISSING")


async def test_what_one_bearer_handed_over_no_other_takes(
    served: Serving, root: Path, env: dict[str, str]
) -> None:
    given = await handed(served, nuclei([("rule-a", "low", "shop.example")]))
    asked = {"capability": "findings.import", "parameters": {"project": "stolen", "handed": given}}
    bearer = {"authorization": f"Bearer {key_for(root, env, 'agent:bot')}"}
    answer = await served.http.post("/v1/calls", json=asked, headers=bearer)
    assert answer.json()["error"]["code"] in ("FILE_NOT_HANDED_OVER", "POLICY_DENIED"), answer.text
    published = {"reference": "res://global/payloads/odd:1", "handed": given}
    answer = await served.http.post(
        "/v1/calls", json={"capability": "resource.publish", "parameters": published}
    )
    assert answer.json()["error"]["code"] == "FILE_NOT_HANDED_OVER", answer.text
    answer = await served.http.post("/v1/calls", json=asked)
    assert answer.json()["status"] == "succeeded", answer.text


async def test_who_may_only_read_hands_nothing_over(served: Serving, root: Path, env: dict[str, str]) -> None:
    bearer = {"authorization": f"Bearer {key_for(root, env, scopes=['read'])}"}
    answer = await served.http.put(UPLOAD, json={**EMPTY}, headers=bearer)
    assert (answer.status_code, told_of(answer)["error"]["code"]) == (403, "SCOPE_MISSING")
    assert (await served.http.get("/v1/projects", headers=bearer)).json() == []
