"""The read model against plain lists: what a page, a count and a comparison say, and what a dataset leaves when it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent.findings import Finding, Severity
from assent.findings.book import BookFile, Dataset, Difference, Looking, Removal, Wanted, Writing
from assent.findings.book import _called as called
from assent.findings.book import _looking as looking
from assent.findings.book._bits import numbers_in
from assent.findings.book._called import Called
from assent.findings.merging import RANK
from assent.findings.triage import ACTIVE, AddTags, Change, SetOwner, SetStatus, Status, Suppress

PROJECT: Final = "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11"
NOW_MS: Final = 1_795_000_000_000
AT: Final = "2026-11-23T09:30:00Z"
TOOLS: Final = ("nuclei", "zap", "")


def ident(number: int) -> str:
    return f"00000000-0000-8000-8000-{number:012x}"


def finding(
    number: int, severity: Severity = Severity.LOW, *, tool: str = "nuclei", title: str = "It"
) -> Finding:
    said: dict[str, Any] = {
        "finding_schema_version": "1.0.0",
        "id": ident(number),
        "project_id": PROJECT,
        "detector_id": f"rule-{number % 3}",
        "title": title,
        "severity": severity,
        "resource": f"https://shop.example.org/{number}_%",
        "created_at": AT,
    }
    if tool:
        said["provenance"] = {"tool": tool}
    return msgspec.convert(said, Finding)


@pytest.fixture
def file() -> Iterator[BookFile]:
    opened = BookFile(None)
    yield opened
    opened.close()


def add(
    file: BookFile, seq: int, findings: Iterable[Finding], *, tool: str = "nuclei", at_ms: int = 0
) -> None:
    dataset = Dataset(
        seq=seq,
        run=f"run-{seq}",
        step="import",
        at_ms=at_ms or seq,
        project=PROJECT,
        name="shop",
        said={"tool": tool},
    )
    with file.whole():
        Writing(file).add(dataset, findings)


def decide(file: BookFile, seq: int, numbers: Iterable[int], *changes: Change) -> None:
    with file.whole():
        Writing(file).decide(seq, PROJECT, map(ident, numbers), changes, at=AT, by="ada")


def numbers(file: BookFile, **wanted: Any) -> list[int]:
    """The numbers of what fits, in pages of three."""
    asked, found, after = Looking(file, NOW_MS), list[int](), None
    project = asked.project("shop")[0]
    while True:
        page = asked.page(project, Wanted(**wanted), after=after, limit=3)
        found += [int(one.reported.finding.id[-12:], 16) for one in page.findings]
        after = page.next
        if after is None:
            return found


def state(file: BookFile) -> list[Any]:
    """All that can be seen of a book."""
    asked = Looking(file, NOW_MS)
    try:
        project = asked.project("shop")[0]
    except Exception:  # noqa: BLE001 - there is none yet
        return []
    kept = sorted((one.reported.finding.id, one) for one in asked.stream(project, Wanted()))
    by_tool = [sorted(numbers(file, tools=frozenset({tool}))) for tool in TOOLS if tool]
    decided = [sorted(numbers(file, **one)) for one in ({"suppressed": True}, {"statuses": ACTIVE})]
    return [kept, decided, by_tool, [one.seq for one in asked.datasets(project=project)]]


FINDINGS: Final = st.builds(
    finding,
    st.integers(1, 8),
    st.sampled_from(Severity),
    tool=st.sampled_from(TOOLS),
    title=st.sampled_from("AB"),
)
DATASETS: Final = st.lists(
    st.tuples(st.integers(1, 5), st.lists(FINDINGS, max_size=10)), min_size=1, max_size=5
)


@settings(deadline=None)
@given(DATASETS, st.data())
def test_a_dataset_that_is_taken_back_leaves_what_all_others_said(
    datasets: list[tuple[int, list[Finding]]], data: st.DataObject
) -> None:
    gone = data.draw(st.sets(st.integers(1, len(datasets))))
    book, wanted = BookFile(None), BookFile(None)
    for seq, (at_ms, findings) in enumerate(datasets, 1):
        add(book, seq, findings, at_ms=at_ms)
    for seq in gone:
        with book.whole():
            Writing(book).take_back(seq)
            Writing(book).take_back(seq)
    for seq, (at_ms, findings) in enumerate(datasets, 1):
        add(wanted, seq, [] if seq in gone else findings, at_ms=at_ms)
    for seq in gone:
        with wanted.whole():
            Writing(wanted).take_back(seq)
    assert _without_first(state(book)) == _without_first(state(wanted))
    book.close()
    wanted.close()


def _without_first(said: list[Any]) -> list[Any]:
    """When a finding came first is the moment of the dataset that came first, until one is taken back: then the earliest."""
    if not said:
        return said
    kept = [(ident, one.reported.finding, one.reported.last_seen, one.dataset) for ident, one in said[0]]
    return [kept, *said[1:]]


def test_a_finding_is_as_its_newest_dataset_has_it_also_after_that_goes(file: BookFile) -> None:
    add(file, 1, [finding(1, Severity.LOW)])
    add(file, 2, [finding(1, Severity.HIGH, tool="zap")])
    assert numbers(file, severities=frozenset({Severity.HIGH}), tools=frozenset({"zap"})) == [1]
    with file.whole():
        Writing(file).take_back(2)
    assert numbers(file, severities=frozenset({Severity.LOW}), tools=frozenset({"nuclei"})) == [1]
    assert numbers(file, tools=frozenset({"zap"})) == []


def test_a_dataset_goes_by_age_without_what_was_said_last_of_its_findings(file: BookFile) -> None:
    add(file, 1, [finding(1), finding(2)])
    add(file, 2, [finding(2, Severity.HIGH)], at_ms=1_000)
    with file.whole():
        Writing(file).remove_old(Removal(project=PROJECT, datasets_before_ms=500, findings_before_ms=0))
    assert [one.seq for one in Looking(file, NOW_MS).datasets()] == [2]
    assert numbers(file) == [2, 1]
    assert file.db.execute("SELECT count(*) FROM seen").get == 2


@pytest.fixture(params=["sorted", "in order", "each detector", "a scan"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to what fits gives the same."""
    monkeypatch.setattr(looking, "_SORTED_MAX", 20_000 if request.param == "sorted" else 0)
    monkeypatch.setattr(looking, "_DETECTORS_MAX", 500 if request.param != "a scan" else 0)
    monkeypatch.setattr(looking, "_AT_ONCE", 2 if request.param == "each detector" else 128)


