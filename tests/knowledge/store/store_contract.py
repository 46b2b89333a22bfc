"""What every store of knowledge keeps of the port."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from assent.errors import InputError, WorldError
from assent.knowledge.chunks import LeftOut
from assent.knowledge.lexical import Seen, StoredSegment, search, without
from assent.knowledge.manifest import file_leaf, verify, workspace_root
from assent.knowledge.store import BLOCK_BYTES, NAME_BYTES_MAX, Piece, Store
from tests.support.knowledge import indexed, line_of, put, texts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

TREE = {
    "a.py": b"def first():\n    return 1\n",
    "b/c.md": "# Größe\n\nText über alles.\n\n# Next\n\nmore\n".encode(),
    "\N{LATIN SMALL LETTER Z WITH CARON}.txt": b"plain words here\n",
    "logo.png": b"\x89PNG\0",
    "empty.txt": b"",
}


def root_of(tree: dict[str, bytes]) -> str:
    return workspace_root((path, file_leaf(line_of(path, data))) for path, data in tree.items()).hex()


class StoreContract:
    """A suite for one adapter: `opens` opens the same store each time."""

    def test_what_was_committed_is_there(self, opens: Callable[[], Store]) -> None:
        done = indexed(opens(), TREE)
        store = opens()
        assert (done.number, done.kind, done.repository, done.root) == (1, "index", "repo", root_of(TREE))
        assert store.head() == store.last("repo") == done
        assert store.repositories() == ["repo"]
        files = store.files("repo")
        assert [one.path for one in files] == sorted(TREE, key=str.encode)
        for held in files:
            line = line_of(held.path, TREE[held.path])
            assert held.leaf == file_leaf(line)
            assert store.file("repo", held.path) == held
            if isinstance(line, LeftOut):
                assert (held.because, held.chunks, held.digest) == (line.because, 0, "")
                assert store.cuts(held.row) == ()
            else:
                assert (held.digest, held.language, held.because) == (line.digest, line.language, "")
                assert store.cuts(held.row) == line.chunks
                texts = [store.text(held.row, number) for number in range(held.chunks)]
                assert texts == texts_of(held.path, TREE[held.path])
        store.verify()

    def test_a_new_store_has_nothing(self, opens: Callable[[], Store]) -> None:
        store = opens()
        assert store.head().number == store.last("repo").number == 0
        assert not store.repositories()
        assert not store.files("repo")
        assert not store.pieces("repo", "lexical")
        assert store.file("repo", "a.py") is None
        assert store.prove("repo", "a.py", 0) is None
        assert store.forget("repo", ["a.py"]).number == 0
        with pytest.raises(WorldError, match="KNOWLEDGE_STALE"):
            store.cuts(1)

    def test_a_run_is_seen_when_it_is_committed_and_not_before(self, opens: Callable[[], Store]) -> None:
        store = opens()
        done = indexed(store, TREE)
        before = store.files("repo")
        with store.index("repo") as run:
            put(run, "a.py", b"other = 1\n")
            run.remove("empty.txt")
            run.remove_piece("lexical", "words")
            run.put_piece("lexical", "more", {})
            run.save()
            put(run, "new.py", b"new = 1\n")
            assert (store.files("repo"), store.head()) == (before, done)
            assert [one.name for one in store.pieces("repo", "lexical")] == ["words"]
            run.commit()
        assert store.head().number == 2
        assert [one.path for one in store.files("repo")] == sorted(
            (TREE.keys() | {"new.py"}) - {"empty.txt"}, key=str.encode
        )
        held = store.file("repo", "a.py")
        assert held is not None
        assert store.text(held.row, 0) == b"other = 1\n"
        assert [one.name for one in store.pieces("repo", "lexical")] == ["more"]

    @pytest.mark.parametrize("is_saved", [True, False])
    @pytest.mark.parametrize("fails", [True, False])
    def test_a_run_that_is_left_was_never_there(
        self, opens: Callable[[], Store], *, is_saved: bool, fails: bool
    ) -> None:
        store = opens()
        done = indexed(store, TREE)
        before = store.files("repo")

        def run_away() -> None:
            with store.index("repo") as run:
                put(run, "a.py", b"other = 1\n")
                run.remove("b/c.md")
                run.remove_piece("lexical", "words")
                if is_saved:
                    run.save()
                if fails:
                    raise KeyError

        if fails:
            with pytest.raises(KeyError):
                run_away()
        else:
            run_away()
        assert (store.files("repo"), store.head()) == (before, done)
        again = indexed(opens(), TREE)
        assert (again.number, again.root) == (2, done.root)
        store.verify()

    @pytest.mark.parametrize("fails", [True, False])
    def test_a_run_that_was_cut_off_is_gone_on_with(self, opens: Callable[[], Store], *, fails: bool) -> None:
        store = opens()
        before = indexed(store, TREE)

        def cut_off() -> None:
            with store.index("repo", resumes=True) as run:
                assert (len(run.resumed), run.has_rests) == (0, False)
                put(run, "a.py", b"other = 1\n")
                run.remove("b/c.md")
                run.save()
                put(run, "lost.py", b"lost = 1\n")
                if fails:
                    raise KeyError

        if fails:
            with pytest.raises(KeyError):
                cut_off()
        else:
            cut_off()
        assert store.head() == before
        with opens().index("repo", resumes=True) as run:
            assert (len(run.resumed), run.has_rests) == (1, True)
            assert [one.path for one in run.files()] == sorted(TREE.keys() - {"b/c.md"}, key=str.encode)
            done = run.commit()
        text = TREE | {"a.py": b"other = 1\n"}
        del text["b/c.md"]
        assert done.root == indexed(store, text, "again").root
        store.verify()
        store.undo(done.number)
        assert store.last("repo").root == before.root

    @pytest.mark.parametrize("other", ["another", "repo"])
    def test_a_run_is_gone_on_with_by_one_of_its_repository_alone(
        self, opens: Callable[[], Store], other: str
    ) -> None:
        """And only where that is asked for; what was removed alone is a rest, too."""
        store = opens()
        indexed(store, TREE)
        with store.index("repo", resumes=True) as run:
            run.remove("a.py")
            run.save()
        with store.index(other, resumes=other != "repo") as run:
            assert not run.has_rests
        with store.index("repo", resumes=True) as run:
            assert not run.has_rests
            assert len(run.files()) == len(TREE)

    def test_a_run_is_taken_back(self, opens: Callable[[], Store]) -> None:
        store = opens()
        first = indexed(store, TREE)
        before = store.files("repo")
        second = indexed(store, {"a.py": b"other = 2\n"})
        indexed(store, {"x.py": b"x\n"}, "elsewhere")
        undone = store.undo(second.number)
        assert (undone.number, undone.kind, undone.root) == (4, "undo", first.root)
        assert store.files("repo") == before
        assert [one.path for one in store.files("elsewhere")] == ["x.py"]
        empty = store.undo(first.number)
        assert empty.root == root_of({})
        assert not store.files("repo")
        assert not store.pieces("repo", "lexical")
        store.verify()

    def test_what_is_derived_changes_nothing_of_a_repository(self, opens: Callable[[], Store]) -> None:
        """The run before can be taken back still, and what was made of its files goes with them for good."""
        store = opens()
        indexed(store, TREE)
        second = indexed(store, {"new.py": b"new = 1\n"})
        new = store.file("repo", "new.py")
        assert new is not None
        with store.index("repo") as run:
            run.put_piece("vectors", "words/1", {"of": b"new"}, [new.row])
            derived = run.commit("derived")
        assert (derived.number, derived.kind, derived.root) == (3, "derived", second.root)
        assert (store.last("repo"), store.head()) == (second, derived)
        undone = store.undo(second.number)
        assert (undone.kind, undone.root) == ("undo", root_of(TREE))
        store.forget("repo")
        assert store.pieces("repo", "vectors") == []
        store.verify()

    def test_only_the_last_run_can_be_taken_back_and_that_once(self, opens: Callable[[], Store]) -> None:
        store = opens()
        first = indexed(store, TREE)
        second = indexed(store, TREE)
        for refused in (first.number, 9):
            with pytest.raises(InputError, match="KNOWLEDGE_UNDO_REFUSED"):
                store.undo(refused)
        done = store.undo(second.number)
        assert store.undo(second.number) == done
        forgotten = store.forget("repo")
        assert store.undo(second.number) == forgotten
        for refused in (first.number, forgotten.number):
            with pytest.raises(InputError, match="KNOWLEDGE_UNDO_REFUSED"):
                store.undo(refused)

    def test_what_is_forgotten_is_nowhere(self, opens: Callable[[], Store]) -> None:
        store = opens()
        indexed(store, TREE)
        indexed(store, TREE | {"a.py": b"def second(): pass\n"})
        elsewhere = indexed(store, TREE, "elsewhere")
        gone = store.file("repo", "a.py")
        kept = store.file("repo", "b/c.md")
        assert gone is not None
        assert kept is not None
        (piece,) = store.pieces("repo", "lexical")
        done = store.forget("repo", ["a.py", "never.py"], {"lexical": without})
        rest = {path: data for path, data in TREE.items() if path != "a.py"}
        assert (done.kind, done.root) == ("forget", root_of(rest))
        assert [one.path for one in store.files("repo")] == sorted(rest, key=str.encode)
        for ask in (
            lambda: store.cuts(gone.row),
            lambda: store.text(gone.row, 0),
            lambda: piece.read("paths"),
        ):
            with pytest.raises(WorldError, match="KNOWLEDGE_STALE"):
                ask()
        assert store.text(kept.row, 0) == texts_of("b/c.md", TREE["b/c.md"])[0]
        (piece,) = store.pieces("repo", "lexical")
        segment = StoredSegment(piece)
        assert "a.py" not in segment.paths
        assert not search(Seen(segment), "second", limit=1)
        found = search(Seen(segment), "words", limit=1)[0]
        row = int(piece.rows[segment.files[found.chunk]])
        assert row == getattr(store.file("repo", "\N{LATIN SMALL LETTER Z WITH CARON}.txt"), "row", 0)
        assert store.last("elsewhere") == elsewhere
        assert StoredSegment(store.pieces("elsewhere", "lexical")[0]).paths
        store.verify()

    def test_a_piece_that_nobody_can_rewrite_is_dropped(self, opens: Callable[[], Store]) -> None:
        store = opens()
        with store.index("repo") as run:
            one, two = put(run, "a.py", TREE["a.py"]), put(run, "c.py", TREE["a.py"])
            run.put_piece("vectors", "both", {"codes": b"12"}, [one, two])
            run.put_piece("vectors", "only", {"codes": b"1"}, [one])
            run.put_piece("vectors", "other", {"codes": b"2"}, [two])
            run.put_piece("labels", "rules", {"rules": b"{}"})
            run.commit()

        def gives_up(piece: Piece, keep: NDArray[np.bool_]) -> None:
            assert (piece.name, keep.tolist()) == ("both", [False, True])

        store.forget("repo", ["a.py"], {"vectors": gives_up})
        assert [one.name for one in store.pieces("repo", "vectors")] == ["other"]
        assert [one.name for one in store.pieces("repo", "labels")] == ["rules"]

    def test_a_piece_is_read_by_ranges(self, opens: Callable[[], Store]) -> None:
        store = opens()
        sizes = (0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES)
        parts = {str(size): (b"%08d" % size * (size // 8 + 1))[:size] for size in sizes}
        with store.index("repo") as run:
            run.put_piece("x", "one", parts | {"array": np.arange(9, dtype=np.uint64)}, [3, 1])
            run.put_piece("x", "two", parts)
            run.commit()
        one, two = store.pieces("repo", "x")
        assert (one.kind, one.name, one.rows.tolist(), two.rows.tolist()) == ("x", "one", [3, 1], [])
        assert np.frombuffer(one.read("array"), np.uint64).tolist() == [*range(9)]
        assert one.parts == {str(size): size for size in sizes} | {"array": 72}
        last = str(3 * BLOCK_BYTES)
        assert one.read(last, BLOCK_BYTES, BLOCK_BYTES + 1) == parts[last][BLOCK_BYTES : BLOCK_BYTES + 1]
        for name, data in parts.items():
            assert one.read(name) == two.read(name) == data
            for begin, end in ((0, 5), (7, BLOCK_BYTES), (BLOCK_BYTES, 2 * BLOCK_BYTES + 1), (5, 5), (9, 1)):
                assert two.read(name, begin, end) == data[begin:end]
        asked = [
            (name, begin, end)
            for name in sorted(parts)
            for begin, end in (
                (0, 0),
                (9, 1),
                (5, 9),
                (BLOCK_BYTES - 1, BLOCK_BYTES + 1),
                (3, 9 * BLOCK_BYTES),
            )
        ]
        assert two.ranges(asked) == [parts[name][begin:end] for name, begin, end in asked]
        assert two.ranges([]) == []

    def test_each_chunk_can_be_proved(self, opens: Callable[[], Store]) -> None:
        store = opens()
        done = indexed(store, TREE)
        for held in store.files("repo"):
            for number in range(held.chunks):
                proof = store.prove("repo", held.path, number)
                assert proof is not None
                assert verify(proof, done.root)
        assert store.prove("repo", "a.py", 1) is None
        assert store.prove("repo", "a.py", -1) is None

    @pytest.mark.parametrize("name", ["../../up", "/etc/passwd", "a/b", ".", "Größe", "x" * NAME_BYTES_MAX])
    def test_a_name_leads_nowhere_whatever_is_in_it(self, opens: Callable[[], Store], name: str) -> None:
        store = opens()
        indexed(store, TREE, name)
        assert store.repositories() == [name]
        assert store.file(name, "../a.py") is None

    @pytest.mark.parametrize("name", ["", "a\0b", "line\n", "x" * 70_000, "ü" * NAME_BYTES_MAX, "\ud800"])
    def test_a_name_that_cannot_be_one_is_refused(self, opens: Callable[[], Store], name: str) -> None:
        store = opens()
        with pytest.raises(InputError, match="KNOWLEDGE_NAME_INVALID"):
            store.index(name)
        assert store.repositories() == []

    def test_after_it_was_closed_it_says_so(self, opens: Callable[[], Store]) -> None:
        store = opens()
        store.close()
        store.close()
        with pytest.raises(InputError, match="KNOWLEDGE_STORE_CLOSED"):
            store.head()
