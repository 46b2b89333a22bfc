"""`assent findings list`, `show`, `diff`, `stats`, `projects`, `datasets`: looking at findings. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from assent.cli._arguments import OneOf
from assent.cli._command import command
from assent.cli._completion import complete_run
from assent.cli._door import Door
from assent.cli._exit import OK
from assent.cli.findings._options import (
    HEAD,
    PAGE_MAX,
    counted,
    fail_on_option,
    filters,
    gated,
    is_open,
    meant,
    paged,
    project_option,
    row,
    told_gate,
)
from assent.runtime.service import requests
from assent.spec.words.legible import safe, safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.cli.terminal._style import Paint
    from assent.runtime.service import answers

T = TypeVar("T")

_BARS: Final = " ▁▂▃▄▅▆▇█"
_KINDS: Final = ("new", "fixed", "still", "reappeared")
_MARKS: Final = {"new": "+", "fixed": "-", "still": " ", "reappeared": "!"}


@command("list", watches=False, short_help="List a project's findings, the worst first.")
@filters()
@paged
@fail_on_option("one that is meant")
def list_(
    door: Door, /, *, limit: int, after: str | None, fail_on: str | None, **said: Any
) -> int:  # `Any`: options
    """List findings, the worst first, then the newest: what is open or triaged and not suppressed, unless said otherwise."""
    fields = meant(said)
    found = door.perform(requests.Findings(**fields, limit=limit, after=after))
    _page(door, found, found.findings, row, head=HEAD, none="\n".join(["no finding fits", *found.unheard]))
    return gated(door, fail_on, fields)


def _page(
    door: Door,
    page: answers.Findings | answers.FindingsDiff | answers.Discovered,
    found: Sequence[T],
    row: Callable[[T, Paint], list[str]],
    *,
    head: Sequence[str],
    none: str,
) -> None:
    """A page: as a table, or whole, with the place where the next one begins, for programs."""
    if door.out.is_json:
        door.out.object(page)
        return
    door.out.listing(found, row, head=head, none=none)
    if page.next is not None:
        door.out.note(f"there are more: --after {page.next}")


@command("show", watches=False, short_help="Show a finding with all that is known of it.")
@click.argument("finding")
def show(door: Door, finding: str) -> None:
    """Show FINDING; the beginning of its id is enough."""
    found = door.perform(requests.Finding(finding=finding))
    door.out.tell(found, lambda: _shown(found, door.out.paint()))


def _shown(found: answers.ShownFinding, paint: Paint) -> str:
    said: dict[str, Any] = found.finding
    triage: dict[str, Any] = found.triage
    fields = [
        ("severity", counted({said["severity"]: 1}, paint).removeprefix("1 ") + _original(said)),
        (
            "status",
            triage.get("status", "open").replace("_", " ") + (", suppressed" if found.suppressed else ""),
        ),
        ("risk", f"{found.risk} of 100"),
        ("rule", said["detector_id"]),
        ("resource", said["resource"]),
        ("owner", triage.get("owner")),
        ("tags", ", ".join(triage.get("tags", ()))),
        ("seen", f"{found.first_seen} to {found.last_seen}"),
        ("weakness", ", ".join([*said.get("cwe", ()), *said.get("owasp", ()), *said.get("cve_ids", ())])),
        ("CVSS", _cvss(said.get("cvss"))),
        ("id", said["id"]),
        ("fingerprint", said.get("fingerprint", {}).get("value")),
    ]
    lines = [paint(safe_line(said["title"]), "bold")]
    lines += [f"  {name:<12}{safe_line(str(value))}" for name, value in fields if value]
    lines += [f"  at          {safe_line(_place(one))}" for one in said.get("locations", ())[:20]]
    if len(said.get("locations", ())) > 20:
        lines.append(f"  at          {len(said['locations']) - 20} more places: --json shows all")
    for name, value in said.get("evidence", {}).items():
        shown = "\n".join(value) if isinstance(value, list) else value
        lines += [f"  {name}", *(f"    {line}" for line in safe(shown[:4000]).splitlines())]
    suppression = triage.get("suppression")
    if suppression:
        until = f"until {suppression['until']}" if suppression.get("until") else "for good"
        by = f", as {found.suppressed_by[:8]} is" if found.suppressed_by else ""
        scope = suppression.get("scope", "finding")
        reach = "" if scope == "finding" else f", with all of its {scope}"
        lines.append(f"  suppressed  {until}{by}{reach}: {safe_line(suppression['reason'])}")
    lines += [
        f"  note        {one['at']} {safe_line(one['by'])}: {safe_line(one['text'])}"
        for one in triage.get("notes", ())
    ]
    lines += [f"  more        {safe_line(one)}" for one in said.get("poc_links", ())[:5]]
    if found.dataset is not None:
        one = found.dataset
        lines.append(
            f"  from        {safe_line(one.name)} by {safe_line(one.tool)}, run {one.run_id}, entry {one.entry}"
        )
    lines.append(f"  prove it    assent findings prove {said['id'][:8]}")
    return "\n".join(lines)


def _original(said: dict[str, Any]) -> str:
    word = said.get("original_severity")
    return f" (the tool: {safe_line(word)})" if word and word.lower() != said["severity"] else ""


def _cvss(said: dict[str, Any] | None) -> str | None:
    return None if said is None else f"{said['score']} {said.get('vector', '')}".rstrip()


def _place(one: dict[str, Any]) -> str:
    where = (
        one.get("url") or one.get("path") or one.get("host") or one.get("package") or one.get("name") or ""
    )
    for name, before in (("port", ":"), ("line", ":"), ("version", "@")):
        if one.get(name) is not None:
            where += f"{before}{one[name]}"
    return f"{one['method']} {where}" if one.get("method") else where


@command("diff", watches=False, short_help="Compare the findings of two runs.")
# Not `RUN`: `--last` would stand for the first of the two, and turn the comparison round.
@click.argument("before", metavar="EARLIER", shell_complete=complete_run)
@click.argument("later", metavar="LATER", shell_complete=complete_run)
@project_option
@click.option("--kind", "kinds", multiple=True, type=OneOf(_KINDS), help="Only these; may be said again.")
@paged
@fail_on_option("a new or reappeared one that is open")
def diff(
    door: Door,
    before: str,
    later: str,
    *,
    project: str | None,
    kinds: tuple[str, ...],
    limit: int,
    after: str | None,
    fail_on: str | None,
) -> int:
    """Compare what two runs brought: new, fixed, still there, reappeared. Without `--kind`, all but those that are still there.

    A finding is fixed where the LATER run used the tool that found it, and did not find it again.
    """
    shown = kinds or ("new", "reappeared", "fixed")
    request = requests.FindingsDiff(
        before=before, later=later, project=project, kinds=shown, limit=limit, after=after
    )
    found = door.perform(request)
    if not door.out.is_json:
        paint = door.out.paint()
        counts = ", ".join(f"{found.counts[one]} {one}" for one in _KINDS)
        door.out.answer(f"{paint(counts, 'bold')}  {found.before} → {found.later}")
        if found.not_looked_for:
            door.out.answer(f"  {found.not_looked_for} not looked for: the later run did not use their tools")
    _page(
        door,
        found,
        found.findings,
        lambda one, paint: [f"{_MARKS[one.kind]} {one.kind}", *row(one, paint)],
        head=("", *HEAD),
        none="none of these",
    )
    return OK if fail_on is None else told_gate(door, fail_on, _come(door, request))


def _come(door: Door, request: requests.FindingsDiff) -> Counter[str]:
    """How many have come, or come again, and are open, by severity."""
    counts, after = Counter[str](), None
    while True:
        page = door.perform(
            requests.FindingsDiff(
                before=request.before, later=request.later, project=request.project,
                kinds=("new", "reappeared"), limit=PAGE_MAX, after=after,
            )
        )  # fmt: skip
        counts.update(one.severity for one in page.findings if is_open(one))
        if page.next is None:
            return counts
        after = page.next


@command("stats", watches=False, short_help="Tell how a project stands.")
@project_option
def stats(door: Door, project: str | None) -> None:
    """Tell how a project stands: what is active by severity, what was decided, how long mending takes, the last 30 days."""
    found = door.perform(requests.FindingsStats(project=project))
    door.out.tell(found, lambda: _standing(found, door.out.paint()))


def _standing(found: answers.FindingsStats, paint: Paint) -> str:
    from assent.findings.metrics import NOBODY

    most = max((day.active for day in found.trend), default=0)
    bars = "".join(_BARS[-(-day.active * (len(_BARS) - 1) // most) if most else 0] for day in found.trend)
    lines = [
        f"{paint(safe_line(found.project or found.project_id), 'bold')}  {count_text(found.total, 'finding')}",
        f"  active      {found.active}: {counted(found.by_severity, paint)}",
        f"  suppressed  {found.suppressed}",
    ]
    lines += [f"  {name.replace('_', ' '):<16}{count}" for name, count in found.by_status.items() if count]
    if found.fix_time_days is not None:
        lines.append(f"  mending takes {found.fix_time_days} days in the mean")
    for words, counts in (("owners", found.by_owner), ("tags", found.by_tag)):
        if {*counts} - {NOBODY}:
            lines.append(
                f"  {words}: {safe_line(', '.join(f'{name} {count}' for name, count in [*counts.items()][:10]))}"
            )
    lines.append(f"  30 days     {bars}  {found.trend[0].active} → {found.trend[-1].active} active")
    return "\n".join(lines)


@command("projects", watches=False, short_help="List the projects that have findings.")
def projects(door: Door) -> None:
    """List the projects, with how many findings and datasets each has."""
    found = door.perform(requests.Projects()).projects
    door.out.listing(
        found,
        lambda one, paint: [
            paint(safe_line(one.name or ""), "bold"), str(one.findings), str(one.datasets), one.since, one.project_id
        ],
        head=("PROJECT", "FINDINGS", "DATASETS", "SINCE", "ID"),
        none="no project yet: assent findings import FILE --project NAME",
    )  # fmt: skip


@command("datasets", watches=False, short_help="List what imports and scans brought.")
@project_option
@click.option("--run", metavar="RUN", help="Only what this run brought.", shell_complete=complete_run)
def datasets(door: Door, project: str | None, run: str | None) -> None:
    """List what imports and scans brought, the oldest first."""
    found = door.perform(requests.Datasets(run=run, project=project)).datasets
    door.out.listing(
        found,
        lambda one, paint: [
            one.run_id,
            one.at[:19],
            paint(safe_line(f"{one.tool} {one.version or ''}").rstrip(), "bold"),
            safe_line(one.name),
            f"{one.new} new, {one.known} known",
            counted(one.by_severity, paint) + ("  broken" if one.fault else ""),
        ],
        head=("RUN", "AT", "TOOL", "FILE", "FINDINGS", "RECORDS"),
        none="nothing was imported yet",
    )


@command(
    "discovered", watches=False, short_help="List what tools discovered: addresses, ports, hosts, packages."
)
@project_option
@click.option("--type", "kind", type=OneOf(("url", "port", "host", "package")), help="Only these.")
@paged
def discovered(door: Door, *, project: str | None, kind: str | None, limit: int, after: str | None) -> None:
    """List what tools discovered and what is no finding by itself, in the order in which it came."""
    found = door.perform(requests.Discovered(project=project, type=kind, limit=limit, after=after))
    _page(
        door,
        found,
        found.resources,
        lambda one, paint: [
            paint(one.type, "bold"),
            safe_line(one.resource),
            safe_line(", ".join(f"{name} {value}" for name, value in [*one.facts.items()][:6])),
            safe_line(one.tool or ""),
            one.last_seen[:19],
        ],
        head=("TYPE", "RESOURCE", "FACTS", "TOOL", "LAST SEEN"),
        none="nothing was discovered yet",
    )
