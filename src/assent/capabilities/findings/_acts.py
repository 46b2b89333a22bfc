"""`findings.import`, `triage`, `gc` and `delete_project`: acts whose whole effect is what they leave in the ledger.

So nothing has happened before the outcome is durable, a call that was cut short is made again, and taking one back changes
nothing but the record: the store is folded from that (`_following.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field, JsonValue, field_validator, model_validator

from assent.capabilities._rehearsing import taken_back_in
from assent.capabilities.findings._desk import Desk, ProjectName, project_of
from assent.capabilities.findings.area import decision_text
from assent.capabilities.findings.ingest import Ingested, head_of, normalise
from assent.capabilities.handed import FILE_BYTES_MAX, Counted, Upload, measured
from assent.errors import InputError, RefusedError
from assent.findings.book import Kept as Reached
from assent.findings.book import Removal, Wanted
from assent.findings.finding import Severity
from assent.findings.merging import RANK
from assent.findings.triage import ACTIVE, Scope, Status, Triage, changed, read_change
from assent.invocation import Attachment, LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict
from assent.spec.types import Uuid, WorkspacePath
from assent.spec.values.canonical import fingerprint
from assent.spec.words.durations import instant, parse_instant_ms
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text, size_text

DECIDED_MAX: Final = 10_000
"""Findings of one triage."""
SHOWN_MAX: Final = 10
"""Findings that are shown beforehand, of those that a triage is about."""
_DAY_MS: Final = 86_400_000
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")


class Import(SpecModel):
    """What to import: a file of the workspace by `path`, or one that a person handed over, by `handed`."""

    project: ProjectName
    path: WorkspacePath | None = None
    handed: Upload | None = Field(
        default=None, description="what a person handed over with `assent findings import`"
    )
    name: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="what the file is called where it is told of; left out: its path"
    )
    tool: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="which tool wrote it; left out: the file says so itself"
    )
    tool_version: Annotated[str, Field(min_length=1, max_length=100)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Import:
        if (self.path is None) == (self.handed is None):
            raise ValueError("either `path` or `handed` must be given")
        return self

    @property
    def called(self) -> str:
        """What the file is called."""
        return self.name or self.path or "file"


class _Recorded:
    """What is the same of these acts."""

    def compensate(self, context: LocalContext) -> None:
        """Nothing: the store is folded without it, once it is on record that it is taken back."""

    def reconcile(self) -> Reconciliation:
        """Without its outcome it has had no effect."""
        return Reconciliation(Verdict.NO)


class ImportEffect(_Recorded):
    """A file becomes a dataset: kept as it is before the act, read in it."""

    def preview(self, context: LocalContext, parameters: Import) -> Preview:
        """Which file, which tool wrote it, and where its findings go."""
        desk = context.app.get(Desk)
        ident, name = project_of(parameters.project)
        digest, size = measured(_raw(context, parameters))
        found = desk.tools().recognise(head_of(_raw(context, parameters)), parameters.tool)
        text = (
            f"imports {safe_line(parameters.called)}, {size_text(size)}, which {found.name} wrote,"
            f" into the project {safe_line(name or ident)}"
        )
        return Preview("text", text, fingerprint({"file": digest, "tool": found.name}))

    def prepare(self, context: LocalContext, parameters: Import) -> Prepared:
        """Keep the file as it is now, and refuse what nobody can read."""
        desk = context.app.get(Desk)
        project_of(parameters.project)
        raw = Counted(_raw(context, parameters))
        digest = context.blobs.put(raw)
        try:
            desk.tools().recognise(head_of(context.blobs.read(digest)), parameters.tool)
        except InputError as error:  # Of several files that are imported it is told which.
            error.path = error.path or parameters.called
            raise
        return Prepared({"blob": digest, "bytes": raw.size}, blobs=(digest,))

    def execute(self, context: LocalContext, parameters: Import) -> Ingested:
        """Read it, record by record."""
        prepared = context.prepared or {}
        raw = Attachment(str(prepared["blob"]), int(str(prepared["bytes"])))
        outcome = normalise(
            context,
            project=parameters.project,
            raw=raw,
            tool=parameters.tool,
            tool_version=parameters.tool_version,
            name=parameters.called,
        )
        if parameters.handed is not None:
            handed = context.app.get(Desk).handed
            handed.drop(parameters.handed, str(context.principal), context.capability)
        return outcome


def _raw(context: LocalContext, parameters: Import) -> Iterator[bytes]:
    """The bytes of a file that is imported, held to their limit. `FILE_TOO_LARGE`."""
    chunks: Iterable[bytes]
    if parameters.handed is not None:
        chunks = context.app.get(Desk).handed.read(parameters.handed, context)
    else:
        assert parameters.path is not None  # INVARIANT: the model asks for one of both
        chunks = context.world.files.read(parameters.path)
    counted = Counted(chunks)
    for chunk in counted:
        if counted.size > FILE_BYTES_MAX:
            raise NoEffectError(
                "FILE_TOO_LARGE",
                f"`{safe_line(parameters.called)}` has more than {size_text(FILE_BYTES_MAX)}",
                hint="import it in parts: a dataset of each",
            )
        yield chunk


class Suppression(SpecModel):
    """Not to be told of, for a reason: until a moment, or for good without one."""

    reason: Annotated[str, Field(min_length=1, max_length=10_000)]
    until: Annotated[str, Field(max_length=40)] | None = Field(
        default=None,
        description="RFC 3339, in UTC: `2027-01-31T08:00:00Z`; a day, `2027-01-31`, is meant to its end",
    )
    scope: Scope = Field(
        default=Scope.FINDING,
        description="`detector` and `resource` reach all of the finding's in its project, also what comes later",
    )

    @field_validator("until")
    @classmethod
    def _to_the_end_of_a_day(cls, said: str | None) -> str | None:
        return f"{said}T23:59:59Z" if said is not None and _DAY.fullmatch(said) else said


class Matching(SpecModel):
    """The findings of the project that fit all that is said: what is open or triaged and not suppressed, unless it is said."""

    severities: list[Severity] = Field(default_factory=list, max_length=6)
    statuses: list[Status] = Field(
        default=sorted(ACTIVE), max_length=6, description="an empty list: whatever was decided"
    )
    suppressed: bool | None = Field(default=False, description="null: also what is suppressed")
    detectors: list[str] = Field(default_factory=list, max_length=100)
    tools: list[str] = Field(default_factory=list, max_length=100)
    run: str | None = None
    owner: str | None = None
    tag: str | None = None
    text: str | None = None

    def wanted(self) -> Wanted:
        """The same as the store is asked."""
        return Wanted(
            severities=frozenset(self.severities),
            statuses=frozenset(self.statuses),
            suppressed=self.suppressed,
            detectors=frozenset(self.detectors),
            tools=frozenset(self.tools),
            run=self.run,
            owner=self.owner,
            tag=self.tag,
            text=self.text,
        )


class TriageChange(SpecModel):
    """Which findings, and what is decided of them; what is left out stays as it is."""

    project: ProjectName
    findings: list[Uuid] = Field(default_factory=list, max_length=DECIDED_MAX, description="by their ids")
    matching: Matching | None = Field(default=None, description="or all that fit this")
    status: Status | None = None
    owner: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="whose they are from now on; an empty text: nobody's"
    )
    add_tags: list[str] = Field(default_factory=list, max_length=100)
    remove_tags: list[str] = Field(default_factory=list, max_length=100)
    note: Annotated[str, Field(max_length=10_000)] | None = None
    suppress: Suppression | None = None
    unsuppress: bool = False

    @model_validator(mode="after")
    def _can_be(self) -> TriageChange:
        if bool(self.findings) == (self.matching is not None):
            raise ValueError("either `findings` or `matching` must be given")
        if self.suppress is not None and self.unsuppress:
            raise ValueError("`suppress` and `unsuppress` exclude each other")
        changes = [read_change(one) for one in self.changes()]
        if not changes:
            raise ValueError(
                "a status, an owner, tags, a note or `suppress` must be given: nothing is decided"
            )
        try:
            changed(Triage(), *changes, at=instant(0), by="nobody")
        except InputError as error:
            raise ValueError(error.message) from None
        return self

    def changes(self) -> list[dict[str, JsonValue]]:
        """The changes one after the other, as documents."""
        found: list[dict[str, JsonValue]] = []
        if self.status is not None:
            found.append({"action": "set_status", "status": self.status.value})
        if self.owner is not None:
            found.append({"action": "set_owner", "owner": self.owner or None})
        for action, tags in (("add_tags", self.add_tags), ("remove_tags", self.remove_tags)):
            if tags:
                found.append({"action": action, "tags": [*tags]})
        if self.note is not None:
            found.append({"action": "add_note", "text": self.note})
        if self.suppress is not None:
            found.append({"action": "suppress", **self.suppress.model_dump(mode="json")})
        if self.unsuppress:
            found.append({"action": "unsuppress"})
        return found


class Decided(SpecModel):
    """What was decided, of which findings, when and by whom."""

    project: str
    findings: list[str]
    changes: list[dict[str, JsonValue]]
    at: str
    by: str
    count: int


class TriageEffect(_Recorded):
    """Something is decided about findings, which are chosen before the act."""

    def preview(self, context: LocalContext, parameters: TriageChange) -> Preview:
        """How many findings it is about, the worst of them, and what is decided."""
        project, found = _chosen(context, parameters)
        words = safe_line("; ".join(map(decision_text, parameters.changes())))
        lines = [f"decides about {count_text(len(found), 'finding')}: {words}"]
        shown = sorted(found.values(), key=lambda one: RANK[one.severity], reverse=True)[:SHOWN_MAX]
        lines += [f"  {one.id[:8]}  {one.severity.value:<8}  {safe_line(one.title)}" for one in shown]
        if len(found) > len(shown):
            lines.append(f"  and {len(found) - len(shown)} more, none of them worse")
        is_known = all(one.is_so for one in found.values())
        base = fingerprint({"project": project, "findings": [*found]})
        return Preview("text", "\n".join(lines), base, changes=not is_known)

    def prepare(self, context: LocalContext, parameters: TriageChange) -> Prepared:
        """Which findings it is about from here on, whatever else comes in."""
        project, found = _chosen(context, parameters)
        return Prepared({"project": project, "findings": [*found]})

    def execute(self, context: LocalContext, parameters: TriageChange) -> Decided:
        """Say what is decided."""
        prepared: Any = context.prepared or {}  # `Any`: JSON, as `prepare` gave it
        desk = context.app.get(Desk)
        return Decided(
            project=prepared["project"],
            findings=[*prepared["findings"]],
            changes=parameters.changes(),
            at=instant(context.started_ms or desk.now_ms()),
            by=str(context.principal),
            count=len(prepared["findings"]),
        )

    def compensate(self, context: LocalContext) -> None:
        """Nothing, unless somebody decided otherwise since. `COMPENSATION_CONFLICT`."""
        taken = taken_back_in(context.world) if context.world.is_simulated else None
        if not context.app.get(Desk).stands(context.run, context.step, taken):
            raise RefusedError(
                "COMPENSATION_CONFLICT",
                "somebody decided otherwise about some of the findings since",
                hint="undo that first, or leave it as it is"
                if taken is not None
                else f"`assent resolve {context.run} {context.step} --abandon` leaves what was decided since as it is",
            )
        if taken is not None:
            taken.add((context.run, context.step))


class _Chosen(msgspec.Struct, frozen=True):
    """A finding that is decided about. `is_so`: what is decided of it stands already."""

    id: str
    severity: Severity
    title: str
    is_so: bool


def _judging(context: LocalContext, parameters: TriageChange) -> Callable[[Triage], Triage]:
    """What is decided after this; it raises where that can't be added to what was decided of a finding. `TRIAGE_INVALID`."""
    now_ms = context.app.get(Desk).now_ms()
    until = None if parameters.suppress is None else parameters.suppress.until
    if until is not None and parse_instant_ms(until) <= now_ms:
        raise InputError(
            "TRIAGE_INVALID", f"`until` is in the past: {until}", hint="without it, it is suppressed for good"
        )
    changes = [read_change(one) for one in parameters.changes()]
    at, by = instant(now_ms), str(context.principal)
    return lambda triage: changed(triage, *changes, at=at, by=by)


