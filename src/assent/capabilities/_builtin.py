"""The capabilities that every runtime has."""

from __future__ import annotations

from assent.capabilities.fs import PRE_IMAGE_BYTES_MAX, file_capabilities
from assent.capabilities.sys import system_capabilities
from assent.invocation import Handler
from assent.spec.capability import CapabilitySpec


def builtin_capabilities(
    *, max_pre_image_bytes: int = PRE_IMAGE_BYTES_MAX
) -> list[tuple[CapabilitySpec, Handler]]:
    """All of them, each spec with its handler. `max_pre_image_bytes` bounds what one call may keep for its undo."""
    return [*file_capabilities(max_pre_image_bytes=max_pre_image_bytes), *system_capabilities()]
