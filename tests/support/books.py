"""What a book of findings holds, by ids and documents, and outputs of tools that are made to fill one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from assent.findings.book import BookFile, contents
from assent.findings.book._bits import numbers_in
from assent.findings.merging import RANK

_NAMES: Final = {rank: one.value for one, rank in RANK.items()}
_PLACES: Final = "SELECT dataset, body FROM place WHERE resource = ? ORDER BY dataset"
_SEEN: Final = "SELECT dataset, body FROM seen WHERE finding = ? ORDER BY dataset"


def spoil(file: BookFile) -> None:
    """Close a book, and damage what findings are in: it can still be opened."""
    assert file.path is not None
    root: Any = file.db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'seen'").get
    size = file.db.pragma("page_size")
    file.db.wal_checkpoint()
    file.close()
    with file.path.open("r+b") as damaged:
        damaged.seek((root - 1) * size)
        damaged.write(b"\xff" * size)


def dump(file: BookFile) -> dict[str, Any]:
    """All that stands in a book, in the order in which it is shown, and none of the numbers that it goes by itself."""
    db: Any = file.db  # `Any`: the columns' types are the schema's
    projects = {
        n: {"id": ident, "name": name, "since_ms": since}
        for n, ident, name, since in db.execute("SELECT n, id, name, since_ms FROM project ORDER BY n")
    }
    ids = {n: ident.hex() for n, ident in db.execute("SELECT n, id FROM finding")}
    words = {n: (ident, tool) for n, ident, tool in db.execute("SELECT n, id, tool FROM detector")}
    return {
        "projects": [*projects.values()],
        "datasets": [
            {
                "seq": seq, "project": projects[project]["id"], "run": run, "step": step, "at_ms": at,
                "said": msgspec.json.decode(said), "new": new, "known": known,
                "findings": sorted(ids[one] for one in numbers_in(int.from_bytes(bits, "little"))),
            }
            for seq, project, run, step, at, said, new, known, bits, *_ in db.execute("SELECT * FROM dataset ORDER BY seq")
        ],
        "findings": [
            {
                "id": ident.hex(), "project": projects[project]["id"], "severity": _NAMES[rank], "detector": words.get(detector),
                "closed": closed, "muted_ms": muted, "first_ms": first, "last_ms": last,
                "newest": db.execute("SELECT dataset FROM seen WHERE n = ?", (newest,)).get,
                "seen": [
                    (dataset, msgspec.json.decode(body))
                    for dataset, body in db.execute(_SEEN, (n,)).fetchall()
                ],
            }
            for n, project, ident, rank, detector, closed, muted, first, last, newest, _ in db.execute(
                "SELECT * FROM finding ORDER BY rank DESC, n DESC"
            ).fetchall()
        ],
        "resources": [
            {
                "id": ident.hex(), "project": projects[project]["id"], "kind": kind, "first_ms": first, "last_ms": last,
                "newest": db.execute("SELECT dataset FROM place WHERE n = ?", (newest,)).get,
                "places": [
                    (dataset, msgspec.json.decode(body))
                    for dataset, body in db.execute(_PLACES, (n,)).fetchall()
                ],
            }
            for n, project, ident, kind, first, last, newest in db.execute("SELECT * FROM resource ORDER BY n").fetchall()
        ],
        "triage": sorted(
            (
                {"id": ident.hex(), "project": projects[project]["id"], "triage": msgspec.json.decode(body)}
                for ident, project, body in db.execute("SELECT id, project, body FROM triage")
            ),
            key=lambda one: str(one["id"]),
        ),
        "changes": [
            (seq, ident.hex(), before and msgspec.json.decode(before), msgspec.json.decode(after))
            for seq, ident, before, after in db.execute("SELECT seq, id, before, after FROM change ORDER BY seq, id")
        ],
        "mutes": [
            (ident.hex(), projects[project]["id"], *rest)
            for ident, project, *rest in db.execute("SELECT * FROM mute ORDER BY id")
        ],
        "digest": contents(file),
        "stray": db.execute("SELECT count(*) FROM seen WHERE finding NOT IN (SELECT n FROM finding)").get,
    }  # fmt: skip


def nuclei(matters: Iterable[tuple[str, str, str]]) -> bytes:
    """What nuclei writes: a line for each matter, by its rule, its severity and the host where it is."""
    return b"".join(
        json.dumps(
            {
                "template-id": rule,
                "info": {"name": f"The matter {rule}", "severity": severity},
                "type": "http",
                "host": f"https://{host}",
                "matched-at": f"https://{host}/{rule}",
                "timestamp": "2026-11-23T09:30:00Z",
            }
        ).encode()
        + b"\n"
        for rule, severity, host in matters
    )


def katana(places: Iterable[str]) -> bytes:
    """What katana writes: a line for each place that it came to."""
    return b"".join(
        json.dumps(
            {
                "timestamp": "2026-11-23T09:30:00Z",
                "request": {"method": "GET", "endpoint": place},
                "response": {"status_code": 200},
            }
        ).encode()
        + b"\n"
        for place in places
    )
