"""How good it is, on questions about a real project: what is promised is what is reached, or less."""

from __future__ import annotations

import ast
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from assent.knowledge import vectors
from assent.knowledge.asking import Meaning, Part, Told, View
from assent.knowledge.chunks import Planned, plan_file
from assent.knowledge.embedding import add_model, open_model
from assent.knowledge.lexical import Entry, Seen, Terms, search, segment_of


def texts(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as tree:
        for one in tree:
            file = tree.extractfile(one) if one.isfile() else None
            if file is not None:
                yield one.name, file.read()


def without_docs(source: bytes) -> bytes:
    """The source with the doc comments of its functions blank, so that no answer stands beside its question."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None:
            doc = node.body[0]
            assert doc.end_lineno is not None
            for number in range(doc.lineno - 1, doc.end_lineno):
                lines[number] = b"\n"
    return b"".join(lines)


def entries(archive: Path, *, has_docs: bool) -> list[Entry]:
    found: list[Entry] = []
    for path, data in texts(archive):
        text = data if has_docs or not path.endswith(".py") else without_docs(data)
        planned = plan_file(path, text)
        if isinstance(planned, Planned):
            found += [Entry(text[one.begin : one.end], one.symbol, path) for one in planned.chunks]
    return found


def scored(folder: Path, task: str, ask: Callable[[str], list[str]]) -> tuple[float, float]:
    """MRR and recall of the first ten files, where a file is as good as its best chunk; `ask` gives the files of chunks."""
    asked = [json.loads(line) for line in (folder / "celery.jsonl").read_text().splitlines()]
    ranks = []
    for one in asked:
        if one["task"] != task:
            continue
        meant = {target.partition("::")[0] for target in one["target"]}
        files = [*dict.fromkeys(ask(one["q"]))][:10]
        ranks.append(next((rank for rank, path in enumerate(files, 1) if path in meant), 0))
    assert len(ranks) == 150
    return sum(1 / rank for rank in ranks if rank) / len(ranks), sum(rank > 0 for rank in ranks) / len(ranks)


@pytest.mark.parametrize(
    ("task", "commit", "mrr", "recall"),
    [("doc", "5dc781f0bd5f", 0.57, 0.80), ("commit", "458d06cb48e1", 0.64, 0.85)],
)
def test_the_right_file_is_found_without_a_model(
    samples: Path, task: str, commit: str, mrr: float, recall: float
) -> None:
    folder = samples / "knowledge"
    segment = segment_of(entries(folder / f"celery-{commit}.tar.xz", has_docs=task != "doc"), Terms())

    def files(question: str) -> list[str]:
        return [segment.paths[segment.files[one.chunk]] for one in search(Seen(segment), question, limit=200)]

    found = scored(folder, task, files)
    assert found[0] >= mrr
    assert found[1] >= recall


@pytest.mark.slow
@pytest.mark.skipif(
    "ASSENT_TEST_MODEL" not in os.environ, reason="ASSENT_TEST_MODEL names no folder with a model"
)
@pytest.mark.parametrize(
    ("task", "commit", "promised"),
    [("doc", "5dc781f0bd5f", (0.50, 0.78)), ("commit", "458d06cb48e1", (0.64, 0.84))],
)
def test_the_right_file_is_found_with_a_model(
    samples: Path, tmp_path: Path, task: str, commit: str, promised: tuple[float, float]
) -> None:
    """It takes some minutes: ten thousand chunks are embedded."""
    folder = samples / "knowledge"
    model_folder = Path(os.environ["ASSENT_TEST_MODEL"])
    model = open_model(model_folder, add_model(model_folder, tmp_path), tmp_path, threads=2)
    chunks = entries(folder / f"celery-{commit}.tar.xz", has_docs=task != "doc")
    words = segment_of(chunks, Terms())
    made = model.embed([f"{one.path} {one.symbol}\n{one.text.decode()}" for one in chunks])
    near = vectors.segment_of(model.model, made, np.arange(len(chunks), dtype=np.uint32))
    count = len(words.paths)
    part = Part(words, "celery", ("",) * count, np.zeros(count, np.int64), (near,))
    view = View([part], lambda _part, chunk: Told(chunk, chunk, "", "", "", ""))

    def files(question: str) -> list[str]:
        meaning = Meaning(model.model, model.embed([question])[0])
        return [one.path for one in view.ask(question, limit=50, meaning=meaning)]

    found = scored(folder, task, files)
    assert found[0] >= promised[0]
    assert found[1] >= promised[1]
