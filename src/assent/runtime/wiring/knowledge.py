"""The library of knowledge of a workspace: where its store and its keys are."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from assent import system
from assent.errors import InputError
from assent.journal import at_once, rows_at_once
from assent.runtime._ledger import reading
from assent.runtime.settings.effective import Settings
from assent.spec.ids import Commitment

if TYPE_CHECKING:
    from assent.capabilities.knowledge import Library
    from assent.knowledge.store import KeySource, Recorded, SqlCipherStore
    from assent.sandbox import Sandbox

_DIGESTS: Final = "digests"
_ERASED: Final = "knowledge.erase_tenant"
_INDEX: Final = "knowledge.index"


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
        recovered=partial(_recover, settings),
        models=settings.state / "models",
        key_place=key_place(settings),
        sandbox=partial(_sandbox, settings),
        now_ms=system.SystemClock().monotonic_ms,
    )


def keys_of(settings: Settings) -> KeySource:
    """Where the master keys are: in files beside the key that signs the ledger, sealed or not, or in the system's keychain."""
    from assent.runtime.wiring._secret_files import read_secret_file
    from assent.runtime.wiring.knowledge_keys import FileKeys, KeychainKeys, PassphraseKeys

    said = settings.areas["knowledge"]
    if said["key"] == "keychain":
        return KeychainKeys()
    if said["passphrase_file"] is None:
        return FileKeys(settings.knowledge_keys)
    place = Path(str(said["passphrase_file"]))
    passphrase = read_secret_file(place)
    if not passphrase:
        raise InputError(
            "KNOWLEDGE_KEY_MISSING",
            "the file of the passphrase is not there, or is empty",
            path=str(place),
            hint="put the passphrase there, with mode 0600",
        )
    return PassphraseKeys(settings.knowledge_keys, passphrase, system.SystemEntropy())


def key_place(settings: Settings) -> str:
    """Where the master key is or will be, in words that anybody may read: `doctor` alone names the folder."""
    said = settings.areas["knowledge"]
    if said["key"] == "keychain":
        return "in the system's keychain"
    how = "mode 0600" if said["passphrase_file"] is None else "under a passphrase"
    return f"a file ({how}) beside the key that signs the ledger"


def _sandbox(settings: Settings) -> Sandbox:
    from assent.sandbox import Sandbox

    is_off = settings.areas["knowledge"]["unconfined"] is True
    return Sandbox.detect(backend=settings.sandbox.backend, unconfined=is_off)


def _store(settings: Settings) -> SqlCipherStore:
    from assent.capabilities.knowledge.area import STORE
    from assent.knowledge.store import SqlCipherStore

    tenant = str(settings.areas["knowledge"]["tenant"])
    is_plain = settings.areas["knowledge"]["encryption"] == "off"
    return SqlCipherStore(
        settings.state / STORE,
        tenant,
        keys=None if is_plain else keys_of(settings),
        encryption="off" if is_plain else "on",
        salt=system.SystemEntropy().salt,
        expected=_recorded(settings.state, tenant),
    )


def _recorded(state: Path, tenant: str) -> Recorded | None:
    """The last change of a tenant's store that the ledger has: a store without it was rolled back."""
    from assent.knowledge.store import Recorded

    undone: Recorded | None = None
    with reading(state) as journal:
        if journal is None:
            return None

        def told(
            commitment: object,
        ) -> dict[str, Any]:  # `Any`: what an act said; nothing of one that was erased
            body = None if commitment is None else at_once(journal.payload(Commitment(str(commitment))))
            said: dict[str, Any] = json.loads(body or b"{}")
            return said

        for act in rows_at_once(journal, "knowledge_acts", newest_first=True):
            said = told(act["output"])
            if said.get("tenant") != tenant:
                continue
            if act["capability"] == _ERASED:
                return undone
            number: int = said["generation"]
            if number <= told(act["prepared"]).get("state", {}).get("before", 0):
                continue  # It changed nothing, and neither did taking it back.
            if not act["is_undo"]:
                # What was made before a store that somebody removed began anew is not in the later one.
                return undone if undone and undone.number <= number else Recorded(number, said["root"])
            if act["capability"] == _INDEX and undone is None:
                undone = Recorded(number, said["root"], is_undone=True)
    return undone


def _erase(settings: Settings) -> None:
    from assent.capabilities.knowledge.area import STORE
    from assent.knowledge.store import erase

    erase(settings.state / STORE, str(settings.areas["knowledge"]["tenant"]), keys=keys_of(settings))


def _recover(settings: Settings, key_file: str) -> str:
    from assent.capabilities.knowledge.area import STORE
    from assent.knowledge.store import recover
    from assent.runtime.wiring.knowledge_keys import private_key

    return recover(
        settings.state / STORE,
        str(settings.areas["knowledge"]["tenant"]),
        keys=keys_of(settings),
        private=private_key(Path(key_file)),
    )


def _key(settings: Settings) -> bytes:
    """What digests of secrets are made with; made when it is first needed, and where another passphrase seals the last one."""
    keys, entropy = keys_of(settings), system.SystemEntropy()
    try:
        found = keys.load(_DIGESTS)
    except InputError as error:
        if error.code != "KNOWLEDGE_KEY_WRONG":
            raise
        found = None  # Nothing is kept of what it made: that must not keep anybody from indexing.
    if found is None:
        found = entropy.salt() + entropy.salt()
        keys.keep(_DIGESTS, found)
    return found
