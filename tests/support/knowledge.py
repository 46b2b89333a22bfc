"""What tests put into stores of knowledge."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from assent.knowledge.chunks import LeftOut, plan_file
from assent.knowledge.lexical import Entry, Terms, parts_of, segment_of
from assent.knowledge.manifest import Cut, Line, Listed
from assent.knowledge.store import Generation, Run, Store


class FolderKeys:
    """Keys in files, so that they outlive a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, name: str, key: bytes) -> None:
        self._folder.mkdir(exist_ok=True)
        (self._folder / name).write_bytes(key)

    def destroy(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)


def line_of(path: str, data: bytes, label: str = "") -> Line:
    """A file as the manifest has it."""
    planned = plan_file(path, data)
    if isinstance(planned, LeftOut):
        return planned
    cuts = tuple(Cut(one.digest, one.line, one.end_line, one.symbol) for one in planned.chunks)
    return Listed(path, sha256(data).hexdigest(), planned.language, label, cuts)


def texts_of(path: str, data: bytes) -> list[bytes]:
    """The texts of a file's chunks."""
    planned = plan_file(path, data)
    return [] if isinstance(planned, LeftOut) else [data[one.begin : one.end] for one in planned.chunks]


def put(run: Run, path: str, data: bytes, label: str = "") -> int:
    """Put a file as it is."""
    line = line_of(path, data, label)
    return run.leave_out(line) if isinstance(line, LeftOut) else run.put(line, texts_of(path, data))


def put_all(run: Run, tree: Mapping[str, bytes]) -> None:
    """Put files, and a segment over their chunks."""
    rows, entries = [], []
    for path, data in tree.items():
        row = put(run, path, data)
        texts = texts_of(path, data)
        rows += [row] if texts else []
        entries += [Entry(text, "", path) for text in texts]
    run.put_piece("lexical", "words", parts_of(segment_of(entries, Terms())), rows)


def indexed(store: Store, tree: Mapping[str, bytes], repository: str = "repo") -> Generation:
    """Index files."""
    with store.index(repository) as run:
        put_all(run, tree)
        return run.commit()