WORST: Final = sorted(RANK, key=lambda one: -RANK[one])


@pytest.mark.usefixtures("way")
def test_pages_have_what_fits_the_worst_first_and_of_these_the_newest(file: BookFile) -> None:
    many = [
        finding(n, WORST[n % len(WORST)], tool=TOOLS[n % 3], title=f"Title {n % 4}") for n in range(1, 25)
    ]
    add(file, 1, many[:20])
    add(file, 2, many[10:])
    decide(file, 3, [1, 5, 9, 13], SetOwner(owner="ada"), AddTags(tags=("shop",)))
    decide(file, 4, [2, 5, 14], SetStatus(status=Status.FALSE_POSITIVE))
    decide(file, 5, [3, 9], Suppress(reason="known"))
    order = sorted(range(1, 25), key=lambda n: (-RANK[many[n - 1].severity], -n))
    owned, closed, muted = {1, 5, 9, 13}, {2, 5, 14}, {3, 9}
    active = frozenset({Status.OPEN, Status.TRIAGED})
    cases: list[tuple[dict[str, Any], Iterable[int]]] = [
        ({}, order),
        ({"owner": "ada"}, owned),
        ({"owner": "bob"}, ()),
        ({"tag": "shop", "statuses": active}, owned - closed),
        ({"statuses": frozenset({Status.FALSE_POSITIVE})}, closed),
        ({"statuses": frozenset({Status.FALSE_POSITIVE, Status.OPEN})}, order),
        ({"suppressed": True}, muted),
        ({"suppressed": True, "owner": "ada"}, muted & owned),
        ({"suppressed": False, "statuses": active}, {*order} - muted - closed),
        ({"run": "run-2"}, range(11, 25)),
        ({"run": "run-2", "owner": "ada"}, {13}),
        ({"run": "run-9"}, ()),
        ({"tools": frozenset({"zap"})}, {n for n in order if n % 3 == 1}),
        ({"tools": frozenset({"nuclei", "zap"})}, {n for n in order if n % 3 != 2}),
        ({"tools": frozenset({"nobody"})}, ()),
        ({"detectors": frozenset({"rule-0", "rule-1"})}, {n for n in order if n % 3 != 2}),
        ({"detectors": frozenset({"rule-0"}), "tools": frozenset({"zap"})}, ()),
        ({"detectors": frozenset({"rule-1"}), "text": "title 1"}, {n for n in order if n % 12 == 1}),
        ({"text": "TITLE 2"}, {n for n in order if n % 4 == 2}),
        ({"text": "title 2", "run": "run-2"}, {n for n in range(11, 25) if n % 4 == 2}),
        ({"text": "_%", "owner": "ada"}, owned),
        ({"text": "/1_%"}, {1}),
        ({"text": "%itle"}, ()),
        ({"text": '"'}, ()),
        ({"severities": frozenset({WORST[0]}), "text": "title"}, {n for n in order if many[n - 1].severity == WORST[0]}),
    ]  # fmt: skip
    for wanted, fits in cases:
        assert numbers(file, **wanted) == [n for n in order if n in {*fits}], wanted


