"""The capabilities on resources, described."""

from __future__ import annotations

from functools import partial
from typing import Final

from assent.capabilities.describing import describe, reads
from assent.capabilities.resource._acts import PromoteEffect, PublishEffect, RetireEffect, read

_changes: Final = partial(
    describe,
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="resources",
    idempotent=True,
    rehearsable=True,
)

CAPABILITIES: Final = (
    _changes(
        "resource.publish",
        "Publish a version of a word list, templates or the like, which never changes from then on",
        PublishEffect(),
        justification="adds what scans are made with, and can be taken back until somebody uses it",
        effect="adds a version to the registry of resources",
        labels=("reads_private",),
        timeout=600,
    ),
    _changes(
        "resource.promote",
        "Copy a version of a resource to a wider scope",
        PromoteEffect(),
        justification="lets more scans be made with it, and can be taken back until somebody uses it",
        effect="adds a version to a wider scope of the registry of resources",
    ),
    _changes(
        "resource.retire",
        "Take a version of a resource out of use",
        RetireEffect(),
        justification="refuses it to all that name it by its word, and can be taken back",
        effect="marks a version as retired",
    ),
    reads(
        "resource.read",
        "Use a resource by its reference: which version it is, its digest and its content",
        read,
        labels=("reads_private", "reads_untrusted"),
    ),
)
