"""From a workflow document to flat steps: shapes, names, groups, inlined workflows and explicit dependencies.

Theory of operation. A document is read in two passes. The first walks the steps in file order and makes one
`StepDraft` each, also for `parallel` groups and `workflow:` steps, which stay in the list as markers until
dependencies are known: only then is it clear what a name stands for (a group stands for its members, an
inlined workflow for its last steps). The second pass turns names into steps. A step of an inlined workflow
that waits for nothing inside it is *at the entry*: it takes over what the `workflow:` step itself waits for.

The steps of `finally` are read after all others. Of those that say nothing else, each waits until the one before it has
ended (`after`), and not until it has passed: what cleans up does not depend on what else could be cleaned up.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from assent.errors import InputError, Json
from assent.spec.documents.document import Document, Path
from assent.spec.documents.sections import Faults, Section
from assent.spec.ids import LABEL, SEMVER
from assent.spec.language.template import OPEN, Condition, Reference, Scope, Template, compile_template
from assent.spec.risk import RiskLevel
from assent.spec.states import OnBusy
from assent.spec.words.suggestions import did_you_mean, suggest
from assent.spec.workflow._step_fields import read_approval, read_capability_id, read_retry
from assent.spec.workflow._steps import (
    KEY_RUNS_MAX,
    WAIT_MS_MAX,
    CompensationCall,
    ConcurrencySpec,
    Metadata,
    Place,
    StepSpec,
    WaitSpec,
)
from assent.spec.workflow.inputs import InputSpec, bind, read_inputs
from assent.spec.workflow.names import name_fault

STEPS_MAX: Final = 10_000
"""Steps of one workflow, inlined ones included."""

DEPENDENCIES_MAX: Final = 200_000
"""Pairs of a step and one it waits for. Two groups of a thousand in a row are a million; a step between them is two thousand."""

REFERENCES_MAX: Final = 50_000
"""References in one workflow."""

CHARACTERS_MAX: Final = 8 * 1024 * 1024
"""Characters of all files that one workflow is made of, each counted as often as it is inlined."""

INLINE_DEPTH_MAX: Final = 8
"""Workflows inside workflows."""


DOCUMENT_KEYS: Final = (
    "name", "version", "description", "inputs", "steps", "finally", "outputs", "metadata", "environment", "max_duration",
    "concurrency",
)  # fmt: skip  # one line reads better
WAIT_KINDS: Final[tuple[Literal["for", "until", "signal"], ...]] = ("for", "until", "signal")
_COMMON_KEYS: Final = ("name", "description", "depends_on", "when")
_KIND_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "capability": ("inputs", "foreach", "retry", "timeout", "compensation", "risk_level", "undo"),
    "approval": (),
    "wait": (),
    "parallel": (),
    "workflow": ("inputs",),
}
STEP_KEYS: Final = (*_COMMON_KEYS, *_KIND_KEYS, *_KIND_KEYS["capability"])

Resolve: TypeAlias = Callable[[str], Document]


@dataclass(slots=True)
class Symbols:
    """What names mean in one document: its inputs, and the drafts that its step and group names stand for."""

    inputs: dict[str, InputSpec] = field(default_factory=dict)
    steps: dict[str, StepDraft] = field(default_factory=dict)
    prefix: str = ""


@dataclass(slots=True)
class Use:
    """One reference where it was written: what it may see is what `owner` waits for."""

    reference: Reference
    place: Place
    symbols: Symbols
    owner: StepDraft
    in_iteration: bool = False
    sees_own_output: bool = False


@dataclass(slots=True)
class StepDraft:
    """A step, group or inlined workflow before its dependencies are known."""

    name: str
    kind: str
    section: Section
    previous: StepDraft | None = None
    group: StepDraft | None = None
    members: list[StepDraft] = field(default_factory=list)
    inlined: Draft | None = None
    depends_on: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    at_entry: bool = False
    in_finally: bool = False
    conditions: tuple[Reference, ...] = ()
    fields: dict[str, object] = field(default_factory=dict)
    canonical: dict[str, Json] = field(default_factory=dict)

    @property
    def is_group(self) -> bool:
        """It stands for other steps and does nothing itself."""
        return self.kind in ("parallel", "workflow")

    @property
    def place(self) -> Place:
        """Where it was written."""
        return Place(self.section.document, self.section.path)

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The steps that have ended when it begins, without those that they waited for."""
        return self.depends_on + self.after

    def ends(self) -> tuple[str, ...]:
        """The steps that must have ended for this one to have ended."""
        if self.inlined is not None:
            return self.inlined.ends()
        if self.kind == "parallel":
            return tuple(dict.fromkeys(name for member in self.members for name in member.ends()))
        return (self.name,)

    def build(self) -> StepSpec:
        """The compiled step."""
        when = Condition(self.conditions) if self.conditions else None
        return StepSpec(
            name=self.name,
            depends_on=self.depends_on,
            after=self.after,
            in_finally=self.in_finally,
            when=when,
            place=self.place,
            **self.fields,  # type: ignore[arg-type]  # filled by `_Reader` with StepSpec's own fields
        )


