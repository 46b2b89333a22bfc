"""What the gate answered, as the ledger keeps it: each question as it was asked, explained by its own policy or put to another.

Nothing is owned, and nothing is read that no rule needs: of a call, its entry and what it was asked with, and its inputs only
where the rule that decides reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final, TypeAlias

import msgspec

from assent.errors import InputError, Json, WorldError
from assent.journal import Where, at_once
from assent.policy import Count, PolicyContext, PolicyEngine
from assent.runtime._ledger import LedgerReader
from assent.runtime.wiring._policy_record import recorded_policy
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.events.kinds import KeyAnswer
from assent.spec.ids import (
    APPROVAL_CAPABILITY,
    KEY_CAPABILITY,
    SIGNAL_CAPABILITY,
    UNDO_CAPABILITY,
    Commitment,
    RunId,
    StepKey,
    key_question_name,
    name_of,
)
from assent.spec.policy import Policy
from assent.spec.principal import Principal
from assent.spec.states import Mode, OnBusy
from assent.spec.unkept_fields import PREFIX
from assent.spec.values.typed import decode, decoder

EXAMPLES_MAX: Final = 3
"""Calls that are named for each way in which decisions change."""

INPUTS_MAX: Final = 20
"""Inputs that a suggested rule names."""

TEXT_MAX: Final = 200
"""Characters of an input that a suggested rule names."""

_RUNS_REMEMBERED_MAX: Final = 65_536
_SAID_REMEMBERED_MAX: Final = 16_384
_PAGE: Final = 500

_LEADS: Final = "consequence.decided"
_UNDO: Final = "run.undo_requested"
_SIGNAL: Final = "signal.received"
_CREATED: Final = "run.created"
_ANSWERS: Final = frozenset({"step.started", "step.denied", "approval.requested", _LEADS, _UNDO, _SIGNAL})

_OF_RUN: Final = frozenset({_UNDO, _SIGNAL, _CREATED})
"""Answers about no step: each is to a wish of its own, of whoever had it."""

_ASKED_APART: Final = frozenset({UNDO_CAPABILITY, APPROVAL_CAPABILITY})

NOT_KEPT: Final = "context_not_kept"
ERASED: Final = "erased"
POLICY_NOT_KEPT: Final = "policy_not_kept"
CONSEQUENCE: Final = "consequence"
"""The answer was given because of what the call may lead to, not because of the call."""
UNKNOWN_INPUTS: Final = "unknown_inputs"
"""The answer depends on inputs that nobody knew yet."""


class Event(msgspec.Struct, gc=False):
    """Of all events about answers of the gate, and of `run.created`, the fields that count here."""

    kind: str
    step: str = "@undo"
    capability: str = UNDO_CAPABILITY
    version: str = "1.0.0"
    risk: RiskLevel = RiskLevel.LOW
    decision: str = ""
    rule: str = ""
    policy: str = ""
    code: str | None = None
    digest: str = ""
    attempt: int = 1
    grant: str | None = None
    inputs: str | None = None
    context: str | None = None
    unknown: tuple[str, ...] = ()
    by: str | None = None
    partial: bool = False
    signal: str = ""
    concurrency: str | None = None
    concurrency_limit: int = 1
    on_busy: OnBusy = OnBusy.QUEUE
    key_answers: tuple[KeyAnswer, ...] = ()
    cancels_others: bool = False
    principal: str = ""
    workflow: str | None = None
    environment: str | None = None
    mode: Mode = Mode.WORKFLOW
    seq: int = 0
    """Where `run.created` stands; filled in by who reads it."""


class Said(msgspec.Struct, gc=False):
    """What a question was asked with beside what its entry and its run say: `PolicyContext.told`."""

    labels: frozenset[str]
    operation_type: OperationType
    requires_approval: bool
    roles: frozenset[str]
    run_labels: frozenset[str]
    now_ms: int | None = None
    limits: dict[str, Count] = {}


class Answer(msgspec.Struct, gc=False):
    """One answer on record: its entry, when and of which run, and how that run began."""

    seq: int
    at_ms: int
    run: str
    event: Event
    created: Event
    is_of_consequence: bool = False
    """Something that the call may lead to was answered alike, so that this answer may be that one."""

    @property
    def principal(self) -> str:
        """Who asked: of an undo, who wanted it, and of a signal, who sent it."""
        return self.event.by or self.created.principal

    @property
    def step(self) -> str:
        """The name of the step; empty for an undo, a signal or a key."""
        return "" if self.event.kind in _OF_RUN else name_of(StepKey(self.event.step))


class _Leaf(msgspec.Struct, gc=False):
    at_ms: int
    event: Event


def _about_key(created: Event, one: KeyAnswer) -> Event:
    """What the gate answered to a run that wants a key, as an event of its own."""
    return msgspec.structs.replace(
        created,
        step=key_question_name(cancels_others=one.cancels_others),
        capability=KEY_CAPABILITY,
        decision=one.decision,
        rule=one.rule,
        code=one.code,
        inputs=None,
        cancels_others=one.cancels_others,
    )


_encode: Final = msgspec.json.Encoder().encode
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED: Final = frozenset(
    "as break const continue else false for function if import in let loop namespace null package return true var void"
    " while".split()
)
"""Words of CEL that can't name an input."""

