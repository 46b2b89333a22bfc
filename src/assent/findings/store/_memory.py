"""A store in memory: for tests, and for a scan whose findings nobody keeps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping

from assent.errors import Json
from assent.findings.finding import Finding
from assent.findings.store._border import (
    already_there,
    fits,
    judged,
    judged_after,
    judged_document,
    judged_limit,
    opened,
)
from assent.findings.store.ports import PAGE_FINDINGS_MAX, STORE_SCHEMA_VERSION, Given, Page, Saved, Where


class MemoryStore:
    """Findings by project and id. For one thread."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}
        self._owners: dict[str, str] = {}
        self._projects: dict[str, dict[str, Finding]] = {}
        self._sorted: dict[str, list[str]] = {}

    def atomic_write(self, name: str, document: Mapping[str, Json]) -> None:
        """Keep a document by name."""
        self._documents[name] = judged_document(name, document)

    def read_document(self, name: str) -> dict[str, Json] | None:
        """A copy of what was kept by name."""
        found = self._documents.get(name)
        return None if found is None else opened(found)

    def validate_store_layout(self) -> bool:
        """Nothing but this object writes here."""
        return True

    def get_schema_version(self) -> str:
        """The version of the store's schema."""
        return STORE_SCHEMA_VERSION

    def save_finding(self, finding: Given) -> None:
        """Keep one finding."""
        self.save_findings((finding,))

    def save_findings(self, findings: Iterable[Given]) -> Saved:
        """Keep all of them or none."""
        coming: dict[str, Finding] = {}
        known = 0
        for one in map(judged, findings):
            there = coming.get(one.id) or self._projects.get(self._owners.get(one.id, ""), {}).get(one.id)
            if there is None:
                coming[one.id] = one
            elif there == one:
                known += 1
            else:
                raise already_there(one)
        for one in coming.values():
            self._owners[one.id] = one.project_id
            self._projects.setdefault(one.project_id, {})[one.id] = one
            self._sorted.pop(one.project_id, None)
        return Saved(new=len(coming), known=known)

    def list_findings(self, project_id: str) -> list[Finding]:
        """All findings of a project."""
        return list(self.stream(project_id, Where()))

    def page(self, project_id: str, where: Where, *, after: str | None = None, limit: int) -> Page:
        """The next findings after an id."""
        judged_limit(limit)
        behind = judged_after(after)
        there = self._projects.get(project_id, {})
        ids = self._sorted.get(project_id)
        if ids is None:
            ids = self._sorted[project_id] = sorted(there)
        found: list[Finding] = []
        for number in range(bisect_right(ids, behind), len(ids)):
            one = there[ids[number]]
            if fits(one, where):
                if len(found) == limit:
                    return Page(findings=tuple(found), next=found[-1].id)
                found.append(one)
        return Page(findings=tuple(found), next=None)

    def stream(self, project_id: str, where: Where) -> Iterator[Finding]:
        """All findings that fit, page by page."""
        after = None
        while True:
            page = self.page(project_id, where, after=after, limit=PAGE_FINDINGS_MAX)
            yield from page.findings
            if page.next is None:
                return
            after = page.next

    def delete_project(self, project_id: str) -> None:
        """Remove all findings of a project."""
        for one in self._projects.pop(project_id, {}):
            del self._owners[one]
        self._sorted.pop(project_id, None)
