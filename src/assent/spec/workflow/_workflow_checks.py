"""What must hold between the steps of a workflow: no cycles, no name twice, and references only to what came before."""

from __future__ import annotations

from typing import Final

from assent.spec.documents.sections import Faults
from assent.spec.language.template import Name
from assent.spec.words.suggestions import did_you_mean
from assent.spec.workflow._steps import KEY_NAMES
from assent.spec.workflow._workflow_parse import Draft, StepDraft, Use

RUN_FIELDS: Final = ("outcome", "code", "message", "step")
"""What a step of `finally` may read of `run`: how the others ended, and with which error of which step."""


def check_graph(steps: list[StepDraft], faults: Faults) -> None:
    """Record two steps of one name (an inlined one may meet another's) and the first cycle."""
    by_name: dict[str, StepDraft] = {}
    for step in steps:
        known = by_name.setdefault(step.name, step)
        if known is not step:
            message = f"a second step comes to be called `{step.name}`; the first stands at {known.place}"
            faults.add(step.place.fault("DUPLICATE_STEP", message, "name", hint="rename one of them"))
    cycle = _cycle(by_name)
    if cycle:
        chain = " → ".join(f"`{name}`" for name in (*cycle, cycle[0]))
        message = f"steps wait for each other: {chain}"
        hint = f"remove one of these from `depends_on`, e.g. `{cycle[1 % len(cycle)]}` from `{cycle[0]}`"
        faults.add(by_name[cycle[0]].place.fault("CYCLE", message, "depends_on", hint=hint))


def _cycle(steps: dict[str, StepDraft]) -> list[str]:
    """The steps of one cycle, each waiting for the next; empty when there is none. No recursion: chains may be long."""
    done: set[str] = set()
    for root, first in steps.items():
        if root in done:
            continue
        open_steps = [(root, iter(first.waits_for))]
        path, on_path = [root], {root}
        while open_steps:
            name, remaining = open_steps[-1]
            for below in remaining:
                if below in on_path:
                    return path[path.index(below) :]
                if below not in done and below in steps:
                    open_steps.append((below, iter(steps[below].waits_for)))
                    path.append(below)
                    on_path.add(below)
                    break
            else:
                open_steps.pop()
                path.pop()
                on_path.discard(name)
                done.add(name)
    return []


def check_references(draft: Draft, faults: Faults) -> None:
    """Record every reference to something that does not exist or does not come before. The graph must have no cycle."""
    before = _Ancestors(draft.steps)
    for use in draft.uses:
        for name in sorted(use.reference.local_names):
            _check(use, name, before, faults)


class _Ancestors:
    """Which steps have ended when a step starts, as one bit per step: ten thousand in a row fit in 12 MB."""

    def __init__(self, steps: list[StepDraft]) -> None:
        self._bit = {step.name: 1 << index for index, step in enumerate(steps)}
        self._before: dict[str, int] = {}
        self._body = sum(self._bit[step.name] for step in steps if not step.in_finally)
        waits_for = {step.name: step.waits_for for step in steps}
        for root in waits_for:
            waiting = [root]
            while waiting:
                name = waiting[-1]
                missing = [below for below in waits_for[name] if below not in self._before]
                if name in self._before or not missing:
                    waiting.pop()
                    self._before.setdefault(name, self.of(waits_for[name]))
                else:
                    waiting.extend(missing)

    def of(self, depends_on: tuple[str, ...]) -> int:
        """The bits of these steps and of all before them."""
        bits = 0
        for name in depends_on:
            bits |= self._bit[name] | self._before[name]
        return bits

    def include(self, use: Use, names: tuple[str, ...]) -> bool:
        """Whether all of these steps have ended where the reference is read."""
        seen = self.of(use.owner.waits_for)
        if use.owner.in_finally:
            seen |= self._body
        if use.sees_own_output:
            seen |= self._bit[use.owner.name]
        return all(seen & self._bit[name] for name in names)


def _check(use: Use, name: Name, before: _Ancestors, faults: Faults) -> None:
    def refuse(code: str, message: str, hint: str | None) -> None:
        faults.add(use.place.fault(code, message, text=use.reference.source, hint=hint))

    symbols, shown = use.symbols, ".".join(name)
    if use.owner.kind == "concurrency" and name[0] != "inputs":
        if name not in {(known,) for known in KEY_NAMES}:
            message = f"`{shown}`: a concurrency key is known before the first step"
            refuse("REFERENCE_UNKNOWN", message, f"it may use `inputs`, `{'`, `'.join(KEY_NAMES)}`")
        return
    match name:
        case ("inputs",):
            pass
        case ("inputs", key, *_) if key in symbols.inputs:
            pass
        case ("inputs", key, *_):
            listed = ", ".join(f"`{known}`" for known in symbols.inputs) or "none"
            hint = did_you_mean(key, symbols.inputs, otherwise=f"declared inputs: {listed}")
            refuse("REFERENCE_UNKNOWN", f"`{shown}`: there is no input `{key}`", hint)
        case ("steps", key, *_) if key not in symbols.steps:
            refuse(
                "REFERENCE_UNKNOWN", f"`{shown}`: there is no step `{key}`", did_you_mean(key, symbols.steps)
            )
        case ("steps", key, "output", *_):
            target = symbols.steps[key]
            if target.kind == "parallel":
                refuse(
                    "REFERENCE_UNKNOWN",
                    f"`{shown}`: a `parallel` group has no output",
                    "refer to one of its steps",
                )
            elif not before.include(use, target.ends()):
                hint = None
                if target is not use.owner:
                    hint = f"add `{key}` to `depends_on`, or move the step behind `{key}`"
                refuse("REFERENCE_FORWARD", f"`{shown}`: step `{key}` does not come before", hint)
        case ("steps", *_):
            example = name[1] if len(name) > 1 else "NAME"
            refuse(
                "REFERENCE_UNKNOWN", f"`{shown}` names no output of a step", f"write `steps.{example}.output`"
            )
        case ("run", *rest) if use.owner.in_finally and not symbols.prefix:
            if rest and (len(rest) > 1 or rest[0] not in RUN_FIELDS):
                hint = did_you_mean(rest[0], RUN_FIELDS, otherwise=f"there is {', '.join(RUN_FIELDS)}")
                refuse("REFERENCE_UNKNOWN", f"`{shown}` is nothing that is told of the run", hint)
        case ("item" | "index", *_):
            if not use.in_iteration:
                refuse("REFERENCE_UNKNOWN", f"`{shown}` exists only in the inputs of a `foreach` step", None)
        case _:
            refuse("REFERENCE_UNKNOWN", f"there is no `{name[0]}` here", _meant(use, name[0]))


def _meant(use: Use, root: str) -> str:
    if root in use.symbols.steps:
        return f"did you mean `steps.{root}.output`?"
    if root in use.symbols.inputs:
        return f"did you mean `inputs.{root}`?"
    if root == "run":
        return "only a step of `finally` of the outermost workflow can use `run`"
    near = did_you_mean(root, ("inputs", "steps"))
    return near or "an expression can use `inputs.NAME` and `steps.NAME.output`"