_leaf: Final = decoder(_Leaf).decode
_said: Final = decoder(Said).decode
_inputs: Final = decoder(dict[str, object]).decode


class Decisions:
    """The answers of one ledger, and the questions that they are to."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self._created: dict[str, Event] = {}
        self._met: set[tuple[str, str]] = set()
        self._led: set[tuple[str, str, str, str]] = set()
        self._saids: dict[str, Said | None] = {}
        self._bodies: dict[Commitment, bytes] = {}
        self._alike: dict[bytes, Said] = {}
        self._principals: dict[tuple[str, frozenset[str]], Principal] = {}

    def of_run(self, run: RunId) -> list[Answer]:
        """The answers about one run, oldest first."""
        entries = self._reader.run_entries(run)
        return [one for entry in entries for one in self._answers(entry.seq, entry.run, entry.data)]

    def calls(self, since_ms: int = 0) -> Iterator[list[Answer]]:
        """The first answer about each call since a moment, as `answers` gives them: each call counts once.

        Of a run that was not met for very long, a question that is asked again counts again.
        """
        for page in self.answers(since_ms):
            yield [one for one in page if self._is_first(one)]

    def answers(self, since_ms: int = 0) -> Iterator[list[Answer]]:
        """The answers about calls since a moment, in log order, some at once, with what each was asked with at hand.

        Neither another attempt nor what begins after an approval is asked about again, and what a call may lead to is no call.
        """
        page: list[Answer] = []
        for entry in self._reader.entries_with((b'"decision":', b'"run.created"')):
            for found in self._answers(entry.seq, entry.run, entry.data):
                if found.at_ms < since_ms or found.event.kind == _LEADS:
                    continue
                if found.event.grant is None and found.event.attempt == 1:
                    page.append(found)
            if len(page) >= _PAGE:
                yield self._with_said(page)
                page = []
        yield self._with_said(page)

    def _is_first(self, answer: Answer) -> bool:
        """Whether no answer about the call was met before. Each wish for an undo is one of its own, and each signal."""
        call = (answer.run, answer.event.step)
        if call in self._met:
            return answer.event.kind in _OF_RUN
        self._met.add(call)
        return True

    def _with_said(self, page: list[Answer]) -> list[Answer]:
        """A page, once what its questions were asked with is read, where that is bound by their own entries."""
        if len(self._saids) > _SAID_REMEMBERED_MAX:
            self._saids.clear()
        wanted = {
            Commitment(one.event.context): one.seq
            for one in page
            if one.event.context is not None and one.event.context not in self._saids
        }
        for commitment, body in self._reader.payloads_of(wanted).items():
            self._saids[commitment] = self._read_said(body)
        return page

    def _answers(self, seq: int, run: str | None, data: bytes) -> Sequence[Answer]:
        """The answers of an entry; none of an entry about something else, and of a question that no rule asked."""
        if run is None:
            return ()
        try:
            leaf = _leaf(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise WorldError(
                "RECORD_CORRUPT",
                f"entry {seq} of the ledger is damaged",
                hint="run `assent audit verify`; nothing more is done with this record",
                details={"seq": seq},
            ) from error
        event = leaf.event
        if event.kind == _CREATED:
            self._remember(run, seq, event)
            return [Answer(seq, leaf.at_ms, run, _about_key(event, one), event) for one in event.key_answers]
        # What asks people about an undo was asked with the undo; what a workflow asks them is no question to the gate.
        is_asked_apart = event.kind == "approval.requested" and event.capability in _ASKED_APART
        if event.kind not in _ANSWERS or is_asked_apart:
            return ()
        if event.kind == _SIGNAL:
            event.step, event.capability = f"@signal:{event.signal}", SIGNAL_CAPABILITY
        created = self._created.get(run) or self._begin(run)
        said = (run, event.step, event.decision, event.rule)
        if event.kind == _LEADS:
            self._led.add(said)
            return [Answer(seq, leaf.at_ms, run, event, created)]
        # What a call may lead to stands right before the answer about the call.
        is_led = said in self._led
        self._led.clear()
        return [Answer(seq, leaf.at_ms, run, event, created, is_led)]

    def _begin(self, run: str) -> Event:
        (first,) = self._reader.run_entries(RunId(run), limit=1)
        return self._remember(run, first.seq, _leaf(first.data).event)

    def _remember(self, run: str, seq: int, created: Event) -> Event:
        if len(self._created) >= _RUNS_REMEMBERED_MAX:
            self._created.clear()
            self._met.clear()
        created.seq = seq
        self._created[run] = created
        return created

    def question(self, answer: Answer, inputs: Mapping[str, object] | None) -> PolicyContext | str:
        """What the gate was asked, with these inputs; why it can't be told: `context_not_kept`, `erased`."""
        event, created = answer.event, answer.created
        if event.context is None:
            return NOT_KEPT
        said = self.said(event.context)
        if said is None or inputs is None:
            return ERASED
        who = (answer.principal, said.roles)
        principal = self._principals.get(who)
        if principal is None:
            principal = self._principals[who] = Principal.parse(who[0], roles=said.roles)
        return PolicyContext(
            principal=principal,
            capability=event.capability,
            version=event.version,
            risk_level=event.risk,
            operation_type=said.operation_type,
            labels=said.labels,
            requires_approval=said.requires_approval,
            inputs=inputs,
            workflow=created.workflow or "",
            step=answer.step,
            environment=created.environment or "",
            run_id=answer.run,
            mode=created.mode,
            run_labels=said.run_labels,
            now_ms=answer.at_ms if said.now_ms is None else said.now_ms,
            counts=said.limits,
            concurrency=str(inputs["key"]) if event.kind == _CREATED and inputs else "",
            cancels_others=event.cancels_others,
        )

    def said(self, commitment: str) -> Said | None:
        """What a question was asked with; None where it was erased."""
        if commitment not in self._saids:
            body = self._payload(commitment)
            self._saids[commitment] = None if body is None else self._read_said(body)
        return self._saids[commitment]

    def _read_said(self, body: bytes) -> Said:
        # Most say the same, and what is the same is one object: what a policy answers can be remembered by it.
        found = self._alike.get(body)
        if found is None:
            found = _said(body)
            if found.now_ms is None:
                self._alike[body] = found
        return found

    def inputs(self, answer: Answer) -> Mapping[str, object] | None:
        """What the call was to be made with; None where that was erased, or not kept."""
        event = answer.event
        if event.kind == _UNDO:
            return {"run": answer.run, "partial": event.partial}
        if event.kind == _SIGNAL:
            return {"run": answer.run, "signal": event.signal}
        if event.kind == _CREATED:
            key = None if event.concurrency is None else self._payload(event.concurrency)
            said = {"limit": event.concurrency_limit, "on_busy": event.on_busy.value}
            return None if key is None else {"key": decode(key), **said}
        if event.inputs is None:
            return None
        body = self._bodies.pop(Commitment(event.inputs), None) or self._payload(event.inputs)
        found = None if body is None else _inputs(body)
        # What was not kept may be what a rule asks about.
        return None if body is None or PREFIX.encode() in body else found

    def fetch_inputs(self, answers: Iterable[Answer]) -> None:
        """Read the inputs of many calls at once, where they are bound: of a call, by what its run was handed."""
        left = {Commitment(one.event.inputs): one for one in answers if one.event.inputs is not None}
        self._bodies.clear()
        for is_handed in (True, False):
            places = {name: one.created.seq if is_handed else one.seq for name, one in left.items()}
            self._bodies |= self._reader.payloads_of(places)
            left = {name: one for name, one in left.items() if name not in self._bodies}

    def verdict(self, answer: Answer) -> bool | None:
        """What people said to a question: whether they agreed; None where nobody has decided it."""
        asked: Where = {"run_id": answer.run, "step": answer.event.step, "digest": answer.event.digest}
        rows = at_once(self._reader.rows("approvals", asked, limit=1))
        status = str(rows[0]["status"]) if rows else ""
        return True if status in ("granted", "used") else False if status in ("rejected", "expired") else None

    def _payload(self, commitment: str) -> bytes | None:
        return at_once(self._reader.payload(Commitment(commitment)))


