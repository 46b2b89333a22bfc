"""Which steps a journaled document asks for, read without compiling it: telling of a run takes no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from assent.errors import InternalError, Json
from assent.spec.ids import CALL_STEP, StepKey


class Asked(Protocol):
    """What is told of a step that has not begun: a `StepSpec` says it, and an `OutlinedStep`."""

    @property
    def capability(self) -> str | None:
        """The reference to the capability; None for a question to people."""
        ...

    @property
    def in_finally(self) -> bool:
        """It is a step of `finally`."""
        ...


class OutlinedStep(NamedTuple):
    """One step of an outline."""

    capability: str | None
    in_finally: bool = False


def outline(document: Mapping[str, Json]) -> dict[StepKey, OutlinedStep]:
    """The steps of a run's document, in the order of its file, as `Blueprint.of_document` names them; a session has none."""
    match document:
        case {"workflow": {"steps": list() as steps, **rest}}:
            last = rest.get("finally")
            return {
                StepKey(name): OutlinedStep(capability, in_finally)
                for part, in_finally in ((steps, False), (last if isinstance(last, list) else [], True))
                for name, capability in _flat(part, "")
            }
        case {"call": {"capability": str() as capability}}:
            return {CALL_STEP: OutlinedStep(capability)}
        case {"session": dict()}:
            return {}
        case _:
            raise InternalError("RECORD_CORRUPT", "a run's document has no known shape")


def _flat(steps: Sequence[Json], prefix: str) -> Iterator[tuple[str, str | None]]:
    """Members in place of their group, and the steps of an inlined workflow in place of its own."""
    for step in steps:
        match step:
            case {"parallel": list() as members}:
                yield from _flat(members, prefix)
            case {"name": str() as name, "workflow": {"steps": list() as inner}}:
                yield from _flat(inner, f"{prefix}{name}__")
            case {"name": str() as name, "capability": str() as capability}:
                yield prefix + name, capability
            case {"name": str() as name}:
                yield prefix + name, None
            case _:
                raise InternalError("RECORD_CORRUPT", "a run's document has no known shape")
