"""The gate of a living runtime: the policy as it was loaded, exchangeable, and shut when a reload failed."""

from __future__ import annotations

from assent.errors import AssentError
from assent.policy import PolicyContext, PolicyEngine, UnknownInputs
from assent.spec.decision import Decision, PolicyDecision


class ReloadableGate:
    """A policy engine that may be replaced while runs are under way.

    After a failed reload every new step is denied with POLICY_ERROR and runs under way pause (`is_open`), until a reload works.
    """

    def __init__(self, engine: PolicyEngine) -> None:
        self.engine = engine
        self._fault: AssentError | None = None

    @property
    def digest(self) -> str:
        """Names the parsed policy that answers."""
        return self.engine.digest

    @property
    def is_open(self) -> bool:
        """The policy in force is the one that the operator wrote last."""
        return self._fault is None

    def decide(self, context: PolicyContext) -> Decision:
        """The decision for one call."""
        return self.engine.decide(context) if self._fault is None else self._shut()

    def foresee(self, context: PolicyContext, unknown_inputs: UnknownInputs = "all") -> Decision | None:
        """The decision for a call whose inputs are not all known yet; None when it depends on them."""
        return self.engine.foresee(context, unknown_inputs) if self._fault is None else self._shut()

    def replace(self, engine: PolicyEngine) -> None:
        """Another policy is in force."""
        self.engine, self._fault = engine, None

    def shut(self, fault: AssentError) -> None:
        """What the operator wrote can't be read: nothing is allowed until it can."""
        self._fault = fault

    def _shut(self) -> Decision:
        assert self._fault is not None  # INVARIANT: only called while shut
        return Decision(
            PolicyDecision.DENY,
            "default",
            f"the policy could not be reloaded: {self._fault.message}",
            self.engine.digest,
            code="POLICY_ERROR",
        )
