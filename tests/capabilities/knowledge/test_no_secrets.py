"""Secrets of many kinds in every sort of file are in nothing that the product keeps or says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assent.runtime.settings.effective import Settings
from assent.runtime.wiring.knowledge import library_of
from tests.knowledge.cleaning.test_planted import FILES, PLANTED, left
from tests.support.knowledge_places import called, furnish, opened, refused
from tests.support.shelves import told_in

PIECES = sorted({one for _, _, secret in PLANTED for one in left(secret)})


def planted() -> dict[str, str]:
    """Each secret in one file, in turns of all sorts."""
    forms = [*FILES.items()]
    found = {}
    for number, (_, name, secret) in enumerate(PLANTED):
        file, make = forms[number % len(forms)]
        found[f"{number}/{file}"] = make(name, secret)
    return found


def kept(work: Path) -> bytes:
    """All that the store has, opened with its keys: chunks, symbols, and the words of the index."""
    library = library_of(Settings.resolve(workspace=work, environ={}, cwd=work))
    try:
        store, found = library.store, []
        for repository in store.repositories():
            for held in store.files(repository):
                found += [store.text(held.row, number) for number in range(held.chunks)]
                found += [one.symbol.encode() for one in store.cuts(held.row)]
            found += [
                piece.read(part) for piece in store.pieces(repository, "lexical") for part in piece.parts
            ]
        return b"\n".join(bytes(one) for one in found)
    finally:
        library.close()


async def test_no_secret_is_kept_or_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    work = furnish(tmp_path, planted())
    said: list[object] = []
    async with opened(work) as rt:
        made = await called(rt, "index", repository="code")
        assert (made["files"], made["changed"]) == (len(PLANTED), len(PLANTED))
        assert sum(one["count"] for one in made["cleaned"]) >= len(PLANTED)
        said += [made, await called(rt, "plan", repository="code")]
        for number, (path, text) in enumerate(planted().items()):
            if number % 30:
                continue
            _, name, secret = PLANTED[number]
            for query in (f"{name} {secret}"[:2_000], name):
                found = await called(rt, "search", query=query, limit=50)
                said.append(found)
            hits = (await called(rt, "search", query=text[:2_000], paths=[f"src/{path}"]))["hits"]
            for hit in hits:
                said.append(await called(rt, "read_chunk", chunk=hit["chunk"], repository="code"))
            # What a caller gets wrong is not echoed either.
            await refused(rt, "read_chunk", chunk="no::1", repository="code")
        told = json.dumps(said, ensure_ascii=False)
        assert [one for one in PIECES if one in told] == []
        assert told_in(work / ".assent", *PIECES) == []
    assert told_in(work / ".assent", *PIECES) == []
    assert [one for one in PIECES if one.encode() in (tmp_path / "keys" / "ledger.key").read_bytes()] == []
    printed = "".join(capfd.readouterr()) + caplog.text
    assert [one for one in PIECES if one in printed] == []
    everything = kept(work)
    assert b"[removed: " in everything
    assert [one for one in PIECES if one.encode() in everything or one.lower().encode() in everything] == []
