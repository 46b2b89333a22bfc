"""What changes what can be searched of the workspace: it is looked at, indexed, and forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from assent.capabilities.knowledge._labels import with_archives
from assent.capabilities.knowledge._library import PLACE_CHARACTERS_MAX, WHOLE, Indexed, Library
from assent.capabilities.knowledge._models import rewriters
from assent.capabilities.knowledge.area import removed_words
from assent.errors import AssentError, InputError, RefusedError
from assent.invocation import LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.knowledge.sources import QUEUE_MAX, ROOT, Skipped, is_within, parents
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.knowledge.store import Held

BYTES_PER_S: Final = 4_000_000
FILES_PER_S: Final = 2_000
"""What is indexed in a second on a common machine, for what a plan expects: many small files take longer than their text."""
LEFT_OUT_SHOWN_MAX: Final = 1_000
FORGOTTEN_MAX: Final = 10_000


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
        library = context.app.get(Library)
        is_due = library.pace()

        def told(made: int) -> bool:
            if made and is_due():
                context.progress(made, message=count_text(made, "vector"))
            return not context.cancel.is_cancelled

        return library.index(
            parameters.repository,
            lambda: require_wanted(context),
            context.progress,
            told,
            context,
            within=parameters.within,
            roles=frozenset(context.principal.roles),
        )

    def reconcile(self, context: LocalContext, parameters: Indexing) -> Reconciliation:
        """Without a later generation it did nothing. What is indexed already is not indexed again."""
        return reconciled(context, parameters.repository)

    def compensate(self, context: LocalContext, parameters: Indexing) -> None:
        """Take the generation back; nothing where the call made none. `COMPENSATION_CONFLICT` where another came after it."""
        take_back(context, parameters.repository, f"the repository `{parameters.repository}` was")


def reconciled(context: LocalContext, repository: str) -> Reconciliation:
    last = context.app.get(Library).store.last(repository).number
    return Reconciliation(Verdict.NO if last == _before(context) else Verdict.UNKNOWN)


def take_back(context: LocalContext, repository: str, what: str) -> None:
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
        require_wanted(context)
        path = one.path if isinstance(one, Skipped) else one[0]
        if not library.may_see(path, roles, is_left_out=isinstance(one, Skipped)):
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
        seconds=round(size / BYTES_PER_S + files / FILES_PER_S, 1),
        left_out=dict(sorted(counts.items())),
        first_left_out=tuple(left),
    )


def require_wanted(context: LocalContext) -> None:
    if context.cancel.is_cancelled:
        # Nothing of a generation is seen that was not committed.
        raise NoEffectError("RUN_CANCELLED", "the call was cancelled")


class Forgetting(SpecModel):
    """Which files and folders are removed for good; without any, only what was replaced before."""

    repository: RepositoryName = WHOLE
    paths: Annotated[tuple[str, ...], Field(max_length=FORGOTTEN_MAX)] = ()


class Forgotten(SpecModel):
    """What is left."""

    tenant: str
    repository: str
    generation: int
    root: str
    forgotten: int


def _below(held: Iterable[Held], places: Collection[str]) -> list[Held]:
    """The files at these places, and below: what is in an archive goes with it."""
    return [one for one in held if any(is_within(each, places) for each in with_archives(one.path))]


class ForgetEffect:
    """Files go from the store for good, with all that was replaced before; while their source is there, it can be indexed."""

    def preview(self, context: LocalContext, parameters: Forgetting) -> Preview:
        """How many. Nobody is asked about a file that is not there: `NoEffectError` `KNOWLEDGE_PATH_UNKNOWN`."""
        library, roles = context.app.get(Library), frozenset(context.principal.roles)
        library.require(parameters.repository, roles)
        held = library.listed(parameters.repository, roles) if parameters.paths else []
        there = {
            each for one in held for place in with_archives(one.path) for each in (place, *parents(place))
        }
        for path in parameters.paths:
            if (
                path not in there
                and (path != ROOT or not held)
                and not (library.may_see(path, roles) and library.store.holds(parameters.repository, path))
            ):
                raise NoEffectError(
                    "KNOWLEDGE_PATH_UNKNOWN",
                    f"you can see no file or folder `{path[:200]}` of the repository `{parameters.repository}`",
                    path="paths",
                    hint="a path is named as a search shows it, below the workspace",
                )
        covered = _below(held, frozenset(parameters.paths))
        files = sum(not one.because for one in covered)
        # An approval is of these very files, as they were then.
        base = sha256(b"".join(one.leaf for one in covered)).hexdigest()
        return Preview(
            "text",
            f"removes {removed_words(files)} of the repository `{parameters.repository}` for good",
            base,
        )

    def execute(self, context: LocalContext, parameters: Forgetting) -> Forgotten:
        """Remove them."""
        library, roles = context.app.get(Library), frozenset(context.principal.roles)
        before = None
        try:
            library.require(parameters.repository, roles)
            # What who asks may not see is as if it were not there: neither removed nor counted.
            named = {path for path in parameters.paths if library.may_see(path, roles)}
            there = _below(library.listed(parameters.repository, roles), named)
            before = library.store.last(parameters.repository)
            paths = named | {one.path for one in there}
            last = library.store.forget(parameters.repository, paths, rewriters())
        except AssentError as error:
            if before is not None and library.store.last(parameters.repository) != before:
                raise
            raise NoEffectError(error.code, error.message, hint=error.hint, details=error.details) from error
        finally:
            library.look_anew()
        return Forgotten(
            tenant=library.tenant,
            repository=parameters.repository,
            generation=last.number,
            root=last.root,
            forgotten=sum(not one.because for one in there),
        )

    def compensate(self, context: LocalContext, parameters: Forgetting) -> None:
        """Index the repository again: what its source has no more stays forgotten; so does all, where the call failed.

        A compaction took away nothing that was searched.
        """
        if context.output is None or not parameters.paths:
            return
        context.app.get(Library).index(parameters.repository, context=context)
