"""What was indexed, and what shows it: counts, roots, proofs, and all of a repository with its proof."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from pydantic import Field

from assent.capabilities.knowledge._indexing import Repository, require_wanted
from assent.capabilities.knowledge._library import Library
from assent.capabilities.knowledge._searching import ChunkName, place_in_view
from assent.capabilities.knowledge._use_model import Model, model_of
from assent.invocation import LocalContext, NoEffectError
from assent.knowledge.chunks import LeftOut
from assent.knowledge.manifest import Listed, bundled, bundled_leaf
from assent.spec.capability import SpecModel
from assent.spec.types import UnkeptText

EXPORTED_BYTES: Final = 4 << 20
"""About so much is exported by one call: whole files."""


class Standing(SpecModel):
    """How a repository stands; what is counted is what who asks may search."""

    repository: str
    folder: str | None
    """None: it is configured no more."""
    generation: int
    """0: it was never indexed."""
    root: str
    files: int
    chunks: int
    vectors: int
    """How many of the chunks have one of the model."""


class Status(SpecModel):
    """What can be searched."""

    tenant: str
    encryption: str
    """`on` or `off`."""
    recipients: tuple[str, ...]
    """Who can recover the master key: X25519 public keys in hexadecimal digits."""
    model: Model | None
    """None: what is asked is found by words alone."""
    repositories: tuple[Standing, ...]


def status(context: LocalContext) -> Status:
    """The repositories that are configured, and others of which there are files that who asks may see."""
    library, roles = context.app.get(Library), frozenset(context.principal.roles)
    view, found = library.view(roles), []
    for name in library.names(roles):
        last, files = library.store.last(name), library.seen(name, roles)
        one = Standing(
            repository=name,
            folder=library.repositories.get(name),
            generation=last.number,
            root=last.root if last.number else "",
            files=len(files),
            chunks=sum(file.chunks for file in files),
            vectors=view.embedded(name),
        )
        found.append(one)
    return Status(
        tenant=library.tenant,
        encryption=library.encryption,
        recipients=tuple(library.store.recipients),
        model=model_of(library.models.kept()),
        repositories=tuple(found),
    )


def verify(context: LocalContext) -> Status:
    """Read all there is against the roots of the repositories."""
    context.app.get(Library).store.verify()
    return status(context)


class ProvenCut(SpecModel):
    """A chunk as the manifest has it."""

    digest: str
    line: int
    end_line: int
    symbol: UnkeptText


class Proven(SpecModel):
    """What shows that a chunk was indexed: hashes on the way from it to the root of its repository."""

    chunk: ProvenCut
    number: int
    chunks: int
    in_file: tuple[str, ...]
    chunks_root: str
    path: str
    digest: str
    language: str
    label: str
    file: int
    files: int
    in_workspace: tuple[str, ...]
    files_root: str
    root: str


def prove(context: LocalContext, parameters: ChunkName) -> Proven:
    """The way from a chunk that who asks may see to the root that the ledger has."""
    view, place, repository = place_in_view(context, parameters)
    path, number = view.place(*place)
    found = context.app.get(Library).store.prove(repository, path, number)
    if found is None:
        raise _stale("the chunk was indexed again meanwhile", hint="search again")
    said = msgspec.structs.asdict(found)
    return Proven(**{**said, "chunk": ProvenCut(**msgspec.structs.asdict(found.chunk))})


def _stale(message: str, *, hint: str) -> NoEffectError:
    return NoEffectError("KNOWLEDGE_STALE", message, hint=hint)


class Part(Repository):
    """Which part of a repository."""

    after: Annotated[int, Field(ge=0, description="how many files of the manifest were given before")] = 0
    root: Annotated[
        str, Field(max_length=64, description="of the parts before, so that all are of one manifest")
    ] = ""


class Exported(SpecModel):
    """Some files of a repository in the order of its manifest, those that are hidden as hashes alone."""

    repository: str
    generation: int
    root: str
    after: int
    """How many files of the manifest were given, with these."""
    files: int
    """Of the manifest, with those that are hidden or were left out."""
    shown: int
    """How many of those that were given now can be read."""
    hidden: int
    """How many of them are hidden."""
    first: str | None
    """The first of their chunks."""
    lines: UnkeptText
    """A line of JSON for each file and chunk."""


def export(context: LocalContext, parameters: Part) -> Exported:
    """The next files, some `EXPORTED_BYTES` of them, with their texts as they were cleaned."""
    library, roles = context.app.get(Library), frozenset(context.principal.roles)
    store, name = library.store, parameters.repository
    library.require(name, roles)
    last, files = library.held(name)
    lines, after, first = bytearray(), parameters.after, None
    shown = hidden = 0
    for held in files[after:]:
        require_wanted(context)
        after += 1
        if not library.may_see(held.path, roles, is_left_out=bool(held.because)):
            lines += bundled_leaf(held.leaf)
            hidden += 1
        elif held.because:
            lines += b"".join(bundled(LeftOut(held.path, held.because)))
        else:
            listed = Listed(held.path, held.digest, held.language, held.label, store.cuts(held.row))
            texts = (store.text(held.row, number).decode() for number in range(held.chunks))
            lines += b"".join(bundled(listed, texts))
            shown += 1
            first = first or (f"{held.path}::0" if held.chunks else None)
        if len(lines) >= EXPORTED_BYTES:
            break
    if store.last(name) != last or parameters.root not in ("", last.root):
        raise _stale("the repository was indexed again meanwhile", hint="export it again")
    if after >= len(files):
        library.let_go()
    return Exported(
        repository=name,
        generation=last.number,
        root=last.root if last.number else "",
        after=after,
        files=len(files),
        shown=shown,
        hidden=hidden,
        first=first,
        lines=lines.decode(),
    )
