"""`assent policy`: check a policy before it decides, explain one decision, test it as code is tested."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from assent.cli._arguments import parameter_schemas, read_arguments, read_text
from assent.cli._command import command, group
from assent.cli._completion import complete_capability
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK, USAGE
from assent.cli._json import Object, mapping, objects, text, texts
from assent.cli._plan_text import approvers_text
from assent.cli._style import DECISION_STYLE, Paint, safe, safe_line
from assent.cli._table import table
from assent.errors import InputError

if TYPE_CHECKING:
    from assent.spec.capability import CapabilitySpec

file_argument = click.argument("file", type=click.Path(path_type=Path), required=False)


@command(
    "check", watches=False, short_help="Find mistakes in a policy file, and rules that can never decide."
)
@file_argument
def check(door: Door, file: Path | None) -> int:
    """Find mistakes in FILE (by default the configured policy), and rules that can never decide. Exit 2 when it can't be used."""
    from assent.policy import check as check_policy

    path = _policy_file(door, file)
    content = read_text(door.cwd / path, what="the policy")
    findings = [found.to_json() for found in check_policy(content, str(path), _known(door))]
    broken = any(text(found, "severity") == "error" for found in findings)
    if door.out.is_json:
        door.out.object({"path": str(path), "ok": not broken, "findings": [*findings]})
    elif not findings:
        door.out.answer(f"{path}: nothing found")
    else:
        paint = door.out.paint()
        door.out.answer("\n\n".join(_finding(found, paint) for found in findings))
    return USAGE if broken else OK


def _known(door: Door) -> list[CapabilitySpec]:
    return door.facade.capabilities(door.settings).list()


def _policy_file(door: Door, file: Path | None) -> Path:
    found = file or door.settings.policy_path
    if found is None:
        raise InputError(
            "USAGE_INVALID",
            "no policy is configured here",
            hint=f"name one: {door.command('policy', 'check', 'FILE')}",
        )
    return found


def _finding(found: Object, paint: Paint) -> str:
    severity = text(found, "severity")
    lines = [
        f"{paint(severity + ':', 'red' if severity == 'error' else 'yellow')} {safe(text(found, 'message'))}"
    ]
    if text(found, "path"):
        lines.append(f"  {paint('-->', 'blue')} {safe_line(text(found, 'path'))}")
    if text(found, "hint"):
        lines.append(f" {paint('help:', 'cyan')} {safe(text(found, 'hint'))}")
    return "\n".join(lines)


@command("explain", watches=False, short_help="Show which rule decides a call, and why no earlier one did.")
@click.argument("capability", shell_complete=complete_capability)
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--workflow", metavar="NAME", help="As a step of this workflow.")
@click.option("--environment", metavar="NAME", help="In this environment.")
@click.option(
    "--run-label",
    "labels",
    metavar="LABEL",
    multiple=True,
    help="After a call with this label in the same run, such as `reads_private`; may be given again.",
)
def explain(
    door: Door,
    capability: str,
    parameters: tuple[str, ...],
    *,
    workflow: str | None,
    environment: str | None,
    labels: tuple[str, ...],
) -> None:
    """Show which rule decides a call of CAPABILITY with these parameters, and why each earlier rule did not."""
    from assent.policy import PolicyContext
    from assent.system import SystemClock

    settings = door.settings
    spec = door.facade.capabilities(settings).resolve(capability)
    given = read_arguments(parameters, parameter_schemas(spec), cwd=door.cwd)
    context = PolicyContext.of(
        spec,
        settings.principal,
        given,
        workflow=workflow,
        environment=environment or settings.environment,
        run_labels=frozenset(labels),
        now_ms=SystemClock().now_ms(),
    )
    explained = door.facade.policy(settings).explain(context)
    if door.out.is_json:
        door.out.object(explained.to_json())
    else:
        door.out.answer(explanation_text(explained.to_json(), paint=door.out.paint()))


def explanation_text(data: Object, *, paint: Paint) -> str:
    """The answer first, then each rule that was passed over with its reason, then the nearest that would have changed it."""
    decision = text(data, "decision")
    facts = [
        ["rule", safe_line(text(data, "rule"))],
        ["reason", safe_line(text(data, "reason"))],
        ["code", text(data, "code")],
        ["approvers", approvers_text(mapping(data, "approvers")) if mapping(data, "approvers") else ""],
    ]
    head = (
        f"{paint(decision, DECISION_STYLE.get(decision))}  {safe_line(text(data, 'capability'))} "
        f"({text(data, 'risk_level')}) for {safe_line(text(data, 'principal'))}"
    )
    lines = [head, table([fact for fact in facts if fact[1]], paint=paint, indent="  ")]
    passed = [
        r
        for r in objects(data, "rules")
        if r.get("reached") is True and text(r, "rule") != text(data, "rule")
    ]
    if passed:
        rows = [
            [safe_line(text(rule, "rule")), text(rule, "decision"), safe_line(text(rule, "because"))]
            for rule in passed
        ]
        lines += ["", "passed over, in the order of the file:", table(rows, paint=paint, indent="  ")]
    nearest = mapping(data, "nearest")
    if nearest:
        missing = safe_line("; ".join(texts(nearest, "missing")))
        lines += [
            "",
            f"nearest: rule {safe_line(text(nearest, 'rule'))} would give {text(nearest, 'effect')}, but {missing}",
        ]
    return "\n".join(lines)


@command("test", watches=False, short_help="Run the cases beside a policy.")
@click.argument("file", type=click.Path(path_type=Path))
def test(door: Door, file: Path) -> int:
    """Put the cases in FILE to the policy in force: given this call, expect that decision. Exit 1 when one differs."""
    from assent.policy import load_cases, run_cases

    specs = {spec.id: spec for spec in _known(door)}
    cases = load_cases(read_text(door.cwd / file, what="the cases"), source=str(file), capabilities=specs)
    results = [result.to_json() for result in run_cases(door.facade.policy(door.settings), cases)]
    failed = [result for result in results if result["passed"] is not True]
    if door.out.is_json:
        door.out.object({"path": str(file), "ok": not failed, "cases": [*results]})
    else:
        paint = door.out.paint()
        for result in failed:
            door.out.answer(
                f"{paint('failed', 'red')}  {safe_line(text(result, 'name'))}  {safe_line(text(result, 'path'))}"
            )
            door.out.answer(f"  {safe(text(result, 'fault'))}")
        door.out.answer(f"{len(results) - len(failed)} of {len(results)} cases as expected")
    return FAILED if failed else OK


policy = group("policy", check, explain, test, help="Check, explain and test the policy.")
