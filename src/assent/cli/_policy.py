"""`assent policy`: check a policy before it decides, explain one decision, test it as code is tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from assent.cli._arguments import OneOf, read_text, split_arguments, time_ms
from assent.cli._command import command, group
from assent.cli._completion import complete_capability
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK, USAGE
from assent.cli.runs._plan_text import approvers_text
from assent.cli.terminal._error_text import fault_text
from assent.cli.terminal._style import DECISION_STYLE, Paint
from assent.cli.terminal._table import table
from assent.errors import InputError
from assent.policy import amount_text, used_text
from assent.runtime import service
from assent.spec.policy import Measure
from assent.spec.values.json_fields import Object
from assent.spec.words.durations import instant
from assent.spec.words.legible import hanging, safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.runtime.service import answers

file_argument = click.argument("file", type=click.Path(path_type=Path), required=False)


@command(
    "check", watches=False, short_help="Find mistakes in a policy file, and rules that can never decide."
)
@file_argument
def check(door: Door, file: Path | None) -> int:
    """Find mistakes in FILE (by default the configured policy), and rules that can never decide. Exit 2 when it can't be used."""
    path = _policy_file(door, file)
    is_configured = door.settings.policy_path == door.cwd / path
    text = None if is_configured else read_text(door.cwd / path, what="the policy")
    checked = door.perform(service.requests.CheckPolicy(path=str(path), text=text))
    findings = checked.findings
    if door.out.is_json:
        door.out.object(checked)
    else:
        paint = door.out.paint()
        told = [_finding(found, paint) for found in findings]
        if all(found.severity == "note" for found in findings):
            parts = [count_text(checked.rules or 0, "rule")]
            parts += [count_text(checked.constraints, "constraint")] if checked.constraints else []
            parts += [count_text(checked.limits, "limit")] if checked.limits else []
            told.append(f"{path}: {', '.join(parts)}, no faults")
        door.out.answer("\n\n".join(told))
    return OK if checked.ok else USAGE


def _policy_file(door: Door, file: Path | None) -> Path:
    found = file or door.settings.policy_path
    if found is None:
        raise InputError(
            "USAGE_INVALID",
            "no policy is configured here",
            hint=f"name one: {door.command('policy', 'check', 'FILE')}",
        )
    return found


_SEVERITY_STYLE = {"error": "red", "warning": "yellow", "note": "cyan"}


def _finding(found: answers.Finding, paint: Paint) -> str:
    severity = found.severity
    fault: Object = {
        "message": found.message,
        "path": found.path,
        "hint": found.hint,
        "details": {"length": found.length},
    }
    return fault_text(fault, paint=paint, head=paint(f"{severity}:", _SEVERITY_STYLE[severity]))


@command("explain", watches=False, short_help="Show which rule decides a call, and why no earlier one did.")
@click.argument("what", metavar="CAPABILITY|RUN", shell_complete=complete_capability)
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...|[STEP]")
@click.option("--workflow", metavar="NAME", help="As a step of this workflow.")
@click.option("--step", metavar="NAME", help="As the step of this name.")
@click.option("--environment", metavar="NAME", help="In this environment.")
@click.option(
    "--run-label",
    "labels",
    metavar="LABEL",
    multiple=True,
    help="After a call with this label in the same run, such as `reads_private`; may be given again.",
)
@click.option("--session", is_flag=True, help="As a call in an agent's session.")
@click.option(
    "--risk-level",
    type=OneOf(["LOW", "MEDIUM", "HIGH", "CRITICAL"], case_sensitive=False),
    help="As a step whose `risk_level` raises the risk to this.",
)
@click.option("--no-undo", is_flag=True, help="As a step with `undo: none`.")
def explain(
    door: Door,
    what: str,
    parameters: tuple[str, ...],
    *,
    workflow: str | None,
    step: str | None,
    environment: str | None,
    labels: tuple[str, ...],
    session: bool,
    risk_level: Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"] | None,
    no_undo: bool,
) -> None:
    """Show which rule decides a call of CAPABILITY with these parameters, and why each earlier rule did not.

    Of a RUN that is on record, or one STEP of it: which rule decided then, by the policy and the roles that held then.
    """
    if "." not in what:  # as no id of a run has one, and that of every capability
        _explain_decisions(door, what, parameters)
        return
    given, words = split_arguments(parameters, door)
    explained = door.perform(
        service.requests.ExplainPolicy(
            capability=what,
            parameters=given,
            words=words,
            workflow=workflow,
            step=step,
            environment=environment,
            run_labels=labels,
            mode="session" if session else "workflow",
            risk_level=risk_level,
            keeps_undo=not no_undo,
        )
    )
    if door.out.is_json:
        door.out.object(explained)
    else:
        door.out.answer(explanation_text(explained, paint=door.out.paint()))
        if not explained.complete:
            door.out.note("no call has just these parameters: a rule that reads others may answer otherwise")


