"""Where an answer may stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from assent.knowledge.asking.answer import Part
from assent.spec.words.globs import glob_matches

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Where(msgspec.Struct, frozen=True):
    """A file that fits all that is said; one of several is enough."""

    paths: tuple[str, ...] = ()
    """Patterns, in which `*` stands for any characters, `/` too."""
    languages: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    since_ms: int | None = None
    """Changed then or later."""
    until_ms: int | None = None
    """Changed before."""

    def mask(self, part: Part) -> NDArray[np.bool_]:
        """Which chunks of a part fit, of those that may be seen."""
        files = part.words.paths
        fits = np.full(len(files), not self.repositories or part.repository in self.repositories)
        if self.paths:
            fits &= _each(any(glob_matches(one, path) for one in self.paths) for path in files)
        if self.languages:
            fits &= _each(one in self.languages for one in part.languages)
        if self.since_ms is not None:
            fits &= part.changed_ms >= self.since_ms
        if self.until_ms is not None:
            fits &= part.changed_ms < self.until_ms
        chunks: NDArray[np.bool_] = fits[part.words.files]
        return chunks if part.visible is None else chunks & part.visible


def _each(told: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(told, np.bool_)
