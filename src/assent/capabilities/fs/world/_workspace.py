"""The world of the file capabilities: one folder of the machine, or an imaginary version of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from assent.capabilities.fs.world._confined import ConfinedFiles
from assent.capabilities.fs.world._control import ControlFiles
from assent.capabilities.fs.world._overlay import OverlayFiles
from assent.invocation import Files
from assent.secrets.redaction import Redactor

PRE_IMAGE_BYTES_MAX: Final = 64 << 20
"""What one call may keep for its undo where nobody says otherwise (`max_pre_image_bytes`)."""


class Workspace:
    """A `World`: the workspace's files, real or simulated."""

    def __init__(
        self,
        files: Files,
        *,
        is_simulated: bool = False,
        pre_image_bytes_max: int = PRE_IMAGE_BYTES_MAX,
        redactor: Redactor | None = None,
    ) -> None:
        self._files = files
        self._redactor = redactor
        self._is_simulated = is_simulated
        self._pre_image_bytes_max = pre_image_bytes_max

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        hidden: Iterable[Path],
        read_only: Iterable[Path] = (),
        pre_image_bytes_max: int = PRE_IMAGE_BYTES_MAX,
        redactor: Redactor | None = None,
    ) -> Self:
        """The real workspace at `root`.

        `hidden` is what capabilities cannot see: the state directory, keys, secrets; `read_only` are configuration, policy and
        lock files. A folder counts with all it holds. The root's own `assent.toml` is always among them, existing or not.
        Raises `InputError` WORKSPACE_INVALID. What `redactor` knows is not written into files.
        """
        control = ControlFiles(hidden=hidden, read_only=[root / "assent.toml", *read_only])
        files = ConfinedFiles(root, control=control, redactor=redactor)
        return cls(files, pre_image_bytes_max=pre_image_bytes_max, redactor=redactor)

    @property
    def files(self) -> Files:
        """The workspace's files."""
        return self._files

    @property
    def is_simulated(self) -> bool:
        """Whether changes stay imaginary."""
        return self._is_simulated

    @property
    def is_changed(self) -> bool:
        """Whether a simulated world differs from the one that it looks like; never for the real one."""
        return isinstance(self._files, OverlayFiles) and self._files.is_changed

    @property
    def pre_image_bytes_max(self) -> int:
        """What one call may keep for its undo, in bytes."""
        return self._pre_image_bytes_max

    def simulate(self) -> Workspace:
        """An imaginary world that looks like this one; a simulated one can be simulated again."""
        return Workspace(
            OverlayFiles(self._files, self._redactor),
            is_simulated=True,
            pre_image_bytes_max=self._pre_image_bytes_max,
            redactor=self._redactor,
        )

    def close(self) -> None:
        """Give back what the real files hold open; harmless when done twice."""
        if isinstance(self._files, ConfinedFiles):
            self._files.close()