class Put:
    """A policy that recorded questions are put to."""

    def __init__(self, decisions: Decisions, engine: PolicyEngine) -> None:
        self._decisions = decisions
        self._engine = engine
        self._known: dict[tuple[object, ...], Decision | None] = {}

    def decide(self, page: list[Answer]) -> Iterator[tuple[Answer, Decision | str]]:
        """What the policy answers to the question of each answer; why one can't be asked."""
        first = [self._foresee(answer) for answer in page]
        self._decisions.fetch_inputs(one for one, found in zip(page, first, strict=True) if found is None)
        for answer, found in zip(page, first, strict=True):
            if found is None:
                question = self._decisions.question(answer, self._decisions.inputs(answer))
                yield answer, question if isinstance(question, str) else self._engine.decide(question)
            else:
                yield answer, found

    def _foresee(self, answer: Answer) -> Decision | str | None:
        """The same without a look at the inputs; None where that takes one."""
        event, created = answer.event, answer.created
        if event.context is None:
            return NOT_KEPT
        if answer.is_of_consequence:
            return CONSEQUENCE
        if event.kind == _CREATED:
            return None  # its key is an input
        said = self._decisions.said(event.context)
        # Without its inputs, a question is what its entry, its run and the rest say, but for its time and its run.
        key = (
            id(said), answer.principal, event.capability, event.version, event.risk, created.workflow,
            answer.step if self._engine.reads_step else None, created.environment, created.mode,
        )  # fmt: skip
        if key in self._known:
            return self._known[key]
        question = self._decisions.question(answer, {})
        if isinstance(question, str):
            return question
        decision = self._engine.foresee(question)
        # INVARIANT: what is remembered by its identity is never let go.
        if not self._engine.reads_passing and said is not None and said.now_ms is None:
            self._known[key] = decision
        return decision


