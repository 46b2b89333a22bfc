"""What is asked of a book of findings: pages, one of them, how two runs differ, how a project stands. Nothing here changes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import chain, islice
from typing import Any, Final

import msgspec

from assent.errors import InputError, Json
from assent.findings.book._bits import has_bit, numbers_in
from assent.findings.book._book import key_of
from assent.findings.book._called import NUMBER, Called, holds, place_of
from assent.findings.book._comparing import Difference, differing
from assent.findings.book._file import BookFile
from assent.findings.book._mutes import FOR_GOOD, Mutes, until_of
from assent.findings.book._resources import Found, Resources
from assent.findings.finding import Finding, Severity
from assent.findings.merging import RANK
from assent.findings.triage import ACTIVE, Reported, Status, Triage
from assent.spec.values.typed import decoder
from assent.spec.words.durations import instant
from assent.spec.words.suggestions import suggest

PAGE_MAX: Final = 1_000
_SORTED_MAX: Final = 20_000
"""What a run brought, or what is decided so, is sorted at once up to so many; of more the project is looked through in order."""
_DETECTORS_MAX: Final = 500
"""Of so many detectors each is looked through by itself, and of more the project."""
_TEXT_CHARACTERS_MAX: Final = 1_000
_ANY: Final[tuple[str, str, tuple[str, ...]]] = ("", "", ())
_AT_ONCE: Final = 128
_DECODE: Final = decoder(Finding).decode
_TRIAGE: Final = decoder(Triage).decode
_SAID: Final = decoder(dict[str, Any]).decode  # `Any`: JSON
_SELECT: Final = (
    "SELECT finding.n, finding.rank, first_ms, last_ms, seen.body, seen.dataset, triage.body, finding.muted_ms"
    " FROM finding"
)
_JOINED: Final = " JOIN seen ON seen.n = newest LEFT JOIN triage ON triage.id = finding.id"


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which findings are meant: those that fit all that is said. Of several words in one field, any."""

    severities: frozenset[Severity] = frozenset()
    statuses: frozenset[Status] = frozenset()
    suppressed: bool | None = None
    """Only those that are, or are not, suppressed now."""
    detectors: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    run: str | None = None
    """Those that this run brought."""
    owner: str | None = None
    tag: str | None = None
    text: str | None = None
    """It stands in the title, the resource or the detector, whatever its case."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A finding with all that is known of it, and the entry of the dataset that spoke of it last."""

    reported: Reported
    dataset: int
    is_suppressed: bool
    muted_by: str | None = None
    """The other finding whose suppression reaches this one."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """Some findings, the worst first and of these the newest, and where the next page begins; None where there is none."""

    findings: tuple[Kept, ...]
    next: str | None


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as it stands: what it said, and how many findings were new and known when it came."""

    seq: int
    run: str
    step: str
    project: str
    at_ms: int
    said: dict[str, Json]
    new: int
    known: int


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """How two runs differ. `not_looked_for`: the earlier run's, of tools that the later one did not use."""

    counts: dict[str, int]
    not_looked_for: int
    findings: tuple[tuple[Difference, Kept], ...]
    next: str | None


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project, and how many findings and datasets it has."""

    id: str
    name: str | None
    findings: int
    datasets: int
    since_ms: int


class Looking:
    """The questions. `now_ms` decides what is suppressed."""

    def __init__(self, file: BookFile, now_ms: int) -> None:
        self._db = file.db
        self.now_ms = now_ms

    def projects(self) -> list[Project]:
        """All of them, in the order in which they came."""
        rows = self._db.execute(
            "SELECT id, name, since_ms, (SELECT count(*) FROM finding WHERE project = project.n),"
            " (SELECT count(*) FROM dataset WHERE project = project.n) FROM project ORDER BY n"
        )
        return [
            Project(id=one, name=name, since_ms=since, findings=findings, datasets=datasets)
            for one, name, since, findings, datasets in rows
        ]

    def project(self, said: str | None) -> tuple[int, str, str | None]:
        """Number, id and name of the project that a name or a UUID means; without one, of the only one that there is."""
        asked = "SELECT n, id, name FROM project WHERE ? IS NULL OR id = ? OR name = ? LIMIT 2"
        # `Any`: the columns' types are the schema's, which apsw can't know.
        rows: Any = self._db.execute(asked, (said, said and said.lower(), said)).fetchall()
        if len(rows) != 1:
            names = [
                str(one[1] or one[0]) for one in self._db.execute("SELECT id, name FROM project LIMIT 10")
            ]
            hint = (
                f"projects: {', '.join(names)}"
                if names
                else "import something: `assent findings import FILE --project NAME`"
            )
            what = f"there is no project `{said[:100]}`" if said is not None else "there is no project yet"
            what = "there are several projects: name one" if said is None and names else what
            raise InputError("PROJECT_UNKNOWN", what, hint=hint)
        number, ident, name = rows[0]
        return int(number), str(ident), name

    def datasets(self, *, run: str | None = None, project: int | None = None) -> list[Brought]:
        """Those of a run, or of a project, the oldest first."""
        rows = self._db.execute(
            "SELECT seq, run, step, project.id, at_ms, said, new, known FROM dataset JOIN project ON project.n = project"
            " WHERE (? IS NULL OR run = ?) AND (? IS NULL OR project = ?) ORDER BY seq",
            (run, run, project, project),
        )
        return [
            Brought(
                seq=seq,
                run=of,
                step=step,
                project=ident,
                at_ms=at,
                said=_SAID(said),
                new=new,
                known=known,
            )
            for seq, of, step, ident, at, said, new, known in rows
        ]

    def brought(self, seq: int) -> Brought | None:
        """The dataset of an entry; None where it was removed by age."""
        run = self._db.execute("SELECT run FROM dataset WHERE seq = ?", (seq,)).get
        return None if run is None else next(one for one in self.datasets(run=run) if one.seq == seq)

    def holds(self, seq: int) -> bool:
        """Whether the dataset of an entry is here, or anything that it was the last to say."""
        here = (
            "SELECT EXISTS (SELECT 1 FROM dataset WHERE seq = ?1) OR EXISTS (SELECT 1 FROM seen WHERE dataset = ?1)"
            " OR EXISTS (SELECT 1 FROM place WHERE dataset = ?1)"
        )
        return bool(self._db.execute(here, (seq,)).get)

    def one(self, said: str) -> Kept:
        """The finding whose id begins so. `FINDING_UNKNOWN`, `FINDING_AMBIGUOUS`."""
        digits = said.lower().replace("-", "")
        low, high = digits.ljust(32, "0"), digits.ljust(32, "f")
        rows: list[Any] = []
        if len(digits) >= 4 and len(low) == 32 and not digits.strip("0123456789abcdef"):
            rows = self._db.execute(
                f"{_SELECT}{_JOINED} WHERE finding.id BETWEEN ? AND ? LIMIT 2", (key_of(low), key_of(high))
            ).fetchall()
        if not rows:
            raise InputError(
                "FINDING_UNKNOWN",
                f"there is no finding `{said[:100]}`",
                hint="`assent findings list` shows ids; their first four digits or more are enough",
            )
        if len(rows) > 1:
            raise InputError(
                "FINDING_AMBIGUOUS",
                f"more than one finding's id begins with `{said[:100]}`",
                hint="give more of its digits",
            )
        return self._kept(rows[0])

    def page(self, project: int, wanted: Wanted, *, after: str | None = None, limit: int) -> Listed:
        """At most `limit` (1 to 1000) findings behind a place. What comes in meanwhile doubles and drops nothing."""
        if not 1 <= limit <= PAGE_MAX:
            raise InputError(
                "INVALID_INPUT", f"a page has 1 to {PAGE_MAX} findings, not {limit}", path="limit"
            )
        found = [*islice(self._fitting(project, wanted, _place(after)), limit + 1)]
        last = found[limit - 1][0] if len(found) > limit else None
        return Listed(
            findings=tuple(kept for _, kept in found[:limit]),
            next=None if last is None else f"{last[1]}.{last[0]}",
        )

    def discovered(
        self, project: int, *, kind: str | None = None, after: str | None = None, limit: int
    ) -> tuple[list[Found], str | None]:
        """At most `limit` resources behind a place, in the order in which they came, and where the next page begins."""
        if not 1 <= limit <= PAGE_MAX:
            raise InputError(
                "INVALID_INPUT", f"a page has 1 to {PAGE_MAX} resources, not {limit}", path="limit"
            )
        behind = 0 if after is None else _number(after, path="after")
        found = Resources(self._db).page(project, kind, behind, limit + 1)
        return [one for _, one in found[:limit]], str(found[limit - 1][0]) if len(found) > limit else None

    def stream(self, project: int, wanted: Wanted) -> Iterator[Kept]:
        """All that fit, in the order of the pages."""
        return (kept for _, kept in self._fitting(project, wanted, None))

    def unheard(self, project: int, wanted: Wanted) -> list[str]:
        """What is asked for and no finding of the project has: a sentence for each, with the nearest that some have."""
        asked: dict[str, Iterable[str]] = {
            "rule": wanted.detectors,
            "tool": wanted.tools,
            "owner": () if wanted.owner is None else (wanted.owner,),
            "tag": () if wanted.tag is None else (wanted.tag,),
        }
        if not any(asked.values()):
            return []
        has: dict[str, set[str]] = {kind: set() for kind in asked}
        detectors = (
            "SELECT id, tool FROM detector AS one WHERE EXISTS"
            " (SELECT 1 FROM finding INDEXED BY finding_detector WHERE project = ? AND detector = one.n)"
        )
        for name, tool in self._db.execute(detectors, (project,)):
            has["rule"].add(name)
            has["tool"].add(tool)
        bodies = "SELECT body FROM triage JOIN finding USING (id) WHERE triage.project = ?"
        for (body,) in self._db.execute(bodies, (project,)) if asked["owner"] or asked["tag"] else ():
            triage = _TRIAGE(body)
            has["owner"].add(triage.owner or "")
            has["tag"].update(triage.tags)
        return [
            f"no finding of the project has the {kind} `{word[:100]}`"
            + (f": did you mean `{near}`?" if (near := suggest(word, has[kind])) else "")
            for kind, words in asked.items()
            for word in sorted({*words} - has[kind])
        ]

    def _fitting(
        self, project: int, wanted: Wanted, after: tuple[int, int] | None
    ) -> Iterator[tuple[Any, Kept]]:
        places = self._places(project, wanted, after)
        text = (wanted.text or "").casefold()
        while some := [*islice(places, _AT_ONCE)]:
            rows = {row[0]: row for row in self._numbered(some)}
            for number in some:
                row = rows.get(number)
                if row is None or (text and not holds(row[4], text)):
                    continue
                if _decided_so(_triage(row[6]), wanted):
                    one = self._kept(row)
                    if self._fits(one, wanted):
                        yield row, one

    def compare(
        self,
        project: int,
        before: str,
        after: str,
        *,
        kinds: Iterable[Difference] = tuple(Difference),
        behind: str | None = None,
        limit: int = PAGE_MAX,
    ) -> Compared:
        """How the findings of one run differ from those of an earlier one, with some of them."""
        found = differing(self._db, project, before, after)
        at = 0 if behind is None else _number(behind, path="after")
        chosen = [*islice(found.members({*kinds}, at), limit + 1)]
        kept = {row[0]: self._kept(row) for row in self._numbered(number for _, number in chosen[:limit])}
        return Compared(
            counts={kind.value: bits.bit_count() for kind, bits in found.kinds.items()},
            not_looked_for=found.not_looked_for,
            findings=tuple((kind, kept[number]) for kind, number in chosen[:limit]),
            next=str(at + limit) if len(chosen) > limit else None,
        )

    def _places(self, project: int, wanted: Wanted, after: tuple[int, int] | None) -> Iterator[int]:
        """The numbers of findings that may fit, in the order of the pages. Bodies are read of no others.

        Whoever narrows it down most leads: a run, what was decided, detectors, or else an index in that order.
        """
        ranks = sorted({RANK[one] for one in wanted.severities or RANK}, reverse=True)
        if after is not None:
            ranks = [rank for rank in ranks if rank <= after[0]]
        bits: bytes | None = None
        if wanted.run is not None:
            rows = self._db.execute(
                "SELECT bits FROM dataset WHERE run = ? AND project = ?", (wanted.run, project)
            )
            union = _union(int.from_bytes(one, "little") for (one,) in rows)
            bits = union.to_bytes((union.bit_length() + 7) // 8, "little")
        few = self._few(project, wanted, bits)
        if few is not None:
            found = sorted(self._ranked(few, ranks, wanted), reverse=True)
            yield from (number for rank, number in found if after is None or (rank, number) < after)
            return
        numbers = self._called_so(project, wanted, ranks, after)
        if numbers is None:
            numbers = chain.from_iterable(
                self._of_rank(
                    project, wanted, rank, after[1] if after is not None and rank == after[0] else FOR_GOOD
                )
                for rank in ranks
            )
        yield from (number for number in numbers if bits is None or has_bit(bits, number))

    def _few(self, project: int, wanted: Wanted, bits: bytes | None) -> Iterable[int] | None:
        """What may fit, in no order, where that is little; None where it is much."""
        if bits is not None and (union := int.from_bytes(bits, "little")).bit_count() <= _SORTED_MAX:
            return numbers_in(union)
        return self._decided(project, wanted) if _must_be_decided(wanted) else None

    def _called_so(
        self, project: int, wanted: Wanted, ranks: list[int], after: tuple[int, int] | None
    ) -> Iterator[int] | None:
        """Those that may hold the wanted text, in order; None where nearly all do, or few are anything else that is said."""
        if not wanted.text or not ranks or self._is_narrow(project, wanted):
            return None
        match = Called(self._db).query(wanted.text, wanted.detectors)
        if match is None:
            return None
        # Whatever number was asked for, a place is of one of the ranks.
        behind = place_of(project, ranks[0] + 1, 0)
        if after is not None:
            behind = min(behind, place_of(project, *after))
        tests, values = self._tests(wanted)
        tests.append(f"finding.rank IN ({', '.join(map(str, ranks))})")
        detectors = self._detectors(wanted)
        if detectors is not None:
            tests.append(f"finding.detector IN ({', '.join(map(str, detectors))})")
        # Nearly all of these hold it: to look at the others' documents is less than a test of each. As for the words, see below.
        query = (
            f"SELECT finding.n FROM words CROSS JOIN finding ON finding.n = words.rowid & {NUMBER}"  # noqa: S608
            f" WHERE words MATCH ? AND words.rowid >= ? AND words.rowid < ? AND {' AND '.join(tests)}"
            " ORDER BY words.rowid DESC"
        )
        bound = (match, place_of(project, ranks[-1], 0), behind, *values)
        return (number for (number,) in self._db.execute(query, bound))

    def _is_narrow(self, project: int, wanted: Wanted) -> bool:
        """Whether so few are of the wanted detectors, or suppressed, that each is rather looked at."""
        detectors = self._detectors(wanted)
        asked = ["finding INDEXED BY finding_muted WHERE muted_ms > 0"] if wanted.suppressed else []
        if detectors is not None and len(detectors) <= _DETECTORS_MAX:
            of = ", ".join(map(str, detectors))
            asked.append(f"finding INDEXED BY finding_detector WHERE detector IN ({of})")
        counted = (
            f"SELECT count(*) FROM (SELECT 1 FROM {one} AND project = ? LIMIT {_SORTED_MAX + 1})"  # noqa: S608 - as above
            for one in asked
        )
        return any(self._db.execute(one, (project,)).get <= _SORTED_MAX for one in counted)

    def _tests(self, wanted: Wanted) -> tuple[list[str], list[int]]:
        """What is tested of a finding's own row, and what is bound to it."""
        tests, values = [], []
        if wanted.suppressed is not None:
            tests.append("muted_ms > 0 AND muted_ms > ?" if wanted.suppressed else "muted_ms <= ?")
            values.append(self.now_ms)
        if wanted.statuses and (wanted.statuses <= ACTIVE or not wanted.statuses & ACTIVE):
            tests.append("closed = ?")
            values.append(int(not wanted.statuses & ACTIVE))
        return tests, values

    def _of_rank(self, project: int, wanted: Wanted, rank: int, behind: int) -> Iterator[int]:
        tests, values = self._tests(wanted)
        index = (
            "finding_muted"
            if wanted.suppressed
            else "finding_open"
            if "closed = ?" in tests
            else "finding_rank"
        )
        tests = ["project = ?", "finding.rank = ?", "finding.n < ?", *tests]
        values = [project, rank, behind, *values]
        detectors = self._detectors(wanted)
        joined, test, text = _text(wanted)
        if detectors is not None and len(detectors) <= _DETECTORS_MAX:
            tests.append("finding.detector = ?")
            each = [(*values, one, *text) for one in detectors]
            index = "finding_detector"
        else:
            each = [(*values, *text)]
            if detectors is not None:
                tests.append(f"finding.detector IN ({', '.join(map(str, detectors))})")
        # What was asked for is bound; the words are ours.
        query = (
            f"SELECT finding.n FROM finding INDEXED BY {index}{joined} WHERE {' AND '.join(tests)}{test}"  # noqa: S608
            " ORDER BY finding.n DESC"
        )
        found = [(number for (number,) in self._db.execute(query, one)) for one in each]
        return found[0] if len(found) == 1 else merge(*found, reverse=True)

    def _detectors(self, wanted: Wanted) -> list[int] | None:
        """The numbers of those that are meant; None for all."""
        if not wanted.detectors and not wanted.tools:
            return None
        rows = self._db.execute("SELECT n, id, tool FROM detector")
        return [
            number
            for number, name, tool in rows
            if (not wanted.detectors or name in wanted.detectors)
            and (not wanted.tools or tool in wanted.tools)
        ]

    def _decided(self, project: int, wanted: Wanted) -> list[int] | None:
        """The numbers of findings that are decided about so; None where they are many."""
        found: list[int] = []
        query = "SELECT n, body FROM triage JOIN finding USING (id) WHERE triage.project = ?"
        for number, body in self._db.execute(query, (project,)):
            if _decided_so(_TRIAGE(body), wanted):
                found.append(number)
                if len(found) > _SORTED_MAX:
                    return None
        return found

    def _ranked(self, numbers: Iterable[int], ranks: list[int], wanted: Wanted) -> Iterator[tuple[int, int]]:
        joined, test, text = _text(wanted)
        every = list(numbers)
        for at in range(0, len(every), _AT_ONCE):
            some = every[at : at + _AT_ONCE]
            query = (
                f"SELECT finding.rank, finding.n FROM finding{joined} WHERE finding.n IN ({', '.join('?' * len(some))})"  # noqa: S608
                f" AND finding.rank IN ({', '.join(map(str, ranks))}){test}"
            )
            yield from self._db.execute(query, (*some, *text))

    def _numbered(self, numbers: Iterable[int]) -> Iterator[Any]:
        every = list(numbers)
        for at in range(0, len(every), _AT_ONCE):
            some = every[at : at + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            yield from self._db.execute(f"{_SELECT}{_JOINED} WHERE finding.n IN ({marks})", some)

    def _kept(self, row: Any) -> Kept:
        _, _, first, last, body, dataset, decided, muted = row
        finding, triage = entered(_DECODE(body), dataset), _triage(decided)
        muted_by: str | None = None
        if muted > until_of(triage):
            # Somebody suppressed all of its detector, or of its resource, by another finding.
            muted_by, reaching = Mutes(self._db).reaching(key_of(finding.id))
            triage = msgspec.structs.replace(triage, suppression=reaching)
        return Kept(
            reported=Reported(
                finding=finding,
                triage=triage,
                first_seen=instant(first),
                last_seen=instant(last),
            ),
            dataset=dataset,
            is_suppressed=muted > self.now_ms,
            muted_by=muted_by,
        )

    def _fits(self, one: Kept, wanted: Wanted) -> bool:
        finding = one.reported.finding
        tool = finding.provenance.tool if finding.provenance else None
        return (
            (wanted.suppressed is None or one.is_suppressed == wanted.suppressed)
            and (not wanted.detectors or finding.detector_id in wanted.detectors)
            and (not wanted.tools or tool in wanted.tools)
        )


def _triage(body: bytes | None) -> Triage:
    return Triage() if body is None else _TRIAGE(body)


def _must_be_decided(wanted: Wanted) -> bool:
    """Whether only findings fit that something was decided about."""
    is_not_open = bool(wanted.statuses) and Status.OPEN not in wanted.statuses
    return wanted.owner is not None or wanted.tag is not None or is_not_open


def _decided_so(triage: Triage, wanted: Wanted) -> bool:
    return (
        (not wanted.statuses or triage.status in wanted.statuses)
        and (wanted.owner is None or triage.owner == wanted.owner)
        and (wanted.tag is None or wanted.tag in triage.tags)
    )


def _text(wanted: Wanted) -> tuple[str, str, tuple[str, ...]]:
    """What a query is given to find only what may hold the wanted text: a join, a test, and what is bound to it.

    SQLite looks through a finding's JSON faster than that could be handed over. Nothing is given where it isn't plain what stands
    for the text: of ASCII alone it is known what its other case is, and JSON escapes some signs.
    """
    text = wanted.text
    if (
        not text
        or len(text) > _TEXT_CHARACTERS_MAX
        or not (text.isascii() and text.isprintable())
        or {*text} & {*'"\\'}
    ):
        return _ANY
    for sign in "^%_":
        text = text.replace(sign, f"^{sign}")
    # Where there is more than ASCII, another letter may be one of these in its other case.
    test = " AND (CAST(seen.body AS TEXT) LIKE ? ESCAPE '^' OR length(CAST(seen.body AS TEXT)) <> length(seen.body))"
    return " JOIN seen ON seen.n = newest", test, (f"%{text}%",)


def entered(finding: Finding, seq: int) -> Finding:
    """A finding that says which entry of the ledger proves it."""
    if not finding.provenance:
        return finding
    provenance = msgspec.structs.replace(finding.provenance, ledger_entry=str(seq))
    return msgspec.structs.replace(finding, provenance=provenance)


def _number(said: str, *, path: str) -> int:
    if not (said.isascii() and said.isdecimal() and len(said) < 18):
        raise _no_place(said, path)
    return int(said)


def _no_place(said: str, path: str) -> InputError:
    return InputError(
        "INVALID_INPUT",
        f"`{said[:40]}` is not a place in the list",
        path=path,
        hint="take `next` of the page before",
    )


def _union(many: Iterable[int]) -> int:
    found = 0
    for one in many:
        found |= one
    return found


def _place(after: str | None) -> tuple[int, int] | None:
    if after is None:
        return None
    rank, _, number = after.partition(".")
    try:
        return _number(rank, path="after"), _number(number, path="after")
    except InputError:
        raise _no_place(after, "after") from None
