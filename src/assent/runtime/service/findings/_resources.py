"""What is answered about resources by reference. Nobody is counted as using one here."""

from __future__ import annotations

from collections.abc import AsyncIterator

from assent.capabilities.resource import Shelf
from assent.findings.assets import AssetType, AssetVersion, Context
from assent.runtime.service import answers, requests
from assent.runtime.service._reading import Record
from assent.runtime.service.findings._words import words
from assent.system import SystemClock


async def _resources(record: Record, request: requests.Resources) -> answers.Resources:
    """The versions that fit."""
    kinds = () if request.type is None else words((request.type,), AssetType, "type")
    with _shelf(record).looking() as provider:
        found = provider.versions(request.scope, next(iter(kinds), None), request.name)
        return answers.Resources(
            resources=[_version(one) for one in found if request.retired or one.retired_at is None]
        )


async def _resource(record: Record, request: requests.Resource) -> answers.ResourceVersion:
    """The version that is meant."""
    shelf = _shelf(record)
    with shelf.looking() as provider:
        return _version(provider.resolve(request.reference, _context(shelf, request)))


async def _resource_content(
    record: Record, request: requests.ResourceContent
) -> AsyncIterator[answers.Chunk]:
    """Its content, looked at as a whole before any of it is told."""
    shelf = _shelf(record)
    with shelf.looking() as provider:
        found = provider.resolve(request.reference, _context(shelf, request))
        for _ in provider.content(found):
            pass
        for data in provider.content(found):
            yield answers.Chunk(data=data)


def _shelf(record: Record) -> Shelf:
    return Shelf.of(record.settings.state, record.settings.areas["resource"], SystemClock())


def _context(shelf: Shelf, said: requests.OfResource) -> Context:
    return shelf.context(project=said.project, group=said.group)


def _version(one: AssetVersion) -> answers.ResourceVersion:
    return answers.ResourceVersion(
        reference=str(one.reference),
        scope=str(one.scope),
        type=one.type.value,
        name=one.name,
        version=one.version,
        sha256=one.sha256,
        bytes=one.size_bytes,
        published_at=one.published_at,
        promoted_from=one.promoted_from,
        retired_at=one.retired_at,
        uses=one.uses,
        used_at=one.used_at,
    )
