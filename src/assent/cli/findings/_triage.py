"""`assent findings triage`, `gc` and `delete`: acts that the policy decides about, and that can be undone."""

from __future__ import annotations

import json
from typing import Any

import click
from msgspec import to_builtins

from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import worst
from assent.cli.findings._options import STATUSES, project_option, project_said
from assent.cli.runs._drive import call, read_wait
from assent.cli.runs._run import wait_option
from assent.errors import InputError
from assent.runtime.service import requests
from assent.spec.words.severities import SEVERITIES


@command("triage", short_help="Decide about findings: status, owner, tags, notes, suppression.")
@click.argument("findings", nargs=-1, metavar="[FINDING]...")
@project_option
@click.option(
    "--severity",
    "severities",
    multiple=True,
    type=click.Choice(SEVERITIES),
    help="Instead of naming them: all of these.",
)
@click.option("--detector", "detectors", multiple=True, metavar="ID", help="And only of this rule.")
@click.option("--tool", "tools", multiple=True, metavar="NAME", help="And only what this tool found.")
@click.option("--run", "run", metavar="RUN", help="And only what this run brought.")
@click.option("--text", metavar="TEXT", help="And only with this in title, resource or rule.")
@click.option("--set", "status", type=click.Choice(STATUSES), help="They have come so far.")
@click.option("--owner", metavar="WHO", help="Whose they are from now on; '' for nobody's.")
@click.option("--tag", "add_tags", multiple=True, metavar="TAG", help="Add a tag.")
@click.option("--untag", "remove_tags", multiple=True, metavar="TAG", help="Remove a tag.")
@click.option("--note", metavar="TEXT", help="Write something behind the other notes.")
@click.option("--suppress", metavar="REASON", help="Tell of them no more, for this reason.")
@click.option(
    "--until",
    metavar="TIME",
    help="Suppress until then; without it, for good. RFC 3339: `2027-01-31T00:00:00Z`.",
)
@click.option(
    "--scope",
    type=click.Choice(("finding", "detector", "resource")),
    help="How far the reason of the suppression reaches.",
)
@click.option("--unsuppress", is_flag=True, help="Tell of them again.")
@wait_option
def triage(
    door: Door,
    /,
    findings: tuple[str, ...],
    *,
    project: str | None,
    suppress: str | None,
    until: str | None,
    scope: str | None,
    wait: str | None,
    **said: Any,  # `Any`: options
) -> int:
    """Decide about each FINDING (the beginning of its id is enough), or about all that fit.

    It is a call of `findings.triage`: recorded with who decided, and undone by `assent undo RUN`. It sticks to the finding when
    later runs find it again.
    """
    matching: dict[str, Any] = {name: [*said.pop(name)] for name in ("severities", "detectors", "tools")}
    matching |= {name: said.pop(name) for name in ("run", "text")}
    is_matching = any(matching.values())
    if bool(findings) == is_matching:
        raise InputError(
            "USAGE_INVALID",
            "name findings, or say which fit",
            hint="for example `--detector ID`, or an id of `assent findings list`",
        )
    if (until or scope) and suppress is None:
        raise InputError("USAGE_INVALID", "`--until` and `--scope` need `--suppress REASON`")
    parameters: dict[str, Any] = {
        name: [*value] if isinstance(value, tuple) else value
        for name, value in said.items()
        if value not in (None, (), False)
    }
    if suppress is not None:
        rest = {"until": until, "scope": scope}
        parameters["suppress"] = {
            "reason": suppress,
            **{name: value for name, value in rest.items() if value is not None},
        }
    if is_matching:
        if matching["run"] is not None:
            brought = door.perform(requests.Datasets(run=matching["run"])).datasets
            matching["run"] = brought[0].run_id if brought else matching["run"]
        parameters["matching"] = {name: value for name, value in matching.items() if value}
        project = project or door.perform(requests.Findings(limit=1)).project_id
        parameters["project"] = project_said(door, project)
    else:
        found = [door.perform(requests.Finding(finding=one)).finding for one in findings]
        of = {str(one["project_id"]) for one in found}
        if len(of) > 1:
            raise InputError(
                "USAGE_INVALID",
                "the findings are of several projects",
                hint="decide about one project at a time",
            )
        parameters["project"] = project_said(door, of.pop())
        parameters["findings"] = [str(one["id"]) for one in found]
    return call(door, "findings.triage", parameters, wait_ms=read_wait(wait))


@command("gc", short_help="Remove what was not seen for long; shows it first.")
@project_option
@click.option(
    "--findings-days",
    type=click.IntRange(1, 36_500),
    default=180,
    show_default=True,
    help="Findings not seen for so long.",
)
@click.option(
    "--runs-days",
    type=click.IntRange(1, 36_500),
    default=90,
    show_default=True,
    help="Datasets of runs that are so old.",
)
@click.option("--apply", "is_meant", is_flag=True, help="Remove it; without this it is only shown.")
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
            _removed(
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
@click.option("--apply", "is_meant", is_flag=True, help="Remove it; without this it is only shown.")
@wait_option
def delete(door: Door, project: str, *, is_meant: bool, wait: str | None) -> int:
    """Remove PROJECT with its findings, datasets and decisions. Without `--apply`, only what would go is shown."""
    return _removed(
        door, "findings.delete_project", {"project": project_said(door, project)}, wait, is_meant=is_meant
    )


def _removed(
    door: Door, capability: str, parameters: dict[str, Any], wait: str | None, *, is_meant: bool
) -> int:
    if is_meant:
        return call(door, capability, parameters, wait_ms=read_wait(wait))
    return _show(door, capability, parameters)


def _show(door: Door, capability: str, parameters: dict[str, Any]) -> int:
    """What a call would do, as a plan shows it, or why it would fail; the plan itself is thrown away with its day."""
    step = {"name": "remove", "capability": capability, "inputs": parameters}
    text = json.dumps({"name": "remove", "steps": [step]})
    plan = door.perform(requests.Plan(text=text, source=""))
    shown = plan.steps[0]
    if shown.error is not None:
        raise InputError.from_dict(to_builtins(shown.error))
    if door.out.is_json:
        door.out.object(plan)
    else:
        door.out.answer(shown.preview.diff or "")
        door.out.note("nothing was removed: say --apply")
    return 0
