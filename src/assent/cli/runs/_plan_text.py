"""A plan for people: the summary first and last, what changes in between, what changes nothing out of the way."""

from __future__ import annotations

import shlex
from typing import Final

from assent.cli._exit import is_change, is_unknown
from assent.cli.runs._fold import TIMES, folded, folded_name
from assent.cli.runs._result_text import DETAIL_LINES_MAX, details_lines
from assent.cli.terminal._diff import deleted, diff_text, size_words
from assent.cli.terminal._json import Object, mapping, number, objects, text, texts
from assent.cli.terminal._style import DECISION_STYLE, RISK_STYLE, Paint, safe, safe_line
from assent.cli.terminal._table import table
from assent.cli.terminal._units import duration_text
from assent.spec.sizes import count_text

TARGET_WIDTH: Final = 48
"""Characters of a target in the table; the diff below names it whole."""

SAID_LINES_MAX: Final = 10
"""Of what a program said before it failed, where no detail is asked for."""

_DECISIONS: Final = {"ALLOW": "allow", "DENY": "deny", "REQUIRE_APPROVAL": "ASK", "UNKNOWN": "can't tell"}
_UNDO: Final = {
    "not_needed": "nothing to undo",
    "automatic": "undo automatic",
    "compensation": "undo by compensation",
    "none": "NO UNDO",
}


def plan_text(plan: Object, *, paint: Paint, detail: str | None, run: str, show: str) -> str:
    """The plan. `detail`: the step whose whole diff is shown; `run` and `show` are the commands to go on with.

    Iterations of a `foreach` that are planned alike share a row and show one diff, unless a detail is asked for.
    """
    steps = objects(plan, "steps")
    groups = folded(steps, _likeness) if detail is None else [[step] for step in steps]
    head = (
        f"{paint('Plan', 'bold')} {text(plan, 'plan_id')}  {safe_line(text(plan, 'workflow') or 'one call')}"
    )
    summary = summary_text(steps)
    blocks = [
        f"{head}\n{summary}",
        table(_rows(groups, paint), paint=paint),
    ]
    blocks += [diff for group in groups if (diff := _diff(group, paint=paint, detail=detail, show=show))]
    if len(steps) > 5 or len(blocks) > 2:
        blocks.append(summary)
    blocks.append(f"run it as planned: {run}")
    return "\n\n".join(blocks)


def _likeness(step: Object) -> tuple[str, ...] | None:
    """What iterations have to share to be planned in one row. What would fail has its own."""
    if step.get("error"):
        return None
    told = ("capability", "version", "operation_type", "risk_level", "decision", "rule", "undo")
    shared = [text(step, key) for key in told]
    return (*shared, _approvers(mapping(step, "approvers")), str(is_change(step)), str(is_unknown(step)))


def _rows(groups: list[list[Object]], paint: Paint) -> list[list[str]]:
    """One row per group, numbered by its first step."""
    rows, following = [], 1
    for group in groups:
        rows.append(_row(following, group, paint))
        following += len(group)
    return rows


def _row(number_: int, group: list[Object], paint: Paint) -> list[str]:
    step = group[0]
    times = f"  {TIMES} {len(group)}" if len(group) > 1 else ""
    decision, risk, undo = text(step, "decision"), text(step, "risk_level"), text(step, "undo")
    rule = text(step, "rule")
    return [
        _sign(step, paint),
        str(number_),
        safe_line(folded_name(group)) + times,
        safe_line(text(step, "capability") or "approval"),
        _target(group),
        paint(risk, RISK_STYLE.get(risk)),
        paint(_DECISIONS.get(decision, decision), DECISION_STYLE.get(decision)),
        (f"rule {safe_line(rule)}" if rule else "") + _approvers(mapping(step, "approvers")),
        paint(_UNDO.get(undo, undo), "red" if undo == "none" else "dim"),
        _size(group),
    ]


def _target(group: list[Object]) -> str:
    """What the step acts on; of several alike, the first."""
    target = text(group[0], "target")
    shown = target if len(target) <= TARGET_WIDTH else f"{target[: TARGET_WIDTH - 3]}..."
    return safe_line(shown) + (", ..." if target and len(group) > 1 else "")


def _sign(step: Object, paint: Paint) -> str:
    """`!` needs a look before it runs, `?` not known yet, `-` deletes, `~` changes; the same in words further right."""
    if text(step, "decision") == "DENY" or text(step, "undo") == "none" or step.get("error"):
        return paint("!", "red")
    if is_unknown(step) or text(step, "decision") == "UNKNOWN":
        return paint("?", "yellow")
    if not is_change(step):
        return " "
    return paint("-", "red") if _deletes(step) else paint("~", "yellow")


def _deletes(step: Object) -> bool:
    """Whether something is no more after the step, by what it is or by what its preview shows."""
    return text(step, "operation_type") == "DELETE" or deleted(_preview(step)) > 0


def _preview(step: Object) -> str:
    return text(mapping(step, "preview"), "diff")


