"""A process that is killed while it appends loses nothing that it was told is durable."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from assent.journal import Ed25519Verifier, Ownership, SqliteReader, leaves_at_once, verify_ledger
from assent.journal.store._schema import LEDGER_FILE
from tests.support.crashing import KILLED, Scene
from tests.support.journals import KEY, SimpleProjector, open_sqlite

_APPENDER = """
import asyncio, sys
from pathlib import Path
from assent.journal import Ownership
from tests.support.journals import created, open_sqlite, progressed, run_id, succeeded

async def drive(journal, run):
    for batch in (created(run), progressed(run, 1), succeeded(run, 2)):
        head = await journal.append(batch)
        # One write per line, so that a kill can't tear it: what we read was acknowledged.
        sys.stdout.write(f"{run} {batch.expected_n} {head.size}\\n")
        sys.stdout.flush()

async def main(state, first):
    ownership = Ownership.acquire(state)
    assert ownership is not None
    journal = open_sqlite(state)
    for group in range(first, first + 1_000_000, 8):
        await asyncio.gather(*[drive(journal, run_id(number)) for number in range(group, group + 8)])

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


_LOOKING = (
    ("audit", "verify"),
    ("audit", "log"),
    ("audit", "approvals"),
    ("audit", "prove", "0"),
    ("runs",),
    ("approvals",),
    ("doctor",),
    ("show", "run_none"),
    ("replay", "run_none"),
    ("policy", "simulate", "policy.yaml"),
    ("policy", "suggest"),
    ("prune", "--older-than", "1d", "--yes"),
    ("audit", "export", "out"),
)
"""Whatever looks at a ledger; the last one seals it, and so makes its first entry."""


def test_a_ledger_without_an_entry_is_read_as_one_in_which_nothing_was_recorded(scene: Scene) -> None:
    """Who made it was killed before its first entry."""
    assert scene.assent("call", "sys.noop", kill="ledger.before:1").code == KILLED
    for words in _LOOKING:
        ended = scene.assent(*words, "--json")
        assert ended.code in (0, 2), (words, ended)
    assert scene.assent("audit", "verify").code == 0


@pytest.mark.slow
def test_acknowledged_events_survive_a_kill(tmp_path: Path, repository: Path) -> None:
    """SIGKILL at some moment of a busy writer, again and again on the same ledger: every acknowledged event is there."""
    state = tmp_path / "state"
    acknowledged: set[tuple[str, int]] = set()
    for life, lines in enumerate((1, 40, 97, 230)):
        acknowledged |= _append_and_die(state, repository, first=life * 1_000_000, lines=lines)
        asyncio.run(_require_all(state, acknowledged))
    assert len(acknowledged) >= 1 + 40 + 97 + 230


def _append_and_die(state: Path, repository: Path, *, first: int, lines: int) -> set[tuple[str, int]]:
    """What a process had acknowledged when it was killed, after at least so many lines."""
    with subprocess.Popen(
        [sys.executable, "-c", _APPENDER, str(state), str(first)],
        cwd=repository,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said += process.stdout.readlines()
    assert all(line.endswith("\n") for line in said)
    return {(run, int(n)) for run, n, _ in (line.split() for line in said)}


async def _require_all(state: Path, acknowledged: set[tuple[str, int]]) -> None:
    with SqliteReader.open(state) as reader:
        before = {(leaf.run, leaf.n) for leaf in leaves_at_once(reader)}
    assert acknowledged <= before
    ownership = Ownership.acquire(state)
    assert ownership is not None
    journal = open_sqlite(state)
    await journal.close()
    ownership.release()
    keys = [Ed25519Verifier.from_vkey(KEY.named(journal.origin).vkey)]
    report = verify_ledger(state / LEDGER_FILE, keys, projector=SimpleProjector())
    assert report.faults == ()
    assert report.unsigned == 0
