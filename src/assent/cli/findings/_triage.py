"""`assent findings triage`, `gc` and `delete`: acts that the policy decides about, and that can be undone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import click
from msgspec import to_builtins

from assent.cli._arguments import OneOf
from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import OK, worst
from assent.cli.findings._options import STATUSES, F, filters, meant, project_option, project_said
from assent.cli.runs._drive import call, read_wait
from assent.cli.runs._run import wait_option
from assent.errors import InputError
from assent.runtime.service import requests
from assent.spec.words.legible import safe_line

_NARROWING: Final = (
    "severities", "statuses", "suppressed", "detectors", "tools", "run", "owned_by", "tagged", "text",
)  # fmt: skip
_DECISIONS: Final = {"DENY": "denied", "REQUIRE_APPROVAL": "asked about", "UNKNOWN": "decided about then"}
apply_option: Final = click.option(
    "--apply", "is_meant", is_flag=True, help="Remove it; without this it is only shown."
)


@command("triage", short_help="Decide about findings: status, owner, tags, notes, suppression.")
@click.argument("findings", nargs=-1, metavar="[FINDING]...")
@filters(owner="--owned-by", tag="--tagged")
@click.option("--set", "status", type=OneOf(STATUSES), help="They have come so far.")
@click.option("--owner", metavar="WHO", help="Whose they are from now on; '' for nobody's.")
@click.option("--tag", "add_tags", multiple=True, metavar="TAG", help="Add a tag.")
@click.option("--untag", "remove_tags", multiple=True, metavar="TAG", help="Remove a tag.")
@click.option("--note", metavar="TEXT", help="Write something behind the other notes.")
@click.option("--suppress", metavar="REASON", help="Tell of them no more, for this reason.")
@click.option(
    "--until",
    metavar="TIME",
    help="Suppress to the end of that day (`2027-01-31`, in UTC) or until that moment (RFC 3339); without it, for good.",
)
@click.option(
    "--scope",
    type=OneOf(("finding", "detector", "resource")),
    help="Suppress each alone, or all of its rule or its resource, also what comes later.",
)
@click.option("--unsuppress", is_flag=True, help="Tell of them again; chosen from what is suppressed.")
@click.option("--dry-run", is_flag=True, help="Show how many and the worst of them, and decide nothing.")
@wait_option
def triage(
    door: Door,
    /,
    findings: tuple[str, ...],
    *,
    suppress: str | None,
    until: str | None,
    scope: str | None,
    dry_run: bool,
    wait: str | None,
    **said: Any,  # `Any`: options
) -> int:
    """Decide about each FINDING (the beginning of its id is enough), or about all that fit, which are chosen as by `list`.

    It is a call of `findings.triage`: recorded with who decided, and undone by `assent undo RUN`. It sticks to the finding when
    later runs find it again.
    """
    is_matching = any(said[name] for name in _NARROWING)
    if said["unsuppress"] and not said["statuses"]:
        said["suppressed"] = True
    fields = meant(said)
    if bool(findings) == is_matching:
        raise InputError(
            "USAGE_INVALID",
            "name findings, or say which fit",
            hint="for example `--detector ID`, or an id of `assent findings list`",
        )
    if (until or scope) and suppress is None:
        raise InputError("USAGE_INVALID", "`--until` and `--scope` need `--suppress REASON`")
    parameters: dict[str, Any] = {
        name: value for name, value in said.items() if value not in (None, (), False)
    }
    if not parameters and suppress is None:
        raise InputError(
            "USAGE_INVALID",
            "nothing is decided",
            hint="say `--set STATUS`, `--owner`, `--tag`, `--untag`, `--note`, `--suppress` or `--unsuppress`",
        )
    if suppress is not None:
        rest = {"until": until, "scope": scope}
        parameters["suppress"] = {
            "reason": suppress,
            **{name: value for name, value in rest.items() if value},
        }
    parameters["project"] = fields.pop("project")
    if is_matching:
        if fields["run"] is not None:
            brought = door.perform(requests.Datasets(run=fields["run"])).datasets
            fields["run"] = brought[0].run_id if brought else fields["run"]
        parameters["matching"] = fields
        parameters["project"] = parameters["project"] or door.perform(requests.Findings(limit=1)).project_id
    else:
        found = [door.perform(requests.Finding(finding=one)).finding for one in findings]
        parameters["project"] = parameters["project"] or str(found[0]["project_id"])
        parameters["findings"] = [str(one["id"]) for one in found]
    parameters["project"] = project_said(door, parameters["project"])
    return _act(door, "findings.triage", parameters, wait, is_meant=not dry_run, shown="nothing was decided")


def _days(name: str, default: int, words: str) -> Callable[[F], F]:
    return click.option(name, type=click.IntRange(1, 36_500), default=default, show_default=True, help=words)


@command("gc", short_help="Remove what was not seen for long; shows it first.")
@project_option
@_days("--findings-days", 180, "Findings not seen for so long.")
@_days("--runs-days", 90, "Datasets of runs that are so old.")
@apply_option
@wait_option
def gc(
    door: Door, *, project: str | None, findings_days: int, runs_days: int, is_meant: bool, wait: str | None
) -> int:
    """Remove findings that were not seen for long and datasets of old runs. Without `--apply`, only what would go is shown.

    Without `--project` of every project, each in a call of its own. What unfinished runs brought stays, and so does what
    somebody has begun to work on.
    """
    if project is not None:
        projects = [project_said(door, project)]
    else:
        projects = [one.name or one.project_id for one in door.perform(requests.Projects()).projects]
    if not projects:
        door.out.note("there is no project yet")
    return worst(
        [
            _act(
                door,
                "findings.gc",
                {"project": one, "findings_days": findings_days, "runs_days": runs_days},
                wait,
                is_meant=is_meant,
            )
            for one in projects
        ]
    )


@command("delete", short_help="Remove a project with all its findings.")
@click.argument("project")
@apply_option
@wait_option
def delete(door: Door, project: str, *, is_meant: bool, wait: str | None) -> int:
    """Remove PROJECT with its findings, datasets and decisions. Without `--apply`, only what would go is shown."""
    return _act(
        door, "findings.delete_project", {"project": project_said(door, project)}, wait, is_meant=is_meant
    )


def _act(
    door: Door,
    capability: str,
    parameters: dict[str, Any],
    wait: str | None,
    *,
    is_meant: bool,
    shown: str = "nothing was removed: say --apply",
) -> int:
    """Call it, after a plan has shown that it can be and changes something; where it isn't meant, the plan is all there is.

    So what can't be is refused before anything is recorded, and nobody is asked to approve nothing. A plan goes with its day.
    """
    wait_ms = read_wait(wait)
    parameters = json.loads(json.dumps(parameters))  # lists, as a call has them, where click gives tuples
    step = {"name": "act", "capability": capability, "inputs": parameters}
    plan = door.perform(requests.Plan(text=json.dumps({"name": "act", "steps": [step]}), source=""))
    planned = plan.steps[0]
    if planned.error is not None and planned.decision != "DENY":
        raise InputError.from_dict(to_builtins(planned.error))
    if is_meant and (planned.changes or planned.decision == "DENY"):
        return call(door, capability, parameters, wait_ms=wait_ms)
    door.out.tell(plan, lambda: planned.preview.diff or "")
    if not planned.changes:
        shown = (
            "nothing is to be done: it is so already"
            if capability == "findings.triage"
            else "there is nothing to remove"
        )
    if planned.decision != "ALLOW":
        door.out.note(f"it would be {_DECISIONS[planned.decision]}: {safe_line(planned.reason)}")
    door.out.note(shown)
    return OK
