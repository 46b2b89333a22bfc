"""How good it is, on questions about a real project: what is promised is what is reached, or less."""

from __future__ import annotations

import ast
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from assent.knowledge.chunks import Planned, plan_file
from assent.knowledge.lexical import Entry, Segment, Terms, search, segment_of


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


def index(archive: Path, *, has_docs: bool) -> Segment:
    entries = []
    for path, data in texts(archive):
        text = data if has_docs or not path.endswith(".py") else without_docs(data)
        planned = plan_file(path, text)
        if isinstance(planned, Planned):
            entries += [Entry(text[one.begin : one.end], one.symbol, path) for one in planned.chunks]
    return segment_of(entries, Terms())


@pytest.mark.parametrize(
    ("task", "commit", "mrr", "recall"),
    [("doc", "5dc781f0bd5f", 0.57, 0.80), ("commit", "458d06cb48e1", 0.64, 0.85)],
)
def test_the_right_file_is_found_without_a_model(
    samples: Path, task: str, commit: str, mrr: float, recall: float
) -> None:
    """MRR and recall of the first ten files, where a file is as good as its best chunk."""
    folder = samples / "knowledge"
    segment = index(folder / f"celery-{commit}.tar.xz", has_docs=task != "doc")
    asked = [json.loads(line) for line in (folder / "celery.jsonl").read_text().splitlines()]
    ranks = []
    for one in asked:
        if one["task"] != task:
            continue
        meant = {target.partition("::")[0] for target in one["target"]}
        found = search([segment], one["q"], limit=200)
        files = [*dict.fromkeys(segment.paths[segment.files[chunk.chunk]] for chunk in found)][:10]
        ranks.append(next((rank for rank, path in enumerate(files, 1) if path in meant), 0))
    assert len(ranks) == 150
    assert sum(1 / rank for rank in ranks if rank) / len(ranks) >= mrr
    assert sum(rank > 0 for rank in ranks) / len(ranks) >= recall