def _explain_decisions(door: Door, run: str, steps: tuple[str, ...]) -> None:
    if len(steps) > 1:
        raise InputError("USAGE_INVALID", "one step at a time: `assent policy explain RUN STEP`")
    step = steps[0] if steps else None
    told = door.perform(service.requests.ExplainDecisions(run=run, step=step))
    if door.out.is_json:
        door.out.object(told)
        return
    paint = door.out.paint()
    if not told.decisions:
        door.out.answer("the gate was asked nothing about this run")
    elif step is None:
        rows = [
            [
                safe_line(one.step),
                safe_line(one.capability),
                paint(one.decision, DECISION_STYLE.get(one.decision)),
                safe_line(one.rule),
                safe_line(_why(one)),
            ]
            for one in told.decisions
        ]
        door.out.answer(table(rows, paint=paint))
        door.out.note(
            f"why each earlier rule did not decide: `{door.command('policy', 'explain')} {run} STEP`"
        )
    else:
        door.out.answer("\n\n".join(_decision_text(one, paint) for one in told.decisions))


_MISSING = {
    "context_not_kept": "an earlier Assent recorded it, which did not keep what the gate was asked with",
    "policy_not_kept": "an earlier Assent recorded it, which did not keep the policy",
    "erased": "what the gate was asked with was erased",
    "consequence": "it was answered for what the call may lead to, not for the call",
    "unknown_inputs": "it depended on inputs that nobody knew yet, so a person was asked",
}
_OTHERWISE = "the policy answers otherwise to this question: it could not be read then, or the time that a rule reads had passed"


def _why(one: answers.DecisionExplained) -> str:
    """The reason of a recorded answer, or why it can't be told."""
    if one.explained is None:
        return f"can't be explained: {_MISSING[one.missing or 'erased']}"
    return one.explained.reason if one.agrees else f"can't be explained: {_OTHERWISE}"


def _decision_text(one: answers.DecisionExplained, paint: Paint) -> str:
    asked = one.asked
    about = (
        f" about {safe_line(one.capability)}, to which it may lead"
        if one.kind == "consequence.decided"
        else ""
    )
    told = f"{one.decision} by rule {safe_line(one.rule)}{about}"
    lines = [f"entry {one.seq}, {instant(one.at_ms)}, policy {one.policy[:12]}: {told}"]
    if asked is not None:
        facts = [
            ["roles", " ".join(asked.roles)],
            ["labels", " ".join(asked.labels)],
            ["read or sent before", " ".join(asked.run_labels)],
            ["workflow", asked.workflow],
            ["environment", asked.environment],
        ]
        shown = [[name, safe_line(value)] for name, value in facts if value]
        if shown:
            lines.append(table(shown, paint=paint, indent="  "))
    if one.explained is not None and one.agrees:
        lines.append(explanation_text(one.explained, paint=paint))
    else:
        lines.append(f"  {_why(one)}")
    return "\n".join(lines)


def explanation_text(data: answers.Explained, *, paint: Paint) -> str:
    """The answer first, then each rule that was passed over with its reason, then the nearest that would have changed it."""
    decision, who = data.decision, data.approvers
    facts = [
        ["rule", safe_line(data.rule)],
        ["reason", safe_line(data.reason)],
        ["code", (data.code or "")],
        ["approvers", approvers_text(who, who.expires_ms) if who is not None else ""],
    ]
    head = (
        f"{paint(decision, DECISION_STYLE.get(decision))}  {safe_line(data.capability)} "
        f"({data.risk_level}) for {safe_line(data.principal)}"
    )
    lines = [head, table([fact for fact in facts if fact[1]], paint=paint, indent="  ")]
    passed = [r for r in data.rules if r.reached and r.rule != data.rule]
    if passed:
        rows = [[safe_line(rule.rule), rule.decision, safe_line(rule.because)] for rule in passed]
        no_near = {"AGENT_REFUSED", "INPUTS_NOT_ALLOWED", "LIMIT_REACHED"}
        head = "the rules" if data.code in no_near else "passed over"
        lines += ["", f"{head}, in the order of the file:", table(rows, paint=paint, indent="  ")]
    if data.constraints:
        rows = [[safe_line(one.constraint), safe_line(one.because)] for one in data.constraints]
        lines += ["", "constraints:", table(rows, paint=paint, indent="  ")]
    if data.limits:
        rows = [[safe_line(one.limit), _use_text(one)] for one in data.limits]
        lines += ["", "limits:", table(rows, paint=paint, indent="  ")]
    nearest = data.nearest
    if nearest is not None:
        missing = safe_line("; ".join(nearest.missing))
        lines += [
            "",
            f"nearest: rule {safe_line(nearest.rule)} would give {nearest.effect}, but {missing}",
        ]
    return "\n".join(lines)


