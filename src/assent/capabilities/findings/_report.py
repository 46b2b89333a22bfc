"""`findings.report`: a report of a project's findings into a file of the workspace, undone as every file that is written.

A report says when it was made, so its bytes can't be made twice: what `prepare` kept is what is written, also after a crash.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import IO, Annotated, Final

from pydantic import Field

from assent.capabilities.archive._formats import contents, scratch
from assent.capabilities.findings._acts import Matching, ProjectName
from assent.capabilities.findings._desk import Desk
from assent.capabilities.fs._shapes import place
from assent.capabilities.fs._write import room_for_file
from assent.capabilities.fs.change._change import Change, Expected, Target, made_dirs
from assent.capabilities.fs.change._effect import FileEffect
from assent.capabilities.fs.change._path_state import Node, PathState
from assent.errors import Json
from assent.findings.finding import Severity
from assent.findings.reports import Format, Info, write_report
from assent.invocation import EntryKind, LocalContext, NoEffectError, Prepared
from assent.spec.capability import SpecModel
from assent.spec.types import WorkspacePath
from assent.spec.words.durations import instant
from assent.spec.words.severities import counts_text
from assent.spec.words.sizes import size_text

REPORT_BYTES_MAX: Final = 1 << 30
"""The largest report that is written to a workspace."""


class Report(SpecModel):
    """What to report, in which form, and where to."""

    project: ProjectName
    path: WorkspacePath
    format: Format = Format.SARIF
    matching: Matching = Field(default_factory=Matching, description="only findings that fit this")
    overwrite: bool = True
    create_dirs: bool = True


class Written(SpecModel):
    """The report that was written, and how many findings of each severity are in it."""

    path: str
    format: str
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    by_severity: dict[str, int]
    replaced: bool


class ReportEffect(FileEffect[Report, Written]):
    """A report into a file."""

    def plan(self, context: LocalContext, parameters: Report, *, keeps: bool) -> Change:
        path, files = place(parameters.path), context.world.files
        entry, new_dirs, folder = room_for_file(
            files, path, overwrite=parameters.overwrite, create_dirs=parameters.create_dirs
        )
        old = self.pre_image(context, path, keeps=keeps)
        mode = files.new_mode(EntryKind.FILE) if entry is None else entry.mode
        with scratch() as into:
            counts = _write(context, parameters, into)
            digest, size = hashlib.sha256(), 0
            for chunk in contents(into):
                digest.update(chunk)
                size += len(chunk)
            if not context.world.is_simulated:
                context.blobs.put(contents(into))
        new = PathState((Node("", EntryKind.FILE, mode, 0, size, digest.hexdigest()),))
        before = Expected.of(old, hashed=context.keep_pre_image)
        notes: dict[str, Json] = {"sha256": digest.hexdigest(), "size": size, "by_severity": counts}
        return Change(
            (Target(path, old, before, Expected.of(new, hashed=True)),), new_dirs, (folder,), notes=notes
        )

    def prepare(self, context: LocalContext, parameters: Report) -> Prepared:
        change = self.planned(context, parameters, keeps=context.keep_pre_image)
        prepared = change.to_prepared(context.blobs)
        return Prepared(prepared.state, (*prepared.blobs, str(change.notes["sha256"])))

    def apply(self, context: LocalContext, parameters: Report, change: Change) -> None:
        files, target = context.world.files, change.targets[0]
        with made_dirs(files, change.new_dirs), scratch() as into:
            if context.world.is_simulated:
                _write(context, parameters, into)
                chunks = contents(into)
            else:
                chunks = context.blobs.read(str(change.notes["sha256"]))
            files.write(target.path, chunks, key=context.key, replace=bool(target.old.nodes))

    def output(self, parameters: Report, change: Change) -> Written:
        return Written.model_validate(
            {
                **change.notes,
                "path": change.targets[0].path,
                "format": parameters.format.value,
                "replaced": bool(change.targets[0].old.nodes),
            }
        )

    def heading(self, change: Change) -> str:
        counts = change.notes["by_severity"]
        assert isinstance(counts, dict)  # INVARIANT: as it was planned
        return f"report of findings: {counts_text(counts) or 'none'}\n"


def _write(context: LocalContext, parameters: Report, into: IO[bytes]) -> dict[str, Json]:
    """Write the report; how many findings of each severity are in it."""
    desk = context.app.get(Desk)
    with desk.looking(context.run) as book:
        number, ident, name = book.project(parameters.project)
        info = Info.of_project(name or ident, generated_at=instant(book.now_ms), tool_version=desk.release)
        wanted = parameters.matching.wanted()
        size = 0
        for chunk in write_report(
            parameters.format, lambda: (one.reported for one in book.stream(number, wanted)), info
        ):
            if context.cancel.is_cancelled:
                raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it wrote a report")
            size += len(chunk)
            if size > REPORT_BYTES_MAX:
                raise NoEffectError(
                    "FILE_TOO_LARGE",
                    f"the report would have more than {size_text(REPORT_BYTES_MAX)}",
                    hint="say more of the findings that it is about",
                )
            into.write(chunk)
        counted = Counter(one.reported.finding.severity.value for one in book.stream(number, wanted))
        return {one.value: counted[one.value] for one in Severity}