@dataclass(slots=True)
class Draft:
    """A document that was read: `all_steps` holds groups as well, `steps` only what runs."""

    name: str = ""
    version: str = "1.0.0"
    description: str = ""
    inputs: dict[str, InputSpec] = field(default_factory=dict)
    outputs: Template = field(default_factory=Template)
    metadata: Metadata = field(default_factory=Metadata)
    environment: str | None = None
    max_duration_ms: int | None = None
    concurrency: ConcurrencySpec | None = None
    all_steps: list[StepDraft] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    canonical: dict[str, Json] = field(default_factory=dict)

    @property
    def steps(self) -> list[StepDraft]:
        """The steps that run, in file order."""
        return [step for step in self.all_steps if not step.is_group]

    def ends(self) -> tuple[str, ...]:
        """The steps for which no other step of this document waits."""
        awaited = {name for step in self.steps for name in step.depends_on}
        return tuple(step.name for step in self.steps if step.name not in awaited)


def read_document(document: Document, faults: Faults, resolve: Resolve | None) -> Draft | None:
    """Everything that one document says, faults recorded; None when it is no mapping."""
    return _Reader(document, faults, resolve, Scope(), inside=(), budget=_Budget()).read()


@dataclass(slots=True)
class _Budget:
    """What a workflow and everything inlined into it have used up. A file may be inlined many times, so each time counts."""

    steps: int = 0
    references: int = 0
    characters: int = 0

    def spend(self, document: Document, *, steps: int = 0, references: int = 0, characters: int = 0) -> None:
        """Raise WORKFLOW_TOO_LARGE as soon as a limit is passed: going on would only cost more."""
        self.steps += steps
        self.references += references
        self.characters += characters
        if self.steps > STEPS_MAX:
            raise _too_large(document, f"more than {STEPS_MAX} steps")
        if self.references > REFERENCES_MAX:
            raise _too_large(document, f"more than {REFERENCES_MAX} references")
        if self.characters > CHARACTERS_MAX:
            raise _too_large(document, f"more than {CHARACTERS_MAX} characters in its files")


def _too_large(document: Document, what: str) -> InputError:
    return document.fault(
        "WORKFLOW_TOO_LARGE", f"the workflow has {what}", ("steps",), key=True, hint="split it"
    )