def _chosen(context: LocalContext, parameters: TriageChange) -> tuple[str, dict[str, _Chosen]]:
    """The project's id, and the findings that are meant, by id. `FINDING_UNKNOWN`, `TRIAGE_TOO_MANY`, `TRIAGE_INVALID`."""
    judge = _judging(context, parameters)
    found: dict[str, _Chosen] = {}

    muted: dict[str, str] = {}

    def choose(kept: Reached) -> None:
        one, triage = kept.reported.finding, kept.reported.triage
        found[one.id] = _Chosen(one.id, one.severity, one.title, judge(triage) == triage)
        if kept.muted_by is not None:
            muted[one.id] = kept.muted_by

    with context.app.get(Desk).looking(context.run) as book:
        number, ident, name = book.project(parameters.project)
        for said in parameters.findings:
            kept = book.one(said)
            if kept.reported.finding.project_id != ident:
                raise InputError(
                    "FINDING_UNKNOWN",
                    f"the finding `{said}` is not of the project `{safe_line(name or ident)}`",
                )
            choose(kept)
        if parameters.matching is not None:
            wanted = parameters.matching.wanted()
            for fitting in book.stream(number, wanted):
                choose(fitting)
                if len(found) > DECIDED_MAX:
                    raise InputError(
                        "TRIAGE_TOO_MANY",
                        f"more than {DECIDED_MAX} findings fit",
                        hint="say more of them, and decide in several steps",
                    )
            if not found:
                hints = [*book.unheard(number, wanted), "`assent findings list` shows what there is"]
                raise InputError("FINDING_UNKNOWN", "no finding fits", hint=hints[0])
    for one, by in muted.items() if parameters.unsuppress else ():
        if by not in found:
            raise InputError(
                "TRIAGE_INVALID",
                f"the finding `{one}` is suppressed with all of its rule or resource, by what was decided about `{by}`",
                hint=f"unsuppress that one: `assent findings triage {by[:8]} --unsuppress`",
            )
    return ident, found


