"""What a compiled workflow consists of: steps, how they are retried, approved and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import msgspec

from assent.errors import InputError, Json
from assent.spec.decision import Approvers
from assent.spec.documents.document import Document, Path
from assent.spec.language.template import Condition, Template
from assent.spec.risk import RiskLevel
from assent.spec.states import OnBusy
from assent.spec.values.canonical import canonical_json
from assent.spec.words.durations import DAY_MS, parse_duration_ms, parse_instant_ms

WAIT_MS_MAX: Final = 366 * DAY_MS
"""The longest that a step may wait, but until a moment."""

KEY_LENGTH_MAX: Final = 200
"""Characters of a concurrency key."""

KEY_NAMES: Final = ("principal", "workflow", "environment")
"""What a concurrency key may use beside the run's inputs, each a text."""

KEY_RUNS_MAX: Final = 1000
"""The highest limit of a concurrency key."""


class Backoff(msgspec.Struct, frozen=True):
    """Pauses between attempts: `initial_ms · factor^n`, at most `max_ms`, of which a share `jitter` (0…1) is random."""

    initial_ms: int = 500
    factor: float = 2.0
    max_ms: int = 60_000
    jitter: float = 0.5


class Retry(msgspec.Struct, frozen=True):
    """How often a step is tried (1 means no retry), with which pauses and on which error codes; none means any."""

    max_attempts: int = 1
    backoff: Backoff = Backoff()
    on: tuple[str, ...] = ()


class ApprovalSpec(msgspec.Struct, frozen=True):
    """A question to a person: why it is asked, and who may answer."""

    reason: str
    approvers: Approvers = msgspec.field(default_factory=Approvers)


class WaitSpec(msgspec.Struct, frozen=True):
    """What a step waits for: a length of time (`for`) or a moment (`until`), which its `inputs` give; or a `signal`.

    `timeout_ms` bounds the waiting for a signal; None: as long as it takes.
    """

    kind: Literal["for", "until", "signal"]
    signal: str | None = None
    timeout_ms: int | None = None

    def due_ms(self, given: Json, now_ms: int) -> int | None:
        """When the waiting ends, which begins now; None for a signal without a limit. ValueError says what is wrong with `given`.

        `given` is what the step's `inputs` came to.
        """
        match self.kind:
            case "signal":
                return None if self.timeout_ms is None else now_ms + self.timeout_ms
            case "for":
                return now_ms + parse_duration_ms(given, most_ms=WAIT_MS_MAX)
            case "until":
                return parse_instant_ms(given)


class CompensationCall(msgspec.Struct, frozen=True):
    """The call that takes a step back instead of the capability's own way. Its inputs may refer to the step's output."""

    capability: str
    inputs: Template


class Workflow(Protocol):
    """What a concurrency key may say of the workflow whose it is."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def environment(self) -> str | None:
        """What it is written for."""
        ...


class ConcurrencySpec(msgspec.Struct, frozen=True):
    """That only `limit` runs with a key are under way at once, and what a further one does: wait, be refused, take their place.

    `CANCEL_WAITING` cancels those of its principal that have not begun, `CANCEL_RUNNING` those that have as well; then it waits.
    """

    key: Template
    limit: int = 1
    on_busy: OnBusy = OnBusy.QUEUE

    def key_of(
        self, workflow: Workflow, inputs: Mapping[str, Json], principal: str, environment: str | None
    ) -> str:
        """The key of one run, with bound inputs. `ExpressionError`; INVALID_INPUT where it comes to nothing that can be one."""
        environment = environment or workflow.environment or ""
        known = {"principal": principal, "workflow": workflow.name, "environment": environment}
        given = self.key.render({"inputs": inputs, **known})
        text = given if isinstance(given, str) else canonical_json(given).decode()
        if given is None or isinstance(given, dict | list) or not 1 <= len(text) <= KEY_LENGTH_MAX:
            raise InputError(
                "INVALID_INPUT",
                f"the concurrency key must come to a text of 1 to {KEY_LENGTH_MAX} characters",
                path="concurrency.key",
                hint="write text around what inputs give, e.g. `deploy-${{ inputs.env }}`",
            )
        return text


class Metadata(msgspec.Struct, frozen=True):
    """Who answers for a workflow, and what it is filed under."""

    owner: str = ""
    tags: tuple[str, ...] = ()


class Place(msgspec.Struct, frozen=True):
    """Where something stands in a document, for messages."""

    document: Document
    path: Path

    def fault(
        self,
        code: str,
        message: str,
        *keys: str | int,
        key: bool = False,
        text: str = "",
        hint: str | None = None,
    ) -> InputError:
        """An error placed at a key of this part, or of one below it."""
        return self.document.fault(code, message, (*self.path, *keys), key=key, text=text, hint=hint)

    def __str__(self) -> str:
        return self.document.position(self.path)


NO_RETRY: Final = Retry()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """One step: a call of `capability` (`id` or `id@version`), a question (`approval`), or a `wait`; only one of them.

    `depends_on` is always explicit: the steps that must have passed. One of `finally` (`in_finally`) may also begin only `after`
    others have ended, whatever became of them. `foreach` yields a list; `inputs` may then use `item` and `index`.
    `risk_level` raises the capability's risk. `keeps_undo` is False for `undo: none`. `timeout_ms` bounds one
    attempt; None leaves it to the capability.
    """

    name: str
    capability: str | None = None
    approval: ApprovalSpec | None = None
    wait: WaitSpec | None = None
    inputs: Template
    depends_on: tuple[str, ...]
    after: tuple[str, ...] = ()
    in_finally: bool = False
    when: Condition | None = None
    foreach: Template | None = None
    retry: Retry = NO_RETRY
    timeout_ms: int | None = None
    compensation: CompensationCall | None = None
    risk_level: RiskLevel | None = None
    keeps_undo: bool = True
    description: str = ""
    place: Place = field(repr=False, compare=False)
