"""Everything that is wrong with one declaration, gathered before anything is raised: all faults are told together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent.errors import AssentError, InputError, Json
from assent.invocation.describe._claims import Claims

# The fields of a spec that the decorator has another name for.
_SAID_AS: Final[Mapping[str, str]] = {
    "operation_type": "operation",
    "side_effects.reversible": "reversible",
    "side_effects.scope": "scope",
    "side_effects.description": "effect",
    "compensation.strategy": "compensation",
    "compensation.capability_id": "compensated_by",
    "risk.level": "risk",
    "risk.justification": "justification",
    "risk.requires_approval": "requires_approval",
}


class DeclarationFaults:
    """What is wrong with one declaration, each fault with its place."""

    def __init__(self) -> None:
        self.found: list[dict[str, Json]] = []
        self.adopted: tuple[AssentError, list[dict[str, Json]]] | None = None

    def add(self, place: str, message: str) -> None:
        """Remember a fault of ours; `place` is `FILE:LINE`."""
        self.found.append({"path": place, "message": message})

    def adopt(self, place: str, error: AssentError) -> None:
        """Remember an error that somebody else raised about the declaration."""
        listed = error.details.get("faults")
        told = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        for one in told:
            one["message"] = _in_words_of_the_decorator(one)
        if told:
            more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
            error.message = f"{error.message.partition(': ')[0]}: {told[0]['message']}{more}"
        messages = [one["message"] for one in told] or [error.message]
        found: list[dict[str, Json]] = [
            {"path": place, "message": message, "code": error.code} for message in messages
        ]
        self.adopted = (error, found)
        self.found += found

    def raise_if_any(self, claims: Claims, place: str) -> None:
        """`InputError`: DECLARATION_INVALID with every fault, or the code of the law that refused the spec and nothing else."""
        if not self.found:
            return
        if self.adopted is not None and len(self.found) == len(self.adopted[1]):
            # The law refused the spec, and nothing else is wrong: its own code says it best.
            error = self.adopted[0]
            raise InputError(
                error.code,
                f"{error.message} ({place})",
                path=error.path,
                hint=error.hint,
                details=error.details,
            )
        more = f" (and {len(self.found) - 1} more)" if len(self.found) > 1 else ""
        raise InputError(
            "DECLARATION_INVALID",
            f"capability `{claims.id}` can't be registered: {self.found[0]['message']}{more}",
            path=str(self.found[0]["path"]),
            hint="mend the function that the path names; the details list every fault",
            details={"faults": [*self.found]},
        )


def _in_words_of_the_decorator(fault: Mapping[str, Json]) -> str:
    """The message of a spec's fault, with the name that the decorator has for the field."""
    path, message = fault.get("path"), str(fault.get("message"))
    field = ".".join(map(str, path)) if isinstance(path, list) else ""
    return message.replace(f"`{field}`", f"`{_SAID_AS.get(field, field)}`", 1)
