"""A capability whose callers ask for one version while another one serves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assent.errors import AssentError, InputError, Json
from assent.invocation.call._bound import BoundCapability
from assent.spec.capability import CapabilitySpec
from assent.spec.workflow.inputs import violations
from assent.versions.transformers import Route


class TranslatedCapability(BoundCapability):
    """The serving version, as callers of the asked-for version see it.

    Inputs are checked by the asked-for version, carried to the serving one and checked again; policy, handler and ledger see
    those of the serving version. `told` carries an output back.
    """

    def __init__(self, served: BoundCapability, route: Route, asked: BoundCapability | None) -> None:
        """`asked` is the asked-for version where it is installed with a handler; its spec alone is enough."""
        super().__init__(served.spec, served.given)
        self._served = served
        self._route = route
        self._asked = asked

    @property
    def asked(self) -> CapabilitySpec | None:
        """The version that callers speak."""
        return self._route.asked

    @property
    def performer(self) -> BoundCapability:
        """The version that serves."""
        return self._served

    def around(self, served: BoundCapability) -> TranslatedCapability:
        """The same callers, served by something else of the same version: a recorded one, in a replay."""
        return TranslatedCapability(served, self._route, self._asked)

    def parse(self, inputs: Mapping[str, Json]) -> tuple[Any, dict[str, Json]]:
        """See `BoundCapability.parse`, for inputs of the asked-for version; TRANSFORM_FAILED … name the version reached."""
        carried = self._route.to_served(self._checked(inputs))
        try:
            return self._served.parse(carried)
        except InputError as error:
            route = self._route
            raise InputError(
                "TRANSFORM_FAILED",
                f"what the inputs of `{route.asked.reference}` became is not what version `{route.served.version}` takes: "
                f"{error.message}",
                path=error.path,
                details={**error.details, "reached": route.served.version},
            ) from None

    def _checked(self, inputs: Mapping[str, Json]) -> dict[str, Json]:
        """The caller's inputs, with the defaults of its version; `InputError` INVALID_INPUT."""
        if self._asked is not None:
            return self._asked.parse(inputs)[1]
        faults = violations(self._route.asked.parameters, dict(inputs))
        if faults:
            listed: list[Json] = [
                {"path": ".".join(str(part) for part in path), "message": message} for path, message in faults
            ]
            raise InputError(
                "INVALID_INPUT",
                f"the inputs of `{self._route.asked.reference}` are not valid: {listed[0]['message']}",  # type: ignore[index,call-overload]  # made right above
                details={"faults": listed},
            )
        return dict(inputs)

    def revive(self, inputs: Mapping[str, Json]) -> Any:
        """See `BoundCapability.revive`: what is journaled are the inputs of the serving version."""
        return self._served.revive(inputs)

    def result(self, output: object) -> Json:
        """See `BoundCapability.result`, by the serving version."""
        return self._served.result(output)

    def told(self, output: Json) -> Json:
        """The output as the asked-for version gives it; raises what stopped it, with the version reached."""
        try:
            return self._route.to_asked(output)
        except AssentError as error:
            error.details.setdefault("asked", self._route.asked.version)
            raise
