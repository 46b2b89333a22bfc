"""What the three kinds of scans have in common: what is looked at before, and how the scanner is run.

Theory of operation. What can be refused is refused while the scan is prepared or shown: the tool, its file, the target, the
scope. The scanner then runs as any program does, in the sandbox. One for the network begins in an empty folder of its own,
sees nothing of the workspace but copies of files that an option names, and goes nowhere but to the scope; one for files sees
the workspace and a folder with the resources that options name, and has no network. What it writes is in a layer, of which the
output file alone is read.
"""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from assent.capabilities.exec._folders import LAYER
from assent.capabilities.exec._output import STREAMS, chunks_of, ends
from assent.capabilities.exec._programs import Job, Programs, Ran, disk_told, in_thread, without_walls
from assent.capabilities.exec._run import require_success
from assent.capabilities.findings import Desk, project_of
from assent.capabilities.findings.ingest import ingest
from assent.capabilities.fs.world._faults import missing
from assent.capabilities.fs.world._paths import normal
from assent.capabilities.scan._files import Named, copy, named_by
from assent.capabilities.scan._manifest import OUTPUT, Kind, Tool
from assent.capabilities.scan._options import options_of, words_of
from assent.capabilities.scan._reaching import Reached, reached, unenforced
from assent.capabilities.scan._scanners import Found, Scanners, digest_of, limits_of, require_parser
from assent.capabilities.scan._shapes import Ended, Program, Reach, Scan, ScanFiles, Scanned, Story, Used
from assent.capabilities.scan._target import path_word
from assent.errors import Json
from assent.invocation import LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.secrets.revealing import names_in
from assent.spec.states import Verdict
from assent.spec.values.canonical import fingerprint
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from assent.sandbox import Capture

_CHUNK_BYTES: Final = 1 << 20
_LIMITS: Final = {
    limit: f"raise `{name}` under `[limits]` in its manifest"
    for limit, name in (
        ("wall_s", "time"),
        ("memory_bytes", "memory_bytes"),
        ("output_bytes", "output_bytes"),
        ("file_bytes", "output_bytes"),
        ("processes", "processes"),
    )
}
"""What a manifest says; the rest is as `[sandbox]` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A scan that nothing speaks against."""

    tool: Tool
    found: Found
    values: Mapping[str, str | bool]
    files: Mapping[str, Named]
    reach: Reached | None

    def words(self, put: Path | None = None) -> tuple[str, ...]:
        """Its arguments. `put`: where resources lie for a scanner of files; without it their references stand there."""
        files = {name: one.word_at(put) for name, one in self.files.items()}
        return words_of(self.tool, {**self.values, **files})

    @property
    def output(self) -> str:
        """The name of its output file."""
        return OUTPUT + self.tool.output.name

    @property
    def line(self) -> str:
        """Its command as a person would type it; to be read, and never to be given to a shell."""
        return safe_line(f"$ {shlex.join([self.found.path, *self.words()])}")


async def planned(context: LocalContext, parameters: Scan | ScanFiles, kind: Kind) -> Planned:
    """Look at everything that a scan needs. `NoEffectError` for whatever speaks against it; nothing is scanned."""
    scanners, programs = context.app.get(Scanners), context.app.get(Programs)
    tool = await in_thread(partial(scanners.tool, parameters.tool))
    if tool.kind != kind:
        raise NoEffectError(
            "SCANNER_OTHER_KIND",
            f"`{tool.tool}` is for {tool.kind} scans",
            path="tool",
            hint=f"call `scan.{tool.kind}`",
        )
    project_of(parameters.project)
    await in_thread(lambda: require_parser(context.app.get(Desk).tools(), tool))
    chosen = options_of(tool, parameters.options)
    sandbox = await programs.sandbox()
    reach: Reached | None = None
    if isinstance(parameters, Scan):
        reach = await reached(context, scanners, sandbox, tool, parameters.target)
        reach.require_ports(tool, chosen)
        values = reach.target.values()
        if (ports := reach.ports()) is not None:
            values |= {name: ports for name, one in tool.options.items() if one.type == "ports"}
    else:
        values = {"target": await in_thread(partial(_path, context, parameters.target))}
    files = await in_thread(
        partial(
            named_by, context, tool, chosen, readable=scanners.readable(tool), is_copied=reach is not None
        )
    )
    found = await scanners.find(tool, sandbox, programs.limits())
    values |= {"output": f"./{OUTPUT}{tool.output.name}", **chosen}
    return Planned(tool=tool, found=found, values=values, files=files, reach=reach)


