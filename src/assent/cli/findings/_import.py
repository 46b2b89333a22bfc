"""`assent findings import` and `detect`: what scanners wrote becomes findings of a project."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from assent.cli._arguments import read_bytes
from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK, exit_code, worst
from assent.cli._handing import hand_over
from assent.cli.findings._options import counted, project_said
from assent.cli.runs._drive import conclude
from assent.cli.runs._progress import Progress
from assent.cli.terminal._files import require_readable
from assent.runtime.service import requests
from assent.spec.words.legible import safe_line
from assent.spec.words.severities import SEVERITIES
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.cli.terminal._style import Paint
    from assent.findings.parsing import Detected, Manifest
    from assent.runtime.service import answers

_TOLD_MAX: Final = 8


@command("import", short_help="Import what scanners wrote into a project.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--project", "-p", required=True, metavar="PROJECT", help="A name or a UUID; a new name makes a project."
)
@click.option("--tool", metavar="TOOL", help="Which tool wrote it; left out: the file says so itself.")
@click.option("--tool-version", metavar="VERSION", help="Its version, where the file does not say.")
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    help="Exit code 1 when a finding of this severity or a worse one was read.",
)
def import_(
    door: Door,
    files: tuple[str, ...],
    *,
    project: str,
    tool: str | None,
    tool_version: str | None,
    fail_on: str | None,
) -> int:
    """Read what scanners wrote in FILE..., and add it to PROJECT. `-` is standard input.

    Each file is a call of `findings.import`, which the policy decides about and `assent undo RUN` takes back. It is read with
    your own rights and may lie anywhere. One that is cut short or broken gives what stands before and behind; exit code 1.
    """
    said: dict[str, Any] = {"project": project_said(door, project)}
    said |= {key: value for key, value in (("tool", tool), ("tool_version", tool_version)) if value}
    for file in files:  # One that can't be read is told before any is imported.
        if file != "-":
            require_readable(door.cwd / file, what="the file")
    return worst([_imported(door, file, said, fail_on) for file in files])


def _imported(door: Door, file: str, said: dict[str, Any], fail_on: str | None) -> int:
    name = "standard input" if file == "-" else Path(file).name
    parameters = {**said, "handed": hand_over(door, file, "findings.import"), "name": name}
    request = requests.Call(
        capability="findings.import", parameters=parameters, environment=door.settings.environment
    )
    run = door.perform(request, Progress(door.out, of_a_call=True))
    if run.status != "succeeded":
        return conclude(door, run, wait_ms=None)
    found = next(one for one in door.perform(requests.Datasets(run=run.run_id)).datasets)
    door.out.tell(told(found), lambda: import_text(found, door.out.paint()))
    if not door.out.is_json:
        tell_lists(door, [found], said["project"])
        door.out.note(f"to take it back: {door.command('undo', run.run_id)}")
    code = exit_code(run, "call")
    return FAILED if code == OK and (found.fault is not None or is_bad(found.by_severity, fail_on)) else code


def tell_lists(door: Door, found: Iterable[answers.Dataset], project: str) -> None:
    """The commands that list what was found."""
    datasets = [*found]
    for what, is_found in (
        ("list", any(one.findings for one in datasets)),
        ("discovered", any(one.resources for one in datasets)),
    ):
        if is_found:
            door.out.note(f"list them: {door.command('findings', what, '--project', project)}")


def is_bad(counts: dict[str, int], least: str | None) -> bool:
    """Whether anything is as bad as that, or worse."""
    return least is not None and any(counts.get(one) for one in SEVERITIES[: SEVERITIES.index(least) + 1])


def told(found: answers.Dataset) -> dict[str, Any]:
    """A dataset as `--json` prints it."""
    return {
        "tool": found.tool,
        "version": found.version,
        "name": found.name,
        "project_id": found.project_id,
        "records": found.records,
        "findings": found.findings,
        "resources": found.resources,
        "skipped": found.skipped,
        "by_severity": found.by_severity,
        "new": found.new,
        "known": found.known,
        "drift": found.drift,
        "dataset": found.dataset,
        "run_id": found.run_id,
        "entry": found.entry,
        "fault": None if found.fault is None else {"error": _fault(found)},
    }


def _fault(found: answers.Dataset) -> dict[str, Any]:
    fault: dict[str, Any] = found.fault or {}
    return {
        "code": "OUTPUT_BROKEN",
        "message": fault["message"],
        "path": f"{found.name}:{fault['begin']}",
        "hint": fault.get("hint") or "the records before and behind it were read",
        "details": {"begin": fault["begin"], "end": fault["end"]},
    }


def import_text(found: answers.Dataset, paint: Paint) -> str:
    """What an import came to, for people."""
    tool = safe_line(f"{found.tool} {found.version or ''}").rstrip()
    is_read = bool(found.findings or found.resources or found.fault is None)
    head = paint("imported", "green") if is_read else paint("not read", "red")
    lines = [f"{head}  {safe_line(found.name)}  {paint(tool, 'bold')}  {found.run_id}"]
    return "\n".join([*lines, *(f"  {line}" for line in dataset_lines(found, paint))])


def dataset_lines(found: answers.Dataset, paint: Paint) -> list[str]:
    """What became of a tool's records: what was found, what was skipped and why, what is new about their form, what is broken."""
    skipped = sum(int(str(one["count"])) for one in found.skipped)
    became = f"{count_text(found.findings, 'finding')}, {count_text(found.resources, 'resource')}, {skipped} skipped"
    lines = [f"{count_text(found.records, 'record')}: {became}"]
    if found.findings:
        lines += [counted(found.by_severity, paint), f"{found.new} new, {found.known} known"]
    lines += [f"skipped {one['count']}: {safe_line(str(one['reason']))}" for one in found.skipped[:_TOLD_MAX]]
    drift: dict[str, Any] = found.drift
    for key, words in (("new_fields", "not known to this release"), ("missing_fields", "missing")):
        names = [*drift[key]]
        if names:
            more = f" and {len(names) - _TOLD_MAX} more" if len(names) > _TOLD_MAX else ""
            lines.append(f"fields {words}: {safe_line(', '.join(names[:_TOLD_MAX]))}{more}")
    if found.fault is not None:
        fault = _fault(found)
        lines.append(paint(f"broken at {safe_line(fault['path'])}: {safe_line(fault['message'])}", "red"))
        lines.append(safe_line(fault["hint"]))
    return lines


