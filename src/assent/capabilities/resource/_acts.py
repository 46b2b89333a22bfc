"""`resource.publish`, `promote`, `retire` and `read`.

A change is known by the moment that `prepare` journaled: what is in the registry with that moment is this call's own, so a call
that was cut short is settled by looking, and its undo takes back nothing that others did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final

import msgspec
from pydantic import Field, JsonValue, model_validator

from assent.capabilities._rehearsing import taken_back_in
from assent.capabilities.handed import Counted, Kept, Upload, measured
from assent.capabilities.resource._shelf import Shelf, at, resolved_for_use
from assent.errors import InputError, RefusedError
from assent.findings.assets import (
    AssetVersion,
    Level,
    Reference,
    bounded,
    exists,
    read_exact,
    read_reference,
    read_wider,
)
from assent.invocation import LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict
from assent.spec.types import WorkspacePath
from assent.spec.values.canonical import fingerprint
from assent.spec.values.typed import convert
from assent.spec.words.sizes import count_text, size_text

TEXT_BYTES_MAX: Final = 64 << 10
"""The largest content that `resource.read` answers as text."""

Name = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Meant = Annotated[str, Field(min_length=1, max_length=512, description="`res://[SCOPE/]TYPE/NAME:VERSION`")]
Exact = Annotated[str, Field(min_length=1, max_length=512, description="`res://SCOPE/TYPE/NAME:VERSION`")]


class Version(SpecModel):
    """A version as it is now."""

    reference: str
    sha256: str
    bytes: int
    published_at: str
    promoted_from: str | None
    retired_at: str | None


def _said(one: AssetVersion) -> Version:
    return Version(
        reference=str(one.reference),
        sha256=one.sha256,
        bytes=one.size_bytes,
        published_at=one.published_at,
        promoted_from=one.promoted_from,
        retired_at=one.retired_at,
    )


class _Journaled(msgspec.Struct, frozen=True):
    """What `prepare` noted of a change."""

    reference: str
    """What it changes."""
    at: str
    was_so: bool
    """It was as it would be already, and nothing is to be taken back."""
    sha256: str = ""
    bytes: int = 0
    source: str = ""

    def prepared(self, *blobs: str) -> Prepared:
        state: dict[str, JsonValue] = msgspec.to_builtins(self)
        return Prepared(state, blobs)

    @property
    def meant(self) -> Reference:
        return read_reference(self.reference)

    @property
    def foreseen(self) -> Version:
        """What a simulated call says of a version that it only would make."""
        return Version(
            reference=self.reference,
            sha256=self.sha256,
            bytes=self.bytes,
            published_at=self.at,
            promoted_from=self.source or None,
            retired_at=None,
        )


def _journaled(context: LocalContext) -> _Journaled:
    state: Mapping[str, object] = context.prepared or {}
    return convert(dict(state), _Journaled)


def _settled(context: LocalContext) -> Reconciliation:
    """A version that came to be is there with its moment and content, or was there before."""
    noted = _journaled(context)
    with context.app.get(Shelf).looking() as provider:
        found = at(provider, noted.meant)
    if found is None or found.sha256 != noted.sha256 or not (noted.was_so or found.published_at == noted.at):
        return Reconciliation(Verdict.NO)
    return Reconciliation(Verdict.YES, _said(found).model_dump(mode="json"))


def _withdrawn(context: LocalContext) -> None:
    """Remove a version that this call made. `COMPENSATION_CONFLICT` where somebody used it since."""
    noted, shelf = _journaled(context), context.app.get(Shelf)
    if noted.was_so:
        return
    try:
        if not context.world.is_simulated:
            with shelf.changing() as provider:
                provider.withdraw(noted.meant, published_at=noted.at)
            return
        taken = taken_back_in(context.world)
        with shelf.looking() as provider:
            provider.withdrawable(
                noted.meant,
                published_at=noted.at,
                copies_but={one for what, one in taken if what == "published"},
                is_reinstated=("retired", noted.reference) in taken,
            )
        taken.add(("published", noted.reference))
    except (InputError, NoEffectError) as error:
        raise RefusedError("COMPENSATION_CONFLICT", error.message, hint=error.hint) from None


class Publish(SpecModel):
    """What to publish: a file of the workspace by `path`, a `text`, or what a person handed over, by `handed`."""

    reference: Exact
    path: WorkspacePath | None = None
    text: Annotated[str, Field(max_length=1 << 20)] | None = None
    handed: Upload | None = Field(
        default=None, description="what a person handed over with `assent resource publish`"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Publish:
        if sum(one is not None for one in (self.path, self.text, self.handed)) != 1:
            raise ValueError("one of `path`, `text` and `handed` must be given")
        return self


class PublishEffect:
    """`resource.publish`."""

    def preview(self, context: LocalContext, parameters: Publish) -> Preview:
        """Which version, how large, and whether it is there already."""
        meant = _publishable(context, parameters)
        digest, size = measured(_content(context, parameters))
        there = self._there(context, meant, digest)
        said = f"{meant} with {size_text(size)}, sha256 {digest}"
        text = f"publishes {said}" if there is None else f"{said} is published already"
        base = fingerprint({"sha256": digest, "there": there is not None})
        return Preview("text", text, base, changes=there is None)

    def prepare(self, context: LocalContext, parameters: Publish) -> Prepared:
        """Keep the content as it is now."""
        meant = _publishable(context, parameters)
        content = Counted(_content(context, parameters))
        digest = measured(content)[0] if context.world.is_simulated else context.blobs.put(content)
        there = self._there(context, meant, digest)
        moment = context.app.get(Shelf).now()
        noted = _Journaled(str(meant), moment, was_so=there is not None, sha256=digest, bytes=content.size)
        return noted.prepared(digest)

    def _there(self, context: LocalContext, meant: Reference, digest: str) -> AssetVersion | None:
        with context.app.get(Shelf).looking() as provider:
            there = at(provider, meant)
        if there is not None and there.sha256 != digest:
            raise exists(there)
        return there

    def execute(self, context: LocalContext, parameters: Publish) -> Version:
        """Publish what was kept; again is harmless."""
        noted, shelf = _journaled(context), context.app.get(Shelf)
        if context.world.is_simulated:
            return noted.foreseen
        with shelf.changing() as provider:
            made = provider.publish(noted.reference, context.blobs.read(noted.sha256), at=noted.at)
        if parameters.handed is not None:
            shelf.handed.drop(parameters.handed, str(context.principal), context.capability)
        return _said(made)

    def reconcile(self, context: LocalContext) -> Reconciliation:
        """Whether it is there."""
        return _settled(context)

    def compensate(self, context: LocalContext) -> None:
        """Remove it, unless somebody used it since. `COMPENSATION_CONFLICT`."""
        _withdrawn(context)


def _publishable(context: LocalContext, parameters: Publish) -> Reference:
    """What is published. What a run has comes before all else for its calls, so nobody else may put anything there."""
    meant, scope, _ = read_exact(parameters.reference)
    if scope.level is Level.RUN and scope.name != context.run:
        raise NoEffectError(
            "RESOURCE_REQUEST_INVALID",
            f"`{meant}` is of the run `{scope.name}`, and this call is not",
            path="reference",
            hint="publish it in a session's own run, or to a project, a group or `global`",
        )
    return meant


def _content(context: LocalContext, parameters: Publish) -> Iterator[bytes]:
    """What is published, held to its limit. `RESOURCE_TOO_LARGE`."""
    chunks: Iterable[bytes]
    if parameters.handed is not None:
        chunks = context.app.get(Shelf).handed.read(parameters.handed, context)
    elif parameters.path is not None:
        chunks = context.world.files.read(parameters.path)
    else:
        chunks = ((parameters.text or "").encode(),)
    return bounded(chunks)


class Promote(SpecModel):
    """Which version, and to which wider scope."""

    reference: Meant
    to: Annotated[
        str, Field(max_length=140, description="`node/NAME`, `project/NAME`, `group/NAME` or `global`")
    ]
    project: Name | None = None
    group: Name | None = None


class PromoteEffect:
    """`resource.promote`."""

    def preview(self, context: LocalContext, parameters: Promote) -> Preview:
        """From where to where, and whether it is there already."""
        source, target, there = self._looked(context, parameters)
        text = f"copies {source.reference}, {size_text(source.size_bytes)}, to {target}"
        if there:
            text = f"{target} is there already, with the content of {source.reference}"
        base = fingerprint({"source": str(source.reference), "sha256": source.sha256, "there": there})
        return Preview("text", text, base, changes=not there)

    def prepare(self, context: LocalContext, parameters: Promote) -> Prepared:
        """Which version it is, from here on."""
        source, target, there = self._looked(context, parameters)
        return _Journaled(
            str(target),
            context.app.get(Shelf).now(),
            was_so=there,
            sha256=source.sha256,
            bytes=source.size_bytes,
            source=str(source.reference),
        ).prepared()

    def _looked(self, context: LocalContext, parameters: Promote) -> tuple[AssetVersion, Reference, bool]:
        shelf = context.app.get(Shelf)
        here = shelf.context(
            run=context.run, step=context.step, project=parameters.project, group=parameters.group
        )
        with shelf.looking() as provider:
            source = provider.resolve(parameters.reference, here)
            target = read_wider(source, parameters.to)
            there = at(provider, target)
        if there is not None and there.sha256 != source.sha256:
            raise exists(there)
        return source, target, there is not None

    def execute(self, context: LocalContext, parameters: Promote) -> Version:
        """Copy it; again is harmless."""
        noted = _journaled(context)
        if context.world.is_simulated:
            return noted.foreseen
        with context.app.get(Shelf).changing() as provider:
            there = at(provider, noted.meant)
            if there is None or there.sha256 != noted.sha256:
                there = provider.promote(noted.source, parameters.to, at=noted.at)
        return _said(there)

    def reconcile(self, context: LocalContext) -> Reconciliation:
        """Whether the copy is there."""
        return _settled(context)

    def compensate(self, context: LocalContext) -> None:
        """Remove the copy, unless somebody used it since. `COMPENSATION_CONFLICT`."""
        _withdrawn(context)


class Retire(SpecModel):
    """Which version."""

    reference: Exact


class RetireEffect:
    """`resource.retire`."""

    def preview(self, context: LocalContext, parameters: Retire) -> Preview:
        """Which version, and how much it was used."""
        one = self._found(context, parameters)
        text = f"takes {one.reference} out of use; it was used {count_text(one.uses, 'time')}"
        if one.retired_at is not None:
            text = f"{one.reference} is out of use since {one.retired_at}"
        base = fingerprint({"reference": str(one.reference), "retired": one.retired_at is not None})
        return Preview("text", text, base, changes=one.retired_at is None)

    def prepare(self, context: LocalContext, parameters: Retire) -> Prepared:
        """Whether it was retired before."""
        one = self._found(context, parameters)
        moment = context.app.get(Shelf).now()
        return _Journaled(
            str(one.reference), moment, was_so=one.retired_at is not None, sha256=one.sha256
        ).prepared()

    def _found(self, context: LocalContext, parameters: Retire) -> AssetVersion:
        meant = read_exact(parameters.reference)[0]
        with context.app.get(Shelf).looking() as provider:
            one = at(provider, meant)
        if one is None:
            raise NoEffectError(
                "RESOURCE_NOT_FOUND",
                f"`{meant}` is not there",
                hint="`assent resource list` shows what is",
            )
        return one

    def execute(self, context: LocalContext, parameters: Retire) -> Version:
        """Take it out of use; again is harmless."""
        noted = _journaled(context)
        if context.world.is_simulated:
            one = self._found(context, parameters)
            return _said(msgspec.structs.replace(one, retired_at=one.retired_at or noted.at))
        with context.app.get(Shelf).changing() as provider:
            return _said(provider.retire(noted.reference, at=noted.at))

    def reconcile(self, context: LocalContext) -> Reconciliation:
        """Whether it is out of use."""
        noted = _journaled(context)
        with context.app.get(Shelf).looking() as provider:
            one = at(provider, noted.meant)
        if one is None or one.retired_at is None or not (noted.was_so or one.retired_at == noted.at):
            return Reconciliation(Verdict.NO)
        return Reconciliation(Verdict.YES, _said(one).model_dump(mode="json"))

    def compensate(self, context: LocalContext) -> None:
        """Put it back into use, if this call took it out."""
        noted = _journaled(context)
        if noted.was_so:
            return
        if context.world.is_simulated:
            taken_back_in(context.world).add(("retired", noted.reference))
        else:
            with context.app.get(Shelf).changing() as provider:
                provider.reinstate(noted.meant, retired_at=noted.at)


class Read(SpecModel):
    """Which resource; without a scope it is looked for in run, step, project, group and `global`."""

    reference: Meant
    project: Name | None = None
    group: Name | None = None


class Content(SpecModel):
    """The version that was meant, and its content: as `text` where it is small and text, else attached as `content`."""

    reference: str
    sha256: str
    bytes: int
    uses: int
    text: str | None
    content: Kept | None


def read(context: LocalContext, parameters: Read) -> Content:
    """Use a resource."""
    used = resolved_for_use(context, parameters.reference, project=parameters.project, group=parameters.group)
    text, content = None, None
    if used.size_bytes <= TEXT_BYTES_MAX:
        data = b"".join(used.chunks())
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = None
    if text is None:
        kept = context.attach(used.chunks())
        content = Kept(blob=kept.blob, bytes=kept.bytes)
    return Content(
        reference=used.reference,
        sha256=used.sha256,
        bytes=used.size_bytes,
        uses=used.uses,
        text=text,
        content=content,
    )
