"""`assent findings import` and `detect`: what scanners wrote becomes findings of a project."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from assent.cli._arguments import read_bytes
from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK, WAITING, worst
from assent.cli._handing import hand_over
from assent.cli.findings._options import brought_by, counted, fail_on_option, gated, project_said, told_gate
from assent.cli.runs._drive import answer, as_driven, conclude
from assent.cli.runs._progress import Progress
from assent.cli.terminal._files import require_readable
from assent.errors import AssentError
from assent.runtime.service import requests
from assent.spec.words.legible import safe_line
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
@fail_on_option("a finding that was read, and is open,")
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
    your own rights and may lie anywhere. One that is cut short gives what stands before that, and one that is broken what
    stands before and behind; exit code 1.
    """
    said: dict[str, Any] = {"project": project_said(door, project)}
    said |= {key: value for key, value in (("tool", tool), ("tool_version", tool_version)) if value}
    for file in files:  # One that can't be read is told before any is imported.
        if file != "-":
            require_readable(door.cwd / file, what="the file")
    codes = [(file, _imported(door, file, said, fail_on)) for file in files]
    code = worst(code for _, code in codes)
    bad = [file for file, one in codes if one not in (OK, WAITING)]
    if bad and len(files) > 1:
        door.out.note(f"exit code {code} because of {safe_line(', '.join(bad))}")
    return code


def _imported(door: Door, file: str, said: dict[str, Any], fail_on: str | None) -> int:
    name = "standard input" if file == "-" else Path(file).name
    parameters = {**said, "handed": hand_over(door, file, "findings.import"), "name": name}
    request = requests.Call(
        capability="findings.import", parameters=parameters, environment=door.settings.environment
    )
    run = door.perform(request, Progress(door.out, of_a_call=True))
    has_waited = run.status != "succeeded"
    if has_waited:
        told_as = partial(_failed, said, name)
        if (code := conclude(door, run, wait_ms=None, object_of=told_as)) != OK:
            return code
    datasets, what = brought(door, run.run_id), f" in `{safe_line(name)}`"
    if not datasets:
        if not has_waited:  # Else the run itself was told of.
            answer(door, as_driven(door.perform(requests.Show(run=run.run_id))))
        return told_by_run(door, run.run_id, fail_on, what=what, is_gone=datasets is not None)
    (found,) = datasets
    if not has_waited:
        _tell(door, found, said["project"])
    code = OK
    if found.fault is not None:
        code = FAILED
        door.out.note(
            f"exit code 1: not all could be read: the fault is at {safe_line(_fault(found)['path'])}"
        )
    fields = brought_by(run.run_id, found.project_id)
    return max(code, gated(door, fail_on, fields, what=what))


def _failed(said: dict[str, Any], name: str, run: answers.Run) -> object:
    """What `--json` prints of an import that failed: the same as of others, with nothing read. One that waits is its run."""
    if run.error is None or run.status == "waiting":
        return run
    return {
        "tool": said.get("tool"),
        "version": said.get("tool_version"),
        "name": name,
        "project_id": None,
        "records": 0,
        "findings": 0,
        "resources": 0,
        "skipped": [],
        "by_severity": {},
        "new": 0,
        "known": 0,
        "drift": {"new_fields": {}, "missing_fields": {}},
        "dataset": None,
        "run_id": run.run_id,
        "entry": None,
        "fault": {"error": run.error},
    }


def brought(door: Door, run: str) -> list[answers.Dataset] | None:
    """The datasets that a run brought; None, which is told, where the store can't be asked."""
    try:
        return door.perform(requests.Datasets(run=run)).datasets
    except AssentError as error:
        door.out.note(
            f"this is what the run itself says, because findings can't be asked for: {safe_line(error.message)}"
        )
        return None


def told_by_run(door: Door, run_id: str, fail_on: str | None, *, what: str, is_gone: bool) -> int:
    """The exit code by what a run itself says that succeeded. What was decided about its findings is not known, so each counts.

    `is_gone`: the store has nothing of it.
    """
    if is_gone:
        door.out.note("this is what the run itself says: what it brought was taken back or removed meanwhile")
    run = door.perform(requests.Show(run=run_id))
    # What a dataset was made of has a digest; a report counts the same findings again. Nothing is there of an erased run.
    outputs: list[Any] = [one.output for one in run.steps if isinstance(one.output, dict)]  # `Any`: JSON
    said = [one for one in outputs if "dataset" in one]
    code = OK
    if any(one["fault"] is not None for one in said):
        code = FAILED
        door.out.note("exit code 1: not all could be read")
    if fail_on is not None:
        counts: Counter[str] = Counter()
        for one in said:
            counts.update(one["by_severity"])
        code = max(code, told_gate(door, fail_on, counts, what=what))
    return code


def _tell(door: Door, found: answers.Dataset, project: str) -> None:
    door.out.tell(told(found), lambda: import_text(found, door.out.paint()))
    if not door.out.is_json:
        tell_lists(door, [found], project)
        door.out.note(f"to take it back: {door.command('undo', found.run_id)}")


def tell_lists(door: Door, found: Iterable[answers.Dataset], project: str) -> None:
    """The commands that list what was found."""
    datasets = [*found]
    for what, is_found in (
        ("list", any(one.findings for one in datasets)),
        ("discovered", any(one.resources for one in datasets)),
    ):
        if is_found:
            door.out.note(f"list them: {door.command('findings', what, '--project', project)}")


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
        same = ": some records are about the same" if found.new + found.known < found.findings else ""
        lines += [counted(found.by_severity, paint), f"{found.new} new, {found.known} known{same}"]
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
