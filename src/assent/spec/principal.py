"""Who acts: a user, an agent or a service, printed as `type:id`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from assent.errors import InputError
from assent.spec.ids import PRINCIPAL_ID

BY_PROCESS: Final = "process_uid"
"""The principal is the account that this very process runs as, or one that the configuration maps to it."""

BY_PEER: Final = "peer_uid"
"""The same of the process at the other end of the owner's socket, as the kernel names it."""

BY_ASSERTION: Final = "asserted"
"""Nothing but the caller's own word (`--as`). The daemon's doors write `api_key:ID`, `jwt:ISSUER` and `mtls:SUBJECT`."""


def identified(by: str, *, asserted: bool) -> str:
    """What identifies whoever acts: `by`, or nothing but an assertion."""
    return BY_ASSERTION if asserted else by


def is_account(by: str | None) -> bool:
    """It came as an account of this machine, and not by a key, a token or a certificate, which may have been made for less."""
    return by in (None, BY_PROCESS, BY_PEER, BY_ASSERTION)


def identified_words(by: str) -> str:
    """The same for people: `peer uid`, `api key ak_…`. What follows the colon is a name, and stays as it is."""
    kind, _, name = by.partition(":")
    return " ".join([kind.replace("_", " "), *([name] if name else [])])


class PrincipalKind(StrEnum):
    """What kind of actor a principal is. Only a `user` may approve unless a rule says otherwise."""

    USER = "user"
    AGENT = "agent"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """An actor and the roles that the configuration gives it.

    `type` is accepted as text (`"user"`); roles are a set, their order carries no meaning.
    """

    type: PrincipalKind
    id: str
    roles: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", kind_of(self.type))
        if not PRINCIPAL_ID.match(self.id):
            raise InputError(
                "SPEC_INVALID",
                f"`{self.id}` is not a principal id",
                path="id",
                hint="letters, digits and `. _ @ + - /`, at most 128, starting with a letter or digit",
            )
        object.__setattr__(self, "roles", frozenset(self.roles))

    def __str__(self) -> str:
        return f"{self.type.value}:{self.id}"

    @classmethod
    def parse(cls, text: str, *, roles: frozenset[str] = frozenset()) -> Principal:
        """The principal that `type:id` names; `InputError` SPEC_INVALID when it names none."""
        kind, separator, ident = text.partition(":")
        if not separator:
            raise InputError(
                "SPEC_INVALID",
                f"`{text}` is not a principal",
                hint="write it as `user:alice`, `agent:bot` or `service:ci`",
            )
        return cls(kind_of(kind), ident, roles)


def kind_of(text: str) -> PrincipalKind:
    """The kind that `text` names; `InputError` SPEC_INVALID with the list of kinds when it names none."""
    try:
        return PrincipalKind(text)
    except ValueError:
        kinds = ", ".join(kind.value for kind in PrincipalKind)
        raise InputError(
            "SPEC_INVALID", f"`{text}` is not a kind of principal", path="type", hint=f"one of: {kinds}"
        ) from None
