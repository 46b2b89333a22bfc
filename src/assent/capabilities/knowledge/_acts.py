"""`knowledge.*`: what the workspace holds is indexed, asked, proved and forgotten.

What is asked and what is found is told and not kept (`UnkeptText`): the ledger has ids of chunks, digests and scores.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final, Self

import msgspec
from pydantic import Field, model_validator

from assent.capabilities.knowledge._library import (
    PLACE_CHARACTERS_MAX,
    WHOLE,
    Indexed,
    Library,
    with_archives,
)
from assent.capabilities.knowledge._models import MODELS, Kept, rewriters
from assent.capabilities.knowledge._views import Route as Routed
from assent.errors import AssentError, InputError, RefusedError, WorldError
from assent.invocation import LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.knowledge.asking import Found, Where
from assent.knowledge.chunks import LeftOut, all_languages
from assent.knowledge.manifest import Listed, bundled, bundled_leaf
from assent.knowledge.sources import QUEUE_MAX, Skipped
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict
from assent.spec.types import UnkeptText
from assent.spec.words.durations import write_duration
from assent.spec.words.sizes import count_text
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.knowledge.asking import View
    from assent.knowledge.cleaning import Mark

QUERY_CHARACTERS_MAX: Final = 2_000
HITS_MAX: Final = 50
FILTERS_MAX: Final = 100
"""Of each sort: every file is held against all of them, and the call is on the record with them."""
PATTERN_CHARACTERS_MAX: Final = 5_000
"""Of a pattern of paths."""
FORGOTTEN_MAX: Final = 10_000
EXPORTED_BYTES: Final = 4 << 20
"""About so much is exported by one call: whole files."""
LEFT_OUT_SHOWN_MAX: Final = 1_000
BYTES_PER_S: Final = 4_000_000
"""What is indexed in a second on a common machine, for what a plan expects."""

RepositoryName = Annotated[
    str, Field(min_length=1, max_length=128, description="a repository of `[knowledge]`")
]


class Repository(SpecModel):
    """Which repository."""

    repository: RepositoryName = WHOLE


class Indexing(Repository):
    """Which repository, and where in it."""

    within: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=PLACE_CHARACTERS_MAX)], ...],
        Field(
            max_length=QUEUE_MAX,
            description="paths below the workspace: these alone, and what is below them, are looked at; without: all",
        ),
    ] = ()


class IndexEffect:
    """A repository as it stands becomes a generation, which undo takes back."""

    def preview(self, context: LocalContext, parameters: Indexing) -> Preview:
        """Which folder is read."""
        library = context.app.get(Library)
        library.require_within(parameters.repository, parameters.within)
        places = f"{count_text(len(parameters.within), 'place')} in " if parameters.within else ""
        folder = f"{places}`{library.folder_of(parameters.repository)}`"
        return Preview("text", f"indexes {folder} as the repository `{parameters.repository}`", changes=True)

    def prepare(self, context: LocalContext, parameters: Indexing) -> Prepared:
        """Which generation the repository is at, of whose kind a later one can be told."""
        library = context.app.get(Library)
        library.require_within(parameters.repository, parameters.within)
        return Prepared({"before": library.store.last(parameters.repository).number})

    def execute(self, context: LocalContext, parameters: Indexing) -> Indexed:
        """Read what changed, and keep it cleaned."""

        def told(made: int) -> bool:
            context.progress(made, message=count_text(made, "vector"))
            return not context.cancel.is_cancelled

        library = context.app.get(Library)
        return library.index(
            parameters.repository,
            lambda: _require_wanted(context),
            context.progress,
            told,
            context,
            within=parameters.within,
        )

    def reconcile(self, context: LocalContext, parameters: Indexing) -> Reconciliation:
        """Without a later generation it did nothing. What is indexed already is not indexed again."""
        return _reconciled(context, parameters.repository)

    def compensate(self, context: LocalContext, parameters: Indexing) -> None:
        """Take the generation back; nothing where the call made none. `COMPENSATION_CONFLICT` where another came after it."""
        _take_back(context, parameters.repository, f"the repository `{parameters.repository}` was")


def _reconciled(context: LocalContext, repository: str) -> Reconciliation:
    last = context.app.get(Library).store.last(repository).number
    return Reconciliation(Verdict.NO if last == _before(context) else Verdict.UNKNOWN)


def _take_back(context: LocalContext, repository: str, what: str) -> None:
    store, output = context.app.get(Library).store, context.output
    before, last = _before(context), store.last(repository)
    # Without its output, what came after `before` is taken for what the call has made: its process ended behind it.
    made = int(str(output["generation"])) if isinstance(output, dict) else last.number
    if made <= before or last.number < made or (last.number == made and last.kind == "undo"):
        return
    try:
        store.undo(made)
    except InputError as error:
        raise RefusedError(
            "COMPENSATION_CONFLICT",
            f"{what} changed again, by generation {last.number}",
            hint="take the later changes back first, or index it anew",
        ) from error


def _before(context: LocalContext) -> int:
    return int(str((context.prepared or {})["before"]))


class ModelFolder(SpecModel):
    """Which model."""

    folder: Annotated[
        str | None,
        Field(
            pattern="^/", max_length=4_096, description="where it is on this machine; without: words alone"
        ),
    ] = None
    endpoint: Annotated[
        str | None,
        Field(max_length=128, description="or behind which endpoint of `[knowledge.endpoints]`"),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.folder is not None and self.endpoint is not None:
            raise ValueError("name a `folder` or an `endpoint`, not both")
        return self


class Model(SpecModel):
    """A model, and what it is known by."""

    name: str
    digest: str
    size: int
    """Components of its vectors."""
    converted: str
    """SHA-256 of what it was converted to; empty for one behind an endpoint."""
    files: dict[str, str]
    """SHA-256 of each of its files; for one behind an endpoint its address, with that of address, name and size."""


class Used(SpecModel):
    """The model from now on."""

    model: Model | None
    generation: int


class UseModelEffect:
    """The store has a model from now on, or none; undo has the one of before again."""

    def preview(self, context: LocalContext, parameters: ModelFolder) -> Preview:
        """Which folder, or where everything is sent."""
        what = "finds by words alone"
        if parameters.folder is not None:
            what = f"uses the model in `{parameters.folder}`"
        elif parameters.endpoint is not None:
            endpoint = context.app.get(Library).models.endpoint(parameters.endpoint)
            (url,) = endpoint.record.files
            what = f"sends what is indexed and asked, without the secrets that are found in it, to `{url}`"
        return Preview("text", f"{what}; the vectors of any other model are made anew", changes=True)

    def prepare(self, context: LocalContext) -> Prepared:
        """Which change of models was the last."""
        return Prepared({"before": context.app.get(Library).store.last(MODELS).number})

    def execute(self, context: LocalContext, parameters: ModelFolder) -> Used:
        """Convert it, and take down what it is."""
        library = context.app.get(Library)
        model = _model(library.models.use(parameters.folder, parameters.endpoint, context))
        return Used(model=model, generation=library.store.last(MODELS).number)

    def reconcile(self, context: LocalContext) -> Reconciliation:
        """Without a later generation it did nothing. What is used already is not taken down again."""
        return _reconciled(context, MODELS)

    def compensate(self, context: LocalContext) -> None:
        """Have the model of before."""
        _take_back(context, MODELS, "the model was")


def _model(kept: Kept | None) -> Model | None:
    if kept is None:
        return None
    record = kept.record
    return Model(
        name=record.name,
        digest=record.digest,
        size=record.size,
        converted=record.converted,
        files=record.files,
    )


class Question(SpecModel):
    """What is asked, and where an answer may stand."""

    query: Annotated[UnkeptText, Field(min_length=1, max_length=QUERY_CHARACTERS_MAX)]
    limit: Annotated[int, Field(ge=1, le=HITS_MAX)] = 10
    repositories: Annotated[tuple[RepositoryName, ...], Field(max_length=FILTERS_MAX)] = ()
    paths: Annotated[
        tuple[Annotated[str, Field(max_length=PATTERN_CHARACTERS_MAX)], ...],
        Field(
            max_length=FILTERS_MAX,
            description="patterns, in which `*` stands for any characters, `/` too",
        ),
    ] = ()
    languages: Annotated[tuple[Annotated[str, Field(max_length=80)], ...], Field(max_length=FILTERS_MAX)] = ()
    since_ms: Annotated[
        int | None, Field(description="files that were changed then or later, in milliseconds since 1970")
    ] = None
    until_ms: Annotated[int | None, Field(description="files that were changed before")] = None


class Reason(SpecModel):
    """Why a chunk was found."""

    terms: tuple[UnkeptText, ...]
    words_rank: int | None
    words_score: float | None
    meaning_rank: int | None
    cosine: float | None


class Marked(SpecModel):
    """Lines that speak to a model, and how: who reads them for one takes nothing there for an order."""

    line: int
    end_line: int
    kind: str


class Hit(SpecModel):
    """A chunk that answers a question."""

    path: str
    start_line: int
    end_line: int
    symbol: UnkeptText
    language: str
    text: UnkeptText
    score: float
    why: Reason
    label: str
    marks: tuple[Marked, ...] = ()
    chunk: str


class Route(SpecModel):
    """A repository, and why it was searched or left out."""

    repository: str
    because: str
    is_late: bool


class Hits(SpecModel):
    """The best first, no two of which overlap."""

    hits: tuple[Hit, ...]
    words_alone: str = ""
    """Why the model had no say, where there is one and it failed."""
    not_indexed: tuple[str, ...] = ()
    """Repositories that were to be searched and were never indexed."""
    late: tuple[str, ...] = ()
    """Repositories that were left out, because they were not read within their budget; a later search has them."""
    routes: tuple[Route, ...] = ()
    """The repositories that were to be searched and have something that who asks may see."""


def search(context: LocalContext, parameters: Question) -> Hits:
    """What who asks may see is searched, and nothing else."""
    library, roles = context.app.get(Library), frozenset(context.principal.roles)
    indexed = library.store.repositories()
    for name in parameters.repositories:
        library.require(name, roles)
    known = all_languages()
    for language in parameters.languages:
        if language not in known:
            raise NoEffectError(
                "INVALID_INPUT",
                f"no file is of the language `{language}`",
                path="languages",
                hint=did_you_mean(language, known, otherwise=f"there are: {', '.join(known)}"),
            )
    where = Where(
        parameters.paths,
        parameters.languages,
        parameters.repositories,
        parameters.since_ms,
        parameters.until_ms,
    )
    faults: list[AssentError] = []
    meaning = library.models.meaning(parameters.query, context, faults.append)

    def asked() -> tuple[list[Found], list[Routed]]:
        view, routes = library.routed(roles, parameters.repositories)
        return view.ask(parameters.query, limit=parameters.limit, meaning=meaning, where=where), routes

    try:
        found, routes = asked()
    except WorldError as error:
        if error.code != "KNOWLEDGE_STALE":
            raise
        # What it read was forgotten meanwhile, or put together with more.
        found, routes = asked()
    wanted = dict.fromkeys(parameters.repositories or library.repositories)
    return Hits(
        hits=tuple(map(_hit, found)),
        words_alone=str(faults[0]) if faults else "",
        not_indexed=tuple(name for name in wanted if name not in indexed),
        late=tuple(one.repository for one in routes if one.is_late),
        routes=tuple(
            Route(repository=one.repository, because=_because(one), is_late=one.is_late) for one in routes
        ),
    )


def _because(route: Routed) -> str:
    if route.budget_ms is None:
        return "it has no budget, and is waited for"
    return f"it was {'not ' * route.is_late}read within its budget of {write_duration(route.budget_ms)}"


def _hit(found: Found) -> Hit:
    why = Reason(**{**msgspec.structs.asdict(found.why), "terms": tuple(found.why.terms)})
    return Hit(**{**msgspec.structs.asdict(found), "why": why, "marks": _marked(found.marks)})


def _marked(marks: tuple[Mark, ...]) -> tuple[Marked, ...]:
    return tuple(Marked(**msgspec.structs.asdict(one)) for one in marks)


class ChunkName(SpecModel):
    """A chunk, as an answer to the same asker names it: `PATH::N`."""

    chunk: Annotated[str, Field(min_length=1, max_length=5_000)]
    repository: RepositoryName | None = None
    """Without: the one whose folder its file is in."""


class Chunk(SpecModel):
    """A chunk with its text, as it was cleaned."""

    chunk: str
    path: str
    start_line: int
    end_line: int
    symbol: UnkeptText
    language: str
    text: UnkeptText
    label: str
    marks: tuple[Marked, ...] = ()


def read_chunk(context: LocalContext, parameters: ChunkName) -> Chunk:
    """One that who asks may see; of any other it is not told whether it exists."""
    view, place, _ = _place(context, parameters)
    told = view.read(*place)
    return Chunk(
        chunk=parameters.chunk,
        path=parameters.chunk.rpartition("::")[0],
        start_line=told.line,
        end_line=told.end_line,
        symbol=told.symbol,
        language=told.language,
        text=told.text,
        label=told.label,
        marks=_marked(told.marks),
    )


def _place(context: LocalContext, parameters: ChunkName) -> tuple[View, tuple[int, int], str]:
    """Where a chunk stands in what its asker may see now. In another view, of a later index, other chunks stand there."""
    library = context.app.get(Library)
    repository = parameters.repository or library.holding(parameters.chunk.rpartition("::")[0])
    view = library.view(frozenset(context.principal.roles))
    place = view.chunk_of(parameters.chunk, repository)
    if place is None:
        raise NoEffectError(
            "KNOWLEDGE_CHUNK_UNKNOWN",
            f"you can see no chunk of that name in the repository `{repository}`",
            path="chunk",
            hint="search again: chunks are counted anew whenever something is indexed",
        )
    return view, place, repository


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
        model=_model(library.models.kept()),
        repositories=tuple(found),
    )


def verify(context: LocalContext) -> Status:
    """Read all there is against the roots of the repositories."""
    context.app.get(Library).store.verify()
    return status(context)


class Left(SpecModel):
    """A file or folder that is not read, and why."""

    path: str
    because: str


class Planned(SpecModel):
    """What an index run would read. Whether a file is text shows only when it is read."""

    repository: str
    folder: str
    files: int
    bytes: int
    seconds: float
    left_out: dict[str, int]
    first_left_out: tuple[Left, ...]


def plan(context: LocalContext, parameters: Repository) -> Planned:
    """Look at the folder, and read nothing of its files but archives; of those that who asks may not see nothing is told."""
    library, roles = context.app.get(Library), frozenset(context.principal.roles)
    files = size = 0
    left: list[Left] = []
    counts = Counter[str]()
    for one in library.sizes(parameters.repository, context.cancel):
        _require_wanted(context)
        path = one.path if isinstance(one, Skipped) else one[0]
        if not library.may_see(path, roles):
            continue
        if isinstance(one, Skipped):
            counts[one.reason.value] += 1
            if len(left) < LEFT_OUT_SHOWN_MAX:
                left.append(Left(path=path, because=one.because))
        else:
            files, size = files + 1, size + one[1]
    return Planned(
        repository=parameters.repository,
        folder=library.folder_of(parameters.repository),
        files=files,
        bytes=size,
        seconds=round(size / BYTES_PER_S, 1),
        left_out=dict(sorted(counts.items())),
        first_left_out=tuple(left),
    )


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
    view, place, repository = _place(context, parameters)
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
    library, roles, name = (
        context.app.get(Library),
        frozenset(context.principal.roles),
        parameters.repository,
    )
    library.require(name, roles)
    store = library.store
    last, files = store.last(name), store.files(name)
    lines, after, first = bytearray(), parameters.after, None
    shown = hidden = 0
    for held in files[after:]:
        _require_wanted(context)
        after += 1
        if not library.may_see(held.path, roles):
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


def _require_wanted(context: LocalContext) -> None:
    if context.cancel.is_cancelled:
        # Nothing of a generation is seen that was not committed.
        raise NoEffectError("RUN_CANCELLED", "the call was cancelled")


class Forgetting(SpecModel):
    """Which files are removed for good; without any, only what was replaced before."""

    repository: RepositoryName = WHOLE
    paths: Annotated[tuple[str, ...], Field(max_length=FORGOTTEN_MAX)] = ()


class Forgotten(SpecModel):
    """What is left."""

    tenant: str
    repository: str
    generation: int
    root: str
    forgotten: int


class ForgetEffect:
    """Files go from the store for good, with all that was replaced before; while their source is there, it can be indexed."""

    def preview(self, context: LocalContext, parameters: Forgetting) -> Preview:
        """How many. Nobody is asked about a file that is not there: `NoEffectError` `KNOWLEDGE_PATH_UNKNOWN`."""
        library, roles = context.app.get(Library), frozenset(context.principal.roles)
        library.require(parameters.repository, roles)
        there: set[str] = set()
        if parameters.paths:
            held = library.store.files(parameters.repository)
            there.update(*(with_archives(one.path) for one in held if library.may_see(one.path, roles)))
        for path in parameters.paths:
            if path not in there and not (
                library.may_see(path, roles) and library.store.holds(parameters.repository, path)
            ):
                raise NoEffectError(
                    "KNOWLEDGE_PATH_UNKNOWN",
                    f"you can see no file `{path[:200]}` of the repository `{parameters.repository}`",
                    path="paths",
                    hint="a path is named as a search shows it, below the workspace",
                )
        what = count_text(len(parameters.paths), "file") if parameters.paths else "what was replaced before"
        return Preview("text", f"removes {what} of the repository `{parameters.repository}` for good")

    def execute(self, context: LocalContext, parameters: Forgetting) -> Forgotten:
        """Remove them."""
        library = context.app.get(Library)
        roles = frozenset(context.principal.roles)
        library.require(parameters.repository, roles)
        # What who asks may not see is as if it were not there: neither removed nor counted.
        named = {path for path in parameters.paths if library.may_see(path, roles)}
        there = [  # What is in an archive goes with it.
            one.path
            for one in library.store.files(parameters.repository)
            if not named.isdisjoint(with_archives(one.path)) and library.may_see(one.path, roles)
        ]
        last = library.store.forget(parameters.repository, named | {*there}, rewriters())
        library.look_anew()
        return Forgotten(
            tenant=library.tenant,
            repository=parameters.repository,
            generation=last.number,
            root=last.root,
            forgotten=len(there),
        )

    def compensate(self, context: LocalContext, parameters: Forgetting) -> None:
        """Index the repository again: what its source has no more stays forgotten."""
        context.app.get(Library).index(parameters.repository, context=context)


class Erasure(SpecModel):
    """Whose knowledge is erased: the name has to be said."""

    tenant: Annotated[str, Field(min_length=1, max_length=128)]


class Erased(SpecModel):
    """Whose it was."""

    tenant: str


def preview_of_erasure(parameters: Erasure) -> Preview:
    """Whose keys."""
    return Preview("text", f"destroys the keys and all that was indexed of `{parameters.tenant}` for good")


def erase_tenant(context: LocalContext, parameters: Erasure) -> Erased:
    """Destroy the keys of all that was indexed, then remove the files."""
    library = context.app.get(Library)
    if parameters.tenant != library.tenant:
        raise NoEffectError(
            "KNOWLEDGE_TENANT_DIFFERS",
            f"the tenant of this workspace is `{library.tenant}`",
            path="tenant",
            hint="name it exactly, if that is what you mean",
        )
    library.erase(str(context.principal))
    return Erased(tenant=parameters.tenant)


class Recovery(SpecModel):
    """Who can recover the master key from now on."""

    recipients: Annotated[
        tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...],
        Field(max_length=16, description="X25519 public keys in hexadecimal digits; none: nobody"),
    ] = ()


class Escrowed(Recovery):
    """Of which tenant, and who."""

    tenant: str


def preview_of_escrow(parameters: Recovery) -> Preview:
    """Who they are."""
    who = ", ".join(parameters.recipients) or "nobody at all"
    return Preview("text", f"can recover the master key from now on: {who}", changes=True)


def escrow(context: LocalContext, parameters: Recovery) -> Escrowed:
    """Seal the master key for these and nobody else."""
    library = context.app.get(Library)
    library.store.escrow(parameters.recipients)
    return Escrowed(tenant=library.tenant, recipients=tuple(library.store.recipients))


class PrivateKey(SpecModel):
    """By which key."""

    key_file: Annotated[
        str,
        Field(
            pattern="^/",
            max_length=4_096,
            description="where it is on this machine: an X25519 private key in PEM form, in a file of mode 0600",
        ),
    ]


class Recovered(SpecModel):
    """Of which tenant, and the public key of whom it was recovered by."""

    tenant: str
    recipient: str


def preview_of_recovery(parameters: PrivateKey) -> Preview:
    """By which key."""
    return Preview(
        "text", f"recovers the master key by the private key in `{parameters.key_file}`", changes=True
    )


def recover(context: LocalContext, parameters: PrivateKey) -> Recovered:
    """Have the master key where it is kept again."""
    library = context.app.get(Library)
    recipient = library.recover(parameters.key_file, str(context.principal))
    return Recovered(tenant=library.tenant, recipient=recipient)


class Rotated(SpecModel):
    """How far the change of keys came."""

    is_done: bool
    """False: it was cancelled. Everything can be read; the next call goes on where it was."""


def preview_of_rotation(context: LocalContext) -> Preview:
    """Whose keys."""
    tenant = context.app.get(Library).tenant
    return Preview("text", f"replaces all keys of `{tenant}`; the earlier ones are destroyed", changes=True)


def rotate_key(context: LocalContext) -> Rotated:
    """Have new keys, in steps between which everything can be read and written."""
    store, steps = context.app.get(Library).store, 0
    while store.rotate():
        steps += 1
        context.progress(steps, message=count_text(steps, "step"))
        if context.cancel.is_cancelled:
            return Rotated(is_done=False)
    return Rotated(is_done=True)