class Gc(SpecModel):
    """What is old: findings that were not seen, and runs that ended, so many days ago."""

    project: ProjectName
    findings_days: Annotated[int, Field(ge=1, le=36_500)] = 180
    runs_days: Annotated[int, Field(ge=1, le=36_500)] = 90


class Outdated(SpecModel):
    """What was removed: datasets from before a moment and findings not seen since another, but those of `kept_runs`."""

    project: str
    datasets_before: str
    findings_before: str
    kept_runs: list[str]
    datasets: int
    findings: int


class GcEffect(_Recorded):
    """What is old at the time of the act goes out of a project."""

    def preview(self, context: LocalContext, parameters: Gc) -> Preview:
        """How many datasets and findings would go."""
        found, name = self._looked(context, parameters)
        text = (
            f"removes {count_text(found.datasets, 'dataset')} of runs older than {count_text(parameters.runs_days, 'day')} and"
            f" {count_text(found.findings, 'finding')} not seen for {count_text(parameters.findings_days, 'day')}"
            f" from the project {safe_line(name or found.project)}\n"
            "the ledger keeps what was recorded: `assent prune` erases that"
        )
        base = fingerprint({"datasets": found.datasets, "findings": found.findings})
        return Preview("text", text, base, changes=bool(found.datasets or found.findings))

    def prepare(self, context: LocalContext, parameters: Gc) -> Prepared:
        """What is old by now."""
        return Prepared(self._looked(context, parameters)[0].model_dump(mode="json"))

    def execute(self, context: LocalContext, parameters: Gc) -> Outdated:
        """Say what is removed."""
        del parameters  # It is what was looked at before the act.
        return Outdated.model_validate(dict(context.prepared or {}))

    def _looked(self, context: LocalContext, parameters: Gc) -> tuple[Outdated, str | None]:
        desk = context.app.get(Desk)
        now_ms = desk.now_ms()
        with desk.looking(context.run) as book:
            _, project, name = book.project(parameters.project)
        removal = Removal(
            project=project,
            datasets_before_ms=now_ms - parameters.runs_days * _DAY_MS,
            findings_before_ms=now_ms - parameters.findings_days * _DAY_MS,
            keep=tuple(desk.unfinished()),
        )
        counted = desk.count_old(context.run, removal)
        found = Outdated(
            project=project,
            datasets_before=instant(removal.datasets_before_ms),
            findings_before=instant(removal.findings_before_ms),
            kept_runs=[*removal.keep],
            datasets=counted.datasets,
            findings=counted.findings,
        )
        return found, name


