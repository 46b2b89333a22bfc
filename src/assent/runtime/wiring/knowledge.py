"""The library of knowledge of a workspace: where its store and its keys are."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from assent import system
from assent.capabilities.knowledge.area import ACTS
from assent.errors import InputError
from assent.journal import PAGE, OneOf, Where, at_once
from assent.runtime._ledger import reading
from assent.runtime.settings.effective import Settings
from assent.spec.ids import RunId

if TYPE_CHECKING:
    from assent.capabilities.knowledge import Library
    from assent.knowledge.store import KeySource, SqlCipherStore
    from assent.sandbox import Sandbox

_DIGESTS: Final = "digests"
_ERASED: Final = "knowledge.erase_tenant"


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
    """Where the master key is or will be, in words."""
    said = settings.areas["knowledge"]
    if said["key"] == "keychain":
        return "in the system's keychain"
    how = "mode 0600" if said["passphrase_file"] is None else "under a passphrase"
    return f"a file ({how}) in `{settings.knowledge_keys}`"


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
        now_ms=system.SystemClock().now_ms,
        salt=system.SystemEntropy().salt,
        expected=_recorded(settings.state, tenant),
    )


def _recorded(state: Path, tenant: str) -> tuple[int, str] | None:
    """The last generation of a tenant that the ledger has, and its root: a store without it was rolled back."""
    with reading(state) as journal:
        if journal is None:
            return None
        where: Where = {"capability": OneOf(tuple(ACTS)), "status": "succeeded"}
        for row in at_once(journal.rows("steps", where, limit=PAGE, newest_first=True)):
            # By their fields: the kinds of events are imported by nobody who looks at none.
            events: list[Any] = [leaf.event for leaf in at_once(journal.events(RunId(str(row["run_id"]))))]
            for event in events:
                if event.kind != "step.succeeded" or event.step != row["step"]:
                    continue
                said = json.loads(at_once(journal.payload(event.output)) or b"{}")
                if said.get("tenant") == tenant:
                    erased = row["capability"] == _ERASED or not said["generation"]
                    return None if erased else (said["generation"], said["root"])
    return None


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


def _recover(settings: Settings, key_file: str, who: str) -> str:
    from assent.capabilities.knowledge.area import STORE
    from assent.knowledge.store import recover
    from assent.runtime.wiring._secret_files import read_secret_file
    from assent.runtime.wiring.knowledge_keys import private_key

    return recover(
        settings.state / STORE,
        str(settings.areas["knowledge"]["tenant"]),
        keys=keys_of(settings),
        private=private_key(read_secret_file(Path(key_file)), key_file),
        now_ms=system.SystemClock().now_ms,
        actor=who,
    ).key


def _key(settings: Settings) -> bytes:
    """What digests of secrets are made with; it is made when it is first needed."""
    keys, entropy = keys_of(settings), system.SystemEntropy()
    found = keys.load(_DIGESTS)
    if found is None:
        found = entropy.salt() + entropy.salt()
        keys.keep(_DIGESTS, found)
    return found
