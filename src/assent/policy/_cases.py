"""Cases beside a policy: given this call, that answer. A policy is tested as code is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import msgspec

from assent.errors import AssentError, InputError, Json
from assent.policy._context import Count, PolicyContext
from assent.policy._engine import PolicyEngine
from assent.spec.capability import CapabilitySpec, OperationType, RiskLevel
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.documents.document import Document, Path, load_yaml
from assent.spec.ids import CALL_STEP, KEY_CAPABILITY, UNDO_CAPABILITY
from assent.spec.principal import Principal
from assent.spec.spelled_fields import SpelledFields, Spellings
from assent.spec.states import Mode
from assent.spec.words.articles import with_article
from assent.spec.words.sizes import read_size
from assent.spec.words.suggestions import did_you_mean

CASES_MAX: Final = 10_000
"""Cases in one file."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TOP_KEYS: Final = ("version", "cases")
_CASE_KEYS: Final = ("name", "given", "used", "expect", "rule", "code")
_GIVEN_KEYS: Final = (
    "principal", "roles", "capability", "version", "operation_type", "risk_level", "labels", "requires_approval", "inputs",
    "workflow", "step", "environment", "run", "now", "concurrency", "cancels_others",
)  # fmt: skip
_NO_CALLS: Final = frozenset({UNDO_CAPABILITY, KEY_CAPABILITY})
_RUN_KEYS: Final = ("id", "mode", "requester", "labels")

_Choice = TypeVar("_Choice", OperationType, RiskLevel, Mode)


class Case(msgspec.Struct, frozen=True):
    """One call and the answer expected for it; `rule` and `code` are checked where they are given.

    `used`: what was used of limits before, by id; nothing of those that are left out.
    """

    name: str
    context: PolicyContext
    used: Mapping[str, int]
    expect: PolicyDecision
    rule: str | None
    code: str | None
    position: str


class CaseResult(msgspec.Struct, frozen=True):
    """What the policy answered to one case, and what differs from the expectation; `fault` is None when nothing does."""

    case: Case
    decision: Decision
    fault: str | None

    @property
    def passed(self) -> bool:
        """The answer is the expected one."""
        return self.fault is None

    def to_json(self) -> dict[str, Json]:
        """The result as `assent policy test --json` prints it."""
        return {
            "name": self.case.name,
            "passed": self.passed,
            "path": self.case.position,
            "expect": self.case.expect.value,
            "decision": self.decision.effect.value,
            "rule": self.decision.rule,
            "reason": self.decision.reason,
            "fault": self.fault,
        }


def load_cases(
    text: str | bytes,
    *,
    source: str = "policy.cases.yaml",
    capabilities: Mapping[str, CapabilitySpec] | None = None,
    spellings: Spellings | None = None,
) -> tuple[Case, ...]:
    """The cases of a file. What `given` leaves out of a registered capability comes from its spec; without one the risk is HIGH.

    By the spec and `spellings`, paths and URLs are in the form in which rules see them; what a call would be refused for stays.

    Raises `InputError` POLICY_CASES_INVALID with `source:LINE:COLUMN` for the first fault.
    """
    reader = _CaseReader(load_yaml(text, source=source), capabilities or {}, spellings or {})
    return reader.cases()


def run_cases(engine: PolicyEngine, cases: tuple[Case, ...]) -> tuple[CaseResult, ...]:
    """Every case put to the engine, in file order."""
    return tuple(_run(engine, case) for case in cases)


def _run(engine: PolicyEngine, case: Case) -> CaseResult:
    limits = engine.limits_on(case.context)
    counts = {limit.id: Count(case.used.get(limit.id, 0)) for limit in limits}
    decision = engine.decide(msgspec.structs.replace(case.context, counts=counts))
    faults: list[str] = []
    if strange := case.used.keys() - counts.keys():
        faults.append(f"no limit `{min(strange)}` is about this call")
    if decision.effect is not case.expect:
        faults.append(
            f"expected {case.expect.value}, got {decision.effect.value} by `{decision.rule}`: {decision.reason}"
        )
    if case.rule is not None and decision.rule != case.rule:
        faults.append(f"expected rule `{case.rule}` to decide, and `{decision.rule}` does")
    if case.code is not None and decision.code != case.code:
        faults.append(f"expected code `{case.code}`, got `{decision.code or 'none'}`")
    return CaseResult(case, decision, "; ".join(faults) or None)