class _Reader:
    """Reads one document of a workflow, and through others of its kind those that it inlines."""

    def __init__(
        self,
        document: Document,
        faults: Faults,
        resolve: Resolve | None,
        scope: Scope,
        *,
        inside: tuple[str, ...],
        budget: _Budget,
    ) -> None:
        self.document = document
        self.faults = faults
        self.resolve = resolve
        self.scope = scope
        self.budget = budget
        self.inside = inside  # the files that this one is inlined into, outermost first
        self.symbols = Symbols(prefix=scope.prefix)
        self.draft = Draft()

    def read(self) -> Draft | None:
        # A document in place is part of a file that was counted already.
        self.budget.spend(self.document, characters=0 if self.document.base else len(self.document.text))
        section = Section.of(self.document, (), self.document.data, self.faults, "a workflow")
        if section is None:
            return None
        section.known_keys(DOCUMENT_KEYS)
        draft = self.draft
        if not section.has("name"):
            section.fault(
                "MISSING_KEY", "the workflow has no `name`", hint="give it one, e.g. `name: release`"
            )
        draft.name = section.matching("name", LABEL, "name of a workflow")
        draft.version = section.matching("version", SEMVER, "semantic version (like `1.0.0`)", "1.0.0")
        draft.description = section.text("description")
        draft.environment = section.matching("environment", LABEL, "name of an environment") or None
        draft.max_duration_ms = section.duration_ms("max_duration", most_ms=WAIT_MS_MAX)
        draft.metadata = self._metadata(section.section("metadata", "`metadata`"))
        draft.inputs = self.symbols.inputs = read_inputs(section.section("inputs", "`inputs`"))
        roots = self._steps(section, section.data.get("steps"), ("steps",), None)
        last = self._last(section)
        self._connect(draft.all_steps)
        draft.outputs = self._outputs(section)
        draft.concurrency = self._concurrency(section)
        draft.canonical = {
            "name": draft.name,
            "version": draft.version,
            "description": draft.description,
            "inputs": {name: spec.to_json() for name, spec in draft.inputs.items()},
            "steps": [step.canonical for step in roots],
            "outputs": section.mapping("outputs"),
            "metadata": {"owner": draft.metadata.owner, "tags": list(draft.metadata.tags)},
        }
        if last:
            draft.canonical["finally"] = [step.canonical for step in last]
        if draft.environment is not None:
            draft.canonical["environment"] = draft.environment
        if draft.max_duration_ms is not None:
            draft.canonical["max_duration"] = section.data["max_duration"]
        if draft.concurrency is not None:
            draft.canonical["concurrency"] = section.data["concurrency"]
        return draft

    def _last(self, section: Section) -> list[StepDraft]:
        """The steps of `finally`, which are the run's own: a workflow that is taken in has none."""
        if not section.has("finally"):
            return []
        if self.inside:
            section.fault(
                "WORKFLOW_NESTED",
                "a workflow with `finally` can't be taken into another one",
                "finally",
                key=True,
                hint="write these steps under `finally` of the outermost workflow, or run this one by itself",
            )
            return []
        known = len(self.draft.all_steps)
        found = self._steps(section, section.data["finally"], ("finally",), None)
        for step in self.draft.all_steps[known:]:
            step.in_finally = True
        return found

    def _metadata(self, section: Section | None) -> Metadata:
        if section is None:
            return Metadata()
        section.known_keys(("owner", "tags"))
        return Metadata(section.text("owner"), section.texts("tags"))

    def _outputs(self, section: Section) -> Template:
        end = StepDraft("", "outputs", section)
        end.depends_on = tuple(step.name for step in self.draft.steps if not step.in_finally)
        return self._template(section, "outputs", section.mapping("outputs"), end)

    def _concurrency(self, section: Section) -> ConcurrencySpec | None:
        """Its key is known before the first step, so it has an owner that waits for none."""
        if not section.has("concurrency"):
            return None
        owner = StepDraft("", "concurrency", section)
        if isinstance(section.data["concurrency"], str):
            key = self._template(section, "concurrency", section.data["concurrency"], owner)
            return ConcurrencySpec(key)
        below = section.section("concurrency", "`concurrency`")
        if below is None:
            return None
        below.known_keys(("key", "limit", "on_busy"))
        if not below.has("key"):
            below.fault("MISSING_KEY", "`concurrency` has no `key`", hint="e.g. `key: deploy`")
        below.text("key")
        return ConcurrencySpec(
            self._template(below, "key", below.data.get("key"), owner),
            below.whole("limit", 1, least=1, most=KEY_RUNS_MAX),
            below.choice("on_busy", OnBusy) or OnBusy.QUEUE,
        )

    def _steps(self, above: Section, items: Json, path: Path, group: StepDraft | None) -> list[StepDraft]:
        keys = path[len(above.path) :]
        if not items:
            hint = f"list at least one under `{keys[-1]}:`"
            above.fault("MISSING_KEY", "there are no steps", *keys, hint=hint)
            return []
        if not isinstance(items, list):
            above.fault(
                "WRONG_TYPE", f"`{keys[-1]}` must be a list of steps", *keys, hint="start each with `- `"
            )
            return []
        self.budget.spend(self.document, steps=len(items))
        found: list[StepDraft] = []
        for index, item in enumerate(items):
            section = Section.of(self.document, (*path, index), item, self.faults, "a step")
            if section is None:
                continue
            previous = None if group is not None else found[-1] if found else None
            step = self._step(section, previous, group)
            if step is not None:
                found.append(step)
        return found

    def _step(
        self, section: Section, previous: StepDraft | None, group: StepDraft | None
    ) -> StepDraft | None:
        kind = self._kind(section)
        if kind is None:
            return None
        name = self._name(section, kind)
        step = StepDraft(
            self.scope.prefix + name, kind, section, previous, group, canonical=dict(section.data)
        )
        if name:
            known = self.symbols.steps.get(name)
            if known is not None:
                where = str(known.place)
                section.fault(
                    "DUPLICATE_STEP", f"a second step is called `{name}`; the first stands at {where}", "name",
                    hint=f"call one of them `{name}_2`",
                )  # fmt: skip  # one call, two lines
            self.symbols.steps.setdefault(name, step)
        self.draft.all_steps.append(step)
        inherited = group.conditions if group is not None else ()
        for reference in inherited:
            # A member may wait for less than its group does, so it has to be able to read the group's
            # condition itself.
            assert group is not None, "only a group hands conditions down"
            place = Place(self.document, (*group.section.path, "when"))
            self.draft.uses.append(Use(reference, place, self.symbols, step))
        step.conditions = (*inherited, *self._when(section, step))
        section.texts("depends_on")
        match kind:
            case "capability":
                self._capability(section, step)
            case "approval":
                step.fields = {"approval": read_approval(section), "inputs": Template({})}
            case "wait":
                step.fields = self._wait(section, step)
            case "parallel":
                step.members = self._steps(
                    section, section.data["parallel"], (*section.path, "parallel"), step
                )
                step.canonical["parallel"] = [member.canonical for member in step.members]
            case _:
                self._inline(section, step, name)
        step.fields.setdefault("description", section.text("description"))
        return step

    def _kind(self, section: Section) -> str | None:
        kinds = [kind for kind in _KIND_KEYS if section.has(kind)]
        label = f"step `{section.data['name']}`" if isinstance(section.data.get("name"), str) else "a step"
        section.what = label
        if len(kinds) == 1:
            section.known_keys((*_COMMON_KEYS, *kinds, *_KIND_KEYS[kinds[0]]))
            return kinds[0]
        if kinds:
            listed = " and ".join(f"`{kind}`" for kind in kinds)
            section.fault(
                "VALUE_INVALID", f"{label} has {listed}; it can do one thing only", kinds[1], key=True
            )
            return None
        section.known_keys(STEP_KEYS)
        if any(suggest(key, STEP_KEYS) in _KIND_KEYS for key in section.data if key not in STEP_KEYS):
            return None  # `capabilty` is one fault, and it was told with the key that was meant.
        section.fault(
            "MISSING_KEY",
            f"{label} says nothing to do",
            hint="give it `capability`, `approval`, `wait`, `parallel` or `workflow`",
        )
        return None

    def _name(self, section: Section, kind: str) -> str:
        if not section.has("name"):
            if kind != "parallel":  # A group need not be named: nobody has to refer to it.
                section.fault("MISSING_KEY", "a step has no `name`", hint="give it one, e.g. `name: build`")
            return ""
        name = section.text("name")
        fault = name_fault(name, "step") if name else None
        if fault is not None:
            section.fault("NAME_INVALID", fault.message, "name", hint=fault.hint)
        return name

    def _when(self, section: Section, step: StepDraft) -> tuple[Reference, ...]:
        value = section.data.get("when")
        if value is None:
            return ()
        if isinstance(value, bool):
            source = str(value).lower()
        elif not isinstance(value, str):
            section.fault(
                "WRONG_TYPE", "`when` must be an expression", "when", hint='e.g. `when: inputs.env == "prod"`'
            )
            return ()
        elif OPEN in value:
            bare = value.replace(OPEN, "").replace("}}", "").strip()
            section.fault(
                "EXPRESSION_INVALID", "`when` is an expression already", "when", hint=f"write `when: {bare}`"
            )
            return ()
        else:
            source = value
        try:
            reference = Reference(source, self.scope)
        except InputError as error:
            self._expression_fault(section.document, error, (*section.path, "when"), source.strip())
            return ()
        self.draft.uses.append(
            Use(reference, Place(self.document, (*section.path, "when")), self.symbols, step)
        )
        return (reference,)

    def _capability(self, section: Section, step: StepDraft) -> None:
        risk = section.choice("risk_level", RiskLevel)
        if section.has("undo") and section.data["undo"] != "none":
            section.fault(
                "VALUE_INVALID", "`undo` can only be `none`", "undo", hint="leave it out to keep the undo"
            )
        iterates = section.has("foreach")
        step.fields = {
            "capability": read_capability_id(section, "capability"),
            "inputs": self._template(
                section, "inputs", section.mapping("inputs"), step, in_iteration=iterates
            ),
            "foreach": self._foreach(section, step) if iterates else None,
            "retry": read_retry(section.section("retry", "`retry`")),
            "timeout_ms": section.duration_ms("timeout"),
            "compensation": self._compensation(section, step, in_iteration=iterates),
            "risk_level": risk,
            "keeps_undo": not section.has("undo"),
        }

    def _wait(self, section: Section, step: StepDraft) -> dict[str, object]:
        if not isinstance(section.data["wait"], dict):
            return self._time(section, "wait", "for", step)
        below = section.section("wait", "`wait`")
        assert below is not None  # INVARIANT: it is a mapping, as the line above looked
        below.known_keys((*WAIT_KINDS, "timeout"))
        kinds = [kind for kind in WAIT_KINDS if below.has(kind)]
        if len(kinds) != 1:
            below.fault("VALUE_INVALID", "`wait` needs one of `for`, `until` and `signal`")
            return {"inputs": Template({})}
        if kinds[0] != "signal":
            if below.has("timeout"):
                below.fault("UNKNOWN_KEY", "only waiting for a signal has a `timeout`", "timeout", key=True)
            return self._time(below, kinds[0], kinds[0], step)
        signal = below.text("signal")
        fault = name_fault(signal, "signal") if signal else None
        if fault is not None:
            below.fault("NAME_INVALID", fault.message, "signal", hint=fault.hint)
        timeout_ms = below.duration_ms("timeout", most_ms=WAIT_MS_MAX)
        return {"wait": WaitSpec("signal", signal, timeout_ms), "inputs": Template({})}

    def _time(
        self, section: Section, key: str, kind: Literal["for", "until"], step: StepDraft
    ) -> dict[str, object]:
        """How long a step waits, or until when: a time, or a reference that gives one, with nothing around it."""
        value, wait = section.data[key], WaitSpec(kind)
        given = self._template(section, key, value.strip() if isinstance(value, str) else value, step)
        if not given.names:
            try:
                wait.due_ms(given.render({}), 0)
            except (ValueError, InputError) as error:
                hint = "e.g. `30s`, `10m`" if kind == "for" else 'e.g. `until: "2026-12-01T08:00:00+01:00"`'
                section.fault("VALUE_INVALID", f"`{key}` {error}", key, hint=hint)
        return {"wait": wait, "inputs": given}

    def _foreach(self, section: Section, step: StepDraft) -> Template:
        value = section.data["foreach"]
        if not isinstance(value, list) and not (isinstance(value, str) and value.strip().startswith(OPEN)):
            section.fault(
                "WRONG_TYPE",
                "`foreach` must be a list",
                "foreach",
                hint="e.g. `foreach: ${{ inputs.files }}`",
            )
        # Blanks around the reference would make it a piece of text.
        return self._template(section, "foreach", value.strip() if isinstance(value, str) else value, step)

    def _compensation(
        self, section: Section, step: StepDraft, *, in_iteration: bool
    ) -> CompensationCall | None:
        value = section.data.get("compensation")
        if isinstance(value, str):
            return CompensationCall(read_capability_id(section, "compensation"), Template({}))
        below = section.section("compensation", "`compensation`")
        if below is None:
            return None
        below.known_keys(("capability", "inputs"))
        if not below.has("capability"):
            below.fault("MISSING_KEY", "`compensation` names no `capability`")
        inputs = self._template(
            below, "inputs", below.mapping("inputs"), step, in_iteration=in_iteration, sees_own_output=True
        )
        return CompensationCall(read_capability_id(below, "capability"), inputs)

    def _template(
        self,
        section: Section,
        key: str,
        data: Json,
        owner: StepDraft,
        *,
        in_iteration: bool = False,
        sees_own_output: bool = False,
    ) -> Template:
        def found(reference: Reference, path: Path) -> None:
            self.budget.spend(self.document, references=1)
            place = Place(self.document, path)
            use = Use(reference, place, self.symbols, owner, in_iteration, sees_own_output)
            self.draft.uses.append(use)

        def fault(error: InputError, path: Path, text: str) -> None:
            self._expression_fault(self.document, error, path, text)

        return compile_template(data, (*section.path, key), self.scope, found=found, fault=fault)

    def _expression_fault(self, document: Document, error: InputError, path: Path, text: str) -> None:
        placed = document.fault(
            error.code, error.message, path, text=text, hint=error.hint, details=error.details
        )
        self.faults.add(placed)

    def _inline(self, section: Section, step: StepDraft, name: str) -> None:
        given = section.mapping("inputs")
        document, inside = self._inlined_document(section)
        if document is None:
            return
        # The inputs are compiled in this document's scope and become what `inputs` means in the inner one.
        inputs = self._template(section, "inputs", given, step)
        scope = Scope(f"{step.name}__", Template({}))
        reader = _Reader(document, self.faults, self.resolve, scope, inside=inside, budget=self.budget)
        inner = reader.read()
        if inner is None:
            return
        self._bind(section, inputs, inner)
        for one in inner.all_steps:
            one.conditions = (*step.conditions, *one.conditions)
        scope.inputs = inputs.with_defaults({key: spec.default for key, spec in inner.inputs.items()})
        step.inlined = inner
        step.canonical["workflow"] = inner.canonical
        self.scope.outputs[name] = inner.outputs
        self.draft.all_steps.extend(inner.all_steps)
        self.draft.uses.extend(inner.uses)

    def _inlined_document(self, section: Section) -> tuple[Document | None, tuple[str, ...]]:
        value = section.data["workflow"]
        if len(self.inside) >= INLINE_DEPTH_MAX:
            section.fault(
                "WORKFLOW_NESTED", f"workflows are nested deeper than {INLINE_DEPTH_MAX}", "workflow"
            )
            return None, ()
        if isinstance(value, dict):
            # Journaled documents carry inner ones in place. Their places are below this one's in the same
            # file.
            return replace(
                self.document, data=value, base=(*self.document.base, *section.path, "workflow")
            ), (*self.inside, "")
        if not isinstance(value, str):
            section.fault("WRONG_TYPE", "`workflow` must be the path of a file", "workflow")
            return None, ()
        folder = posixpath.dirname(self.inside[-1]) if self.inside else ""
        path = posixpath.normpath(posixpath.join(folder, value))
        if path.startswith(("/", "../")) or path == "..":
            section.fault("VALUE_INVALID", f"`{value}` leaves the folder of the workflow file", "workflow")
        elif path in self.inside:
            chain = " → ".join(f"`{name}`" for name in (*self.inside, path))
            section.fault("WORKFLOW_NESTED", f"a workflow contains itself: {chain}", "workflow")
        elif self.resolve is None:
            section.fault(
                "WORKFLOW_NESTED",
                "other files can't be read here",
                "workflow",
                hint="put the workflow in place",
            )
        else:
            try:
                return self.resolve(path), (*self.inside, path)
            except InputError as error:
                if error.path is not None and ":" in error.path:
                    self.faults.add(error)  # The inner file's own fault, which already has its place.
                else:
                    section.fault(error.code, error.message, "workflow", hint=error.hint)
        return None, ()

    def _bind(self, section: Section, inputs: Template, inner: Draft) -> None:
        literals, open_keys = inputs.literals(), inputs.keys_with_references()
        # References are taken on trust here: what they yield is checked by the capability that gets it.
        known = {name: spec for name, spec in inner.inputs.items() if name not in open_keys}
        for name in open_keys - inner.inputs.keys():
            hint = did_you_mean(name, inner.inputs)
            section.fault("INPUT_UNKNOWN", f"there is no input `{name}`", "inputs", name, key=True, hint=hint)
        try:
            bind(known, {name: value for name, value in literals.items() if name not in open_keys})
        except InputError as error:
            section.fault(
                error.code, error.message, "inputs", *(error.path or "").split(".")[:1], hint=error.hint
            )

    def _connect(self, steps: list[StepDraft]) -> None:
        own = [step for step in steps if step.section.document is self.document]
        edges = 0
        for step in own:
            step.depends_on, step.after = self._dependencies(step)
            step.at_entry = not step.depends_on
            edges += len(step.waits_for)
            if step.inlined is None:
                continue
            for inner in step.inlined.all_steps:
                if inner.at_entry:
                    inner.depends_on, inner.after, inner.at_entry = step.depends_on, step.after, step.at_entry
                    edges += len(step.waits_for)
            if edges > DEPENDENCIES_MAX:
                break
        if edges > DEPENDENCIES_MAX:
            self.faults.add(_too_large(self.document, f"more than {DEPENDENCIES_MAX} dependencies"))
            for step in steps:
                step.depends_on = step.after = ()

    def _dependencies(self, step: StepDraft) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What must have passed before the step, and what must have ended."""
        section = step.section
        if section.data.get("depends_on") is None:
            if step.group is not None:
                return step.group.depends_on, step.group.after
            previous = step.previous.ends() if step.previous is not None else ()
            return ((), previous) if step.in_finally else (previous, ())
        written = section.data["depends_on"]
        names = [written] if isinstance(written, str) else written if isinstance(written, list) else []
        found: dict[str, None] = {}
        for index, name in enumerate(names):
            if not isinstance(name, str):
                continue
            target = self.symbols.steps.get(name)
            if target is None:
                own = section.data.get("name", "?")
                message = (
                    f"Invalid workflow spec: step `{own}` depends on `{name}`, and there is no such step"
                )
                keys = ("depends_on",) if isinstance(written, str) else ("depends_on", index)
                section.fault(
                    "DEPENDENCY_UNKNOWN", message, *keys, hint=did_you_mean(name, self.symbols.steps)
                )
            elif target.in_finally is not step.in_finally:
                message = (
                    f"`{name}` has ended before any step of `finally` begins"
                    if step.in_finally
                    else f"`{name}` is a step of `finally`, which begin when all others have ended"
                )
                keys = ("depends_on",) if isinstance(written, str) else ("depends_on", index)
                hint = f"e.g. `when: steps.{name}.output != null`" if step.in_finally else None
                section.fault("DEPENDENCY_UNKNOWN", message, *keys, hint=hint)
            else:
                found.update(dict.fromkeys(target.ends()))
        return tuple(found), ()
