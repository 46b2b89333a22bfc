"""What commands on findings share: which findings are meant, and how one looks as a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from assent.runtime.service import requests
from assent.spec.words.legible import safe_line
from assent.spec.words.severities import SEVERITIES

if TYPE_CHECKING:
    from assent.cli._door import Door
    from assent.cli.terminal._style import Paint
    from assent.runtime.service import answers

F = TypeVar("F", bound=Callable[..., Any])  # `Any`: whatever command it is put on

STATUSES: Final = ("open", "triaged", "resolved", "false_positive", "risk_accepted", "archived")
ACTIVE: Final = ("open", "triaged")
_STYLES: Final = {"critical": "red", "high": "red", "medium": "yellow", "unknown": "yellow"}

project_option: Final = click.option(
    "--project", "-p", metavar="PROJECT", help="A name or a UUID; left out: the only one that there is."
)


def project_said(door: Door, said: str) -> str:
    """A project as a call says it: by its name, where what was typed is the id of one that has a name."""
    if not said[:8].isalnum() or said[8:9] != "-":  # no UUID: nobody has to look
        return said
    found = door.perform(requests.Projects()).projects
    return next((one.name or said for one in found if one.project_id == said.lower()), said)


def filters(function: F) -> F:
    """The options that say which findings are meant."""
    for option in reversed(
        (
            project_option,
            click.option(
                "--severity", "severities", multiple=True, type=click.Choice(SEVERITIES), help="Only these; may be said again."
            ),
            click.option(
                "--status", "statuses", multiple=True, type=click.Choice((*STATUSES, "any")),
                help="Only these; left out: what is open or triaged, and not suppressed.",
            ),
            click.option("--suppressed", is_flag=True, help="Only what is suppressed now."),
            click.option("--detector", "detectors", multiple=True, metavar="ID", help="Only of this rule: `nuclei.git-config`."),
            click.option("--tool", "tools", multiple=True, metavar="NAME", help="Only what this tool found."),
            click.option("--run", "run", metavar="RUN", help="Only what this run brought."),
            click.option("--owner", metavar="WHO", help="Only whose owner this is."),
            click.option("--tag", metavar="TAG", help="Only what has this tag."),
            click.option("--text", metavar="TEXT", help="Only with this in title, resource or rule."),
        )
    ):  # fmt: skip
        function = option(function)
    return function


def meant(
    said: dict[str, Any], *, default_active: bool = True
) -> dict[str, Any]:  # `Any`: as the options gave it
    """The fields of a request from the options."""
    statuses = said["statuses"]
    suppressed: bool | None = True if said["suppressed"] else None
    if not statuses and default_active and not said["suppressed"]:
        statuses, suppressed = ACTIVE, False
    return {
        "project": said["project"],
        "severities": said["severities"],
        "statuses": () if "any" in statuses else tuple(statuses),
        "suppressed": suppressed,
        "detectors": said["detectors"],
        "tools": said["tools"],
        "run": said["run"],
        "owner": said["owner"],
        "label": said["tag"],
        "text": said["text"],
    }


def row(one: answers.FoundFinding, paint: Paint) -> list[str]:
    """A finding as a row of a table."""
    state = "suppressed" if one.suppressed else "" if one.status == "open" else one.status.replace("_", " ")
    return [
        one.id[:8],
        paint(one.severity, _STYLES.get(one.severity)),
        safe_line(state),
        safe_line(one.detector_id),
        safe_line(one.resource),
        safe_line(one.title),
    ]


HEAD: Final = ("ID", "SEVERITY", "STATUS", "RULE", "RESOURCE", "TITLE")


def counted(counts: dict[str, int], paint: Paint) -> str:
    """Counts by severity, the worst first."""
    told = [paint(f"{counts[one]} {one}", _STYLES.get(one)) for one in SEVERITIES if counts.get(one)]
    return ", ".join(told) or "none"