@command("detect", watches=False, short_help="Tell which scanner wrote a file.")
@click.argument("file", type=click.Path(path_type=Path))
def detect(door: Door, file: Path) -> None:
    """Tell which tool wrote FILE, of what version, and how it would be read. Only its first mebibyte is looked at.

    The workspace's own parsers are known, too.
    """
    from assent.capabilities.findings import known_tools
    from assent.findings.parsing import HEAD_BYTES

    head = read_bytes(door.cwd / file, what="the file", most=HEAD_BYTES)
    tools = known_tools(door.settings.parsers)
    found = tools.recognise(head, None)
    for error in tools.faults.values():
        door.out.note(f"not used: {safe_line(f'{error.message} ({error.path})')}")
    manifest = tools.parsers[found.name].manifest
    door.out.tell(
        {
            "tool": manifest.tool,
            "version": found.version,
            "form": found.name,
            "title": manifest.title,
            "format": manifest.format,
            "record": manifest.record,
            "becomes": sorted({one.becomes for one in manifest.records}),
            "tried": list(manifest.tried),
        },
        lambda: _text(found, manifest, bold=lambda text: door.out.paint()(text, "bold")),
    )


def _text(found: Detected, manifest: Manifest, *, bold: Callable[[str], str]) -> str:
    becomes = " or ".join(sorted({one.becomes for one in manifest.records}))
    tried = (
        f"tried with {', '.join(manifest.tried)}"
        if manifest.tried
        else "untried: made from documentation alone"
    )
    return "\n".join(
        [
            bold(f"{manifest.tool} {safe_line(found.version or '')}".rstrip()),
            f"  {manifest.title}: {manifest.about}",
            f"  a record is {manifest.record}, and becomes a {becomes}",
            f"  {tried}",
        ]
    )
