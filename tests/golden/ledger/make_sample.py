"""Made `v8/` once: a ledger with every kind of event, each with all its fields and with as few as it may (as `v1/` to `v7/`).

Kept to show how the files came about. Never run over a released folder: a sample that changes is a format that changed, and
that needs a `v9/` beside it. Run from the repository's root: `python -m tests.golden.ledger.make_sample FOLDER`.
"""

from __future__ import annotations

import sys
import tempfile
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import msgspec

from assent.journal.audit._audit import prove
from assent.journal.audit._export import export_ledger
from assent.journal.ports import Batch, Payload
from assent.journal.store._record import SqliteRecord
from assent.spec.events.kinds import EVENT_TYPES, AnyEvent, Event, LedgerCreated, LedgerRecovered
from assent.spec.ids import RunId
from tests.support.ledgers import SIGNER, START_MS, LedgerFile, payload

RUN = RunId("run_01JD0000000000000000000000")
PROVED = 7
_ALONE = (
    "ledger.",
    "payload.",
    "capability.",
    "release.",
    "delivery.",
    "policy.",
    "plan.",
    "identity.",
    "key.",
    "schedule.",
)


def events_of(kind: type[Event]) -> list[tuple[Event, list[Payload]]]:
    """The event with all its fields, and with those only that it must have, each with the payloads that it binds."""
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    hints = get_type_hints(kind)
    variants = [list(kind.__struct_fields__)]
    if len(required) < len(variants[0]):
        variants.append([name for name in kind.__struct_fields__ if name in required])
    found = []
    for names in variants:
        label = f"{kind.__struct_config__.tag}/{len(names)}"
        bound = {
            name: payload(f'"{label}/{name}"'.encode()) for name in names if name in kind.commitment_fields
        }
        values = {
            name: bound[name].commitment if name in bound else _value(name, hints[name]) for name in names
        }
        found.append((kind(**values), list(bound.values())))
    return found


def _value(name: str, hint: object) -> object:
    """A plausible value of a field's type."""
    if isinstance(hint, UnionType):
        return _value(name, next(part for part in get_args(hint) if part is not type(None)))
    if get_origin(hint) is tuple:
        first = get_args(hint)[0]
        if get_origin(first) is tuple or (isinstance(first, type) and issubclass(first, msgspec.Struct)):
            return (_value(name, first),)
        return (1, 2) if first is int else (f"{name}-1", f"{name}-2")
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint(**{field: _value(field, inner) for field, inner in get_type_hints(hint).items()})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    if hint is bool:
        return True
    if hint is int:
        return START_MS if name.endswith("_ms") else 3
    return "user:ada" if name in {"by", "principal", "requester"} else f"{name}-1"


def make(folder: Path) -> None:
    """Write the sample."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "ledger.db"
        ledger = LedgerFile.create(path)
        n = 0
        for kind in EVENT_TYPES.values():
            if kind is LedgerCreated:
                continue
            for made, payloads in events_of(kind):
                event = made
                if isinstance(made, LedgerRecovered):
                    event = LedgerRecovered(signed=ledger.tail.signed, size=ledger.tail.head.size)
                stands_alone = event.kind.startswith(_ALONE) or event.kind == "approval.refused"
                events: tuple[AnyEvent, ...] = (event,)  # type: ignore[assignment]  # made from the union's own members
                batch = Batch(None if stands_alone else RUN, n, START_MS + n, events, tuple(payloads))
                ledger.commit([batch], seal=event.kind.startswith("run."))
                n += not stands_alone
        ledger.commit([], seal=True)
        ledger.close()
        with SqliteRecord.open(path) as record:
            export_ledger(record, folder, vkey=SIGNER.vkey, payloads=True)
            (folder / f"entry-{PROVED}.tlog-proof").write_text(prove(record, PROVED), encoding="utf-8")
    # The sample is data alone; the checker of today is tested against it where it stands.
    (folder / "verify.py").unlink()
    (folder / "README.md").unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
