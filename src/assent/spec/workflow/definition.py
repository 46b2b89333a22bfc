"""WorkflowSpec: a program of governed steps, checked as a whole before any of it may run.

A document is compiled once. `parallel` groups and inlined workflows become flat steps with explicit
`depends_on`; references become templates; whatever is wrong is refused with its file, line, column and a
suggestion. `to_json` is the document itself with every inlined workflow in place, which is what a run
journals: the same spec can be built from it without any file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from assent.errors import InputError, Json
from assent.spec.documents.document import Document, load_yaml
from assent.spec.documents.sections import Faults
from assent.spec.ids import RUN_CAPABILITY, Fingerprint
from assent.spec.language.template import Template
from assent.spec.secret_fields import STORE_IT, SecretFields
from assent.spec.values.canonical import canonical_json, fingerprint, parse_json
from assent.spec.words.suggestions import did_you_mean
from assent.spec.workflow import inputs as declared
from assent.spec.workflow._steps import ConcurrencySpec, Metadata, Place, Retry, StepSpec, WaitSpec
from assent.spec.workflow.inputs import InputSpec

if TYPE_CHECKING:
    from assent.spec.capability import CapabilitySpec

Resolve: TypeAlias = Callable[[str], Document]
"""Reads the file that a `workflow:` step names, by its path relative to the outermost file. This floor does no I/O."""


class Capabilities(Protocol):
    """What a workflow is checked against: a registry, or a snapshot of one."""

    def resolve(self, reference: str, /) -> CapabilitySpec:
        """The capability that a reference means; `InputError` CAPABILITY_UNKNOWN, VERSION_NOT_FOUND."""
        ...


@dataclass(frozen=True, slots=True, init=False, eq=False)
class WorkflowSpec:
    """One workflow. `steps` are flat, in file order, each with explicit `depends_on`, and those of `finally` stand behind all
    others; equal specs have equal fingerprints.

    Build one from a file's text (`load`), from data (`from_dict`), or in Python with the keys of the document
    as arguments; `finally` is a word of Python, and is given as `finally_`.
    """

    name: str
    version: str
    description: str
    inputs: Mapping[str, InputSpec]
    steps: tuple[StepSpec, ...]
    outputs: Template
    metadata: Metadata
    environment: str | None
    max_duration_ms: int | None
    concurrency: ConcurrencySpec | None
    fingerprint: Fingerprint
    _canonical: bytes = field(repr=False)

    def __init__(  # the keys of the document, as a user writes them
        self,
        *,
        name: str,
        steps: Sequence[Mapping[str, Any]],  # `Any`: whatever is no JSON is refused below
        finally_: Sequence[Mapping[str, Any]] | None = None,  # `Any`: as above
        version: str = "1.0.0",
        description: str = "",
        inputs: Mapping[str, Any] | None = None,  # `Any`: as above
        outputs: Mapping[str, Any] | None = None,  # `Any`: as above
        metadata: Mapping[str, Any] | None = None,  # `Any`: as above
        environment: str | None = None,
        max_duration: str | float | None = None,
        concurrency: str | Mapping[str, Any] | None = None,  # `Any`: as above
    ) -> None:
        data = {
            "name": name,
            "version": version,
            "description": description,
            "inputs": inputs or {},
            "steps": list(steps),
            "finally": list(finally_) if finally_ is not None else None,
            "outputs": outputs or {},
            "metadata": metadata or {},
            "environment": environment,
            "max_duration": max_duration,
            "concurrency": concurrency,
        }
        self._fill(_document_of(data), None)

    @classmethod
    def load(cls, text: str | bytes, *, source: str, resolve: Resolve | None = None) -> Self:
        """The workflow that a YAML text describes; `source` names the file in messages."""
        return cls.from_document(load_yaml(text, source=source), resolve=resolve)

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], *, resolve: Resolve | None = None
    ) -> Self:  # `Any`: see `__init__`
        """The workflow that JSON data describes, as `to_json` gives it."""
        return cls.from_document(_document_of(data), resolve=resolve)

    @classmethod
    def from_document(cls, document: Document, *, resolve: Resolve | None = None) -> Self:
        """The workflow that a parsed document describes.

        Raises the first fault as `InputError`, all others in `details.faults`: UNKNOWN_KEY, MISSING_KEY,
        WRONG_TYPE, VALUE_INVALID, NAME_INVALID, DUPLICATE_STEP, DEPENDENCY_UNKNOWN, CYCLE, REFERENCE_UNKNOWN,
        REFERENCE_FORWARD, EXPRESSION_INVALID, INPUT_UNKNOWN, INPUT_MISSING, INVALID_INPUT, WORKFLOW_NESTED,
        WORKFLOW_TOO_LARGE.
        """
        self = cls.__new__(cls)
        self._fill(document, resolve)
        return self

    def _fill(self, document: Document, resolve: Resolve | None) -> None:
        # A run that is only looked at is not read again.
        from assent.spec.workflow import _workflow_checks as checks
        from assent.spec.workflow._workflow_parse import Draft, read_document

        faults = Faults()
        draft: Draft | None = read_document(document, faults, resolve)
        faults.raise_if_any()
        assert draft is not None, "a document without a mapping has a fault"
        checks.check_graph(draft.steps, faults)
        faults.raise_if_any()
        checks.check_references(draft, faults)
        faults.raise_if_any()
        canonical = canonical_json(draft.canonical)
        values: dict[str, object] = {
            "name": draft.name,
            "version": draft.version,
            "description": draft.description,
            "inputs": draft.inputs,
            "steps": tuple(step.build() for step in draft.steps),
            "outputs": draft.outputs,
            "metadata": draft.metadata,
            "environment": draft.environment,
            "max_duration_ms": draft.max_duration_ms,
            "concurrency": draft.concurrency,
            "fingerprint": fingerprint(draft.canonical),
            "_canonical": canonical,
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkflowSpec) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def has_finally(self) -> bool:
        """The last of its steps are those of `finally`."""
        return self.steps[-1].in_finally

    def step(self, name: str) -> StepSpec | None:
        """The step of that name."""
        return next((step for step in self.steps if step.name == name), None)

    @property
    def canonical(self) -> bytes:
        """The document as canonical JSON, as `to_json` gives it."""
        return self._canonical

    def to_json(self) -> dict[str, Json]:
        """The document as plain JSON data, inlined workflows in place: what is journaled. New data at every call."""
        data = parse_json(self._canonical)
        assert isinstance(data, dict), "a workflow document is a mapping"
        return data


def _document_of(data: Mapping[str, Any]) -> Document:  # `Any`: see `WorkflowSpec.__init__`
    # Through canonical JSON: what is no JSON is refused with its place, and the spec shares nothing with the
    # caller's data.
    return Document.of(parse_json(canonical_json(data)), source="<workflow>")


def bind_inputs(spec: WorkflowSpec, given: Mapping[str, Json]) -> dict[str, Json]:
    """Every declared input with the value given, its default, or null.

    Raises INPUT_UNKNOWN, INPUT_MISSING or INVALID_INPUT: the first fault, all others in `details.faults`.
    """
    return declared.bind(spec.inputs, given)


def capabilities_of(steps: Collection[StepSpec]) -> list[str]:
    """Every reference to a capability in some steps, those that take steps back included, each once."""
    undoes = [step.compensation.capability for step in steps if step.compensation is not None]
    names = [*(step.capability for step in steps), *undoes]
    return list(dict.fromkeys(name for name in names if name is not None))


def check_capabilities(spec: WorkflowSpec, capabilities: Capabilities) -> None:
    """Raise the first of everything in the workflow that the registered capabilities do not allow.

    CAPABILITY_UNKNOWN and VERSION_NOT_FOUND (with a suggestion), NOT_A_SESSION, RISK_LOWERED, COMPENSATION_INVALID, and for
    values that do not depend on the run INPUT_UNKNOWN, INPUT_MISSING and INVALID_INPUT; all others in `details.faults`.
    """
    faults = Faults()
    for step in spec.steps:
        if step.capability is None:
            continue
        capability = _resolve(step, step.capability, capabilities, faults, "capability")
        if capability is None:
            continue
        _check_risk(step, capability, faults)
        _check_parameters(step, capability, faults)
        if step.compensation is not None:
            undo = _resolve(step, step.compensation.capability, capabilities, faults, "compensation")
            if undo is not None and not undo.side_effects.reversible:
                message = f"step `{step.name}` is taken back by `{undo.id}`, whose own effect is irreversible"
                faults.add(step.place.fault("COMPENSATION_INVALID", message, "compensation"))
    faults.raise_if_any()


def _resolve(
    step: StepSpec, reference: str, capabilities: Capabilities, faults: Faults, key: str
) -> CapabilitySpec | None:
    try:
        require_outside_session(reference)
        return capabilities.resolve(reference)
    except InputError as error:
        faults.add(step.place.fault(error.code, f"step `{step.name}`: {error.message}", key, hint=error.hint))
        return None


def require_outside_session(reference: str) -> None:
    """Raise `NOT_A_SESSION` for a capability that only a session can call."""
    if reference.partition("@")[0] == RUN_CAPABILITY:
        raise InputError(
            "NOT_A_SESSION",
            "only a session has a workflow as its step",
            hint="`assent run` runs a workflow; in a workflow, `workflow:` names another one",
        )


def _check_risk(step: StepSpec, capability: CapabilitySpec, faults: Faults) -> None:
    claimed, least = step.risk_level, capability.risk.level
    if claimed is not None and claimed.rank < least.rank:
        message = f"step `{step.name}` lowers the risk of `{capability.id}` from {least} to {claimed}"
        hint = f"leave `risk_level` out; a step may raise {least}, never lower it"
        faults.add(step.place.fault("RISK_LOWERED", message, "risk_level", hint=hint))


def _check_parameters(step: StepSpec, capability: CapabilitySpec, faults: Faults) -> None:
    schema, shown = capability.parameters, f"`assent capability show {capability.id}` lists its parameters"
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return
    values, open_keys = step.inputs.literals(), step.inputs.keys_with_references()
    hidden: set[str] = set()
    given = {key: value for key, value in values.items() if key not in open_keys}
    for literal in SecretFields(schema).literals(given):
        at = literal["path"]
        assert isinstance(at, list)  # INVARIANT: every fault's is
        hidden.add(str(at[0]))
        where = [part for part in at if isinstance(part, str | int)]
        told = step.place.fault("INVALID_INPUT", str(literal["message"]), "inputs", *where, hint=STORE_IT)
        faults.add(told)
    for name in values:
        if name not in properties and schema.get("additionalProperties") is False:
            hint = did_you_mean(name, properties, otherwise=f"parameters: {', '.join(properties) or 'none'}")
            message = f"`{capability.id}` has no parameter `{name}`"
            faults.add(step.place.fault("INPUT_UNKNOWN", message, "inputs", name, key=True, hint=hint))
            continue
        part = properties.get(name)
        if isinstance(part, Mapping) and name not in open_keys | hidden and not _refers(part):
            for path, fault in declared.violations(part, values[name]):
                faults.add(
                    step.place.fault("INVALID_INPUT", f"`{name}` {fault}", "inputs", name, *path, hint=shown)
                )
    required = schema.get("required")
    for key in required if isinstance(required, list | tuple) else ():
        if key not in values:
            message = f"`{capability.id}` needs the parameter `{key}`"
            faults.add(step.place.fault("INPUT_MISSING", message, "inputs", hint=shown))


def _refers(schema: object) -> bool:
    """Whether a part of a schema leans on the rest of it, so that it can't be checked alone."""
    if isinstance(schema, Mapping):
        return "$ref" in schema or "$dynamicRef" in schema or any(_refers(part) for part in schema.values())
    return isinstance(schema, list | tuple) and any(_refers(part) for part in schema)
