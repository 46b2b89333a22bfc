"""What a call asks of the floors around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Whoever writes a handler needs no policy: it costs time to load.
    from assent.policy import PolicyContext, Possible, UnknownInputs
    from assent.spec.decision import Decision
    from assent.spec.policy import Limit


class Gate(Protocol):
    """Answers whether a call may happen. Never raises: an error while deciding is a denial."""

    @property
    def digest(self) -> str:
        """Names the parsed policy that answers."""
        ...

    @property
    def reads_now(self) -> bool:
        """Whether an answer may depend on the time."""
        ...

    @property
    def is_open(self) -> bool:
        """False while the policy that the operator wrote can't be read: everything is denied, and runs under way pause."""
        ...

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Every limit of the policy."""
        ...

    def limits_on(self, context: PolicyContext) -> tuple[Limit, ...]:
        """The limits that a question is held against, of which its `counts` are to tell; none where the policy has none."""
        ...

    def decide(self, context: PolicyContext) -> Decision:
        """The decision for one call."""
        ...

    def foresee(self, context: PolicyContext, unknown_inputs: UnknownInputs = "all") -> Decision | None:
        """The decision for a call whose inputs are not all known yet; None when it depends on them."""
        ...

    def possible(self, context: PolicyContext, unknown_inputs: UnknownInputs) -> Possible:
        """Every decision for such a call, whatever the unknown inputs turn out to be."""
        ...
