"""A run as it stands, for people: how it ended, the failure first, then its steps and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent.cli.runs._fold import TIMES, folded, folded_name
from assent.cli.runs._output_text import output_lines, output_text
from assent.cli.terminal._style import DECISION_STYLE, RISK_STYLE, STATUS_STYLE, Paint
from assent.cli.terminal._table import table
from assent.errors import Json
from assent.spec.ids import CALL_STEP
from assent.spec.values.json_fields import Object, compact, mapping, text, written
from assent.spec.words.legible import both_ends, hanging, safe_line

if TYPE_CHECKING:
    from assent.runtime.service import answers

OUTPUT_WIDTH = 72
OUTPUTS_MAX = 4_000
"""Characters of a run's outputs that are shown: a few screens, and not a file in base64."""
DETAIL_LINES_MAX = 40

INPUT_WIDTH = 100
"""Characters of an input on a line."""


def is_call(run: answers.Run) -> bool:
    """One step that belongs to no workflow and no session: one line tells all of it."""
    return run.workflow is None and [step.name for step in run.steps] == [CALL_STEP]


def headline(run: answers.Run, *, paint: Paint) -> str:
    """`failed  release  run_01…`"""
    status = run.status
    name = (run.workflow or "") or ((run.steps[0].capability or "call") if is_call(run) else "session")
    return f"{paint(status.replace('_', ' '), STATUS_STYLE.get(status))}  {safe_line(name)}  {run.run_id}"


def failure(run: answers.Run, *, paint: Paint) -> str:
    """Why the run is as it is, both states of the world included where one could not be taken back; empty when nothing failed."""
    error = run.error
    if error is None:
        return ""
    where = error.path or ""
    message = f"step `{safe_line(where)}`: " if where and not is_call(run) else ""
    message += f"{hanging(error.message)}   [{safe_line(error.code)}]"
    lines = [f"{paint('error:', 'red')} {message}"]
    own = next((one.fault for one in run.steps if one.name == where), None)
    place = (own.path if own is not None else None) or ""
    if place not in ("", where) and f"`{place}`" not in message:
        lines.append(f"  {paint('-->', 'blue')} {safe_line(place or '')}")
    lines += details_lines(error.details, most=DETAIL_LINES_MAX)
    if error.hint:
        lines.append(f" {paint('help:', 'cyan')} {hanging(error.hint)}")
    return "\n".join(lines)


def details_lines(details: Object, *, most: int) -> list[str]:
    """The details of an error that say something, indented; of a text with many lines the last `most`."""
    return [
        line
        for key in sorted(details)
        if details[key] not in (None, "")
        for line in _detail(key, details[key], most)
    ]


def _detail(key: str, value: Json, most: int) -> list[str]:
    """A detail on a line, or what has several (a list, an error beside this one, what a compiler said) on lines of their own."""
    if isinstance(value, list) and len(value) > 1:
        value = "\n".join(safe_line(_item(one), 400) for one in value)
    elif isinstance(value, list):
        value = "".join(map(_item, value))
    elif isinstance(value, dict) and isinstance(value.get("message"), str):
        return _beside(key, value, most)
    said = written(value).rstrip("\n").split("\n")
    if len(said) == 1:
        return [f"  {safe_line(key)}: {safe_line(said[0], 400)}"]
    cut = [f"    … {len(said) - most} lines before"] if len(said) > most else []
    return [f"  {safe_line(key)}:", *cut, *(f"    {safe_line(one, 400)}" for one in said[-most:])]


def _item(value: Json) -> str:
    """One of a list: of a rule why it did or did not hold, of anything else its fields beside one another."""
    if not isinstance(value, dict):
        return written(value)
    if value.keys() >= {"rule", "decision", "because"}:
        return f"{value['rule']} ({value['decision']}): {value['because']}"
    return "  ".join(f"{name} {written(one)}" for name, one in value.items() if one not in (None, ""))


def _beside(key: str, error: Object, most: int) -> list[str]:
    """An error that is told of beside another one, as that of a step of `finally`."""
    where = f"step `{safe_line(text(error, 'path'))}`: " if text(error, "path") else ""
    lines = [
        f"  {safe_line(key)}: {where}{safe_line(text(error, 'message'), 400)}   [{safe_line(text(error, 'code'))}]"
    ]
    lines += [f"  {line}" for line in details_lines(mapping(error, "details"), most=most)]
    if text(error, "hint"):
        lines.append(f"    help: {safe_line(text(error, 'hint'), 400)}")
    return lines


def input_lines(inputs: Json, *, is_cut: bool) -> list[str]:
    """A line for each input, its control characters written out.

    What is cut shows both its ends: the end of a long command is as likely to be what counts.
    """
    if not isinstance(inputs, dict):
        return []
    values = {name: written(value) for name, value in inputs.items()}
    return [
        f"  {safe_line(name)}: {both_ends(value, INPUT_WIDTH) if is_cut else safe_line(value)}"
        for name, value in values.items()
    ]


def value_text(run: answers.Run) -> str:
    """What came out and nothing else: text as it is, all else as a line of JSON."""
    value = run.steps[0].gave if is_call(run) else run.outputs
    return value if isinstance(value, str) else f"{written(value)}\n"


