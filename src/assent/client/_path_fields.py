"""The paths in what a program asks and is told: found by schemas, and mapped by its rules before a request leaves.

Only what a schema says is a path is mapped: parameters and outputs of a capability, by what the daemon says of it, and inputs of
a workflow, by what its document declares. A workflow's own text means files of the daemon. What a person is shown, and what is
on record, is what was sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from assent.client._paths import Paths
from assent.errors import AssentError, InputError, Json
from assent.runtime.service import answers, requests
from assent.runtime.service.codec import answer_type
from assent.runtime.service.requests import Request
from assent.spec.documents.document import dotted
from assent.spec.masking import places
from assent.spec.spelled_fields import PATH_FORMAT, kind_of, respelled

R = TypeVar("R", bound=Request[Any])

Learn = Callable[[Request[Any]], Awaitable[Any]]
"""Asks the daemon, and gives its typed answer."""

_GIVEN: Final[Mapping[Any, str]] = {  # `Any`: kinds of requests, each with its own answer
    **dict.fromkeys((requests.Call, requests.AddStep, requests.ExplainPolicy), "parameters"),
    **dict.fromkeys((requests.Run, requests.Plan, requests.AddSchedule), "inputs"),
}
"""The field in which a request may hold paths."""


class PathFields:
    """What one client knows of the paths in its requests. A capability's fields are asked for once, and then remembered."""

    def __init__(self, rules: Mapping[str, str] | None) -> None:
        """`INVALID_INPUT` for what is no rule."""
        self._rules = None if rules is None else {**rules}
        self._parameters: dict[str, Mapping[str, Json]] = {}
        self._returns: dict[str, Mapping[str, Json]] = {}
        self.paths = Paths(rules)

    def greeted(self, wsl: str | None) -> None:
        """The daemon has said where it runs."""
        self.paths = Paths(self._rules, wsl)

    def concerns(self, request: Request[Any]) -> bool:
        """Whether there is a text in a request that would be mapped if it were a path."""
        name = _GIVEN.get(type(request))
        return name is not None and self._differs(getattr(request, name), self.paths.to_daemon)

    async def sent(self, request: R, learn: Learn) -> R:
        """The request as the daemon is to be asked it; raises what `to_daemon` does, with the place, and what `learn` does.

        It must be called once: a path of the daemon's may be one of this side, too.
        """
        if not self.concerns(request):
            return request
        schema = await self._schema_of(request, learn)
        if schema is None:
            return request
        name = _GIVEN[type(request)]
        mapped = _mapped(getattr(request, name), schema, self.paths.to_daemon)
        changed: R = replace(request, **{name: mapped})
        return changed

    async def told(self, request: Request[Any], answer: dict[str, Any], learn: Learn) -> dict[str, Any]:
        """The answer, as it travels (hence `Any`), with the paths in outputs as they are called here."""
        kind: Any = answer_type(type(request))  # `Any`: each has fields of its own
        if not self.paths.has_rules or not issubclass(kind, answers.Run | answers.Resumed):
            return answer
        for run in answer.get("results", [answer]):
            for step in run["steps"]:
                if self._differs(step.get("output"), self.paths.from_daemon):
                    with suppress(
                        AssentError
                    ):  # the answer is here, whether or not the daemon can be asked about it
                        returns = await self._returns_of(step, learn)
                        step["output"] = _mapped(step["output"], returns, self.paths.from_daemon)
        return answer

    async def _schema_of(self, request: Any, learn: Learn) -> Mapping[str, Json] | None:
        """What the field of a request is; None where there is no such thing, which the daemon has to say."""
        try:
            if _GIVEN[type(request)] == "inputs":
                return _declared(request)
            known = self._parameters.get(request.capability)
            if known is None:
                found = await learn(requests.Parameters(reference=request.capability))
                known = self._parameters[request.capability] = found.schema
        except InputError:
            return None
        return known

    async def _returns_of(self, step: Mapping[str, Any], learn: Learn) -> Mapping[str, Json]:
        reference = f"{step['capability']}@{step.get('asked_version') or step['version']}"
        known = self._returns.get(reference)
        if known is None:
            found = await learn(requests.Capability(reference=reference))
            known = self._returns[reference] = found.returns
        return known

    @staticmethod
    def _differs(value: Json, change: Callable[[str], str]) -> bool:
        try:
            return any(change(text) != text for text in _texts(value))
        except InputError:
            return True


def _declared(request: requests.Run | requests.Plan | requests.AddSchedule) -> Mapping[str, Json]:
    """The inputs that a workflow's document declares, as one schema."""
    from assent.spec.workflow.definition import (
        WorkflowSpec,
    )  # costs time, and few inputs look like paths from elsewhere

    spec = WorkflowSpec.load(request.text.encode(), source=request.source)
    return {"properties": {name: {**one.schema} for name, one in spec.inputs.items()}}


def _texts(value: Json) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one


def _mapped(value: Any, schema: Mapping[str, Json], change: Callable[[str], str]) -> Any:  # `Any`: JSON
    """The value with each path changed, once; raises what `change` does, with the place."""
    for place in [*dict.fromkeys(places(value, schema, _is_path))]:
        try:
            value = respelled(value, place, change)
        except InputError as error:
            error.path = dotted(place)
            raise
    return value


def _is_path(schema: Mapping[str, object]) -> bool:
    return kind_of(schema) == PATH_FORMAT
