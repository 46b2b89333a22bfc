"""What commands cost on a ledger of many runs, beside the same commands on one of few: nothing may read all of it.

    python -m benchmarks.growth [--quick] [--json FILE]

The large ledger is the small one with real runs appended to it, through the journal and in large groups: copies of one call
under ids, salts and commitments of their own. Both are then used by the installed command, in turns.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import msgspec

from assent.journal import Batch, Ed25519FileSigner, Payload, Row, SqliteJournal, rows_at_once
from assent.spec.events.kinds import AnyEvent
from assent.spec.ids import Commitment, RunId
from assent.spec.values.canonical import commit
from assent.system import SystemClock, SystemEntropy, SystemIds
from benchmarks._measure import clean_environment
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show
from benchmarks.startup import program, time_command

FEW = 100
GROUP = 512
RATIO_MAX = 1.2


def measure(folder: Path, *, quick: bool) -> Part:
    """Make two ledgers, then time each command on both."""
    many, turns = (10_000, 5) if quick else (100_000, 15)
    environment = {**clean_environment(folder / "home"), "ASSENT_LEDGER_KEY": str(folder / "ledger.key")}
    spaces = {count: folder / f"runs_{count}" for count in (FEW, many)}
    runs: dict[int, RunId] = {}
    for count, space in spaces.items():
        space.mkdir()
        command = [*program(), "call", "sys.noop", "--workspace", str(space)]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        runs[count] = asyncio.run(grow(space / ".assent", folder / "ledger.key", count - 1))
    commands: dict[str, Callable[[int], list[str]]] = {
        "runs": lambda _: ["runs"],
        "runs --limit 5": lambda _: ["runs", "--limit", "5"],
        "show": lambda count: ["show", runs[count]],
        "approvals": lambda _: ["approvals"],
        "audit log --run": lambda count: ["audit", "log", "--run", runs[count]],
        "call": lambda _: ["call", "sys.noop"],
    }
    times: dict[tuple[str, int], list[float]] = {(name, count): [] for name in commands for count in spaces}
    for turn in range(turns + 1):
        for name, arguments in commands.items():
            for count, space in spaces.items():
                command = [*program(), *arguments(count), "--workspace", str(space)]
                taken = time_command(command, environment, folder)
                if turn:  # The first turn warms up: bytecode, the disk's cache.
                    times[name, count].append(taken[1])
    rows, data, targets = [], {}, []
    for name in commands:
        few_ms, many_ms = (median(times[name, count]) * 1e3 for count in spaces)
        ratio = many_ms / few_ms
        data[name] = {"few_ms": few_ms, "many_ms": many_ms, "ratio": ratio}
        rows.append([name, *map(number, (few_ms, many_ms, ratio))])
        targets.append(Target(f"{name}: CPU at {many} runs beside {FEW}", ratio, RATIO_MAX, at_least=False))
    size_mb = (spaces[many] / ".assent" / "ledger.db").stat().st_size / 1e6
    print(
        f"\na ledger of {many} runs ({size_mb:.0f} MB) beside one of {FEW}: CPU of each command, medians of {turns}"
    )
    show("from process start to exit", ["command", f"at {FEW}: ms", f"at {many}: ms", "ratio"], rows)
    return Part("growth", {"commands": data, "many": many, "few": FEW}, targets)


async def grow(state: Path, key: Path, count: int) -> RunId:
    """Append so many copies of the call that the ledger holds; the id of one in the middle."""
    signer = Ed25519FileSigner.open(key)
    clock, ids = SystemClock(), SystemIds()
    journal = SqliteJournal.open(state, signer_for=signer.named, clock=clock, entropy=SystemEntropy())
    try:
        model = await _Model.of(journal)
        made = [ids.run_id() for _ in range(count)]
        for at in range(0, count, GROUP):
            group = [
                journal.append(batch)
                for run in made[at : at + GROUP]
                for batch in model.copy(run, clock.now_ms())
            ]
            await asyncio.gather(*group)
    finally:
        await journal.close()
    return made[count // 2]


class _Model:
    """The one call of a ledger, to be copied."""

    def __init__(
        self, run: RunId, events: list[bytes], bodies: dict[Commitment, bytes], rows: list[Row]
    ) -> None:
        self._run, self._events, self._bodies, self._rows = run, events, bodies, rows
        self._decoder = msgspec.json.Decoder(list[AnyEvent])

    @classmethod
    async def of(cls, journal: SqliteJournal) -> _Model:
        """Read from the ledger that it stands in."""
        (found,) = await journal.rows("runs", limit=2)
        run = RunId(str(found["run_id"]))
        leaves = await journal.events(run)
        bound = {commitment for leaf in leaves for commitment in leaf.event.commitments()}
        bodies = {commitment: await journal.payload(commitment) or b"" for commitment in bound}
        rows = [
            Row(table, tuple(row.values())[:width], tuple(row.values()))
            for table, width in (("runs", 1), ("steps", 2), ("waits", 2))
            for row in rows_at_once(journal, table)
        ]
        return cls(run, [msgspec.json.encode(leaf.event) for leaf in leaves], bodies, rows)

    def copy(self, run: RunId, at_ms: int) -> Iterator[Batch]:
        """The same under another id, with salts of its own."""
        text = b"[" + b",".join(self._events) + b"]"
        payloads = []
        for known, body in self._bodies.items():
            salt = os.urandom(16)
            own = Commitment(commit(salt, body))
            payloads.append(Payload(own, salt, body))
            text = text.replace(known.encode(), own.encode())
        rows = [
            Row(
                row.table,
                (run, *row.key[1:]),
                tuple(run if cell == self._run else cell for cell in row.values),
            )
            for row in self._rows
        ]
        yield Batch(run, 0, at_ms, tuple(self._decoder.decode(text)), tuple(payloads), tuple(rows))


if __name__ == "__main__":
    run_part(measure, __doc__)
