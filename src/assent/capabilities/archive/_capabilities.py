"""The archive capabilities, described."""

from __future__ import annotations

from typing import Final

from assent.capabilities.archive._pack import PackEffect
from assent.capabilities.archive._unpack import UnpackEffect
from assent.capabilities.describing import changes_files

_TIMEOUT_S: Final = 300
"""The limit in time of one archive; a step may have a shorter one."""

CAPABILITIES: Final = (
    changes_files(
        "sys.archive.pack",
        "Pack files and folders into an archive whose bytes can be reproduced",
        PackEffect(),
        timeout=_TIMEOUT_S,
        labels=("reads_private",),
    ),
    changes_files(
        "sys.archive.unpack",
        "Unpack an archive into a new folder, counting what comes out",
        UnpackEffect(),
        timeout=_TIMEOUT_S,
        labels=("reads_private", "reads_untrusted"),
    ),
)
