"""Values that the parts of one application share: each has an owner, who alone writes it; everybody reads frozen values."""

from __future__ import annotations

from typing import Final

from assent.errors import InputError, Json, RefusedError
from assent.invocation.app._config import frozen_json
from assent.spec.values.frozen import Frozen
from assent.spec.words.suggestions import did_you_mean

NAMES_MAX: Final = 10_000
"""Values that may be shared at once."""


class SharedState:
    """The shared values of one runtime, for reading. Who may write holds the `Owned` that `claim` gave."""

    __slots__ = ("_owned",)

    def __init__(self) -> None:
        self._owned: dict[str, Owned] = {}

    def claim(self, name: str, *, owner: str, value: Json = None) -> Owned:
        """A new value and the only handle that writes it. `owner` is shown to whoever claims it too.

        Raises `RefusedError` SHARED_STATE_TAKEN, and `InputError` SHARED_STATE_FULL and CONFIG_INVALID (the value is no JSON).
        """
        taken = self._owned.get(name)
        if taken is not None:
            raise RefusedError(
                "SHARED_STATE_TAKEN",
                f"`{name}` belongs to `{taken.owner}` already",
                hint="read it with `get`, or claim another name",
            )
        if len(self._owned) >= NAMES_MAX:
            raise InputError("SHARED_STATE_FULL", f"more than {NAMES_MAX} values can't be shared")
        self._owned[name] = owned = Owned(self, name, owner, frozen_json(value, name))
        return owned

    def get(self, name: str) -> Frozen:
        """A value as it is now, frozen: later writes do not show in it. `InputError` SHARED_STATE_UNKNOWN."""
        try:
            return self._owned[name].value
        except KeyError:
            raise InputError(
                "SHARED_STATE_UNKNOWN",
                f"nobody shares a value `{name}`",
                hint=did_you_mean(name, self._owned, otherwise="it is there once its owner has claimed it"),
            ) from None

    def owners(self) -> dict[str, str]:
        """Who owns what, by name."""
        return {name: self._owned[name].owner for name in sorted(self._owned)}

    def _release(self, owned: Owned) -> None:
        if self._owned.get(owned.name) is owned:
            del self._owned[owned.name]

    def _has(self, owned: Owned) -> bool:
        return self._owned.get(owned.name) is owned


class Owned:
    """The right to write one shared value."""

    __slots__ = ("_state", "_value", "name", "owner")

    def __init__(self, state: SharedState, name: str, owner: str, value: Frozen) -> None:
        self._state = state
        self._value = value
        self.name = name
        self.owner = owner

    @property
    def value(self) -> Frozen:
        """The value as it is now."""
        return self._value

    def set(self, value: Json) -> None:
        """Write the value; readers see the old one or the new one, whole. `RefusedError` SHARED_STATE_RELEASED."""
        if not self._state._has(self):  # noqa: SLF001 - the two are one thing, in one file
            raise RefusedError("SHARED_STATE_RELEASED", f"`{self.name}` is no longer owned by `{self.owner}`")
        self._value = frozen_json(value, self.name)

    def release(self) -> None:
        """Give the name back; the value is gone. Harmless when it was given back already."""
        self._state._release(self)  # noqa: SLF001 - as above