def _use_text(one: answers.LimitReport) -> str:
    of = Measure(one.of)
    told = f"{used_text(of, one.used, one.most)} used, this one takes {amount_text(of, one.takes)}"
    return told if one.opens_at_ms is None else f"{told}: fits from {instant(one.opens_at_ms)}"


since_option = click.option(
    "--since", metavar="TIME", help="Only calls since then: `2h`, `7d`, or `2026-11-21[T07:00]` in UTC."
)


@command("simulate", watches=False, short_help="Show what a draft would have decided about recorded calls.")
@click.argument("draft", type=click.Path(path_type=Path))
@since_option
def simulate(door: Door, draft: Path, since: str | None) -> None:
    """Put every call on record to the policy in DRAFT, and show which it would have decided otherwise. Touches nothing."""
    text = read_text(door.cwd / draft, what="the policy")
    since_ms = time_ms(since) if since is not None else 0
    told = door.perform(service.requests.SimulatePolicy(text=text, path=str(draft), since_ms=since_ms))
    door.out.tell(told, lambda: _simulation_text(told, door.out.paint()))


def _simulation_text(told: answers.Simulated, paint: Paint) -> str:
    calls = f"{told.calls} call{'' if told.calls == 1 else 's'} on record"
    lines = [f"{calls}: {told.changed} would be decided otherwise"]
    lines += [f"  {count} not asked: {_MISSING[why]}" for why, count in told.unknown.items() if count]
    for change in told.changes:
        was, now = (paint(one, DECISION_STYLE.get(one)) for one in (change.was, change.to))
        rules = f"rule {safe_line(change.was_rule)} -> {safe_line(change.to_rule)}"
        lines += ["", f"{change.count}  {was} -> {now}  ({rules})"]
        rows = [
            [one.run_id, safe_line(one.step), safe_line(one.capability), safe_line(one.principal)]
            for one in change.examples
        ]
        lines.append(table(rows, paint=paint, indent="  "))
    return "\n".join(lines)


@command("suggest", watches=False, short_help="Suggest rules for what people always approved.")
@click.option(
    "--least",
    type=click.IntRange(min=1),
    default=3,
    metavar="N",
    help="Approved so often at least (default 3).",
)
@since_option
def suggest(door: Door, *, least: int, since: str | None) -> None:
    """Suggest rules to paste for what people always approved and never refused, and tell what each would have decided.

    One rule for each principal, capability, risk and workflow, narrowed to the inputs that all of them had in common. What is
    CRITICAL is left out: a person is to look at it each time. Touches nothing.
    """
    since_ms = time_ms(since) if since is not None else 0
    told = door.perform(service.requests.SuggestPolicy(least=least, since_ms=since_ms))
    if door.out.is_json:
        door.out.object(told)
        return
    parts = [_suggestion_text(one) for one in told.rules]
    parts += [
        f"not suggested: {safe_line(one.capability)} for {safe_line(one.principal)}, approved {one.approved} times: "
        "what is CRITICAL is looked at each time"
        for one in told.left_out
    ]
    door.out.answer("\n\n".join(parts) or f"nothing was approved {least} times or more without a refusal")


def _suggestion_text(one: answers.SuggestedRule) -> str:
    rule = one.rule
    if "if" not in rule or "inputs." not in str(rule["if"]):
        narrow = "; it allows any inputs: these had none in common"
    else:
        narrow = ""
    lines = [
        f"# approved {one.approved} times, never refused{narrow}",
        f"# put first, it would have decided {one.changed} of {one.calls} recorded calls otherwise",
        f"- id: {rule['id']}",
    ]
    lines += [
        f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in rule.items() if key != "id"
    ]
    return "\n".join(lines)


@command("test", watches=False, short_help="Run the cases beside a policy.")
@click.argument("file", type=click.Path(path_type=Path))
def test(door: Door, file: Path) -> int:
    """Put the cases in FILE to the policy in force: given this call, expect that decision. Exit 1 when one differs."""
    cases = read_text(door.cwd / file, what="the cases")
    tested = door.perform(service.requests.TestPolicy(text=cases, path=str(file)))
    failed = [result for result in tested.cases if not result.passed]
    if door.out.is_json:
        door.out.object(tested)
    else:
        paint = door.out.paint()
        for result in failed:
            door.out.answer(f"{paint('failed', 'red')}  {safe_line(result.name)}  {safe_line(result.path)}")
            door.out.answer(f"  {hanging(result.fault or '')}")
        door.out.answer(f"{len(tested.cases) - len(failed)} of {len(tested.cases)} cases as expected")
    return OK if tested.ok else FAILED


policy = group(
    "policy",
    check,
    explain,
    simulate,
    suggest,
    test,
    help="Check, explain, simulate, suggest and test the policy.",
)