SIGNS: Final = st.text('aAbßsSİi"%_\\\n\0 é中', min_size=1, max_size=6)


TITLED: Final = st.builds(finding, st.integers(1, 4), st.sampled_from(Severity), title=SIGNS)
NARROWED: Final = st.fixed_dictionaries(
    {},
    optional={
        "severities": st.frozensets(st.sampled_from(Severity)),
        "statuses": st.sampled_from([ACTIVE, frozenset({Status.FALSE_POSITIVE}), frozenset(Status)]),
        "suppressed": st.booleans(),
        "detectors": st.frozensets(st.sampled_from(["rule-0", "rule-1"])),
        "run": st.sampled_from(["run-1", "run-2"]),
    },
)


@settings(deadline=None)
@given(st.lists(st.lists(TITLED, max_size=4), min_size=1, max_size=4), SIGNS, NARROWED, st.data())
def test_a_text_is_found_wherever_it_stands_and_nowhere_else(
    datasets: list[list[Finding]], said: str, narrowed: dict[str, Any], data: st.DataObject
) -> None:
    """By whatever way it is looked for it is what a scan gives; whatever came, came back otherwise, or went."""
    book = BookFile(None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(called, "_BUFFERED_MAX", data.draw(st.sampled_from([1, 1 << 20])))
        for seq, findings in enumerate(datasets, 1):
            add(book, seq, findings)
        decide(book, 11, [1], SetStatus(status=Status.FALSE_POSITIVE))
        decide(book, 12, [2], Suppress(reason="known"))
        removed = data.draw(st.sampled_from(["a dataset", "what is old", "nothing"]))
        with book.whole():
            if removed == "a dataset":
                Writing(book).take_back(data.draw(st.integers(1, len(datasets))))
            elif removed == "what is old":
                old = data.draw(st.integers(1, len(datasets)))
                Writing(book).remove_old(
                    Removal(project=PROJECT, datasets_before_ms=old, findings_before_ms=old)
                )
        asked = Looking(book, NOW_MS)
        there = [one.reported.finding for one in asked.stream(asked.project(PROJECT)[0], Wanted(**narrowed))]
        patched.setattr(looking, "_SORTED_MAX", data.draw(st.sampled_from([0, 1, 20_000])))
        patched.setattr(called, "_BEGINNING_MAX", data.draw(st.sampled_from([0, 1_000])))
        patched.setattr(called, "_DETECTORS_MAX", data.draw(st.sampled_from([1, 10])))
        for text in {said, said[:1], said[:2], *(one.title for findings in datasets for one in findings)}:
            fits = [
                int(one.id[-12:], 16)
                for one in there
                if any(
                    text.casefold() in each.casefold() for each in (one.title, one.resource, one.detector_id)
                )
            ]
            assert numbers(book, text=text, **narrowed) == fits
    indexed = "SELECT count(*) FROM words WHERE words MATCH '\"://\"'"
    assert book.db.execute(indexed).get == book.db.execute("SELECT count(*) FROM finding").get
    book.close()


def test_nothing_is_left_of_what_a_finding_is_no_more_called(file: BookFile) -> None:
    """Also of one that was found again under another title, and of what its project or a fold anew removes."""

    def left() -> int:
        return int(str(file.db.execute("SELECT count(*) FROM words WHERE words MATCH '\"its\"'").get))

    writing = Writing(file)
    ways: tuple[Callable[[], None], ...] = (lambda: writing.remove_project(PROJECT), writing.clear)
    for remove in ways:
        add(file, 1, [finding(1, title="Its title")])
        assert (left(), numbers(file, text="its TITLE")) == (1, [1])
        add(file, 2, [finding(1, title="Another")])
        assert (left(), numbers(file, text="its title"), numbers(file, text="other")) == (0, [], [1])
        with file.whole():
            writing.take_back(2)
        assert (left(), numbers(file, text="its title"), numbers(file, text="other")) == (1, [1], [])
        add(file, 3, [finding(1, Severity.HIGH, title="Its title")])
        assert (left(), numbers(file, text="its title", severities=frozenset({Severity.HIGH}))) == (1, [1])
        add(file, 4, [finding(1, one, title="Its title") for one in (Severity.INFO, Severity.CRITICAL)])
        assert (left(), numbers(file, text="its title", severities=frozenset({Severity.CRITICAL}))) == (
            1,
            [1],
        )
        with file.whole():
            writing.take_back(4)
        assert (left(), numbers(file, text="its title", severities=frozenset({Severity.HIGH}))) == (1, [1])
        with file.whole():
            remove()
        assert left() == 0


@pytest.mark.parametrize(
    ("text", "fits"),
    [("q", [3]), ("zq", [3]), ("Z", [3]), ("zz", []), ("e-1", [4, 1]), ("it ", [4, 3, 2, 1])],
)
def test_of_those_that_do_not_hold_a_text_none_is_looked_at(
    file: BookFile, monkeypatch: pytest.MonkeyPatch, text: str, fits: list[int]
) -> None:
    """However short it is, and however many hold it."""
    add(file, 1, [finding(n, title="It zq" if n == 3 else "It is") for n in (1, 2, 3, 4)])
    monkeypatch.setattr(looking, "_SORTED_MAX", 0)
    monkeypatch.setattr(Looking, "_of_rank", None)
    assert numbers(file, text=text) == fits


def test_of_other_detectors_than_the_wanted_ones_none_that_holds_a_text_is_looked_at(file: BookFile) -> None:
    add(file, 1, [finding(n) for n in (1, 2, 3, 4)])

    def found(text: str, *detectors: str) -> list[int]:
        match = Called(file.db).query(text, detectors)
        rows: Any = file.db.execute(
            f"SELECT rowid & {called.NUMBER} FROM words WHERE words MATCH ?", (match,)
        )
        return [number for (number,) in rows]

    assert found("it") == [1, 2, 3, 4]
    assert found("it", "rule-1") == found("RULE", "rule-1") == [1, 4]
    assert found("it", "rule-1", "rule-2", "rule") == [1, 2, 4]
    assert found("zq", "rule-1") == []


def test_a_short_text_that_nearly_all_hold_is_looked_for_in_order(
    file: BookFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(file, 1, [finding(n) for n in (1, 2, 3, 4)])
    monkeypatch.setattr(called, "_BEGINNING_MAX", 2)
    assert Called(file.db).query("t") is None
    assert numbers(file, text="t") == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("more", "number", "fits"),
    [
        (0, 3, [2, 1]),
        (0, 1, []),
        (0, 10**16, [3, 2, 1]),
        (7, 1, [3, 2, 1]),
        (10**16, 1, [3, 2, 1]),
        (-1, 9, []),
    ],
)
def test_a_text_is_looked_for_behind_any_place(
    file: BookFile, more: int, number: int, fits: list[int]
) -> None:
    add(file, 1, [finding(n, Severity.HIGH) for n in (1, 2, 3)])
    asked, after = Looking(file, NOW_MS), f"{RANK[Severity.HIGH] + more}.{number}"
    for text in ("", "it", "org", "s"):
        for severities in (frozenset[Severity](), frozenset({Severity.HIGH})):
            wanted = Wanted(text=text, severities=severities)
            page = asked.page(asked.project("shop")[0], wanted, after=after, limit=9)
            assert [int(one.reported.finding.id[-12:], 16) for one in page.findings] == fits


def test_a_text_is_looked_for_in_one_project_and_in_one_run(
    file: BookFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(file, 1, [finding(n, title="A long title that more than twelve triples are in") for n in (1, 2, 3)])
    add(file, 2, [finding(n, title="A long title that more than twelve triples are in") for n in (2, 3, 4)])
    monkeypatch.setattr(looking, "_SORTED_MAX", 2)
    assert numbers(file, text="that more than twelve triples are in", run="run-2") == [4, 3, 2]
    assert numbers(file, text="that more than twelve triples went", run="run-2") == []
    assert numbers(file, text="org/4_", run="run-2") == [4]
    assert numbers(file, text="org/1_", run="run-2") == []
    other = "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a12"
    asked = Looking(file, NOW_MS)
    with file.whole():
        Writing(file).decide(3, other, [ident(9)], [SetOwner(owner="ada")], at=AT, by="ada")
    assert asked.page(asked.project(other)[0], Wanted(text="org/4_"), limit=9).findings == ()


def test_runs_are_compared(file: BookFile) -> None:
    add(file, 1, [finding(1)])
    add(file, 2, [finding(2), finding(3)])
    add(file, 3, [finding(1), finding(3), finding(4)])
    asked = Looking(file, NOW_MS)
    compared = asked.compare(asked.project(None)[0], "run-2", "run-3")
    assert compared.counts == {"new": 1, "fixed": 1, "still": 1, "reappeared": 1}
    assert {kind: int(one.reported.finding.id[-12:], 16) for kind, one in compared.findings} == {
        Difference.NEW: 4, Difference.FIXED: 2, Difference.STILL: 3, Difference.REAPPEARED: 1,
    }  # fmt: skip


def test_pages_of_a_comparison_are_all_of_it(file: BookFile) -> None:
    add(file, 1, [finding(n) for n in range(1, 8)])
    add(file, 2, [finding(n) for n in range(5, 12)])
    asked = Looking(file, NOW_MS)
    found, behind = list[int](), None
    while True:
        page = asked.compare(1, "run-1", "run-2", behind=behind, limit=3)
        found += [int(one.reported.finding.id[-12:], 16) for _, one in page.findings]
        behind = page.next
        if behind is None:
            break
    assert found == [8, 9, 10, 11, 1, 2, 3, 4, 5, 6, 7]


@given(st.sets(st.integers(1, 40_000)), st.integers(0, 20))
def test_a_set_tells_its_numbers_without_the_first_few(said: set[int], skip: int) -> None:
    bits = sum(1 << one for one in said)
    assert [*numbers_in(bits, skip)] == sorted(said)[skip:]
    assert [*numbers_in((1 << 20_000) - 2, 9_000 + skip)] == [*range(9_001 + skip, 20_000)]
