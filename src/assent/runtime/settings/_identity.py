"""Who acts: the operating system's user, the names that a workspace gives to users, agents and services, and their roles.

A local identity is as good as the account it runs under. `--as` is only an assertion; the journal keeps the user id of the
process beside it. With `[identity] strict = true` a name must be the account's own, or be mapped to its user id.
"""

from __future__ import annotations

import pwd
from collections.abc import Mapping
from functools import cache

import msgspec

from assent.errors import RefusedError, out_of_files
from assent.spec.documents.toml import toml_key
from assent.spec.ids import PRINCIPAL_ID
from assent.spec.principal import Principal


@cache  # An account has one name while a process lives, also when it can't be looked up any more.
def login_of(os_uid: int) -> str:
    """The account's name, or `uid-N` where it has none that could be a principal's. `MACHINE_EXHAUSTED`."""
    try:
        name = pwd.getpwuid(os_uid).pw_name
    except KeyError:  # Containers often run under ids that nobody named.
        if (lacking := out_of_files()) is not None:
            raise lacking from None
        return f"uid-{os_uid}"
    return name if PRINCIPAL_ID.match(name) else f"uid-{os_uid}"


def own_name(os_uid: int) -> str:
    """The principal that an account is when it says nothing else: `user:<login>`."""
    return f"user:{login_of(os_uid)}"


class Identities(msgspec.Struct, frozen=True):
    """The workspace's table of who is who, keyed by `type:id`."""

    strict: bool = False
    roles: Mapping[str, frozenset[str]] = {}
    uids: Mapping[str, int] = {}
    certificates: Mapping[str, tuple[str, frozenset[str]]] = {}
    """Whoever shows a certificate of this subject is that principal, within these scopes."""

    def is_proven(self, text: str, os_uid: int) -> bool:
        """The account itself vouches for this name: it is mapped to the account, or it is the account's own."""
        mapped = self.uids.get(text)
        return mapped == os_uid if mapped is not None else text == own_name(os_uid)

    def vouched_for(self, text: str, roles: frozenset[str]) -> Principal:
        """The principal that something else than an account has proven to be, with `roles` beside its own. SPEC_INVALID."""
        return Principal.parse(text, roles=self.roles.get(text, frozenset()) | roles)

    def principal_of(self, text: str, *, asserted: bool, os_uid: int) -> Principal:
        """The principal that a process of `os_uid` acts as, with its roles.

        `asserted` is what the process admits itself: without it the name must be proven. Raises `RefusedError`
        IDENTITY_REFUSED, and `InputError` SPEC_INVALID for a text that is no principal.
        """
        principal = Principal.parse(text, roles=self.roles.get(text, frozenset()))
        if self.is_proven(text, os_uid):
            return principal
        if asserted and not self.strict:
            return principal
        table = f"[identity.{principal.type.value}s.{toml_key(principal.id)}]"
        mapped = self.uids.get(text)
        why = (
            f"`{text}` belongs to user id {mapped}"
            if mapped is not None
            else f"`{text}` is mapped to no user id"
        )
        raise RefusedError(
            "IDENTITY_REFUSED",
            f"{why}, and this process runs as `{login_of(os_uid)}` ({os_uid})",
            hint=f"act as `{own_name(os_uid)}`, or write `uid = {os_uid}` under `{table}` in assent.toml",
        )
