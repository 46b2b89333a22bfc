"""What answers a question, of what its asker may see.

What is asked and what is found is told and not kept (`UnkeptText`): the ledger has ids of chunks, digests and scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from pydantic import Field

from assent.capabilities.knowledge._indexing import RepositoryName
from assent.capabilities.knowledge._library import Library
from assent.errors import AssentError, WorldError
from assent.invocation import LocalContext, NoEffectError
from assent.knowledge.asking import Found, Where
from assent.knowledge.chunks import all_languages
from assent.spec.capability import SpecModel
from assent.spec.types import UnkeptText
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.knowledge.asking import View
    from assent.knowledge.cleaning import Mark
    from assent.knowledge.routing import Route as Routed

QUERY_CHARACTERS_MAX: Final = 2_000
HITS_MAX: Final = 50
FILTERS_MAX: Final = 100
"""Of each sort: every file is held against all of them, and the call is on the record with them."""
PATTERN_CHARACTERS_MAX: Final = 5_000
"""Of a pattern of paths."""


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
    """Repositories that were left out, because they were not read within their budget, or the way to them is past it."""
    routes: tuple[Route, ...] = ()
    """The repositories that were to be searched and have something that who asks may see."""


def search(context: LocalContext, parameters: Question) -> Hits:
    """What who asks may see is searched, and nothing else."""
    library, roles = context.app.get(Library), frozenset(context.principal.roles)
    indexed, wanted = library.store.repositories(), parameters.repositories
    for name in wanted:
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
    faults: list[AssentError] = []
    meaning = library.models.meaning(parameters.query, context, faults.append)

    def asked() -> tuple[list[Found], list[Routed]]:
        view, routes = library.routed(roles, wanted)
        # With those that are searched in the stead of others.
        repositories = (*wanted, *(one.repository for one in routes if one.is_searched)) if wanted else ()
        where = Where(
            parameters.paths,
            parameters.languages,
            repositories,
            parameters.since_ms,
            parameters.until_ms,
        )
        return view.ask(parameters.query, limit=parameters.limit, meaning=meaning, where=where), routes

    try:
        found, routes = asked()
    except WorldError as error:
        if error.code != "KNOWLEDGE_STALE":
            raise
        # What it read was forgotten meanwhile, or put together with more.
        found, routes = asked()
    return Hits(
        hits=tuple(map(_hit, found)),
        words_alone=str(faults[0]) if faults else "",
        not_indexed=tuple(
            name for name in dict.fromkeys(wanted or library.repositories) if name not in indexed
        ),
        late=tuple(one.repository for one in routes if one.is_late),
        routes=tuple(
            Route(repository=one.repository, because=one.because, is_late=one.is_late) for one in routes
        ),
    )


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
    view, place, _ = place_in_view(context, parameters)
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


def place_in_view(context: LocalContext, parameters: ChunkName) -> tuple[View, tuple[int, int], str]:
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
            hint="search again: chunks are counted anew whenever something is indexed"
            if "::" in parameters.chunk
            else "name it as a search does: `PATH::N`",
        )
    return view, place, repository