def explained(reader: LedgerReader, run: RunId, step: str | None) -> list[dict[str, Json]]:
    """Each answer about a run, or about one step, explained by the policy that gave it; `missing` says why one can't be."""
    decisions = Decisions(reader)
    engines: dict[str, PolicyEngine | None] = {}
    found: list[dict[str, Json]] = []
    for answer in decisions.of_run(run):
        event = answer.event
        if step is not None and event.step != step:
            continue
        question = decisions.question(answer, decisions.inputs(answer))
        if event.policy not in engines:
            engines[event.policy] = at_once(recorded_policy(reader, event.policy))
        engine = engines[event.policy]
        explanation = agrees = None
        missing: str | None = None
        if isinstance(question, str):
            missing = question
        elif engine is None:
            missing = POLICY_NOT_KEPT
        elif event.unknown:
            missing = UNKNOWN_INPUTS
        else:
            explanation = engine.explain(question)
            decision = explanation.decision
            agrees = (decision.effect.value, decision.rule) == (event.decision, event.rule)
            if answer.is_of_consequence and not agrees:
                missing, explanation, agrees = CONSEQUENCE, None, None
        found.append(
            {
                "seq": answer.seq,
                "at_ms": answer.at_ms,
                "step": event.step,
                "kind": event.kind,
                "capability": event.capability,
                "version": event.version,
                "risk_level": event.risk.value,
                "principal": answer.principal,
                "decision": event.decision,
                "rule": event.rule,
                "code": event.code,
                "policy": event.policy,
                "asked": None if isinstance(question, str) else _asked(question),
                "missing": missing,
                "agrees": agrees,
                "explained": None if explanation is None else {**explanation.to_json(), "complete": True},
            }
        )
    if step is not None and not found:
        raise InputError(
            "STEP_UNKNOWN",
            f"the gate was never asked about a step `{step}` of run `{run}`",
            hint=f"`assent policy explain {run}` lists all that it was asked",
        )
    return found


def _asked(question: PolicyContext) -> dict[str, Json]:
    return {
        **question.told(with_time=True),
        "workflow": question.workflow,
        "environment": question.environment,
        "mode": question.mode.value,
    }


class _Group(msgspec.Struct):
    count: int = 0
    examples: list[dict[str, Json]] = []


def simulated(reader: LedgerReader, engine: PolicyEngine, since_ms: int) -> dict[str, Json]:
    """What a policy answers to every recorded call, beside what was answered; nothing is touched."""
    decisions = Decisions(reader)
    calls = changed = 0
    unknown = {NOT_KEPT: 0, ERASED: 0, CONSEQUENCE: 0}
    groups: dict[tuple[str, str, PolicyDecision, str], _Group] = {}
    policy = Put(decisions, engine)
    for answer, decision in chain.from_iterable(map(policy.decide, decisions.calls(since_ms))):
        calls += 1
        if isinstance(decision, str):
            unknown[decision] += 1
            continue
        event = answer.event
        if decision.effect == event.decision:
            continue
        changed += 1
        key = (event.decision, event.rule, decision.effect, decision.rule)
        group = groups.setdefault(key, _Group())
        group.count += 1
        if len(group.examples) < EXAMPLES_MAX:
            group.examples.append(
                {
                    "run_id": answer.run,
                    "step": event.step,
                    "capability": event.capability,
                    "principal": answer.principal,
                    "at_ms": answer.at_ms,
                }
            )
    changes = sorted(groups.items(), key=lambda one: (-one[1].count, one[0]))
    return {
        "digest": engine.digest,
        "rules": len(engine.policy.rules),
        "calls": calls,
        "changed": changed,
        "unknown": {**unknown},
        "changes": [
            {
                "from": was,
                "from_rule": by,
                "to": now.value,
                "to_rule": rule,
                "count": group.count,
                "examples": [*group.examples],
            }
            for (was, by, now, rule), group in changes
        ],
    }


