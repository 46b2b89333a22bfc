"""The clauses of the contract. Each is a promise that the runtime relies on, tried on one case in a world of its own."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from assent.errors import AssentError, InputError, Json
from assent.invocation import CallTimeoutError, Preview, Reconciliation
from assent.spec.capability import CapabilitySpec
from assent.spec.states import Verdict
from assent.spec.values.frozen import thaw
from assent.testing._bench import Bench, Trial

STOP_S: Final = 0.05
"""The limit that a part is given when it is tried whether it ends."""


class BrokenError(AssertionError):
    """A clause is broken; the message says how, and `hint` what whoever wrote the part can do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(f"help: {hint}")  # pytest shows it under the message


@dataclass(frozen=True, slots=True)
class Clause:
    """One promise. `needs` names the part without which there is nothing to promise."""

    name: str
    promise: str
    check: Callable[[Bench], Awaitable[None]]
    needs: str = "execute"


def _require(fits: object, message: str, *, hint: str | None = None) -> None:
    if not fits:
        raise BrokenError(message, hint=hint)


def _expected(error: AssentError, part: str, bench: Bench) -> None:
    """A part failed: as the case says, or the promise is broken, with the hint of the error."""
    _require(error.code == bench.case.fails, f"`{part}` failed: {error}", hint=error.hint)


async def _executed(bench: Bench) -> Trial:
    """A call that is prepared and executed, or failed as the case says."""
    trial = bench.call()
    if await _prepared(bench, trial):
        await _execute(bench, trial)
    return trial


async def _prepared(bench: Bench, trial: Trial) -> bool:
    """Whether the call is ready; false when preparing it failed as the case says."""
    try:
        await trial.prepare()
    except AssentError as error:
        _expected(error, "prepare", bench)
        return False
    return True


async def _execute(bench: Bench, trial: Trial) -> Json:
    wanted = bench.case.fails
    try:
        output = await trial.execute()
    except AssentError as error:
        _expected(error, "execute", bench)
        return None
    _require(wanted is None, f"`execute` succeeded, and the case says that it fails with {wanted}")
    return output


async def _spec_survives(bench: Bench) -> None:
    spec = bench.bound.spec
    again = CapabilitySpec.from_json(spec.to_json())
    _require(
        again.fingerprint == spec.fingerprint, "the spec has another fingerprint after a trip through JSON"
    )
    _require(again.to_json() == spec.to_json(), "the spec is another one after a trip through JSON")


async def _fingerprint_is_stable(bench: Bench) -> None:
    handler = bench.bound.handler
    _require(handler.fingerprint() == handler.fingerprint(), "the handler's fingerprint changes by itself")
    _require(
        bench.bound.handler_fingerprint == handler.fingerprint(),
        "the handler was changed after it was registered",
    )


async def _inputs_survive(bench: Bench) -> None:
    bound = bench.bound
    _, plain = bound.parse(bench.case.inputs)
    _, again = bound.parse(plain)
    _require(
        again == plain, f"the inputs are others after a trip through the journal: {plain} became {again}"
    )


async def _bad_input_is_refused(bench: Bench) -> None:
    for inputs in _bad_inputs(bench):
        try:
            bench.bound.parse(inputs)
        except InputError as error:
            _require(error.details.get("faults"), f"the refusal of {inputs} tells no fault")
        else:
            raise BrokenError(f"inputs that do not fit are taken: {inputs}")


def _bad_inputs(bench: Bench) -> Iterator[Mapping[str, Json]]:
    good = dict(bench.case.inputs)
    schema: dict[str, Any] = thaw(bench.bound.spec.parameters)  # `Any`: a schema
    yield from bench.case.refused
    properties = schema.get("properties", {})
    if schema.get("additionalProperties") is False:
        yield {**good, "no_such_input": 1}
    for name in schema.get("required", ()):
        yield {key: value for key, value in good.items() if key != name}
    for name, kind in properties.items():
        if kind.get("type") in {"string", "integer", "number", "boolean"}:
            yield {**good, name: ["of another kind"]}
            yield {**good, name: math.nan}


async def _preview_changes_nothing(bench: Bench) -> None:
    before = bench.see()
    shown: list[Preview] = []
    for _ in range(2):
        trial = bench.call(world=bench.workspace.simulate())
        try:
            preview = await trial.part("preview")
        except AssentError:
            # What can't be done may be refused already here; the refusal too must leave the world alone.
            _require(bench.see() == before, "`preview` changed the world and then refused")
            return
        _require(isinstance(preview, Preview), "`preview` does not give a `Preview`")
        _require(bench.see() == before, "`preview` changed the world")
        shown.append(preview)
    _require(shown[0] == shown[1], "two previews of the same world differ")


async def _prepare_reads_only(bench: Bench) -> None:
    before = bench.see()
    try:
        prepared = await bench.call().prepare()
    except AssentError as error:
        _expected(error, "prepare", bench)
        prepared = None
    _require(bench.see() == before, "`prepare` changed the world")
    if prepared is not None:
        for digest in prepared.blobs:
            b"".join(bench.blobs.read(digest))  # RECORD_CORRUPT for one that was never put


async def _output_fits(bench: Bench) -> None:
    await _executed(bench)


async def _read_changes_nothing(bench: Bench) -> None:
    before = bench.see()
    await _executed(bench)
    if not bench.bound.spec.has_effect:
        _require(bench.see() == before, "a READ changed the world")


