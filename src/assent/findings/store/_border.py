"""What every store asks of what it is given, so that no two of them judge otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from assent.errors import InputError, Json
from assent.findings.finding import Finding, read_finding
from assent.findings.store.ports import (
    PAGE_FINDINGS_MAX,
    STORE_SCHEMA_VERSION,
    VERSION_KEY,
    Given,
    Where,
)
from assent.spec.values.typed import decode

NAME_CHARACTERS_MAX: Final = 128
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*(?:/[a-z0-9][a-z0-9_-]*)*")
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VERSION: Final = re.compile(r"(?:0|[1-9][0-9]{0,5})(?:\.(?:0|[1-9][0-9]{0,5})){2}")


def judged(given: Given) -> Finding:
    """A finding that is one, whoever made it: a struct made in a program was never judged."""
    return read_finding(given.to_json() if isinstance(given, Finding) else given)


def judged_document(name: str, document: Mapping[str, Json]) -> bytes:
    """A document of the store as it is kept. `STORE_DOCUMENT_INVALID`, `STORE_TOO_NEW`."""
    if len(name) > NAME_CHARACTERS_MAX or not _NAME.fullmatch(name):
        raise InputError(
            "STORE_DOCUMENT_INVALID",
            f"`{name[:NAME_CHARACTERS_MAX]}` can't name a document of a store",
            hint="use small letters, digits, `-` and `_`, with `/` between parts",
        )
    version = document.get(VERSION_KEY)
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise InputError(
            "STORE_DOCUMENT_INVALID",
            f"the document `{name}` must say `{VERSION_KEY}`, three numbers like `{STORE_SCHEMA_VERSION}`",
        )
    if [int(one) for one in version.split(".")] > [int(one) for one in STORE_SCHEMA_VERSION.split(".")]:
        raise InputError(
            "STORE_TOO_NEW",
            f"the document `{name}` is of schema {version}, and this release knows {STORE_SCHEMA_VERSION}",
            hint="use the release of Assent that wrote it, or a later one",
        )
    try:
        return msgspec.json.encode(document)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError("STORE_DOCUMENT_INVALID", f"the document `{name}` must be JSON: {error}") from None


def opened(kept: bytes) -> dict[str, Json]:
    """A document as it was given."""
    document: dict[str, Json] = decode(kept)
    return document


def judged_after(after: str | None) -> str:
    """The id behind which a page begins, and "" from the first on."""
    if after is None:
        return ""
    if not _ID.fullmatch(after):
        raise InputError("FINDING_INVALID", f"`{after[:NAME_CHARACTERS_MAX]}` is not an id of a finding")
    return after


def judged_limit(limit: int) -> int:
    """How many findings a page may have."""
    if not 1 <= limit <= PAGE_FINDINGS_MAX:
        raise InputError("FINDING_INVALID", f"a page has 1 to {PAGE_FINDINGS_MAX} findings, not {limit}")
    return limit


def already_there(finding: Finding) -> InputError:
    """What is told where an id is another finding's."""
    return InputError(
        "FINDING_EXISTS",
        f"another finding has the id `{finding.id}` already",
        hint="give it an id of its own; a stored finding is not replaced",
    )


def fits(finding: Finding, where: Where) -> bool:
    """Whether a finding is meant."""
    return (
        (not where.severities or finding.severity in where.severities)
        and (not where.detectors or finding.detector_id in where.detectors)
        and (where.run_id is None or finding.run_id == where.run_id)
        and (
            where.fingerprint is None
            or (bool(finding.fingerprint) and finding.fingerprint.value == where.fingerprint)
        )
    )
