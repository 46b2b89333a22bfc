"""Traces of runs for OpenTelemetry: a span for each run, each step, and each call that a step makes (an attempt).

They are made of the durable events that a listener hears, never of what calls are given or give: ids, names of capabilities and
rules, risks, decisions, codes, counts. Their ids follow from the run's, so a run that another process goes on with keeps its
trace; but a caller's trace in which it began is known only to the process that began it. Times are those at which things were put
on record, in whole milliseconds.

This module is imported only where `[telemetry]` names an endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from assent.errors import InputError
from assent.invocation.context.outbound import Tracing
from assent.invocation.context.phases import CallPhase
from assent.invocation.context.telling import Cause, News, cause_here
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId, StepKey

try:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags
except ImportError as error:
    raise InputError(
        "CONFIG_INVALID",
        "`[telemetry]` needs packages that are not installed",
        hint="pip install 'assent[otlp]'",
    ) from error

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from assent.invocation.context.local import LocalContext
    from assent.runtime.settings._telemetry import TelemetrySettings
    from assent.spec.events.kinds import AnyEvent

OPEN_MAX: Final = 100_000
"""Runs of which is remembered what has begun; of the oldest it is forgotten, and what ends there has then begun when it ended."""

ATTRIBUTES: Final[Mapping[str, str]] = {
    "assent.run_id": "the run; on every span",
    "assent.mode": "`workflow`, also for a call by itself, or `session`; on a run",
    "assent.workflow": "the workflow's name; on a run",
    "assent.principal": "for whom; on a run",
    "assent.status": "how it ended: `succeeded`, `failed`, `denied` …; on every span",
    "assent.code": "the error's code, where there is one; on every span",
    "assent.step": "the step; on a step and a call",
    "assent.capability": "what is called; on a step and a call",
    "assent.version": "its version; on a step and a call",
    "assent.risk": "its risk; on a step and a call",
    "assent.decision": "what the policy said; on a step and a call",
    "assent.rule": "by which rule; on a step and a call",
    "assent.attempts": "how many calls it took; on a step",
    "assent.attempt": "which one; on a call",
}
"""Every attribute that a span may have."""

_SPAN: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_KEY: Final = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER: Final = re.compile(rf"{_KEY}=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]")
_STATE_CHARACTERS_MAX: Final = 512
_STATE_MEMBERS_MAX: Final = 32
_SCOPE: Final = InstrumentationScope("assent")
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_RUN_ENDS: Final = (ev.RunSucceeded, ev.RunFailed, ev.RunRolledBack, ev.RunCancelled)
_STEP_ENDS: Final = (ev.StepSucceeded, ev.StepFailed, ev.StepDenied)
_CALL_ENDS: Final = (ev.StepSucceeded, ev.StepFailed, ev.AttemptFailed, ev.StepInDoubt)

Attributes: TypeAlias = "dict[str, str | int]"


class _Open(msgspec.Struct):
    began_ms: int
    attributes: Attributes


class _Run(msgspec.Struct):
    trace: SpanContext
    parent: SpanContext | None = None
    state: str = ""
    """The caller's `tracestate`."""
    open: dict[tuple[StepKey | None, int], _Open] = {}
    """The run itself (no step), its steps (attempt 0), and their calls."""


