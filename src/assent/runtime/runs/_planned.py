"""Plans of runs that have not happened: what a runtime offers of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace

from assent import system
from assent.engine import CALL_STEP, Actor, Blueprint, Plan, Planner, RunFacts, RunResult, literal_step
from assent.errors import InputError, Json
from assent.policy import PolicyExplanation
from assent.runtime.runs._loading import WorkflowSource
from assent.runtime.runs._replays import Replays
from assent.runtime.runs._saved_plans import PlanStore, stale, used
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._gate import ReloadableGate
from assent.spec.capability import RiskLevel
from assent.spec.ids import PlanId
from assent.spec.principal import Principal
from assent.spec.states import Mode
from assent.spec.workflow.definition import WorkflowSpec


class Planned(Replays):
    """What a runtime offers of this, and what it takes."""

    settings: Settings
    gate: ReloadableGate
    _plans: PlanStore

    @abstractmethod
    def load_workflow(self, source: WorkflowSource) -> WorkflowSpec:
        """A workflow, read and checked."""

    @abstractmethod
    def check_spec(self, spec: WorkflowSpec, inputs: Mapping[str, Json]) -> dict[str, Json]:
        """The inputs as the workflow takes them."""

    @abstractmethod
    def actor(self, principal: Principal | str | None) -> Actor:
        """Who acts."""

    @abstractmethod
    async def run_spec(
        self,
        spec: WorkflowSpec,
        inputs: Mapping[str, Json],
        actor: Actor,
        *,
        environment: str | None = None,
        plan: PlanId | None = None,
    ) -> RunResult:
        """Run a workflow that was read."""

    @abstractmethod
    def _clock_ms(self) -> int:
        """Now, in ms since 1970."""

    async def plan(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Json] | None = None,
        *,
        principal: Principal | str | None = None,
        environment: str | None = None,
        execute_captured: bool = False,
    ) -> Plan:
        """What a run would do; nothing is applied and nothing is saved.

        `execute_captured`: programs whose writes are captured are run in the sandbox, so that the plan can show what they write.
        """
        spec, who = self.load_workflow(workflow), self.actor(principal).principal
        return await self.planner(spec, inputs or {}, who, environment, execute_captured).plan()

    def planner(
        self,
        spec: WorkflowSpec,
        inputs: Mapping[str, Json],
        principal: Principal,
        environment: str | None,
        execute_captured: bool,  # noqa: FBT001  # one of the four things that make a plan
    ) -> Planner:
        """The planner of one run."""
        bound = self.check_spec(spec, inputs)
        catalogue = self._capabilities.current()
        environment = environment or self.settings.environment
        blueprint = Blueprint.of_workflow(spec)
        return Planner(
            self._ready,
            catalogue,
            blueprint,
            inputs=bound,
            principal=principal,
            environment=environment,
            execute_captured=execute_captured,
        )

    async def explain(
        self,
        capability: str,
        parameters: Mapping[str, Json] | None = None,
        *,
        principal: Actor | Principal | str | None = None,
        environment: str | None = None,
        workflow: str | None = None,
        mode: Mode = Mode.WORKFLOW,
        run_labels: frozenset[str] = frozenset(),
        risk_level: RiskLevel | None = None,
        keeps_undo: bool = True,
    ) -> tuple[PolicyExplanation, bool]:
        """Which rule decides a call and why no earlier one does, and whether the parameters are those of a whole call.

        The question is the one that the call's admission would ask: of the version that would serve it, with every parameter
        complete and in its normal form, on the terms that the step's author set (`risk_level`, `keeps_undo`). Parameters that no
        call could have are put to the policy as they are, since a person may ask before knowing them all.
        """
        bound = self._capabilities.current().find(capability)
        given = {**(parameters or {})}
        try:
            inputs, is_whole = bound.parse(given)[1], True
        except InputError as error:
            if error.code != "INVALID_INPUT":
                raise
            inputs, is_whole = given, False
        who = principal if isinstance(principal, Actor) else self.actor(principal)
        facts = RunFacts(who.principal, workflow, environment or self.settings.environment, mode=mode)
        step = replace(
            literal_step(CALL_STEP, capability, given), risk_level=risk_level, keeps_undo=keeps_undo
        )
        asked = facts.step_question(step, bound, inputs, run_labels, system.SystemClock().now_ms())
        return self.gate.engine.explain(asked), is_whole

    async def run_plan(self, plan_id: str, actor: Actor) -> RunResult:
        """Run a saved plan, once, if it would still do what it showed. PLAN_UNKNOWN, _EXPIRED, _USED, _STALE."""
        with self._plans.claimed(plan_id):
            return await self._run_claimed(plan_id, actor)

    async def _run_claimed(self, plan_id: str, actor: Actor) -> RunResult:
        # The journal is asked first: the file of a plan that was run may have been erased with its run.
        runs = await self._ready.journal.rows("runs", {"plan_id": plan_id}, limit=1)
        if runs:
            raise used(plan_id, runs[0]["run_id"])
        saved = self._plans.load(plan_id, self._clock_ms())
        workflow = saved.document["workflow"]
        assert isinstance(workflow, dict)  # INVARIANT: only workflows are planned
        spec = WorkflowSpec.from_dict(workflow)
        who = Principal.parse(saved.principal)
        now = await self.planner(spec, saved.inputs, who, saved.environment, saved.execute_captured).plan()
        if str(actor.principal) != saved.principal or now.digest != saved.digest:
            raise stale(saved, [step.to_json() for step in now.steps])
        return await self.run_spec(
            spec, saved.inputs, actor, environment=saved.environment, plan=PlanId(saved.plan_id)
        )
