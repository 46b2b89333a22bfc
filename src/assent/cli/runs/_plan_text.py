"""A plan for people: the summary first and last, what changes in between, what changes nothing out of the way."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from assent.cli._exit import is_change, is_unknown
from assent.cli.runs._fold import TIMES, folded, folded_name
from assent.cli.runs._result_text import DETAIL_LINES_MAX, details_lines, input_lines
from assent.cli.terminal._diff import deleted, diff_text, size_words
from assent.cli.terminal._style import DECISION_STYLE, RISK_STYLE, Paint
from assent.cli.terminal._table import table
from assent.cli.terminal._units import duration_text
from assent.spec.ids import APPROVAL_CAPABILITY
from assent.spec.words.legible import hanging, safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.runtime.service import answers

TARGET_WIDTH: Final = 48
"""Characters of a target in the table; the diff below names it whole."""

SAID_LINES_MAX: Final = 10
"""Of what a program said before it failed, where no detail is asked for."""

SCREEN_LINES: Final = 24
"""A plan of more lines says at its end once more what it comes to."""

_DECISIONS: Final = {"ALLOW": "allow", "DENY": "deny", "REQUIRE_APPROVAL": "ASK", "UNKNOWN": "can't tell"}
_UNDO: Final = {
    "not_needed": "nothing to undo",
    "automatic": "undo automatic",
    "compensation": "undo by compensation",
    "none": "NO UNDO",
}


def plan_text(plan: answers.Plan, *, paint: Paint, detail: str | None, run: str, show: str) -> str:
    """The plan. `detail`: the step whose whole diff is shown; `run` and `show` are the commands to go on with.

    Iterations of a `foreach` that are planned alike share a row and show one diff, unless a detail is asked for.
    """
    steps = plan.steps
    groups = folded(steps, _likeness) if detail is None else [[step] for step in steps]
    head = f"{paint('Plan', 'bold')} {plan.plan_id}  {safe_line(plan.workflow or 'one call')}"
    summary = summary_text(steps)
    if plan.concurrency:
        summary += f"\n{_key_text(plan.concurrency)}"
    blocks = [
        f"{head}\n{summary}",
        table(_rows(groups, paint), paint=paint),
    ]
    blocks += [text for group in groups if (text := _consequences(group, is_cut=detail is None))]
    blocks += [diff for group in groups if (diff := _diff(group, paint=paint, detail=detail, show=show))]
    if sum(block.count("\n") + 2 for block in blocks) > SCREEN_LINES:
        blocks.append(summary)
    blocks.append(f"run it as planned: {run}")
    return "\n\n".join(blocks)


def _key_text(key: answers.PlannedKey) -> str:
    """What the run would wait for before it begins, and whether it may have that."""
    named = f"concurrency key {safe_line(key.key)}:"
    if key.is_denied:
        return (
            f"{named} denied by rule {safe_line(key.rule)}, so that the run would end before its first step"
        )
    now = ", ".join(key.held_by) or "nobody"
    most = f"at most {count_text(key.limit, 'run')} at once"
    if key.in_force < key.limit:
        most += f" ({key.in_force} as long as those have it that have it now)"
    text = f"{named} {most}, else {key.on_busy}; had now by {now}"
    if key.others:
        what = "are cancelled too" if key.others.decision == "ALLOW" else "are waited for"
        text += f"\nruns of others with this key {what} (rule {safe_line(key.others.rule)})"
    return text


def _likeness(step: answers.PlannedStep) -> tuple[str, ...] | None:
    """What iterations have to share to be planned in one row. What would fail has its own."""
    if step.error is not None:
        return None
    told = (step.capability, step.version, step.operation_type, step.risk_level, step.decision, step.undo)
    leads_to = (line for one in step.consequences for line in consequence_text(one, is_cut=False))
    known = (str(is_change(step)), str(is_unknown(step)), step.because or "")
    return (*told, *leads_to, _rule(step), *known)


def _rows(groups: list[list[answers.PlannedStep]], paint: Paint) -> list[list[str]]:
    """One row per group, numbered by its first step."""
    rows, following = [], 1
    for group in groups:
        rows.append(_row(following, group, paint))
        following += len(group)
    return rows


def _row(number_: int, group: list[answers.PlannedStep], paint: Paint) -> list[str]:
    step = group[0]
    times = f"  {TIMES} {len(group)}" if len(group) > 1 else ""
    decision, risk, undo = step.decision, step.risk_level, step.undo
    return [
        _sign(step, paint),
        str(number_),
        safe_line(folded_name(group)) + times + ("  (finally)" if step.in_finally is True else ""),
        safe_line(step.capability or "approval"),
        _target(group),
        paint(risk, RISK_STYLE.get(risk)),
        paint(_DECISIONS.get(decision, decision), DECISION_STYLE.get(decision)),
        _rule(step),
        paint(_UNDO.get(undo, undo), "red" if undo == "none" else "dim"),
        _size(group),
    ]


def _target(group: list[answers.PlannedStep]) -> str:
    """What the step acts on; of several alike, the first."""
    target = group[0].target or ""
    shown = target if len(target) <= TARGET_WIDTH else f"{target[: TARGET_WIDTH - 3]}..."
    return safe_line(shown) + (", ..." if target and len(group) > 1 else "")


def _sign(step: answers.PlannedStep, paint: Paint) -> str:
    """`!` needs a look before it runs, `?` not known yet, `-` deletes, `~` changes; the same in words further right."""
    if step.decision == "DENY" or step.undo == "none" or step.error is not None:
        return paint("!", "red")
    if is_unknown(step) or step.decision == "UNKNOWN":
        return paint("?", "yellow")
    if not is_change(step):
        return " "
    return paint("-", "red") if _deletes(step) else paint("~", "yellow")


def _deletes(step: answers.PlannedStep) -> bool:
    """Whether something is no more after the step, by what it is or by what its preview shows."""
    return step.operation_type == "DELETE" or deleted(_preview(step)) > 0


def _preview(step: answers.PlannedStep) -> str:
    return step.preview.diff


def _size(group: list[answers.PlannedStep]) -> str:
    step = group[0]
    if step.error is not None:
        return safe_line(f"would fail: {step.error.message}", 60)
    if step.because is not None:
        return safe_line(step.because, 80)
    if is_unknown(step):
        return "known only when it runs"
    if step.read is not None:
        return "read for this plan"
    if step.capability == APPROVAL_CAPABILITY:
        return safe_line(step.reason)
    return size_words(map(_preview, group))


def _rule(step: answers.PlannedStep) -> str:
    """The rule that decides, and who must agree."""
    rule = f"rule {safe_line(step.rule)}" if step.rule else ""
    who = step.approvers
    return rule if who is None else f"{rule} -> {approvers_text(who, who.expires_ms)}"


def approvers_text(
    approvers: answers.Approvers | answers.PlanApprovers, expires_ms: int | None = None
) -> str:
    """Who must agree, in words, and within which time: `2 of role operator, not the requester, within 1 h`."""
    count, roles, kinds = approvers.count, approvers.roles, approvers.kinds
    who = f"role {' or '.join(roles)}" if roles else "any " + (" or ".join(kinds) or "user")
    words = [who if count == 1 else f"{count} of {who}"]
    words += [f"who is also {' or '.join(further)}" for further in approvers.further_roles]
    if approvers.not_requester:
        words.append("not the requester")
    if expires_ms is not None:
        words.append(f"within {duration_text(expires_ms)}")
    return safe_line(", ".join(words))


def _consequences(group: list[answers.PlannedStep], *, is_cut: bool) -> str:
    """What the first of the group may lead to; of the others the same holds, or they would not be in it."""
    lines = [line for one in group[0].consequences for line in consequence_text(one, is_cut=is_cut)]
    return "\n".join([safe_line(folded_name(group)), *lines]) if lines else ""


def consequence_text(consequence: answers.PlannedConsequence, *, is_cut: bool) -> list[str]:
    """A call that a step may lead to: what it is called with, what of that is not known yet, and what the gate says of it."""
    decision = _DECISIONS.get(consequence.decision, consequence.decision)
    head = f"{consequence.role} {consequence.capability}, {consequence.risk_level}, {decision} by rule {consequence.rule}"
    inputs = [f"  {line}" for line in input_lines(consequence.inputs, is_cut=is_cut)]
    unknown = [f"    {safe_line(name)}: not known yet" for name in consequence.unknown]
    return [f"  may lead to {safe_line(head)}", *inputs, *unknown]


def _failure(step: answers.PlannedStep, error: answers.Fault, paint: Paint, *, most: int) -> str:
    """Why the step would fail, whole: its row has room for the beginning. Of what a program said the last `most` lines."""
    lines = [
        paint(safe_line(step.name), "bold"),
        f"  would fail: {hanging(error.message)}   [{safe_line(error.code)}]",
    ]
    lines += [f"  {line}" for line in details_lines(error.details, most=most)]
    if error.hint:
        lines.append(f"  {paint('help:', 'cyan')} {hanging(error.hint)}")
    return "\n".join(lines)


def _diff(group: list[answers.PlannedStep], *, paint: Paint, detail: str | None, show: str) -> str:
    """The first diff of the group, and how to see the others; or why it would fail."""
    error = group[0].error
    if error is not None:
        if detail not in (None, group[0].name):
            return ""
        return _failure(group[0], error, paint, most=DETAIL_LINES_MAX if detail else SAID_LINES_MAX)
    shown = [step for step in group if step.preview.diff]
    if not shown or (detail is not None and detail != shown[0].name):
        return ""
    names = [step.name for step in shown]
    fold = None if detail is not None else f"{show} --detail {shlex.quote(names[0])}"
    diff = shown[0].preview.diff
    block = f"{paint(safe_line(names[0]), 'bold')}\n{diff_text(diff, paint=paint, indent='  ', fold=fold)}"
    if len(names) > 1:
        more = f"… {len(names) - 1} more of `{safe_line(folded_name(group))}`: {show} --detail {shlex.quote(names[1])}"
        block += f"\n  {paint(more, 'dim')}"
    return block


def summary_text(steps: list[answers.PlannedStep]) -> str:
    """What the plan comes to, in three sentences: what it would do, how much can be undone, where it would stop."""
    sound = [step for step in steps if not step.error is not None]
    failing = [step.name for step in steps if step.error is not None]
    reads = sum(1 for step in sound if not is_change(step))
    deletes = sum(1 for step in sound if is_change(step) and _deletes(step))
    changes = len(sound) - reads - deletes
    done = [
        f"{reads} without change" if reads else "",
        _count(changes, "change"),
        _count(deletes, "deletion"),
    ]
    done.append(_count(len(failing), "failure"))
    undo = [step.undo for step in sound]
    stuck = [step.name for step in sound if step.undo == "none"]
    ways = [
        f"{undo.count('automatic')} automatic" if "automatic" in undo else "",
        f"{undo.count('compensation')} by compensation" if "compensation" in undo else "",
        f"{undo.count('none')} NOT possible ({safe_line(', '.join(stuck))})" if "none" in undo else "",
    ]
    lines = [f"Would: {_listed(done) or 'nothing'}.  Undo: {_listed(ways) or 'nothing to undo'}."]
    unknown = [step.name for step in sound if is_unknown(step) or step.decision == "UNKNOWN"]
    if unknown:
        lines.append(f"Can't be known before it runs: {safe_line(', '.join(unknown))}.")
    asks = sum(1 for step in steps if step.decision == "REQUIRE_APPROVAL")
    denied = [step.name for step in steps if step.decision == "DENY"]
    if denied:
        lines.append(
            f"{_count(asks, 'approval')}, {_count(len(denied), 'denial')}: it would stop at `{safe_line(denied[0])}`."
        )
    elif asks:
        lines.append(f"{_count(asks, 'approval')} needed.")
    if failing:
        lines.append(f"It would fail at `{safe_line(failing[0])}`.")
    return "\n".join(line.removeprefix(", ") for line in lines)


def _count(count: int, word: str) -> str:
    return count_text(count, word) if count else ""


def _listed(parts: list[str]) -> str:
    return ", ".join(part for part in parts if part)
