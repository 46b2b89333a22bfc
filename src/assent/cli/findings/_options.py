"""What commands on findings share: which findings are meant, how one looks as a line, and when a pipeline fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from assent.cli._arguments import OneOf
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK
from assent.runtime.service import requests
from assent.spec.words.legible import safe_line
from assent.spec.words.severities import SEVERITIES, counts_text
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.cli._door import Door
    from assent.cli.terminal._style import Paint
    from assent.runtime.service import answers

F = TypeVar("F", bound=Callable[..., Any])  # `Any`: whatever command it is put on

STATUSES: Final = ("open", "triaged", "resolved", "false_positive", "risk_accepted", "archived")
ACTIVE: Final = ("open", "triaged")
PAGE_MAX: Final = 1000
_PAGE: Final = 50
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


def _all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    def put(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return put


paged: Final = _all_of(
    click.option(
        "--limit", type=click.IntRange(1, PAGE_MAX), default=_PAGE, show_default=True, help="At most so many."
    ),
    click.option("--after", metavar="PLACE", help="Go on where an earlier page ended."),
)


def filters(*, owner: str = "--owner", tag: str = "--tag") -> Callable[[F], F]:
    """The options that say which findings are meant. `owner`, `tag`: what these are called where the words are taken."""
    return _all_of(
        project_option,
        click.option(
            "--severity", "severities", multiple=True, type=OneOf(SEVERITIES), help="Only these; may be said again."
        ),
        click.option(
            "--status", "statuses", multiple=True, type=OneOf((*STATUSES, "any")),
            help="Only these; `any`: whatever was decided. Left out: what is open or triaged, and not suppressed.",
        ),
        click.option("--suppressed", is_flag=True, help="Only what is suppressed now."),
        click.option("--detector", "detectors", multiple=True, metavar="ID", help="Only of this rule: `nuclei.git-config`."),
        click.option("--tool", "tools", multiple=True, metavar="NAME", help="Only what this tool found."),
        click.option("--run", metavar="RUN", help="Only what this run brought."),
        click.option(owner, "owned_by", metavar="WHO", help="Only whose owner this is."),
        click.option(tag, "tagged", metavar="TAG", help="Only what has this tag."),
        click.option("--text", metavar="TEXT", help="Only with this in title, resource or rule."),
    )  # fmt: skip


def meant(said: dict[str, Any]) -> dict[str, Any]:  # `Any`: as the options gave it
    """The fields of a request from the options, which are taken out of what was said."""
    statuses, is_suppressed = said.pop("statuses"), said.pop("suppressed")
    suppressed: bool | None = True if is_suppressed else None
    if not statuses and not is_suppressed:
        statuses, suppressed = ACTIVE, False
    return {
        "statuses": () if "any" in statuses else tuple(statuses),
        "suppressed": suppressed,
        "owner": said.pop("owned_by"),
        "tag": said.pop("tagged"),
        **{name: said.pop(name) for name in ("project", "severities", "detectors", "tools", "run", "text")},
    }


def brought_by(run: str, project: str) -> dict[str, Any]:  # `Any`: fields of a request
    """The fields of a request for what a run brought to a project and is open."""
    return {"project": project, "run": run, "severities": (), "statuses": ACTIVE, "suppressed": False}


def fail_on_option(what: str) -> Callable[[F], F]:
    """`--fail-on`, for pipelines."""
    return click.option(
        "--fail-on", type=OneOf(SEVERITIES), help=f"Exit code 1 when {what} is this bad, or worse."
    )


def gated(door: Door, least: str | None, fields: dict[str, Any], *, what: str = "") -> int:
    """The exit code of `--fail-on` for the findings that are meant, whichever page they are on. It says on stderr why."""
    if least is None:
        return OK
    asked, counts, is_part = fields["severities"], Counter[str](), False
    for severities in (_as_bad_as(least), ("unknown",)):
        looked_for = tuple(one for one in severities if not asked or one in asked)
        if looked_for:
            page = door.perform(requests.Findings(**{**fields, "severities": looked_for}, limit=PAGE_MAX))
            counts |= Counter(one.severity for one in page.findings)
            is_part = is_part or page.next is not None
    return told_gate(door, least, counts, what=what, is_part=is_part)


def told_gate(door: Door, least: str, counts: Counter[str], *, what: str = "", is_part: bool = False) -> int:
    """The same where it is known how many there are. `is_part`: there are more."""
    bad, some = _as_bad_as(least), "at least " if is_part else ""
    if counts["unknown"] and "unknown" not in bad:
        unrated = count_text(counts["unknown"], "finding")
        door.out.note(
            f"warning: {some}{unrated} of unknown severity{what} not counted by `--fail-on {least}`; `--fail-on unknown` would"
        )
    told = counts_text({one: counts[one] for one in bad})
    if not told:
        return OK
    door.out.note(f"exit code 1: `--fail-on {least}` found {some}{told}{what}")
    return FAILED


def _as_bad_as(least: str) -> tuple[str, ...]:
    return SEVERITIES[: SEVERITIES.index(least) + 1]


def is_open(one: answers.FoundFinding) -> bool:
    """Whether somebody still has something to do about it: neither closed nor suppressed."""
    return one.status in ACTIVE and not one.suppressed


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
    return counts_text(counts, lambda text, one: paint(text, _STYLES.get(one))) or "none"
