"""The words that questions about findings and resources are narrowed by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from assent.errors import InputError
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from enum import StrEnum

E = TypeVar("E", bound="StrEnum")


def words(said: Iterable[str], kind: type[E], path: str) -> frozenset[E]:
    """The members that are meant. `INVALID_INPUT`."""
    known = [one.value for one in kind]
    return frozenset(kind(require(word, known, path)) for word in said)


def require(word: str, known: Iterable[str], path: str) -> str:
    """The word itself, where it is one of those. `INVALID_INPUT`."""
    if word not in known:
        message = f"`{path}` must be one of {', '.join(known)}, not `{word[:40]}`"
        raise InputError("INVALID_INPUT", message, path=path, hint=did_you_mean(word, known))
    return word