def _size(group: list[Object]) -> str:
    step = group[0]
    error = mapping(step, "error")
    if error:
        return safe_line(f"would fail: {text(error, 'message')}", 60)
    if is_unknown(step):
        return "known only when it runs"
    return size_words(map(_preview, group))


def _approvers(approvers: Object) -> str:
    if not approvers:
        return ""
    return f" -> {approvers_text(approvers)}"


def approvers_text(approvers: Object) -> str:
    """Who must agree, in words: `2 of role operator, not the requester`."""
    count = number(approvers, "count") or 1
    roles, kinds = texts(approvers, "roles"), texts(approvers, "kinds")
    who = f"role {' or '.join(roles)}" if roles else "any " + (" or ".join(kinds) or "user")
    words = [who if count == 1 else f"{count} of {who}"]
    if approvers.get("not_requester") is True:
        words.append("not the requester")
    expires = number(approvers, "expires_ms")
    if expires is not None:
        words.append(f"within {duration_text(expires)}")
    return safe_line(", ".join(words))


def _failure(step: Object, paint: Paint, *, most: int) -> str:
    """Why the step would fail, whole: its row has room for the beginning. Of what a program said the last `most` lines."""
    error = mapping(step, "error")
    lines = [
        paint(safe_line(text(step, "name")), "bold"),
        f"  would fail: {safe(text(error, 'message'))}   [{safe_line(text(error, 'code'))}]",
    ]
    lines += [f"  {line}" for line in details_lines(mapping(error, "details"), most=most)]
    if hint := text(error, "hint"):
        lines.append(f"  {paint('help:', 'cyan')} {safe(hint)}")
    return "\n".join(lines)


def _diff(group: list[Object], *, paint: Paint, detail: str | None, show: str) -> str:
    """The first diff of the group, and how to see the others; or why it would fail."""
    if group[0].get("error"):
        if detail not in (None, text(group[0], "name")):
            return ""
        return _failure(group[0], paint, most=DETAIL_LINES_MAX if detail else SAID_LINES_MAX)
    shown = [step for step in group if text(mapping(step, "preview"), "diff")]
    if not shown or (detail is not None and detail != text(shown[0], "name")):
        return ""
    names = [text(step, "name") for step in shown]
    fold = None if detail is not None else f"{show} --detail {shlex.quote(names[0])}"
    diff = text(mapping(shown[0], "preview"), "diff")
    block = f"{paint(safe_line(names[0]), 'bold')}\n{diff_text(diff, paint=paint, indent='  ', fold=fold)}"
    if len(names) > 1:
        more = f"… {len(names) - 1} more of `{safe_line(folded_name(group))}`: {show} --detail {shlex.quote(names[1])}"
        block += f"\n  {paint(more, 'dim')}"
    return block


def summary_text(steps: list[Object]) -> str:
    """What the plan comes to, in three sentences: what it would do, how much can be undone, where it would stop."""
    sound = [step for step in steps if not step.get("error")]
    failing = [text(step, "name") for step in steps if step.get("error")]
    reads = sum(1 for step in sound if not is_change(step))
    deletes = sum(1 for step in sound if is_change(step) and _deletes(step))
    changes = len(sound) - reads - deletes
    done = [
        f"{reads} without change" if reads else "",
        _count(changes, "change"),
        _count(deletes, "deletion"),
    ]
    done.append(_count(len(failing), "failure"))
    undo = [text(step, "undo") for step in sound]
    ways = [
        f"{undo.count('automatic')} automatic" if "automatic" in undo else "",
        f"{undo.count('compensation')} by compensation" if "compensation" in undo else "",
        f"{undo.count('none')} NOT possible ({_names(sound, 'undo', 'none')})" if "none" in undo else "",
    ]
    lines = [f"Would: {_listed(done) or 'nothing'}.  Undo: {_listed(ways) or 'nothing to undo'}."]
    unknown = [
        text(step, "name") for step in steps if is_unknown(step) or text(step, "decision") == "UNKNOWN"
    ]
    if unknown:
        lines.append(f"Can't be known before it runs: {safe_line(', '.join(unknown))}.")
    asks = sum(1 for step in steps if text(step, "decision") == "REQUIRE_APPROVAL")
    denied = [text(step, "name") for step in steps if text(step, "decision") == "DENY"]
    if denied:
        lines.append(
            f"{_count(asks, 'approval')}, {_count(len(denied), 'denial')}: it would stop at `{safe_line(denied[0])}`."
        )
    elif asks:
        lines.append(f"{_count(asks, 'approval')} needed.")
    if failing:
        lines.append(f"It would fail at `{safe_line(failing[0])}`.")
    return "\n".join(line.removeprefix(", ") for line in lines)


def _names(steps: list[Object], key: str, value: str) -> str:
    return safe_line(", ".join(text(step, "name") for step in steps if text(step, key) == value))


def _count(count: int, word: str) -> str:
    return count_text(count, word) if count else ""


def _listed(parts: list[str]) -> str:
    return ", ".join(part for part in parts if part)
