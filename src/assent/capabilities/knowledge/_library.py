"""What calls on knowledge share: the tenant's store, which folders are its repositories, and who may see what of them."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import TYPE_CHECKING, Final

from assent.capabilities.fs import ConfinedFiles
from assent.capabilities.knowledge._archives import ArchiveMembers, Quota
from assent.capabilities.knowledge._folder import ConfinedFolder, ignores_of
from assent.capabilities.knowledge._labels import labels_from, labels_of, with_archives
from assent.capabilities.knowledge._merging import merge
from assent.capabilities.knowledge._models import LEXICAL, MODELS, Models
from assent.capabilities.knowledge._views import Views
from assent.capabilities.knowledge.area import WHOLE, routes_of
from assent.errors import AssentError, Json
from assent.invocation import CancelToken, NoEffectError
from assent.knowledge.chunks import PLANNER_VERSION, LeftOut, Planned, left_out
from assent.knowledge.cleaning import CLEANER_VERSION, Removed
from assent.knowledge.manifest import Cut, Listed
from assent.knowledge.routing import Routing
from assent.knowledge.sources import (
    GLOBAL,
    ROOT,
    Content,
    Ignores,
    Reason,
    Skipped,
    Source,
    Stamp,
    contents_of,
    files_of,
    is_within,
)
from assent.spec.capability import SpecModel
from assent.spec.documents.settings import listed, tables
from assent.spec.values.json_fields import number
from assent.spec.values.typed import convert
from assent.spec.words.sizes import count_text, size_text
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.capabilities.knowledge._workers import Crew
    from assent.invocation import LocalContext
    from assent.knowledge.asking import View
    from assent.knowledge.cleaning import Cleaned
    from assent.knowledge.lexical import Gathering
    from assent.knowledge.routing import Route
    from assent.knowledge.store import Generation, Held, Run, SqlCipherStore
    from assent.sandbox import Sandbox

SEGMENT_BYTES: Final = 32 << 20
"""Text that is indexed at once; it takes some ten times as much memory meanwhile."""
SEGMENT_FILES: Final = 8_192
"""Files that are indexed at once: of small ones a run that is ended would else do minutes of work again."""
PLACE_CHARACTERS_MAX: Final = 4_096
_TIME_MS_MAX: Final = 1 << 53
TOLD_EVERY_MS: Final = 2_000


class Cleaning(SpecModel):
    """What one rule removed."""

    rule: str
    count: int
    digest: str
    """SHA-256 over an HMAC of each file, in their order: it tells whether the same was there before, and confirms no guess."""


class Indexed(SpecModel):
    """What an index run came to. Nothing of it is text of a file."""

    tenant: str
    repository: str
    generation: int
    root: str
    files: int
    chunks: int
    changed: int
    """Files that were indexed now."""
    resumed: int
    """Files that a run before had kept when it was cut off; the other counts are without them."""
    removed: int
    """Files that were searched before and are gone."""
    left_out: dict[str, int]
    """How many files that were looked at are not searched, by reason."""
    cleaned: tuple[Cleaning, ...]
    """What each rule removed of the files that were indexed now."""
    sandbox: str
    """By what the workers are held that clean and cut: `native`, `bubblewrap` or `unconfined`."""
    model: str = ""
    """The digest of the model; empty: there is none."""
    vectors: int = 0
    """How many of the chunks it has made vectors of; the next run makes the others."""
    unmade: str = ""
    """Why the model made no more of them; empty: nothing went wrong."""
    encryption: str = "on"
    """`on` or `off`."""
    key: str = ""
    """Where the master key is, of the first run of an encrypted store alone."""


class Library:
    """The knowledge of one workspace. `said` is its section of assent.toml, `opened` opens its store, which is then kept."""

    def __init__(
        self,
        said: Mapping[str, Json],
        files: Callable[[], ConfinedFiles],
        opened: Callable[[], SqlCipherStore],
        erased: Callable[[], None],
        key: Callable[[], bytes],
        *,
        recovered: Callable[[str], str],
        models: Path,
        key_place: str,
        sandbox: Callable[[], Sandbox],
        now_ms: Callable[[], int],
    ) -> None:
        """`erased` removes the tenant for good; `key` is what digests of secrets are made with.

        `recovered` has its master key again, by the key in a file, and gives the recipient. `models` is where converted
        models are; `key_place` is where the master key is, in words; `sandbox` makes one that holds the workers;
        `now_ms` is a clock that never steps back.
        """
        self.tenant: Final = str(said["tenant"])
        self._ignored: Final = listed(said, "ignore")
        self.encryption: Final = str(said["encryption"])
        named = {name: str(one["folder"]) for name, one in tables(said, "repositories").items()}
        self.repositories: Final = named or {WHOLE: "."}
        self.labels: Final = labels_from(said)
        self._archives: Final = _quota_of(said.get("archives"))
        self._files, self._opened, self._erased, self._key = files, opened, erased, key
        self._recovered = recovered
        self.models: Final = Models(lambda: self.store, models, tables(said, "endpoints"), now_ms)
        self._key_place, self._sandbox, self._now_ms = key_place, sandbox, now_ms
        self._guard = threading.RLock()
        self._store: SqlCipherStore | None = None
        self._held: tuple[str, Generation, list[Held]] | None = None
        budgets = {name: number(one, "budget") for name, one in tables(said, "repositories").items()}
        table = None if said.get("routes") is None else routes_of(Path(str(said["routes"])))
        self._views: Final = Views(
            Routing({name: one for name, one in budgets.items() if one is not None}, table),
            lambda path: [one.name for one in labels_of(self.labels, path)],
            self.may_see,
            now_ms,
        )

    @property
    def store(self) -> SqlCipherStore:
        """The tenant's store. One that was removed or replaced since, as after damage, is opened anew, and judged."""
        with self._guard:
            if self._store is not None and not self._store.is_in_place():
                self.close()
            if self._store is None:
                self._store = self._opened()
            return self._store

    def close(self) -> None:
        """Let go of the store; it is opened again when somebody asks."""
        with self._guard:
            self.look_anew()
            if self._store is not None:
                self._store.close()
                self._store = None

    def look_anew(self) -> None:
        """What was remembered of the store may be there no more."""
        self._views.clear()
        self.let_go()

    def let_go(self) -> None:
        """All parts of a repository were exported."""
        self._held = None

    def held(self, repository: str) -> tuple[Generation, list[Held]]:
        """The generation that a repository is at, and its files in the order of the manifest.

        The last answer is kept while it is true, since a repository is exported in many parts; until `let_go`.
        """
        last, kept = self.store.last(repository), self._held
        if kept is None or kept[:2] != (repository, last):
            kept = (repository, last, self.store.files(repository))
            # What was read of a later generation is not taken for what this one has.
            self._held = kept if self.store.last(repository) == last else None
        return last, kept[2]

    def erase(self) -> None:
        """Have nothing of the tenant that could be read ever again."""
        with self._guard:
            self.close()
            self._erased()

    def recover(self, key_file: str) -> str:
        """Have the master key again; whose key did it."""
        with self._guard:
            self.close()
            return self._recovered(key_file)

    def folder_of(self, repository: str) -> str:
        """Where a repository stands. `NoEffectError` `KNOWLEDGE_REPOSITORY_UNKNOWN`."""
        folder = self.repositories.get(repository)
        if folder is None:
            raise _unknown(repository, self.repositories)
        return folder

    def require_within(self, repository: str, places: Iterable[str]) -> None:
        """Refuse a repository that is not known, and places that are not in it. `NoEffectError`."""
        folder = self.folder_of(repository)
        for place in places:
            parts = PurePosixPath(place).parts
            is_plain = place == ROOT or ("/".join(parts) == place and ".." not in parts)
            if not is_plain or (folder != ROOT and not is_within(place, [folder])):
                raise NoEffectError(
                    "INVALID_INPUT",
                    f"`{place[:200]}` is no place in the repository `{repository}`",
                    path="within",
                    hint=f"name it as a search shows it: a path below the workspace, in `{folder}`",
                )

    def names(self, roles: frozenset[str]) -> list[str]:
        """The repositories that are configured, and others of which there are files that who has these roles may see."""
        there = (
            one
            for one in self.store.repositories()
            if one != MODELS and any(self.may_see(file.path, roles) for file in self.store.files(one))
        )
        return [*dict.fromkeys((*self.repositories, *there))]

    def require(self, repository: str, roles: frozenset[str]) -> None:
        """Refuse what `names` has not. `NoEffectError` `KNOWLEDGE_REPOSITORY_UNKNOWN`."""
        if repository not in self.repositories and repository not in (names := self.names(roles)):
            raise _unknown(repository, names)

    def holding(self, path: str) -> str:
        """The repository whose folder a path is in, of several the innermost; `workspace` where it is in none."""
        place = PurePosixPath(path)
        inside = (name for name, folder in self.repositories.items() if place.is_relative_to(folder))
        return max(inside, key=lambda name: len(PurePosixPath(self.repositories[name]).parts), default=WHOLE)

    def seen(self, repository: str, roles: frozenset[str]) -> list[Held]:
        """The files of a repository that who has these roles may search."""
        return [one for one in self.listed(repository, roles) if not one.because]

    def listed(self, repository: str, roles: frozenset[str]) -> list[Held]:
        """As `seen`, with those that were left out."""
        return [one for one in self.store.files(repository) if self.may_see(one.path, roles)]

    def may_see(self, path: str, roles: frozenset[str], *, is_left_out: bool = False) -> bool:
        """Whether who has these roles has one of each label of a file; `is_left_out`: it may be a folder with all in it."""
        places = [path, f"{path}/"] if is_left_out else [path]
        return all(
            not roles.isdisjoint(one.roles) for place in places for one in labels_of(self.labels, place)
        )

    # -- indexing ---------------------------------------------------------------------------------

    @contextmanager
    def folder(self) -> Iterator[ConfinedFolder]:
        """The workspace, as long as something of it is read."""
        files = self._files()
        try:
            yield ConfinedFolder(files)
        finally:
            files.close()

    def sources(
        self, places: Collection[str], folder: ConfinedFolder, archives: ArchiveMembers | None = None
    ) -> Iterator[Source | Skipped]:
        """The files at these places and below, and what is not read."""
        return files_of(folder, self.ignores(folder), within=places, archives=archives)

    def ignores(self, folder: ConfinedFolder) -> Ignores:
        """What says which of its files are not read."""
        return ignores_of(folder, {"global": GLOBAL, "sandbox": self._ignored})

    def archives(self, cancel: CancelToken) -> ArchiveMembers | None:
        """What reads the files in archives, where those are to be read."""
        return None if self._archives is None else ArchiveMembers(self._now_ms, cancel, self._archives)

    def sizes(self, repository: str, cancel: CancelToken) -> Iterator[tuple[str, int] | Skipped]:
        """The files of a repository with their bytes, and what is not read. Of the files no more than archives are opened."""
        archives = self.archives(cancel)
        with self.folder() as folder:
            for one in self.sources((self.folder_of(repository),), folder, archives):
                if isinstance(one, Skipped):
                    yield one
                elif archives is None or not archives.reads(one.path):
                    yield one.path, one.stamp.size
                else:
                    for found in contents_of(folder, one, archives):
                        yield found if isinstance(found, Skipped) else (found.path, len(found.data))

    def _contents(
        self, places: Collection[str], cancel: CancelToken
    ) -> Generator[Content | Skipped, None, None]:
        archives = self.archives(cancel)
        with self.folder() as folder:
            for one in self.sources(places, folder, archives):
                if isinstance(one, Skipped):
                    yield one
                else:
                    yield from contents_of(folder, one, archives)

    def index(
        self,
        repository: str,
        check: Callable[[], None] = lambda: None,
        tell: Callable[[int, int, str], None] = lambda *_: None,
        told: Callable[[int], bool] = lambda _: True,
        context: LocalContext | None = None,
        *,
        within: Collection[str] = (),
        roles: frozenset[str] | None = None,
    ) -> Indexed:
        """Have a repository in the store as it stands now: a generation of its own, where anything changed.

        `within`: these paths alone, and what is below them, are looked at; where no index was before, all are.

        Where nothing of it is there any more, nothing is done: `NoEffectError` `KNOWLEDGE_FOLDER_GONE`.
        What a run that was cut off has kept is not done again. `check` is called before each file, and while a worker is waited
        for; what it raises ends the run, and nothing of it is seen; a call of `context` that is cancelled ends the reading of an
        archive before that. `tell` is told now and then how many files were looked at, of how many, and that in words. Then, when
        what changed can be found already, its vectors are made: see `Models.make` for `told`. A model behind an endpoint is asked
        within that call.
        At last small pieces of the index are put together. What is counted is what who has these `roles` may see; None: all.
        """
        folder = self.folder_of(repository)
        is_first = {*self.store.repositories()} <= {MODELS}
        model = self.models.embedder(context)
        cancel = CancelToken() if context is None else context.cancel
        reasons, cleaned = Counter[str](), defaultdict[str, list[Removed]](list)
        changed, is_changed, made_by = 0, False, _made_by()

        def sees(path: str, *, is_left_out: bool = False) -> bool:
            return roles is None or self.may_see(path, roles, is_left_out=is_left_out)

        with (
            self._crew() as (crew, level),
            self.store.index(repository, resumes=True) as run,
            ExitStack() as ends,
        ):
            known = {one.path: one for one in run.files()}
            is_new = run.has_rests or not self.store.last(repository).number
            is_whole = is_new or not within or folder in within
            places = frozenset({folder} if is_whole else within)
            missing = {
                path: one
                for path, one in known.items()
                if is_whole or any(is_within(each, places) for each in with_archives(path))
            }
            # What a run kept that was cut off is a part of what there is.
            total = (0 if is_new else sum(map(sees, missing))) or self._count(places, sees)
            stamps = deque[tuple[str, int]]()
            is_gone = is_whole and any(not one.because for one in known.values())
            # Whoever keeps the error that ends the run would keep the folder open.
            contents = ends.enter_context(closing(self._contents(places, cancel)))

            def due() -> Iterator[tuple[str, bytes]]:
                nonlocal is_changed, is_gone
                for one in self._told(contents, total, check, tell, sees):
                    is_gone &= isinstance(one, Skipped) and one.reason is Reason.UNREADABLE
                    if isinstance(one, Skipped):
                        reasons[one.reason.value] += sees(one.path, is_left_out=True)
                        if one.reason is not Reason.IGNORED:
                            is_changed |= _leave_out(run, known.get(one.path), one)
                            missing.pop(one.path, None)
                        continue
                    path, data = one.path, one.data
                    missing.pop(path, None)
                    left = left_out(path, data)
                    if left is not None:
                        reasons["not_text"] += sees(path)
                        is_changed |= _leave_out(run, known.get(path), left)
                        continue
                    digest = sha256(data).hexdigest()
                    held = known.get(path)
                    if held is None or held.digest != digest or held.because or held.made_by != made_by:
                        stamps.append((digest, _changed_ms(one.stamp)))
                        yield path, data

            batch = _Batch(run, made_by)
            for found in crew.prepared(due(), check):
                digest, changed_ms = stamps.popleft()
                if found.left_out is not None:
                    reasons["not_prepared"] += sees(found.left_out.path)
                    is_changed |= _leave_out(run, known.get(found.left_out.path), found.left_out)
                    continue
                text = found.cleaned
                assert text is not None
                assert found.planned is not None, "an answer is either"
                if sees(found.planned.path):
                    for removed in text.removed:
                        cleaned[removed.rule].append(removed)
                    changed += 1
                batch.add(found.planned, text, digest, changed_ms)
                is_changed = True
            if is_gone:
                raise _gone(repository, folder)
            for path in missing:
                run.remove(path)
            batch.end()
            if is_changed or missing or run.has_rests:
                last = run.commit()
            else:
                last = self.store.last(repository)
            resumed = sum(one.row in run.resumed and sees(path) for path, one in known.items())
        faults: list[AssentError] = []
        unmade = self.models.make(repository, told, context, faults.append, sees)
        merge(self.store, repository, "" if model is None else model.model, cancel)
        files = [one for one in self.store.files(repository) if not one.because and sees(one.path)]
        chunks = sum(one.chunks for one in files)
        vectors = 0 if model is None else chunks - unmade
        if unmade and roles is not None:  # Of what was made, the part that may be seen.
            vectors = self.view(roles).embedded(repository)
        return Indexed(
            tenant=self.tenant,
            repository=repository,
            generation=last.number,
            root=last.root,
            files=len(files),
            chunks=chunks,
            changed=changed,
            resumed=resumed,
            removed=sum(not one.because and sees(path) for path, one in missing.items()),
            left_out=dict(sorted((+reasons).items())),
            cleaned=tuple(_cleaning(rule, cleaned[rule]) for rule in sorted(cleaned)),
            model="" if model is None else model.model,
            vectors=vectors,
            unmade=str(faults[0]) if faults and vectors < chunks else "",
            encryption=self.encryption,
            key=self._key_place if is_first and self.encryption == "on" else "",
            sandbox=level,
        )

    @contextmanager
    def _crew(self) -> Iterator[tuple[Crew, str]]:
        from assent.capabilities.knowledge._workers import Crew, Workers

        with ExitStack() as ends:
            try:
                sandbox = ends.enter_context(self._sandbox())
                sandbox.require("knowledge")
            except AssentError as error:
                raise NoEffectError(error.code, error.message, hint=error.hint) from error
            crew = Crew(workers := Workers(sandbox, key=self._key()))
            ends.callback(crew.close)
            yield crew, workers.level

    def _count(self, places: Collection[str], sees: Callable[[str], bool]) -> int:
        with self.folder() as folder:
            return sum(sees(one.path) for one in self.sources(places, folder))

    def _told(
        self,
        contents: Iterable[Content | Skipped],
        total: int,
        check: Callable[[], None],
        tell: Callable[[int, int, str], None],
        sees: Callable[[str], bool],
    ) -> Iterator[Content | Skipped]:
        """What stands in a repository, and now and then how far that is, of what is expected to stand there."""
        begun_ms, is_due = self._now_ms(), self.pace()
        count = size = 0
        for one in contents:
            check()
            yield one
            if sees(one.path):
                count += 1
                size += 0 if isinstance(one, Skipped) else len(one.data)
            if count and is_due():
                tell(count, max(count, total), _far(count, total, size, self._now_ms() - begun_ms))

    def pace(self) -> Callable[[], bool]:
        """What says whether it is time to tell again how far something is."""
        told_ms = self._now_ms()

        def is_due() -> bool:
            nonlocal told_ms
            now_ms = self._now_ms()
            if now_ms - told_ms < TOLD_EVERY_MS:
                return False
            told_ms = now_ms
            return True

        return is_due

    # -- asking -----------------------------------------------------------------------------------

    def view(self, roles: frozenset[str]) -> View:
        """What who has these roles may see, however long it takes. What is hidden has no part in it."""
        return self._views.whole(self.store, roles)

    def routed(self, roles: frozenset[str], wanted: Collection[str]) -> tuple[View, list[Route]]:
        """As `view`, without the repositories that are past their budget; and how each of the `wanted` fared.

        What is no repository any more is indexed no more: it is searched by who names it.
        """
        sees_all = not any(roles.isdisjoint(one.roles) for one in self.labels)
        names = [one for one in self.store.repositories() if one in wanted or one in self.repositories]
        return self._views.routed(self.store, roles, names, wanted, sees_all=sees_all)


