"""A provider in memory: for tests, and for resources that live as long as a scan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256

import msgspec

from assent.findings.assets._provider import Provider
from assent.findings.assets.ports import AssetVersion
from assent.findings.assets.reference import AssetType, Reference, Scope, read_scope


class MemoryProvider(Provider):
    """Versions by reference, in the order in which they came. For one thread."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}
        self._versions: dict[Reference, AssetVersion] = {}

    def _whole(self) -> AbstractContextManager[None]:
        # The one thing that is written comes last; a content that no version has is none that anybody finds.
        return nullcontext()

    def _keep(self, pieces: Iterator[bytes]) -> tuple[str, int]:
        content = b"".join(pieces)
        digest = sha256(content).hexdigest()
        self._contents[digest] = content
        return digest, len(content)

    def _pieces(self, digest: str) -> Iterator[bytes]:
        yield self._contents[digest]

    def _add(self, version: AssetVersion) -> None:
        self._versions[version.reference] = version

    def _remove(self, version: AssetVersion) -> None:
        del self._versions[version.reference]
        if all(one.sha256 != version.sha256 for one in self._versions.values()):
            del self._contents[version.sha256]

    def _retire(self, version: AssetVersion, at: str | None) -> None:
        self._versions[version.reference] = msgspec.structs.replace(version, retired_at=at)

    def _count(self, version: AssetVersion, at: str) -> None:
        self._versions[version.reference] = msgspec.structs.replace(
            version, uses=version.uses + 1, used_at=at
        )

    def versions(
        self, scope: Scope | str | None = None, kind: AssetType | None = None, name: str | None = None
    ) -> Iterator[AssetVersion]:
        """All that fit, in their order."""
        where = None if scope is None else read_scope(scope)
        for one in list(self._versions.values()):
            if (
                (where is None or one.scope == where)
                and (kind is None or one.type == kind)
                and (name is None or one.name == name)
            ):
                yield one
