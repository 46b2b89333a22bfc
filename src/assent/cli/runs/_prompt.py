"""Asking for an approval on the spot: an answer has to be typed, and CRITICAL asks for the name of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from assent.cli._door import Door
from assent.cli.runs._plan_text import approvers_text, consequence_text
from assent.cli.runs._result_text import input_lines
from assent.cli.terminal._diff import diff_text, size_words
from assent.cli.terminal._line import read_line
from assent.cli.terminal._style import RISK_STYLE, Paint
from assent.cli.terminal._units import duration_text
from assent.errors import Json
from assent.spec.ids import SHORT_DIGEST
from assent.spec.states import Undo
from assent.spec.targets import name_of
from assent.spec.values.json_fields import Object, text
from assent.spec.values.typed import convert
from assent.spec.words.legible import hanging, safe_line

if TYPE_CHECKING:
    from assent.runtime.service import answers

QUESTION: Final = "[a]pprove  [r]eject  [d]iff  [w]hy  [l]ater: "


class Answer(NamedTuple):
    """What the person said: `approve`, `reject` with a reason, or `later`."""

    word: str
    reason: str = ""


LATER: Final = Answer("later")


def approval_text(approval: answers.Approval, *, paint: Paint, now_ms: int, more: str | None = None) -> str:
    """What is asked: the step, its risk, what it acts on, who may answer and until when, and what it would change.

    `more` is how to see the rest of what is long; without it nothing is cut.
    """
    risk = approval.risk_level
    size = size_words([diff_of(approval)])
    what = f"step `{safe_line(approval.step)}`  {safe_line(approval.capability)}"
    lines = [
        f"{paint('approval needed', 'yellow')}  {what}  {paint(risk, RISK_STYLE.get(risk))}{f'  {size}' if size else ''}"
    ]
    lines += input_lines(approval.inputs, is_cut=more is not None)
    for one in consequences_of(approval):
        lines += consequence_text(one, is_cut=more is not None)
    if not_undone(approval):
        lines.append(f"  {paint('NO UNDO', 'red')}: what it does can't be taken back")
    lines.append(f"  asked by {safe_line(approval.requester)}, {_rule_text(approval)}")
    lines.append(f"  may be approved by {approvers_text(approval.approvers)}")
    if approval.granted_by:
        lines.append(f"  approved so far: {granted_text(approval)}")
    expires_ms = approval.expires_at_ms
    if expires_ms is not None:
        left_ms = expires_ms - now_ms
        lines.append(f"  expires in {duration_text(left_ms)}" if left_ms > 0 else "  has expired")
    lines.append(f"  digest {approval.digest[:SHORT_DIGEST]}")
    diff = diff_of(approval)
    return "\n".join([*lines, *([diff_text(diff, paint=paint, indent="  ", fold=more)] if diff else [])])


def granted_text(approval: answers.Approval) -> str:
    """How many of those who are needed have agreed, and who: `1 of 2 (user:alice)`; empty when none has."""
    names = approval.granted_by
    return f"{len(names)} of {approval.approvers.count} ({safe_line(', '.join(names))})" if names else ""


def ask(door: Door, approval: answers.Approval) -> Answer:
    """The person's answer; an empty line, a word that is none and the end of the input decide nothing.

    Who may not decide is told so, and asked nothing.
    """
    from assent.system import SystemClock

    paint = door.out.paint(stderr=True)
    door.out.note("")
    now_ms = SystemClock().now_ms()
    more = "type d to see all" if approval.refused is None else door.command("approvals", "--diff")
    door.out.note(approval_text(approval, paint=paint, now_ms=now_ms, more=more))
    if approval.refused is not None:
        door.out.note(f"  {hanging(approval.refused)}")
        return LATER
    while True:
        said = read_line(QUESTION)
        match "later" if said is None else said.strip().lower():
            case "a" | "approve":
                if approval.risk_level != "CRITICAL" or _confirms_target(door, approval):
                    return Answer("approve")
            case "r" | "reject":
                reason = read_line("reason: ")
                return LATER if reason is None else Answer("reject", reason.strip())
            case "d" | "diff":
                door.out.note(approval_text(approval, paint=paint, now_ms=now_ms))
            case "w" | "why":
                door.out.note(_why(door, approval))
            case "l" | "later" | "\x04":
                return LATER
            case _:
                door.out.note("  nothing was decided: type a, r, d, w or l")


def _confirms_target(door: Door, approval: answers.Approval) -> bool:
    target = target_of(approval)
    said = read_line(f"this is CRITICAL: type `{safe_line(target)}` to approve: ")
    if said is not None and said.strip() == target:
        return True
    door.out.note("  that is another name: nothing was decided")
    return False


def target_of(approval: answers.Approval) -> str:
    """The name of what the call acts on: the input that tells most, else the step."""
    return name_of(_object(approval.inputs)) or approval.step


def _why(door: Door, approval: answers.Approval) -> str:
    more = door.command("policy", "explain", approval.run_id, approval.step)
    return f"  {_rule_text(approval)}\n  more: {more}"


def _rule_text(approval: answers.Approval) -> str:
    """The rule that asks, and why: of a workflow's own question that is all there is to decide about."""
    reason = safe_line(text(_object(approval.preview), "reason"))
    return f"rule {safe_line(approval.rule)}{f': {reason}' if reason else ''}"


def diff_of(approval: answers.Approval) -> str:
    """What it would change."""
    return text(_object(approval.preview), "diff")


def not_undone(approval: answers.Approval) -> bool:
    """Whether nothing takes back what would be done."""
    return text(_object(approval.preview), "undo") == Undo.NONE


def consequences_of(approval: answers.Approval) -> list[answers.PlannedConsequence]:
    """What it may lead to."""
    listed = _object(approval.preview).get("consequences")
    if not listed:
        return []
    from assent.runtime.service.answers import PlannedConsequence

    return convert(listed, list[PlannedConsequence])


def _object(value: Json) -> Object:
    """What is an object by its nature, and may come from anywhere."""
    return value if isinstance(value, dict) else {}
