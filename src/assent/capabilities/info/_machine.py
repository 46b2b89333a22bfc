"""What is told of the environment: the variables that somebody allowed by name, and never one that sounds like a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assent.spec.masking import names_secret
from assent.spec.words.globs import glob_matches


@dataclass(frozen=True, slots=True, repr=False)
class Machine:
    """The environment as the process found it, and the patterns of the names that may be told. A module of the application."""

    environment: Mapping[str, str]
    allowed: tuple[str, ...] = ()

    def may_tell(self, name: str) -> bool:
        """Whether a variable may be told: it is allowed by name, and its name does not say that it holds a secret."""
        return not names_secret(name) and any(glob_matches(pattern, name) for pattern in self.allowed)
