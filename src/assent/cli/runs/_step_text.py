"""One step of a run with all that is on record of it: inputs, what was asked and answered, each attempt, what came of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from assent.cli.runs._result_text import DETAIL_LINES_MAX, details_lines, input_lines
from assent.cli.runs._timeline import time_text
from assent.cli.terminal._diff import diff_text
from assent.cli.terminal._style import DECISION_STYLE, RISK_STYLE, STATUS_STYLE, Paint
from assent.cli.terminal._units import duration_text
from assent.spec.ids import SHORT_DIGEST
from assent.spec.principal import identified_words
from assent.spec.values.json_fields import Object, text
from assent.spec.words.legible import cut, hanging, safe, safe_line

if TYPE_CHECKING:
    from assent.runtime.service import answers

OUTPUT_MAX: Final = 4_000
"""Characters of an output that are shown."""


def step_text(run_id: str, step: answers.ShownStep, *, paint: Paint) -> str:
    """The whole page of one step: what failed and what it was given first."""
    return "\n\n".join(block for block in (_head(run_id, step, paint), *_blocks(step, paint)) if block)


def _head(run_id: str, step: answers.ShownStep, paint: Paint) -> str:
    version = f"@{step.version}" if step.version else ""
    words = [
        paint(step.status.replace("_", " "), STATUS_STYLE.get(step.status)),
        safe_line(step.name),
        safe_line(f"{step.capability or ''}{version}"),
        paint(step.risk_level or "", RISK_STYLE.get(step.risk_level or "")),
        f"of {run_id}",
        f"as {step.inner_run}" if step.inner_run else "",
    ]
    lines = ["  ".join(word for word in words if word)]
    fault = step.fault
    if fault is not None:
        lines.append(f"{paint('error:', 'red')} {hanging(fault.message)}   [{safe_line(fault.code)}]")
        lines += details_lines(fault.details, most=DETAIL_LINES_MAX)
    return "\n".join(lines)


def _blocks(step: answers.ShownStep, paint: Paint) -> list[str]:
    return [
        "\n".join(["inputs", *(input_lines(step.inputs, is_cut=True) or ["  none on record"])]),
        _decision(step, paint),
        *(_question(asked, paint) for asked in step.approvals),
        "\n".join(["attempts", *map(_try, step.tries)]) if step.tries else "",
        _output(step),
    ]


def _decision(step: answers.ShownStep, paint: Paint) -> str:
    if step.decision is None:
        return ""
    decided = paint(step.decision, DECISION_STYLE.get(step.decision))
    policy = f", policy {step.policy[:SHORT_DIGEST]}" if step.policy else ""
    return f"decision  {decided} by rule {safe_line(step.rule or '')}{policy}"


def _question(asked: answers.AskedApproval, paint: Paint) -> str:
    status = paint(asked.status, STATUS_STYLE.get(asked.status))
    by = f"by {safe_line(asked.requester)} under rule {safe_line(asked.rule)}"
    lines = [
        f"approval  {status}, asked {time_text(asked.requested_at_ms)} {by}",
        f"  digest {asked.digest[:SHORT_DIGEST]}",
        *map(_decision_line, asked.decisions),
    ]
    preview: Object = asked.preview if isinstance(asked.preview, dict) else {}
    diff = text(preview, "diff")
    return "\n".join([*lines, *(["  it showed:", diff_text(diff, paint=paint, indent="  ")] if diff else [])])


def _decision_line(said: answers.ApprovalDecision) -> str:
    """Who said what when, how it is known who that is, and whether they had seen the digest."""
    words = [f"  {said.decision}", time_text(said.at_ms)]
    if said.by is not None:
        words.append(f"by {safe_line(said.by)} ({', '.join(_proof(said))})")
    if said.reason:
        words.append(f"because: {safe_line(said.reason)}")
    return "  ".join(words)


def _proof(said: answers.ApprovalDecision) -> list[str]:
    known = (
        "asserted"
        if said.asserted
        else f"by {safe_line(identified_words(said.identified_by))}"
        if said.identified_by
        else "not asserted"
    )
    return [
        known,
        *([f"uid {said.os_uid}"] if said.os_uid is not None else []),
        *(["the same user as the requester"] if said.same_uid else []),
        *([] if said.confirmed is None else ["digest seen" if said.confirmed else "digest not seen"]),
    ]


def _try(one: answers.Try) -> str:
    took = (
        ""
        if one.ended_at_ms is None
        else f", took {duration_text(max(0, one.ended_at_ms - one.started_at_ms))}"
    )
    effect = f", effect {one.effect}" if one.effect else ""
    fault = f": {safe_line(one.message or '')} [{safe_line(one.code)}]" if one.code else ""
    ended = (one.outcome or "not ended").replace("_", " ")
    return f"  {one.attempt}  {time_text(one.started_at_ms)}{took}  {ended}{effect}{fault}"


def _output(step: answers.ShownStep) -> str:
    if step.fault is not None or step.gave is None:
        return ""
    return f"output\n{safe(cut(json.dumps(step.gave, indent=2), OUTPUT_MAX))}"