def _unknown(repository: str, names: Iterable[str]) -> AssentError:
    names = [*names]
    return NoEffectError(  # Nothing is to be taken back where it is asked for in the middle of an act.
        "KNOWLEDGE_REPOSITORY_UNKNOWN",
        f"there is no repository `{repository[:80]}`",
        path="repository",
        hint=did_you_mean(repository, names, otherwise=f"there are: {', '.join(names)}"),
    )


def _gone(repository: str, folder: str) -> AssentError:
    # A disk that is not there, or an empty place where it was, is no reason to remove what was read of it.
    return NoEffectError(
        "KNOWLEDGE_FOLDER_GONE",
        f"nothing of the folder `{folder}` can be read any more, so the repository `{repository}` is left as it was",
        hint=f"have it back, or remove what was indexed: assent knowledge forget {quote(folder)} -r {quote(repository)}",
    )


def _made_by() -> str:
    """By which versions a file is cleaned, cut and taken apart: what others of an earlier release made is indexed anew."""
    from assent.knowledge.lexical import TERMS_VERSION

    return f"{CLEANER_VERSION}.{PLANNER_VERSION}.{TERMS_VERSION}"


def _cleaning(rule: str, removed: Sequence[Removed]) -> Cleaning:
    digest = sha256("".join(one.digest for one in removed).encode())
    return Cleaning(rule=rule, count=sum(one.count for one in removed), digest=digest.hexdigest())


