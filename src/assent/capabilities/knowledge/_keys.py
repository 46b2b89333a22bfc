"""The keys of what was indexed: replaced, kept for others, recovered, destroyed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from assent.capabilities.knowledge._library import Library
from assent.errors import InputError
from assent.invocation import LocalContext, NoEffectError, Preview
from assent.spec.capability import SpecModel
from assent.spec.words.sizes import count_text


class Erasure(SpecModel):
    """Whose knowledge is erased: the name has to be said."""

    tenant: Annotated[str, Field(min_length=1, max_length=128)]


class Erased(SpecModel):
    """Whose it was."""

    tenant: str


def preview_of_erasure(context: LocalContext, parameters: Erasure) -> Preview:
    """Whose keys. Nobody is asked about a tenant of whom there is nothing here."""
    _require_tenant(context.app.get(Library), parameters.tenant)
    return Preview("text", f"destroys the keys and all that was indexed of `{parameters.tenant}` for good")


def erase_tenant(context: LocalContext, parameters: Erasure) -> Erased:
    """Destroy the keys of all that was indexed, then remove the files."""
    library = context.app.get(Library)
    _require_tenant(library, parameters.tenant)
    library.erase()
    return Erased(tenant=parameters.tenant)


def _require_tenant(library: Library, tenant: str) -> None:
    if tenant != library.tenant:
        raise NoEffectError(
            "KNOWLEDGE_TENANT_DIFFERS",
            f"the tenant of this workspace is `{library.tenant}`",
            path="tenant",
            hint="name it exactly, if that is what you mean",
        )


class Recovery(SpecModel):
    """Who can recover the master key from now on."""

    recipients: Annotated[
        tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...],
        Field(
            max_length=16,
            description="X25519 public keys, each as 64 hexadecimal digits in lower case; none: nobody",
        ),
    ] = ()


class Escrowed(Recovery):
    """Of which tenant, and who."""

    tenant: str


def preview_of_escrow(context: LocalContext, parameters: Recovery) -> Preview:
    """Who they are. Nobody is asked about keys that are not there, or can't be opened."""
    context.app.get(Library).store.require_keys()
    who = ", ".join(parameters.recipients) or "nobody at all"
    return Preview("text", f"can recover the master key from now on: {who}", changes=True)


def escrow(context: LocalContext, parameters: Recovery) -> Escrowed:
    """Seal the master key for these and nobody else."""
    library = context.app.get(Library)
    with _without_effect():
        library.store.escrow(parameters.recipients)
    return Escrowed(tenant=library.tenant, recipients=tuple(library.store.recipients))


@contextmanager
def _without_effect() -> Iterator[None]:
    """What refuses a key is found before anything is written: nobody has to settle such a call."""
    try:
        yield
    except InputError as error:
        raise NoEffectError(
            error.code, error.message, path=error.path, hint=error.hint, details=error.details
        ) from error


class PrivateKey(SpecModel):
    """By which key."""

    key_file: Annotated[
        str,
        Field(
            pattern="^/",
            max_length=4_096,
            description="where it is on this machine: an X25519 private key in PEM form, in a file of mode 0600",
        ),
    ]


class Recovered(SpecModel):
    """Of which tenant, and the public key of whom it was recovered by."""

    tenant: str
    recipient: str


def preview_of_recovery(parameters: PrivateKey) -> Preview:
    """By which key. Nothing is told of a file of this machine before somebody has agreed."""
    return Preview(
        "text", f"recovers the master key by the private key in `{parameters.key_file}`", changes=True
    )


def recover(context: LocalContext, parameters: PrivateKey) -> Recovered:
    """Have the master key where it is kept again."""
    library = context.app.get(Library)
    with _without_effect():
        recipient = library.recover(parameters.key_file)
    return Recovered(tenant=library.tenant, recipient=recipient)


class Rotated(SpecModel):
    """How far the change of keys came."""

    tenant: str
    is_done: bool
    """False: it was cancelled. Everything can be read; the next call goes on where it was."""


def preview_of_rotation(context: LocalContext) -> Preview:
    """Whose keys. Nobody is asked about keys that are not there, or can't be opened."""
    library = context.app.get(Library)
    library.store.require_keys()
    return Preview(
        "text", f"replaces all keys of `{library.tenant}`; the earlier ones are destroyed", changes=True
    )


def rotate_key(context: LocalContext) -> Rotated:
    """Have new keys, in steps between which everything can be read and written."""
    library, steps = context.app.get(Library), 0
    with _without_effect():
        library.store.require_keys()
    store, is_due = library.store, library.pace()
    while store.rotate():
        steps += 1
        if is_due():
            context.progress(steps, message=count_text(steps, "step"))
        if context.cancel.is_cancelled:
            return Rotated(tenant=library.tenant, is_done=False)
    return Rotated(tenant=library.tenant, is_done=True)