def _path(context: LocalContext, path: str) -> str:
    """A path of the workspace as the scanner is given it; `NoEffectError` for one that is not there or leads out."""
    if context.world.files.stat(path) is None:
        raise missing(path)
    return path_word(normal(path))


async def prepare(context: LocalContext, parameters: Scan | ScanFiles, kind: Kind) -> Prepared:
    """Which file will be started and where it may go, journaled before it is."""
    plan = await planned(context, parameters, kind)
    state: dict[str, Json] = {
        "path": plan.found.path,
        "sha256": plan.found.sha256,
        "version": plan.found.version,
        "confined": await context.app.get(Programs).is_confined(),
    }
    resources = {name: one.resource for name, one in plan.files.items() if one.resource is not None}
    if resources:
        state["resources"] = {**resources}
    if plan.reach is not None:
        state |= {"addresses": [*map(str, plan.reach.addresses)], "enforced": plan.reach.enforced}
    return Prepared(state)


async def preview(context: LocalContext, parameters: Scan | ScanFiles, kind: Kind) -> Preview:
    """The command line, the program, and where it could go."""
    plan = await planned(context, parameters, kind)
    found = plan.found
    context.foresee_secrets(names_in(context.app.get(Scanners).environment(plan.tool)))
    pinned = "pinned" if found.is_pinned else "not pinned"
    lines = [plan.line, f"{plan.tool.title} {found.version} ({pinned}, sha256 {found.sha256[:16]}…)"]
    if plan.reach is None:
        lines.append("without a network; what it writes is thrown away")
    else:
        to = ", ".join(map(str, plan.reach.addresses)) or plan.reach.target.host
        how = (
            "held to the scope by the kernel"
            if plan.reach.enforced
            else "NOT HELD TO THE SCOPE: it can go anywhere"
        )
        lines.append(f"to {to}; {how}")
    used = {name: one for name, one in plan.files.items() if one.resource is not None}
    lines += [f"{name}: {one.resource} (sha256 {one.sha256[:16]}…)" for name, one in used.items()]
    text = "".join(f"{safe_line(line)}\n" for line in lines)
    base = {
        "program": found.sha256,
        "words": [*plan.words()],
        "resources": [one.sha256 for one in used.values()],
    }
    return Preview("text", text, fingerprint(base))


async def execute(context: LocalContext, parameters: Scan | ScanFiles, kind: Kind) -> Scanned:
    """Run the scanner, keep what it wrote, and hand that to the importer."""
    prepared = context.prepared or {}
    # Before anything of it is started, its question for the version included.
    await in_thread(partial(_require_same, prepared))
    if settled := prepared.get("resources"):
        # What a reference meant when somebody agreed is what is used.
        assert isinstance(settled, Mapping)  # INVARIANT: as `prepare` gave it
        parameters = parameters.model_copy(update={"options": {**parameters.options, **settled}})
    plan = await planned(context, parameters, kind)
    if plan.found.sha256 != prepared.get("sha256"):
        raise _changed(plan.found.path)
    programs = context.app.get(Programs)
    await _require_walls(programs, plan, prepared)
    may_act = plan.reach is not None or prepared.get("confined") is not True
    async with programs.folder() as folder, _scratch(plan) as scratch:
        environment = await context.reveal(context.app.get(Scanners).environment(plan.tool))
        job = await in_thread(partial(_job, context, parameters, plan, scratch, environment))
        with disk_told(may_act=may_act):
            ran = await programs.run_job(context, job, folder, may_act=may_act)
        # A scan that failed has left nothing but what it sent. That nobody takes back, and there is no doubt about it either.
        codes = ", ".join(map(str, plan.tool.success))
        hint = f"its last words stand with this; by its manifest {codes} is success"
        require_success(
            replace(ran, may_act=False),
            check=True,
            success=plan.tool.success,
            hint=hint,
            limits=_LIMITS,
        )
        capture = await in_thread(partial((await programs.sandbox()).captured, folder / LAYER))
        return await in_thread(partial(_scanned, context, parameters, plan, ran, capture))


def _require_same(prepared: Mapping[str, Json]) -> None:
    path = str(prepared.get("path"))
    with suppress(OSError):
        if digest_of(Path(path)) == prepared.get("sha256"):
            return
    raise _changed(path)


def _changed(path: str) -> NoEffectError:
    return NoEffectError(
        "SCANNER_CHANGED",
        f"`{path}` is not the file that was looked at before",
        path="tool",
        hint="ask for the scan again",
    )


