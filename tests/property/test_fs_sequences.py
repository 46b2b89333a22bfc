"""Random sequences of file calls: taken back in reverse order they leave no trace, and imagined ones equal real ones."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from assent.errors import RefusedError
from assent.invocation import EntryKind, Files, NoEffectError
from tests.support.hands import Hands, Step
from tests.support.properties import holds
from tests.support.seeds import examples

Action: TypeAlias = tuple[str, dict[str, Any]]

FOREIGN = b"somebody else wrote this"

# Few names, so that calls meet each other's results; among them a name that is no ASCII, and one with a space.
_NAMES = st.sampled_from(["a", "b", "ü", "two words"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
_FLAG = st.booleans()


def _action(name: str, **parameters: st.SearchStrategy[Any]) -> st.SearchStrategy[Action]:
    return st.tuples(st.just(f"io.fs.{name}"), st.fixed_dictionaries(parameters))


_ENDS = {"source": _PATHS, "destination": _PATHS, "overwrite": _FLAG}
_ACTIONS = st.one_of(
    _action("write_file", path=_PATHS, content=_TEXTS, create_dirs=_FLAG),
    _action(
        "write_bytes",
        path=_PATHS,
        content_base64=st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode()),
        create_dirs=_FLAG,
        overwrite=_FLAG,
    ),
    _action("make_dir", path=_PATHS, parents=_FLAG, exist_ok=_FLAG),
    _action("delete", path=_PATHS, recursive=_FLAG),
    _action("move", **_ENDS),
    _action("copy", **_ENDS),
)
_SEQUENCES = st.lists(_ACTIONS, min_size=1, max_size=10)


@contextmanager
def _furnished() -> Iterator[Hands]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        (root / ".assent").mkdir()
        (root / "a" / "b").mkdir(parents=True)
        (root / "a" / "b" / "ü").write_bytes(b"\xff\x00binary")
        (root / "a" / "two words").write_bytes(b"one\ntwo\n")
        (root / "a" / "two words").chmod(0o600)
        (root / "b").mkdir(mode=0o700)
        (root / "b" / "a").symlink_to("../a")
        (root / "ü").write_bytes(b"")
        for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
            os.utime(path, ns=(10**18, 10**18 + number * 10**9), follow_symlinks=False)
        os.utime(root, ns=(10**18, 10**18))
        hands = Hands.on(root)
        try:
            yield hands
        finally:
            hands.workspace.close()


@holds("undo")
@given(_SEQUENCES)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
def test_what_is_done_and_taken_back_in_reverse_leaves_no_trace(sequence: list[Action]) -> None:
    """Contents, modes, times, links and empty folders are as before; a refused call changes nothing at all."""
    with _furnished() as hands:
        states, done = [hands.tree()], []
        for name, parameters in sequence:
            result = hands.attempt(name, **parameters)
            if isinstance(result, str):
                note(f"{name} {parameters}: {result}")
                assert hands.tree() == states[-1]
                continue
            done.append(result)
            states.append(hands.tree())
        for step in reversed(done):
            # Rehearsed first, as an undo is: a rehearsal finds no conflict and touches nothing.
            step.on(hands.workspace.simulate()).compensate()
            assert hands.tree() == states[-1]
            step.compensate()
            states.pop()
            assert hands.tree() == states[-1]


@holds("simulation")
@given(_SEQUENCES)
@example(  # The way led through a link, which is no more.
    [
        ("io.fs.delete", {"path": "b", "recursive": True}),
        ("io.fs.write_file", {"path": "b/a/a", "content": "", "create_dirs": False}),
    ]
)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
def test_an_imagined_sequence_equals_the_real_one(sequence: list[Action]) -> None:
    """Each preview sees the ones before it; it refuses what the real call refuses, with the same code, and ends the same."""
    with _furnished() as hands:
        imagined = hands.workspace.simulate()
        before = hands.tree()
        previews: list[str | bool] = []
        for name, parameters in sequence:
            try:
                previews.append(hands.step(name, **parameters).on(imagined).preview().changes)
            except NoEffectError as error:
                previews.append(error.code)
        assert hands.tree() == before, "nothing real was touched"
        # Looked at now: an overlay shows what it is laid over, and that is about to change.
        wanted = _walk(imagined.files)
        for (name, parameters), expected in zip(sequence, previews, strict=True):
            state = hands.tree()
            result = hands.attempt(name, **parameters)
            answer = result if isinstance(result, str) else hands.tree() != state
            assert answer == expected, (name, parameters)
        assert _walk(hands.workspace.files) == wanted


@holds("simulation")
@given(_SEQUENCES)
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
def test_a_rehearsed_undo_ends_where_the_real_one_does(sequence: list[Action]) -> None:
    """All compensations, in reverse order on one imaginary world, restore contents and modes there as well."""
    with _furnished() as hands:
        before = _walk(hands.workspace.files)
        done = _run(hands, sequence)
        imagined = hands.workspace.simulate()
        for step in reversed(done):
            step.on(imagined).compensate()
        assert _walk(imagined.files) == before


@holds("foreign_changes")
@given(_SEQUENCES, _SEQUENCES, _PATHS)
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
def test_what_others_wrote_before_a_call_comes_back_with_its_undo(
    first: list[Action], then: list[Action], path: str
) -> None:
    """An undo goes back to the state that the call found, not to one that an earlier call had left."""
    with _furnished() as hands:
        _run(hands, first)
        _intrude(hands.root / path)
        before = hands.tree()
        for step in reversed(_run(hands, then)):
            step.compensate()
        assert hands.tree() == before


@holds("foreign_changes")
@given(_SEQUENCES, _PATHS)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
def test_a_file_written_after_the_last_call_is_never_overwritten(sequence: list[Action], path: str) -> None:
    """An undo stops with COMPENSATION_CONFLICT where it would, and the foreign bytes stand somewhere in the workspace."""
    with _furnished() as hands:
        done = _run(hands, sequence)
        if not _intrude(hands.root / path):
            return
        for step in reversed(done):
            conflict = _conflict(step)
            if conflict is not None:
                assert conflict.code == "COMPENSATION_CONFLICT"
                assert set(conflict.details) == {"expected", "found"}
                break
        assert FOREIGN in [content for _, _, _, content in hands.tree().values()]


def _run(hands: Hands, sequence: list[Action]) -> list[Step]:
    results = [hands.attempt(name, **parameters) for name, parameters in sequence]
    return [result for result in results if isinstance(result, Step)]


def _conflict(step: Step) -> RefusedError | None:
    try:
        step.compensate()
    except RefusedError as error:
        return error
    return None


def _intrude(path: Path) -> bool:
    if path.is_dir() or path.is_symlink() or not path.parent.is_dir() or path.parent.is_symlink():
        return False
    if path.parent.resolve() != path.parent:
        return False
    path.write_bytes(FOREIGN)
    return True


def _walk(files: Files, path: str = ".") -> dict[str, tuple[str, int, bytes]]:
    entry = files.stat(path)
    assert entry is not None
    if entry.kind is EntryKind.FILE:
        content = b"".join(files.read(path))
        assert entry.size == len(content)
        return {path: ("file", entry.mode, content)}
    if entry.kind is EntryKind.SYMLINK:
        return {path: ("symlink", 0, files.read_link(path).encode())}
    found = {path: (entry.kind.value, entry.mode, b"")}
    for name in files.list(path):
        found |= _walk(files, name if path == "." else f"{path}/{name}")
    return found
