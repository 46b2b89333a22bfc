"""The library of knowledge of a workspace: where its store and its keys are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from assent import system
from assent.runtime.settings.effective import Settings

if TYPE_CHECKING:
    from assent.capabilities.knowledge import Library
    from assent.knowledge.store import KeySource, Store

_DIGESTS: Final = "digests"


def library_of(settings: Settings) -> Library:
    """What calls on knowledge share. Nothing is made or opened yet."""
    from assent.capabilities.knowledge import Library, control_of

    said = settings.areas["knowledge"]
    return Library(
        said,
        partial(control_of, settings.workspace, settings.hidden_files, settings.control_files),
        partial(_store, settings),
        partial(_erase, settings),
        partial(_key, settings),
    )


def keys_of(settings: Settings) -> KeySource:
    """Where the master keys are: in files of mode 0600 beside the key that signs the ledger, and not in the state."""
    from assent.runtime.wiring.knowledge_keys import FileKeys

    return FileKeys(settings.knowledge_keys)


def _store(settings: Settings) -> Store:
    from assent.capabilities.knowledge.area import STORE
    from assent.knowledge.store import SqlCipherStore

    return SqlCipherStore(
        settings.state / STORE,
        str(settings.areas["knowledge"]["tenant"]),
        keys=keys_of(settings),
        now_ms=system.SystemClock().now_ms,
        salt=system.SystemEntropy().salt,
    )


def _erase(settings: Settings, who: str) -> None:
    from assent.capabilities.knowledge.area import STORE
    from assent.knowledge.store import erase

    erase(
        settings.state / STORE,
        str(settings.areas["knowledge"]["tenant"]),
        keys=keys_of(settings),
        now_ms=system.SystemClock().now_ms,
        actor=who,
    )


def _key(settings: Settings) -> bytes:
    """What digests of secrets are made with; it is made when it is first needed."""
    keys, entropy = keys_of(settings), system.SystemEntropy()
    found = keys.load(_DIGESTS)
    if found is None:
        found = entropy.salt() + entropy.salt()
        keys.keep(_DIGESTS, found)
    return found
