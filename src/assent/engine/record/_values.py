"""The payloads of one run as values: inputs and outputs, from memory while the run lives, else from the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from assent.engine.record._record import RunRecord, StepRecord
from assent.errors import AssentError, InternalError, Json, WorldError
from assent.journal.ports import JournalReader
from assent.spec.ids import Commitment, StepKey, iteration_of, name_of
from assent.spec.language.template import Name
from assent.spec.states import StepState
from assent.spec.unkept_fields import PREFIX, Salt, is_marked, not_kept, opens, veil_derived
from assent.spec.values.typed import decode


class Values:
    """What references of a run may name. A skipped step's output is null. `outputs` are the run's own once it succeeded.

    `asked` has what calls are made with that people are asked about, where not all of that is kept.
    """

    def __init__(self, reader: JournalReader, inputs: Mapping[str, Json]) -> None:
        self._reader = reader
        self._steps: dict[str, dict[str, Json]] = {}
        self._known: dict[Commitment, Json] = {}
        self._context: dict[str, object] = {"inputs": inputs, "steps": self._steps}
        self.inputs = dict(inputs)
        """The run's own."""
        self.outputs: Json = None
        self.asked: dict[StepKey, Json] = {}
        self._items: dict[StepKey, list[Json]] = {}
        self._kept: dict[str, dict[str, Json]] = {}
        self._kept_inputs: Mapping[str, Json] = inputs
        self._lacks = False
        self._lacking: dict[Name, None] = {}

    @property
    def holds_unkept(self) -> bool:
        """This process knows texts that the journal does not."""
        return bool(self._kept) or self._kept_inputs is not self._context["inputs"]

    @property
    def unkept(self) -> Mapping[str, Json]:
        """The outputs of steps of which the journal does not have all."""
        return {key: self._steps[key]["output"] for key in self._kept}

    @property
    def lacking(self) -> list[StepKey]:
        """The steps whose outputs have texts that were not kept, and that nobody here knows."""
        return [StepKey(name[1]) for name in self._lacking if name[0] == "steps"]

    def keep_inputs(self, kept: Mapping[str, Json]) -> None:
        """Of the run's own inputs this is what is kept."""
        self._kept_inputs = kept

    def kept(self, key: StepKey) -> Json:
        """A step's output as it is kept."""
        return self._kept.get(key, self._steps[key])["output"]

    def veil(self, value: Json, render: Callable[[Mapping[str, object]], Json], salt: Salt) -> Json:
        """What `render` made of the context, as it may be kept: without what comes from texts that are not."""
        if not self.holds_unkept:
            return value
        kept = {**self._context, "inputs": self._kept_inputs, "steps": {**self._steps, **self._kept}}
        try:
            made = render(kept)
        except AssentError:  # of a mark something else can't be made
            made = None
        return veil_derived(value, made, salt)

    def require_told(self, names: Iterable[Name], of: str, rendered: Json = None) -> None:
        """Raise TEXT_NOT_KEPT where something is to be made of what was not kept, and that nobody here knows.

        `names` are what it reads; `rendered` is what it is, where it is no more than what was said literally.
        """
        if not self._lacks:
            return
        reads = {name[:2] for name in names}
        if (
            not reads.isdisjoint(self._lacking)
            or (("steps",) in reads and self.lacking)
            or is_marked(rendered)
        ):
            raise not_kept("the inputs", of)

    @property
    def context(self) -> Mapping[str, object]:
        """`inputs` and `steps` (name → `{"output": …}`), as expressions see them; at last `run` (`tell_of_end`)."""
        return self._context

    async def iteration(
        self, parent: StepKey, items: Commitment, index: int, made: Callable[[], Json]
    ) -> Mapping[str, object]:
        """The same with `item` and `index` of one iteration; the items of its `foreach` step are read once.

        Where they were not kept as they are, `made` makes them again.
        """
        found = self._items.get(parent)
        if found is None:
            loaded = await self.load(items)
            if self._lacks and is_marked(loaded):
                loaded = require_same(loaded, made(), parent)
            assert isinstance(loaded, list)  # INVARIANT: only lists are expanded
            found = self._items[parent] = loaded
        return {**self._context, "item": found[index], "index": index}

    @property
    def knows_end(self) -> bool:
        """References of `finally` can be read."""
        return "run" in self._context

    async def tell_of_end(self, record: RunRecord, steps: Iterable[StepKey]) -> None:
        """What only the steps of `finally` may name: how the others ended. Whichever has no output by then has null for it.

        What they failed with has to be in the journal.
        """
        assert record.final is not None  # INVARIANT: they have ended
        started = record.final.started
        error = record.error
        if record.failed_step is not None:
            error = record.steps[record.failed_step].error
        told = await load_json(self._reader, error)
        message = (told.get("message") or told.get("reason")) if isinstance(told, dict) else None
        if message is None and started.code is not None:
            message = words_of(started.code)
        self._context["run"] = {
            "outcome": started.outcome.value,
            "code": started.code,
            "message": message,
            "step": record.failed_step,
        }
        for key in steps:
            self._steps.setdefault(key, {"output": None})

    async def of_step(
        self, record: RunRecord, key: StepKey, made: Callable[[], Json] = lambda: None
    ) -> Mapping[str, object]:
        """What references of a step may name, `item` and `index` of its iteration included; `made` as in `iteration`."""
        iteration = iteration_of(key)
        if iteration is None:
            return self._context
        parent = record.steps[iteration[0]]
        assert parent.items is not None  # INVARIANT: iterations exist only after `step.expanded`
        return await self.iteration(parent.key, parent.items, iteration[1], made)

    async def for_compensation(self, record: RunRecord, key: StepKey, output: Json) -> Mapping[str, object]:
        """The same, in which a step's name means that step, or that iteration, with its own output."""
        context = await self.of_step(record, key)
        return {**context, "steps": {**self._steps, name_of(key): {"output": output}}}

    def put_output(self, key: StepKey, output: Json) -> None:
        """A step has its output."""
        self._steps[key] = {"output": output}

    def put_unkept(self, key: StepKey, output: Json, kept: Json) -> None:
        """A step has its output, of which `kept` is kept."""
        self.put_output(key, output)
        self._lacking.pop(("steps", key), None)
        if kept is not output:
            self._kept[key] = {"output": kept}

    def put_heard(self, key: StepKey, payload: Commitment) -> None:
        """A step has its output: what came with a signal, which is known from when it came, or from `restore`, until then."""
        self.put_output(key, self._known.pop(payload))

    def output(self, key: StepKey) -> tuple[bool, Json]:
        """Whether this process knows the step's output, and the output."""
        known = self._steps.get(key)
        return (True, known["output"]) if known is not None else (False, None)

    def remember(self, commitment: Commitment, value: Json) -> None:
        """Keep a payload that was just bound, until it is forgotten: it will be asked for soon."""
        self._known[commitment] = value

    def forget(self, *commitments: Commitment | None) -> None:
        """Drop what `remember` kept: it is in the journal, and nobody here needs it again."""
        for commitment in commitments:
            if commitment is not None:
                self._known.pop(commitment, None)

    async def load(self, commitment: Commitment) -> Json:
        """A payload's value. `PAYLOAD_ERASED` when it was erased, `RECORD_CORRUPT` when it is not what was committed to."""
        if commitment in self._known:
            return self._known[commitment]
        body = await self._reader.payload(commitment)
        if body is None:
            raise WorldError("PAYLOAD_ERASED", "the data that this needs was erased from the journal")
        value = cast("Json", decode(body))
        self._lacks = self._lacks or (PREFIX.encode() in body and is_marked(value))
        return value

    async def load_object(self, commitment: Commitment) -> dict[str, Json]:
        """The same, for a payload that is a JSON object."""
        value = await self.load(commitment)
        if not isinstance(value, dict):
            raise InternalError("RECORD_CORRUPT", "a journaled payload is not an object")
        return value

    async def restore(
        self, record: RunRecord, steps: Iterable[StepKey], has_unkept: Callable[[StepRecord], bool]
    ) -> None:
        """Load the outputs of every step that has one, and what came with signals: a run goes on after its process ended.

        `steps` are all that it is known to have. `has_unkept`: what a step called says that it tells texts which are not kept;
        whatever else tells a text that looks like a mark has told that text.
        """
        for name, given in self.inputs.items():
            if is_marked(given):
                self._lacks = True
                self._lacking["inputs", name] = None
        for signal in record.signals:
            self.remember(signal.payload, await self.load(signal.payload))
        for step in record.steps.values():
            if step.state is StepState.SKIPPED:
                self.put_output(step.key, None)
            elif step.output is not None:
                # Also of a step that is being taken back: how that is done may refer to outputs.
                output = await self.load(step.output)
                self.put_output(step.key, output)
                if self._lacks and is_marked(output) and has_unkept(step):
                    # With the `foreach` step that gathers it.
                    self._lacking |= dict.fromkeys((("steps", step.key), ("steps", name_of(step.key))))
        if record.final is not None:
            await self.tell_of_end(record, steps)


def require_same(kept: Json, again: Json, step: StepKey) -> Json:
    """What was read again, if it is what was read before; `WorldError` READ_CHANGED."""
    if not opens(kept, again):
        raise WorldError(
            "READ_CHANGED",
            f"step `{step}` has read something else than before the process ended",
            path=step,
            hint="begin the run anew: what it did so far rests on what is there no more",
        )
    return again


def words_of(code: str) -> str:
    """What is said where an error has no message."""
    return code.lower().replace("_", " ")


async def load_json(reader: JournalReader, commitment: Commitment | None) -> Any:
    """A payload for showing: None when there is none or it was erased."""
    body = await reader.payload(commitment) if commitment is not None else None
    return decode(body) if body is not None else None
