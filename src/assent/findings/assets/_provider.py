"""The rules of resources, said once: what is judged, which version is meant, what may be written. Others keep it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Final

import msgspec

from assent.errors import InputError, WorldError
from assent.findings.assets import ports
from assent.findings.assets.ports import NOWHERE, AssetVersion, Used
from assent.findings.assets.reference import (
    LATEST,
    AssetType,
    Context,
    Reference,
    Scope,
    read_context,
    read_reference,
    read_scope,
)
from assent.findings.finding import Moment, judge_moment
from assent.spec.values.typed import convert
from assent.spec.words.suggestions import did_you_mean

_VERSIONS_TOLD: Final = 5
PIECE_BYTES: Final = 1 << 20
"""How much of a content is in memory at once."""


class Provider(ABC):
    """A provider without a place."""

    @abstractmethod
    def _whole(self) -> AbstractContextManager[None]:
        """Everything that is written in it is kept, or nothing."""

    @abstractmethod
    def _keep(self, pieces: Iterator[bytes]) -> tuple[str, int]:
        """Keep a content; its digest and its size. One that is there is written anew, so that a damaged one is mended."""

    @abstractmethod
    def _pieces(self, digest: str) -> Iterator[bytes]:
        """A content as it is kept."""

    @abstractmethod
    def _add(self, version: AssetVersion) -> None:
        """Keep a version that is not there."""

    @abstractmethod
    def _remove(self, version: AssetVersion) -> None:
        """Forget a version, and its content where no other version has it."""

    @abstractmethod
    def _retire(self, version: AssetVersion, at: str | None) -> None:
        """Note when a version was retired, or that it was not."""

    @abstractmethod
    def _count(self, version: AssetVersion, at: str) -> None:
        """Note one more use of a version."""

    @abstractmethod
    def versions(
        self, scope: Scope | str | None = None, kind: AssetType | None = None, name: str | None = None
    ) -> Iterator[AssetVersion]:
        """All that fit, in their order."""

    def publish(
        self, reference: Reference | str, content: bytes | Iterable[bytes], *, at: str
    ) -> AssetVersion:
        """Keep a version."""
        meant, scope, word = read_exact(reference)
        _judge_moment(at)
        with self._whole():
            digest, size = self._keep(bounded([content] if isinstance(content, bytes) else content))
            new = AssetVersion(
                scope=scope,
                type=meant.type,
                name=meant.name,
                version=word,
                sha256=digest,
                size_bytes=size,
                published_at=at,
            )
            return self._published(new)

    def promote(self, reference: Reference | str, to: Scope | str, *, at: str) -> AssetVersion:
        """Copy a version to a wider scope."""
        scope = read_scope(to)
        _judge_moment(at)
        with self._whole():
            there = self.resolve(reference)
            read_wider(there, scope)
            new = msgspec.structs.replace(
                there, scope=scope, published_at=at, promoted_from=str(there.reference), uses=0, used_at=None
            )
            return self._published(new)

    def _published(self, new: AssetVersion) -> AssetVersion:
        there = self._at(new.reference)
        if there is None:
            self._add(new)
            return new
        if there.sha256 != new.sha256:
            raise exists(there)
        return there

    def retire(self, reference: Reference | str, *, at: str) -> AssetVersion:
        """Take a version out of use."""
        meant, scope, _ = read_exact(reference)
        _judge_moment(at)
        with self._whole():
            one = self._at(meant)
            if one is None:
                raise _not_found(meant, [scope])
            if one.retired_at is not None:
                return one
            self._retire(one, at)
            return msgspec.structs.replace(one, retired_at=at)

    def withdraw(self, reference: Reference | str, *, published_at: str) -> None:
        """Take back that a version was published or promoted."""
        with self._whole():
            one = self.withdrawable(reference, published_at=published_at)
            if one is not None:
                self._remove(one)

    def withdrawable(
        self,
        reference: Reference | str,
        *,
        published_at: str,
        copies_but: Collection[str] = (),
        is_reinstated: bool = False,
    ) -> AssetVersion | None:
        """What `withdraw` would remove."""
        meant, _, _ = read_exact(reference)
        one = self._at(meant)
        if one is None or one.published_at != published_at:
            return None
        copies = (
            copy
            for copy in self.versions(None, one.type, one.name)
            if copy.promoted_from == str(one.reference) and str(copy.reference) not in copies_but
        )
        since = (
            (one.uses > 0, "used"),
            (one.retired_at is not None and not is_reinstated, "retired"),
            (any(copies), "promoted"),
        )
        found = [word for is_so, word in since if is_so]
        if found:
            raise InputError(
                "RESOURCE_IN_USE",
                f"`{one.reference}` was {' and '.join(found)} since it was published",
                hint="retire it: then nothing new uses it",
            )
        return one

    def reinstate(self, reference: Reference | str, *, retired_at: str) -> None:
        """Take back that a version was retired."""
        meant, _, _ = read_exact(reference)
        with self._whole():
            one = self._at(meant)
            if one is not None and one.retired_at == retired_at:
                self._retire(one, None)

    def _at(self, meant: Reference) -> AssetVersion | None:
        """The version of a scope and a word, retired or not."""
        there = self.versions(meant.scope, meant.type, meant.name)
        return next((one for one in there if one.version == meant.version), None)

    def resolve(self, reference: Reference | str, context: Context = NOWHERE) -> AssetVersion:
        """The version that is meant."""
        meant = read_reference(reference)
        in_force = read_context(context).scopes
        scopes = in_force if meant.scope is None else (meant.scope,)
        passed = None
        for scope in scopes:
            there = list(self.versions(scope, meant.type, meant.name))
            in_use = [one for one in there if one.retired_at is None]
            if meant.version == LATEST:
                if in_use:
                    return in_use[-1]
                passed = passed or (there[-1] if there else None)
            elif meant.sha256 is not None:
                same = [one for one in (*there, *in_use) if one.sha256 == meant.sha256]
                if same:
                    return same[-1]
            else:
                for one in there:
                    if one.version == meant.version:
                        if one.retired_at is not None:
                            raise _retired(one)
                        return one
        raise _not_found(meant, scopes, self._near(meant, scopes)) if passed is None else _retired(passed)

    def _near(self, meant: Reference, scopes: Sequence[Scope]) -> str | None:
        """What was probably meant: another version of it, or another name."""
        there = [one for scope in scopes for one in self.versions(scope) if one.retired_at is None]
        versions = [f"`{one.version}`" for one in there if (one.type, one.name) == (meant.type, meant.name)]
        if versions:
            return f"there are the versions {', '.join(versions[-_VERSIONS_TOLD:])}"
        return did_you_mean(f"{meant.type}/{meant.name}", [f"{one.type}/{one.name}" for one in there])

    def use(self, reference: Reference | str, context: Context = NOWHERE, *, at: str) -> Used:
        """The version that is meant, with its content, counted as used."""
        _judge_moment(at)
        found = self.resolve(reference, context)
        for _ in self.content(found):
            pass
        with self._whole():
            # Others may have withdrawn it meanwhile, or used it.
            if self._at(found.reference) is None:
                raise _not_found(read_reference(reference), [found.scope])
            self._count(found, at)
            now = self._at(found.reference)
        assert now is not None  # INVARIANT: it was there in this transaction
        return Used(now, self.content(now))

    def content(self, version: AssetVersion) -> Iterator[bytes]:
        """A content, whose last piece is followed by an error where it is not the one that was published."""
        digest = sha256()
        for piece in self._pieces(version.sha256):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != version.sha256:
            raise WorldError(
                "RESOURCE_CORRUPT",
                f"the content of `{version.reference}` is damaged: it is not the one that was published",
                hint="publish the same content again by the same reference, which mends it",
                details={"sha256": version.sha256, "found": digest.hexdigest()},
            )


def read_exact(reference: Reference | str) -> tuple[Reference, Scope, str]:
    """A reference that means one version by its scope and word. `InputError` `RESOURCE_REQUEST_INVALID`."""
    meant = read_reference(reference)
    if meant.scope is None or meant.version is None or meant.version == LATEST:
        raise InputError(
            "RESOURCE_REQUEST_INVALID",
            f"`{meant}` must say the scope and the word of the version",
            hint="write it like `res://project/shop/wordlist/common:1.0.0`; for all projects the scope is `global`",
        )
    return meant, meant.scope, meant.version


def read_wider(there: AssetVersion, to: Scope | str) -> Reference:
    """What a version is called once it is promoted. `InputError` `RESOURCE_REQUEST_INVALID`, `RESOURCE_RETIRED`."""
    wider = read_scope(to)
    if wider.level.width <= there.scope.level.width:
        raise InputError(
            "RESOURCE_REQUEST_INVALID",
            f"`{there.reference}` can't be promoted to `{wider}`, which is not a wider scope",
            hint="from the nearest to the widest they are run, node, project, group and global",
        )
    if there.retired_at is not None:
        raise _retired(there)
    return msgspec.structs.replace(there.reference, scope=wider)


def exists(one: AssetVersion) -> InputError:
    """The version has other content."""
    return InputError(
        "RESOURCE_EXISTS",
        f"`{one.reference}` has other content, and a version never changes",
        hint="publish it as another version",
        details={"sha256": one.sha256},
    )


def bounded(content: Iterable[bytes]) -> Iterator[bytes]:
    """A content in pieces of one size. `RESOURCE_TOO_LARGE`."""
    size, left = 0, bytearray()
    for one in content:
        size += len(one)
        if size > ports.CONTENT_BYTES_MAX:
            raise InputError(
                "RESOURCE_TOO_LARGE",
                f"a resource may have {ports.CONTENT_BYTES_MAX >> 20} MiB, and this one has more",
                hint="cut it into several resources",
            )
        for begin in range(0, len(one), PIECE_BYTES):
            left += one[begin : begin + PIECE_BYTES]
            if len(left) >= PIECE_BYTES:
                yield bytes(left[:PIECE_BYTES])
                del left[:PIECE_BYTES]
    if left:
        yield bytes(left)


def _judge_moment(at: str) -> None:
    try:
        judge_moment("at", convert(at, Moment))
    except (msgspec.ValidationError, ValueError):
        raise InputError(
            "RESOURCE_REQUEST_INVALID",
            f"`{str(at)[:40]}` must be a moment, RFC 3339 in UTC with `Z`",
            hint="write it like `2026-11-23T09:30:00Z`",
        ) from None


def _retired(one: AssetVersion) -> InputError:
    return InputError(
        "RESOURCE_RETIRED",
        f"`{one.reference}` was retired at {one.retired_at}",
        hint=f"use a later version; what needs this one asks for its digest, `@sha256:{one.sha256}`",
    )


def _not_found(meant: Reference, scopes: Sequence[Scope], hint: str | None = None) -> InputError:
    return InputError(
        "RESOURCE_NOT_FOUND",
        f"`{meant}` is in none of the scopes that were looked in: {', '.join(f'`{one}`' for one in scopes)}",
        hint=hint or "publish it, or say the scope that it is in",
    )