async def _reconcile_knows(bench: Bench) -> None:
    trial = bench.call()
    if not await _prepared(bench, trial):
        return
    before = bench.see()
    first = await _answer(trial)
    _require(bench.see() == before, "`reconcile` changed the world")
    await _execute(bench, trial)
    after = bench.see()
    trial.life.output = None  # a crash lost it
    second = await _answer(trial)
    _require(bench.see() == after, "`reconcile` changed the world")
    if bench.case.fails is not None or after == before:
        return  # Without a change of the world both answers are right: running again does no harm.
    _require(first.verdict is Verdict.NO, f"`reconcile` answers {first.verdict} before the effect")
    _require(second.verdict is Verdict.YES, f"`reconcile` answers {second.verdict} after the effect")
    bench.bound.result(second.output)


async def _answer(trial: Trial) -> Reconciliation:
    try:
        answer = await trial.part("reconcile")
    except AssentError as error:
        raise BrokenError(f"`reconcile` failed: {error}", hint=error.hint) from error
    except Exception as error:
        raise BrokenError(f"`reconcile` raised {type(error).__name__}: {error}") from error
    if not isinstance(answer, Reconciliation):
        raise BrokenError("`reconcile` does not give a `Reconciliation`")
    return answer


async def _compensate_restores(bench: Bench) -> None:
    if bench.case.fails is not None:
        return  # A call that is known to have done nothing is never taken back.
    before = bench.see()
    trial = await _executed(bench)
    await trial.part("compensate")
    if bench.bound.spec.side_effects.reversible:
        _require(
            bench.see() == before, f"`compensate` left another state: {_difference(before, bench.see())}"
        )


async def _compensate_is_idempotent(bench: Bench) -> None:
    if bench.case.fails is not None:
        return
    trial = await _executed(bench)
    await trial.part("compensate")
    once = bench.see()
    await trial.part("compensate")
    _require(
        bench.see() == once, f"a second `compensate` changed the world: {_difference(once, bench.see())}"
    )


async def _compensate_without_effect(bench: Bench) -> None:
    if bench.case.fails is not None or not bench.bound.spec.side_effects.reversible:
        return
    before = bench.see()
    trial = bench.call()
    await trial.prepare()
    await trial.part("compensate")
    _require(bench.see() == before, "`compensate` changed a world in which nothing had happened")


async def _idempotent_runs_twice(bench: Bench) -> None:
    if bench.case.fails is not None or not bench.bound.spec.idempotent:
        return
    trial = await _executed(bench)
    once = bench.see()
    await _execute(bench, trial)
    _require(bench.see() == once, "the spec says idempotent, and a second `execute` changed the world")


async def _ends_when_cancelled(bench: Bench) -> None:
    await _stopped(bench, is_cancelled=True)


async def _ends_in_time(bench: Bench) -> None:
    await _stopped(bench, is_cancelled=False)


async def _stopped(bench: Bench, *, is_cancelled: bool) -> None:
    trial = bench.call()
    if not await _prepared(bench, trial):
        return
    if is_cancelled:
        trial.cancel.cancel()
    try:
        await trial.part("execute", timeout_s=STOP_S)
    except CallTimeoutError as error:
        _require(
            not error.is_alive, "`execute` goes on after it was told to stop: let it look at `context.cancel`"
        )
    except Exception as error:  # noqa: BLE001  # how it ends is its own affair here; that it ends is the promise
        del error


def _difference(before: tuple[object, object], after: tuple[object, object]) -> str:
    old, new = before[0], after[0]
    assert isinstance(old, dict)
    assert isinstance(new, dict)
    changed = sorted(path for path in {*old, *new} if old.get(path) != new.get(path))
    if changed:
        return ", ".join(f"`{path}`" for path in changed[:5])
    return f"{before[1]!r} became {after[1]!r}"


CLAUSES: Final[tuple[Clause, ...]] = (
    Clause("spec", "the spec survives JSON with its fingerprint", _spec_survives),
    Clause("fingerprint", "the handler's fingerprint is stable", _fingerprint_is_stable),
    Clause("inputs", "inputs survive the journal", _inputs_survive),
    Clause("refusal", "inputs that do not fit are refused, with every fault", _bad_input_is_refused),
    Clause("preview", "preview changes nothing, and shows the same twice", _preview_changes_nothing, "preview"),
    Clause("prepare", "prepare reads only, and keeps what can be read again", _prepare_reads_only, "prepare"),
    Clause("output", "the output fits its type", _output_fits),
    Clause("read", "a READ changes nothing", _read_changes_nothing),
    Clause("reconcile", "reconcile answers no before, yes after, and never raises", _reconcile_knows, "reconcile"),
    Clause("restore", "compensate restores the state before, byte for byte", _compensate_restores, "compensate"),
    Clause("restore_twice", "compensate may be called twice", _compensate_is_idempotent, "compensate"),
    Clause("restore_nothing", "compensate without an effect is harmless", _compensate_without_effect, "compensate"),
    Clause("twice", "an idempotent execute may be called twice", _idempotent_runs_twice),
    Clause("cancel", "execute ends when it is cancelled", _ends_when_cancelled),
    Clause("timeout", "execute ends when its time is up", _ends_in_time),
)  # fmt: skip