_Alike: TypeAlias = tuple[str, str, str, str, str]
"""Capability, principal, risk, workflow and environment."""


class _Asked(msgspec.Struct):
    """What was asked about the same thing: the answers, and what all of them had in common."""

    given: int = 0
    refused: int = 0
    common: dict[str, str] | None = None
    """By name, as JSON; None before there was one."""


def suggested(reader: LedgerReader, engine: PolicyEngine, least: int, since_ms: int) -> dict[str, Json]:
    """Rules for what was always approved, and what each would have decided over the record, put above those of `engine`.

    One for each principal, capability, risk, workflow and environment, narrowed to the inputs that all of them had in common.
    """
    decisions = Decisions(reader)
    groups: dict[_Alike, _Asked] = {}
    for answer in chain.from_iterable(decisions.answers(since_ms)):
        event, created = answer.event, answer.created
        if event.kind != "approval.requested" or answer.is_of_consequence:
            continue
        verdict, inputs = decisions.verdict(answer), decisions.inputs(answer)
        if verdict is None or inputs is None:
            continue
        key = (
            event.capability, answer.principal, event.risk.value, created.workflow or "", created.environment or "",
        )  # fmt: skip
        group = groups.setdefault(key, _Asked())
        if verdict:
            group.given += 1
            plain = {
                name: _encode(value).decode() for name, value in inputs.items() if _is_plain(name, value)
            }
            before = plain if group.common is None else group.common
            group.common = {name: text for name, text in before.items() if plain.get(name) == text}
        else:
            group.refused += 1
    rules: list[Json] = []
    left_out: list[Json] = []
    for key, group in sorted(groups.items(), key=lambda one: (-one[1].given, one[0])):
        if group.given < least or group.refused:
            continue
        told: dict[str, Json] = {"capability": key[0], "principal": key[1], "risk_level": key[2]}
        told["approved"] = group.given
        if key[2] == RiskLevel.CRITICAL.value:
            left_out.append(told)
            continue
        rule = _rule_for(key, group, taken=_ids(engine.policy))
        document: dict[str, Json] = {"version": 1, "rules": [rule]}
        (parsed,) = PolicyEngine.from_dict(document).policy.rules
        policy = replace(engine.policy, rules=(parsed, *engine.policy.rules))
        simulation = simulated(reader, PolicyEngine(policy), since_ms)
        rules.append({**told, "rule": rule, "changed": simulation["changed"], "calls": simulation["calls"]})
    return {"rules": rules, "left_out": left_out}


def _ids(policy: Policy) -> set[str]:
    return {rule.id for rule in policy.rules} | {limit.id for limit in policy.limits}


def _is_plain(name: str, value: object) -> bool:
    """Whether an expression can ask for it."""
    is_short = isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= TEXT_MAX)
    return is_short and _NAME.match(name) is not None and name not in _RESERVED


def _rule_for(key: _Alike, group: _Asked, taken: set[str]) -> dict[str, Json]:
    capability, principal, risk, workflow, environment = key
    when: dict[str, Json] = {"principal": principal, "capability": capability, "risk_level": risk}
    if workflow:
        when["workflow"] = workflow
    if environment:
        when["environment"] = environment
    name = f"approved-{capability}"
    number = 1
    while name in taken:
        number += 1
        name = f"approved-{capability}-{number}"
    taken.add(name)
    rule: dict[str, Json] = {"id": name, "when": when}
    common = sorted((group.common or {}).items())[:INPUTS_MAX]
    asks = [] if workflow else ['run.workflow == ""']
    asks += [f"has(inputs.{name}) && inputs.{name} == {text}" for name, text in common]
    if asks:
        rule["if"] = " && ".join(asks)
    rule["decision"] = "ALLOW"
    rule["without_approval"] = True
    rule["reason"] = f"approved {group.given} times, never refused"
    return rule