async def _require_walls(programs: Programs, plan: Planned, prepared: Mapping[str, Json]) -> None:
    """What stood when somebody agreed to the scan has to stand now."""
    if prepared.get("confined") is True and not await programs.is_confined():
        raise without_walls(
            "the walls around programs, which stood when the scan was prepared, do not stand now"
        )
    if plan.reach is not None and prepared.get("enforced") is True and not plan.reach.enforced:
        raise unenforced("the kernel held scanners to the scope when the scan was prepared, and does not now")


def reconcile(context: LocalContext, kind: Kind) -> Reconciliation:
    """A confined scanner's effect is its outcome, and there is none: to begin again is right. Of another one nobody knows.

    Nor of an active one: to begin again would send everything again, which is for a person to say.
    """
    is_harmless = (
        kind != "active" and context.prepared is not None and context.prepared.get("confined") is True
    )
    return Reconciliation(Verdict.NO if is_harmless else Verdict.UNKNOWN)


@asynccontextmanager
async def _scratch(plan: Planned) -> AsyncIterator[Path | None]:
    """An empty folder for what options name: a scanner of the network begins there, one of files reads resources in it."""
    if plan.reach is None and not any(one.resource for one in plan.files.values()):
        yield None
        return
    from assent.sandbox import Scratch

    scratch = await in_thread(Scratch.make)
    try:
        yield scratch.path
    finally:
        await in_thread(scratch.remove)


def _job(
    context: LocalContext,
    parameters: Scan | ScanFiles,
    plan: Planned,
    scratch: Path | None,
    environment: Mapping[str, str],
) -> Job:
    scanners, programs = context.app.get(Scanners), context.app.get(Programs)
    if scratch is not None:
        for named in plan.files.values():
            copy(context, named, scratch)
    root, put = (programs.workspace, scratch) if plan.reach is None else (scratch, None)
    assert root is not None  # INVARIANT: a scanner of the network has one
    read_only = scanners.readable(plan.tool)
    limits = limits_of(plan.tool, programs.limits())
    seconds = [limits.wall_s]
    if parameters.timeout is not None:
        seconds.append(parameters.timeout.total_seconds())
    if plan.reach is not None and plan.reach.left is not None:
        seconds.append(plan.reach.left.total_seconds())
    return Job(
        program=plan.found.path,
        arguments=plan.words(put),
        root=root,
        environment=environment,
        limits=replace(limits, wall_s=min(seconds)),
        read_only=read_only if put is None else (*read_only, put),
        network=plan.reach is not None,
        scope=None if plan.reach is None else plan.reach.network,
        told=("stderr",) if plan.tool.output.to == "stdout" else STREAMS,
    )


def _scanned(
    context: LocalContext, parameters: Scan | ScanFiles, plan: Planned, ran: Ran, capture: Capture
) -> Scanned:
    tool, found, reach = plan.tool, plan.found, plan.reach
    ingested = ingest(
        context,
        project=parameters.project,
        chunks=_written(plan, ran, capture),
        tool=tool.output.parser,
        tool_version=found.version,
        name=f"{tool.tool} {parameters.target}",
    )
    story = Story(
        command=[found.path, *plan.words()],
        program=Program(path=found.path, sha256=found.sha256, version=found.version, pinned=found.is_pinned),
        ended=Ended(
            exit_code=ran.exit_code,
            stderr=str(ends(ran.folder)["stderr"]),
            used=Used(cpu_ms=ran.cpu_ms, memory_bytes=ran.memory_bytes, wall_ms=ran.wall_ms),
        ),
        reach=None
        if reach is None
        else Reach(
            enforced=reach.enforced,
            addresses=[*map(str, reach.addresses)],
            left_scope=ran.left_scope,
            left_for=[*ran.left_for],
        ),
    )
    return Scanned(**{name: getattr(ingested, name) for name in type(ingested).model_fields}, scan=story)


def _written(plan: Planned, ran: Ran, capture: Capture) -> Iterator[bytes]:
    """The bytes of the output."""
    if plan.tool.output.to == "stdout":
        return chunks_of(ran.folder / "stdout")
    change = next((one for one in capture.changes if one.path == plan.output and one.kind == "file"), None)
    if change is not None and change.change != "removed":
        return _pieces(capture.open(change))
    if plan.tool.output.may_be_missing:
        return iter(())
    raise NoEffectError(
        "SCAN_OUTPUT_MISSING",
        f"`{plan.tool.tool}` wrote no output, and ended as if it had done its work",
        hint="what it printed stands with this; where no file means that nothing was found, its manifest says so: "
        "`may_be_missing = true` under `[output]`",
        details={**ran.told(), **ends(ran.folder)},
    )


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
