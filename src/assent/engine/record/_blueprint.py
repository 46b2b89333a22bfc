"""What a run is going to do: its steps and outputs, however it was asked for, and the document that is journaled for it.

A workflow, a single call and a session are the same thing to the engine: steps with dependencies. The document is all that
recovery needs; neither a file nor the caller is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from assent.engine.record._readiness import FinallyStep
from assent.engine.record._record import RunRecord
from assent.errors import InternalError, Json
from assent.invocation import Hook, HookLevel, Hooks
from assent.spec.documents.document import Document
from assent.spec.ids import CALL_STEP, StepKey, name_of
from assent.spec.language.template import Name, Template
from assent.spec.states import Mode
from assent.spec.values.frozen import freeze
from assent.spec.workflow.definition import Place, StepSpec, WorkflowSpec, capabilities_of

_encode: Final = msgspec.json.Encoder(order="sorted").encode
_NOWHERE: Final = Place(Document.of({}), ())


class Blueprint(msgspec.Struct):
    """The steps of a run by name, in file order; a session's grow as they arrive. `document` is JSON text.

    `hooks` are what a caller attached to its own call: they live as long as this process, and no journal tells of them.
    """

    mode: Mode
    document: bytes
    workflow: WorkflowSpec | None = None
    steps: dict[StepKey, StepSpec] = msgspec.field(default_factory=dict)
    outputs: Template | None = None
    hooks: dict[StepKey, tuple[Hook, ...]] = msgspec.field(default_factory=dict)

    @property
    def dependencies(self) -> Mapping[StepKey, Sequence[StepKey]]:
        """What each step waits for, without those of `finally`."""
        return {
            key: [StepKey(name) for name in step.depends_on]
            for key, step in self.steps.items()
            if not step.in_finally
        }

    @property
    def finally_steps(self) -> Mapping[StepKey, FinallyStep]:
        """The same of those of `finally`."""
        return {
            key: FinallyStep(
                [StepKey(name) for name in step.depends_on], [StepKey(name) for name in step.after]
            )
            for key, step in self.steps.items()
            if step.in_finally
        }

    @classmethod
    def of_workflow(cls, spec: WorkflowSpec) -> Blueprint:
        """A workflow's steps."""
        return cls(
            mode=Mode.WORKFLOW,
            document=b'{"workflow":' + spec.canonical + b"}",
            workflow=spec,
            steps={StepKey(step.name): step for step in spec.steps},
            outputs=spec.outputs,
        )

    @classmethod
    def of_call(
        cls, capability: str, parameters: Mapping[str, Json], hooks: Iterable[Hook] = ()
    ) -> Blueprint:
        """One step; its parameters are literal and never scanned for references. HOOK_INVALID: two hooks have one id.

        They are the run's inputs: the document only says what is called, so that they are journaled once.
        """
        step = literal_step(CALL_STEP, capability, parameters)
        local = Hooks(HookLevel.LOCAL, hooks).all
        return cls(
            mode=Mode.WORKFLOW,
            document=_encode({"call": {"capability": capability}}),
            steps={CALL_STEP: step},
            hooks={CALL_STEP: local} if local else {},
        )

    @classmethod
    def of_session(cls) -> Blueprint:
        """No steps yet."""
        return cls(mode=Mode.SESSION, document=_encode({"session": {}}))

    @classmethod
    def of_document(
        cls, document: Mapping[str, Json], inputs: Mapping[str, Json] = MappingProxyType({})
    ) -> Blueprint:
        """The blueprint that was journaled; `inputs` are the run's, for whoever is going to drive it."""
        match document:
            case {"workflow": dict() as data}:
                return cls.of_workflow(WorkflowSpec.from_dict(data))
            case {"call": {"capability": str() as capability, "parameters": dict() as parameters}}:
                return cls.of_call(capability, parameters)  # as before format 4
            case {"call": {"capability": str() as capability}}:
                return cls.of_call(capability, inputs)
            case {"session": dict()}:
                return cls.of_session()
            case _:
                raise InternalError("RECORD_CORRUPT", "a run's document has no known shape")

    def references(self) -> list[str]:
        """Every reference to a capability that is known by now, those that take steps back included, each once."""
        return capabilities_of(self.steps.values())

    def add_call(
        self, key: StepKey, capability: str, parameters: Mapping[str, Json], hooks: Iterable[Hook] = ()
    ) -> None:
        """One more step of a session."""
        local = Hooks(HookLevel.LOCAL, hooks).all
        self.steps[key] = literal_step(key, capability, parameters)
        if local:
            self.hooks[key] = local

    def step_of(self, key: StepKey) -> StepSpec:
        """The step of a key; an iteration's is that of its `foreach` step."""
        step = self.steps.get(key)
        return step if step is not None else self.steps[name_of(key)]

    def reads(self, key: StepKey) -> frozenset[Name]:
        """What the references of a step read, before it begins."""
        step = self.step_of(key)
        parts = (step.inputs, step.when, step.foreach)
        return frozenset[Name]().union(*(part.names for part in parts if part is not None))

    def render_outputs(self, record: RunRecord, context: Mapping[str, object]) -> Json:
        """The run's outputs: what the workflow declares, or a single call's output."""
        if self.outputs is not None:
            return self.outputs.render(context)
        if record.mode is Mode.SESSION:
            return {}
        steps = context["steps"]
        assert isinstance(steps, Mapping)  # INVARIANT: `Values.context` builds it so
        output: Json = steps[CALL_STEP]["output"]
        return output


def literal_step(name: str, capability: str, parameters: Mapping[str, Json]) -> StepSpec:
    """A step that calls one capability with literal parameters."""
    inputs = Template(freeze(parameters))
    return StepSpec(name=name, capability=capability, inputs=inputs, depends_on=(), place=_NOWHERE)
