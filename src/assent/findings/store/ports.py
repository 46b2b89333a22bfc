"""Where findings are kept: what a store promises, whichever it is. `assent.testing.FindingsStoreContract` tries the promises.

A store is opened with projects in it or none; a project is there as soon as something of it is. Whatever is given is judged
before anything is written, and never changed. When a call returns, what it wrote is there for good; when it raises, or the
process ends meanwhile, nothing of it is.

Findings are in the order of their ids. That order says nothing, and so no page shifts when findings come in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol, TypeAlias

import msgspec

from assent.errors import Json
from assent.findings.finding import Finding, Severity

STORE_SCHEMA_VERSION: Final = "1.0.0"
VERSION_KEY: Final = "store_schema_version"
PAGE_FINDINGS_MAX: Final = 1_000

Given: TypeAlias = "Finding | Mapping[str, Json]"
"""A finding, or the document of one."""


class Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which findings are meant: those that fit all that is said. Of several severities or detectors, any."""

    severities: frozenset[Severity] = frozenset()
    detectors: frozenset[str] = frozenset()
    run_id: str | None = None
    fingerprint: str | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Some findings, and the id after which the next page begins; None where there is none."""

    findings: tuple[Finding, ...]
    next: str | None


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """How many findings of a batch came in, and how many were there before, the same to the byte."""

    new: int
    known: int


class StoragePort(Protocol):
    """The least that a store does."""

    def atomic_write(self, name: str, document: Mapping[str, Json]) -> None:
        """Keep a document by name, instead of any earlier one. `STORE_DOCUMENT_INVALID` without the version of its schema."""

    def validate_store_layout(self) -> bool:
        """Whether all that is in the store is where and what it should be."""

    def get_schema_version(self) -> str:
        """The version of the store's schema: three numbers."""

    def save_finding(self, finding: Given) -> None:
        """Keep a finding; again, the same one, does nothing. `FINDING_EXISTS`: its id is another's. `FINDING_INVALID`."""

    def list_findings(self, project_id: str) -> list[Finding]:
        """All findings of a project; none of one that is not known."""

    def delete_project(self, project_id: str) -> None:
        """Remove all findings of a project, and nothing of others; does nothing where there are none."""


class BatchStoragePort(StoragePort, Protocol):
    """A store for very many findings."""

    def read_document(self, name: str) -> dict[str, Json] | None:
        """What `atomic_write` kept by this name."""

    def save_findings(self, findings: Iterable[Given]) -> Saved:
        """Keep all of them or, where one is refused, none."""

    def page(self, project_id: str, where: Where, *, after: str | None = None, limit: int) -> Page:
        """At most `limit` (1 to 1000) findings with ids after one. What comes in meanwhile doubles and drops nothing."""

    def stream(self, project_id: str, where: Where) -> Iterator[Finding]:
        """All findings that fit, with no more than a page of them in memory."""