class _CaseReader:
    """Reads the file, and stops at its first fault."""

    def __init__(
        self, document: Document, capabilities: Mapping[str, CapabilitySpec], spellings: Spellings
    ) -> None:
        self.document = document
        self.capabilities = capabilities
        self.spellings = spellings

    def fault(self, message: str, path: Path, *, key: bool = False, hint: str | None = None) -> InputError:
        return self.document.fault("POLICY_CASES_INVALID", message, path, key=key, hint=hint)

    def cases(self) -> tuple[Case, ...]:
        top = self.mapping(self.document.data, (), _TOP_KEYS)
        if top.get("version", 1) != 1:
            raise self.fault(
                f"version `{top['version']}` is not known", ("version",), hint="this release reads version 1"
            )
        items = top.get("cases")
        if not isinstance(items, list) or not items:
            raise self.fault(
                "there are no cases", ("cases",), hint="`cases: [{name: …, given: {…}, expect: DENY}]`"
            )
        if len(items) > CASES_MAX:
            raise self.fault(f"{len(items)} cases are more than {CASES_MAX}", ("cases",))
        return tuple(self.case(item, ("cases", i)) for i, item in enumerate(items))

    def case(self, item: Json, path: Path) -> Case:
        data = self.mapping(item, path, _CASE_KEYS)
        for key in ("given", "expect"):
            if key not in data:
                raise self.fault(f"a case needs `{key}`", path)
        expect = data["expect"]
        if not isinstance(expect, str) or expect not in set(PolicyDecision):
            names = [decision.value for decision in PolicyDecision]
            hint = did_you_mean(str(expect).upper(), names, otherwise="one of: " + ", ".join(names))
            raise self.fault(f"`{expect}` is not a decision", (*path, "expect"), hint=hint)
        name = self.text(data, "name", path) or f"case {int(path[-1]) + 1}"
        return Case(
            name=name,
            context=self.context(data["given"], (*path, "given")),
            used=self.used(data.get("used") or {}, (*path, "used")),
            expect=PolicyDecision(expect),
            rule=self.text(data, "rule", path),
            code=self.text(data, "code", path),
            position=self.document.position(path),
        )

    def context(self, given: Json, path: Path) -> PolicyContext:
        data = self.mapping(given, path, _GIVEN_KEYS)
        key = self.text(data, "concurrency", path) or ""
        capability = self.text(data, "capability", path) or (KEY_CAPABILITY if key else None)
        if capability is None:
            raise self.fault("a case needs a `capability`, or a `concurrency` key", path)
        run = self.mapping(data.get("run") or {}, (*path, "run"), _RUN_KEYS)
        spec = self.capabilities.get(capability)
        otherwise = RiskLevel.LOW if key else RiskLevel.HIGH
        roles = self.texts(data, "roles", path)
        try:
            principal = Principal.parse(
                self.text(data, "principal", path) or "user:somebody", roles=roles or frozenset()
            )
            requester = self.text(run, "requester", (*path, "run"))
            return PolicyContext(
                principal=principal,
                capability=capability,
                version=self.text(data, "version", path) or (spec.version if spec else ""),
                operation_type=self.choice(
                    data, "operation_type", path, spec.operation_type if spec else OperationType.EXECUTE
                ),
                risk_level=self.choice(data, "risk_level", path, spec.risk.level if spec else otherwise),
                labels=self.texts(data, "labels", path) or (spec.labels if spec else frozenset()),
                requires_approval=self.flag(
                    data,
                    "requires_approval",
                    path,
                    otherwise=spec is not None and spec.risk.requires_approval,
                ),
                inputs=self.inputs(data, path, spec),
                workflow=self.text(data, "workflow", path) or "",
                step=self.text(data, "step", path) or ("" if capability in _NO_CALLS else CALL_STEP),
                environment=self.text(data, "environment", path) or "",
                run_id=self.text(run, "id", (*path, "run")) or "",
                mode=self.choice(run, "mode", (*path, "run"), Mode.WORKFLOW),
                requester=Principal.parse(requester) if requester else None,
                run_labels=self.texts(run, "labels", (*path, "run")) or frozenset(),
                now_ms=self.now_ms(data.get("now"), (*path, "now")),
                concurrency=key,
                cancels_others=self.flag(data, "cancels_others", path, otherwise=False),
            )
        except InputError as error:
            if error.code == "POLICY_CASES_INVALID":
                raise
            raise self.fault(error.message, path, hint=error.hint) from None

    def used(self, value: Json, path: Path) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, amount in self.mapping(value, path, None).items():
            try:
                found[name] = read_size(amount if not isinstance(amount, bool) else None)
            except ValueError:
                hint = "calls or units of cost, or a size like `10MB`"
                raise self.fault(f"`{name}` must be an amount", (*path, name), hint=hint) from None
        return found

    def inputs(self, data: Mapping[str, Json], path: Path, spec: CapabilitySpec | None) -> dict[str, Json]:
        given = self.mapping(data.get("inputs") or {}, (*path, "inputs"), None)
        if spec is None or not self.spellings:
            return given
        try:
            return SpelledFields(spec.parameters).normal(given, self.spellings)
        except AssentError:
            return given

    def now_ms(self, value: Json, path: Path) -> int:
        if value is None:
            return 0
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        try:
            moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        except ValueError:
            raise self.fault(
                f"`{value}` is not a time", path, hint='`now: "2026-01-31T12:00:00Z"`, or milliseconds'
            ) from None
        if moment.tzinfo is None:
            raise self.fault(f"`{value}` has no time zone", path, hint="end it with `Z`")
        return (moment - _EPOCH) // timedelta(milliseconds=1)

    def mapping(self, value: Json, path: Path, keys: tuple[str, ...] | None) -> dict[str, Json]:
        if not isinstance(value, dict):
            raise self.fault(
                "must be an object with keys" if not path else f"`{path[-1]}` must be an object", path
            )
        for key in value if keys is not None else ():
            if key not in (keys or ()):
                hint = did_you_mean(key, keys or (), otherwise="known here: " + ", ".join(keys or ()))
                raise self.fault(f"unknown key `{key}`", (*path, key), key=True, hint=hint)
        return value

    def text(self, data: Mapping[str, Json], key: str, path: Path) -> str | None:
        value = data.get(key)
        if value is not None and not isinstance(value, str):
            raise self.fault(f"`{key}` must be text", (*path, key), hint="put it in quotes")
        return value

    def choice(self, data: Mapping[str, Json], key: str, path: Path, otherwise: _Choice) -> _Choice:
        value = self.text(data, key, path)
        for member in type(otherwise):
            if value == member.value:
                return member
        if value is None:
            return otherwise
        names = ", ".join(member.value for member in type(otherwise))
        raise self.fault(
            f"`{value}` is not {with_article(key.replace('_', ' '))}", (*path, key), hint=f"one of: {names}"
        )

    def texts(self, data: Mapping[str, Json], key: str, path: Path) -> frozenset[str] | None:
        value = data.get(key)
        if value is None:
            return None
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in items):
            raise self.fault(f"`{key}` must be a list of text", (*path, key))
        return frozenset(str(item) for item in items)

    def flag(self, data: Mapping[str, Json], key: str, path: Path, *, otherwise: bool) -> bool:
        value = data.get(key, otherwise)
        if not isinstance(value, bool):
            raise self.fault(f"`{key}` must be true or false", (*path, key))
        return value