class _Batch:
    """Files of a run, whose words are indexed together."""

    def __init__(self, run: Run, made_by: str) -> None:
        self._run, self._made_by = run, made_by
        self._gathering: Gathering | None = None
        self._rows: list[int] = []
        self._bytes = 0

    def add(self, planned: Planned, cleaned: Cleaned, digest: str, changed_ms: int) -> None:
        """Keep a file; its chunks are pieces of the text of `cleaned`."""
        from assent.knowledge.lexical import Entry, Gathering, Terms

        texts = [cleaned.text[one.begin : one.end] for one in planned.chunks]
        cuts = tuple(Cut(one.digest, one.line, one.end_line, one.symbol) for one in planned.chunks)
        listed = Listed(planned.path, digest, planned.language, cleaned.label, cuts)
        row = self._run.put(listed, texts, changed_ms=changed_ms, marks=cleaned.marks, made_by=self._made_by)
        if not texts:
            return
        self._rows.append(row)
        # At once, so that the workers are at work meanwhile: they are not far enough ahead for all words of a segment.
        self._gathering = self._gathering or Gathering(Terms())
        for one, chunk in zip(texts, planned.chunks, strict=True):
            self._gathering.add(Entry(one, chunk.symbol, planned.path))
        self._bytes += planned.bytes
        if self._bytes >= SEGMENT_BYTES or len(self._rows) >= SEGMENT_FILES:
            self.end()

    def end(self) -> None:
        """Write what there is."""
        if self._gathering is None:
            return
        from assent.knowledge.lexical import parts_of

        # A piece is named for its first file, whose number is never used twice.
        parts = parts_of(self._gathering.segment())
        self._run.put_piece(LEXICAL, str(self._rows[0]), parts, self._rows)
        self._run.save()
        self._gathering, self._rows, self._bytes = None, [], 0


