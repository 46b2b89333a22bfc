"""How a built-in capability is described: one line of a table binds all of its parts.

    CAPABILITIES = (
        reads("io.fs.exists", "Whether something stands at a path", exists, labels=("reads_private",)),
        describe("io.fs.make_dir", "Make a folder", MakeDirEffect(), operation="WRITE", …),
    )

The decorator `@capability` says the same of one function, so that a plugin can be read without being run. What is built in is
read from its catalogue.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from assent.invocation import Preview, capability
from assent.invocation.describe.declaration import Capability
from assent.invocation.describe.handler import ATTACHED_NAMES


async def no_change() -> Preview:
    """The preview of a capability that only looks or computes."""
    return Preview("none", changes=False)


def describe(
    id: str,  # noqa: A002  # the spec's own field name
    description: str,
    does: object,
    *,
    revision: int = 1,
    **said: Any,  # `Any`: parts by their names, and claims as `capability` takes them, which checks them
) -> Capability[..., Any]:
    """A capability whose effect is `does`: a function, or an object with parts as methods. Other parts are named.

    `revision` goes up when a change journaled by an older version could no longer be continued or taken back by this one.
    """
    parts: dict[str, Any] = {name: said.pop(name) for name in ATTACHED_NAMES[1:] if name in said}
    if not callable(does):
        parts = {name: part for name in ATTACHED_NAMES if (part := getattr(does, name, None))} | parts
    execute = parts.pop("execute", does)
    described = capability(id, description=description, revision=f"{id}/{revision}", **said)(execute)
    for name, part in parts.items():
        getattr(described, name)(part)
    return described


reads: Final = partial(describe, operation="READ", risk="LOW", justification="reads only", preview=no_change)
"""Describes a capability that only looks or computes."""

changes_files: Final = partial(
    describe,
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="filesystem",
    effect="changes files of the workspace",
    rehearsable=True,
)
"""Describes a capability whose every change of files can be taken back."""
