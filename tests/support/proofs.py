"""Proofs that are tried: the entries that they are made of, and what could be changed in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from assent.runtime._ledger import reading
from assent.runtime.service import process, requests
from assent.spec.events.kinds import StepStarted, StepSucceeded
from assent.spec.ids import RunId
from tests.support.bodies import Place

REFUSED: Final = {
    "PROOF_MALFORMED",
    "PROOF_INVALID",
    "SIGNATURE_INVALID",
    "SIGNATURE_MISSING",
    "NOTE_MALFORMED",
    "CHECKPOINT_MALFORMED",
}
"""What a proof is refused with that does not hold."""


def key_of(place: Place) -> str:
    return process.perform(requests.PublicKey(), place.settings()).key


@dataclass
class Entry:
    """Where a step of a run began, and where it succeeded with which outcome."""

    began: int
    done: int
    body: str
    salt: str


def entry_of(place: Place, run: str, step: str) -> Entry:
    with reading(place.settings().state) as journal:
        assert journal is not None
        leaves = [one for one in journal.run_leaves(RunId(run)) if getattr(one.event, "step", None) == step]
        began = next(one.seq for one in leaves if isinstance(one.event, StepStarted))
        done = next(one for one in leaves if isinstance(one.event, StepSucceeded))
        assert isinstance(done.event, StepSucceeded)
        opened = journal.opened(done.event.output)
    assert opened is not None
    return Entry(began, done.seq, opened[1].decode(), opened[0].hex())


def changed_from(value: Any) -> Iterator[Any]:  # `Any`: JSON
    """What a field could be changed to."""
    match value:
        case str():
            places = range(0, len(value), max(1, len(value) // 40))
            for at in places:
                other = "1" if value[at] != "1" else "2"
                yield value[:at] + other + value[at + 1 :]
            yield value[:-1]
            yield ""
        case int():
            yield from (value + 1, value - 1, -1, 2**62)
        case list():
            yield [*value, "00" * 32]
            yield value[:-1] if value else ["00" * 32]
            for at, one in enumerate(value):
                for other in changed_from(one):
                    yield [*value[:at], other, *value[at + 1 :]]
        case dict():
            for name, one in value.items():
                for other in changed_from(one):
                    yield {**value, name: other}
                yield {key: each for key, each in value.items() if key != name}
        case _:
            yield from ([], 1, "x")


def respelled(proof: dict[str, Any]) -> Iterator[str]:
    """Other texts that say all that a proof says, and more, or so that others may read something else."""
    places: list[tuple[str, ...]] = [()]
    for place in places:
        within = _at(proof, place)
        places += [(*place, name) for name, one in within.items() if isinstance(one, dict)]
        for name in within:
            twice = f'{{{json.dumps(name)}: "evil", {json.dumps(within)[1:]}'
            yield json.dumps(_with(proof, place, "@")).replace('"@"', twice)
    for changed in ({**proof, "more": "evil"}, {**proof, "salt": proof["salt"].upper()}):
        yield json.dumps(changed)
    yield json.dumps({**proof, "salt": f" {proof['salt']}"})


def _at(value: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        value = value[name]
    return value


def _with(value: Any, place: tuple[str, ...], other: Any) -> Any:
    if not place:
        return other
    return {**value, place[0]: _with(value[place[0]], place[1:], other)}
