"""Traces of what a daemon's runs do, as an exporter in memory gets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from assent.errors import InputError
from assent.invocation.context.telling import Cause
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring import traces
from tests.support.serving import daemon
from tests.support.web import Asked, Reply, serving

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


STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
OWN = "00-11111111111111111111111111111111-2222222222222222-00"
CALLED = {"traceparent": f"00-{ABOVE}-{CALLER}-01", "tracestate": STATE}


async def test_a_request_bears_the_span_of_its_call_where_an_operator_says_so(
    root: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt its own, no origin but the first, nothing over what the call says; else and on record, not a byte more."""
    exporters: list[InMemorySpanExporter] = []

    def exporter_of(_: object) -> InMemorySpanExporter:
        exporters.append(InMemorySpanExporter())
        return exporters[-1]

    def answer(asked: Asked) -> Reply:
        match asked.path:
            case "/busy":
                tries.append(asked.path)
                return Reply(503 if len(tries) % 2 else 200)
            case "/near":
                return Reply(302, [("location", "/end")])
            case "/far":
                return Reply(302, [("location", there.url("/end"))])
            case _:
                return Reply(body=b"ok")

    tries: list[str] = []
    monkeypatch.setattr(traces, "exporter_of", exporter_of)
    policy = root / "policy.yaml"
    policy.write_text(policy.read_text().replace("ALLOW", "ALLOW\n    without_approval: true"))
    with serving(lambda _: Reply(body=b"ok")) as there, serving(answer) as here:
        settings = (root / "assent.toml").read_text() + (
            '[net.rules.here]\nhosts = ["127.0.0.1"]\nmethods = ["GET", "POST"]\nschemes = ["http"]\n'
            f'ports = [{here.port}, {there.port}]\nprivate = ["127.0.0.0/8"]\n'
            '[telemetry]\nendpoint = "http://127.0.0.1:9/v1/traces"\n'
        )
        busy = {"name": "busy", "capability": "net.http.get", "inputs": {"url": here.url("/busy")},
                "retry": {"max_attempts": 2, "backoff": {"initial": "1ms"}}}  # fmt: skip
        calls: tuple[tuple[str, dict[str, Any], dict[str, str]], ...] = (
            ("runs", {"workflow": {"name": "busy", "steps": [busy]}}, CALLED),
            ("calls", _call("post", here.url(), body={"a": 1}), CALLED),
            ("calls", _call("get", here.url("/near")), {**CALLED, "tracestate": "Nothing!"}),
            ("calls", _call("get", here.url("/far")), {}),
            ("calls", _call("get", here.url(), headers={"Traceparent": OWN}), CALLED),
        )
        heard: list[list[Asked]] = []
        for propagate in ("false", "true"):
            here.asked.clear()
            there.asked.clear()
            (root / "assent.toml").write_text(f"{settings}propagate = {propagate}\n")
            async with daemon(root, env) as served:
                for what, body, headers in calls:
                    run = (await served.http.post(f"/v1/{what}", json=body, headers=headers)).json()
                    assert run["status"] == "succeeded", run
                    told = await served.http.get(f"/v1/runs/{run['run_id']}/events")
                    assert told.status_code == 200
                    assert "rojo" not in told.text
            heard.append([*here.asked, *there.asked])
    off, on = heard
    added = [
        {name: asked.headers[name] for name in asked.headers.keys() - before.headers.keys()}
        for before, asked in zip(off, on, strict=True)
    ]
    assert [one.path for one in on] == ["/busy", "/busy", "/", "/near", "/end", "/far", "/", "/end"]
    spans = [one for one in exporters[-1].get_finished_spans() if one.name.startswith("call")]
    ids = [f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01" for span in spans]
    stated = {"tracestate": STATE}
    assert added == [
        {"traceparent": ids[0], **stated}, {"traceparent": ids[1], **stated}, {"traceparent": ids[2], **stated},
        {"traceparent": ids[3]}, {"traceparent": ids[3]}, {"traceparent": ids[4]}, {}, {},
    ]  # fmt: skip
    assert [one[3:35] == ABOVE for one in ids] == [True, True, True, True, False, True]
    assert on[6].headers["traceparent"] == OWN
    for before, asked in zip(off, on, strict=True):
        changed = {name for name, value in before.headers.items() if asked.headers[name] != value}
        assert changed <= {"idempotency-key"}, "which is each run's own"


@pytest.mark.parametrize(
    "sent",
    [
        "Upper=1", "a", "a=b=c", "a=", "=b", "a=\x7f", "é=1", "a=1,,b", "9=1", "a@=1", "a=1\n",
        "a=" + "1" * 257, ",".join(f"a{n}=1" for n in range(33)), ",".join(f"a{n}={'1' * 200}" for n in range(3)),
    ],
)  # fmt: skip
def test_a_state_that_is_none_goes_nowhere(sent: str) -> None:
    """What a stranger sent as `tracestate` is either one or nothing."""
    assert traces._state_of(Cause("", sent)) == ""


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("", ""), ("a=1", "a=1"), ("a=1 ,\t9t@v=x y", "a=1,9t@v=x y"), ("a=1,,b=2,", "a=1,b=2")],
)
def test_a_state_goes_on_as_it_came(sent: str, kept: str) -> None:
    """Its members in their order, without the space between them."""
    assert traces._state_of(Cause("", sent)) == kept


def test_no_trace_is_told_where_there_is_none(root: Path, env: dict[str, str]) -> None:
    """`propagate` without an endpoint is a mistake, not a setting that does nothing."""
    (root / "assent.toml").write_text("[telemetry]\npropagate = true\n")
    with pytest.raises(InputError, match="needs an `endpoint`"):
        Settings.resolve(workspace=root, environ=env, cwd=root)


def _call(method: str, url: str, **more: Any) -> dict[str, Any]:
    return {"capability": f"net.http.{method}", "parameters": {"url": url, **more}}


def _parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id
