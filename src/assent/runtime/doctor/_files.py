"""What a workspace stands on: this machine's Python, SQLite and kernel, and the files that nobody else may enter."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from assent.capabilities.area import Check
from assent.capabilities.knowledge.area import OPEN, STORE
from assent.errors import AssentError
from assent.runtime.doctor._hands import area_checks, sandbox_checks, scratch_check
from assent.runtime.doctor._plugins import reach_checks, server_checks
from assent.runtime.doctor._secrets import is_within, secret_checks
from assent.runtime.runs._loading import load_policy
from assent.runtime.settings._places import fault_of_state
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring.knowledge import key_place, keys_of
from assent.runtime.wiring.knowledge_keys import FileKeys
from assent.spec.words.sizes import count_text


def checks(settings: Settings) -> Iterator[Check]:
    """Everything that can be looked at without the record and without anybody who owns it."""
    yield Check("python", "ok", sys.version.split()[0])
    yield _guarded("sqlite", _sqlite)
    yield _guarded("path resolution", lambda: _openat2(settings))
    yield _guarded("state directory", lambda: _state(settings))
    yield _guarded("signing key", lambda: _key(settings))
    yield _guarded("knowledge key", lambda: _knowledge_key(settings))
    yield _guarded("socket folder", lambda: Check("socket folder", "ok", str(settings.runtime_dir())))
    yield _guarded("approvers", lambda: _approvers(settings))
    yield from reach_checks(settings)
    yield from server_checks(settings)
    yield from sandbox_checks(settings)
    yield _guarded("temporary folders", scratch_check)
    yield from area_checks(settings)
    yield from secret_checks(settings)


def findings_checks(settings: Settings) -> list[Check]:
    """Whether the store of findings is as the ledger has it, where there is one. It is folded once more: it takes as long."""
    from assent.capabilities.findings import BOOK

    is_there = (settings.state / BOOK).is_file()
    return [_guarded("store of findings", lambda: _findings(settings))] if is_there else []


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except AssentError as error:
        return Check(name, "fault", str(error), error.hint)


def _findings(settings: Settings) -> Check:
    from assent.runtime.runs._findings import FindingsStore

    name, found = "store of findings", FindingsStore(settings).is_as_recorded()
    if found is None:
        return Check(name, "warning", "calls on findings were recorded meanwhile", "look again")
    if found:
        return Check(name, "ok", "as the ledger has it")
    seen = "it says something else than the ledger: somebody has changed it by hand"
    return Check(name, "fault", seen, "remove `findings.db` from the state directory: it is folded anew")


def _sqlite() -> Check:
    import apsw

    return Check("sqlite", "ok", f"{apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})")


def _openat2(settings: Settings) -> Check:
    from assent.capabilities.fs.world._syscalls import has_openat2

    folder = os.open(settings.workspace, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        is_there = has_openat2(folder)
    finally:
        os.close(folder)
    if is_there:
        return Check("path resolution", "ok", "openat2: the kernel keeps paths inside the workspace")
    return Check("path resolution", "ok", "component walk: this kernel has no openat2")


def _state(settings: Settings) -> Check:
    name = "state directory"
    found = _private(name, settings.state, "enter", f"chmod 700 {settings.state}")
    fault = fault_of_state(settings.state)
    if found.status == "ok" and fault is not None:
        return Check(name, "fault", fault, "free some space, or keep the state elsewhere with `--state`")
    return found


def _key(settings: Settings) -> Check:
    name, path = "signing key", settings.key_path
    found = _private(name, path, "use it", f"chmod 600 {path}")
    if found.status == "ok" and is_within(path, settings.state):
        hint = "move it, and set `key` under `[ledger]`"
        return Check(name, "warning", "lies beside the ledger it signs", hint)
    return found


def _knowledge_key(settings: Settings) -> Check:
    name, place = "knowledge key", key_place(settings)
    if settings.areas["knowledge"]["encryption"] == "off":
        return Check(name, "warning", OPEN, 'set `encryption = "on"` under `[knowledge]` of assent.toml')
    keys = keys_of(settings)  # a passphrase that is not there is a fault
    masters = _masters(settings)
    if isinstance(keys, FileKeys):
        place = f"{place}, in `{settings.knowledge_keys}`"
    # One that the passphrase does not open is a fault as well.
    if None in [keys.load(one) for one in masters]:
        erase = f"assent knowledge erase {shlex.quote(str(settings.areas['knowledge']['tenant']))}"
        hint = (
            "put it back, from a copy or by `assent knowledge key recover`, or `key` under `[knowledge]` as it was;"
            f" else `{erase}`"
        )
        return Check(name, "fault", f"gone, and nothing else opens the store: it is not {place}", hint)
    if not isinstance(keys, FileKeys):
        return Check(name, "ok", place)
    if not masters:
        return Check(name, "ok", f"not there yet: the first `knowledge index` makes {place}")
    if settings.areas["knowledge"]["passphrase_file"] and any(map(keys.is_plain, masters)):
        hint = "have it replaced by one that is sealed: assent knowledge key rotate"
        return Check(
            name, "warning", f"not sealed by the passphrase yet, in `{settings.knowledge_keys}`", hint
        )
    return Check(name, "ok", f"{place}: keep a copy of it elsewhere")


def _masters(settings: Settings) -> list[str]:
    """As what the masters of the stores are kept: other workspaces may keep theirs in the same place."""
    files = sorted((settings.state / STORE).glob("*.keys"))
    if not files:
        return []
    from assent.knowledge.store import master_of

    return [*map(master_of, files)]


def _approvers(settings: Settings) -> Check:
    """Whether rules that name approvers bind them to somebody: without `strict` everybody is who they say they are."""
    naming = [
        rule.id for rule in load_policy(settings).policy.rules if rule.approvers and rule.approvers.roles
    ]
    if not naming:
        return Check("approvers", "ok", "no rule names a role")
    if settings.identities.strict:
        alike = _of_one_uid(settings.identities.uids)
        if alike:
            seen = f"{' and '.join(alike)} are one user of the system, who can agree as each of them"
            return Check("approvers", "warning", seen, "map each person to a user id of their own")
        return Check(
            "approvers", "ok", f"named by {count_text(len(naming), 'rule')}; `--as` takes mapped names"
        )
    hint = "set `strict = true` under `[identity]` of assent.toml, and map each approver to a user id"
    seen = f"rule `{naming[0]}` names roles, and whoever may run `assent` can take any name with `--as`"
    return Check("approvers", "warning", seen, hint)


def _of_one_uid(uids: Mapping[str, int]) -> list[str]:
    """Two or more users that are mapped to one user id, the first such; none where each has their own."""
    people = {name: uid for name, uid in uids.items() if name.startswith("user:")}
    for shared in people.values():
        names = sorted(name for name, uid in people.items() if uid == shared)
        if len(names) > 1:
            return names
    return []


def _private(name: str, path: Path, others: str, mend: str) -> Check:
    """Whether nobody but its owner may get at something that the first run makes."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return Check(name, "ok", "not there yet: the first run makes it")
    except OSError as error:
        return Check(name, "fault", f"can't be looked at: {error.strerror}")
    if mode & 0o077:
        return Check(name, "fault", f"mode {mode:04o}: others may {others}", mend)
    return Check(name, "ok", f"mode {mode:04o}")
