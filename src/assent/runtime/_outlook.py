"""What is asked without acting: what a run, a call or an undo would do, who may call what, and what a recorded run did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Self, cast

import msgspec

from assent import __version__, system
from assent.engine import (
    Actor,
    Blueprint,
    Claim,
    Engine,
    NoReads,
    OwnerReads,
    Plan,
    Planner,
    RunFacts,
    UndoPlan,
    ask_gate_about_key,
    foresee_key,
    literal_step,
)
from assent.errors import InputError, Json
from assent.invocation import NoEffectError, Quotas
from assent.journal import Journal
from assent.policy import PolicyExplanation
from assent.runtime._find_run import find_run
from assent.runtime._ledger import open_reader, reading
from assent.runtime._parts import Parts, Who, literal
from assent.runtime.runs._loading import WorkflowSource, load_workflow
from assent.runtime.runs._tools import told_of, tools_of
from assent.runtime.wiring._rates import remember_calls
from assent.spec.capability import CapabilitySpec, RiskLevel
from assent.spec.decision import PolicyDecision
from assent.spec.ids import (
    AGENT_CAPABILITIES,
    CALL_STEP,
    KEY_CAPABILITY,
    PlanId,
    RunId,
    key_question_name,
    session_step,
)
from assent.spec.principal import Principal
from assent.spec.states import Mode, OnBusy
from assent.spec.values.typed import convert
from assent.spec.workflow.definition import WorkflowSpec

if TYPE_CHECKING:
    from assent.engine.replay import Recording, ReplayReport
    from assent.invocation import Snapshot
    from assent.runtime.capabilities._run_catalogue import FrozenCatalogue


class KeyWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the policy is asked about a concurrency key: whether a run may have it, or cancel others' runs for it."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    on_busy: OnBusy = OnBusy.QUEUE
    cancels_others: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Json]) -> Self:
        """What was given, perhaps as it was typed. `INVALID_INPUT`."""
        try:
            return convert(dict(given), cls, strict=False)
        except msgspec.ValidationError as error:
            hint = "`key`, and perhaps `limit`, `on_busy` and `cancels_others`"
            raise InputError(
                "INVALID_INPUT", f"no concurrency key can be asked about so: {error}", hint=hint
            ) from None


MANY: Final = 64
"""Capabilities from which on it is remembered what the policy says of each."""

OFFERS_MAX: Final = 32
"""Lists of them: one for each who asks, by each environment."""


class Outlook(Parts):
    """Looks ahead, and back, over the parts; nothing is applied, and nothing is recorded but what was read for a plan."""

    async def plan_undo(self, run: str, *, partial: bool = False, principal: Who = None) -> UndoPlan:
        """What `undo` would do: each step, the change of files, every obstacle, the gate's answer. Nothing is asked or recorded.

        The record is read beside whoever owns the state. `RUN_NOT_UNDOABLE`, `UNDO_ERASED`.
        """
        with open_reader(self.settings.state) as reader:
            found = await find_run(reader, run)
            # What only reads appends nothing: a reader is all the journal that it needs.
            services = msgspec.structs.replace(
                self.ready, journal=cast("Journal", reader), blobs=reader.blobs
            )
            looking = Engine(services, self.capabilities)
            return await looking.plan_undo(found, self.actor(principal), partial=partial)

    async def plan(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Json] | None = None,
        *,
        principal: Principal | str | None = None,
        environment: str | None = None,
        execute_captured: bool = False,
        reads: bool = True,
    ) -> Plan:
        """What a run would do; nothing is applied and nothing is kept but, on record, what was read for it.

        `execute_captured`: programs whose writes are captured are run in the sandbox, so that the plan can show what they write.
        `reads`: files and data that a step needs are read, where the policy allows that at once.
        """
        spec, actor, plan = load_workflow(workflow), self.actor(principal), system.SystemIds().plan_id()
        found, _ = await self.look_ahead(
            plan, spec, inputs or {}, actor, environment, execute_captured=execute_captured, reads=reads
        )
        return found

    async def look_ahead(
        self,
        plan: PlanId,
        spec: WorkflowSpec,
        inputs: Mapping[str, Json],
        actor: Actor,
        environment: str | None,
        *,
        execute_captured: bool,
        reads: bool,
    ) -> tuple[Plan, frozenset[str]]:
        """The plan of one run under an id, and the labels of what was read for it. `OwnerNeededError` where that is another's."""
        bound = self.check_spec(spec, inputs)
        if self._driver is None:
            self.ready.pipeline.quotas = await self._quotas()
        reads_of: NoReads | OwnerReads = NoReads(wished=reads)
        if reads and self._driver is not None:
            reads_of = OwnerReads(self.ready, plan, actor)
        planner = Planner(
            self.ready,
            self.capabilities.current(),
            Blueprint.of_workflow(spec),
            reads_of,
            inputs=bound,
            principal=actor.principal,
            environment=environment or self.settings.environment,
            execute_captured=execute_captured,
        )
        found = await planner.plan()
        if spec.concurrency is not None:
            environment = environment or self.settings.environment
            text = spec.concurrency.key_of(spec, bound, str(actor.principal), environment)
            claim = Claim("", spec.concurrency.limit, spec.concurrency.on_busy, text)
            facts = RunFacts(actor.principal, spec.name, environment or spec.environment)
            found = await self._with_key(found, facts, claim, may_stop_others=actor.may_stop_others)
        return found, reads_of.labels

    async def _with_key(self, plan: Plan, facts: RunFacts, claim: Claim, *, may_stop_others: bool) -> Plan:
        """The plan with the key that the run would want: who has it, and whether the policy lets the run have it."""
        now_ms, text = self.ready.clock.now_ms(), claim.text or ""
        asked = ask_gate_about_key(self.gate, facts, claim, now_ms, may_stop_others=may_stop_others)
        with reading(self.settings.state) as record:
            standing = await foresee_key(text, claim.limit, record)
        others = asked.cancels_others
        key: dict[str, Json] = {
            "key": text,
            "limit": claim.limit,
            "on_busy": claim.on_busy.value,
            **standing,
            "decision": asked.has.effect.value,
            "rule": asked.has.rule,
            "others": None if others is None else {"decision": others.effect.value, "rule": others.rule},
        }
        summary = plan.summary
        if asked.is_denied:
            step = key_question_name(cancels_others=False)
            denials = summary.get("denials")
            summary = {
                **summary,
                "denials": [step, *(denials if isinstance(denials, list) else [])],
                "stops_at": step,
            }
        return msgspec.structs.replace(plan, concurrency=key, summary=summary)

    async def _quotas(self) -> Quotas:
        """What calls have used of the policy's limits: by our own count, or, where we own nothing, as the ledger tells now."""
        if self._driver is not None:
            return self.ready.pipeline.quotas
        clock = system.SystemClock()
        found = Quotas(clock)
        if self.gate.limits:
            with reading(self.settings.state) as journal:
                if journal is not None:
                    await remember_calls(None, found, self.gate.limits, journal, clock.now_ms())
        return found

    async def explain(
        self,
        capability: str,
        parameters: Mapping[str, Json] | None = None,
        *,
        principal: Actor | Principal | str | None = None,
        environment: str | None = None,
        workflow: str | None = None,
        step: str | None = None,
        mode: Mode = Mode.WORKFLOW,
        run_labels: frozenset[str] = frozenset(),
        risk_level: RiskLevel | None = None,
        keeps_undo: bool = True,
    ) -> tuple[PolicyExplanation, bool]:
        """Which rule decides a call and why no earlier one does, and whether the parameters are those of a whole call.

        The question is the one that the call's admission would ask: of the version that would serve it, with every parameter
        complete and in its normal form, on the terms that the step's author set (`step`, `risk_level`, `keeps_undo`).
        Parameters that no call could have are put to the policy as they are, since a person may ask before knowing them all.
        `assent.concurrency` stands for having a concurrency key, with `key`, `limit`, `on_busy` and `cancels_others`.
        """
        who = principal if isinstance(principal, Actor) else self.actor(principal)
        facts = RunFacts(who.principal, workflow, environment or self.settings.environment, mode=mode)
        now_ms = system.SystemClock().now_ms()
        if capability == KEY_CAPABILITY:
            wish = KeyWish.of(parameters or {})
            claim = Claim("", wish.limit, wish.on_busy, wish.key)
            about_key = facts.key_question(claim, now_ms, cancels_others=wish.cancels_others)
            return self.gate.engine.explain(about_key), True
        bound = self.capabilities.current().find(capability)
        given = literal(capability, parameters)
        try:
            inputs, is_whole = bound.take(given, self.calling.spellings)[1], True
        except NoEffectError:
            inputs, is_whole = given, False
        except InputError as error:
            if error.code != "INVALID_INPUT":
                raise
            inputs, is_whole = given, False
        name = step or (session_step(1) if mode is Mode.SESSION else CALL_STEP)
        terms = replace(literal_step(name, capability, given), risk_level=risk_level, keeps_undo=keeps_undo)
        asked = facts.step_question(terms, bound, inputs, run_labels, now_ms)
        if limits := self.gate.limits_on(asked):
            asked = (await self._quotas()).counted(limits, asked)
        return self.gate.engine.explain(asked), is_whole

    def tools(
        self,
        kind: str,
        *,
        capabilities: Iterable[str] = ("*",),
        principal: Who = None,
        environment: str | None = None,
    ) -> list[dict[str, Json]]:
        """What a principal may call, as a list of tools for a model's API; `Session.call_tool` takes what the model then asks.

        `kind`: `openai` (Responses), `openai-chat` (Chat Completions), `anthropic`, or `json-schema`. `capabilities` are ids, in
        which `*` stands for any characters. Left out is what the policy denies whatever the inputs are, and an id of more than 64
        characters, which is no name there. `INVALID_INPUT` for another kind.
        """
        offered = self.offered(capabilities, self.actor(principal), environment)
        return tools_of(kind, ((spec.id, told_of(spec, said), spec.parameters) for spec, said in offered))

    def offered(
        self, capabilities: Iterable[str], actor: Actor, environment: str | None = None
    ) -> Iterable[tuple[CapabilitySpec, frozenset[PolicyDecision]]]:
        """The capabilities that an actor may call, by id, each with what the policy may say of a call of it in a session.

        None that only records what an agent's own program was permitted (`agent.*`): it would do nothing for who calls it.
        """
        catalogue, where = self.capabilities.current(), environment or self.settings.environment
        ids = catalogue.snapshot.ids(tuple(capabilities))
        if len(ids) < MANY or not self.gate.is_open or self.gate.reads_now:
            return self._offered(ids, catalogue, actor.principal, where)
        # INVARIANT: all that an answer follows from is in the key. Agents list all tools again and again.
        key = (self.gate.engine, catalogue, tuple(ids), actor.principal, where)
        found = self._offers.get(key)
        if found is None:
            if len(self._offers) >= OFFERS_MAX:
                del self._offers[next(iter(self._offers))]
            found = self._offers[key] = [*self._offered(ids, catalogue, actor.principal, where)]
        return found

    def _offered(
        self, ids: Iterable[str], catalogue: FrozenCatalogue, principal: Principal, environment: str | None
    ) -> Iterator[tuple[CapabilitySpec, frozenset[PolicyDecision]]]:
        facts = RunFacts(principal, environment=environment, mode=Mode.SESSION)
        now_ms = system.SystemClock().now_ms()
        for ident in ids:
            if ident.startswith(AGENT_CAPABILITIES):
                continue
            try:
                bound = catalogue.find(ident)
            except InputError:
                continue  # known by its spec alone
            step = literal_step(session_step(1), ident, {})
            asked = facts.step_question(step, bound, {}, frozenset(), now_ms)
            answers = frozenset(one.effect for one in self.gate.possible(asked, "all").answers)
            if answers != {PolicyDecision.DENY}:
                yield bound.spec, answers

    async def find(self, beginning: str) -> RunId:
        """The run whose id begins so; `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
        if self._driver is not None and self._driver.drives(RunId(beginning)):
            return RunId(beginning)  # perhaps nothing of it is durable yet
        return await find_run(self.reader, beginning)

    async def snapshot(self, run: str) -> Snapshot:
        """A run as it stands: its events, its data without secrets, what it called. `RUN_UNKNOWN`, `PAYLOAD_ERASED`."""
        from assent.engine.replay import Recording  # a run does not pay for what only a replay needs

        return self.snapshot_of(await Recording.of_journal(self.reader, await self.find(run)))

    def snapshot_of(self, recording: Recording) -> Snapshot:
        """The same of a recording, wherever it was read."""
        from assent.engine.replay import snapshot_run
        from assent.runtime.runs._replaying import catalogue_of

        exact = catalogue_of(recording, self.capabilities).exact
        return snapshot_run(recording, exact, version=__version__)

    async def replay(self, run: str | Snapshot, *, capability_version: str | None = None) -> ReplayReport:
        """Run a recorded run again against what was recorded, without touching anything, and tell what differs.

        A snapshot need not be of a run of this ledger. `capability_version` (`2.0.0`, or `ID@2.0.0`) really runs, on a
        simulated world. `RUN_UNKNOWN`, `PAYLOAD_ERASED`, `SNAPSHOT_INVALID`, `REPLAY_NOT_SIMULABLE`.
        """
        from assent.engine.replay import Recording, recording_of

        if isinstance(run, str):
            recording = await Recording.of_journal(self.reader, await self.find(run))
        else:
            recording = recording_of(run)
        return await self.replay_recording(recording, capability_version)

    async def replay_recording(
        self, recording: Recording, capability_version: str | None = None
    ) -> ReplayReport:
        """The same of a recording, wherever it was read."""
        from assent.runtime.runs._replaying import replay_recording

        return await replay_recording(recording, self.ready, self.capabilities, capability_version)
