"""A repository that is not read within its budget is left out of a search by name, as if it had never been there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent.capabilities.knowledge import Library, _views
from assent.capabilities.knowledge._models import LEXICAL
from assent.capabilities.knowledge._views import Views
from assent.errors import InputError
from assent.knowledge.chunks import Planned, plan_file
from assent.knowledge.lexical import Entry, Terms, parts_of, segment_of
from assent.knowledge.manifest import Cut, Listed
from assent.knowledge.routing import Route, Routing
from assent.knowledge.store import MemoryStore, Piece
from assent.spec.words.durations import write_duration
from tests.support.bodies import user
from tests.support.knowledge_places import called, furnish, opened
from tests.support.patience import PATIENCE_S

Trees: TypeAlias = "Mapping[str, Mapping[str, str]]"
NAMES = ("a", "b", "c")
WAITED = round(PATIENCE_S * 1_000)
WORDS = ("quartz", "marble", "basalt", "gneiss")
TREES = st.dictionaries(
    st.sampled_from(NAMES),
    st.dictionaries(
        st.sampled_from(["x.md", "y.md", "staff.md"]),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join),
        min_size=1,
    ),
    min_size=1,
)
ROLES = st.sampled_from([frozenset[str](), frozenset({"hr"})])


class SlowStore(MemoryStore):
    """Of whose repositories some are not read before it may go on."""

    def __init__(self, tenant: str, trees: Trees, slow: Collection[str] = ()) -> None:
        super().__init__(tenant)
        self.slow, self.may_go_on, self.reads = slow, Event(), list[str]()
        for name, tree in trees.items():
            indexed(self, name, tree)

    def is_in_place(self) -> bool:
        return True  # it has no file

    def pieces(self, repository: str, kind: str) -> list[Piece]:
        if kind == LEXICAL:
            self.reads.append(repository)
            if repository in self.slow:
                assert self.may_go_on.wait(PATIENCE_S)
        return super().pieces(repository, kind)


def indexed(store: MemoryStore, name: str, tree: Mapping[str, str]) -> None:
    with store.index(name) as run:
        rows, entries = [], []
        for path, text in tree.items():
            planned = plan_file(path, data := text.encode())
            assert isinstance(planned, Planned)
            texts = [data[one.begin : one.end] for one in planned.chunks]
            cuts = tuple(Cut(one.digest, one.line, one.end_line, one.symbol) for one in planned.chunks)
            rows.append(run.put(Listed(path, sha256(data).hexdigest(), "markdown", "", cuts), texts))
            entries += [Entry(one, "", path) for one in texts]
        run.put_piece(LEXICAL, str(rows[0]), parts_of(segment_of(entries, Terms())), rows)
        run.commit()


def views(budgets: Mapping[str, int]) -> Views:
    return Views(
        Routing(budgets), lambda _: [], lambda path, roles: path != "staff.md" or "hr" in roles, lambda: 0
    )


def routed(
    own: Views, store: MemoryStore, roles: frozenset[str], wanted: Collection[str] = ()
) -> tuple[Any, list[Route]]:
    view, routes = own.routed(store, roles, store.repositories(), wanted, sees_all="hr" in roles)
    return [view.ask(word, limit=20) for word in WORDS], routes


@settings(max_examples=25, deadline=None)
@given(TREES, st.sets(st.sampled_from(NAMES)), ROLES)
def test_what_is_late_has_no_part_in_any_answer(trees: Trees, slow: set[str], roles: frozenset[str]) -> None:
    """Nor is a repository named of which who asks may see nothing; what was late then is there later."""
    store = SlowStore("ours", trees, slow)
    own = views(dict.fromkeys(slow, 1))
    found, routes = routed(own, store, roles)
    others = {name: tree for name, tree in trees.items() if name not in slow}
    assert found == routed(views({}), SlowStore("ours", others), roles)[0]
    seen = {name for name, tree in trees.items() if "hr" in roles or {*tree} != {"staff.md"}}
    assert [(one.repository, one.is_late) for one in routes] == [(one, one in slow) for one in sorted(seen)]
    store.may_go_on.set()
    own.whole(store, roles)
    found, routes = routed(own, store, roles)
    assert found == routed(views({}), SlowStore("ours", trees), roles)[0]
    assert not any(one.is_late for one in routes)
    assert sorted(store.reads) == sorted(trees), "each is read once"


def test_only_what_is_asked_for_is_waited_for_and_told() -> None:
    trees = {name: {"x.md": "quartz"} for name in NAMES}
    store = SlowStore("ours", trees, ["b"])
    # Whoever waited for `b` would never come back.
    own = views({"b": WAITED})
    found, routes = routed(own, store, frozenset({"hr"}), ["c"])
    waited = Route("c", "it has no budget, and is waited for")
    assert ([one.path for one in found[0]], routes) == (["x.md", "x.md"], [waited])
    store.may_go_on.set()
    _, routes = routed(own, store, frozenset({"hr"}), ["b"])
    assert [(one.repository, one.is_searched) for one in routes] == [("b", True)]


def gone(*_: object) -> None:
    raise InputError("X", "gone")


def test_what_could_not_be_read_is_told_once_and_then_read_again() -> None:
    store = SlowStore("ours", {"a": {"x.md": "quartz"}, "b": {"x.md": "marble"}})
    own = views({"a": WAITED})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "pieces", gone)
        with pytest.raises(InputError, match="gone"):
            routed(own, store, frozenset())
    assert [len(one) for one in routed(own, store, frozenset())[0]] == [1, 1, 0, 0]


@contextmanager
def libraries(stores: Mapping[str, MemoryStore], budget: int) -> Iterator[list[Library]]:
    """A library of each tenant, whose repositories have the same names."""
    named = {name: {"folder": name, "budget": budget} for name in NAMES}
    rest: Any = {"recovered": None, "models": Path(), "key_place": "", "sandbox": None}  # none of it is asked
    found = []
    for tenant, store in stores.items():
        said: Any = {"tenant": tenant, "encryption": "off", "repositories": named, "labels": {}}
        nothing, opener = rest["sandbox"], lambda own=store: own
        said |= {"archives": None, "endpoints": {}}
        found.append(Library(said, nothing, opener, nothing, nothing, **rest, now_ms=lambda: 0))
    yield found
    for one in found:
        one.look_anew()


@settings(max_examples=15, deadline=None)
@given(TREES, TREES, st.sets(st.sampled_from(NAMES)), st.lists(st.booleans(), min_size=1, max_size=6))
def test_no_tenant_is_given_anything_of_another(
    ours: Trees, theirs: Trees, slow: set[str], turns: list[bool]
) -> None:
    """In whichever order they ask, and whatever is late, each is answered as if it were alone."""
    stores = {"ours": SlowStore("ours", ours, slow), "theirs": SlowStore("theirs", theirs)}
    with libraries(stores, budget=WAITED if not slow else 1) as (first, second):
        for is_ours in turns:
            library, trees = (first, ours) if is_ours else (second, theirs)
            view, routes = library.routed(frozenset(), ())
            late = {one.repository for one in routes if one.is_late}
            assert {one.repository for one in routes} == {*trees}
            alone = SlowStore("alone", {name: tree for name, tree in trees.items() if name not in late})
            expected = views({}).whole(alone, frozenset({"hr"}))
            for word in WORDS:
                assert view.ask(word, limit=20) == expected.ask(word, limit=20)
        stores["ours"].may_go_on.set()


async def test_a_search_names_what_is_late_and_has_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = '[knowledge.repositories.notes]\nfolder = "notes"\nbudget = "1ms"\n'
    said += '[knowledge.labels.staff]\npaths = ["notes/*"]\nroles = ["hr"]\n'
    work = furnish(tmp_path, {"a.md": "quartz\n", "../notes/b.md": "more quartz\n"}, said)
    may_go_on, read = Event(), Views._read

    def slowly(self: Views, store: Any, roles: frozenset[str], name: str) -> Any:
        assert name != "notes" or may_go_on.wait(PATIENCE_S)
        return read(self, store, roles, name)

    monkeypatch.setattr(_views.Views, "_read", slowly)
    async with opened(work) as rt:
        for name in ("code", "notes"):
            await called(rt, "index", repository=name)
        hugo = user("hugo", "hr")
        found = await called(rt, "search", hugo, query="quartz")
        assert ([one["path"] for one in found["hits"]], found["late"]) == (["src/a.md"], ["notes"])
        told = [(one["repository"], one["because"], one["is_late"]) for one in found["routes"]]
        assert told == [
            ("code", "it has no budget, and is waited for", False),
            ("notes", "it was not read within its budget of 1ms", True),
        ]
        hidden = await called(rt, "search", query="quartz")
        assert (hidden["hits"], hidden["late"], hidden["routes"]) == (
            found["hits"], [], found["routes"][:1],
        )  # fmt: skip
        may_go_on.set()
        await called(rt, "read_chunk", hugo, chunk="notes/b.md::0", repository="notes")
        found = await called(rt, "search", hugo, query="quartz")
        assert ({one["path"] for one in found["hits"]}, found["late"]) == ({"src/a.md", "notes/b.md"}, [])
        assert found["routes"][1]["because"] == "it was read within its budget of 1ms"


async def test_a_search_goes_by_a_routing_table(tmp_path: Path, samples: Path) -> None:
    """Over the sample's: what no way leads to in time is left out, and what stands in for it is searched in its stead."""
    folder = samples / "embednexus/fixtures/routing"
    matrix, latencies = (
        json.loads((folder / f"{name}-matrix.json").read_bytes()) for name in ("multi-repo", "latency")
    )
    matrix["fallbacks"] = {"artifact-store": "code-search"}
    latencies["summary"]["budget_ms"] = WAITED  # it is a busy machine
    names = ("artifact-store", "audit-log", "code-search")
    said = "".join(f'[knowledge.repositories.{name}]\nfolder = "{name}"\n' for name in names)
    said = said.replace('"artifact-store"\n', '"artifact-store"\nbudget = "54ms"\n')
    said = f'[knowledge]\nroutes = "routes.json"\n{said}'
    table = json.dumps({"start": "ingest-api", "matrix": matrix, "latencies": latencies})
    work = furnish(
        tmp_path, {"../routes.json": table} | {f"../{name}/a.md": "quartz\n" for name in names}, said
    )
    async with opened(work) as rt:
        for name in names:
            await called(rt, "index", repository=name)
        for wanted in ([], ["artifact-store"]):
            found = await called(rt, "search", query="quartz", repositories=wanted)
            told = {one["repository"]: one["because"] for one in found["routes"]}
            assert told["artifact-store"] == (
                "the way to it, ingest-api -> routing-control -> artifact-store, takes 55 ms, past its budget of 54ms"
            )
            assert told["code-search"] == (
                f"it was read within its budget of {write_duration(WAITED)}, of which the way ingest-api -> "
                "routing-control -> code-search takes 58 ms; in the stead of `artifact-store`"
            )
            others = [] if wanted else ["audit-log/a.md"]
            assert sorted(one["path"] for one in found["hits"]) == [*others, "code-search/a.md"]
            assert found["late"] == ["artifact-store"]
        # No capability changes what searches go by.
        refused = await rt.call("io.fs.write_file", {"path": "routes.json", "content": "{}"})
        assert refused.error is not None
        assert refused.error["code"] == "PATH_PROTECTED"
