"""Hands on files: a confined workspace, an imaginary one, and the `io.fs.*` capabilities over either."""

from assent.capabilities.fs.change._turns import changing
from assent.capabilities.fs.world._confined import ConfinedFiles
from assent.capabilities.fs.world._control import ControlFiles
from assent.capabilities.fs.world._overlay import OverlayFiles
from assent.capabilities.fs.world._paths import spelled_below, spelled_on_host
from assent.capabilities.fs.world._workspace import PRE_IMAGE_BYTES_MAX, Workspace