def _changed_ms(stamp: Stamp) -> int:
    """When a file was changed last; some file systems tell times that no store could hold."""
    return max(-_TIME_MS_MAX, min(stamp.mtime_ns // 1_000_000, _TIME_MS_MAX))


def _quota_of(said: Json) -> Quota | None:
    """The limits of an archive, as assent.toml says them; None: none is read."""
    if not isinstance(said, dict) or said["read"] is not True:
        return None
    named = {"bytes": "bytes_max", "entries": "entries_max", "depth": "depth_max", "time": "ms_max"}
    return convert({own: said[name] for name, own in named.items()}, Quota)


def _leave_out(run: Run, held: Held | None, left: LeftOut) -> bool:
    if held is not None and held.because == left.because:
        return False
    run.leave_out(LeftOut(left.path, left.because))
    return True


def _far(count: int, total: int, size: int, elapsed_ms: int) -> str:
    """How far it is: `1200 of 4000 files, 18 MiB, 7.2 MiB a second, about 12 s left`."""
    rate = size_text(size * 1_000 // elapsed_ms)
    if count > total:  # There are more than before, and nobody knows how many.
        return f"{count_text(count, 'file')}, {size_text(size)}, {rate} a second"
    left_s = -(-elapsed_ms * (total - count) // (count * 1_000))
    # Of the first few nobody can tell how long all of them take.
    left = f", about {left_s} s left" if count * 50 >= total else ""
    return f"{count} of {count_text(total, 'file')}, {size_text(size)}, {rate} a second{left}"


def control_of(workspace: Path, hidden: Sequence[Path], read_only: Sequence[Path]) -> ConfinedFiles:
    """The workspace, as every capability sees it."""
    from assent.capabilities.fs import ControlFiles

    return ConfinedFiles(workspace, control=ControlFiles(hidden=hidden, read_only=read_only))
