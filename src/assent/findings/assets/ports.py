"""Where resources are kept by version: what a provider promises, whichever it is. `assent.testing.ResourceRegistryContract`
tries the promises.

A version never changes: its content is named by its digest and checked at each use. Whatever is given is judged before anything
is written. When a call returns, what it wrote is there for good; when it raises, or the process ends meanwhile, nothing of it is.
Moments are the caller's, RFC 3339 in UTC with `Z`. A reference is a `Reference` or its text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple, Protocol

import msgspec

from assent.findings.assets.reference import AssetType, Context, Reference, Scope

CONTENT_BYTES_MAX: Final = 256 << 20
"""How large one version's content may be."""
NOWHERE: Final = Context()
"""Nothing is in force but `global`."""


class AssetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a resource in one scope."""

    scope: Scope
    type: AssetType
    name: str
    version: str
    sha256: str
    size_bytes: int
    published_at: str
    promoted_from: str | None = None
    """The reference of the version that it is a copy of."""
    retired_at: str | None = None
    uses: int = 0
    used_at: str | None = None
    """When it was used last."""

    @property
    def reference(self) -> Reference:
        """The reference that means this version and no other."""
        return Reference(scope=self.scope, type=self.type, name=self.name, version=self.version)


class Used(NamedTuple):
    """A version that is used, and its content piece by piece. The content was whole when it was handed out, and is checked again
    while it is read.
    """

    version: AssetVersion
    content: Iterator[bytes]


class ResourceProvider(Protocol):
    """What keeps resources. Malformed references are `RESOURCE_REFERENCE_INVALID` everywhere."""

    def publish(
        self, reference: Reference | str, content: bytes | Iterable[bytes], *, at: str
    ) -> AssetVersion:
        """Keep a version, in the scope and by the word that the reference says. The same again does nothing.

        `InputError` `RESOURCE_EXISTS`: the version has other content. `RESOURCE_TOO_LARGE`. `RESOURCE_REQUEST_INVALID`: the
        reference says no scope, or no word for the version, or the moment is none.
        """

    def promote(self, reference: Reference | str, to: Scope | str, *, at: str) -> AssetVersion:
        """Copy a version to a wider scope, by the same name and word. The same again does nothing.

        `InputError` `RESOURCE_REQUEST_INVALID`: the scope is no wider. `RESOURCE_EXISTS`: the version has other content there.
        Else as `resolve`, also of a retired version that is asked for by its digest.
        """

    def retire(self, reference: Reference | str, *, at: str) -> AssetVersion:
        """Take a version out of use, for good: from now on only its digest leads there. Again, it does nothing."""

    def resolve(self, reference: Reference | str, context: Context = NOWHERE) -> AssetVersion:
        """The version that is meant: in its scope, or in the nearest one in force that has it. It does not count as a use.

        A version that is retired in a nearer scope hides the same word in a wider one; `latest` passes over it.
        `InputError` `RESOURCE_NOT_FOUND`, `RESOURCE_RETIRED`.
        """

    def use(self, reference: Reference | str, context: Context = NOWHERE, *, at: str) -> Used:
        """The version that is meant, with its content, counted as used. `WorldError` `RESOURCE_CORRUPT`: it is damaged."""

    def content(self, version: AssetVersion) -> Iterator[bytes]:
        """The content of a version piece by piece, for who only looks. `WorldError` `RESOURCE_CORRUPT` behind the last piece."""

    def withdraw(self, reference: Reference | str, *, published_at: str) -> None:
        """Take back that a version was published, or promoted, at that moment: as if it had not been. Else it does nothing.

        `InputError` `RESOURCE_IN_USE`: it was used, promoted or retired since.
        """

    def withdrawable(
        self,
        reference: Reference | str,
        *,
        published_at: str,
        copies_but: Collection[str] = (),
        is_reinstated: bool = False,
    ) -> AssetVersion | None:
        """What `withdraw` would remove, and what it would raise; nothing is changed.

        `copies_but`: copies that count as withdrawn before, and with `is_reinstated` it counts as not retired.
        """

    def reinstate(self, reference: Reference | str, *, retired_at: str) -> None:
        """Take back that a version was retired at that moment. Else it does nothing."""

    def versions(
        self, scope: Scope | str | None = None, kind: AssetType | None = None, name: str | None = None
    ) -> Iterator[AssetVersion]:
        """All versions, or those of a scope, a type, a name, in the order in which they were published."""