def exporter_of(settings: TelemetrySettings) -> SpanExporter:
    """What sends spans; what it needs to be let in is in `OTEL_EXPORTER_OTLP_HEADERS`, as everywhere."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=settings.endpoint)


class Traces(Tracing):
    """Hears of runs and tells an exporter, from a thread of its own; what that can't take in time is dropped."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._processor = BatchSpanProcessor(exporter_of(settings))
        self._resource = Resource.create({"service.name": settings.service})
        self._sampled_below = settings.sample_percent * (1 << 64) // 100
        self._runs: dict[RunId, _Run] = {}

    def close(self) -> None:
        """Send what is left, for as long as the exporter's own limit."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # the library's

    def hear(self, run: RunId, n: int | None, at_ms: int, event: News) -> None:
        """One event, once it is durable."""
        if n is None:
            return
        match event:
            case ev.RunCreated():
                self._begin_run(run, at_ms, event)
            case ev.ApprovalRequested() | ev.StepStarted() | ev.StepDenied():
                self._begin_step(run, at_ms, event)
            case _:
                pass
        if isinstance(event, _CALL_ENDS):
            self._end(run, at_ms, event, event.step, event.attempt)
        if isinstance(event, _STEP_ENDS):
            self._end(run, at_ms, event, event.step)
        elif isinstance(event, _RUN_ENDS):
            self._end(run, at_ms, event)
            del self._runs[run]

    def headers(self, context: LocalContext) -> Mapping[str, str]:
        """The span of a call as a request bears it; nothing of what has no span: undoing, and a plan's reads."""
        if context.phase is not CallPhase.EXECUTING or not context.attempt:
            return {}
        known = self._known(context.run)
        span = _span(known.trace, context.run, context.step, context.attempt)
        told = {"traceparent": f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"}
        return told | {"tracestate": known.state} if known.state else told

    def _known(self, run: RunId) -> _Run:
        known = self._runs.get(run)
        if known is None:
            if len(self._runs) >= OPEN_MAX:
                del self._runs[next(iter(self._runs))]
            known = self._runs[run] = _Run(self._trace(run))
        return known

    def _begin_run(self, run: RunId, at_ms: int, event: ev.RunCreated) -> None:
        known = self._known(run)
        cause = cause_here()
        known.parent = None if cause is None else _context_of(cause.traceparent)
        if cause is not None and known.parent is not None:
            known.trace, known.state = known.parent, _state_of(cause)
        told: Attributes = {"assent.mode": event.mode.value, "assent.principal": event.principal}
        if event.workflow is not None:
            told["assent.workflow"] = event.workflow
        known.open[None, 0] = _Open(at_ms, told)

    def _begin_step(
        self, run: RunId, at_ms: int, event: ev.ApprovalRequested | ev.StepStarted | ev.StepDenied
    ) -> None:
        told: Attributes = {
            "assent.step": event.step,
            "assent.capability": event.capability,
            "assent.version": event.version,
            "assent.risk": event.risk,
            "assent.decision": event.decision,
            "assent.rule": event.rule,
        }
        began = self._known(run).open
        before = began.get((event.step, 0))
        began[event.step, 0] = _Open(at_ms if before is None else before.began_ms, told)
        if isinstance(event, ev.StepStarted):
            began[event.step, event.attempt] = _Open(at_ms, {**told, "assent.attempt": event.attempt})

    def _end(
        self, run: RunId, at_ms: int, event: AnyEvent, step: StepKey | None = None, attempt: int = 0
    ) -> None:
        """Tell of what has ended: the run, a step of it (attempt 0), or a call of that step."""
        known = self._known(run)
        began = known.open.pop((step, attempt), None)
        if began is None:
            began = _Open(at_ms if step is not None else _made_ms(run), {})
        if not known.trace.trace_flags.sampled:
            return
        code: str | None = getattr(event, "code", None)
        status = event.kind.rpartition(".")[2]
        told: Attributes = {"assent.run_id": run, **began.attributes, "assent.status": status}
        if code is not None:
            told["assent.code"] = code
        if step is None:
            name = f"run {told.get('assent.workflow', '')}".rstrip()
            parent = known.parent
        else:
            name = f"{'call' if attempt else 'step'} {told.get('assent.capability', step)}"
            parent = _span(known.trace, run, step if attempt else None, 0)
            if not attempt:
                told["assent.attempts"] = getattr(event, "attempt", 0)
        self._processor.on_end(
            ReadableSpan(
                name=name,
                context=_span(known.trace, run, step, attempt),
                parent=parent,
                resource=self._resource,
                attributes=told,
                status=Status(StatusCode.OK) if code is None else Status(StatusCode.ERROR, code),
                start_time=began.began_ms * 1_000_000,
                end_time=max(at_ms, began.began_ms) * 1_000_000,
                instrumentation_scope=_SCOPE,
            )
        )

    def _trace(self, run: RunId) -> SpanContext:
        digest = sha256(run.encode()).digest()
        sampled = int.from_bytes(digest[8:16], "big") < self._sampled_below
        trace = int.from_bytes(digest[:16], "big")
        return SpanContext(trace, 1, is_remote=False, trace_flags=TraceFlags(sampled))


def _span(trace: SpanContext, run: RunId, step: StepKey | None, attempt: int) -> SpanContext:
    digest = sha256(f"{run}\0{step or ''}\0{attempt}".encode()).digest()
    return SpanContext(
        trace.trace_id, int.from_bytes(digest[:8], "big") or 1, is_remote=False, trace_flags=trace.trace_flags
    )


def _context_of(traceparent: str) -> SpanContext | None:
    """The caller's span, of a `traceparent` (W3C Trace Context §3.2); None for what is none."""
    found = _SPAN.match(traceparent)
    if found is None or found[0].startswith("ff") or (found[0].startswith("00") and found[4]):
        return None
    context = SpanContext(
        int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(int(found[3], 16) & 1)
    )
    return context if context.is_valid else None


def _state_of(cause: Cause) -> str:
    """The caller's `tracestate`, which goes on as it came (W3C Trace Context §3.3); nothing of what is none, or too long."""
    members = [one for member in cause.tracestate.split(",") if (one := member.strip(" \t"))]
    state = ",".join(members)
    is_one = len(state) <= _STATE_CHARACTERS_MAX and len(members) <= _STATE_MEMBERS_MAX
    return state if is_one and all(map(_MEMBER.fullmatch, members)) else ""


def _made_ms(run: RunId) -> int:
    """When a run began that this process did not see begin: its id says so."""
    made = 0
    for char in run.removeprefix("run_")[:10].upper():
        made = made << 5 | _CROCKFORD.find(char)
    return made