class OneProject(SpecModel):
    """The project that is removed."""

    project: ProjectName


class Gone(SpecModel):
    """What was removed of a project."""

    project: str
    findings: int
    datasets: int


class DeleteProjectEffect(_Recorded):
    """A project goes with all that it has."""

    def preview(self, context: LocalContext, parameters: OneProject) -> Preview:
        """How much would go."""
        gone, name = self._looked(context, parameters)
        text = (
            f"removes the project {safe_line(name or gone.project)} with {count_text(gone.findings, 'finding')},"
            f" {count_text(gone.datasets, 'dataset')} and all that was decided"
        )
        return Preview("text", text, fingerprint(gone.model_dump()))

    def prepare(self, context: LocalContext, parameters: OneProject) -> Prepared:
        """What there is of it."""
        return Prepared(self._looked(context, parameters)[0].model_dump())

    def execute(self, context: LocalContext, parameters: OneProject) -> Gone:
        """Say that it is removed."""
        del parameters  # What there was of it was looked at before the act.
        return Gone.model_validate(dict(context.prepared or {}))

    def _looked(self, context: LocalContext, parameters: OneProject) -> tuple[Gone, str | None]:
        with context.app.get(Desk).looking(context.run) as book:
            _, ident, name = book.project(parameters.project)
            one = next(one for one in book.projects() if one.id == ident)
        return Gone(project=ident, findings=one.findings, datasets=one.datasets), name
