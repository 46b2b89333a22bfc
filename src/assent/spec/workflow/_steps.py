"""What a compiled workflow consists of: steps, how they are retried, approved and taken back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from assent.errors import InputError
from assent.spec.decision import Approvers
from assent.spec.documents.document import Document, Path
from assent.spec.language.template import Condition, Template
from assent.spec.risk import RiskLevel


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


class CompensationCall(msgspec.Struct, frozen=True):
    """The call that takes a step back instead of the capability's own way. Its inputs may refer to the step's output."""

    capability: str
    inputs: Template


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
    """One step: a call of `capability` (`id` or `id@version`), or a question (`approval`); never both.

    `depends_on` is always explicit. `foreach` yields a list; `inputs` may then use `item` and `index`.
    `risk_level` raises the capability's risk. `keeps_undo` is False for `undo: none`. `timeout_ms` bounds one
    attempt; None leaves it to the capability.
    """

    name: str
    capability: str | None = None
    approval: ApprovalSpec | None = None
    inputs: Template
    depends_on: tuple[str, ...]
    when: Condition | None = None
    foreach: Template | None = None
    retry: Retry = NO_RETRY
    timeout_ms: int | None = None
    compensation: CompensationCall | None = None
    risk_level: RiskLevel | None = None
    keeps_undo: bool = True
    description: str = ""
    place: Place = field(repr=False, compare=False)
