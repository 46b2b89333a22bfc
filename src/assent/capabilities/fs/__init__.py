"""Hands on files: a confined workspace, an imaginary one, and the `io.fs.*` capabilities over either."""

from assent.capabilities.fs._confined import ConfinedFiles
from assent.capabilities.fs._control import ControlFiles
from assent.capabilities.fs._overlay import OverlayFiles
from assent.capabilities.fs._path_state import PRE_IMAGE_BYTES_MAX
from assent.capabilities.fs._workspace import Workspace

__all__ = [
    "PRE_IMAGE_BYTES_MAX",
    "ConfinedFiles",
    "ControlFiles",
    "OverlayFiles",
    "Workspace",
]
