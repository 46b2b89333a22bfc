"""The gate of a living runtime: the policy as it was loaded, exchangeable, and shut when a reload failed."""

from __future__ import annotations

from msgspec.structs import replace

from assent.engine import RunResult
from assent.errors import AssentError, WorldError
from assent.policy import PolicyContext, PolicyEngine, Possible, UnknownInputs
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.policy import Limit
from assent.spec.states import Mode, RunState


class ReloadableGate:
    """A policy engine that may be replaced while runs are under way.

    After a failed reload every new step is denied with POLICY_ERROR and runs under way pause (`is_open`), until a reload works.
    """

    def __init__(self, engine: PolicyEngine) -> None:
        self.engine = engine
        self.unrecorded: dict[str, PolicyEngine] = {}
        """By digest, what was put into force and may not be on record yet."""
        self._fault: AssentError | None = None

    @property
    def digest(self) -> str:
        """Names the parsed policy that answers."""
        return self.engine.digest

    @property
    def reads_now(self) -> bool:
        """Whether an answer of this policy may depend on the time."""
        return self.engine.reads_now

    @property
    def is_open(self) -> bool:
        """The policy in force is the one that the operator wrote last."""
        return self._fault is None

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits of the policy that answers."""
        return self.engine.policy.limits

    def limits_on(self, context: PolicyContext) -> tuple[Limit, ...]:
        """The limits that a question is held against."""
        return self.engine.limits_on(context)

    def decide(self, context: PolicyContext) -> Decision:
        """The decision for one call."""
        return self.engine.decide(context) if self._fault is None else self._shut()

    def foresee(self, context: PolicyContext, unknown_inputs: UnknownInputs = "all") -> Decision | None:
        """The decision for a call whose inputs are not all known yet; None when it depends on them."""
        return self.engine.foresee(context, unknown_inputs) if self._fault is None else self._shut()

    def possible(self, context: PolicyContext, unknown_inputs: UnknownInputs) -> Possible:
        """Every answer for a call whose inputs are not all known yet."""
        if self._fault is not None:
            return Possible((self._shut(),))
        return self.engine.possible(context, unknown_inputs)

    def replace(self, engine: PolicyEngine) -> None:
        """Another policy is in force."""
        self.engine, self._fault = engine, None
        self.unrecorded[engine.digest] = engine

    def shut(self, fault: AssentError) -> None:
        """What the operator wrote can't be read: nothing is allowed until it can."""
        self._fault = fault

    def explain_pause(self, result: RunResult, mode: Mode) -> RunResult:
        """The result of a run that was let go of, with the reason when it pauses because of us; any other as it is.

        A session does not pause: what is asked of it is denied, and it goes on.
        """
        is_paused = self._fault is not None and result.status is RunState.RUNNING and mode is Mode.WORKFLOW
        if not is_paused or result.error is not None:
            return result
        assert self._fault is not None  # INVARIANT: it pauses because of that
        paused = WorldError(
            "RUN_PAUSED",
            f"the run pauses, because the policy could not be reloaded: {self._fault.message}",
            hint=f"mend the policy, then `assent resume {result.run_id}`",
            # Not as the error's own path: that of a run's error is a step.
            details={"cause": self._fault.code, "at": self._fault.path},
        )
        return replace(result, error=paused.to_dict())

    def _shut(self) -> Decision:
        assert self._fault is not None  # INVARIANT: only called while shut
        return Decision(
            PolicyDecision.DENY,
            "default",
            f"the policy could not be reloaded: {self._fault.message}",
            self.engine.digest,
            code="POLICY_ERROR",
        )