def value_lines(value: Json, *, is_answer: bool = False) -> list[str]:
    """A value for people, indented: fields on lines of their own but for empty ones, and no more than a few screens of it.

    `is_answer`: somebody asked for it, so that an empty list in it says that there is none.
    """
    fields = (
        {name: one for name, one in value.items() if not is_empty(one) or (is_answer and one == [])}
        if isinstance(value, dict)
        else {"": value}
    )
    names = max((len(name) for name in fields), default=0)
    lines = []
    for name, one in fields.items():
        if isinstance(one, list) and len(one) > 1:
            lines += [f"  {safe_line(name)}".rstrip(), *(f"    {safe_line(written(item))}" for item in one)]
            continue
        text = "none" if one == [] else written(one)
        if "\n" in text.rstrip("\n"):
            lines += [
                f"  {safe_line(name)}".rstrip(),
                *(f"    {safe_line(line)}" for line in text.rstrip("\n").split("\n")),
            ]
        else:
            lines.append(f"  {safe_line(name):<{names}}  {safe_line(text.rstrip(chr(10)))}".rstrip())
    shown = "\n".join(lines)
    return lines if len(shown) <= OUTPUTS_MAX else [*shown[:OUTPUTS_MAX].split("\n"), "  …"]


def is_empty(value: Json) -> bool:
    """Nothing, or a mapping of which each part says nothing."""
    if isinstance(value, dict):
        return all(one in (0, False) or is_empty(one) for one in value.values())
    return value in (None, "", [])


def _call_text(run: answers.Run, paint: Paint) -> str:
    (step,) = run.steps
    risk = step.risk_level or ""
    said = [paint(risk, RISK_STYLE.get(risk)), f"rule {safe_line(step.rule)}" if step.rule else ""]
    if step.attempts > 1:
        said.append(f"{step.attempts} attempts")
    lines = ["  ".join([headline(run, paint=paint), *(word for word in said if word)])]
    wrong = failure(run, paint=paint)
    return "\n".join(
        [
            *lines,
            *([wrong] if wrong else []),
            *(_gave_lines(step) if step.gave not in (None, {}) else []),
        ]
    )


def _gave_lines(step: answers.Step) -> list[str]:
    told = output_lines(step.gave)
    if len(told) > 1:
        return [f"  {safe_line(line)}" for line in told]
    return value_lines(step.gave, is_answer=step.undo == "not_needed")


def steps_table(run: answers.Run, *, paint: Paint) -> str:
    """One line per step, in the workflow's order; those that went wrong are marked.

    Iterations of a `foreach` that went alike share a line.
    """
    rows = []
    for group in folded(run.steps, _likeness):
        step = group[0]
        status, decision, risk = step.status, (step.decision or ""), (step.risk_level or "")
        attempts = step.attempts
        wrong = STATUS_STYLE.get(status) == "red"
        error = step.fault
        times = f"{len(group)} {TIMES} " if len(group) > 1 else ""
        output = "" if len(group) > 1 else _output(step)
        rows.append(
            [
                paint("!", "red") if wrong else " ",
                safe_line(folded_name(group)) + ("  (finally)" if step.in_finally is True else ""),
                times + paint(status.replace("_", " "), STATUS_STYLE.get(status)),
                safe_line(step.capability or ""),
                paint(risk, RISK_STYLE.get(risk)),
                paint(decision, DECISION_STYLE.get(decision)),
                safe_line(step.rule or ""),
                str(attempts) if attempts > 1 else "",
                safe_line(error.message, OUTPUT_WIDTH) if error else output,
            ]
        )
    head = [" ", "step", "status", "capability", "risk", "decision", "rule", "attempts", "output"]
    return table(rows, head=head, paint=paint, indent="  ")


def _likeness(step: answers.Step) -> tuple[str, ...] | None:
    """What iterations have to share to be told in one line. What went wrong is told on its own."""
    if STATUS_STYLE.get(step.status) == "red" or step.fault is not None:
        return None
    told = (
        step.status,
        step.capability,
        step.risk_level,
        step.decision,
        step.rule,
        step.attempts,
        step.in_finally,
    )
    return tuple(map(str, told))


def _output(step: answers.Step) -> str:
    return safe_line(output_text(step.gave), OUTPUT_WIDTH)


def is_cut(run: answers.Run) -> bool:
    """Whether more came out of the run than `result_text` shows."""
    if is_call(run):
        return _gave_lines(run.steps[0])[-1:] == ["  …"]
    return len(compact(run.outputs)) > OUTPUTS_MAX


def result_text(run: answers.Run, *, paint: Paint) -> str:
    """Everything about the run that fits a screen; of a single call each fact once."""
    if is_call(run):
        return _call_text(run, paint)
    blocks = [headline(run, paint=paint)]
    wrong = failure(run, paint=paint)
    if wrong:
        blocks.append(wrong)
    steps = steps_table(run, paint=paint)
    if steps:
        blocks.append(steps)
    tail = []
    outputs = run.outputs
    if outputs not in (None, {}):
        tail.append(f"outputs  {safe_line(compact(outputs), OUTPUTS_MAX)}")
    tail.append(paint(f"ledger   {run.ledger.size} entries, root {run.ledger.root}", "dim"))
    blocks.append("\n".join(tail))
    return "\n\n".join(blocks)
