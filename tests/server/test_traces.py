"""Traces of what a daemon's runs do, as an exporter in memory gets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from assent.runtime.wiring import traces
from tests.support.serving import daemon

ABOVE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
FLOW = {
    "name": "two",
    "steps": [
        {"name": "one", "capability": "io.fs.write_file", "inputs": {"path": "a.txt", "content": "sesame"}},
        {"name": "two", "capability": "io.fs.read_file", "inputs": {"path": "private/b.txt"}},
    ],
}


async def test_a_span_for_each_run_step_and_call(
    root: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parents lead from the caller to the call; decisions and codes are there, and nothing of what was given or given back."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(traces, "exporter_of", lambda _: exporter)
    with (root / "assent.toml").open("a") as file:
        file.write('[telemetry]\nendpoint = "http://127.0.0.1:9/v1/traces"\nservice = "house"\n')
    async with daemon(root, env) as served:
        for sent in (f"00-{ABOVE}-{CALLER}-01", f"00-{ABOVE}-{CALLER}-00", "00-nothing"):
            call = {"capability": "io.fs.write_file", "parameters": {"path": "c.txt", "content": "sesame"}}
            await served.http.post("/v1/calls", json=call, headers={"traceparent": sent})
        run = (await served.http.post("/v1/runs", json={"workflow": FLOW})).json()["run_id"]
    spans = exporter.get_finished_spans()
    names = [span.name for span in spans]
    one_call = ["call io.fs.write_file", "step io.fs.write_file", "run"]
    assert names[:6] == one_call * 2  # the second caller wanted none
    assert sorted(names[6:]) == sorted([*one_call[:2], "step io.fs.read_file", "run two"])
    called, step, whole = spans[:3]
    assert [f"{one.context.trace_id:032x}" for one in (called, step, whole)] == [ABOVE] * 3
    assert f"{_parent(whole):016x}" == CALLER
    assert (_parent(called), _parent(step)) == (step.context.span_id, whole.context.span_id)
    assert spans[5].parent is None
    assert spans[5].context.trace_id not in (0, int(ABOVE, 16))
    told = {
        span.name: dict(span.attributes or {})
        for span in spans
        if (span.attributes or {})["assent.run_id"] == run
    }
    assert told["step io.fs.read_file"] | {"assent.version": ""} == {
        "assent.run_id": run, "assent.step": "two", "assent.capability": "io.fs.read_file", "assent.version": "",
        "assent.risk": "LOW", "assent.decision": "DENY", "assent.rule": "private", "assent.status": "denied",
        "assent.code": "POLICY_DENIED", "assent.attempts": 0,
    }  # fmt: skip
    assert told["step io.fs.write_file"]["assent.attempts"] == 1
    assert told["run two"]["assent.status"] in ("failed", "rolled_back")
    assert {name for span in spans for name in span.attributes or {}} <= traces.ATTRIBUTES.keys()
    assert spans[0].resource.attributes["service.name"] == "house"
    assert not any("sesame" in json.dumps(json.loads(span.to_json())) for span in spans)
    assert all((span.end_time or 0) >= (span.start_time or 0) > 0 for span in spans)


def _parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id
